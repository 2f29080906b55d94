"""A rehearsal with a real PostgreSQL and a real MariaDB: on a scratch database beside the live one, which nothing reaches."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from databases.conftest import mariadb_in, postgresql_in, postgresql_programs, server_folder, small_disk
from support import needs
from support.databases import PASSWORD, Server, files_with
from support.sample import Program, Sample, Tree, differences

# Asks its database by the server's own client, as its environment says.
SERVE = """\
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        done = subprocess.run({ask}, capture_output=True, text=True)
        self.send_response(200 if done.returncode == 0 else 500)
        self.end_headers()
        self.wfile.write((done.stdout + done.stderr).encode())
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
CONFIG = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks}
backup: {databases: [{env: DATABASE_URL}]}
health: {url: http://127.0.0.1:8000/health, successes: 1, timeout: 6, interval: 0.1}
rehearse: {command: "exec python3 serve.py {port}"}
"""


@dataclass
class Kind:
    """How one kind of server is asked by the app, and by the test."""

    app: Sample
    everything: Callable[[], str]  # all that the server has
    names: Callable[[], list[str]]  # its databases
    ask: Callable[[str], str]  # as its administrator
    take_right: Callable[[], object]  # from the app's role, to create databases
    looked_at: Callable[[], AbstractContextManager[str]]  # somebody has the scratch database open; what is said of it


def tree(version: str, ask: str, migrate: str = "") -> Tree:
    return {
        "deploy.yaml": CONFIG,
        ".gitignore": "/.env\n/run/\n",
        "VERSION": version,
        "serve.py": SERVE.format(ask=ask),
        **({"hooks/migrate": Program(migrate)} if migrate else {}),
    }


def psql(question: str) -> str:
    return f'["psql", os.environ["DATABASE_URL"], "-XAtqc", "{question}"]'


def mariadb_(question: str) -> str:
    return f'["mariadb", "--defaults-file=run/client", os.environ["DB_NAME"], "-e", "{question}"]'


def releases(app: Sample, ask: Callable[[str], str], hook: Callable[[str], str], wrong: str) -> None:
    """What the old code asks for; a new column, another name, a table that is not there, a way to the live database."""
    name = ask("SELECT name FROM customer")
    app.release("v1.0.0", tree("1.0.0", name))
    app.release("v1.1.0", tree("1.1.0", name, hook("ALTER TABLE customer ADD COLUMN mood varchar(20)")))
    app.release("v1.2.0", tree("1.2.0", ask("SELECT name FROM buyer"), hook("ALTER TABLE customer RENAME TO buyer")))
    app.release("v1.3.0", tree("1.3.0", name, hook("ALTER TABLE nobody ADD COLUMN mood varchar(20)")))
    app.release("v1.4.0", tree("1.4.0", name, wrong))
    hidden = wrong.replace("store", "$(echo sto)re").replace(
        "DROP TABLE customer", "ALTER TABLE customer ADD COLUMN age int"
    )
    app.release("v1.5.0", tree("1.5.0", name, hidden))
    app.install("v1.0.0", branch="main")


@pytest.fixture
def on_postgresql(postgresql: Server, tmp_path: Path) -> Iterator[Kind]:
    with store_on_postgresql(postgresql, tmp_path) as kind:
        yield kind


@contextmanager
def store_on_postgresql(postgresql: Server, tmp_path: Path) -> Iterator[Kind]:
    literal = "'" + PASSWORD.replace("'", "''") + "'"
    postgresql.ask(f"CREATE ROLE store LOGIN CREATEDB PASSWORD {literal}")
    postgresql.ask("CREATE DATABASE store OWNER store")
    rows = "INSERT INTO customer SELECT 'name ' || n FROM generate_series(1, 1000) n"
    postgresql.ask(f"SET ROLE store; CREATE TABLE customer (name text); {rows}", "store")
    app = Sample(tmp_path / "sample", venv=False)
    way = f"postgresql://store:{quote(PASSWORD)}@/store?host={quote(str(postgresql.socket), safe='')}"
    releases(
        app,
        psql,
        lambda text: f'#!/bin/sh\nset -eu\npsql -q "$DATABASE_URL" -v ON_ERROR_STOP=1 -c "{text}"\n',
        f'#!/bin/sh\nset -eu\npsql -q "{way}" -c "DROP TABLE customer"\n',
    )
    (app.app / ".env").write_text(f"DATABASE_URL='{way}'\n")

    def names() -> list[str]:
        return postgresql.ask("SELECT datname FROM pg_database WHERE datname LIKE 'store%'").splitlines()

    @contextmanager
    def looked_at() -> Iterator[str]:
        words = ["psql", "-XAtq", "-h", str(postgresql.socket), "-U", "admin", "store_gitdeploy_r1"]
        pipe, environment = subprocess.PIPE, {**os.environ, "PGPASSWORD": "admin"}
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=environment) as open_:
            assert open_.stdin is not None
            assert open_.stdout is not None
            open_.stdin.write(b"SELECT 1;\n")
            open_.stdin.flush()
            assert open_.stdout.readline() == b"1\n"
            yield "store_gitdeploy_r1 could not be removed: .*accessed by other users"

    yield Kind(
        app,
        lambda: postgresql.ask("SELECT * FROM customer ORDER BY 1", "store"),
        names,
        postgresql.ask,
        lambda: postgresql.ask("ALTER ROLE store NOCREATEDB"),
        looked_at,
    )
    for line in names():
        postgresql.ask(f'DROP DATABASE "{line}" WITH (FORCE)')
    postgresql.ask("DROP ROLE store")


@pytest.fixture
def on_mariadb(mariadb: Server, tmp_path: Path) -> Iterator[Kind]:
    with store_on_mariadb(mariadb, tmp_path) as kind:
        yield kind


@contextmanager
def store_on_mariadb(mariadb: Server, tmp_path: Path) -> Iterator[Kind]:
    literal = "'" + PASSWORD.replace("\\", "\\\\").replace("'", "''") + "'"
    mariadb.ask(
        f"CREATE DATABASE store CHARACTER SET utf8mb4; CREATE USER store@localhost IDENTIFIED BY {literal};"
        "GRANT ALL ON store.* TO store@localhost; GRANT ALL ON `store\\_gitdeploy\\_%`.* TO store@localhost;"
        "USE store; CREATE TABLE customer (name varchar(80)); INSERT INTO customer SELECT seq FROM seq_1_to_1000"
    )
    app = Sample(tmp_path / "sample", venv=False)
    start = "#!/bin/sh\nset -eu\nexec mariadb --defaults-file=run/client "
    releases(
        app,
        mariadb_,
        lambda text: f'{start}"$DB_NAME" -e "{text}"\n',
        f'{start}store -e "DROP TABLE customer"\n',
    )
    url = f"mysql+pymysql://store:{quote(PASSWORD)}@localhost/store?unix_socket={mariadb.socket}"
    (app.app / ".env").write_text(f"DATABASE_URL='{url}'\nDB_NAME=store\n")
    secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (app.app / "run").mkdir()
    (app.app / "run/client").write_text(f'[client]\nuser=store\nsocket={mariadb.socket}\npassword="{secret}"\n')

    def names() -> list[str]:
        return mariadb.ask("SHOW DATABASES LIKE 'store%'").splitlines()

    yield Kind(
        app,
        lambda: mariadb.ask("SELECT * FROM customer ORDER BY 1", "store"),
        names,
        mariadb.ask,
        lambda: mariadb.ask("REVOKE ALL ON `store\\_gitdeploy\\_%`.* FROM store@localhost"),
        lambda: nullcontext(""),
    )
    for name in names():
        mariadb.ask(f"DROP DATABASE {name}")
    mariadb.ask("DROP USER store@localhost")


@pytest.fixture(
    params=[
        pytest.param("on_postgresql", marks=pytest.mark.xdist_group("postgresql")),
        pytest.param("on_mariadb", marks=pytest.mark.xdist_group("mariadb")),
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.getfixturevalue(request.param)
    return found


def rehearse(app: Sample, tag: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.gitdeploy("rehearse", tag, "--json", code=code).out)
    return found


@contextmanager
def untouched(kind: Kind) -> Iterator[None]:
    """The live app and its database are what they were, and no scratch database is left."""
    state, everything = kind.app.state(), kind.everything()
    yield
    assert differences(state, kind.app.state()) == []
    assert kind.everything() == everything
    assert kind.names() == ["store"]


def test_the_old_release_on_the_new_schema(kind: Kind) -> None:
    """A new column, a table with another name, and a migration that fails."""
    with untouched(kind):
        added = rehearse(kind.app, "v1.1.0")["rehearsal"]
        renamed = rehearse(kind.app, "v1.2.0")["rehearsal"]
        failed = rehearse(kind.app, "v1.3.0", 1)["rehearsal"]
    assert (added["passed"], added["back"], added["apart"]) == (True, "works", True)
    assert [sum(added["databases"][0][when].values()) for when in ("rows_before", "rows_after")] == [1000, 1000]
    assert (renamed["passed"], renamed["back"]) == (True, "fails")
    assert "customer" in renamed["back_reason"]
    assert (failed["passed"], failed["step"]) == (False, "migrate")
    assert "nobody" in failed["reason"]
    assert files_with(kind.app.app / ".gitdeploy", PASSWORD) == []


def test_how_long_a_migration_locks_a_table(on_postgresql: Kind) -> None:
    hook = '#!/bin/sh\nexec psql -q "$DATABASE_URL" -c "BEGIN; ALTER TABLE customer ADD COLUMN age int; SELECT pg_sleep(2); COMMIT"\n'
    on_postgresql.app.release("v1.6.0", tree("1.6.0", psql("SELECT name FROM customer"), hook))
    with untouched(on_postgresql):
        found = rehearse(on_postgresql.app, "v1.6.0")["rehearsal"]
    assert re.fullmatch(r"customer was locked for [12]\.\d s: neither read nor written", *found["locks"])


def test_a_hook_that_names_the_live_database_does_not_reach_it(kind: Kind) -> None:
    needs.namespace("--net")
    with untouched(kind):
        found = rehearse(kind.app, "v1.4.0", 1)
    assert 'a rehearsal may not use "store", only "store_gitdeploy_r1"' in found["error"]["message"]


def test_a_migration_that_goes_through_the_schemas_name(on_mariadb: Kind) -> None:
    """What is asked by the scratch schema's connection is read along, too."""
    needs.namespace("--net")
    hook = '#!/bin/sh\nexec mariadb --defaults-file=run/client "$DB_NAME" -e "SELECT 1; DELETE FROM store.customer"\n'
    on_mariadb.app.release("v1.6.0", tree("1.6.0", mariadb_("SELECT name FROM customer"), hook))
    with untouched(on_mariadb):
        found = rehearse(on_mariadb.app, "v1.6.0", 1)
    assert 'a rehearsal may not use "store", only "store_gitdeploy_r1"' in found["error"]["message"]


def test_where_the_kernel_keeps_nothing_apart(on_postgresql: Kind) -> None:
    """It is said, a hook may not name the live database, and one that reaches it by another way is found out."""
    no_more = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin -- "$@"'
    before = [*needs.namespace("--map-root-user"), "sh", "-c", no_more, "sh"]
    app = on_postgresql.app
    with untouched(on_postgresql):
        found = json.loads(app.gitdeploy("rehearse", "v1.1.0", "--json", before=before).out)
        assert (found["rehearsal"]["passed"], found["rehearsal"]["apart"]) == (True, False)
        assert "This kernel doesn't let gitdeploy close the network and the live files to the rehearsal" in str(
            found["log"]
        )
        said = app.gitdeploy("rehearse", "v1.4.0", code=7, before=before).err
        assert "hooks/migrate names the live database postgresql:///store itself." in said
    said = app.gitdeploy("rehearse", "v1.5.0", code=1, before=before).err
    assert "The schema of the live database postgresql:///store changed while the release was rehearsed." in said


def test_killed_while_the_app_runs_on_it(kind: Kind, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text("gitdeploy fault plan: this process is meant to be killed\nkill-at child serving\n")
    with untouched(kind):
        done = kind.app.gitdeploy("rehearse", "v1.1.0", code=None, env={"GITDEPLOY_FAULT_PLAN": str(plan)})
        assert done.code == -signal.SIGKILL
        assert kind.names() == ["store", "store_gitdeploy_r1"]
        with kind.looked_at() as told:
            env, kept = kind.app.app / ".env", (kind.app.app / ".env").read_bytes()
            env.write_bytes(b"")  # nothing leads to it just now: it is not forgotten
            assert "store_gitdeploy_r1 could not be removed" in kind.app.gitdeploy("recover").err
            env.write_bytes(kept)
            if told:
                assert re.search(told, kind.app.gitdeploy("recover").err)
        kind.app.gitdeploy("recover")


def test_a_role_that_may_create_no_database(kind: Kind) -> None:
    kind.take_right()
    with untouched(kind):
        said = kind.app.gitdeploy("rehearse", "v1.1.0", code=7).err
        hint = re.search(r"An administrator of the server types: (.+)", said)
        assert hint, said
        kind.ask(hint[1].replace("its account", "store@localhost"))
        rehearse(kind.app, "v1.1.0")


@pytest.mark.parametrize(
    "server", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("postgresql", "mariadb")]
)
def test_the_disk_of_the_server_is_never_filled(server: str, tmp_path: Path) -> None:
    """A PostgreSQL that finds it full stops, with the live database: so too little room for the copy is refused, and a migration
    that needs more than expected is ended before. Neither is a verdict on the release, and nothing is left of it."""
    storing: Callable[[Server, Path], AbstractContextManager[Kind]]
    if server == "postgresql":
        postgresql_programs()
        folder, serving, storing = server_folder("postgres"), postgresql_in, store_on_postgresql
        once, ask, rows = 'psql -q "$DATABASE_URL" -v ON_ERROR_STOP=1 -c', psql, "generate_series(1, 5000) seq"
    else:
        needs.program("mariadbd")
        folder, serving, storing = server_folder("mysql"), mariadb_in, store_on_mariadb
        once, ask, rows = 'mariadb --defaults-file=run/client "$DB_NAME" -e', mariadb_, "seq_1_to_5000"
    grow = f"INSERT INTO big SELECT repeat(md5(cast(seq AS char(9))), 30) FROM {rows}"
    hook = (
        f'#!/bin/sh\nset -e\n{once} "CREATE TABLE big (name text)"\nwhile true; do {once} "{grow}"; sleep 0.3; done\n'
    )
    with small_disk(folder, "300m"), serving(folder) as found, storing(found, tmp_path) as kind:
        kind.app.release("v1.7.0", tree("1.7.0", ask("SELECT name FROM customer"), hook))
        fill, disk = folder / "fill", os.statvfs(folder)
        with fill.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - (20 << 20))
        with untouched(kind):
            said = kind.app.gitdeploy("rehearse", "v1.1.0", code=1).err
            assert re.search(rf"too little room for a rehearsal on the disk of {folder}/data/?: ", said), said
            os.truncate(fill, disk.f_bavail * disk.f_frsize - (100 << 20))
            said = kind.app.gitdeploy("rehearse", "v1.7.0", code=1).err
            told = r"stopped at migrate, which tells nothing about the release: The disk of \S+ has only \S+ MB free"
            assert re.search(told, said), said
            rehearse(kind.app, "v1.1.0")
