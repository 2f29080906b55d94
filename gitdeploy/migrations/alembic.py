"""Alembic and Flask-Migrate: `FOLDER/versions/NAME.py` beside `FOLDER/env.py`, each naming the revision below it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.migrations.base import Change, Files, Migration, assigned, constant, parsed
from gitdeploy.text import clean, listing

CONTRACT = "contract"  # the branch label of the second half, beside `expand`
PATH = re.compile(r"(?:.+/)?(?:versions/[^/]+\.py|env\.py)")


class _Revision(Struct, frozen=True):
    revision: str
    below: tuple[str, ...]
    migration: Migration
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def compare(before: Files, after: Files) -> Iterator[Change]:
    """One change a folder of migrations."""
    for folder in sorted({*_folders(before), *_folders(after)}):
        old, new = _revisions(before, folder), _revisions(after, folder)
        added = tuple(each.migration for each in _in_order(new) if each.revision not in old)
        gone = tuple(each.migration for each in _in_order(old) if each.revision not in new)
        if not added and not gone:
            continue
        heads = (_heads(old), _heads(new))
        warnings: tuple[str, ...] = ()
        if len(heads[1]) > 1:
            warnings = (
                tr(
                    "The migrations in {folder} have {number} heads ({names}): `upgrade head` refuses that; "
                    "`upgrade heads` or a merge revision is needed.",
                    folder=clean(folder),
                    number=len(heads[1]),
                    names=listing(heads[1], 5),
                ),
            )
        flask = b"flask" in after.get(f"{folder}/env.py", b"").lower()
        words = "python -m flask db downgrade" if flask else "python -m alembic downgrade"
        back = heads[0][0] if len(heads[0]) == 1 else "base" if not heads[0] else ""
        reverse = tr("{words} {back}", words=words, back=shlex.quote(back)) if added and back else ""
        name = "flask-migrate" if flask else "alembic"
        recorded = tuple(each.revision for each in _in_order(new) if each.revision not in old)
        table = _table(after.get(f"{folder}/env.py", b""))
        marked = tuple(each for each in recorded if _on_branch(new, each, CONTRACT))
        needs = {each: (*new[each].below, *new[each].needs) for each in recorded}
        yield Change(
            name, clean(folder), heads[0], heads[1], added, gone, reverse, warnings, table, recorded, marked, needs
        )


def _table(environment: bytes) -> str:
    """In which Alembic keeps the revision: `alembic_version` unless env.py says otherwise; empty where it computes it."""
    if b"version_table" not in environment:
        return "alembic_version"
    found = re.search(rb"""\bversion_table["']?\s*[=:]\s*["']([A-Za-z_]\w{0,60})["']""", environment)
    return found[1].decode() if found else ""


def _folders(files: Files) -> set[str]:
    environments = {path.removesuffix("/env.py") for path in files if path.endswith("/env.py")}
    return {folder for folder in environments if any(path.startswith(f"{folder}/versions/") for path in files)}


def _revisions(files: Files, folder: str) -> dict[str, _Revision]:
    found = {}
    for path, content in files.items():
        if path.startswith(f"{folder}/versions/") and (revision := _read(path, content)) is not None:
            found[revision.revision] = revision
    return found


def _on_branch(revisions: Mapping[str, _Revision], name: str, label: str) -> bool:
    """Whether NAME, or one that it comes after, has the branch label LABEL."""
    waiting, seen = [name], set[str]()
    while waiting:
        each = waiting.pop()
        if each in seen or each not in revisions:
            continue
        seen.add(each)
        if label in revisions[each].labels:
            return True
        waiting += revisions[each].below
    return False


def _texts(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value)) if isinstance(value, tuple | list) else ()


def _read(path: str, content: bytes) -> _Revision | None:
    module = parsed(content)
    if module is None:
        return None
    values = {name: constant(value) for name, value in assigned(module.body)}
    revision, below = values.get("revision"), values.get("down_revision")
    if not isinstance(revision, str) or not re.fullmatch(r"[\w.-]{1,64}", revision):
        return None
    about = (ast.get_docstring(module) or "").strip().partition("\n")[0]
    name = clean(f"{revision} {about}".strip(), limit=100)
    migration = Migration(name, clean(path), *_reversible(module))
    labels, needs = _texts(values.get("branch_labels")), _texts(values.get("depends_on"))
    return _Revision(revision, _texts(below), migration, labels, needs)


def _reversible(module: ast.Module) -> tuple[bool, str]:
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "downgrade":
            acts = [line for line in statement.body if not _does_nothing(line)]
            if not acts:
                return False, tr("its downgrade() does nothing")
            if isinstance(acts[0], ast.Raise):
                return False, tr("its downgrade() refuses")
            return True, ""
    return False, tr("it has no downgrade()")


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _heads(revisions: Mapping[str, _Revision]) -> tuple[str, ...]:
    below = {name for revision in revisions.values() for name in revision.below}
    return tuple(sorted(revisions.keys() - below))


def _in_order(revisions: Mapping[str, _Revision]) -> list[_Revision]:
    """From the base upwards; a circle, which Alembic would refuse, ends where it begins."""
    depth: dict[str, int] = {}
    for _ in range(len(revisions)):
        before = dict(depth)
        for name, revision in revisions.items():
            depth[name] = 1 + max((depth.get(below, 0) for below in revision.below if below in revisions), default=0)
        if depth == before:
            break
    return sorted(revisions.values(), key=lambda revision: (depth[revision.revision], revision.revision))
