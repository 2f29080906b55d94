"""Upgrades that change a database's schema, on a machine with systemd, gunicorn and PostgreSQL: an app with SQLAlchemy and
Alembic, and the same with Django, each migrated by gitdeploy's own ready hook. What visitors meet while it goes well, and
what the operator reads, and finds in the database, when it doesn't."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine_app import ROOT, SETTINGS, SOCKET, SOCKET_UNIT, MachineApp
from support.sample import Content, Program
from support.shops import DATABASE, Alembic, Django, Framework
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

ALEMBIC, DJANGO = Alembic(), Django()
DUMPED = SETTINGS.replace("timeout: 4\n", "timeout: 20\n") + f'backup: {{databases: ["{DATABASE}"]}}\n'
CRASH = "threading.Timer(5, os.kill, (os.getppid(), signal.SIGKILL)).start()\n"
WELL = "http://127.0.0.1:8000/health: 200, version 1.1.0, twice"
CUSTOMERS = [[1, "Zoë", "glad"], [2, "Grace", "glad"]]
BACK = (
    "postgresql:///otrs was put back from the dump made before; what it held meanwhile (N kB) is kept: "
    f"{ROOT}/.gitdeploy/backups/ID/replaced/database-1/DUMP (to look at it: pg_restore"
)


class Shop(MachineApp):
    """`release`: publish one whose code reads COLUMNS and brings MIGRATIONS."""

    framework: Framework

    def release(
        self,
        tag: str,
        columns: tuple[str, ...],
        *migrations: str,
        body: str = "",
        greeting: str = "2.0",
        files: dict[str, Content] | None = None,
    ) -> None:
        made = self.framework.files(tag.removeprefix("v"), ("id", *columns), ("first", *migrations), body)
        self.publish(tag, greeting=greeting, files={**made, **(files or {})})

    def sql(self, statement: str) -> str:
        return self.machine.inside("psql", "-XAtqc", statement, "otrs", user="postgres").stdout.strip()

    def whole_database(self) -> str:
        """Schema and rows; `\\restrict` lines hold a number that is drawn anew each time."""
        text = self.machine.inside("pg_dump", "otrs", user="postgres").stdout
        return "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith(("\\restrict", "\\unrestrict"))
        )

    def fails(self, tag: str, code: int = 3) -> str:
        """Upgrade to TAG in vain; all that the operator reads, with N for figures and ID for the backup's id."""
        said = " ".join(self.gitdeploy("upgrade", tag, user=None, code=code).err.split())
        for figures, name in {
            r"\d{8}-\d{6}-v[\d.]+": "ID",
            r"\d+(\.\d+)?(?= (s|kB)\b)": "N",
            r"\w+\.pgdump": "DUMP",
        }.items():
            said = re.sub(figures, name, said)
        return said


