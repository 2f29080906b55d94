"""A child that is asked again and again: its answers, and every way in which it can stop giving them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitdeploy.checkout.git import Repository
from gitdeploy.errors import CommandFailed
from gitdeploy.system.conversation import Conversation


def answering(tmp_path: Path, body: str) -> Conversation:
    """A child whose Python BODY has `lines`, what it is told."""
    program = tmp_path / "answers.py"
    program.write_text(f"import sys, time\nlines = (line.rstrip('\\n') for line in sys.stdin)\n{body}\n")
    return Conversation([sys.executable, "-I", "-u", str(program)], cwd=tmp_path, env={})


ECHO = "for line in lines: print('said', line)"


def test_questions_get_their_answers_in_order(tmp_path: Path) -> None:
    child = answering(tmp_path, ECHO)
    assert child.ask([b"one", b"two"], 20) == [b"said one", b"said two"]
    assert child.ask([], 20) == []
    assert child.ask([b"three"], 20) == [b"said three"]
    child.close()
    assert child.ask([b"four"], 20) == []


SIZES = """
for line in lines:
    size = int(line) if line.isdecimal() else 0
    body = b"\\n" * size + b"\\n" if line.isdecimal() else b""
    sys.stdout.buffer.write(f"id {line} {size if body else 'missing'}\\n".encode() + body)
    sys.stdout.flush()
"""


def test_headers_and_as_many_bytes_as_they_say(tmp_path: Path) -> None:
    child = answering(tmp_path, SIZES)
    assert child.read([b"3", b"none", b"0", b"1"], 20) == [
        (b"id 3 3", b"\n\n\n"), (b"id none missing", None), (b"id 0 0", b""), (b"id 1 1", b"\n"),
    ]  # fmt: skip
    ((_, large), (_, small)) = child.read([b"3000000", b"2"], 60)
    assert (len(large or b""), small) == (3_000_000, b"\n\n")
    child.close()


def test_a_child_that_ends_within_a_body_has_not_answered(tmp_path: Path) -> None:
    child = answering(tmp_path, "next(lines); print('id 2 2\\nab\\nid 9 9\\nshort', end='')")
    assert child.read([b"2", b"9"], 20) == [(b"id 2 2", b"ab")]
    assert child.over
    child.close()


def test_more_than_the_pipes_hold(tmp_path: Path) -> None:
    child = answering(tmp_path, ECHO)
    many = [b"%09d" % number * 20 for number in range(5000)]
    assert child.ask(many, 60) == [b"said " + line for line in many]
    child.close()


def test_a_child_that_ends_gives_the_answers_that_it_had(tmp_path: Path) -> None:
    child = answering(tmp_path, "print(next(lines)); sys.exit(3)")
    assert child.ask([b"one", b"two"], 20) == [b"one"]
    assert child.over
    assert child.ask([b"three"], 20) == []


def test_a_child_that_ended_before_it_was_asked_gives_no_answers(tmp_path: Path) -> None:
    child = answering(tmp_path, "")
    assert child.ask([b"one"] * 20_000, 20) == []
    assert child.over


def test_a_child_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    child = answering(tmp_path, "time.sleep(600)")
    with pytest.raises(CommandFailed, match="no answer in time"):
        child.ask([b"one"], 0.2)
    assert child.ask([b"one"], 20) == []


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="can't be executed"):
        Conversation([os.fspath(tmp_path / "none")], cwd=tmp_path, env={})


def test_threads_that_ask_one_repository_do_not_end_each_others_conversations(tmp_path: Path) -> None:
    """As two people who look at the plan at the same time: the one who began first ends first."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", os.fspath(tmp_path))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    repository = Repository.open(tmp_path)
    head = repository.resolve("HEAD")
    assert head is not None
    begun = threading.Event()

    def other() -> str | None:
        with repository.asking():
            begun.set()
            ended.wait(30)
            return repository.resolve("HEAD")

    ended = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        with repository.asking():
            asked = threads.submit(other)
            begun.wait(30)
        ended.set()
        assert asked.result(60) == head
