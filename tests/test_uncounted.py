"""What was written into a PostgreSQL database, where its server goes away between two questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdeploy.databases.base import Dump
from gitdeploy.databases.postgresql import PostgreSQL


def test_a_server_that_goes_away_has_not_said_that_it_counted_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else "nothing was lost" would be said of what nobody could tell."""
    nobody = PostgreSQL.from_url(f"postgresql:///shop?host={tmp_path}", tmp_path, {})
    monkeypatch.setattr(PostgreSQL, "counters", lambda self: {"1 public.orders": 5})  # the first question was answered
    dump = Dump("shop", "postgresql", "dump", 1, 0.1, "f", counters={"1 public.orders": 5})
    assert nobody.written(tmp_path, dump, None).told is False
