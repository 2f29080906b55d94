"""Tables that are not the app's users' data: what frameworks and the database itself keep about the schema."""

from __future__ import annotations

from collections.abc import Mapping

from gitdeploy.databases.base import Written

DJANGO, ALEMBIC = "django_migrations", "alembic_version"
_OWN = frozenset((DJANGO, ALEMBIC, "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"))


def is_bookkeeping(table: str) -> bool:
    """Whether TABLE (`public.django_migrations`, too) is one of them: what a migration writes there is no user's row."""
    return table.rpartition(".")[2] in _OWN


def by_counters(before: Mapping[str, int], now: Mapping[str, int]) -> Written:
    """What was written between two looks at counters of written rows, whose keys are a table's number and its name."""
    told = before.keys() <= now.keys()  # one that is gone, or has another name, may have been written into
    names = {key.partition(" ")[2] for key in before}
    tables = {}
    for key, number in now.items():
        name = key.partition(" ")[2]
        rows = number - before.get(key, 0)
        if key not in before and name in names:
            told = False  # made anew: how much of it is new can't be told
        elif rows > 0 and not is_bookkeeping(name):
            tables[name.removeprefix("public.")] = rows
        told = told and rows >= 0
    return Written(tables, told)
