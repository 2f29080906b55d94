"""The fleet of `python -m bench fleet`: real hosts, each with a checkout, a venv and a service; a PostgreSQL that they share;
nginx in front of them, which is asked all the while; and the folder of the control host."""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import hosts_of_a_fleet, needs
from support.hosts_of_a_fleet import Host, Hosts
from support.sample import PROJECT, Program, Sample, Tree
from support.shared_shop import MIGRATION

PORT, DATABASE_PORT = 18099, 15499
UV = f"{sys.prefix}/bin/uv"
APP = """\
import http.server, json, os, pathlib, signal, threading
import greeting
here = pathlib.Path(__file__).parent
version = (here / "VERSION").read_text()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"version": version, "greeting": greeting.VERSION}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True; daemon_threads = False; request_queue_size = 128
server = Server(("0.0.0.0", 8000), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
(here / "run/pid").write_text(str(os.getpid()))
server.serve_forever(0.05)
"""
START = "#!/bin/sh\nsetsid venv/bin/python app.py </dev/null >>run/log 2>&1 &\n"
STOP = "#!/bin/sh\n[ -e run/pid ] && kill $(cat run/pid) && while kill -0 $(cat run/pid) 2>/dev/null; do sleep 0.05; done\nexit 0\n"
MIGRATE = """\
import pathlib, socket, subprocess
names = sorted(path.stem for path in pathlib.Path("shop/migrations").glob("0*.py"))
sql = "".join(f"INSERT INTO django_migrations(app, name) SELECT 'shop', '{name}' WHERE NOT EXISTS "
              f"(SELECT 1 FROM django_migrations WHERE name='{name}');" for name in names)
subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "URL", "-c", sql + f"INSERT INTO ran VALUES ('{socket.gethostname()}')"], check=True)
"""
# It fails in its middle: what it did by then has to go back.
FAILS = """\
import subprocess
subprocess.run(["psql", "-Xq", "URL", "-c", "CREATE TABLE half_done(x int); DELETE FROM orders"], check=True)
raise SystemExit("the second statement failed")
"""
TABLES = """\
CREATE TABLE django_migrations(id serial PRIMARY KEY, app text, name text, applied timestamptz);
CREATE TABLE ran(place text); CREATE TABLE orders AS SELECT generate_series(1, 1000) AS number;
INSERT INTO django_migrations(app, name) VALUES ('shop', '0001_initial');
"""
DEPLOY = """\
app: {name: shop}
source: {type: git}
venv: {path: venv}
hooks: {dir: hooks, migrate: ["/usr/bin/python3 migrate.py"]}
backup: {databases: ["URL"]}
service: {stop: ./stop.sh, start: ./start.sh, pid: run/pid}
health: {url: "http://127.0.0.1:8000/", version: {json: version}, successes: 2, interval: 0.2, timeout: 30}
"""
HOLDS = "#!/bin/sh\nn=0; while [ -e /srv/shared/hold-$(hostname) ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done\n"
BREAKS = "#!/bin/sh\n[ $(hostname) != web5 ] || { echo 'the cache of web5 is not there'; exit 1; }\n"
NGINX = """\
worker_processes 1; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  upstream shop {{ include {place}/upstream/*.conf; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; proxy_next_upstream off; }} }}
}}
"""
TASKS = PROJECT / "ansible_collections/gitdeploy/fleet/playbooks/tasks/drain"  # the examples that users have
# What a team writes without `gitdeploy fleet`: the same order, the same drain, the bare commands.
PLAIN = """\
- hosts: all:!balancing
  gather_facts: false
  any_errors_fatal: true
  tasks: [{name: prepare, command: "{{ gitdeploy_executable }} -C /srv/app prepare TAG"}]
- hosts: web1
  gather_facts: false
  tasks:
    - include_tasks: DRAIN/nginx.yml
    - {name: upgrade, command: "{{ gitdeploy_executable }} -C /srv/app upgrade TAG"}
    - include_tasks: DRAIN/nginx_back.yml
- hosts: all:!balancing:!web1
  gather_facts: false
  serial: ['10%', '50%']
  max_fail_percentage: 0
  tasks:
    - include_tasks: DRAIN/nginx.yml
    - {name: upgrade, command: "{{ gitdeploy_executable }} -C /srv/app upgrade TAG --migrate never"}
    - include_tasks: DRAIN/nginx_back.yml
"""


