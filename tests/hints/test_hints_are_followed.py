"""Provoke, follow the hint by its own text, go on: the same command succeeds, or that problem is gone."""

from __future__ import annotations

import pytest

from hints.following import App, go
from hints.table import CASES


@pytest.mark.parametrize("name", CASES)
def test_the_hint_solves_it(app: App, name: str) -> None:
    go(app, CASES[name])
