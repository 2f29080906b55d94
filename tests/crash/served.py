"""The same app behind a service that really runs: a process that has the release in memory which it was started with,
stopped for the switch, with a migration that fails half-way in one release and a maintenance file.

Docker's command stands in front of the process: it takes what gitdeploy says to the compose plugin and, like Docker, starts
the process by itself, so that a kill of gitdeploy isn't one of the service. A real engine (services/test_compose.py) would
take a second for each of thousands of trials, and can't be kept and put back with the app.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from support.sample import Program, Tree
from support.waiting import wait_until

from gitdeploy.services import compose

from .app import RELEASES, CrashApp, Scenario

SETTINGS = """\
app: {name: crash}
source: {type: git}
git: {keep: [.env, conf/local.ini], local_changes: merge}
backup: {keep: 20, include: [uploads], databases: ["sqlite:///instance/app.db"]}
service: {compose: web, stop_for_switch: true, timeout: 10}
maintenance: {file: run/maintenance}
health: {command: ./health.sh, successes: 1, timeout: 2, interval: 0.05}
hooks: {dir: hooks, timeout: 20}
"""
HEALTH = """\
#!/bin/sh
tr '\\0' '\\n' < "/proc/$(cat CONTAINER/pid)/environ" | grep -q "^SERVING=$(cat VERSION) " && [ ! -e unwell ]
"""
# What cannot be half done is done by a process without gitdeploy's mark, under a lock that the next call waits for.
DOCKER = """\
#!/bin/sh
exec 9> CONTAINER/lock
flock 9
pid=$(cat CONTAINER/pid 2>/dev/null)
running() { [ -n "$pid" ] && [ -e "/proc/$pid/exe" ]; }
stop() { ! running || kill "$pid"; while running; do sleep 0.005; done; }
start() {
  running && return
  rm -f CONTAINER/pid
  serving="$(cat VERSION venv/lib/python3*/site-packages/greeting.py | tr '\\n' ' ')"
  env -i PATH="$PATH" SERVING="$serving" setsid sh -c 'cd /
    echo $$ > CONTAINER/new && mv CONTAINER/new CONTAINER/pid && exec sleep 1000000 9>&-' </dev/null >/dev/null 2>&1 &
  until [ -s CONTAINER/pid ]; do sleep 0.005; done
}
case "$*" in
  "compose version") ;;
  "compose config --services") echo web;;
  "compose ps --quiet --all -- web") echo 0123456789ab;;
  "compose stop -- web") stop;;
  "compose restart -- web") stop; start;;
  "compose up --detach --no-build --no-deps -- web") start;;
  "inspect --format="*" -- 0123456789ab") if running; then echo "running|$pid|0||0"; else echo "exited|0|0||0"; fi;;
  "logs "*) ;;
  *) echo "unexpected: $*" >&2; exit 1;;
esac
"""
HALF = """\
#!/bin/sh
venv/bin/python - <<'END'
import os, sqlite3
database = sqlite3.connect("instance/app.db", isolation_level=None)
database.execute("ALTER TABLE notes ADD COLUMN size TEXT DEFAULT 'none'")
database.execute("CREATE TABLE half (done INTEGER)")
database.execute("BEGIN")
database.executemany("INSERT INTO half VALUES (?)", [(number,) for number in range(5000)])
database.execute("PRAGMA cache_spill = 1")
os._exit(1)
END
"""

SCENARIOS = (
    Scenario("served", ("upgrade", "v1.1.0"), "plain"),
    Scenario("served, half migrated", ("upgrade", "v1.2.0"), "upgraded", code=3, only_old=True),
    Scenario("served, unwell", ("upgrade", "v1.3.0"), "upgraded", code=3, only_old=True),
    Scenario("served, data back", ("restore", "latest", "--with-data", "--yes"), "upgraded"),
)


class ServedApp(CrashApp):
    """The app of the campaign with a service. `close` ends that."""

    NEXT: ClassVar[Sequence[tuple[str, ...]]] = (
        ("upgrade", "v1.1.0"),
        ("upgrade", "v1.0.0", "--allow-downgrade"),
        ("restore", "latest"),
    )
    _child: subprocess.Popen[bytes] | None = None

    @property
    def container(self) -> Path:
        return self.folder / "container"

    def build(self) -> None:
        self.container.mkdir()
        docker = self.folder / "docker"
        docker.write_text(self._here(DOCKER))
        docker.chmod(0o755)
        super().build()

    def releases(self) -> dict[str, Tree]:
        more: Tree = {
            "deploy.yaml": SETTINGS,
            "health.sh": Program(self._here(HEALTH)),
            "restart.sh": Program('#!/bin/sh\nmkdir -p run\n'),
        }  # fmt: skip
        found: dict[str, Tree] = {tag: {**tree, **more} for tag, tree in RELEASES.items()}
        found["v1.2.0"] = {**found["v1.2.0"], "hooks/migrate": Program(HALF)}
        return found

    def _here(self, text: str) -> str:
        return text.replace("CONTAINER", str(self.container))

    def in_child(self) -> None:
        def which(program: str, path: str = "") -> str:
            return str(self.folder / program)

        compose.which = which  # type: ignore[attr-defined]  # a name of another module

    # ---- the service ----

    def serving(self) -> str:
        """The release that the service has in memory; empty where it doesn't run."""
        with suppress(OSError, ValueError):
            pid = int((self.container / "pid").read_text())
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            return next(word.decode() for word in words if word.startswith(b"SERVING="))
        return ""

    def keep_service(self, place: Path) -> None:
        _beside(place).write_text(self.serving())

    def put_service(self, place: Path) -> None:
        """A process that has in memory what the one had when the app was kept at PLACE."""
        self._end()
        serving = _beside(place).read_text()
        if serving:
            environment = dict([serving.split("=", 1)])
            self._child = subprocess.Popen(["/bin/sleep", "1000000"], env=environment, cwd="/", start_new_session=True)
            (self.container / "pid").write_text(str(self._child.pid))

    def first_start(self) -> None:
        subprocess.run([self.folder / "docker", "compose", "restart", "--", "web"], cwd=self.app, check=True)
        wait_until(self.serving, "the service runs", seconds=30)

    def _end(self) -> None:
        if self.serving():
            os.kill(int((self.container / "pid").read_text()), signal.SIGKILL)
        if self._child is not None:
            self._child.wait(30)
            self._child = None
        (self.container / "pid").unlink(missing_ok=True)

    def close(self) -> None:
        self._end()


def _beside(place: Path) -> Path:
    return place.with_name(f"{place.name}.serving")
