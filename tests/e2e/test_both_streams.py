"""What every command promises of its two streams, for all commands of the command line's own table: with --json standard
output is one JSON document (JSON lines from a command that goes on), and off a terminal no escape character is written,
whatever the other stream is."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click import Context, Group
from support import bounds
from support.sample import Program, Sample, Tree
from support.waiting import free_port, wait_until

import gitdeploy.cli
from gitdeploy.cli import COMMANDS, cli

FIRST = "20"  # how every backup's id begins
COLOURFUL = Program("#!/bin/sh\nprintf '\\033[31mred\\033[0m \\033]0;title\\007\\n'; test ! -e VERSION.broken\n")
# How each command is run here, by its name in the table: once as it succeeds, and where that says more, as it fails.
RUNS: dict[str, list[tuple[str, ...]]] = {
    "apps": [()],
    "apps add": [(".",), ("/nowhere",)],
    "apps remove": [("nothing",)],
    "backup": [("--label", "mine")],
    "backups": [()],
    "backups delete": [(FIRST, "--yes"), ("nothing",)],
    "backups diff": [(FIRST,)],
    "backups export": [(FIRST, "away.backup"), ("nothing", "away.backup")],
    "backups import": [("nothing.backup",)],
    "backups label": [(FIRST, "mine")],
    "backups show": [(FIRST,), ("nothing",)],
    "check": [("--force",), ("--exit-code",)],
    "completion": [("bash",), ("nonsense",)],
    "config edit": [()],
    "config example": [()],
    "config schema": [()],
    "config accept": [("check.interval",), ("nonsense",)],
    "config show": [()],
    "demo": [()] if bounds.THOROUGH else [],  # three times half a minute; CI runs it, and looks at its end
    "contract": [()],
    "doctor": [(), ("--repair",)],
    "fleet log": [(), ("9",)],
    **{f"fleet {name}": [("-f", "nothing.yaml")] for name in ("pause", "resume", "rollback", "status", "upgrade")},
    **{f"fleet {name}": [("v1.1.0", "-f", "nothing.yaml")] for name in ("prepare", "rehearse")},
    "hooks": [()],
    "hooks install": [("smoke-test",), ("nonsense",)],
    "hooks library": [()],
    "hooks run": [("post-deploy",), ("sometimes",)],
    "init": [("--print",), ()],
    "lock": [("-m", "a freeze")],
    "log": [(), ("1",), ("-f",), ("999",), ("-f", "999")],
    "notify test": [()],
    "plan": [("v1.1.0",), ("v9.9.9",)],
    "prepare": [("v1.1.0",)],
    "prune": [("--dry-run",), ("--keep", "1")],
    "recover": [(), ("--print-unit",)],
    "rehearse": [("v1.1.0",)],
    "releases": [("--all",), ("v1.1.0",)],
    "restore": [(FIRST, "--dry-run"), (FIRST,), ("nothing",)],
    "rollback": [("--yes",), ()],
    "self": [()],
    "skip": [("v1.1.0", "--reason", "slow"), (), ("-x",)],
    "status": [()],
    "unlock": [()],
    "unskip": [("v1.1.0",), ("v9.9.9",)],
    "upgrade": [("v1.1.0",), ("v1.2.0",), ("--yes",), ("-v", "v1.1.0"), ("--dry-run", "v1.1.0"), ()],
    "watch": [("--once",), ("--once", "--print-unit")],
    "web": [("--print-unit",), ("--all", "--print-unit"), ("--all", "--user", "nobody-of-this-name")],
    "web token add": [("deploy-bot",)],
    "web token list": [()],
    "web token revoke": [("nobody",)],
}
GO_ON = {("log", "-f")}  # a document a line; `watch` and `web`, which end by a signal only, have a test of their own


def commands() -> Iterator[str]:
    """Each command that does something, by the command line's own table."""
    for name in COMMANDS:
        command = cli.get_command(Context(cli), name)
        assert command is not None
        yield from below(name, command)


def below(name: str, command: Any) -> Iterator[str]:
    if not isinstance(command, Group) or command.invoke_without_command:
        yield name
    if isinstance(command, Group):
        for word, each in command.commands.items():
            yield from below(f"{name} {word}", each)


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """An app with a backup and a deployment in its log; v1.2.0 is broken, and its hooks write colours."""
    sample = Sample(tmp_path_factory.mktemp("streams"), venv=False)
    notes = "Second\n\n- **new** things, [linked](https://example.com)"
    for tag in ("v0.9.0", "v1.0.0", "v1.1.0", "v1.2.0"):
        sample.release(
            tag,
            {
                "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n",
                "VERSION": tag,
                "中文.txt": tag,
                "hooks/post-deploy": COLOURFUL,
                **({"VERSION.broken": ""} if tag == "v1.2.0" else {}),
            },
            message=notes,
        )
    sample.install("v0.9.0", branch="main")
    sample.extra_environment["EDITOR"] = "true"  # which changes nothing
    sample.extra_environment["GITDEPLOY_APPS"] = str(sample.folder / "apps.yaml")
    (sample.folder / "apps.yaml").write_text(f"apps:\n  listed: {sample.app}\n")
    sample.gitdeploy("upgrade", "v1.0.0")
    sample.keep()
    return sample


