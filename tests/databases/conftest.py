"""Real PostgreSQL and MariaDB servers on sockets in a temporary folder, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import needs
from support.databases import Server
from support.waiting import wait_until


def as_user(name: str, words: Sequence[str]) -> list[str]:
    return (
        ["setpriv", f"--reuid={name}", f"--regid={name}", "--clear-groups", "--", *words]
        if os.geteuid() == 0
        else [*words]
    )


def to_be(name: str) -> None:
    """As root, a server runs as its own user."""
    if os.geteuid() == 0 and (why := needs.lacks_another_user()):
        pytest.skip(why)
    if os.geteuid() == 0:
        pwd.getpwnam(name)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """FOLDER is a file system of SIZE, of whoever it was of."""
    needs.mounts()
    facts = folder.stat()
    owner = f"mode=755,uid={facts.st_uid},gid={facts.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},{owner}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def server_folder(user: str) -> Path:
    """A short path, since a socket's name has at most 107 bytes."""
    to_be(user)
    folder = Path(tempfile.mkdtemp(prefix="gddb-", dir="/tmp"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        found = pwd.getpwnam(user)
        os.chown(folder, found.pw_uid, found.pw_gid)
    return folder


def ask(words: Sequence[str], statements: str) -> str:
    done = subprocess.run(words, input=statements, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    postgresql_programs()
    with postgresql_in(server_folder("postgres")) as server:
        yield server


def postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("needs initdb (Debian package postgresql)")
    return found[-1]


@contextmanager
def postgresql_in(folder: Path) -> Iterator[Server]:
    """A PostgreSQL whose data are in FOLDER, which goes with it."""
    programs = postgresql_programs()
    (folder / "password").write_text("admin\n")
    try:
        for words in (
            ["initdb", "-D", f"{folder}/data", "-A", "scram-sha-256", "-U", "admin", "--no-sync", f"--pwfile={folder}/password"],
            ["pg_ctl", "-D", f"{folder}/data", "-s", "-w", "-l", f"{folder}/log", "-o",
             f"-k {folder} -c listen_addresses= -p 5432 -F -c logging_collector=off", "start"],
        ):  # fmt: skip
            command = as_user("postgres", [str(programs / words[0]), *words[1:]])
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
        psql = ["env", "PGPASSWORD=admin", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(folder), "-U", "admin"]
        yield Server(folder, lambda text, database="postgres": ask([*psql, database], text))
    finally:
        stop = as_user("postgres", [str(programs / "pg_ctl"), "-D", f"{folder}/data", "-s", "-m", "immediate", "stop"])
        subprocess.run(stop, cwd="/", stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    needs.program("mariadbd")
    with mariadb_in(server_folder("mysql")) as server:
        yield server


@contextmanager
def mariadb_in(folder: Path) -> Iterator[Server]:
    """A MariaDB whose data are in FOLDER, which goes with it."""
    server = needs.program("mariadbd")
    user = ["--user=mysql"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", *user, f"--datadir={folder}/data", "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal"]
    start = [server, "--no-defaults", *user, f"--datadir={folder}/data", f"--socket={folder}/s", "--skip-networking"]
    start += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={folder}/pid"]
    start += ["--character-set-server=utf8mb4"]
    client = [
        "mariadb",
        "--no-defaults",
        f"--socket={folder}/s",
        "-uroot",
        "-N",
        "-B",
        "--default-character-set=utf8mb4",
    ]
    process = None
    try:
        made = subprocess.run(install, capture_output=True, text=True, cwd="/")
        assert made.returncode == 0, made.stdout + made.stderr
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

        def up() -> bool:
            assert process is not None
            assert process.poll() is None
            return subprocess.run([*client, "-e", "DO 0"], stderr=subprocess.DEVNULL).returncode == 0

        wait_until(up)
        yield Server(folder / "s", lambda text, database="": ask([*client, *([database] if database else [])], text))
    finally:
        if process is not None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout, as far as a database needs one."""
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """A backup's folder of dumps."""
    folder = tmp_path / "dumps"
    folder.mkdir(mode=0o700)
    return folder
