"""A machine with its own systemd, one for all tests of this folder: booting takes a second, its base half a minute once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_root import Machine, base_or_skip
from systemd_root import machine as booted


@pytest.fixture(scope="session")
def base() -> Path:
    return base_or_skip()


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def machine_for_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One more, for the app of a single file of tests."""
    with booted(tmp_path_factory.mktemp("machine")) as made:
        yield made
