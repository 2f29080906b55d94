"""One trial: kill the command, recover, compare. Each command runs in a fork of this process, which has everything
imported: a trial takes a second instead of three."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.sample import differences

from gitdeploy import faultpoints
from gitdeploy.cli import COMMANDS
from gitdeploy.cli import run as run_gitdeploy

from .app import CrashApp, Scenario

TIME_LIMIT = 120.0


def import_everything() -> None:
    """What a fork would import else, each time anew."""
    import importlib
    import pkgutil

    import gitdeploy
    import gitdeploy.databases.sqlite
    import gitdeploy.sources.catalogue

    for name in COMMANDS:
        importlib.import_module(f"gitdeploy.cli.{name}")
    for package in ("deployment", "checkout", "venvs", "services", "health", "state", "config"):
        folder = Path(gitdeploy.__file__).parent / package
        importlib.import_module(f"gitdeploy.{package}")
        for module in pkgutil.iter_modules([str(folder)]):
            importlib.import_module(f"gitdeploy.{package}.{module.name}")


class NotEntire(AssertionError):
    """The app is between two releases, something is lost, or a person is needed."""


@dataclass
class Table:
    """Where it was killed, and how it ended."""

    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    trials: int = 0
    recovery: list[float] = field(default_factory=list)

    def add(self, scenario: str, where: str, ended: str) -> None:
        self.rows[scenario, where, ended] += 1
        self.trials += 1

    def text(self) -> str:
        lines = ["| scenario | killed | old | new |", "| --- | --- | --- | --- |"]
        places = sorted({(scenario, where) for scenario, where, _ in self.rows})
        for scenario, where in places:
            old, new = (self.rows[scenario, where, ended] for ended in ("old", "new"))
            lines.append(f"| {scenario} | {where} | {old} | {new} |")
        slow = sorted(self.recovery)
        if slow:
            lines.append(
                f"\n{self.trials} kills: 0 between, 0 lost, 0 that need a hand. Recovery: median {slow[len(slow) // 2]:.2f} s, longest {slow[-1]:.2f} s."
            )
        return "\n".join(lines)


class Campaign:
    """All trials of one scenario, in a folder of its own."""

    def __init__(self, folder: Path, scenario: Scenario, *, thorough: int = 1, keep_going: bool = False) -> None:
        self.scenario = scenario
        self.app = CrashApp(folder)
        self.thorough = thorough  # every so many trials the earlier backups and the next upgrade are tried too
        self.keep_going = keep_going
        self.finds: list[str] = []
        self.plan = folder / "fault-plan"
        self.output = folder / "output"
        self.count = 0
        self.table = Table()
        import_everything()
        self.app.build()
        scenario.prepare(self.app)
        self.app.keep_pristine()
        self.reset()  # so that inode numbers differ from the beginning on
        self.old = self.app.whole_state()
        self.earlier = self.backups()
        begun = time.monotonic()
        code = self.run(self.scenario.words)
        self.duration = time.monotonic() - begun
        assert code == scenario.code, self.output.read_text()
        self.new = self.old if scenario.only_old else self.app.whole_state()
        if scenario.only_old:
            self._same(self.old, "an uninterrupted run")

    def reset(self) -> None:
        """The app as it was before the command."""
        self.app.reset()

    # ---- running ----

    def run(self, words: tuple[str, ...], plan: str = "", kill_after: float | None = None) -> int:
        """Run gitdeploy in a fork, in its own session. Its exit code, negative where a signal ended it."""
        child = os.fork()
        if child == 0:
            self._become(words, plan)
        end = time.monotonic() + TIME_LIMIT
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise NotEntire(
                    f"`gitdeploy {' '.join(words)}` took over {TIME_LIMIT:.0f} s:\n{self.output.read_text()}"
                )
            time.sleep(0.002)

    def _become(self, words: tuple[str, ...], plan: str) -> None:
        """In the child: never returns."""
        code = 70
        try:
            os.setsid()
            out = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(self.app.app)
            os.environ.update(self.app.environment)
            if plan:
                self.plan.write_text(f"{faultpoints.MAGIC}\n{plan}\n")
                os.environ[faultpoints.VARIABLE] = str(self.plan)
                faultpoints._load()
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            code = run_gitdeploy(list(words))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def points(self, words: tuple[str, ...]) -> list[str]:
        """The fault points that WORDS passes, in order."""
        listed = self.app.folder / "points"
        listed.unlink(missing_ok=True)
        self.run(words, f"count {listed}")
        return listed.read_text().splitlines() if listed.exists() else []

    # ---- the three kinds of kill ----

    def exhaustive(self, part: int = 0, parts: int = 1) -> None:
        """Kill at every point, once alone and once with the whole process group."""
        self.reset()
        names = self.points(self.scenario.words)
        for number, name in enumerate(names, 1):
            if number % parts != part:
                continue
            kind = "kill" if number % 2 else "kill-group"
            self.reset()
            code = self.run(self.scenario.words, f"{kind} {number}")
            # A wait may ask once more or once less than it did when the points were counted.
            assert code in (-signal.SIGKILL, self.scenario.code), f"{name}: {code}: {self.output.read_text()}"
            self.judge(f"point {number} ({name})", _place(name))

    def random_kills(self, number: int, seed: int) -> None:
        """SIGKILL the whole process group at a random moment."""
        dice = random.Random(f"{self.scenario.name} {seed}")
        for trial in range(number):
            after = dice.uniform(0, self.duration * 1.1)
            self.reset()
            self.run(self.scenario.words, kill_after=after)
            self.judge(f"after {after:.6f} s (trial {trial}, seed {seed})", "at a random moment")

    def kills_in_recovery(self, number: int, seed: int, depth: int = 3) -> None:
        """Kill the command, then its recovery, then that one's recovery ..."""
        dice = random.Random(f"recovery {self.scenario.name} {seed}")
        self.reset()
        names = self.points(self.scenario.words)
        for trial in range(number):
            self.reset()
            first = dice.randint(1, len(names))
            killed = [f"{first} {names[first - 1]}"]
            self.run(self.scenario.words, f"kill {first}")
            for _ in range(depth):
                point = dice.randint(1, 60)
                if self.run(("recover",), f"kill {point}") != -signal.SIGKILL:
                    break
                killed.append(f"recovery {point}")
            self.judge(f"trial {trial}, seed {seed}: {', '.join(killed)}", "again in recovery")

    # ---- judging ----

    def judge(self, where: str, place: str) -> None:
        """Recover, then compare. Raises `NotEntire`, or notes the find where it is to go on."""
        try:
            self._judge(where, place)
        except NotEntire as find:
            if not self.keep_going:
                raise
            self.finds.append(str(find))

    def _judge(self, where: str, place: str) -> None:
        self.count += 1
        what = f"{self.scenario.name}, killed at {where}"
        begun = time.monotonic()
        code = self.run(("recover",))
        self.table.recovery.append(time.monotonic() - begun)
        if code != 0:
            raise NotEntire(f"{what}: recover ended with {code}:\n{self.output.read_text()}")
        found = self.app.whole_state()
        old, new = differences(self.old, found), differences(self.new, found)
        if old and new:
            raise NotEntire(
                f"{what}: between.\nfrom the old state: {_short(old)}\nfrom the new state: {_short(new)}\n"
                f"{self.output.read_text()[-3000:]}"
            )
        missing = [identity for identity in self.earlier if identity not in self.backups()]
        if missing and self.scenario.name != "prune":
            raise NotEntire(f"{what}: backups are gone: {missing}")
        self._leftovers(what)
        if self.thorough and self.count % self.thorough == 0:
            self._goes_on(what)
        self.table.add(self.scenario.name, place, "old" if not old else "new")

    def _leftovers(self, what: str) -> None:
        stages = [p.name for p in (self.app.app / ".gitdeploy/stage").glob("*") if not (p / "prepared.json").exists()]
        strays = [str(p) for p in self.app.app.rglob(".*gitdeploy-*") if ".git/" not in str(p)]
        if stages or strays:
            raise NotEntire(f"{what}: left behind: {stages + strays}")
        alive = list(_processes_in(self.app.app))
        if alive:
            raise NotEntire(f"{what}: still running: {alive}")

    def _goes_on(self, what: str) -> None:
        """The next upgrade works, and so does the restore of what is kept."""
        for words in (("upgrade", "v1.2.0"), ("upgrade", "v1.0.0", "--allow-downgrade"), ("restore", "latest")):
            code = self.run(words)
            if code != 0:
                raise NotEntire(
                    f"{what}: afterwards `gitdeploy {' '.join(words)}` ended with {code}:\n{self.output.read_text()}"
                )
        for identity in self.backups():
            if identity in self.earlier:
                code = self.run(("restore", identity))
                if code != 0:
                    raise NotEntire(
                        f"{what}: the earlier backup {identity} does not restore:\n{self.output.read_text()}"
                    )
                if self.scenario.name not in ("restore", "rollback") and identity == self.earlier[-1]:
                    break

    def _same(self, wanted: dict[str, Any], what: str) -> None:
        if found := differences(wanted, self.app.whole_state()):
            raise NotEntire(f"{what}: {found}\n{self.output.read_text()}")

    def backups(self) -> list[str]:
        folder = self.app.app / ".gitdeploy/backups"
        return sorted(p.name for p in folder.glob("*") if (p / "manifest.json").exists()) if folder.exists() else []


def _short(found: list[str]) -> str:
    lines = "".join(f"\n  {line[:160]}" for line in found[:10])
    return lines + (f"\n  and {len(found) - 10} more" if len(found) > 10 else "")


def _place(name: str) -> str:
    """The kind of point: `journal begin switch` and its like are one row each."""
    words = name.split()
    return " ".join(words[:2]) if words[0] in ("journal", "journalled", "child", "switch", "undo", "lock") else name


def _processes_in(folder: Path) -> Iterator[str]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd").startswith(str(folder)):
                    yield Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ")
