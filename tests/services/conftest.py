"""A machine with its own systemd, one for all tests of this folder: booting takes a second, its base half a minute once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import systemd_root


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
