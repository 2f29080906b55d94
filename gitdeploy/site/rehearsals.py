"""What the rehearsals of releases came to here: kept by the release's commit, shown until something is otherwise than it was
then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field, json, to_builtins

from gitdeploy.config import Config
from gitdeploy.messages import capital, heard, joined, said, tr, without_stop
from gitdeploy.state import Database
from gitdeploy.text import duration_text

_KEPT = "rehearsals"  # in the database: commit -> what its last rehearsal came to, the newest last
_MOST = 20

Back = Literal["works", "fails", "not_tried"]


class Data(Struct, frozen=True):
    """One database in a rehearsal: rows by table, as far as they are counted, and bytes, before and after the migration."""

    name: str
    rows_before: Mapping[str, int]
    rows_after: Mapping[str, int]
    bytes_before: int
    bytes_after: int


class Rehearsal(Struct, frozen=True):
    """How a release did in a copy of the app. Durations are seconds, `at` is ISO 8601, `disk` bytes.

    step, reason: where and why it failed, empty where it passed. migration, second_half: what the hooks of the two halves took; None: there are none.
    health: what was answered; empty where the app was not started. back: whether the old release works on the data that the
    new one has migrated, and why not, or why that was not tried. withheld: names of variables that it did without. locks: what a
    migration held, in sentences. config, schema, origin (the commit that was live): by which it is known to be of another time.
    """

    tag: str
    commit: str
    deployment: int
    at: str
    duration: float
    step: str = ""
    reason: str = ""
    migration: float | None = None
    second_half: float | None = None
    health: str = ""
    back: Back = "not_tried"
    back_reason: str = ""
    databases: tuple[Data, ...] = ()
    locks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    apart: bool = True
    disk: int = 0
    planned_disk: int = 0
    config: str = ""
    schema: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""

    @property
    def passed(self) -> bool:
        return not self.step

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        shown: dict[str, Any] = to_builtins(self, enc_hook=str)
        for name in ("config", "schema", "origin"):
            del shown[name]
        return {
            **shown,
            "passed": self.passed,
            **said(self.reason, "reason"),
            **said(self.health, "health"),
            **said(self.back_reason, "back_reason"),
        }


class Known(Struct, frozen=True):
    """A kept rehearsal, and why it tells nothing any more: empty where it does."""

    rehearsal: Rehearsal
    stale: str = ""

    @property
    def counts(self) -> bool:
        """Whether the release has passed, and all is as it was then."""
        return self.rehearsal.passed and not self.stale

    def as_dict(self) -> dict[str, Any]:
        return {**self.rehearsal.as_dict(), **said(self.stale, "stale"), **said(self.sentence(), "sentence")}

    def shown(self) -> str:
        """`sentence`, as one of its own."""
        return tr("{sentence}.", sentence=capital(self.sentence()))

    def sentence(self, moment: datetime | None = None) -> str:
        """`rehearsed 2 h ago: migration 41 s, healthy; the old release works on the new schema`."""
        found = self.rehearsal
        age = (moment or datetime.now(UTC)) - datetime.fromisoformat(found.at)
        ago = duration_text(max(0.0, age.total_seconds()))
        if self.stale:
            return tr("rehearsed {ago} ago, which tells nothing any more: {why}", ago=ago, why=self.stale)
        if not found.passed:
            return tr(
                "rehearsed {ago} ago: failed at {step}: {reason}",
                ago=ago,
                step=found.step,
                reason=without_stop(found.reason),
            )
        return tr("rehearsed {ago} ago: {told}", ago=ago, told=self.told())

    def told(self) -> str:
        """What one that passed came to, without when it was."""
        found = self.rehearsal
        parts = [
            tr("no migration")
            if found.migration is None
            else tr("migration {took}", took=duration_text(found.migration)),
            *([tr("its second half {took}", took=duration_text(found.second_half))] if found.second_half else []),
            tr("healthy") if found.health else tr("not started (rehearse.command)"),
        ]
        return tr("{told}; {back}", told=joined(", ", parts), back=back_sentence(found))


def back_sentence(found: Rehearsal) -> str:
    """Whether a rollback would need the data of before."""
    if found.back == "works":
        return tr("the old release works on the new schema")
    if found.back == "fails":
        return tr("the old release fails on the new schema: {reason}", reason=without_stop(found.back_reason))
    return tr("the old release was not tried on the new schema ({reason})", reason=found.back_reason)


def settings_digest(before: Config, after: Config) -> str:
    """What of deploy.yaml a rehearsal was made with: the live one, and the release's."""
    return hashlib.sha256(b"\0".join((before.text or b"", after.text or b""))).hexdigest()


def keep(database: Database, rehearsal: Rehearsal) -> None:
    """Keep what a rehearsal came to, in place of an earlier one of the same release."""
    texts = {name: said(getattr(rehearsal, name), name) for name in ("reason", "health", "back_reason")}
    made = {**to_builtins(rehearsal, enc_hook=str), "said": texts}

    def add(text: str | None) -> str:
        found: dict[str, Any] = json.decode(text) if text else {}
        found.pop(rehearsal.commit, None)
        return json.encode(dict(list({**found, rehearsal.commit: made}.items())[-_MOST:])).decode()

    database.meta_change(_KEPT, add)


def last(database: Database | None, commit: str) -> Rehearsal | None:
    """The last rehearsal of the release of COMMIT, whatever is otherwise now."""
    text = database.meta_get(_KEPT) if database is not None else None
    found: dict[str, Any] | None = json.decode(text).get(commit) if text else None
    if found is None:
        return None
    texts = found.pop("said", {})
    for name, told in texts.items():
        found[name] = heard(told, name)
    databases = tuple(Data(**each) for each in found.pop("databases"))
    lists = {name: tuple(found.pop(name)) for name in ("locks", "warnings", "withheld")}
    known = {name: value for name, value in found.items() if name in Rehearsal.__struct_fields__}
    return Rehearsal(**{**known, **lists, "databases": databases})


def known(
    database: Database | None,
    commit: str,
    *,
    settings: str | None = None,
    origin: str | None = None,
    schema: Mapping[str, str] | None = None,
) -> Known | None:
    """The last rehearsal of the release of COMMIT. SETTINGS, SCHEMA: as they are now, where that was found out; ORIGIN: the
    commit that is live."""
    found = last(database, commit)
    if found is None:
        return None
    if settings is not None and settings != found.config:
        return Known(found, tr("deploy.yaml was changed since"))
    if origin is not None and origin != found.origin:
        return Known(found, tr("another commit is live since"))
    if schema is not None and dict(schema) != dict(found.schema):
        return Known(found, tr("the schema of the database was changed since"))
    return Known(found)
