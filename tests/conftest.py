"""What every test gets: a home, a git configuration and a network of its own. `test_isolation.py` proves it.

The real home, the user's git, pip and uv configuration and every address outside this machine are out of reach: here by
the environment, which children inherit, and by refusing connections in this process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import lanes
import pytest
from lanes import (  # noqa: F401  # hooks: the marker of each lane
    pytest_collection_modifyitems,
    pytest_report_header,
)
from support.fast import fast_folder, own_name, sweep

_FAST = fast_folder()
_HOME = tempfile.mkdtemp(prefix=f"{own_name()}-home-", dir=_FAST)
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
_NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there

for _name in list(os.environ):
    # PYTHON*: a server sets no PYTHONUNBUFFERED; what fails without it must fail here.
    if (
        _name.startswith(("GIT_", "PIP_", "UV_", "APP_", "GITDEPLOY_", "XDG_", "PYTHON"))
        and _name != "GITDEPLOY_TEST_CACHE"
    ):
        del os.environ[_name]
for _name in ("VIRTUAL_ENV", "SUDO_USER", "DATABASE_URL", "LANGUAGE"):
    os.environ.pop(_name, None)
os.environ.update(
    {
        "HOME": _HOME,
        "XDG_CONFIG_HOME": f"{_HOME}/.config",
        "XDG_CONFIG_DIRS": f"{_HOME}/xdg",
        "XDG_CACHE_HOME": f"{_HOME}/.cache",
        "XDG_DATA_HOME": f"{_HOME}/.local/share",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), _NOWHERE),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
)
if not os.access(Path(__file__).parents[1], os.W_OK):  # a clone that can't be written to
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{_HOME}/hypothesis"
os.umask(0o022)
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:  # by nohup, or a shell that started us in the background
        signal.signal(_number, lambda *_: None)  # for us as it was; a child begins with the default

# A slow machine is not a fault.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before pytest makes its folder of temporary ones
def pytest_configure(config: pytest.Config) -> None:
    lanes.pytest_configure(config)
    if _FAST is not None and config.option.basetemp is None and not hasattr(config, "workerinput"):
        sweep(_FAST)
        config.option.basetemp = f"{_FAST}/{own_name()}"


class OutsideNetwork(AssertionError):
    """A test tried to reach an address outside this machine."""


def _local(address: Any) -> bool:
    if isinstance(address, str | bytes):  # a Unix socket
        return True
    host = str(address[0])
    return host in ("localhost", "::1", "") or host.startswith(("127.", "::ffff:127."))


@pytest.fixture(autouse=True)
def no_outside_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only loopback and Unix sockets can be connected to from this process."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> None:
        if not _local(address):
            raise OutsideNetwork(f"a test connects to {address!r}")
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        if not _local(address):
            raise OutsideNetwork(f"a test connects to {address!r}")
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of one test is not a secret in the next: `admin` would be masked in whatever that one prints."""
    monkeypatch.setattr("gitdeploy.text._secrets", set())


# ---- where everything is installed nothing may skip ----

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A reason that begins with "not here: " names what no package can give a machine."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith("not here: "):
            _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that skips whole, too."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With NO_SKIPS=1 in the environment a skipped test fails the run: there every package is installed."""
    if os.environ.get("NO_SKIPS") and _skipped and exitstatus == 0 and not hasattr(session.config, "workerinput"):
        print("\nSkipped, where nothing may skip: " + ", ".join(_skipped))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if _FAST is not None and session.config.option.basetemp == f"{_FAST}/{own_name()}" and session.exitstatus == 0:
        shutil.rmtree(f"{_FAST}/{own_name()}", ignore_errors=True)  # of one that failed it stays until the next run


@pytest.fixture
def home() -> Path:
    """The home folder of the tests."""
    return Path(_HOME)
