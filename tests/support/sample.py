"""A real app for tests: a git remote, a checkout, a venv and small wheels, all below one temporary folder.

sample = Sample(folder)
sample.wheel("greeting", "1.0")
sample.release("v1.0.0", {"app.py": "…", "bin/run": Program("#!/bin/sh\n"), "link": Link("app.py")})
sample.install("v1.0.0")
sample.gitdeploy("upgrade", "v1.1.0")          # a real process; its exit code must be 0 unless `code` says else
sample.state()                                   # everything that a user could lose, comparable
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from uv import find_uv_bin

from gitdeploy.demo import build_wheel
from gitdeploy.versions import read_version

from . import bounds, forking

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Link:
    """A symbolic link in a release."""

    to: str


@dataclass(frozen=True)
class Program:
    """An executable file in a release."""

    text: str


Content = str | bytes | Link | Program
Tree = Mapping[Any, Content]  # paths, text or bytes: a mapping of either is one
Files = dict[str | bytes, Content]  # one that is still written to


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def accepting(words: Sequence[str], keys: Sequence[str]) -> list[str]:
    """WORDS, with --accept-config for KEYS where they are of a command that has it."""
    takes = not {"upgrade", "prepare", "plan", "rehearse"}.isdisjoint(words)
    return [*words, *(word for key in keys if takes for word in ("--accept-config", key))]


@dataclass
class Sample:
    """One app with its remote."""

    folder: Path
    venv: bool = True
    extra_environment: dict[str, str] = field(default_factory=dict)
    accepts: tuple[str, ...] = ()  # pinned settings that the operator lets every release change

    def __post_init__(self) -> None:
        self.remote, self.app, self.wheels = (self.folder / name for name in ("remote", "app", "wheels"))
        self.wheels.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", str(self.remote), cwd=self.folder)
        self.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.remote)

    # ---- making it ----

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "PYTHONPATH": str(PROJECT),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "protocol.file.allow",
            "GIT_CONFIG_VALUE_0": "always",
            **self.extra_environment,
        }

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", "-c", "advice.detachedHead=false", "-c", "protocol.file.allow=always", *words],
            cwd=cwd or self.app,
            env=self.environment,
            capture_output=True,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def wheel(self, name: str, version: str, files: Mapping[str, str] | None = None) -> None:
        """A package whose module says its version, or that holds FILES."""
        build_wheel(self.wheels, name, version, files or {f"{name}.py": f"VERSION = {version!r}\n"})

    def real_wheels(self, *names: str) -> None:
        """Wheels of distributions that are installed for the tests, with all that they need."""
        for name in _closure(names):
            shutil.copy(_repacked(name), self.wheels)

    def release(
        self, tag: str, tree: Tree, *, message: str | None = None, branch: str = "main", in_order: bool = True
    ) -> str:
        """Commit exactly TREE to the remote and tag it; the commit. IN_ORDER: one that is older than others by its version
        is made on a branch of its own, from the release before it, so that history doesn't say otherwise."""
        back = self._branch_off(tag) if in_order else None
        for entry in self.remote.iterdir():
            if entry.name == ".git":
                continue
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        write_tree(self.remote, tree)
        self.git("add", "-A", "-f", cwd=self.remote)
        self.git("commit", "-q", "--allow-empty", "-m", f"Release {tag}", cwd=self.remote)
        self.git("tag", "-a", tag, "-m", message or f"Release {tag}", cwd=self.remote)
        commit = self.git("rev-parse", "HEAD", cwd=self.remote)
        if back is not None:
            self.git("checkout", "-q", "-f", back, cwd=self.remote)
        return commit

    def _branch_off(self, tag: str) -> str | None:
        """Go to the highest release below TAG, where there are higher ones; the branch to come back to."""
        version = read_version(tag)
        known = {name: read_version(name) for name in self.git("tag", cwd=self.remote).split()}
        if version is None or not any(other is not None and other > version for other in known.values()):
            return None
        back = self.git("symbolic-ref", "--short", "HEAD", cwd=self.remote)
        lower = {name: other for name, other in known.items() if other is not None and other < version}
        if lower:
            self.git("checkout", "-q", "-f", "--detach", max(lower, key=lambda name: lower[name]), cwd=self.remote)
        else:
            self.git("checkout", "-q", "-f", "--orphan", f"before-{len(known)}", cwd=self.remote)
        return back

    def install(self, tag: str, *, branch: str | None = None) -> None:
        """A checkout of TAG, detached or on BRANCH, with a plain venv made from its requirements."""
        self.git("init", "-q", "-b", "unused", str(self.app), cwd=self.folder)
        self.git("remote", "add", "origin", f"file://{self.remote}")
        self.git("fetch", "-q", "--no-tags", "origin", f"refs/tags/{tag}:refs/tags/{tag}")
        self.git("checkout", "-q", *(["-B", branch] if branch else ["--detach"]), tag)
        if self.venv:
            self.make_venv()

    def make_venv(self, place: Path | None = None) -> None:
        place = place or self.app / "venv"
        uv = find_uv_bin()
        self._run(uv, "venv", "-q", "--no-config", "-p", sys.executable, str(place))
        if (self.app / "requirements.txt").exists():
            self._run(
                uv, "pip", "install", "-q", "--no-config", "--no-index", "--find-links", str(self.wheels),
                "--link-mode", "copy", "-p", str(place / "bin/python"), "-r", "requirements.txt",
            )  # fmt: skip

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, cwd=self.app, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, (argv, done.stderr)

    # ---- as it was ----

    def keep(self, *, remote: bool = False) -> None:
        """Remember the app as it is now, and its REMOTE: what `reset` brings back."""
        shutil.copytree(self.app, self.folder / "pristine", symlinks=True)
        if remote:
            shutil.copytree(self.remote, self.folder / "pristine-remote", symlinks=True)

    def reset(self) -> None:
        """All is again as it was when it was kept."""
        for gone in self.folder.glob("gone-*"):
            shutil.rmtree(gone, ignore_errors=True)
        for place, kept in ((self.app, self.folder / "pristine"), (self.remote, self.folder / "pristine-remote")):
            if kept.exists():
                if place.exists():
                    # Renamed, and deleted the next time: what the test before started may still write there.
                    place.rename(self.folder / f"gone-{time.monotonic_ns()}")
                subprocess.run(["cp", "-a", str(kept), str(place)], check=True)

    # ---- using it ----

    def gitdeploy(
        self,
        *words: str,
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        before: Sequence[str] = (),
    ) -> Done:
        """Run gitdeploy in the checkout, as a user would. CODE None: any exit code will do. BEFORE: the words of a
        command that starts it (`unshare -n`)."""
        environment = {**self.environment, **(env or {})}
        words = tuple(accepting(words, self.accepts))
        if before or bounds.THOROUGH or not forking.can_fork(environment):
            done = subprocess.run(
                [*before, sys.executable, "-m", "gitdeploy", *words],
                cwd=self.app,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
            )
            ended = (done.returncode, done.stdout, done.stderr)
        else:
            ended = forking.run(words, cwd=self.app, env=environment, timeout=timeout)
        return self._ended(code, *ended)

    def _ended(self, code: int | None, ended: int, out: bytes, err: bytes) -> Done:
        done = Done(ended, *(_text(printed) for printed in (out, err)))
        assert code is None or done.code == code, f"exit code {done.code}, not {code}:\n{done.text}"
        assert "Traceback (most recent call last)" not in done.text, done.text
        return done

    def start(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start gitdeploy in a process group of its own and go on."""
        return subprocess.Popen(
            [sys.executable, "-m", "gitdeploy", *words],
            cwd=self.app,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
        )

    # ---- looking at it ----

    def state(self, *, venv_files: bool = True, refs: bool = True) -> dict[str, Any]:
        """Everything of the app's that a user could miss: files with modes, HEAD, branches, tags, index, the live venv."""
        links = sorted(folder_files(self.app, skip=(b".git", b".gitdeploy", b"venv")).items())
        return {
            "files": dict(links),
            "HEAD": (self.app / ".git/HEAD").read_text(),
            "status": self.git("status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignored=no"),
            "index": self.git("ls-files", "-s", "-v"),
            "branches": self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"),
            "locks": sorted(str(p.relative_to(self.app)) for p in (self.app / ".git").rglob("*.lock")),
            "venv": self.venv_state() if venv_files and self.venv else None,
            "packages": self.packages() if self.venv else None,
        }

    def packages(self) -> list[str]:
        """As `pip freeze` would list the live venv."""
        return installed(self.app / "venv")

    def venv_state(self) -> dict[bytes, tuple[Any, ...]]:
        """Each file of the live venv with its mode and content (but for bytecode, which Python itself writes)."""
        found = folder_files((self.app / "venv").resolve(), skip=(b"__pycache__",))
        return {path: facts for path, facts in found.items() if b"__pycache__" not in path}


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def write_tree(folder: Path, tree: Tree) -> None:
    """Write TREE below FOLDER."""
    base = os.fsencode(folder)
    for name, content in tree.items():
        path = base + b"/" + (os.fsencode(name) if isinstance(name, str) else name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, Link):
            os.symlink(content.to, path)
            continue
        text = content.text if isinstance(content, Program) else content
        with open(path, "wb") as out:
            out.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path, 0o755 if isinstance(content, Program) else 0o644)


