"""Checkouts that are not quite plain: line ends, submodules, files hidden from git, odd names, a foreign owner, huge blobs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import needs
from support.sample import Done, Sample, Tree, differences

from gitdeploy import App
from gitdeploy.deployment.plan.options import Options

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


def tree(version: str, **more: Any) -> Tree:
    return {"deploy.yaml": SETTINGS, "VERSION": version, **more}


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    made = Sample(tmp_path, venv=False)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def upgrade(sample: Sample, tag: str, **options: Any) -> None:
    App.open(sample.app).upgrade(tag, Options(**options))


def back(sample: Sample) -> None:
    App.open(sample.app).restore("latest")


def test_line_ends_of_an_unchanged_gitattributes_are_kept_to(sample: Sample) -> None:
    for version in ("1.0.0", "2.0.0"):
        attributes = {".gitattributes": "*.bat text eol=crlf\n"}
        sample.release(f"v{version}", {**tree(version), **attributes, "start.bat": f"echo {version}\n"})
    sample.install("v1.0.0")
    before = sample.state()
    upgrade(sample, "v2.0.0")
    assert (sample.app / "start.bat").read_bytes() == b"echo 2.0.0\r\n"
    assert sample.git("status", "--porcelain") == ""
    back(sample)
    assert differences(before, sample.state()) == []


def test_a_filter_that_writes_something_else_stops_the_release(sample: Sample) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", {**tree(version), ".gitattributes": "*.txt filter=odd\n", "a.txt": version})
    sample.install("v1.0.0")
    sample.git("config", "filter.odd.smudge", "echo something else")
    before = sample.state()
    with pytest.raises(Exception, match=r"a\.txt was written with other bytes"):
        upgrade(sample, "v2.0.0")
    assert differences(before, sample.state()) == []


# ---- hidden from git ----


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_an_edit_that_git_was_told_to_overlook_is_seen_kept_and_still_overlooked(sample: Sample, flag: str) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version, **{"conf": f"conf of {version}\n"}))
    sample.install("v1.0.0")
    sample.git("update-index", flag, "conf")
    (sample.app / "conf").write_text("mine\n")
    before = sample.state()
    assert sample.git("status", "--porcelain") == "", "git itself doesn't see it"
    with pytest.raises(Exception, match="1 tracked file changed locally: conf"):
        upgrade(sample, "v2.0.0")
    assert differences(before, sample.state()) == []
    upgrade(sample, "v2.0.0", local_changes="discard")
    assert (sample.app / "conf").read_text() == "conf of 2.0.0\n"
    back(sample)
    after = sample.state()
    assert differences({**before, "index": ""}, {**after, "index": ""}) == []
    assert (
        "S 100644" in after["index"] or after["index"] == before["index"]
    )  # assumed unchanged: marked the stronger way


# ---- submodules ----


@pytest.fixture
def modular(sample: Sample) -> Sample:
    """v1.0.0 and v2.0.0 have other commits of vendor/lib; v3.0.0 has it no more; v4.0.0 brings vendor/new as well."""
    libraries = {}
    for name in ("lib", "new"):
        library = sample.folder / name
        sample.git("init", "-q", "-b", "main", str(library), cwd=sample.folder)
        for number in ("one", "two"):
            (library / "code.py").write_text(f"{name} {number}\n")
            sample.git("add", "code.py", cwd=library)
            sample.git("commit", "-q", "-m", number, cwd=library)
            libraries[name, number] = sample.git("rev-parse", "HEAD", cwd=library)
    releases = {
        "v1.0.0": [("lib", "one")],
        "v2.0.0": [("lib", "two")],
        "v3.0.0": [],
        "v4.0.0": [("lib", "two"), ("new", "one")],
    }
    for tag, parts in releases.items():
        text = "".join(f'[submodule "{name}"]\n\tpath = vendor/{name}\n\turl = ../{name}\n' for name, _ in parts)
        sample.release(tag, tree(tag, **({".gitmodules": text} if text else {})))
        for part in parts:
            sample.git(
                "update-index", "--add", "--cacheinfo", f"160000,{libraries[part]},vendor/{part[0]}", cwd=sample.remote
            )
        sample.git("commit", "-q", "--amend", "--no-edit", "--allow-empty", cwd=sample.remote)
        sample.git("tag", "-f", "-a", "-m", tag, tag, cwd=sample.remote)
        sample.git("rm", "-q", "--cached", "--ignore-unmatch", "vendor/lib", "vendor/new", cwd=sample.remote)
    sample.install("v1.0.0")
    sample.git("submodule", "update", "-q", "--init")
    return sample


def code(sample: Sample, name: str) -> str | None:
    file = sample.app / "vendor" / name / "code.py"
    return file.read_text() if file.exists() else None


def test_submodules_follow_the_release_and_come_back(modular: Sample) -> None:
    before = modular.state()
    assert code(modular, "lib") == "lib one\n"
    for tag, lib, new in (("v2.0.0", "lib two\n", None), ("v3.0.0", None, None), ("v4.0.0", "lib two\n", "new one\n")):
        upgrade(modular, tag)
        assert (code(modular, "lib"), code(modular, "new")) == (lib, new), tag
        assert modular.git("status", "--porcelain") == ""
        back(modular)
        assert differences(before, modular.state()) == []
    for name in ("lib", "new"):
        assert (code(modular, name) is None) == (name == "new")


def test_an_edit_inside_a_submodule_is_a_local_change(modular: Sample) -> None:
    (modular.app / "vendor/lib/code.py").write_text("mine\n")
    before = modular.state()
    with pytest.raises(Exception, match=r"vendor/lib.*code\.py"):
        upgrade(modular, "v2.0.0")
    assert differences(before, modular.state()) == []
    upgrade(modular, "v2.0.0", local_changes="discard")
    back(modular)
    assert code(modular, "lib") == "mine\n"


# ---- odd inputs ----


def test_file_names_in_latin_1_go_live_are_shown_and_come_back(sample: Sample) -> None:
    name = "caf\xe9 \xfc.txt".encode("latin-1")
    sample.release("v1.0.0", tree("1.0.0"))
    sample.release("v2.0.0", {**tree("2.0.0"), name: "new"})
    sample.install("v1.0.0")
    (sample.app / os.fsdecode(b"untracked \xff")).write_text("mine")
    before = sample.state()
    assert "caf\\xe9 \\xfc.txt" in sample.gitdeploy("plan", "v2.0.0").out
    assert json.loads(sample.gitdeploy("plan", "v2.0.0", "--json").out)["files"]["added"] == ["caf\\xe9 \\xfc.txt"]
    upgrade(sample, "v2.0.0")
    assert (os.fsencode(sample.app) + b"/" + name, b"new") == (
        os.fsencode(sample.app) + b"/" + name,
        (sample.app / os.fsdecode(name)).read_bytes(),
    )
    back(sample)
    assert differences(before, sample.state()) == []


def test_a_blob_of_200_mb_does_not_pass_through_memory(sample: Sample) -> None:
    """Its limit of memory is far below the file's size, git's own processes aside, which stream it."""
    sample.release("v1.0.0", tree("1.0.0"))
    big = sample.remote / "big.bin"
    with big.open("wb") as out:
        out.truncate(200 << 20)
    sample.git("-c", "core.compression=1", "add", "big.bin", cwd=sample.remote)
    sample.git("commit", "-q", "-m", "Release v2.0.0", cwd=sample.remote)
    sample.git("tag", "v2.0.0", cwd=sample.remote)
    big.unlink()
    sample.install("v1.0.0")
    before = sample.state()
    measured = """
