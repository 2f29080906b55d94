"""The fleet of this folder's tests."""

from __future__ import annotations

import pytest
from support.local_fleet import LocalFleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> LocalFleet:
    pytest.importorskip("ansible_runner")
    return LocalFleet(tmp_path_factory.mktemp("fleet"))
