"""What is measured: for each scenario the ways, the state that each starts from, and the release that must be live then."""

from __future__ import annotations

import os
import shutil
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.app import NEW, NEXT, OLD, App
from bench.measure import Way

GITDEPLOY = Path(sys.executable).with_name("gitdeploy")


class Scenarios:
    """The ways to do things with one app."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.tarballs = {tag: app.folder / f"{tag}.tar.gz" for tag in (NEW, NEXT)}
        for tag, path in self.tarballs.items():
            if not path.exists():
                app.call("git", "archive", "-o", path, tag, cwd=app.remote)

    # ---- commands ----

    def _own(self, *words: str | Path) -> list[str | Path]:
        # `python -m bench` by its folder, since the command runs in the app.
        start = f"import sys; sys.path.insert(0, {os.getcwd()!r}); from bench.__main__ import main; main()"
        return [sys.executable, "-c", start, "way", *words]

    def floor(self, action: str, tag: str) -> list[str | Path]:
        return self._own("floor", action, tag)

    def today(self, action: str, tag: str) -> list[str | Path]:
        return self._own("today", action, *([self.tarballs[tag]] if tag in self.tarballs else []))

    @staticmethod
    def gitdeploy(*words: str) -> list[str | Path]:
        return [GITDEPLOY, "--json", *words]

    # ---- states ----

    def _plain(self) -> None:
        """As it was installed: OLD with a plain venv."""

    def _linked(self) -> None:
        venvs = self.app.site / ".venvs"
        venvs.mkdir()
        (self.app.site / "venv").rename(venvs / OLD)
        (self.app.site / "venv").symlink_to(f".venvs/{OLD}")

    def _after(self, state: str, make: Callable[[], None], words: list[str | Path]) -> Callable[[], None]:
        def there() -> None:
            self.app.restore(state, make)
            self.app.environment["BENCH_STEPS"] = os.devnull
            self.app.call(*words)

        return there

    def _way(self, name: str, words: list[str | Path], steps_before: list[list[str | Path]], tag: str) -> Way:
        """A way that starts after STEPS_BEFORE from OLD."""
        state = name.replace(" ", "-")
        make = self._linked if name == "floor" else self._plain
        for number, before in enumerate(steps_before):
            make = self._after(f"{state}-{number}" if number else f"{state}-old", make, before)
        full = f"{state}-{zlib.crc32(repr(steps_before).encode()):08x}" if steps_before else f"{state}-old"
        return Way(name, words, full, make, tag, json_steps=name.startswith("gitdeploy"))

    # ---- scenarios ----

    def all(self) -> Mapping[str, list[Way]]:
        python = str(Path(os.path.realpath(sys.executable)))
        remote = str(self.app.remote)
        up = [self.floor("upgrade", NEW)], [self.gitdeploy("upgrade", NEW)], [self.today("upgrade", NEW)]
        return {
            "upgrade, two packages bumped": [
                self._way("floor", self.floor("upgrade", NEW), [], NEW),
                self._way("gitdeploy", self.gitdeploy("upgrade", NEW), [], NEW),
                self._way("today", self.today("upgrade", NEW), [], NEW),
                self._release("release directory, uv", "plain", remote, python),
                self._release("the same, compiled", "compiled", remote, python),
            ],
            "upgrade, requirements unchanged": [
                self._way("floor", self.floor("upgrade", NEXT), up[0], NEXT),
                self._way("gitdeploy", self.gitdeploy("upgrade", NEXT), up[1], NEXT),
                self._way("today", self.today("upgrade", NEXT), up[2], NEXT),
            ],
            "rollback of two bumped packages": [
                self._way("floor", self.floor("rollback", ""), up[0], OLD),
                self._way("gitdeploy", self.gitdeploy("rollback", "--yes"), up[1], OLD),
                self._way("today", self.today("rollback", ""), up[2], OLD),
            ],
            "upgrade after prepare": [
                self._way("floor", self.floor("switch", NEW), [self.floor("prepare", NEW)], NEW),
                self._way("gitdeploy", self.gitdeploy("upgrade", NEW), [self.gitdeploy("prepare", NEW)], NEW),
            ],
        }

    def scaled(self) -> Mapping[str, list[Way]]:
        """The two that are measured at every size."""
        found = self.all()
        return {
            name: [way for way in found[name] if way.name in ("floor", "gitdeploy")]
            for name in ("upgrade, requirements unchanged", "rollback of two bumped packages")
        }

    def _release(self, name: str, kind: str, remote: str, python: str) -> Way:
        def empty() -> None:
            shutil.rmtree(self.app.site)
            self.app.site.mkdir()
            (self.app.run / "releases").mkdir()

        return Way(name, self._own("releases", kind, NEW, remote, python), "release-empty", empty, NEW)

    def small(self) -> list[Way]:
        """Commands that only look, on the app after one upgrade."""
        self.app.restore("gitdeploy-1", self._after("gitdeploy-old", self._plain, self.gitdeploy("upgrade", NEW)))
        ways = [
            Way("python3 -c pass", [sys.executable, "-c", "pass"]),
            Way("git status", ["git", "status", "--porcelain"]),
        ]
        return ways + [
            Way(f"gitdeploy {' '.join(words)}", [GITDEPLOY, *words])
            for words in (["--version"], ["status"], ["check"], ["backups"], ["plan", NEXT])
        ]

    def first_import(self) -> list[Way]:
        """What a release directory without bytecode saves, the first start of the app pays."""
        code = "\n".join(f"import {module}" for module in self.app.packages.modules)
        releases = self._release(
            "release directory, uv", "plain", str(self.app.remote), os.path.realpath(sys.executable)
        )
        assert releases.make is not None
        return [
            Way("after gitdeploy", [self.app.site / "venv/bin/python", "-c", code], "gitdeploy-import",
                self._after("gitdeploy-old", self._plain, self.gitdeploy("upgrade", NEW))),
            Way("after a release by uv", [self.app.run / "current/venv/bin/python", "-c", code], "release-import",
                self._after(releases.state, releases.make, list(releases.words))),
        ]  # fmt: skip