import runpy, sys
sys.argv = ["gitdeploy", *sys.argv[1:]]
try:
    runpy.run_module("gitdeploy", run_name="__main__")
finally:  # not of getrusage, whose figure is also that of the process which started this one
    print("peak", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    for words in (("upgrade", "v2.0.0"), ("rollback", "--yes")):
        done = subprocess.run(
            [sys.executable, "-c", measured, *words], cwd=sample.app, env=sample.environment, capture_output=True, text=True
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        peak = int(done.stdout.rsplit("peak ", 1)[1])  # kB
        assert peak < 120_000, (words, peak)
        if words[0] == "upgrade":
            assert (sample.app / "big.bin").stat().st_size == 200 << 20
    assert differences(before, sample.state()) == []


def test_loaders_and_interpreters_variables_of_the_caller_reach_no_git(sample: Sample, tmp_path: Path) -> None:
    for version in ("1.0.0", "2.0.0"):
        sample.release(f"v{version}", tree(version))
    sample.install("v1.0.0")
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(f"open({str(trap / 'ran')!r}, 'a').write('x')\n")
    shim = trap / "git"
    shim.write_text(f'#!/bin/sh\nenv > {trap}/environment\nexec /usr/bin/git "$@"\n')
    shim.chmod(0o755)
    environment = {
        "LD_PRELOAD": str(trap / "nothing.so"), "LD_LIBRARY_PATH": str(trap), "LD_AUDIT": str(trap / "nothing.so"),
        "PYTHONHOME": "/nonexistent", "VIRTUAL_ENV": str(trap), "BASH_ENV": str(trap / "bashrc"), "GIT_SSH_COMMAND": f"touch {trap}/ssh",
        "GIT_EXEC_PATH": str(trap), "PERL5LIB": str(trap), "PATH": f"{trap}:/usr/bin:/bin",
    }  # fmt: skip
    code = (
        "import os, sys; from gitdeploy.system import environment\n"
        f"os.environ.update({environment!r})\n"
        "print(sorted(environment.clean_environment()))\n"
        "from gitdeploy import App; App.open('.').upgrade('v2.0.0'); App.open('.').restore('latest')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sample.app, env=sample.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nothing.so" not in done.stderr, "ld.so says so in every process that it reaches"
    assert not set(environment) - {"PATH"} & set(json.loads(done.stdout.splitlines()[0].replace("'", '"')))
    assert sorted(path.name for path in trap.iterdir()) == ["git", "sitecustomize.py"]


@needs.another_user
def test_a_repository_of_a_foreign_user_is_one_sentence_and_not_touched(sample: Sample) -> None:
    needs.gitdeploy_for_others()
    sample.release("v1.0.0", tree("1.0.0"))
    sample.install("v1.0.0")
    before = sample.state()
    for folder in (sample.folder, *sample.folder.parents):
        if folder.owner() == "root" and folder != Path("/") and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    done = as_nobody(sample, "upgrade", "v1.0.0")
    assert done.code == 1
    assert "belongs to root, and you are nobody" in done.err
    assert re.search(r"sudo .*gitdeploy \w", done.err)
    assert "dubious" not in done.err
    assert differences(before, sample.state()) == []


def as_nobody(sample: Sample, *words: str) -> Done:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "gitdeploy", *words],
        cwd=sample.app, env=sample.environment, capture_output=True, text=True,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)