@pytest.fixture(scope="module", params=[ALEMBIC, DJANGO], ids=lambda each: each.name)
def shop(base: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    with Machine(base, tmp_path_factory.mktemp("machine")) as machine:
        made = Shop(machine)
        made.framework = request.param
        machine.inside("systemctl", "start", "postgresql")
        machine.wait_for("pg_isready", "-q")
        machine.inside("createuser", "--createdb", "otrs", user="postgres")
        machine.inside(
            "createdb", "--owner=otrs", "--encoding=UTF8", "--locale=C", "--template=template0", "otrs", user="postgres"
        )
        publish_all(made)
        made.prepare = f"mkdir run; touch run/licence; {made.framework.first}"
        unit = SOCKET_UNIT.replace("TimeoutStopSec=5", "TimeoutStopSec=5\nTimeoutStartSec=6")
        made.install("v1.0.0", unit, SOCKET)
        yield made


def publish_all(shop: Shop) -> None:
    old, new = ("name", "mood"), ("name",)
    # Needed to start, and in no release: what a migration can take away.
    shop.files = {"gunicorn.conf.py": "import os\nassert os.path.exists('run/licence'), 'no licence'\n"}
    shop.settings = DUMPED
    shop.release("v1.0.0", new, greeting="1.0")
    if shop.framework.name == "django":  # and once with the service down for the switch
        shop.settings = DUMPED.replace("timeout: 20}", "timeout: 20, stop_for_switch: true}")
    shop.release("v1.1.0", old, "mood")
    plain = shop.settings
    shop.settings = plain.replace("  timeout: 20\n", "  timeout: 20\n  soak: 8\n")
    shop.release("v2.0.0", new, "mood", "no mood", body=CRASH)
    shop.settings = plain.replace("  timeout: 20\n", "  timeout: 8\n")
    shop.release("v2.1.0", (*new, "humour"), "mood", "no mood")
    shop.settings = plain
    never = {"gunicorn.conf.py": "import time\ndef on_starting(server): time.sleep(600)\n"}
    shop.release("v2.2.0", new, "mood", "no mood", files=dict(never))
    shop.release("v2.3.0", new, "mood", "no mood", "broken")
    spoiled = Program("#!/bin/sh\nmv run/licence run/spoiled\n")
    shop.release("v2.4.0", new, "mood", "no mood", files={"hooks/migrate.d/60-licences": spoiled})
    shop.settings = plain.replace(f'["{DATABASE}"]', f'["{DATABASE}"], restore_data: never')
    shop.release("v1.2.0", old, "mood")
    shop.settings = shop.settings.replace("  timeout: 20\n", "  timeout: 8\n")
    shop.release("v2.5.0", (*old, "humour"), "mood", "rank")


def test_a_schema_change_under_traffic_fails_no_request(shop: Shop) -> None:
    counts: Counter[str] = Counter()
    with shop.traffic(counts):
        said = shop.gitdeploy("upgrade", "v1.1.0", user=None).err
    assert set(counts) == {"1.0.0", "1.1.0"}, counts
    assert min(counts.values()) >= 5
    assert "Database postgresql:///otrs dumped: " in said
    assert f"migrate: hooks/migrate.d/50-{shop.framework.name}-migrate" in said
    assert shop.ask() == {"version": "1.1.0", "greeting": "2.0", "customers": CUSTOMERS}
    rows = shop.sql("SELECT release, count(*) FROM visit GROUP BY 1").splitlines()
    visits = {release: int(number) for release, number in (row.split("|") for row in rows)}
    assert visits == counts, "each visitor who was answered has left a row, before, while and after the schema changed"


# What says nothing else with the other framework.
only_alembic = pytest.mark.parametrize("shop", [ALEMBIC], indirect=True, ids=["alembic"])


def goes_back(shop: Shop, tag: str) -> str:
    """Upgrade to TAG in vain: the old release runs, on the old schema and the old rows. What the operator reads."""
    shop.bring_to("v1.1.0")
    before = shop.whole_database()
    said = shop.fails(tag)
    assert shop.whole_database() == before
    assert shop.ask()["customers"] == CUSTOMERS
    assert f" otrs-web runs v1.1.0 again ({WELL}); " in said, said
    assert BACK in said, said
    # The app itself writes rows: then nobody says that nothing was lost.
    assert ("nothing was lost" in said) != ("is no longer live, but kept." in said), said
    return said


def test_one_that_crashes_five_seconds_after_it_had_been_well(shop: Shop) -> None:
    said = goes_back(shop, "v2.0.0")
    # How its process ended, whether it runs again, and what it printed with its last breath may be told, too.
    assert re.search(
        r"Error: Wanted v2\.0\.0, failed at health: otrs-web\.service crashed[^.]* N s after it had been healthy[^.]*\."
        r" otrs-web runs",
        said,
    ), said


def test_one_that_answers_500_because_a_column_is_missing(shop: Shop) -> None:
    said = goes_back(shop, "v2.1.0")
    assert re.search(
        r"failed at health: http://127.0.0.1:8000/health: 500 instead of 200 for N s \(\S+Error: .*humour", said
    ), said
    assert re.search(r'otrs-web.service said: \S+Error: .*column \S*"?humour"? does not exist', said), said


@only_alembic
def test_one_that_never_becomes_ready(shop: Shop) -> None:
    said = goes_back(shop, "v2.2.0")
    assert (
        "Wanted v2.2.0, failed at restart: otrs-web.service could not be restarted: otrs-web.service crashed "
        "(did not become ready in time) and is started again. otrs-web runs"
    ) in said, said


def test_one_whose_second_migration_fails_after_the_first_has_dropped_a_column(shop: Shop) -> None:
    said = goes_back(shop, "v2.3.0")
    assert re.search(
        f"Wanted v2.3.0, failed at migrate: hooks/migrate.d/50-{shop.framework.name}-migrate failed "
        r'\(exit code 1\): \S+ProgrammingError: .*column "name" of relation "customer" already exists\. otrs-web runs',
        said,
    ), said


@only_alembic
def test_one_after_which_the_old_release_does_not_start_either(shop: Shop) -> None:
    shop.bring_to("v1.1.0")
    before = shop.whole_database()
    said = shop.fails("v2.4.0", code=4)
    assert "Error: Wanted v2.4.0, failed at restart: otrs-web.service could not be restarted: otrs-web.service " in said
    assert "Files and venv are those of v1.1.0 again, but it does not run: otrs-web.service could not be rest" in said
    assert (
        "Fix the service, or service in deploy.yaml, then: gitdeploy recover Without it: gitdeploy recover --no-restart"
        in said
    )
    assert "otrs-web.service said: AssertionError: no licence" in said
    assert shop.whole_database() == before, "the data are back all the same"
    shop.user("mv", "run/spoiled", "run/licence")
    assert "otrs-web runs v1.1.0 again" in shop.gitdeploy("recover", user=None).text
    assert shop.ask()["customers"] == CUSTOMERS
    assert shop.whole_database() == before


@only_alembic
def test_the_reverse_migration_that_is_offered_works_as_it_stands(shop: Shop) -> None:
    """`restore_data: never`: the data stay as the failed release left them, until somebody runs what was said."""
    shop.bring_to("v1.2.0")
    before = shop.whole_database()
    said = shop.fails("v2.5.0")
    assert (
        f"otrs-web runs v1.2.0 again ({WELL.replace('1.1.0', '1.2.0')}); its data were not put back. The schema of "
        in said
    )
    assert (
        "was changed and is NOT put back (backup.restore_data: never). To do it: gitdeploy restore ID --with-" in said
    )
    assert " rank integer" in shop.whole_database()
    beside = f"{ROOT}/.gitdeploy/reverse-v2.5.0"
    command = (
        f"cd {ROOT} && git worktree add --detach {beside} v2.5.0 && (cd {beside} && "
        f"{ROOT}/{shop.framework.reverse('mood')}) && git worktree remove --force {beside}"
    )
    assert f"as the checkout's owner and with the app's environment: {command} v2.5.0 (" in said, said
    shop.user("sh", "-c", f"cd / && {command}")
    assert shop.whole_database() == before
    assert shop.ask()["version"] == "1.2.0"
    assert shop.user("git", "worktree", "list").stdout.count("\n") == 1
