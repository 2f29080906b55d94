"""Data that a deployment replaced, as its journal has them: what was written meanwhile, and where the copy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from gitdeploy.messages import joined, tr
from gitdeploy.state import Record
from gitdeploy.text import clean, count, listing, moment_text, path_text

RECORD = "data-kept"
UNDONE = "data-undone"  # the data that a restore had brought went away again: what it had replaced is live
CLOSED = tr("; nothing was lost.")
_MOST_TABLES = 8


class Kept(Struct, frozen=True):
    """One database or path that was replaced. `since`, `until`: when what it is now was saved, and when it was replaced
    (ISO 8601, empty where not known). `rows` by table, or `files`, were written in between; `told`: False where there
    may be more. `file`: the copy, empty where nothing was there; `backup`: which holds it; `keep_until`: until when."""

    name: str
    kind: str
    file: str
    size: int
    since: str = ""
    until: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    told: bool = False
    backup: str = ""
    keep_until: str = ""
    reader: str = ""

    @property
    def nothing_written(self) -> bool:
        return self.told and not self.rows and not self.files

    def as_dict(self) -> dict[str, Any]:
        """The shape of an entry of `replaced` in JSON."""
        return {name: value for name, value in asdict(self).items() if name != "reader"}


def kept_of(records: Sequence[Record]) -> list[Kept]:
    """What the journal says was replaced, the first copy of each (what an earlier, killed run had kept)."""
    found: dict[tuple[str, str], Kept] = {}
    for record in records:
        if record.kind == UNDONE:
            found.clear()
        if record.kind == RECORD:
            known = {k: v for k, v in record.data.items() if k in Kept.__struct_fields__ and k != "name"}
            entry = Kept(**{"kind": "database", "file": "", "size": 0, **known, "name": record.step})
            found.setdefault((entry.kind, entry.name), entry)
    return list(found.values())


def closing(records: Sequence[Record], *, told: bool = True) -> str:
    """How the sentence about a roll-back ends: that nothing was lost only where it is so. TOLD: False where data may have
    been changed that could not be put back."""
    replaced = [kept for kept in kept_of(records) if not kept.nothing_written]
    if replaced:
        return tr(
            "; what was written meanwhile into {replaced} is no longer live, but kept.",
            replaced=listing([path_text(k.name) for k in replaced], 5),
        )
    return CLOSED if told else tr("; its data were not put back.")


def replaced_sentence(records: Sequence[Record]) -> str:
    """What a restore by hand replaced, where something had been written meanwhile; empty, or a sentence after a space."""
    replaced = [kept for kept in kept_of(records) if not kept.nothing_written]
    if not replaced:
        return ""
    said = joined(
        "; ",
        (
            tr(
                "{kept}: {amount} since {since}",
                kept=path_text(kept.name),
                amount=_amount(kept),
                since=moment_text(kept.since),
            )
            for kept in replaced[:5]
        ),
    )
    until = moment_text(max(kept.keep_until for kept in replaced))
    return tr(
        " No longer live, kept in backup {backup} until {until}: {said}.",
        backup=replaced[0].backup,
        until=until,
        said=said,
    )


def _amount(kept: Kept) -> str:
    if kept.files:
        return count(kept.files, "file")
    rows = sum(kept.rows.values())
    if not rows:
        return tr("what was written")
    return ("" if kept.told else tr("at least ")) + count(rows, "row")


def written_text(kept: Kept) -> str:
    """What was written since when until when, in a sentence."""
    between = (
        tr("between {since} and {until}", since=moment_text(kept.since), until=moment_text(kept.until))
        if kept.since
        else tr("meanwhile")
    )
    if kept.nothing_written:
        return tr("Nothing but the migration was written into it {between}.", between=between)
    if kept.files:
        return tr("Changed {between}, no longer live: {count}.", between=between, count=count(kept.files, "file"))
    if not kept.rows:
        return tr("How much was written into it {between} can't be told; none of it is live.", between=between)
    most = sorted(kept.rows.items(), key=lambda pair: -pair[1])
    rows = listing(
        [tr("{count} in {table}", count=count(number, "row"), table=clean(table, limit=80)) for table, number in most],
        _MOST_TABLES,
    )
    least = "" if kept.told else tr("at least ")
    return tr(
        "Written into it {between}, no longer live: {least}{rows} (those of the migration among them).",
        between=between,
        least=least,
        rows=rows,
    )


def told(kept: Kept) -> str:
    """What became of it in a restore by hand, in sentences."""
    return tr(
        "{kept} was put back as it was at {since}. {written_text} What it held until now is in "
        "backup {backup}, kept until {keep_until}.",
        kept=path_text(kept.name),
        since=moment_text(kept.since),
        written_text=written_text(kept),
        backup=kept.backup,
        keep_until=moment_text(kept.keep_until),
    )