class Traffic:
    """Requests through the balancer, bounded: four threads, each some forty a second. What fails is said, with what the
    balancer knows of it."""

    def __init__(self, log: Path) -> None:
        self.good, self.bad, self.slowest = 0, 0, 0.0
        self._log, self._over = log, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self) -> None:
        while not self._over.wait(0.025):
            begun = time.monotonic()
            why = self._once()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if not why:
                self.good += 1
                continue
            self.bad += 1
            said = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
            print(f"  failed at {time.strftime('%H:%M:%S')}: {why}; nginx: {said[-1:]}", flush=True)

    @staticmethod
    def _once() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            return str(error)
        finally:
            connection.close()
        return "" if answer.status == 200 else str(answer.status)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def __str__(self) -> str:
        return f"{self.good} requests answered, {self.bad} failed, the slowest took {self.slowest:.1f} s"


class Bench:
    """The hosts, their app, and the folder of the control host."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self.folder, self.shared = hosts, folder, hosts.folder / "shared"
        self.url = f"postgresql://shop@{hosts.hosts[0].address.rpartition('.')[0]}.254:{DATABASE_PORT}/shop"
        (folder / "upstream").mkdir(parents=True)
        for host in hosts.hosts:
            (folder / f"upstream/{host.name}.conf").write_text(f"server {host.address}:8000;\n")
        (folder / "nginx.conf").write_text(NGINX.format(place=folder, port=PORT))
        (folder / "bin").mkdir()
        (folder / "bin/nginx").write_text(f'#!/bin/sh\nexec {needs.program("nginx")} -c {folder}/nginx.conf "$@"\n')
        (folder / "bin/nginx").chmod(0o755)
        more = [f"gitdeploy_upstream_dir={folder}/upstream", "gitdeploy_balancer=nginx", "gitdeploy_drain_seconds=3"]
        local = f"[balancing]\nnginx ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        (folder / "hosts.ini").write_text(hosts.inventory(*more) + local)
        (folder / "fleet.yaml").write_text(
            f"inventory: hosts.ini\nhosts: all:!balancing\ndrain: {TASKS}/nginx.yml\nundrain: {TASKS}/nginx_back.yml\n"
            "serial: [1, 10%, 50%]\nreach: 60s\n"
            f"health: {{url: 'http://127.0.0.1:{PORT}/', successes: 2, interval: 0.2}}\n"
        )
        self.environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def fill(self) -> None:
        """The database, the releases, and v1.0.0 running on every host."""
        self.sql(TABLES)
        sample = Sample(self.shared / "sample", venv=False)
        for version in ("1.0", "1.1"):
            sample.wheel("greeting", version)

        def tree(version: str, more: Tree, *migrations: str) -> Tree:
            return {
                "deploy.yaml": DEPLOY.replace("URL", self.url), "VERSION": f"{version}.0", "app.py": APP,
                ".gitignore": "__pycache__/\n/venv\n/run/\n",
                "requirements.txt": f"greeting=={min(version, '1.1')}\n",
                "start.sh": Program(START), "stop.sh": Program(STOP),
                "migrate.py": MIGRATE.replace("URL", self.url), "shop/migrations/__init__.py": "",
                **{f"shop/migrations/{name}.py": MIGRATION for name in ("0001_initial", *migrations)}, **more,
            }  # fmt: skip

        hook = "hooks/post-deploy"
        fails = FAILS.replace("URL", self.url)
        sample.release("v1.0.0", tree("1.0", {}))
        sample.release("v1.1.0", tree("1.1", {hook: Program(HOLDS)}, "0002_mood"))
        sample.release("v1.2.0", tree("1.2", {hook: Program(BREAKS)}, "0002_mood"))
        sample.release("v1.3.0", tree("1.3", {"migrate.py": fails}, "0002_mood", "0003_x"))
        sample.install("v1.0.0")
        sample.git("remote", "set-url", "origin", "file:///srv/shared/sample/remote")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda host: self._install(host, sample), self.hosts.hosts))

    def _install(self, host: Host, sample: Sample) -> None:
        shutil.copytree(sample.app, host.app, symlinks=True)
        (host.app / "run").mkdir()
        own = host.files / os.path.expanduser("~root").lstrip("/") / ".config/pip/pip.conf"  # before the machine's
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text("[global]\nno-index = true\nfind-links = /srv/shared/sample/wheels\n")
        install = f"{UV} pip install -q --no-index --find-links /srv/shared/sample/wheels --link-mode copy"
        self.inside(host, f"{UV} venv -q -p /usr/bin/python3 venv && {install} -p venv/bin/python -r requirements.txt")
        self.inside(host, "./start.sh && until curl -sf http://127.0.0.1:8000/ >/dev/null; do sleep 0.1; done")

    def inside(self, host: Host, command: str) -> None:
        folder = self.hosts.folder
        words = ["ssh", "-F", "none", "-i", f"{folder}/id", "-o", f"UserKnownHostsFile={folder}/known"]
        subprocess.run([*words, f"root@{host.address}", f"cd /srv/app && {command}"], check=True, timeout=120)

    def sql(self, text: str) -> list[str]:
        done = subprocess.run(["psql", "-XAtq", self.url, "-c", text], check=True, capture_output=True, text=True)
        return done.stdout.split()

    # ---- what is typed ----

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gitdeploy", "fleet", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*words), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip

    def fleet(self, *words: str, code: int = 0) -> tuple[float, str]:
        """Seconds, and what the operator sees at the end."""
        begun = time.monotonic()
        done = subprocess.run(
            self.words(*words), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900,
            check=False,
        )  # fmt: skip
        took = time.monotonic() - begun
        if done.returncode != code:
            print(done.stdout + done.stderr, file=sys.stderr)
            raise SystemExit(f"fleet {' '.join(words)} ended with {done.returncode}, not {code}")
        return took, done.stdout or done.stderr

    def plain(self, tag: str, hosts: Sequence[Host]) -> float:
        """Seconds that plain Ansible takes for the same, with the bare commands."""
        text = PLAIN.replace("DRAIN", str(TASKS)).replace("TAG", tag)
        (self.folder / "plain.yml").write_text(text)
        begun = time.monotonic()
        words = [f"{sys.prefix}/bin/ansible-playbook", "-i", "hosts.ini", "-f", "25", "plain.yml"]
        words += ["--limit", ",".join(host.name for host in hosts)]
        environment = {**self.environment, "ANSIBLE_PIPELINING": "True"}
        done = subprocess.run(
            words, cwd=self.folder, capture_output=True, text=True, timeout=900, env=environment, check=False
        )
        if done.returncode != 0:
            raise SystemExit(done.stdout[-3000:] + done.stderr[-2000:])
        return time.monotonic() - begun

    def back(self, tag: str) -> None:
        """Every host that runs TAG is brought back without Ansible: what lies between two measurements."""
        version = tag.removeprefix("v")
        there = [host for host in self.hosts.hosts if (host.app / "VERSION").read_text() == version]
        command = f"{sys.prefix}/bin/gitdeploy rollback v1.0.0 --yes >/dev/null 2>&1"
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda host: self.inside(host, command), there))

    # ---- how it stands ----

    def traffic(self) -> Traffic:
        return Traffic(self.folder / "nginx.log")

    def versions(self) -> str:
        found = [(host.app / "VERSION").read_text() for host in self.hosts.hosts]
        return ", ".join(f"{found.count(each)} on {each}" for each in sorted(set(found)))

    def migrated_by(self) -> list[str]:
        """Where migrate hooks ran, each time."""
        return self.sql("SELECT place FROM ran")

    def states(self) -> dict[str, str]:
        path = self.folder / ".gitdeploy-fleet/rollouts.db"
        if not path.exists():
            return {}
        with closing(sqlite3.connect(path)) as db:
            return dict(db.execute("SELECT host, state FROM member WHERE rollout=(SELECT max(id) FROM rollout)"))


@contextmanager
def database(hosts: Hosts) -> Iterator[None]:
    """A PostgreSQL on the control host, which the hosts reach by their network."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = hosts.folder / "postgresql"
    folder.mkdir()
    for above in (hosts.folder, hosts.folder.parent):
        above.chmod(0o755)  # its user passes here
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    net = hosts.hosts[0].address.rpartition(".")[0]

    def run(*words: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *words], check=True, cwd="/", stdout=subprocess.DEVNULL)

    options = f"-k {folder} -c listen_addresses={net}.254 -p {DATABASE_PORT} -c logging_collector=off"
    run(str(programs / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "shop", "--no-sync")
    with (folder / "data/pg_hba.conf").open("a") as file:
        file.write(f"host all all {net}.0/24 trust\n")
    run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-sw", "-l", f"{folder}/log", "-o", options, "start")
    try:
        run(
            "psql",
            "-Xq",
            "-h",
            str(folder),
            "-p",
            str(DATABASE_PORT),
            "-U",
            "shop",
            "postgres",
            "-c",
            "CREATE DATABASE shop",
        )
        yield
    finally:
        run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-s", "-m", "immediate", "stop")


@contextmanager
def balancer(bench: Bench) -> Iterator[None]:
    words = [f"{bench.folder}/bin/nginx"]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run([*words, "-s", "stop"], check=False)


@contextmanager
def made(number: int) -> Iterator[Bench]:
    """A fleet of so many hosts, on v1.0.0, behind its balancer."""
    with (
        tempfile.TemporaryDirectory(prefix="gitdeploy-bench-fleet-", ignore_cleanup_errors=True) as folder,
        hosts_of_a_fleet.hosts(Path(folder, "hosts"), number) as hosts,
        database(hosts),
    ):
        bench = Bench(hosts, Path(folder, "control"))
        bench.fill()
        with balancer(bench):
            yield bench
