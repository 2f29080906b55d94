"""The app that is measured: its remote with a history, its checkout, its venv; made once, put back before every round."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from bench.packages import Packages, fill

OLD, NEW, NEXT = "v1.0.0", "v1.1.0", "v1.2.0"
SETTINGS = "app: {name: bench}\nsource: {type: git}\nvenv: {path: venv, requirements: [requirements.txt]}\n"


@dataclass(frozen=True)
class Shape:
    """How large the app is: tracked files, tags, files that each of the last two releases changes, megabytes of venv."""

    files: int = 2000
    tags: int = 300
    changed: int = 100
    megabytes: int = 0  # 0: what the packages need

    @property
    def name(self) -> str:
        return f"{self.files}-{self.tags}-{self.changed}-{self.megabytes}"


class App:
    """`site` is the checkout, always at the same place; states are kept beside it and copied there."""

    def __init__(self, cache: Path, shape: Shape, packages: Packages) -> None:
        self.shape, self.packages = shape, packages
        self.folder = cache / f"app-{shape.name}-{'real' if packages.real else 'made'}"
        self.remote, self.run, self.states = self.folder / "remote.git", self.folder / "run", self.folder / "states"
        self.site = self.run / "site"
        self.environment = self._environment(cache)
        shutil.rmtree(self.states, ignore_errors=True)  # made by the gitdeploy that is measured
        shutil.rmtree(self.run, ignore_errors=True)
        if not (self.folder / "complete").exists():
            self._make()

    def _environment(self, cache: Path) -> dict[str, str]:
        drop = ("PYTHON", "PIP_", "UV_", "GIT_", "VIRTUAL_ENV")
        (cache / "home").mkdir(parents=True, exist_ok=True)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(drop)},
            "HOME": str(cache / "home"), "LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
            "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.packages.wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_CONFIG": "1", "UV_NO_INDEX": "1", "UV_OFFLINE": "1",
            "UV_FIND_LINKS": str(self.packages.wheels), "UV_CACHE_DIR": str(cache / "uv"),
        }  # fmt: skip

    def call(self, *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
        """Run a command that must succeed; what it printed."""
        done = subprocess.run(
            words, cwd=cwd or (self.site if self.site.exists() else self.folder), env=self.environment, input=stdin,
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(
                f"{[str(word) for word in words]} exited {done.returncode}:\n{(done.stdout + done.stderr).decode()[-2000:]}"
            )
        return done.stdout

    # ---- made once ----

    def _make(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.run.mkdir(parents=True)
        self.call("git", "init", "-q", "--bare", self.remote)
        self.call("git", "fast-import", "--quiet", cwd=self.remote, stdin="".join(self._history(last=False)).encode())
        self.call("git", "gc", "-q", cwd=self.remote)
        self.call(
            "git", "clone", "-q", "-c", "advice.detachedHead=false", "--branch", OLD, f"file://{self.remote}", self.site
        )
        self.call("git", "fast-import", "--quiet", cwd=self.remote, stdin="".join(self._history(last=True)).encode())
        self.call(sys.executable, "-m", "venv", self.site / "venv")
        self.call(
            find_uv_bin(), "pip", "install", "-q", "--link-mode", "copy", "--compile-bytecode",
            "--python", "venv/bin/python", "-r", "requirements.txt",
        )  # fmt: skip
        for versions in (self.packages.new,):  # so that uv's cache is warm for every way
            self.call(find_uv_bin(), "venv", "-q", "-p", sys.executable, self.folder / "warm")
            self.call(
                find_uv_bin(), "pip", "install", "-q", "--python", self.folder / "warm/bin/python",
                *(f"{name}=={version}" for name, version in versions.items()),
            )  # fmt: skip
            shutil.rmtree(self.folder / "warm")
        site = next((self.site / "venv").glob("lib/python*/site-packages"))
        fill(site, self.shape.megabytes, sum(file.lstat().st_size for file in (self.site / "venv").rglob("*")))
        self.run.rename(self.folder / "base")
        (self.folder / "complete").write_text(json.dumps(vars(self.shape)))

    def _history(self, *, last: bool) -> Iterator[str]:
        """A git-fast-import stream: all releases but the last two, or those two with `changed` files each."""
        shape = self.shape
        rng = random.Random(f"{shape.name} {last}")

        def body(at: int, release: str) -> str:
            return "".join(f"value_{n}_{rng.getrandbits(40)} = {at}, {release!r}\n" for n in range(20 + at * 7 % 180))

        def put(path: str, text: str) -> str:
            return f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"

        def path(at: int) -> str:
            return f"app/part{at % 40:02}/module_{at:05}.py"

        def commit(number: int, tag: str, parent: str = "") -> str:
            return (
                "commit refs/heads/main\n"
                f"committer Bench <bench@example.org> {1_700_000_000 + number * 3600} +0000\ndata {len(tag)}\n{tag}\n{parent}"
            )

        end = "reset refs/tags/{0}\nfrom refs/heads/main\n\n"
        if not last:
            for number in range(shape.tags - 2):
                tag = OLD if number == shape.tags - 3 else f"v0.{number // 10}.{number % 10}"
                yield commit(number, tag)
                for at in rng.sample(range(shape.files), 5) if number else range(shape.files):
                    yield put(path(at), body(at, tag))
                if number == 0:
                    yield put(".gitignore", "/venv\n/.venvs\n/.gitdeploy\n__pycache__/\n")
                    yield put("deploy.yaml", SETTINGS)
                    yield put("requirements.txt", Packages.lines(self.packages.old))
                yield put("VERSION", tag + "\n")
                yield end.format(tag)
            return
        for number, tag in enumerate((NEW, NEXT)):
            yield commit(shape.tags - 2 + number, tag, "" if number else "from refs/heads/main^0\n")
            half = range(number * shape.files // 2, (number + 1) * shape.files // 2)
            few = shape.changed // 10
            for count, at in enumerate(rng.sample(half, shape.changed - few - 2 + number)):
                yield f"D {path(at)}\n" if count < few else put(path(at), body(at, tag))
            for at in range(few):
                yield put(f"app/new{number}/added_{at}.py", body(at, tag))
            if number == 0:
                yield put("requirements.txt", Packages.lines(self.packages.new))
            yield put("VERSION", tag + "\n")
            yield end.format(tag)

    # ---- put back before each round ----

    def restore(self, state: str, make: Callable[[], None]) -> None:
        """Put the app into STATE, made by MAKE from the base the first time; not part of what is timed."""
        saved = self.states / state
        if not saved.exists():
            self._place(self.folder / "base")
            make()
            self.states.mkdir(exist_ok=True)
            self.run.rename(saved)
        self._place(saved)
        if (self.site / ".git").exists():
            self.call("git", "update-index", "-q", "--refresh")  # the files have new inodes
        self.call("sync", "-f", self.run)

    def _place(self, state: Path) -> None:
        """Hard links for packages, which nothing writes into; copies of all else."""
        shutil.rmtree(self.run, ignore_errors=True)

        def copy(source: str, target: str) -> None:
            if "/site-packages/" in source:
                os.link(source, target, follow_symlinks=False)
            else:
                shutil.copy2(source, target, follow_symlinks=False)

        shutil.copytree(state, self.run, symlinks=True, copy_function=copy)
