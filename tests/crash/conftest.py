"""The app of the campaign, made once for each test process, in memory where there is enough of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .app import CrashApp
from .campaign import fast_folder


@pytest.fixture(scope="session")
def crash_app() -> Iterator[CrashApp]:
    with tempfile.TemporaryDirectory(prefix="gitdeploy-crash-", dir=fast_folder()) as folder:
        app = CrashApp(Path(folder) / "campaign")
        app.build()
        yield app
