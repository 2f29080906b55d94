"""A machine with its own systemd, one for all tests of this folder: booting takes a second, its base half a minute once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import systemd_root


@pytest.fixture(scope="session")
def base() -> Path:
    if why := systemd_root.missing():
        pytest.skip(why)
    try:
        return systemd_root.base_root()
    except RuntimeError as error:
        pytest.skip(f"no root for a machine could be made: {error}")


@pytest.fixture(scope="session")
def machine(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[systemd_root.Machine]:
    with systemd_root.Machine(base, tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def machine_for_app(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[systemd_root.Machine]:
    """One more, for the app of a single file of tests."""
    with systemd_root.Machine(base, tmp_path_factory.mktemp("machine")) as made:
        yield made