@pytest.fixture
def shop(shop_once: Sample) -> Sample:
    shop_once.reset()
    return shop_once


@dataclass
class Said:
    """What a command wrote to each stream, byte for byte but for the terminal's line ends."""

    code: int
    out: str
    err: str


def run(shop: Sample, *words: str, out: str, err: str) -> Said:
    """Run with each stream as OUT and ERR say: `file` or `terminal`."""
    with stream(shop.folder / "out", out) as (to_out, read_out), stream(shop.folder / "err", err) as (to_err, read_err):
        process = subprocess.Popen(
            [sys.executable, "-m", "gitdeploy", *words], cwd=shop.app, stdin=subprocess.DEVNULL, stdout=to_out,
            stderr=to_err, env={**shop.environment, "TERM": "xterm-256color", "COLUMNS": "100"}, start_new_session=True,
        )  # fmt: skip
        os.close(to_out)
        os.close(to_err)
        code = process.wait(120)
        said = Said(code, read_out(), read_err())
    assert "Traceback (most recent call last)" not in said.out + said.err, said
    return said


@contextmanager
def stream(file: Path, kind: str) -> Iterator[tuple[int, Any]]:
    """A descriptor to write to, and a function that reads all that was written once it is closed everywhere."""
    if kind == "file":
        yield os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), file.read_text
        return
    leader, follower = pty.openpty()
    shown: list[bytes] = []

    def listen() -> None:
        with suppress(OSError):  # EIO: nobody has it open any longer
            while data := os.read(leader, 65536):
                shown.append(data)

    def whole() -> str:
        reader.join(10)
        return b"".join(shown).decode().replace("\r\n", "\n")

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    try:
        yield follower, whole
    finally:
        reader.join(10)
        os.close(leader)


def documents(words: tuple[str, ...], said: str) -> list[Any]:
    """What standard output holds. Raises ValueError where that isn't JSON, or more than one document."""
    if words[:2] in GO_ON:
        return [json.loads(line) for line in said.splitlines()]
    return [json.loads(said)]


def test_how_each_command_is_run_here_is_known() -> None:
    assert sorted(RUNS) == sorted(commands()), "a command is missing in RUNS, or gone"


@pytest.mark.parametrize(
    "words",
    [pytest.param((*name.split(), *more), id=" ".join((name, *more))) for name in RUNS for more in RUNS[name]],
)
def test_each_stream_holds_what_belongs_to_it(shop: Sample, words: tuple[str, ...]) -> None:
    to_file = run(shop, *words, out="file", err="terminal")
    assert "\x1b" not in to_file.out, "standard output is not a terminal, whatever standard error is"
    shop.reset()
    to_terminal = run(shop, *words, out="terminal", err="file")
    assert "\x1b" not in to_terminal.err, "standard error is not a terminal, whatever standard output is"
    shop.reset()
    said = run(shop, *words, "--json", out="file", err="terminal")
    found = documents(words, said.out)
    assert said.err == "", "with --json nothing else is said"
    assert to_file.code == to_terminal.code == said.code
    if said.code not in (0, 100) and words[0] != "doctor":  # whose findings are its result, however bad
        assert found[-1]["error"]["exit_code"] == said.code


# To a terminal: copies to the clipboard, clears the screen, hides what follows, turns its order round, goes back.
POISON = "\x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J\x1b[8m\u202e\x9b2J\rsafe"
COMMANDING = ("\x1b]", "\x07", "\x1b[2J", "\x1b[8m", "\u202e", "\x9b", "\rsafe")
SHOWING = [
    "status", "log", "log 1", "log -f", "backups", "doctor", "plan v1.3.0", "check", "releases --all", "releases v1.3.0",
    "restore 20 --dry-run", "restore v1.3.0", "rollback --yes", "hooks", "skip", "lock -m x", "upgrade v1.3.0",
    "-v upgrade v1.3.0", "config show", "web token list", "recover", "prepare v1.3.0", "watch --once",
]  # fmt: skip


