"""Venv generations: cloned beside the live one, installed into, verified, flipped; the live one is never touched."""

from __future__ import annotations

import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.sample import folder_files, installed
from uv import find_uv_bin

from gitdeploy import venvs
from gitdeploy.config import VenvConfig
from gitdeploy.demo import build_wheel
from gitdeploy.errors import DeploymentFailed
from gitdeploy.venvs import Builder, Built, LiveVenv, Requirements, live_venv, read_requirements
from gitdeploy.venvs import flip as flips
from gitdeploy.venvs.bytecode import told_apart
from gitdeploy.venvs.clone import clone
from gitdeploy.venvs.live import ask


@dataclass(frozen=True)
class Tree:
    """A release's files, for whoever reads requirements."""

    files: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        return self.files[path].encode() if path in self.files else None

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        for name, text in self.files.items():
            if paths is None or name in paths:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)

    def tree_id(self, path: str) -> str | None:
        return None


@dataclass
class Place:
    """An app's folder with a plain venv that has greeting 1.0."""

    root: Path
    wheels: Path
    config: VenvConfig = VenvConfig(path="venv", requirements=("requirements.txt",))  # noqa: RUF009  # frozen

    @property
    def link(self) -> Path:
        return self.root / "venv"

    @property
    def state(self) -> Path:
        return self.root / ".gitdeploy"

    def live(self) -> LiveVenv:
        found = live_venv(self.link, self.state / "venvs")
        assert found is not None
        return found

    def wanted(self, files: Mapping[str, str]) -> Requirements:
        return read_requirements(Tree(files), self.config, self.live())

    def build(self, name: str, text: str, *, rebuild: bool = False, more: Mapping[str, str] | None = None) -> Built:
        files = {**(more or {}), "requirements.txt": text}
        return Builder(self.root, self.state, self.config).build(
            name, self.live(), self.wanted(files), Tree(files), on_line=lambda _: None, on_progress=lambda _: None,
            rebuild=rebuild,
        )  # fmt: skip

    def go_live(self, name: str) -> flips.Flip:
        flip = venvs.plan_flip(self.live(), name, self.state / "venvs", adopted="first")
        assert flip is not None
        flips.apply(flip)
        return flip


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("venvs")
    wheels = folder / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        build_wheel(wheels, "greeting", version, {"greeting.py": f"VERSION = {version!r}\n"})
    build_wheel(wheels, "extra", "1.0", {"extra/__init__.py": "", "extra/data.txt": "x" * 50_000})
    root = folder / "pristine"
    root.mkdir()
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--no-config", "-p", sys.executable, str(root / "venv")], check=True)
    subprocess.run(
        [uv, "pip", "install", "-q", "--no-config", "--no-index", "--find-links", str(wheels), "--link-mode", "copy",
         "-p", str(root / "venv/bin/python"), "greeting==1.0", "extra"],
        check=True,
    )  # fmt: skip
    return Place(root, wheels)


@pytest.fixture
def place(once: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    root = tmp_path / "app"
    subprocess.run(["cp", "-a", str(once.root), str(root)], check=True)
    (root / ".gitdeploy/venvs").mkdir(parents=True)
    (root / ".gitdeploy/cache").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(once.wheels))
    return Place(root, once.wheels)


