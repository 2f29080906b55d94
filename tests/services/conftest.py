"""A machine with its own systemd, one for all tests of this folder: booting takes a second, its base half a minute once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import systemd_root  # beside this folder: other tests use it too


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[systemd_root.Machine]:
    if why := systemd_root.missing():
        pytest.skip(why)
    try:
        base = systemd_root.base_root()
    except RuntimeError as error:
        pytest.skip(f"no root for a machine could be made: {error}")
    with systemd_root.Machine(base, tmp_path_factory.mktemp("machine")) as made:
        yield made
