"""git's settings on the checkouts that people have: permissions, sparse checkouts, filters, links, refs, other owners."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support import needs
from support.sample import Done, Link, Program, Sample, Tree, differences

from gitdeploy import App
from gitdeploy.checkout.preconditions import setting_problems
from gitdeploy.cli import COMMANDS
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.errors import DeploymentFailed, GitDeployError, RolledBack

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"
FAILING = SETTINGS + 'health: {command: "false", timeout: 1, interval: 1}\n'


def tree(version: str, settings: str = SETTINGS, **more: Any) -> Tree:
    return {"deploy.yaml": settings, "VERSION": version, "start.sh": f"echo {version}\n", **more}


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    made = Sample(tmp_path, venv=False)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def user_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Sample) -> Path:
    """A ~/.gitconfig of this test's own."""
    file = tmp_path / "gitconfig"
    file.write_text("[user]\nname = Me\nemail = me@localhost\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    return file


def upgrade(sample: Sample, tag: str, **options: Any) -> None:
    App.open(sample.app).upgrade(tag, Options(**options))


def back(sample: Sample) -> None:
    App.open(sample.app).restore("latest")


def problems(sample: Sample, tag: str) -> list[tuple[str, str]]:
    plan = App.open(sample.app).plan(tag)
    assert plan is not None
    return [(problem.message, problem.hint) for problem in plan.problems]


def type_it(sample: Sample, hint: str, prefix: str) -> None:
    """Run what a hint says, from PREFIX to the end of that sentence."""
    command = hint[hint.index(prefix) :].splitlines()[0].split(". ", maxsplit=1)[0]
    done = subprocess.run(["sh", "-c", command], cwd=sample.app, env=sample.environment, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)


def permissions(sample: Sample, *names: str) -> list[str]:
    return [oct(stat.S_IMODE((sample.app / name).lstat().st_mode)) for name in names]


# ---- permissions ----

MODES = {
    "start.sh": 0o755,
    "secret": 0o600,
    "group": 0o640,
    "shared": 0o2664,
    "gone": 0o751,
    "same": 0o700,
    "tool": 0o700,
}


@pytest.fixture
def by_hand(sample: Sample) -> Sample:
    """core.fileMode=false, and modes that git doesn't know of."""
    files = {name: "one\n" for name in MODES if name not in ("start.sh", "tool")}
    changed = {name: "two\n" for name in MODES if name not in ("start.sh", "tool", "gone", "same")}
    sample.release("v1.0.0", tree("1.0.0", tool=Program("one\n"), **files))
    sample.release("v2.0.0", tree("2.0.0", same="one\n", tool=Program("two\n"), **changed))
    sample.install("v1.0.0")
    sample.git("config", "core.fileMode", "false")
    for name, mode in MODES.items():
        (sample.app / name).chmod(mode)
    return sample


def test_permissions_set_by_hand_stay_and_come_back(by_hand: Sample) -> None:
    before = by_hand.state()
    upgrade(by_hand, "v2.0.0")
    stayed = [name for name in MODES if name != "gone"]
    assert permissions(by_hand, *stayed) == [oct(MODES[name]) for name in stayed]
    assert by_hand.git("status", "--porcelain") == ""
    (by_hand.app / "same").chmod(0o644)
    (by_hand.app / "secret").chmod(0o644)
    back(by_hand)
    assert differences(before, by_hand.state()) == []
    back(by_hand)
    assert permissions(by_hand, "same", "secret", "group") == [oct(0o644), oct(0o644), oct(0o640)]


def test_permissions_come_back_by_themselves(by_hand: Sample) -> None:
    by_hand.release("v3.0.0", tree("3.0.0", FAILING, secret="three\n"))
    before = by_hand.state()
    with pytest.raises(RolledBack):
        upgrade(by_hand, "v3.0.0")
    assert differences(before, by_hand.state()) == []


def test_a_mode_that_the_release_changes_is_the_releases(by_hand: Sample) -> None:
    by_hand.release("v3.0.0", tree("3.0.0", secret=Program("now a program\n"), tool="no longer one\n"))
    upgrade(by_hand, "v3.0.0")
    assert permissions(by_hand, "secret", "tool") == [oct(0o700), oct(0o600)]


def test_the_index_and_head_keep_their_permissions(sample: Sample) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version))
    sample.install("v1.0.0")
    sample.git("config", "core.sharedRepository", "0660")
    for name in (".git/index", ".git/HEAD"):
        (sample.app / name).chmod(0o660)
    upgrade(sample, "v2.0.0")
    assert permissions(sample, ".git/index", ".git/HEAD") == [oct(0o660)] * 2


