"""No hint without its test: each that the source holds is followed by a case, by another test, or is not an act on this machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from gitdeploy.cli import cli
from hints import collected
from hints.elsewhere import FOLLOWED_ELSEWHERE, NOT_COMMANDS
from hints.following import matches
from hints.table import CASES

TESTS = Path(__file__).parents[1]
HINTS = {hint.template: hint.place for hint in collected.hints()}
NOT = [text for texts in NOT_COMMANDS.values() for text in texts]


def is_of(entry: str, template: str) -> bool:
    """Whether ENTRY, what a case or a list has, is the source's TEMPLATE: its beginning, or with its gaps elsewhere."""
    return template.startswith(entry) or (matches(entry, template) and len(entry) > len(template) // 2)


def test_every_hint_is_followed_or_says_why_not() -> None:
    known = [*(case.hint for case in CASES.values()), *FOLLOWED_ELSEWHERE, *NOT]
    left = [f"{place}  {text}" for text, place in HINTS.items() if not any(is_of(entry, text) for entry in known)]
    assert not left, "follow each in a case of tests/hints:\n" + "\n".join(left)


def test_no_list_names_what_no_source_has() -> None:
    gone = [entry for entry in (*FOLLOWED_ELSEWHERE, *NOT) if not any(is_of(entry, template) for template in HINTS)]
    assert not gone


def test_the_tests_that_are_named_are_there() -> None:
    gone = []
    for test in sorted({*FOLLOWED_ELSEWHERE.values()}):
        file, _, name = test.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        gone += [test] if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} else []
    assert not gone


COMMAND = re.compile(r"gitdeploy ((?:[a-z]+(?: [a-z]+)?)(?: (?:--?[a-z-]+|[A-Z]+|\{\}|[\w.]+))*)")
"""A command of ours within a hint, with its options."""


@pytest.mark.parametrize("template", [template for template in HINTS if "gitdeploy " in template])
def test_every_command_has_the_options_that_a_hint_gives_it(template: str) -> None:
    for words in COMMAND.findall(template):
        first, *more = words.split()
        if first not in cli.commands:
            continue  # "of gitdeploy's", "run gitdeploy as"
        command = cli.commands[first]
        if isinstance(command, click.Group) and more and more[0] in command.commands:
            command = command.commands[more.pop(0)]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in more if word.startswith("-")} <= known, words


SHELL = re.compile(r"\b(?:git|chmod|chown|rm|mv|cp|ln|mount|umount|gitdeploy) [^.;]*$")


def test_what_is_typed_is_quoted_for_a_shell() -> None:
    """`path_text` and `clean` make a name fit to be read; a command's word is made by `shell_word`."""
    wrong = []
    for place, node in collected.texts():
        for said in collected.pieces(node):
            before = ""
            for part in said:
                shown = "" if isinstance(part, str) else ast.unparse(part)
                if SHELL.search(before) and re.match(r"(path_text|clean|str)\(", shown):
                    wrong.append(f"{place}:{node.lineno}  {shown}")
                before += part if isinstance(part, str) else "X"
    assert not wrong
