"""Django: `APP/migrations/NAME.py` with a class Migration. The app's label is taken to be its folder's name."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.migrations.base import Change, Files, Migration, assigned, constant, parsed
from gitdeploy.text import clean, listing

PATH = re.compile(r"(?:.+/)?([A-Za-z_]\w*)/migrations/(?!__init__\.py)([A-Za-z0-9_]\w*)\.py")
# Operations that Django reverses by itself (Migration Operations; django.contrib.postgres.operations).
_REVERSIBLE = re.compile(
    r"(?:Create|Delete|Rename)Model|(?:Add|Remove|Alter|Rename)Field|(?:Add|Remove|Rename)Index(?:Concurrently)?"
    r"|(?:Add|Remove|Validate|Alter)Constraint|AddConstraintNotValid|AlterModel(?:Table|TableComment|Options|Managers)"
    r"|Alter(?:Unique|Index)Together|AlterOrderWithRespectTo|(?:Create|Remove)Collation|\w+Extension"
)
_NEEDS = {"RunPython": "reverse_code", "RunSQL": "reverse_sql"}


def compare(before: Files, after: Files) -> Iterator[Change]:
    """One change an app."""
    old, new = _by_app(before), _by_app(after)
    for folder in sorted({*old, *new}):
        had, has = old.get(folder, {}), new.get(folder, {})
        added = tuple(has[name] for name in sorted(has.keys() - had.keys()))
        gone = tuple(had[name] for name in sorted(had.keys() - has.keys()))
        if added or gone:
            label = folder.split("/")[-2]
            heads = [(_head(names),) if names else () for names in (had, has)]
            back = _head(had) if had else "zero"
            reverse = f"python manage.py migrate {shlex.quote(label)} {shlex.quote(back)}" if added else ""
            recorded = tuple(f"{label}.{name}" for name in sorted(has.keys() - had.keys()))
            graph = _graph(
                {path: after[path] for path in (f"{folder}/{name.partition('.')[2]}.py" for name in recorded)}
            )
            yield Change(
                "django", folder, heads[0], heads[1], added, gone, reverse, table="django_migrations", recorded=recorded,
                marked=tuple(name for name, node in graph.items() if node.contract),
                needs={name: node.needs for name, node in graph.items()},
            )  # fmt: skip


class _Node(Struct, frozen=True):
    """One migration in Django's graph: what it replaces, what it needs, and whether it says `contract = True`: that it is of
    the second half."""

    replaces: tuple[str, ...]
    needs: tuple[str, ...]
    contract: bool


def applied_by(files: Files) -> frozenset[str]:
    """Names that are recorded once the release with FILES has migrated a database: a squashed migration records what it
    replaces, too."""
    graph = _graph(files)
    return frozenset(graph).union(*(node.replaces for node in graph.values()))


def left_behind(files: Files, applied: frozenset[str]) -> tuple[str, ...]:
    """See the package. As Django's loader judges: what is applied in part is not taken for its squashed migration, so that each
    of those that it replaces must be there."""
    graph = _graph(files)
    covered = frozenset(graph).union(*(node.replaces for node in graph.values()))
    said = []
    for name, node in sorted(graph.items()):
        label = name.partition(".")[0]
        left = [each for each in node.replaces if each not in applied]
        if 0 < len(left) < len(node.replaces) and any(each not in graph for each in node.replaces):
            names = listing([clean(each) for each in left], 5)
            said.append(tr("{names} (replaced by {name})", names=names, name=clean(name)))
        first = not any(each.startswith(f"{label}.") for each in node.needs)
        if node.replaces or not first or name in applied:
            continue
        gone = sorted(each for each in applied - covered if each.startswith(f"{label}."))
        if gone:
            said.append(tr("what leads from {gone} to {name}", gone=clean(gone[-1]), name=clean(name)))
    return tuple(said)


def _graph(files: Files) -> dict[str, _Node]:
    """`app.name` -> its node, of each file that is a migration."""
    found = {}
    for path, content in files.items():
        matched = PATH.fullmatch(path)
        module = parsed(content) if matched else None
        for statement in module.body if module is not None else ():
            if matched and isinstance(statement, ast.ClassDef) and statement.name == "Migration":
                values = dict(assigned(statement.body))
                marked = "contract" in values and constant(values["contract"]) is True
                found[f"{matched[1]}.{matched[2]}"] = _Node(
                    _pairs(values.get("replaces")), _pairs(values.get("dependencies")), marked
                )
    return found


def _pairs(value: ast.expr | None) -> tuple[str, ...]:
    """`app.name` of each pair of texts in a list; what is computed is left out."""
    if not isinstance(value, ast.List | ast.Tuple):
        return ()
    pairs = (constant(each) for each in value.elts)
    return tuple(
        ".".join(pair)
        for pair in pairs
        if isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
    )


def _by_app(files: Files) -> dict[str, dict[str, Migration]]:
    found: dict[str, dict[str, Migration]] = {}
    for path, content in files.items():
        if (matched := PATH.fullmatch(path)) and (migration := _read(path, matched, content)) is not None:
            found.setdefault(path.rpartition("/")[0], {})[matched[2]] = migration
    return found


def _head(migrations: dict[str, Migration]) -> str:
    """The last by name: Django numbers them."""
    return max(migrations)


def _read(path: str, matched: re.Match[str], content: bytes) -> Migration | None:
    module = parsed(content)
    if module is None:
        return None
    for statement in module.body:
        if isinstance(statement, ast.ClassDef) and statement.name == "Migration":
            operations = dict(assigned(statement.body)).get("operations")
            reversible, why = _reversible(operations)
            return Migration(clean(f"{matched[1]}.{matched[2]}"), clean(path), reversible, why)
    return None


def _reversible(operations: ast.expr | None) -> tuple[bool | None, str]:
    if operations is None:
        return True, ""
    if not isinstance(operations, ast.List | ast.Tuple):
        return None, tr("its operations are computed")
    unknown = ""
    for operation in operations.elts:
        known, why = _operation(operation)
        if known is False:
            return False, why
        unknown = unknown or why
    return (None, unknown) if unknown else (True, "")


def _operation(operation: ast.expr) -> tuple[bool | None, str]:
    if not isinstance(operation, ast.Call):
        return None, tr("one of its operations is computed")
    name = operation.func.attr if isinstance(operation.func, ast.Attribute) else getattr(operation.func, "id", "")
    if name in _NEEDS:
        given = [keyword.value for keyword in operation.keywords if keyword.arg == _NEEDS[name]] or operation.args[1:2]
        back = bool(given) and not (isinstance(given[0], ast.Constant) and constant(given[0]) is None)
        return (True, "") if back else (False, tr("{name} without {needs}", name=name, needs=_NEEDS[name]))
    if name == "SeparateDatabaseAndState":
        inner = [keyword.value for keyword in operation.keywords if keyword.arg == "database_operations"]
        return _reversible((inner or operation.args[:1] or [ast.List([])])[0])
    if _REVERSIBLE.fullmatch(name):
        return True, ""
    return None, tr("{name} is an operation of its own", name=clean(name, limit=60))