@pytest.mark.parametrize("way", ["chmod", "git config core.fileMode"])
def test_where_only_modes_differ_that_is_said_and_the_way_out_works(sample: Sample, way: str) -> None:
    sample.release("v1.0.0", tree("1.0.0", run=Program("one\n")))
    sample.release("v2.0.0", tree("2.0.0", run=Program("one\n"), new="new\n"))
    sample.install("v1.0.0")
    (sample.app / "start.sh").chmod(0o777)
    (sample.app / "VERSION").chmod(0o777)
    (sample.app / "run").chmod(0o644)
    (sample.app / "new").write_text("new\n")
    (sample.app / "new").chmod(0o755)
    ((message, hint),) = problems(sample, "v2.0.0")
    assert message == "4 files changed locally, but only in their mode: VERSION, new, run, start.sh."
    type_it(sample, hint, way)
    upgrade(sample, "v2.0.0")
    assert (sample.app / "new").read_text() == "new\n"
    assert sample.git("status", "--porcelain") == ""


# ---- which files are there ----

SPARSE = {
    "cone": ("set", "--cone", "app"),
    "patterns": ("set", "--no-cone", "/*", "!/docs/", "/docs/kept.md"),
    "sparse index": ("set", "--cone", "--sparse-index", "app"),
}


@pytest.mark.parametrize("words", SPARSE.values(), ids=SPARSE)
def test_a_sparse_checkout_stays_one(sample: Sample, words: tuple[str, ...]) -> None:
    one = {"app/a.py": "1\n", "docs/a.md": "1\n", "docs/kept.md": "1\n", "docs/gone.md": "1\n"}
    two = {"app/a.py": "2\n", "app/b.py": "2\n", "docs/a.md": "2\n", "docs/kept.md": "2\n", "docs/new/b.md": "2\n"}
    sample.release("v1.0.0", tree("1.0.0", **one))
    sample.release("v2.0.0", tree("2.0.0", **two))
    sample.release("v3.0.0", tree("3.0.0", FAILING, **one, **{"docs/three.md": "3\n"}))
    sample.install("v1.0.0")
    sample.git("sparse-checkout", *words)
    patterns = (sample.app / ".git/info/sparse-checkout").read_text()
    assert App.open(sample.app).status().local_changes == []
    before = sample.state()
    upgrade(sample, "v2.0.0")
    assert (sample.app / "app/b.py").read_text() == "2\n"
    assert not (sample.app / "docs/new").exists()
    assert not (sample.app / "docs/a.md").exists()
    assert (sample.app / "docs/kept.md").exists() == ("!/docs/" in words)
    assert sample.git("status", "--porcelain") == ""
    assert sample.git("ls-files", "-t", "docs/new/b.md")[:1] == "S"
    then = sample.state()
    with pytest.raises(RolledBack):
        upgrade(sample, "v3.0.0", allow_downgrade=True)
    assert differences(then, sample.state()) == []
    back(sample)
    back(sample)  # a restore of what the restore had replaced
    assert differences(then, sample.state()) == []
    sample.gitdeploy("rollback", "v1.0.0", "--yes")
    assert differences(before, sample.state()) == []
    assert (sample.app / ".git/info/sparse-checkout").read_text() == patterns