def said(venv: Path, code: str = "import greeting; print(greeting.VERSION)") -> str:
    return subprocess.run([venv / "bin/python", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_plain_venv_is_adopted_by_one_exchange_and_given_back_by_the_same(place: Place) -> None:
    before = folder_files(place.link)
    built = place.build("g2", "greeting==2.0\n")
    assert built.changes.changed == {"greeting": ("1.0", "2.0")}
    assert folder_files(place.link) == before, "the live venv was not touched"
    flip = place.go_live("g2")
    assert place.link.is_symlink()
    assert said(place.link) == "2.0"
    assert said(place.link, "import extra; print('there')") == "there", "what was installed by hand survives"
    flips.apply(flip)  # twice is once
    flips.undo(flip)
    flips.undo(flip)
    assert not place.link.is_symlink()
    assert folder_files(place.link) == before


@pytest.mark.parametrize("mode", ["auto", "hardlink", "reflink", "copy"])
def test_every_way_of_cloning_gives_the_same_venv(place: Place, mode: str) -> None:
    place.config = replace(place.config, link_mode=mode)
    built = place.build("g2", "greeting==2.0\n")
    assert installed(built.path) == ["extra==1.0", "greeting==2.0"]
    shared = next(built.path.glob("lib/python*/site-packages/extra/data.txt"))
    if mode in ("auto", "hardlink"):
        assert shared.stat().st_nlink == 2
    else:
        assert shared.stat().st_nlink == 1
    assert said(built.path, "import sys; print(sys.prefix)") == os.path.realpath(built.path)


def test_a_clone_can_be_asked_before_its_packages_are_there_and_nothing_is_written_into_it(place: Place) -> None:
    site = next(place.link.glob("lib/python*/site-packages"))
    (site / "loud.pth").write_text("import greeting, extra\n")
    subprocess.run(["find", str(site), "-name", "__pycache__", "-exec", "rm", "-r", "{}", "+"], check=True)
    target = place.state / "venvs/g2"
    seen: list[object] = []

    def look() -> None:
        seen.append(ask(target / "bin/python").prefix)
        seen.append(
            [path.name for path in target.rglob("*") if path.name in ("extra", "__pycache__", "extra-1.0.dist-info")]
        )

    clone(place.live().real, target, on_start=look)
    assert seen == [os.path.realpath(target), ["extra-1.0.dist-info"]]
    assert said(target, "import extra; print('there')") == "there"
    assert place.build("g3", "greeting==2.0\n").changes.changed == {"greeting": ("1.0", "2.0")}


def test_a_failing_install_throws_the_clone_away(place: Place) -> None:
    before = folder_files(place.link)
    with pytest.raises(DeploymentFailed) as caught:
        place.build("g2", "no-such-package==9\n")
    assert "no-such-package" in caught.value.message
    assert [path.name for path in (place.state / "venvs").iterdir()] == []
    assert folder_files(place.link) == before


def test_equal_requirements_reuse_the_live_generation(place: Place) -> None:
    place.build("g2", "greeting==2.0\n")
    place.go_live("g2")
    same = place.wanted({"requirements.txt": "greeting==2.0\n"})
    assert venvs.matching(same, place.live()) == "g2"
    assert venvs.matching(place.wanted({"requirements.txt": "greeting==1.0\n"}), place.live()) is None
    assert venvs.matching(place.wanted({"requirements.txt": "greeting==2.0\n# a word\n"}), place.live()) is None


def test_requirements_with_includes_markers_and_constraints(place: Place) -> None:
    place.config = replace(place.config, constraints=("limits.txt",))
    files = {
        "requirements.txt": "-r more/base.txt\nnothing-here; python_version < '3'\n",
        "more/base.txt": "greeting\n",
        "limits.txt": "greeting<2\n",
    }
    wanted = place.wanted(files)
    assert set(wanted.files) == set(files)
    built = place.build("g2", files["requirements.txt"], more=files)
    assert "greeting==1.0" in installed(built.path)


@pytest.mark.parametrize("include", ["../../etc/passwd", "/etc/passwd", "http://127.0.0.1:9/r.txt"])
def test_an_include_that_leaves_the_release_is_refused(place: Place, include: str) -> None:
    wanted = place.wanted({"requirements.txt": f"-r {include}\n"})
    assert wanted.problems
    assert "root:" not in " ".join(wanted.problems)


@pytest.mark.parametrize("option", ["--index-url ", "--index-url=", "-i", "--extra-i ", "--find-l=", "--trusted evil "])
def test_index_options_of_a_release_are_seen_also_cut_short(place: Place, option: str) -> None:
    text = f"{option}https://evil.example/simple\ngreeting\n"
    assert place.wanted({"requirements.txt": text}).index_options


def test_an_include_by_an_option_cut_short_is_seen(place: Place) -> None:
    assert place.wanted({"requirements.txt": "--requirem ../../etc/passwd\n"}).problems


def test_what_no_line_pins_is_told_apart_from_what_one_does(place: Place) -> None:
    text = (
        "greeting>=1,<3\nextra\npinned==1.0\nelsewhere ; sys_platform == 'win32'\nleft==1 ; sys_platform == 'win32'\n"
    )
    wanted = place.wanted({"requirements.txt": text})
    assert wanted.unpinned == {"greeting": "<3,>=1", "extra": ""}
    assert wanted.pins == {"pinned": "1.0"}


def test_hashes_are_required_of_all_where_one_line_has_one(place: Place) -> None:
    wheel = next(place.wheels.glob("greeting-2.0*"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    built = place.build("good", f"greeting==2.0 --hash=sha256:{digest}\n")
    assert "greeting==2.0" in installed(built.path)
    with pytest.raises(DeploymentFailed):
        place.build("bad", f"greeting==2.0 --hash=sha256:{'0' * 64}\n", rebuild=True)


def test_an_editable_install_of_the_app_itself_names_the_checkout(place: Place) -> None:
    project = '[project]\nname = "myapp"\nversion = "1"\n[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    wanted = place.wanted({"requirements.txt": "-e .\n", "pyproject.toml": project})
    assert wanted.needs_tree


@pytest.mark.parametrize("wrong", ["gone", "other version", "no pyvenv.cfg"])
def test_a_venv_whose_interpreter_is_gone_or_changed_is_said_and_rebuilt(place: Place, wrong: str) -> None:
    python = place.link / "bin/python"
    if wrong == "gone":
        python.unlink()
        python.symlink_to("/usr/bin/python9.9")
    elif wrong == "other version":
        library = next((place.link / "lib").glob("python3*"))
        library.rename(library.with_name("python3.4"))
    else:
        (place.link / "pyvenv.cfg").unlink()
    problem = place.live().problem
    assert problem is not None
    assert {"gone": "which is gone", "other version": "made for Python 3.4", "no pyvenv.cfg": "no pyvenv.cfg"}[
        wrong
    ] in problem
    if wrong == "gone":
        place.config = replace(place.config, python=sys.executable)
    built = place.build("g2", "greeting==2.0\n")
    assert said(built.path) == "2.0"
    assert any("built anew" in warning for warning in built.warnings)


def test_a_venv_outside_the_checkout(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    place.link.rename(outside)
    live = live_venv(outside, place.state / "venvs")
    assert live is not None
    files = {"requirements.txt": "greeting==2.0\n"}
    config = replace(place.config, path=str(outside))
    Builder(place.root, place.state, config).build(
        "g2", live, read_requirements(Tree(files), config, live), Tree(files), on_line=lambda _: None, on_progress=lambda _: None
    )  # fmt: skip
    flip = venvs.plan_flip(live, "g2", place.state / "venvs", adopted="first")
    assert flip is not None
    flips.apply(flip)
    assert said(outside) == "2.0"
    flips.undo(flip)
    assert said(outside.resolve(), "print('whole')") == "whole"


def test_a_generation_that_a_process_runs_from_is_seen(place: Place) -> None:
    built = place.build("g2", "greeting==2.0\n")
    running = subprocess.Popen(
        [built.path / "bin/python", "-c", "input('here\\n')"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        running.stdout.readline()  # before that the kernel may still be giving it its command line
        assert running.pid in venvs.in_use(built.path)
    finally:
        running.communicate(b"\n", timeout=20)
    assert venvs.in_use(built.path) == []


def test_a_file_written_in_place_is_noticed_by_the_seal(place: Place) -> None:
    built = place.build("g2", "greeting==2.0\n")
    assert venvs.differences(built.path) == []
    file = next(built.path.glob("lib/python*/site-packages/greeting.py"))
    (file.parent / "__pycache__/greeting.f-1.py311.nbi").write_text("what numba compiled as the app ran")
    assert venvs.differences(built.path) == []
    with file.open("a") as out:
        out.write("# edited\n")
    assert [Path(name).name for name in venvs.differences(built.path)] == ["greeting.py"]


def test_the_disk_estimate_follows_the_size_of_what_is_copied(place: Place) -> None:
    linked, copied = (
        Builder(place.root, place.state, replace(place.config, link_mode=mode)).disk_needed(place.live(), (), ())
        for mode in ("hardlink", "copy")
    )
    assert linked + 48_000 < copied < linked + 10_000_000
    more = Builder(place.root, place.state, place.config).disk_needed(place.live(), ("greeting",), ("new",))
    assert more > linked
    site = next(place.link.glob("lib/python*/site-packages"))
    (site / "by_hand").mkdir()  # no RECORD lists it: it is copied, and compiled code with it
    (site / "by_hand/__init__.py").write_text("#" * 1_000_000)
    unlisted = Builder(place.root, place.state, replace(place.config, link_mode="hardlink")).disk_needed(
        place.live(), (), ()
    )
    assert linked + 2_000_000 < unlisted


@pytest.mark.parametrize("kind", ["by time", "unchecked hash"])
def test_bytecode_of_an_old_package_is_not_taken_for_a_new_one_of_the_same_size_and_second(
    tmp_path: Path, kind: str
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, text in ((old, "V = 1\n"), (new, "V = 2\n")):
        folder.mkdir()
        (folder / "part.py").write_text(text)
        os.utime(folder / "part.py", (1_000_000_000, 1_000_000_000))
    mode = py_compile.PycInvalidationMode[{"by time": "TIMESTAMP", "unchecked hash": "UNCHECKED_HASH"}[kind]]
    for level in (0, 1, 2):
        py_compile.compile(str(old / "part.py"), invalidation_mode=mode, optimize=level)
    shutil.copytree(old / "__pycache__", new / "__pycache__", copy_function=os.link)
    kept = (new / "part.py").stat()
    os.link(new / "part.py", tmp_path / "in-a-cache")
    told_apart(old, new, ["part.py"])
    for options in ((), ("-O",), ("-OO",)):
        done = subprocess.run(
            [sys.executable, *options, "-c", "import part; print(part.V)"], cwd=new, capture_output=True
        )
        assert done.stdout == b"2\n"
    assert (tmp_path / "in-a-cache").stat().st_mtime_ns == kept.st_mtime_ns
