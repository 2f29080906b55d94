"""A child that is asked again and again: its answers, and every way in which it can stop giving them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gitdeploy.conversation import Conversation
from gitdeploy.errors import CommandFailed


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
