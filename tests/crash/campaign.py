"""Kill the command, recover, compare. Each command runs in a fork of this process, which has everything imported: a
trial takes half a second instead of three.

Four kinds of kill:

- *every point*: the command runs once, and at each of its points the app is copied as a kill there would leave it (a
  process that dies changes nothing any more); each copy is then recovered and judged. Copies that equal the one before
  are left out.
- *at a point*: SIGKILL at a point, of gitdeploy alone or of its whole process group.
- *at a random moment*: SIGKILL of the whole process group at a random microsecond.
- *again in recovery*: recovery of a killed command is killed as well, and the recovery after it, three deep.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.sample import differences

import gitdeploy
from gitdeploy.cli import COMMANDS
from gitdeploy.cli import run as run_gitdeploy

from .app import HALVES, CrashApp, Scenario, copy_tree
from .points import watch

TIME_LIMIT = 120.0
ENDED = "ended"
FINAL = ("commit", "undone")  # records after which everything else must be on disk already


def import_everything() -> None:
    """What a fork would import else, each time anew."""
    for name in (*(f"cli.{command}" for command in COMMANDS), "databases.sqlite", "sources.catalogue"):
        importlib.import_module(f"gitdeploy.{name}")
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
    recovery: list[float] = field(default_factory=list)

    def add(self, scenario: str, where: str, ended: str) -> None:
        self.rows[scenario, where, ended] += 1

    def __iadd__(self, other: Table) -> Table:
        self.rows += other.rows
        self.recovery += other.recovery
        return self

    def text(self, finds: Sequence[str] = ()) -> str:
        lines = ["| command | killed | times | old | new |", "| --- | --- | --- | --- | --- |"]
        for scenario, where in sorted({(scenario, where) for scenario, where, _ in self.rows}):
            old, new = (self.rows[scenario, where, ended] for ended in ("old", "new"))
            lines.append(f"| {scenario} | {where} | {old + new} | {old} | {new} |")
        slow = sorted(self.recovery) or [0.0]
        lines.append(
            f"\n{self.rows.total() + len(finds)} kills: "
            + (f"{len(finds)} FINDS. " if finds else "0 between, 0 lost, 0 that need a hand. ")
            + f"Recovery: median {slow[len(slow) // 2]:.2f} s, longest {slow[-1]:.2f} s."
        )
        return "\n".join(lines)


class Campaign:
    """All trials of one scenario."""

    def __init__(self, app: CrashApp, scenario: Scenario, *, thorough: int = 1, keep_going: bool = False) -> None:
        self.scenario = scenario
        self.app = app
        self.thorough = thorough  # every so many trials the earlier backups and the next upgrade are tried too
        self.keep_going = keep_going
        self.finds: list[str] = []
        self.output = app.folder / "output"
        self.images = app.folder / "images"
        self.count = 0
        self.table = Table()
        import_everything()
        self.learned = app.folder / "modules"
        self.pristine = app.pristine(scenario.before)
        self.reset()
        assert self.run(("recover",), learn=True) == 0, self.output.read_text()
        self.old = app.whole_state()
        self.old_refs = app.refs()
        self.earlier = app.backup_states(self.old_refs)
        self.reset()
        code = self.run(scenario.words, learn=True)
        assert code == scenario.code, self.output.read_text()
        self.reset()
        begun = time.monotonic()
        assert self.run(scenario.words) == code, self.output.read_text()
        self.duration = time.monotonic() - begun
        self.new_refs = app.refs()
        fresh = sorted({*app.backup_states(self.new_refs)} - {*self.earlier})
        self.copies = app.copies(fresh[-1]) if fresh else {}
        self.new = self.old if scenario.only_old else app.whole_state()
        if scenario.only_old and (found := differences(self.old, app.whole_state())):
            raise NotEntire(f"{scenario.name}, uninterrupted: {found}\n{self.output.read_text()}")

    def reset(self) -> None:
        """The app as it was before the command."""
        self.app.put(self.pristine)
        self.run_first()

    def run_first(self) -> None:
        if self.scenario.first:
            assert self.run(self.scenario.first) == 0, self.output.read_text()

    # ---- running ----

    def run(
        self,
        words: tuple[str, ...],
        *,
        reached: Callable[[str], None] | None = None,
        kill_after: float | None = None,
        learn: bool = False,
    ) -> int:
        """Run gitdeploy in a fork, in its own session; REACHED is told there of each point. Its exit code, negative where
        a signal ended it. LEARN: what it imports is imported here afterwards, so that the next forks need not."""
        child = os.fork()
        if child == 0:
            self._become(words, reached, learn)
        end = time.monotonic() + TIME_LIMIT
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                if learn:
                    for name in self.learned.read_text().split():
                        with suppress(ImportError):
                            importlib.import_module(name)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise NotEntire(
                    f"`gitdeploy {' '.join(words)}` took over {TIME_LIMIT:.0f} s:\n{self.output.read_text()}"
                )
            time.sleep(0.002)

    def _become(self, words: tuple[str, ...], reached: Callable[[str], None] | None, learn: bool) -> None:
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
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            self.app.in_child()
            if reached is not None:
                watch(self.app.app, reached, syncs=self.syncs)
            code = run_gitdeploy(list(words))
            if reached is not None:
                reached(ENDED)
            if learn:
                self.learned.write_text("\n".join(sys.modules))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    syncs = False  # whether a sync changes what there is to see at a point

    def _kill_at(self, number: int, *, group: bool = False) -> Callable[[str], None]:
        """SIGKILL at the NUMBER-th point; its name is left in a file."""
        left = [number]
        named = self.app.folder / "killed-at"

        def reached(name: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                named.write_text(name)
                if group:
                    os.killpg(os.getpgrp(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)

        return reached

    def points(self, words: tuple[str, ...]) -> list[str]:
        """The points that WORDS passes, in order."""
        listed = self.app.folder / "points"
        listed.write_text("")

        def reached(name: str) -> None:
            with listed.open("a") as out:
                out.write(name.replace("\n", " ") + "\n")

        self.run(words, reached=reached)
        return listed.read_text().splitlines()

    # ---- the kinds of kill ----

    def every_point(self, *, first: int = 0, step: int = 1) -> None:
        """Recover and judge what a kill at each point would leave; or at every STEP-th, from the one numbered FIRST."""
        for number, name, place in self._made_images(self.scenario.words, first, step):
            self.put(place)
            self.judge(f"point {number} ({name})", _place(name))

    def everywhere(self, *, recoveries: int, seed: int, first: int = 0, step: int = 1) -> None:
        """Every point (or every STEP-th); and kills at some of them that are followed by killed recoveries."""
        images = list(self._made_images(self.scenario.words, first, step))
        self._again_in_recovery(images, recoveries, seed)
        for number, name, place in images:
            self.put(place)
            self.judge(f"point {number} ({name})", _place(name))

    def _made_images(self, words: tuple[str, ...], first: int = 0, step: int = 1) -> Iterator[tuple[int, str, Path]]:
        """Run WORDS and keep what is on disk at its points: (number, name of the point, image). At each, or at every
        STEP-th from the one numbered FIRST and wherever the journal has just said that a side is final."""
        self.reset()
        shutil.rmtree(self.images, ignore_errors=True)
        self.images.mkdir()
        listed = self.images / "names"
        last: list[object] = [self.signature()]
        seen = [0]
        final = tuple(f"journalled {word}" for word in FINAL)

        def reached(name: str) -> None:
            if (now := self.signature()) == last[0]:
                return
            last[0] = now
            number, seen[0] = seen[0], seen[0] + 1
            if number % step == first % step or name.startswith(final):
                self.keep_image(self.images / str(number))
                with listed.open("a") as out:
                    out.write(f"{number} {name}\n".replace("\0", " "))

        code = self.run(words, reached=reached)
        assert code == self.scenario.code, f"{code}: {self.output.read_text()}"
        for line in listed.read_text().splitlines() if listed.exists() else ():
            number, _, name = line.partition(" ")
            yield int(number), name, self.images / number

    def signature(self) -> object:
        """Equal where nothing has changed on disk."""
        found = []
        folders = [os.fspath(self.app.app)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with suppress(OSError):
                        facts = entry.stat(follow_symlinks=False)
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            found.append((entry.path, facts.st_ino, facts.st_mode))
                        elif not entry.name.endswith("-shm"):
                            found.append((entry.path, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns))  # type: ignore[arg-type]
        return hash(tuple(found))

    def keep_image(self, place: Path) -> None:
        copy_tree(self.app.app, place)
        self.app.keep_service(place)

    def put(self, image: Path) -> None:
        """The app as it is in an image, which is used up."""
        shutil.rmtree(self.app.app)
        image.rename(self.app.app)
        self.app.put_service(image)

    def kills_at_points(self, *, first: int = 0, step: int = 1) -> None:
        """Really kill: gitdeploy alone, and every other time its whole process group."""
        self.reset()
        for number in range(1 + first, len(self.points(self.scenario.words)), step):
            self.reset()
            code = self.run(self.scenario.words, reached=self._kill_at(number, group=number // step % 2 == 0))
            # A wait may ask once more or once less than it did when the points were counted.
            assert code in (-signal.SIGKILL, self.scenario.code), f"{number}: {code}: {self.output.read_text()}"
            self.judge(f"point {number} ({(self.app.folder / 'killed-at').read_text()})", "by SIGKILL at a point")

    def kills_at_second_half(self) -> None:
        """Really kill at each point of it and of what follows, until the deployment has ended."""
        self.reset()
        names = self.points(self.scenario.words)
        begin = next(number for number, name in enumerate(names) if name.startswith("journal second-half"))
        for number in range(begin, min(begin + 14, len(names))):
            self.reset()
            code = self.run(self.scenario.words, reached=self._kill_at(number, group=number % 2 == 0))
            assert code in (-signal.SIGKILL, self.scenario.code), f"{number}: {code}: {self.output.read_text()}"
            self.judge(f"point {number} ({names[number - 1]})", "in the second half")

    def random_kills(self, number: int, seed: int) -> None:
        """SIGKILL the whole process group at a random moment."""
        dice = random.Random(f"{self.scenario.name} {seed}")
        for trial in range(number):
            after = dice.uniform(0, self.duration * 1.1)
            self.reset()
            self.run(self.scenario.words, kill_after=after)
            self.judge(f"after {after:.6f} s (trial {trial}, seed {seed})", "at a random moment")

    def kills_in_recovery(self, number: int, seed: int) -> None:
        """Kill the command, then its recovery, then that one's recovery ..."""
        self._again_in_recovery(list(self._made_images(self.scenario.words)), number, seed)

    def _again_in_recovery(
        self, images: Sequence[tuple[int, str, Path]], number: int, seed: int, depth: int = 3
    ) -> None:
        dice = random.Random(f"recovery {self.scenario.name} {seed}")
        for trial in range(number if images else 0):
            first, name, place = dice.choice(images)
            self.app.put(place)
            killed = [f"{first} {name}"]
            for _ in range(depth):
                point = dice.randint(1, dice.choice((5, 25, 100)))  # most recoveries have few points, some have many
                if self.run(("recover",), reached=self._kill_at(point)) != -signal.SIGKILL:
                    break
                killed.append(f"recovery {point} {(self.app.folder / 'killed-at').read_text()}")
            self.judge(
                f"trial {trial}, seed {seed}: {'; '.join(killed)}", f"again in recovery, {len(killed) - 1} times"
            )

    # ---- judging ----

    def recover(self) -> int:
        """What the operator's next command does first; its exit code."""
        return self.run(("recover",))

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
        code = self.recover()
        self.table.recovery.append(time.monotonic() - begun)
        if code != 0:
            raise NotEntire(f"{what}: recover ended with {code}:\n{self.output.read_text()}")
        try:
            side = self._compared(what)
        except NotEntire:
            raise
        except Exception as error:
            raise NotEntire(f"{what}: it can't even be looked at: {error!r:.600}\n{self.output.read_text()}") from error
        if self.thorough and self.count % self.thorough == 0:
            self._goes_on(what)
        self.table.add(self.scenario.name, place, side)

    def _compared(self, what: str) -> str:
        """Which side is live, wholly."""
        found = self.app.whole_state()
        old, new = differences(self.old, found), differences(self.new, found)
        if old and new:
            raise NotEntire(
                f"{what}: between.\nfrom the old state: {_short(old)}\nfrom the new state: {_short(new)}\n"
                f"{self.output.read_text()[-3000:]}"
            )
        side = "new" if old else "old"
        if problems := [*self._lost(side), *self._untold(side), *self._leftovers(side)]:
            raise NotEntire(f"{what}: {_short(problems)}\n{self.output.read_text()[-3000:]}")
        return side

    def _lost(self, side: str) -> list[str]:
        """Backups that are not as they were, refs that lead elsewhere, damaged objects."""
        problems = []
        refs = self.app.refs()
        states = self.app.backup_states(refs)
        for identity, before in self.earlier.items():
            gone = identity not in states and f"refs/gitdeploy/backups/{identity}" not in refs
            if states.get(identity) != before and not (gone and self.scenario.name == "prune"):
                problems.append(f"backup {identity} is not as it was: {states.get(identity)!r:.300}")
        for identity in {*states} - {*self.earlier}:
            wanted, found = self.copies, self.app.copies(identity)
            if side == "old" and not any(map(_is_dump, found)):
                # Cut off between the stop of the service and the end of the dump: nothing has changed in the database.
                wanted = {name: content for name, content in wanted.items() if not _is_dump(name)}
            wrong = differences({identity: wanted}, {identity: found})
            problems += [f"the new backup is not whole: {one}" for one in wrong]
        problems += [f"backup {identity} has no ref" for identity, (_, ref, _) in states.items() if ref is None]
        known = {**self.new_refs, **self.old_refs}
        for name in {*refs, *self.old_refs}:
            ours = name.startswith("refs/gitdeploy/backups/")
            if ours and (name.rpartition("/")[2] in states or name in self.old_refs):
                continue
            moves = name.startswith("refs/heads/")  # a branch goes with the release, see the states
            if not moves and refs.get(name) != known.get(name):
                problems.append(f"{name}: {refs.get(name)}, not {known.get(name)}")
        if said := self.app.damage():
            problems.append(f"git fsck: {said}")
        return problems

    def _untold(self, side: str) -> list[str]:
        """What the log says, where it is not what happened."""
        with closing(sqlite3.connect(self.app.app / ".gitdeploy/state.db")) as database:
            rows = database.execute("SELECT action, status, ended_at FROM deployment ORDER BY id").fetchall()
            waiting = database.execute("SELECT 1 FROM meta WHERE key='second_half'").fetchone()
        problems = [f"the log has an unfinished {action}" for action, _, ended in rows if ended is None]
        if not self.scenario.only_old and side == "new" and rows[-1][1] != "succeeded":
            problems.append(f"the new release is live, and the log says {rows[-1]}")
        if self.scenario in HALVES and (side == "new" or self.scenario.only_old) and not waiting:
            file = self.app.app / "run/second"
            if not file.exists() or file.read_text() != "begun\ndone\n":
                problems.append("nothing is said to wait, and the second half of the migrations has not run to its end")
        return problems

    def _leftovers(self, side: str) -> list[str]:
        top = self.app.app
        stages = [p.name for p in (top / ".gitdeploy/stage").glob("*") if not (p / "prepared.json").exists()]
        strays, ours = [], []
        for place, folders, files in os.walk(top):
            inside = f"{place}/".startswith(f"{top}/.git/")
            for name in (*folders, *files):
                if inside and name.startswith(("gitdeploy.", "gitdeploy-")):
                    ours.append(f"{place}/{name}")
                elif not inside and name.startswith(".") and "gitdeploy-" in name:
                    strays.append(f"{place}/{name}")
        problems = [f"left behind: {name}" for name in (*stages, *strays, *ours)]
        problems += [f"still running: {command}" for command in _processes_in(top)]
        found = self.app.generations()
        if side == "old" and self.scenario.name != "prune":
            problems += [f"left behind: venv {name}" for name in found["there"] if not _needed(name, found["needed"])]
        return problems

    def _goes_on(self, what: str) -> None:
        """The next upgrade works, and so does the restore of what is kept."""
        for words in self.app.NEXT:
            code = self.run(words)
            if code != 0:
                raise NotEntire(
                    f"{what}: afterwards `gitdeploy {' '.join(words)}` ended with {code}:\n{self.output.read_text()}"
                )
        for identity in self.earlier:
            if identity in self.app.backup_states(self.app.refs()):
                code = self.run(("restore", identity))
                if code != 0:
                    raise NotEntire(
                        f"{what}: the earlier backup {identity} does not restore:\n{self.output.read_text()}"
                    )


def _needed(name: str, needed: list[str]) -> bool:
    """Whether an entry of the venvs folder is a generation that is needed, or its seal."""
    return any(name in (one, f".{one}", f"{one}.seal", f".{one}.seal") for one in needed)


def _is_dump(name: bytes) -> bool:
    return name.startswith(b"dump ")


def _short(found: list[str]) -> str:
    lines = "".join(f"\n  {line[:300]}" for line in found[:10])
    return lines + (f"\n  and {len(found) - 10} more" if len(found) > 10 else "")


def _place(name: str) -> str:
    """The kind of point, of which the table has a row each."""
    kinds = {
        "journal": "before a journal record",
        "journalled": "after a journal record",
        "child": "at a child process",
        "apply": "before a step",
        "applied": "after a step",
        "undo": "while a step is undone",
        "undid": "while a step is undone",
        "switch": "in the switch",
        "lock": "in the switch",
    }
    first = name.split(maxsplit=1)[0]
    if first in ("link", "mkdir", "remove", "rename", "replace", "rmdir", "symlink", "unlink", "fsync", "close"):
        return f"after a {first}"
    return kinds.get(first, "at another point")


def _processes_in(folder: Path) -> Iterator[str]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd").startswith(str(folder)):
                    yield Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ")
