"""Every command line that README and docs show is one that gitdeploy has: its command, and each option.
What they do is tested by e2e/test_documented_commands.py."""

from __future__ import annotations

import pytest
from click import BadOptionUsage, Context, Group, UsageError

from docs.commands import Command, named, typed
from gitdeploy.cli import cli
from gitdeploy.cli.screen import Screen

pytestmark = pytest.mark.quick
PLACEHOLDERS = {"COMMAND", "...", "…", "[-C"}  # the last: the synopsis


def problem(command: Command) -> str | None:
    """What is wrong with it; None where gitdeploy has it."""
    known, rest, above = cli, list(command.words), None
    while True:
        context = Context(known, parent=above, obj=Screen(), **known.context_settings)
        context.allow_interspersed_args = not isinstance(known, Group)
        try:
            _, rest, _ = known.make_parser(context).parse_args(rest)
        except BadOptionUsage as error:  # an option that is named, without a value
            return None if error.option_name == command.words[-1] else error.format_message()
        except UsageError as error:
            return error.format_message()
        if not isinstance(known, Group) or not rest or rest[0] in PLACEHOLDERS:
            return None
        found = known.get_command(context, rest[0])
        if found is None:
            return f"there is no command {rest[0]}"
        known, rest, above = found, rest[1:], context  # type: ignore[assignment]


def test_what_is_shown_is_there() -> None:
    found = [*typed(), *named()]
    assert len(found) > 250, "the pages are read as they are written"
    assert [f"{each.place}: {why}" for each in found if (why := problem(each)) is not None] == []


@pytest.mark.parametrize(
    "line", ["upgrad", "upgrade --no-such-option", "web tokens", "backups show --nothing x", "-X status"]
)
def test_what_is_not_there_is_found(line: str) -> None:
    assert problem(Command(tuple(line.split()), (), line)) is not None
