"""Random releases over random local state: the plan says exactly what the upgrade does, and a restore gives back every byte."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from support.bounds import examples
from support.modules import ModularSample, part
from support.sample import Content, Link, Program, Sample, Tree, differences, folder_files, write_tree

from gitdeploy import App
from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import DeploymentFailed, PolicyError
from gitdeploy.text import path_text

# Some are a file in one release and a folder in the next; some are names that tools trip over.
PATHS = [
    b"a", b"a/b", b"a/b/c", b"d", b"d/x y.txt", b"e/f/g", b"run.sh", b"data.db", b".env", b"conf.ini", b"keep.me",
    "中文 名.txt".encode(), b"bad\xff.bin", b"new\nline", b"-dash", b"quo\"te'", b"cache/x",
]  # fmt: skip
IGNORED = ["data.db", "cache/", "*.bin", "conf.ini", "d/", "a"]

contents: st.SearchStrategy[Content] = st.one_of(
    st.sampled_from(["", "one\n", "two\n", "three\nlines\nhere\n", "crlf\r\n"]),
    st.sampled_from([Program("#!/bin/sh\n"), Program("#!/bin/sh\necho 2\n"), Link("a"), Link("d/x y.txt"), Link("nowhere")]),
    st.binary(max_size=20),
)  # fmt: skip

settings_text = st.sampled_from(["", "A=1\n", "APP_VERSION=1.0.0\nB=2\n"])  # a `.env` that can't be read is refused


def compatible(paths: list[bytes]) -> list[bytes]:
    """Those of PATHS that can be files of one tree: none is a folder of another."""
    chosen: list[bytes] = []
    for path in paths:
        if not any(path == one or path.startswith(one + b"/") or one.startswith(path + b"/") for one in chosen):
            chosen.append(path)
    return chosen


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    paths = compatible(draw(st.lists(st.sampled_from(PATHS), unique=True, min_size=1, max_size=9)))
    tree: dict[str | bytes, Content] = {path: draw(settings_text if path == b".env" else contents) for path in paths}
    ignored = draw(st.lists(st.sampled_from(IGNORED), unique=True, max_size=3))
    tree[".gitignore"] = "".join(f"{line}\n" for line in ignored)
    if draw(st.integers(0, 5)) == 0:
        tree[".gitattributes"] = draw(st.sampled_from(["* text=auto\n", "*.txt text eol=crlf\n", "* -text\n"]))
    tree["deploy.yaml"] = "source: {type: git}\ngit: {keep: [.env, keep.me]}\n"
    return tree


@dataclass(frozen=True)
class Act:
    """Something that a person does in the checkout: write, remove, chmod, add (stage), unstage, hide (skip-worktree)."""

    kind: str
    path: bytes
    content: Content


acts = st.builds(
    Act,
    st.sampled_from(["write", "write", "remove", "chmod", "add", "hide", "secret"]),
    st.sampled_from(PATHS),
    contents,
)


def perform(sample: Sample, act: Act) -> None:
    """As far as the file system lets it be done."""
    path = os.fsencode(sample.app) + b"/" + act.path
    name = os.fsdecode(act.path)
    tracked = name in sample.git("ls-files", "-z").split("\0")
    if act.kind == "write" and act.path != b".env":
        parent = os.path.dirname(path)
        if (os.path.isdir(path) and not os.path.islink(path)) or (
            os.path.lexists(parent) and not os.path.isdir(parent)
        ):
            return
        if os.path.realpath(parent) != os.path.abspath(parent):
            return  # through somebody's link
        os.makedirs(parent, exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        write_tree(sample.app, {act.path: act.content})
    elif act.kind == "remove" and os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
        os.unlink(path)
    elif act.kind == "chmod" and os.path.isfile(path) and not os.path.islink(path):
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) ^ 0o111)
    elif act.kind == "secret" and os.path.isfile(path) and not os.path.islink(path):
        os.chmod(path, 0o600)
    elif act.kind == "add" and os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
        sample.git("add", "-f", "--", name)
    elif act.kind == "hide" and tracked:
        sample.git("update-index", "--skip-worktree", "--", name)


def changed(before: dict[bytes, Any], after: dict[bytes, Any]) -> dict[str, list[str]]:
    """What differs between two states of the disk, as a plan lists it."""
    files = {p: f for p, f in before.items() if f != ("folder",)}, {p: f for p, f in after.items() if f != ("folder",)}
    old, new = files
    return {
        "added": sorted(path_text(path) for path in new if path not in old),
        "changed": sorted(path_text(path) for path in new if path in old and old[path] != new[path]),
        "deleted": sorted(path_text(path) for path in old if path not in new),
    }


def disk(sample: Sample) -> dict[bytes, Any]:
    return folder_files(sample.app, skip=(b".git", b".gitdeploy"))


@pytest.mark.timeout(900)
@settings(
    max_examples=examples(6),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    first=trees(), second=trees(), local=st.lists(acts, max_size=6), branch=st.booleans(), discard=st.booleans()
)  # fmt: skip
def test_plan_is_true_and_restore_gives_back_every_byte(
    first: Tree, second: Tree, local: list[Act], branch: bool, discard: bool
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="history-"))
    try:
        sample = Sample(folder, venv=False)
        sample.release("v1.0.0", first)
        sample.release("v2.0.0", second)
        sample.install("v1.0.0", branch="main" if branch else None)
        for act in local:
            perform(sample, act)
        for name, text in ((".env", "APP_VERSION=1.0.0\nMINE=1\n"), ("keep.me", "mine\n")):
            if not os.path.lexists(sample.app / name):
                (sample.app / name).write_text(text)
        before, on_disk = sample.state(), disk(sample)
        app = App.open(sample.app)
        options = Options(local_changes="discard" if discard else None)
        plan = app.plan("v2.0.0", options)
        assert plan is not None
        assert differences(before, sample.state()) == [], "a plan changes nothing"
        note(f"plan: {plan.as_dict()}")
        if plan.problems:
            with pytest.raises((PolicyError, DeploymentFailed)):
                app.upgrade("v2.0.0", options)
            assert differences(before, sample.state()) == [], "what is refused changes nothing"
            return
        result = app.upgrade("v2.0.0", options)
        done = changed(on_disk, disk(sample))
        assert plan.as_dict()["files"] == done
        assert sample.git("rev-parse", "HEAD") == sample.git("rev-parse", "v2.0.0^{commit}", cwd=sample.remote)
        assert result.backup is not None
        app.restore(result.backup)
        assert differences(before, sample.state()) == []
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    sample = Sample(tmp_path_factory.mktemp("packages"))
    for name in ("alpha", "beta", "gamma"):
        for version in ("1.0", "2.0"):
            sample.wheel(name, version)
    settings_text = "source: {type: git}\n"
    pins = [
        "alpha==1.0\n", "alpha==2.0\nbeta==1.0\n", "beta==2.0\ngamma==1.0\n", "alpha==1.0\nbeta==2.0\ngamma==1.0\n",
    ]  # fmt: skip
    for number, text in enumerate(pins, 1):
        sample.release(
            f"v{number}.0", {"deploy.yaml": settings_text, ".gitignore": "/venv\n", "requirements.txt": text}
        )
    sample.install("v1.0")
    return sample


def test_the_plan_names_the_packages_that_the_upgrade_then_changes(
    packaged: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in packaged.environment.items():
        monkeypatch.setenv(name, value)
    start = packaged.state()
    app = App.open(packaged.app)
    backups = []
    for tag in ("v2.0", "v3.0", "v4.0"):
        plan = app.plan(tag)
        assert plan is not None
        said = plan.as_dict()["requirements"]
        old = dict(line.split("==") for line in packaged.packages())
        backups.append(app.upgrade(tag).backup)
        new = dict(line.split("==") for line in packaged.packages())
        assert said["added"] == {name: version for name, version in new.items() if name not in old}
        assert said["changed"] == {n: [old[n], new[n]] for n in new if n in old and old[n] != new[n]}
        assert said["removed"] == {name: version for name, version in old.items() if name not in new}
        assert said["unchanged"] == (old == new)
    assert backups[0] is not None
    app.restore(backups[0])
    assert differences(start, packaged.state()) == []


# ---- with submodules ----

SLOTS = ["part", "d/sub", "moved/to", "e"]
LIBRARY_FILES = ["code.py", "deep/data.txt", "deep", "new.txt", "inner.py", "outer.py", "inner/inner.py", "mine"]


@st.composite
def modular_trees(draw: st.DrawFn) -> tuple[Tree, list[dict[str, Any]]]:
    """A release with up to three submodules, whose names go with other paths in the next."""
    slots = draw(st.lists(st.sampled_from(SLOTS), unique=True, max_size=3))
    names = draw(st.permutations(["one", "two", "three/3"]))
    parts = [
        part(slot, draw(st.sampled_from(["lib", "inner", "outer"])), draw(st.integers(0, 1)), name=name)
        for slot, name in zip(slots, names, strict=False)
    ]
    taken = [os.fsencode(slot) for slot in slots]
    files = compatible(draw(st.lists(st.sampled_from(PATHS), unique=True, min_size=1, max_size=6)))
    more: dict[str, Content] = draw(
        st.sampled_from([{}, {"part/code.py": "one\n"}, {"moved/to/code.py": "vendored\n", "e": Link("moved")}])
    )
    wanted: dict[str | bytes, Content] = {path: draw(settings_text if path == b".env" else contents) for path in files}
    wanted |= {
        os.fsencode(path): content for path, content in more.items() if compatible([*files, os.fsencode(path)]) != files
    }
    tree = {
        path: wanted[path]
        for path in compatible([*taken, *(p for p in wanted if isinstance(p, bytes))])
        if path in wanted
    }
    return tree, parts


inside_acts = st.builds(
    Act,
    st.sampled_from(["write", "write", "remove", "chmod", "add", "commit", "branch"]),
    st.builds(lambda slot, name: os.fsencode(f"{slot}/{name}"), st.sampled_from(SLOTS), st.sampled_from(LIBRARY_FILES)),
    st.sampled_from(["mine\n", "one\n", "two\n"]),
)


def perform_inside(sample: ModularSample, act: Act) -> None:
    """In the submodule that the path is in, as far as there is one."""
    path = os.fsdecode(act.path)
    slot = next(slot for slot in SLOTS if path.startswith(slot + "/"))
    place, name = sample.app / slot, path.removeprefix(slot + "/")
    if not (place / ".git").exists():
        return
    file = place / name
    whole = os.path.lexists(file) and (file.is_symlink() or not file.is_dir())
    if act.kind == "write" and not file.is_dir() and file.parent.is_dir():
        write_tree(place, {name: act.content})
    elif act.kind == "remove" and whole:
        file.unlink()
    elif act.kind == "chmod" and whole:
        file.chmod(stat.S_IMODE(file.stat().st_mode) ^ 0o111)
    elif act.kind == "add" and whole and not name.startswith("inner/"):
        sample.git("add", "-f", "--", name, cwd=place)
    elif act.kind == "commit":
        sample.git("commit", "-q", "-a", "--allow-empty", "-m", "made here", cwd=place)
    elif act.kind == "branch":
        sample.git("checkout", "-q", "-B", "mine", cwd=place)


@pytest.mark.timeout(900)
@settings(
    max_examples=examples(5),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    first=modular_trees(), second=modular_trees(), local=st.lists(acts, max_size=2), inside=st.lists(inside_acts, max_size=3),
    initialised=st.booleans(), policy=st.sampled_from(["refuse", "discard", "discard", "merge"]),
    kept=st.sampled_from([".env, keep.me", "keep.me", "keep.me, part/code.py"]),
)  # fmt: skip
def test_up_back_and_up_again_with_submodules(
    first: tuple[Tree, list[dict[str, Any]]],
    second: tuple[Tree, list[dict[str, Any]]],
    local: list[Act],
    inside: list[Act],
    initialised: bool,
    policy: Any,
    kept: str,
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="history-"))
    try:
        sample = ModularSample(folder, venv=False)
        sample.make_libraries()
        there = b"part/code.py" in first[0] or any((p["path"], p["library"]) == ("part", "lib") for p in first[1])
        if not (there and initialised):
            kept = kept.removesuffix(", part/code.py")
        for tag, (tree, parts) in (("v1.0.0", first), ("v2.0.0", second)):
            settings_of_all = {"deploy.yaml": f"source: {{type: git}}\ngit: {{keep: [{kept}]}}\n"}
            sample.modular_release(tag, {**tree, **settings_of_all}, parts)
        sample.install("v1.0.0", branch="main")
        if initialised:
            sample.initialise()
        for act in local:
            if not any(os.fsdecode(act.path).startswith(slot) for slot in SLOTS):
                perform(sample, act)
        for act in inside:
            perform_inside(sample, act)
        for name, text in ((".env", "APP_VERSION=1.0.0\nMINE=1\n"), ("keep.me", "mine\n")):
            if name in kept and not os.path.lexists(sample.app / name):
                (sample.app / name).write_text(text)
        before, on_disk = sample.modular_state(), disk(sample)
        app = App.open(sample.app)
        options = Options(local_changes=policy)
        plan = app.plan("v2.0.0", options)
        assert plan is not None
        assert differences(before, sample.modular_state()) == [], "a plan changes nothing"
        note(f"plan: {plan.as_dict()}")
        if plan.problems:
            with pytest.raises((PolicyError, DeploymentFailed)):
                app.upgrade("v2.0.0", options)
            assert differences(before, sample.modular_state()) == [], "what is refused changes nothing"
            return
        result = app.upgrade("v2.0.0", options)
        upgraded = disk(sample)
        assert plan.as_dict()["files"] == changed(on_disk, upgraded)
        assert sample.damage() == ""
        if not local and not inside:
            said = sample.git("status", "--porcelain", "--untracked-files=no").splitlines()
            assert {line.split(" ")[-1] for line in said} <= {".env", "keep.me", "part"}, "but for what is kept"
        assert result.backup is not None
        app.restore(result.backup)
        assert differences(before, sample.modular_state()) == []
        app.upgrade("v2.0.0", options)
        assert differences({"disk": upgraded}, {"disk": disk(sample)}) == []
    finally:
        shutil.rmtree(folder)