def folder_files(folder: Path, *, skip: tuple[bytes, ...] = ()) -> dict[bytes, tuple[Any, ...]]:
    """Path -> (kind, permissions, content) of everything below FOLDER, top-level names SKIP left out; folders too."""
    base = os.fsencode(folder)
    found: dict[bytes, tuple[Any, ...]] = {}
    for place, folders, files in os.walk(base):
        if place == base:
            folders[:] = [name for name in folders if name not in skip]
            files = [name for name in files if name not in skip]
        folders[:] = [name for name in folders if name != b"__pycache__"]
        for name in files + [name for name in folders if os.path.islink(os.path.join(place, name))]:
            path = os.path.join(place, name)
            relative = path[len(base) + 1 :]
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode):
                found[relative] = ("link", os.readlink(path))
            else:
                with open(path, "rb") as file:
                    found[relative] = (
                        "file",
                        oct(facts.st_mode & 0o7777),
                        hashlib.sha256(file.read()).hexdigest()[:16],
                    )
        if place != base:
            found.setdefault(place[len(base) + 1 :], ("folder",))
    return found


def installed(venv: Path) -> list[str]:
    """name==version of every distribution of a venv."""
    names = [
        entry.name.removesuffix(".dist-info")
        for library in venv.glob("lib/python*/site-packages")
        for entry in library.glob("*.dist-info")
    ]
    return sorted(name.replace("-", "==", 1) for name in names)


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between two states, in words; empty where they are equal."""
    said = []
    for key in wanted:
        one, other = wanted[key], found[key]
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            said += [
                f"{key} {name!r}: {one.get(name)} -> {other.get(name)}"
                for name in sorted({*one, *other})
                if one.get(name) != other.get(name)
            ]
        else:
            said.append(f"{key}: {one!r} -> {other!r}")
    return said


# ---- real distributions as wheels, without an index ----


def _closure(names: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        for line in distribution(name).requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower().replace("_", "-"))
    return list(found)


@cache
def _repacked(name: str) -> Path:
    """The wheel of an installed distribution, packed again from its RECORD."""
    found = distribution(name)
    folder = Path(os.environ["HOME"]) / "repacked"
    folder.mkdir(exist_ok=True)
    wheel_text = found.read_text("WHEEL") or ""
    tags = [line.removeprefix("Tag: ").split("-") for line in wheel_text.splitlines() if line.startswith("Tag: ")]
    tag = "-".join(".".join(dict.fromkeys(column)) for column in zip(*tags, strict=True))  # py2.py3-none-any
    normal = found.metadata["Name"].replace("-", "_").lower()
    path = folder / f"{normal}-{found.version}-{tag}.whl"
    if path.exists():
        return path
    rows = []
    with zipfile.ZipFile(path.with_suffix(f".{os.getpid()}"), "w") as wheel:
        for file in found.files or []:
            text = str(file)
            if text.startswith("..") or text.endswith((".pyc", "INSTALLER", "REQUESTED", "direct_url.json", "RECORD")):
                continue
            content = Path(str(file.locate())).read_bytes()
            digest = hashlib.sha256(content).digest()
            rows.append(f"{text},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(content)}")
            wheel.writestr(text, content)
        record = next(str(file) for file in found.files or [] if str(file).endswith(".dist-info/RECORD"))
        wheel.writestr(record, "\n".join([*rows, f"{record},,"]) + "\n")
    path.with_suffix(f".{os.getpid()}").rename(path)
    return path
