"""How scratch databases are called, and which variables name one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gitdeploy.databases import open_databases
from gitdeploy.databases.scratch import names_a_database, scratch_name, scratch_of
from gitdeploy.databases.sqlite import SQLite


@pytest.mark.parametrize(
    ("variables", "may"),
    [
        (
            "DB_NAME POSTGRES_DB PGDATABASE MYSQL_DATABASE DATABASE SHOP_DB_NAME DB_NAME_TEST DB_DEFAULT DATABASE_NAME_2",
            True,
        ),
        (
            "DB_USER DB_USERNAME DATABASE_USER SHOP_DB_USER DB_ROLE DB_OWNER DB_HOST DB_PASSWORD DB_USER_1 APP_NAME",
            False,
        ),
    ],
)
def test_a_variable_that_names_a_database(variables: str, may: bool) -> None:
    """A role is most often called as its database is: its name stays."""
    assert [name for name in variables.split() if names_a_database(name) != may] == []


def test_a_schema_is_in_the_database_or_is_it(tmp_path: Path) -> None:
    for kind, told in (("postgresql", None), ("mysql", "store_gitdeploy_r1")):
        (live,) = open_databases([SimpleNamespace(url=f"{kind}://store@/store", env=None)], tmp_path, {})
        scratch = scratch_of(live, "r1", tmp_path, tmp_path, tmp_path)
        assert [scratch.told(name, "store", None) for name in ("DB_SCHEMA", "DB_NAME")] == [told, "store_gitdeploy_r1"]


def test_each_database_has_a_scratch_one_of_its_own(tmp_path: Path) -> None:
    """Long names that begin the same, and files of one name in two folders."""
    long = "a_company_with_a_very_long_name_of_its_shops_"
    names = [scratch_name(long + end, "r123456") for end in ("orders", "customers")]
    assert len({*names}) == 2
    assert max(map(len, names)) <= 63
    files = [SQLite(tmp_path / folder / "app.db", "") for folder in "ab"]
    app = tmp_path / "app"
    assert len({scratch_of(file, "r1", app / "place", app, app / "place/app").bare for file in files}) == 2
