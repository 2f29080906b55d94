"""Which lane each test runs in: a marker, given here by where the test lies, or by the test itself.

`make quick` runs the first one, `make test` all. A folder's tests are of the lane of the longest place that holds them;
a file or a test with a lane's marker of its own (`pytestmark = pytest.mark.server`) is of that.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest
from support import bounds

TESTS = Path(__file__).parent
LANES = {
    "quick": "needs Python and git, and ends in a moment (make quick)",
    "e2e": "runs gitdeploy as a user does, with a git remote, a checkout and a venv",
    "server": "needs a real PostgreSQL, MariaDB, nginx or Docker engine",
    "browser": "needs Chromium",
    "machine": "needs root and a machine with a systemd of its own (mmdebstrap, systemd-nspawn)",
    "crash": "kills gitdeploy, and cuts the power of its disk, at many points (make crash runs it longer)",
}
PLACES = {
    "": "e2e",
    "checkout": "quick",
    "fleet/test_fleet_yaml.py": "quick",
    "deployment": "quick",
    "upkeep": "quick",
    "venvs": "quick",
    "test_apart.py": "quick",
    "test_conversation.py": "quick",
    "test_data_placing.py": "quick",
    "hints/test_every_hint.py": "quick",
    "test_lanes.py": "quick",
    "test_carrying_on.py": "quick",
    "test_config.py": "quick",
    "test_dependencies.py": "quick",
    "test_envfile.py": "quick",
    "test_health.py": "quick",
    "test_hooks.py": "quick",
    "test_isolation.py": "quick",
    "test_blame.py": "quick",
    "test_lazy_names.py": "quick",
    "test_loads.py": "quick",
    "test_migrations.py": "quick",
    "test_policy_table.py": "quick",
    "test_notify.py": "quick",
    "test_output.py": "quick",
    "test_state.py": "quick",
    "test_text.py": "quick",
    "test_versions.py": "quick",
    "reference": "quick",
    "services/test_services_command.py": "quick",
    "services/test_services_log.py": "quick",
    "sources/test_every_source.py": "quick",
    "sources/test_webhooks.py": "quick",
    "sources/test_what_hosts_send.py": "quick",
    "web/test_page_texts.py": "quick",
    "web/test_web_notes.py": "quick",
    "databases/test_databases_sqlite.py": "quick",
    "databases/test_scratch_names.py": "quick",
    "databases": "server",
    "web/test_web_nginx.py": "server",
    "web/browser": "browser",
    "services": "machine",
    "crash": "crash",
}
SHORT_TABLE = 3
HEAVY = {"base", "chromium", "crash_app", "machine", "machine_for_app", "mariadb", "postgresql", "served_app"}
"""Fixtures that start something which no quick test may wait for."""


def lane_of(path: str, own: set[str]) -> str:
    """The lane of a test in PATH (from this folder), with the markers OWN. Raises ValueError where it has two."""
    given = own & LANES.keys()
    if len(given) > 1:
        raise ValueError(f"{path} has the markers of two lanes: {', '.join(sorted(given))}")
    if given:
        return given.pop()
    parts = path.split("/")
    return next(lane for end in range(len(parts), -1, -1) if (lane := PLACES.get("/".join(parts[:end]))))


def pytest_configure(config: pytest.Config) -> None:
    for name, words in LANES.items():
        config.addinivalue_line("markers", f"{name}: {words}")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        try:
            lane = lane_of(item.path.relative_to(TESTS).as_posix(), {mark.name for mark in item.iter_markers()})
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
        if lane == "quick" and (heavy := HEAVY & set(getattr(item, "fixturenames", ()))):
            raise pytest.UsageError(f"{item.nodeid} is quick and uses {', '.join(sorted(heavy))}")
        if item.get_closest_marker(lane) is None:
            item.add_marker(lane)
    if not takes_every_row(config):
        dropped = [item for rows in long_tables(items) for item in rows if item not in part_of(rows)]
        config.hook.pytest_deselected(items=dropped)
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]
    if hasattr(config, "workerinput"):  # one of several processes
        items[:] = longest_first(items)


def takes_every_row(config: pytest.Config) -> bool:
    """Whether somebody asks for all, for these, or for those that failed."""
    option = config.option
    return bool(
        bounds.THOROUGH
        or option.keyword
        or option.file_or_dir
        or getattr(option, "lf", False)
        or getattr(option, "failedfirst", False)
    )


def pytest_report_header(config: pytest.Config) -> str:
    return "tables: " + (
        "every row" if takes_every_row(config) else f"a fifth of long ones, by {bounds.TURN} (THOROUGH=1: every row)"
    )


def long_tables(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """The rows of each test with more than `SHORT_TABLE` of them that runs gitdeploy as a user does: each costs seconds."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not item.get_closest_marker("quick") and hasattr(item, "callspec"):
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return [rows for rows in tables.values() if len(rows) > SHORT_TABLE]


def part_of(rows: list[pytest.Item]) -> list[pytest.Item]:
    """A fifth of a long table (of the campaigns' scenarios a third), and not less than a short one; which, by the commit."""
    part = 3 if rows[0].get_closest_marker("crash") else 5
    return bounds.share(rows, max(SHORT_TABLE, len(rows) // part), bounds.TURN)


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """In the order in which several processes take them, so that none waits at the end for a long one: machines, which
    mostly wait, in turn with campaigns, which don't; then the others, the quick ones last."""
    groups: dict[str, dict[str, list[pytest.Item]]] = {lane: {} for lane in LANES}
    for item in items:
        lane = next(lane for lane in LANES if item.get_closest_marker(lane))
        group = item.get_closest_marker("xdist_group")
        name = str(group.args[0]) if group else item.nodeid
        groups[lane].setdefault(name, []).append(item)
    long = [[*groups.pop(lane).values()] for lane in ("machine", "crash")]
    turns = [each for pair in zip_longest(*long, fillvalue=[]) for each in pair]
    rest = [each for lane in ("browser", "server", "e2e", "quick") for each in groups[lane].values()]
    return [item for group in (*turns, *rest) for item in group]
