"""The apps of the campaign, made once for each test process, in memory where there is enough of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fast import fast_folder

from .app import CrashApp, CrashModules
from .served import ServedApp


def made(kind: type[CrashApp]) -> Iterator[CrashApp]:
    with tempfile.TemporaryDirectory(prefix="gitdeploy-crash-", dir=fast_folder()) as folder:
        app = kind(Path(folder) / "campaign")
        app.build()
        try:
            yield app
        finally:
            app.close()


@pytest.fixture(scope="session")
def crash_app() -> Iterator[CrashApp]:
    yield from made(CrashApp)


@pytest.fixture(scope="session")
def served_app() -> Iterator[CrashApp]:
    yield from made(ServedApp)


@pytest.fixture(scope="session")
def module_app() -> Iterator[CrashApp]:
    yield from made(CrashModules)