def test_a_file_of_ones_own_outside_of_the_patterns_is_not_overwritten(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0", **{"docs/a.md": "1\n"}))
    sample.release("v2.0.0", tree("2.0.0", **{"docs/a.md": "1\n", "docs/b.md": "2\n"}))
    sample.install("v1.0.0")
    sample.git("sparse-checkout", "set", "--no-cone", "/*", "!/docs/")
    (sample.app / "docs").mkdir()
    (sample.app / "docs/b.md").write_text("mine\n")
    ((message, _),) = problems(sample, "v2.0.0")
    assert "docs/b.md" in message
    assert (sample.app / "docs/b.md").read_text() == "mine\n"


INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "split": (("config", "core.splitIndex", "true"), ("update-index", "--split-index")),
    "version 4": (("update-index", "--index-version", "4"),),
    "untracked cache": (("update-index", "--untracked-cache"),),
    "assume unchanged by default": (("config", "core.ignoreStat", "true"),),
    "case ignored": (("config", "core.ignoreCase", "true"),),
    "a hook for changes": (("config", "core.fsmonitor", "/nonexistent"),),
    "in config.worktree": (
        ("config", "extensions.worktreeConfig", "true"),
        ("config", "--worktree", "core.fileMode", "false"),
    ),
}


@pytest.mark.parametrize("commands", INDEXES.values(), ids=INDEXES)
def test_an_index_in_whatever_form(sample: Sample, commands: tuple[tuple[str, ...], ...]) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version, README="a\n", **({"readme": "b\n"} if version[0] == "2" else {})))
    sample.install("v1.0.0")
    for words in commands:
        sample.git(*words)
    before = sample.state()
    upgrade(sample, "v2.0.0")
    assert sample.git("status", "--porcelain") == ""
    assert [(sample.app / name).read_text() for name in ("README", "readme")] == ["a\n", "b\n"]
    back(sample)
    assert {**sample.state(), "index": ""} == {**before, "index": ""}


# ---- how a file looks ----


@pytest.mark.parametrize("where", ["user", "included", "checkout"])
def test_line_ends_are_those_that_the_owners_git_gives(sample: Sample, user_settings: Path, where: str) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version))
    text = "[core]\nautocrlf = true\nsafecrlf = true\n"
    if where == "user":
        user_settings.write_text(user_settings.read_text() + text)
    elif where == "included":
        (user_settings.parent / "more").write_text(text)
        user_settings.write_text(f"{user_settings.read_text()}[include]\npath = {user_settings.parent}/more\n")
    sample.git("init", "-q", str(sample.app), cwd=sample.folder)
    if where == "checkout":
        with (sample.app / ".git/config").open("a") as out:
            out.write(text)
    sample.install("v1.0.0")
    before = sample.state()
    assert (sample.app / "start.sh").read_bytes() == b"echo 1.0.0\r\n"
    upgrade(sample, "v2.0.0")
    assert (sample.app / "start.sh").read_bytes() == b"echo 2.0.0\r\n"
    assert sample.git("status", "--porcelain") == ""
    back(sample)
    assert differences(before, sample.state()) == []


FILTER = "#!/bin/sh\nexec tr a-z A-Z\n"


def filtered(sample: Sample, smudge: str, **more: str) -> None:
    """Files `*.up` are in capitals on disk; the release names the filter, the server has it."""
    attributes = {".gitattributes": "*.up filter=up\nrequirements.txt filter=up\n"}
    for number in ("1", "2"):
        sample.release(f"v{number}.0.0", tree(f"{number}.0.0", **attributes, **{"a.up": f"text {number}\n", **more}))
    sample.git("init", "-q", str(sample.app), cwd=sample.folder)
    (sample.app / ".git/up").write_text(FILTER)
    (sample.app / ".git/up").chmod(0o755)
    (sample.app / ".git/down").write_text("#!/bin/sh\nexec tr A-Z a-z\n")
    (sample.app / ".git/down").chmod(0o755)
    sample.git("config", "filter.up.smudge", smudge)
    sample.git("config", "filter.up.clean", ".git/down")
    sample.install("v1.0.0")


