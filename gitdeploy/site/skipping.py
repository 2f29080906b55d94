"""Releases that are not installed by themselves, because a person said so: by name (`gitdeploy skip`), or by going back
from one. Naming one in an upgrade installs it all the same, which lifts the skip."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import asdict

from gitdeploy.errors import PolicyError
from gitdeploy.messages import heard, said, tr
from gitdeploy.state import Database
from gitdeploy.state.sqlite import now
from gitdeploy.text import clean, shell_word
from gitdeploy.versions import CodeState, order, read_version

_SKIPPED = "skipped"  # in the database: tag -> Skip
BACK = "back"  # Skip.how: somebody went back from it
NAMED = "named"


class Skip(Struct, frozen=True):
    """A skipped release: why, by whom and when (ISO 8601). `how`: `named`, or `back` where somebody went back from it; then
    no release up to it is installed automatically either, else the next older one would come in its place."""

    tag: str
    reason: str
    by: str
    at: str
    how: str = NAMED

    @property
    def sentence(self) -> str:
        """`v1.3.0 is skipped here by alice since 2026-11-30: slow`."""
        why = tr(": {reason}", reason=clean(self.reason)) if self.reason else tr(".")
        return tr(
            "{tag} is skipped here by {by} since {at}{why}",
            tag=clean(self.tag),
            by=clean(self.by),
            at=self.at[:10],
            why=why,
        )

    @property
    def way(self) -> str:
        """The command that lifts it."""
        return f"gitdeploy unskip {shell_word(self.tag)}"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def _heard(stored: Mapping[str, str]) -> Skip:
    known = {name: str(stored[name]) for name in Skip.__struct_fields__ if name in stored}
    return Skip(**{**known, "reason": heard(stored, "reason")})


class Skips:
    """The skipped releases of one app; `prefix`: its `source.tag_prefix`."""

    def __init__(self, found: Mapping[str, Skip], prefix: str) -> None:
        self._found = dict(found)
        self._prefix = prefix

    @classmethod
    def read(cls, database: Database | None, prefix: str) -> Skips:
        text = database.meta_get(_SKIPPED) if database is not None else None
        stored: dict[str, dict[str, str]] = json.loads(text) if text else {}
        return cls({tag: _heard(entry) for tag, entry in stored.items()}, prefix)

    def all(self) -> list[Skip]:
        """Newest release first."""
        return sorted(self._found.values(), key=lambda skip: order(skip.tag, self._prefix), reverse=True)

    def of(self, tag: str | None) -> Skip | None:
        """The skip of the release TAG itself."""
        return self._found.get(tag or "")

    def against(self, tag: str | None) -> Skip | None:
        """What keeps TAG from being installed automatically: its own skip, or that of a newer release from which somebody went
        back."""
        if (own := self.of(tag)) is not None or read_version(tag or "", self._prefix) is None:
            return own
        here = order(tag or "", self._prefix)
        later = [skip for skip in self.all() if skip.how == BACK and order(skip.tag, self._prefix) > here]
        return later[0] if later else None


def skip(database: Database, tag: str, *, reason: str, by: str, how: str = NAMED) -> Skip:
    """Skip the release TAG from now on."""
    made = Skip(tag, clean(reason, limit=300), by, now(), how)

    def add(text: str | None) -> str:
        found: dict[str, object] = json.loads(text) if text else {}
        return json.dumps({**found, tag: {**asdict(made), **said(made.reason, "reason")}})

    database.meta_change(_SKIPPED, add)
    return made


def unskip(database: Database, tag: str) -> bool:
    """Lift the skip of TAG; False where there was none."""
    there = False

    def take(text: str | None) -> str | None:
        nonlocal there
        found: dict[str, object] = json.loads(text) if text else {}
        there = found.pop(tag, None) is not None
        return json.dumps(found) if found else None

    database.meta_change(_SKIPPED, take)
    return there


def after_deployment(
    database: Database, action: str, origin: CodeState, target: CodeState, *, by: str, prefix: str
) -> Skip | None:
    """TARGET was put in ORIGIN's place by hand: its own skip is lifted; ORIGIN is skipped where it is the newer one, also
    where somebody went back to what is not a release. Returns that skip."""
    if target.tag is not None:
        unskip(database, target.tag)
    then, there = (read_version(state.tag or "", prefix) for state in (origin, target))
    if there is None:
        there = read_version(target.version or "")
    if origin.tag is None or then is None or origin.commit == target.commit:
        return None
    if there >= then if there is not None else action == "upgrade":
        return None
    verb = tr("rolled back") if action == "rollback" else tr("restored") if action == "restore" else tr("downgraded")
    return skip(database, origin.tag, reason=tr("{verb} to {target}", verb=verb, target=target.name), by=by, how=BACK)


def refusal(found: Skip, tag: str) -> PolicyError:
    """Why TAG is not installed unless it is named."""
    kept = found.sentence
    if found.tag != tag:
        kept = tr(
            "{tag} is older than a release from which somebody went back: {sentence}",
            tag=clean(tag),
            sentence=found.sentence,
        )
    return PolicyError(
        kept,
        tr(
            "To install it all the same: gitdeploy upgrade {tag}\nTo lift the skip: {way}",
            tag=shell_word(tag),
            way=found.way,
        ),
    )