@pytest.fixture(scope="module")
def poisoned_once(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """An app whose owner, and the author of whose release, write to the terminals of whoever looks."""
    sample = Sample(tmp_path_factory.mktemp("poison"), venv=False)
    files: Tree = {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n",
        "hooks/post-deploy": Program("#!/bin/sh\nprintf '%s\\n' \"$(cat poison)\"; exit $(cat code)\n"),
        "poison": POISON,
    }
    sample.release("v1.0.0", {**files, "code": "0"}, message=f"One {POISON}")
    sample.release("v1.1.0", {**files, "code": "0"}, message=f"Two {POISON}")
    sample.release(
        "v1.3.0", {**files, "code": "3", f"file {POISON[:9]}".replace("/", ""): "x"}, message=f"Three\n\n{POISON}"
    )
    sample.install("v1.0.0", branch="main")
    sample.gitdeploy("upgrade", "v1.1.0")
    sample.gitdeploy("lock", "-m", f"why {POISON}")
    sample.gitdeploy("unlock")
    sample.gitdeploy("skip", "v1.0.0", "--reason", f"slow {POISON}")
    with sqlite3.connect(sample.app / ".gitdeploy/state.db") as state:
        for name in ("origin", "target"):
            for number, text in state.execute(f"SELECT id, {name} FROM deployment").fetchall():
                poisoned = json.dumps({**json.loads(text), "tag": f"v1{POISON}", "version": f"1{POISON}"})
                state.execute(f"UPDATE deployment SET {name}=? WHERE id=?", (poisoned, number))
        state.execute("UPDATE deployment SET performer=performer||?", (POISON,))
        state.execute("UPDATE line SET text=text||?", (POISON,))
        state.execute("UPDATE meta SET value=replace(value, 'slow', ?) WHERE value LIKE '%slow%'", ("slow \\u001b[2J",))
    state.close()
    sample.keep()
    return sample


@pytest.mark.parametrize("words", SHOWING)
def test_what_others_wrote_commands_no_terminal(poisoned_once: Sample, words: str) -> None:
    """Names, logs, notes, output of hooks and the state, on a terminal: all of it goes through one place that cleans it."""
    poisoned_once.reset()
    said = run(poisoned_once, *words.split(), out="terminal", err="terminal")
    assert said.out + said.err
    for sequence in COMMANDING:
        assert sequence not in said.out, (sequence, said.out)
        assert sequence not in said.err, (sequence, said.err)


def test_only_the_screen_writes_to_a_terminal() -> None:
    """A command that wrote by itself would not be cleaned: everything goes through gitdeploy/cli/screen.py."""
    writing = re.compile(r"\bclick\.(?:s?echo|confirm|prompt)|\bprint\(|sys\.std(?:out|err)\.write|Text\(")
    folder = Path(gitdeploy.cli.__file__).parent
    found = {file.name for file in folder.glob("*.py") if writing.search(file.read_text())}
    own = {"screen.py", "live.py", "notes.py", "fleet_screen.py"}
    assert found == own, "live.py cleans in `_text`, notes.py before it renders, fleet_screen.py each cell"


def test_colours_are_there_on_a_terminal(shop: Sample) -> None:
    assert "\x1b[" in run(shop, "doctor", out="terminal", err="file").out
    assert "\x1b[" in run(shop, "releases", "v1.0.0", out="terminal", err="file").out
    assert "\x1b[" in run(shop, "restore", "nothing", out="file", err="terminal").err
    assert "\x1b" not in run(shop, "--no-color", "doctor", out="terminal", err="file").out


def test_a_followed_log_is_json_lines(shop: Sample) -> None:
    lines = [json.loads(line) for line in shop.gitdeploy("log", "-f", "--json").out.splitlines()]
    *log, last = lines
    assert log
    assert {tuple(line) for line in log} == {("at", "level", "text")}
    assert [line["text"] for line in log] == json.loads(shop.gitdeploy("log", "1", "--json").out)["log"]
    assert (last["deployment"]["id"], last["deployment"]["status"]) == (1, "succeeded")


def test_watch_is_json_lines(shop: Sample) -> None:
    out = shop.folder / "watched"
    with out.open("wb") as to:
        running = shop.start("watch", "--json", stdout=to, stderr=to)
        wait_until(lambda: out.read_bytes().count(b"\n") or running.poll() is not None)
        running.send_signal(signal.SIGTERM)
        running.wait(30)
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["check"]["latest_tag"] == "v1.2.0"


def test_web_says_in_json_where_it_is_once_it_answers(shop: Sample) -> None:
    port = free_port()
    out = shop.folder / "served"
    with out.open("wb") as to:
        running = shop.start("web", "--json", "--port", str(port), stdout=to, stderr=subprocess.DEVNULL)
        wait_until(lambda: out.read_bytes().endswith(b"}\n") or running.poll() is not None)
        running.send_signal(signal.SIGTERM)
        running.wait(30)
    assert json.loads(out.read_text()) == {"url": f"http://127.0.0.1:{port}/upgrade/"}


def test_an_interrupted_question_and_a_missing_command_are_documents_too(shop: Sample) -> None:
    for words, kind in (((), "usage"), (("hooks", "nonsense"), "usage"), (("rollback",), "usage")):
        said = run(shop, "--json", *words, out="file", err="terminal")
        assert (said.code, said.err) == (2, "")
        assert json.loads(said.out)["error"]["kind"] == kind
