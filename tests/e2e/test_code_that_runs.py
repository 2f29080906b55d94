"""The code that runs is the code that is there: no bytecode is taken for a file that it was not made from, forwards and on
the way back, and what a module leaves behind goes with it."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import shlex
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sample import Program, Sample, Tree, folder_files

from gitdeploy.checkout import times

MAIN = "import part\nprint(part.V)\n"
TAG = sys.implementation.cache_tag
SETTINGS = "app: {name: app}\nsource: {type: git}\nvenv: {path: null}\nhooks:\n  dir: ops\n  timeout: 20\n"


def tree(number: int, **more: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        ".gitignore": "__pycache__/\n*.pyc\n",
        "main.py": MAIN,
        "part.py": f"V = {number}\n",
        **more,
    }


@pytest.fixture
def app(tmp_path: Path) -> Sample:
    return Sample(tmp_path, venv=False, extra_environment={"PYTHONDONTWRITEBYTECODE": ""})


def says(sample: Sample, *options: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *options, "main.py"],
        cwd=sample.app,
        env={**sample.environment, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def assert_honest(folder: Path) -> None:
    """Every `.pyc` below FOLDER that Python would use is what compiling its source gives."""
    for path in folder.rglob("__pycache__/*.pyc"):
        source = path.parent.parent / (path.name.split(".")[0] + ".py")
        if f".{TAG}." not in path.name or not source.exists():
            continue
        data = path.read_bytes()
        _, flags, second, size = struct.unpack_from("<4sLLL", data)
        found = source.stat()
        if flags == 1 or (flags == 0 and (second, size) == (int(found.st_mtime), found.st_size)):
            optimised = int(path.name.split(".opt-")[1][0]) if ".opt-" in path.name else 0
            wanted = compile(source.read_bytes(), str(source), "exec", dont_inherit=True, optimize=optimised)
            assert marshal.loads(data[16:]) == wanted, path


def test_each_switch_and_each_way_back_runs_the_code_of_its_release(app: Sample) -> None:
    """Deployments as fast as they come, most within a second or two."""
    for number in (1, 2, 3):
        app.release(f"v{number}.0.0", tree(number))
    app.release(
        "v4.0.0", tree(4, **{"ops/build": Program(f"#!/bin/sh\n{shlex.quote(sys.executable)} main.py\nexit 1\n")})
    )
    app.install("v1.0.0")
    elsewhere = {"PYTHONPYCACHEPREFIX": str(app.folder / "caches")}

    def check(number: int) -> None:
        for options, env in (((), None), (("-O",), None), (("-OO",), None), ((), elsewhere)):
            assert says(app, *options, env=env) == str(number)
        assert_honest(app.app)

    check(1)
    for words, code, number in (
        (("upgrade", "v2.0.0"), 0, 2),
        (("upgrade", "v3.0.0"), 0, 3),
        (("rollback", "--yes"), 0, 2),
        (("upgrade", "v4.0.0"), 3, 2),
        (("upgrade", "v3.0.0"), 0, 3),
        (("upgrade", "v4.0.0"), 3, 3),
        (("rollback", "--yes"), 0, 2),
    ):
        app.gitdeploy(*words, code=code)
        check(number)


def test_a_staged_file_avoids_every_second_that_bytecode_beside_the_live_one_names(app: Sample) -> None:
    """Whichever interpreter wrote it: here one for each second of the next minute."""
    app.release("v1.0.0", tree(1))
    app.release("v2.0.0", tree(2))
    app.install("v1.0.0")
    caches = app.app / "__pycache__"
    caches.mkdir()
    now = int(time.time())
    code = marshal.dumps(compile("V = 'old'\n", "part.py", "exec"))
    named = range(now - 5, now + 60)
    for number, second in enumerate(named):
        header = struct.pack("<4sLLL", importlib.util.MAGIC_NUMBER, 0, second, len("V = 2\n"))
        (caches / f"part.cpython-{300 + number}.opt-{number % 3}.pyc").write_bytes(header + code)
    unchanged = (app.app / "main.py").stat().st_mtime_ns
    app.gitdeploy("upgrade", "v2.0.0")
    assert int((app.app / "part.py").stat().st_mtime) not in named
    assert (app.app / "main.py").stat().st_mtime_ns == unchanged
    assert app.git("status", "--porcelain") == ""


def test_bytecode_that_python_never_checks_goes_with_the_code_that_it_was_made_from(app: Sample) -> None:
    compiling = (
        f"#!/bin/sh\n{shlex.quote(sys.executable)} -m compileall -q --invalidation-mode unchecked-hash part.py\n"
        f"test $({shlex.quote(sys.executable)} main.py) != 3\n"
    )
    app.release("v1.0.0", tree(1))
    app.release("v2.0.0", tree(2))
    app.release("v3.0.0", tree(3, **{"ops/build": Program(compiling)}))
    app.install("v1.0.0")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(app.app / "part.py"), invalidation_mode=mode)
    app.gitdeploy("upgrade", "v2.0.0")
    assert says(app) == "2"
    app.gitdeploy("upgrade", "v3.0.0", code=3)
    assert says(app) == "2"


PLUGIN = {"plugins/__init__.py": "", "plugins/good/__init__.py": "x = 1\n"}
LISTING = (
    "import importlib, os\n"
    "for name in sorted(os.listdir('plugins')):\n"
    "    if os.path.isdir('plugins/' + name) and name != '__pycache__':\n"
    "        print(importlib.import_module('plugins.' + name).x)\n"
)


def with_plugins(number: int, **more: Any) -> Tree:
    return {**tree(number), **PLUGIN, "main.py": LISTING, **more}


def test_a_plugin_folder_that_a_release_deletes_is_gone_and_comes_back(app: Sample) -> None:
    app.release(
        "v1.0.0", with_plugins(1, **{"plugins/old/__init__.py": "x = 2\n", "plugins/old/deep/part.py": "y = 1\n"})
    )
    app.release("v2.0.0", with_plugins(2))
    app.install("v1.0.0")
    for options in ((), ("-O",)):
        assert says(app, *options) == "1\n2"
    py_compile.compile(str(app.app / "plugins/old/deep/part.py"))
    py_compile.compile(str(app.app / "plugins/old/__init__.py"), cfile=str(app.app / "plugins/old/__init__.pyc"))
    gone_module = app.app / "plugins/old/__pycache__/gone_long_ago.cpython-39.pyc"
    gone_module.write_bytes(b"")
    app.gitdeploy("upgrade", "v2.0.0")
    assert not (app.app / "plugins/old").exists()
    assert says(app) == "1"
    app.gitdeploy("rollback", "--yes")
    assert says(app) == "1\n2"


def test_a_plugin_folder_that_a_failed_release_had_brought_is_gone(app: Sample) -> None:
    failing = Program(f"#!/bin/sh\n{shlex.quote(sys.executable)} main.py; exit 1\n")
    app.release("v1.0.0", with_plugins(1))
    app.release("v2.0.0", with_plugins(2, **{"plugins/new/__init__.py": "x = 3\n", "ops/build": failing}))
    app.install("v1.0.0")
    assert says(app) == "1"
    before = folder_files(app.app, skip=(b".git", b".gitdeploy"))
    app.gitdeploy("upgrade", "v2.0.0", code=3)
    assert folder_files(app.app, skip=(b".git", b".gitdeploy")) == before
    assert says(app) == "1"


def test_files_of_the_users_keep_a_folder_that_a_release_deletes(app: Sample) -> None:
    app.release(
        "v1.0.0", with_plugins(1, **{"plugins/old/__init__.py": "x = 2\n", "plugins/odd/__init__.py": "x = 4\n"})
    )
    app.release("v2.0.0", with_plugins(2))
    app.install("v1.0.0")
    assert says(app) == "1\n4\n2"
    mine = [app.app / "plugins/old/notes.txt", app.app / "plugins/odd/__pycache__/notes.txt"]
    for file in mine:
        file.write_text("mine")
    own = app.app / "plugins/own.py"
    own.write_text("x = 9\n")
    compiled = Path(py_compile.compile(str(own)) or "")
    app.gitdeploy("upgrade", "v2.0.0")
    assert [file.read_text() for file in mine] == ["mine", "mine"]
    assert not (app.app / "plugins/old/__pycache__").exists()
    assert sorted(file.name for file in (app.app / "plugins/odd/__pycache__").iterdir()) == ["notes.txt"]
    assert compiled.exists()


def test_bytecode_that_a_release_tracks_is_its_own_business(app: Sample, tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text("V = 7\n")
    made = Path(py_compile.compile(str(tmp_path / "part.py"), cfile=str(tmp_path / "part.pyc")) or "").read_bytes()
    inside = f"lib/__pycache__/part.{TAG}.pyc"
    app.release("v1.0.0", {**tree(1), "lib/part.py": "V = 7\n", inside: made, "other/part.py": "V = 7\n"})
    app.release("v2.0.0", {**tree(2), inside: made, "other/part.pyc": made})  # without its source
    app.install("v1.0.0")
    for folder in ("lib", "other"):
        py_compile.compile(
            str(app.app / folder / "part.py"), cfile=str(app.app / folder / f"__pycache__/part.{TAG}.opt-1.pyc")
        )
    app.gitdeploy("upgrade", "v2.0.0")
    assert app.git("status", "--porcelain") == ""
    assert (app.app / inside).read_bytes() == made
    assert sorted(p.name for p in (app.app / "other").iterdir()) == ["part.pyc"]
    app.gitdeploy("rollback", "--yes")
    assert app.git("status", "--porcelain") == ""


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_with_bytecode_in_it_becomes_a_file_or_a_module(app: Sample, fails: bool) -> None:
    hook = {"ops/build": Program("#!/bin/sh\nexit 1\n")} if fails else {}
    app.release("v1.0.0", {**tree(1), "part.py": "from inner import V\n", "inner/__init__.py": "from inner.sub.a import V\n",
                           "inner/sub/a.py": "V = 1\n", "data/a.py": ""})  # fmt: skip
    app.release(
        "v2.0.0", {**tree(2), "part.py": "from inner import V\n", "inner.py": "V = 2\n", "data": "text", **hook}
    )
    app.install("v1.0.0")
    assert says(app) == "1"
    py_compile.compile(str(app.app / "data/a.py"))
    app.gitdeploy("upgrade", "v2.0.0", code=3 if fails else 0)
    assert says(app) == ("1" if fails else "2")
    assert (app.app / "data").is_dir() == (app.app / "inner").is_dir() == fails
    assert app.git("status", "--porcelain") == ""
    if not fails:
        app.gitdeploy("rollback", "--yes")
        assert says(app) == "1"


STEPS = st.lists(
    st.tuples(st.sampled_from(("switch", "fail", "delete", "edit")), st.integers(0, 1)), min_size=2, max_size=30
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_no_two_contents_of_a_path_ever_have_the_same_second(steps: list[tuple[str, int]]) -> None:
    """Any history of switches, undone ones and edits of one path, all contents of one size, in the same few seconds."""
    with tempfile.TemporaryDirectory() as place:
        live, new, newest = Path(place, "live"), Path(place, "new"), times.Newest(Path(place, "newest"))
        clock = int(time.time())
        seen: dict[int, int] = {}

        def put(content: int) -> None:
            second = int(live.stat().st_mtime)
            assert seen.setdefault(second, content) == content, (second, seen)

        def write(path: Path, content: int) -> None:
            path.write_text(f"{content:04}")
            os.utime(path, (clock, clock))

        write(live, 0)
        put(0)
        for content, (step, passed) in enumerate(steps, 1):
            clock += passed
            if step == "delete":
                if live.exists():
                    newest.keep(int(live.stat().st_mtime))
                    live.unlink()
                continue
            if step == "edit":
                clock = max(clock, *seen) + 1  # a person is slower
                write(live, content)
                put(content)
                continue
            write(new, content)
            before = int(live.stat().st_mtime) if live.exists() else None
            times.make_newer(os.fsencode(new), [newest.read(), *([] if before is None else [before])])
            after = int(new.stat().st_mtime)
            newest.keep(max(after, before or 0))
            old = live.read_text() if before is not None else None
            os.rename(live, Path(place, "old")) if old is not None else None
            os.rename(new, live)
            put(content)
            if step == "fail":
                live.unlink()
                if old is not None and before is not None:
                    times.make_newer(os.fsencode(Path(place, "old")), [before, after])
                    os.rename(Path(place, "old"), live)
                    put(int(old))


def test_a_file_system_that_keeps_times_by_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As FAT does, which can't be had here without root's mounts: a time that is set is rounded down."""
    real = os.utime
    monkeypatch.setattr(os, "utime", lambda path, ns, **more: real(path, ns=(ns[0], ns[1] // 2**31 * 2**31), **more))
    file = tmp_path / "part.py"
    file.write_text("V = 1\n")
    earlier = [int(time.time()) + more for more in (-1, 0, 1, 2)]
    times.make_newer(os.fsencode(file), earlier)
    found = int(file.stat().st_mtime)
    assert found not in earlier
    assert found > int(time.time()) - 1