@pytest.mark.parametrize("smudge", [".git/up", "./.git/up", "LC_ALL=C .git/up", "sh .git/up; true"])
def test_a_filter_that_is_named_relative_to_the_checkout(sample: Sample, smudge: str) -> None:
    filtered(sample, smudge)
    before = sample.state()
    assert (sample.app / "a.up").read_text() == "TEXT 1\n"
    upgrade(sample, "v2.0.0")
    assert (sample.app / "a.up").read_text() == "TEXT 2\n"
    assert sample.git("status", "--porcelain") == ""
    back(sample)
    assert differences(before, sample.state()) == []


def test_what_a_release_says_is_read_through_its_filters(sample: Sample) -> None:
    """Encrypted settings mean what they say when they are decrypted."""
    filtered(sample, ".git/up", **{"requirements.txt": "greeting==1.0\n"})
    plan = App.open(sample.app).plan("v2.0.0")
    assert plan is not None
    reader = TargetFiles(App.open(sample.app).site.repository, sample.app, plan.goal, plan.checkout, filtered=True)
    assert reader.read("a.up") == b"TEXT 2\n"
    reader.export(sample.folder / "whole", None)
    assert (sample.folder / "whole/a.up").read_text() == "TEXT 2\n"


@pytest.mark.parametrize("required", ["true", "false"])
def test_a_filter_that_fails_stops_the_deployment(sample: Sample, required: str) -> None:
    filtered(sample, ".git/up")
    sample.git("config", "filter.up.required", required)
    (sample.app / ".git/up").write_text("#!/bin/sh\nexit 3\n")
    before = sample.state()
    with pytest.raises(DeploymentFailed, match="filter"):
        upgrade(sample, "v2.0.0")
    assert differences(before, sample.state()) == []


def test_a_filter_whose_program_is_not_there_is_found_in_preflight(sample: Sample) -> None:
    filtered(sample, ".git/up")
    sample.git("config", "filter.up.smudge", "no-such-program --flag")
    ((message, hint),) = problems(sample, "v2.0.0")
    assert message == "The git filter up needs the program no-such-program, which isn't there."
    type_it(sample, hint.replace("/PATH/TO/no-such-program --flag", ".git/up"), "git config")
    upgrade(sample, "v2.0.0")
    assert (sample.app / "a.up").read_text() == "TEXT 2\n"


@pytest.mark.parametrize("name", ["core.attributesFile", "core.excludesFile"])
def test_a_file_of_settings_by_a_relative_path_is_refused_by_name(sample: Sample, name: str) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version))
    sample.install("v1.0.0")
    (sample.app / ".git/own").write_text("")
    sample.git("config", name, ".git/own")
    ((message, hint),) = problems(sample, "v2.0.0")
    assert name.lower() in message
    type_it(sample, hint, "git config")
    upgrade(sample, "v2.0.0")


def test_links_as_texts_are_refused_by_name_and_the_hint_makes_them_links(sample: Sample) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version, link=Link("VERSION")))
    sample.git("init", "-q", str(sample.app), cwd=sample.folder)
    sample.git("config", "core.symlinks", "false")
    sample.install("v1.0.0")
    assert (sample.app / "link").read_text() == "VERSION"
    found = problems(sample, "v2.0.0")
    hint = next(hint for message, hint in found if "core.symlinks is false" in message)
    type_it(sample, hint, "git config")
    upgrade(sample, "v2.0.0")
    assert os.readlink(sample.app / "link") == "VERSION"


