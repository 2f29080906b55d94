"""What is known of migrations, whatever the framework."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

Files = Mapping[str, bytes]


class Migration(Struct, frozen=True):
    """One migration. `reversible`: None where it can't be told; `why` says why it isn't (or may not be)."""

    name: str
    file: str
    reversible: bool | None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "file": self.file, "reversible": self.reversible, "why": self.why}


class Change(Struct, frozen=True):
    """What a release does to the migrations of one framework in one folder.

    new: in order; gone: those that only the release before has; heads: the newest ones before and after; reverse: the
    command that takes the new ones back, run with the release's own files; warnings: sentences; table: in which the
    framework records what it has done, and how (`recorded`: the name of each new one in it); marked: those of `recorded` that
    say that they are of the second half; needs: what each of `recorded` comes after.
    """

    framework: str
    folder: str
    heads_before: tuple[str, ...]
    heads_after: tuple[str, ...]
    new: tuple[Migration, ...]
    gone: tuple[Migration, ...]
    reverse: str
    warnings: tuple[str, ...] = ()
    table: str = ""
    recorded: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def irreversible(self) -> list[Migration]:
        return [migration for migration in self.new if migration.reversible is not True]

    def as_dict(self) -> dict[str, Any]:
        return {
            "framework": self.framework,
            "folder": self.folder,
            "heads_before": list(self.heads_before),
            "heads_after": list(self.heads_after),
            "new": [migration.as_dict() for migration in self.new],
            "gone": [migration.as_dict() for migration in self.gone],
            "reverse": self.reverse,
        }


def second_half(changes: Sequence[Change], listed: Collection[str] = ()) -> frozenset[str]:
    """Those of `recorded` of CHANGES that run only after the release is final: marked, LISTED (`shop`, `shop.0004_drop`), and
    whatever needs one of them."""
    recorded = [name for change in changes for name in change.recorded]
    needs = {name: needed for change in changes for name, needed in change.needs.items()}
    wanted = {*listed, *(name for change in changes for name in change.marked)}
    found = {name for name in recorded if name in wanted or name.partition(".")[0] in listed}
    for _ in recorded:
        more = {name for name in recorded if name not in found and found.intersection(needs.get(name, ()))}
        if not more:
            break
        found |= more
    return frozenset(found)


def parsed(content: bytes) -> ast.Module | None:
    """The syntax tree of a file of a release; None where it is not Python, or made to break a parser."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of each plain assignment in BODY."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value


def constant(value: ast.expr) -> Any:
    """The value of a literal; None for anything else."""
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
