"""No hint without its test: each that the source holds is followed by a case, by another test, or is no act on this machine."""

from __future__ import annotations

from hints import collected, elsewhere
from hints.following import matches
from hints.table import CASES

HINTS = {hint.template: hint.place for hint in collected.hints()}
FOLLOWED = {case.hint for case in CASES.values()}


def is_of(entry: str, template: str) -> bool:
    """Whether ENTRY, what a case or a list has, is the source's TEMPLATE: its beginning, or made of it."""
    return template.startswith(entry) or matches(template, entry) or matches(entry, template)


def test_every_hint_is_followed_or_says_why_not() -> None:
    known = [
        *FOLLOWED,
        *elsewhere.FOLLOWED_ELSEWHERE,
        *(text for texts in elsewhere.NOT_COMMANDS.values() for text in texts),
    ]
    left = [
        f"{place}  {template}"
        for template, place in HINTS.items()
        if not any(is_of(entry, template) for entry in known)
    ]
    assert not left, "follow each in a case of tests/hints:\n" + "\n".join(left)