def test_refs_in_another_format_are_refused_by_name(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.install("v1.0.0")
    repository = App.open(sample.app).site.repository
    ((problem),) = setting_problems(repository, {"extensions.refstorage": ["reftable"]})
    assert "extensions.refStorage" in problem.message


# ---- names of refs ----


@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed-refs"])
@pytest.mark.parametrize(
    ("here", "there"),
    [
        (["release"], "release/v2.0.0"),
        (["v2.0.0/a", "v2.0.0/b"], "v2.0.0"),
        (["v2.0.0/" + x for x in "abcdefg"], "v2.0.0"),
    ],
    ids=["a folder there", "a folder here", "many"],
)
def test_tags_that_cannot_be_beside_each_other(sample: Sample, here: list[str], there: str, packed: bool) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release(there, tree("2.0.0"))
    sample.install("v1.0.0")
    for name in here:
        sample.git("tag", name, "v1.0.0")
    if packed:
        sample.git("pack-refs", "--all")
    before = sample.git("for-each-ref")
    for words in (("plan", there), ("upgrade", there)):
        done = sample.gitdeploy(*words, code=1)
        assert f"The tag {there} can't be stored beside" in done.err
        assert sample.git("for-each-ref") == before
    hint = re.search(r"git tag -[dl] .*", done.err)
    assert hint is not None
    type_it(sample, hint[0], "git tag")
    upgrade(sample, there)
    assert "refs/gitdeploy/incoming" not in sample.git("for-each-ref")


def test_what_an_earlier_fetch_left_is_in_nobodys_way(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release("release/v2.0.0", tree("2.0.0"))
    sample.install("v1.0.0")
    sample.git("update-ref", "refs/gitdeploy/incoming/release", "v1.0.0")
    upgrade(sample, "release/v2.0.0")
    assert "refs/gitdeploy/incoming" not in sample.git("for-each-ref")


def test_tags_that_differ_in_their_case_alone(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release("release/v2.0.0", tree("2.0.0"))
    sample.install("v1.0.0")
    sample.git("tag", "Release", "v1.0.0")
    upgrade(sample, "release/v2.0.0")


def test_a_fetch_writes_no_ref_that_the_checkout_is_configured_to_fetch(sample: Sample) -> None:
    """`remote.origin.fetch` of a mirror: git would move the local tag before anybody has looked at it."""
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release("v2.0.0", tree("2.0.0"))
    sample.install("v1.0.0")
    sample.git("tag", "v2.0.0", "v1.0.0")
    sample.git("config", "remote.origin.fetch", "+refs/*:refs/*")
    sample.git("config", "fetch.prune", "true")
    before = sample.git("for-each-ref", "refs/tags", "refs/heads")
    with pytest.raises(GitDeployError, match="was moved"):
        upgrade(sample, "v2.0.0")
    assert sample.git("for-each-ref", "refs/tags", "refs/heads") == before


# ---- other owners ----

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
NOBODY = 65534
FOREIGN = {
    "tracked files": ["VERSION", "docs/a.md"],
    "a folder": ["docs"],
    "folders of objects": [".git/objects/pack", ".git/objects"],
    "folders of refs": [".git/refs/tags"],
    "the index": [".git/index"],
    "HEAD": [".git/HEAD"],
    "a file to be deleted": ["docs/gone.md"],
    "the state": [".gitdeploy/stage"],
}


def as_nobody(sample: Sample, *words: str) -> Done:
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-m", "gitdeploy", *words],
        cwd=sample.app, env={**sample.environment, "HOME": str(sample.folder), "XDG_CONFIG_HOME": ""}, capture_output=True, text=True,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def nobodys() -> Iterator[Sample]:
    """A checkout of nobody's, where nobody can go."""
    needs.gitdeploy_for_others()
    with TemporaryDirectory(prefix="gitdeploy-nobodys-") as folder:
        Path(folder).chmod(0o755)
        yield checkout_of_nobodys(Sample(Path(folder), venv=False))


def checkout_of_nobodys(sample: Sample) -> Sample:
    named = SETTINGS + "hooks: {dir: hooks}\n"
    sample.release("v1.0.0", tree("1.0.0", named, **{"docs/a.md": "1\n", "docs/gone.md": "1\n"}))
    sample.release("v2.0.0", tree("2.0.0", named, **{"docs/a.md": "2\n"}))
    sample.install("v1.0.0")
    (sample.folder / ".gitconfig").write_text(
        f"[safe]\ndirectory = {sample.remote}/.git\ndirectory = {sample.remote}\n"
    )
    sample.extra_environment = {"GIT_CONFIG_GLOBAL": str(sample.folder / ".gitconfig")}
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", sample.app], check=True)
    assert as_nobody(sample, "backup").code == 0
    return sample


@needs_root
@pytest.mark.parametrize("names", FOREIGN.values(), ids=FOREIGN)
def test_what_root_left_is_found_before_anything_is_made_and_the_hint_mends_it(
    nobodys: Sample, names: list[str]
) -> None:
    for name in names:
        os.chown(nobodys.app / name, 0, 0)
        (nobodys.app / name).chmod(0o755 if (nobodys.app / name).is_dir() else 0o644)
    plan = as_nobody(nobodys, "plan", "v2.0.0")
    found = re.search(r"sudo (chown .*)", plan.text)
    assert found is not None, plan.text
    assert "can't be changed by nobody" in plan.text
    assert as_nobody(nobodys, "doctor").text.count(found[0]) == 1
    done = as_nobody(nobodys, "upgrade", "v2.0.0")
    assert done.code == 1
    assert "stage:" not in done.text
    subprocess.run(["sh", "-c", found[1]], check=True)
    done = as_nobody(nobodys, "upgrade", "v2.0.0")
    assert done.code == 0, done.text
    done = as_nobody(nobodys, "rollback", "--yes")
    assert done.code == 0, done.text


# ---- what can't be read ----


@needs_root
@pytest.mark.parametrize("name", ["VERSION", "docs/a.md", "docs", ".env", "deploy.yaml", "hooks", ".gitdeploy"])
def test_what_cannot_be_read_is_not_taken_for_what_is_not_there(nobodys: Sample, name: str) -> None:
    """Without rights: an error in words that names it, and nothing else."""
    place = nobodys.app / name
    if not place.exists():
        place.mkdir() if name == "hooks" else place.write_text("A=b\n" if name == ".env" else "greeting==1.0\n")
        if name == "hooks":
            (place / "pre-deploy").write_text("#!/bin/sh\n")
            (place / "pre-deploy").chmod(0o755)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", place], check=True)
    place.chmod(0)
    for words in (("plan", "v2.0.0"), ("upgrade", "v2.0.0")):
        done = as_nobody(nobodys, *words)
        assert "did not foresee" not in done.text
        assert "ermission denied" in done.text, done.text
        assert name.split("/", maxsplit=1)[0] in done.text
        if "upgrade" in words:
            assert done.code in (1, 2)
    place.chmod(0o755 if place.is_dir() else 0o644)
    assert (nobodys.app / "VERSION").read_text() == "1.0.0"


def test_requirements_that_cannot_be_read_are_not_none(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.install("v1.0.0")
    (sample.app / "requirements.txt").symlink_to("requirements.txt")  # a loop: even root can't follow it
    plan = App.open(sample.app).plan("v1.0.0")
    assert plan is not None
    reader = TargetFiles(App.open(sample.app).site.repository, sample.app, plan.goal, plan.checkout)
    with pytest.raises(DeploymentFailed, match=r"requirements.txt is a symbolic link"):
        reader.read("requirements.txt")


@pytest.mark.parametrize(
    ("line", "make", "blocks"),
    [
        ("hooks: {dir: our/hooks}", "mkdir -p our/hooks", False),
        ("env_file: settings.env", "touch settings.env", True),
    ],
)
def test_a_setting_that_names_what_is_not_there_is_said(sample: Sample, line: str, make: str, blocks: bool) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version, f"{SETTINGS}{line}\n"))
    sample.install("v1.0.0")
    plan = App.open(sample.app).plan("v2.0.0")
    assert plan is not None
    (said,) = [problem.message for problem in plan.problems] if blocks else plan.warnings
    assert "which isn't there" in said
    subprocess.run(make.split(), cwd=sample.app, check=True)
    upgrade(sample, "v2.0.0")


def test_a_release_whose_migrations_cannot_be_read_is_not_one_without(sample: Sample) -> None:
    files = {"app/migrations/0001_initial.py": "class Migration:\n    operations = []\n"}
    sample.release("v1.0.0", tree("1.0.0", **files))
    sample.release("v2.0.0", tree("2.0.0", **files, **{"app/migrations/0002_more.py": "class Migration:\n    pass\n"}))
    sample.install("v1.0.0")
    sample.git("fetch", "-q", "origin", "tag", "v2.0.0")
    lose(sample, "v2.0.0:app/migrations/0002_more.py")
    with pytest.raises(GitDeployError, match="missing"):
        App.open(sample.app).plan("v2.0.0")


def lose(sample: Sample, spec: str) -> None:
    """Take away the object that SPEC names, as a damaged disk or a wrong alternate does."""
    oid = sample.git("rev-parse", spec)
    for pack in (sample.app / ".git/objects/pack").glob("*.pack"):
        moved = sample.folder / pack.name
        shutil.move(pack, moved)
        for ending in (".idx", ".rev", ".promisor"):
            pack.with_suffix(ending).unlink(missing_ok=True)
        subprocess.run(["git", "unpack-objects", "-q"], cwd=sample.app, stdin=moved.open("rb"), check=True)
    (sample.app / ".git/objects" / oid[:2] / oid[2:]).unlink()


@pytest.mark.parametrize(
    "spec", ["v2.0.0:requirements.txt", "v2.0.0:VERSION", "v2.0.0^{tree}", "v2.0.0^{commit}", "v2.0.0:docs"]
)
def test_an_object_that_is_missing_is_an_error_and_not_a_file_that_is_not_there(sample: Sample, spec: str) -> None:
    more = {"docs/a.md": "x\n"}
    sample.release("v1.0.0", tree("1.0.0", **more, **{"requirements.txt": "greeting==1.0\n"}))
    sample.release("v2.0.0", tree("2.0.0", **{"docs/a.md": "y\n", "requirements.txt": "greeting==2.0\n"}))
    sample.install("v1.0.0")
    sample.git("fetch", "-q", "origin", "tag", "v2.0.0")
    lose(sample, spec)
    repository = App.open(sample.app).site.repository
    with pytest.raises(GitDeployError):
        repository.read_many(sample.git("rev-parse", "v2.0.0"), ["requirements.txt", "VERSION", "docs/a.md"])
    before = sample.state()
    done = sample.gitdeploy("upgrade", "v2.0.0", code=None)
    assert done.code in (1, 6), done.text
    assert "did not foresee" not in done.text
    assert differences(before, sample.state()) == []


def test_settings_that_cannot_be_read_are_an_error(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.install("v1.0.0")
    with (sample.app / ".git/config").open("a") as out:
        out.write("[broken\n")
    done = sample.gitdeploy("plan", "v1.0.0", code=None)
    assert done.code != 0
    assert "bad config line" in done.err


# ---- the folder is gone ----


def test_every_command_says_that_the_current_folder_is_gone(sample: Sample) -> None:
    sample.release("v1.0.0", tree("1.0.0"))
    sample.install("v1.0.0")
    gone = sample.folder / "gone"
    words = f'cd {gone} && rmdir {gone} && for each in {" ".join(COMMANDS)}; do {shlex.quote(sys.executable)} -m gitdeploy $each; echo "$each $?"; done'
    for command in (words, words.replace("gitdeploy $each", "gitdeploy -C sub $each")):
        gone.mkdir()
        done = subprocess.run(["sh", "-c", command], env=sample.environment, capture_output=True, text=True)
        assert done.stdout.split("\n")[:-1] == [f"{name} 2" for name in COMMANDS]
        assert done.stderr.count("The folder you are in is gone.") == len(COMMANDS)
    gone.mkdir()
    absolute = f"cd {gone} && rmdir {gone} && {shlex.quote(sys.executable)} -m gitdeploy -C {sample.app} status"
    done = subprocess.run(["sh", "-c", absolute], env=sample.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
