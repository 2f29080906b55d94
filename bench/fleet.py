"""`python -m bench fleet`: eight real hosts behind a balancer, under traffic, through everything that can happen to a rollout.

Each host is an sshd with a network, processes and files of its own (tests/support/hosts_of_a_fleet.py); nginx in front of
them is asked all the while. Needs root, and the Debian packages iproute2, openssh-server and nginx-light. Beside it plain
Ansible runs the bare commands on the same hosts; larger fleets are measured with stand-ins, which only answer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import hosts_of_a_fleet, needs
from support.hosts_of_a_fleet import Hosts
from support.sample import Program, Sample, Tree
from support.shared_shop import MIGRATE, MIGRATION, make_database, migrated

PORT = 18099
APP = """\
import http.server, json, os, pathlib, signal, sys, threading
here = pathlib.Path(__file__).parent
version = (here / "VERSION").read_text()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"version": version}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True; daemon_threads = False
server = Server(("0.0.0.0", 8000), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
(here / "run").mkdir(exist_ok=True); (here / "run/pid").write_text(str(os.getpid()))
server.serve_forever()
"""
START = "#!/bin/sh\nsetsid /usr/bin/python3 app.py </dev/null >>run/log 2>&1 &\n"
STOP = "#!/bin/sh\n[ -e run/pid ] && kill $(cat run/pid) && while kill -0 $(cat run/pid) 2>/dev/null; do sleep 0.05; done\nexit 0\n"
DEPLOY = """\
app: {{name: shop}}
source: {{type: git}}
venv: {{path: null}}
hooks: {{dir: hooks, migrate: ["/usr/bin/python3 migrate.py"]}}
backup: {{databases: ["sqlite:////srv/shared/shop.sqlite3"]}}
service: {{stop: ./stop.sh, start: ./start.sh, pid: run/pid}}
health: {{url: "http://127.0.0.1:8000/", version: {{json: version}}, successes: 2, interval: 0.2, timeout: 30}}
"""
HOLDS = "#!/bin/sh\nn=0; while [ -e /srv/shared/hold-$(hostname) ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done\n"
BREAKS = "#!/bin/sh\n[ $(hostname) != web5 ]\n"
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
PLAIN = """\
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks: [{name: prepare, command: "{{ gitdeploy_executable }} -C /srv/app prepare TAG"}]
- hosts: web1
  gather_facts: false
  tasks: [{name: upgrade, command: "{{ gitdeploy_executable }} -C /srv/app upgrade TAG"}]
- hosts: all:!web1
  gather_facts: false
  serial: SERIAL
  max_fail_percentage: 0
  tasks:
    - include_tasks: down.yml
    - {name: upgrade, command: "{{ gitdeploy_executable }} -C /srv/app upgrade TAG --migrate never"}
    - include_tasks: up.yml
"""
STAND_IN = """\
#!/bin/sh
request=${GITDEPLOY_REQUEST:-}; [ "$1" = -C ] && cd "$2"
state() { printf '{"version":"1","tag":"%s","commit":"%s","local_changes":[],"locked_by":null,"held":null,"health":null}' $1 $1; }
case "$*" in
*status*) state $(cat tag) ;;
*"log --request"*) [ -e "ran-$6" ] && cat "ran-$6" || echo '{"state":"unknown"}' ;;
*) echo v2 > tag
   printf '{"state":"ended","exit_code":0,"steps":[],"document":{"action":"upgrade","status":"succeeded","from":{"tag":"v1"},"to":{"tag":"v2"},"backup":null,"log":[]}}' > "ran-$request" ;;
esac
"""


class Traffic:
    """Requests through the balancer, bounded: four threads, each some forty a second."""

    def __init__(self) -> None:
        self.good, self.bad, self._over = 0, 0, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self) -> None:
        while not self._over.wait(0.025):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=10) as answer:
                    answer.read()
                self.good += 1
            except OSError as error:
                self.bad += 1
                print(f"  failed at {time.strftime('%H:%M:%S')}: {error}", flush=True)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Bench:
    """The hosts, their app, the balancer, and the folder of the control host."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self.folder, self.shared = hosts, folder, hosts.folder / "shared"
        self.database = self.shared / "shop.sqlite3"
        make_database(self.database)
        self._make_app()
        (folder / "upstream").mkdir(parents=True)
        for host in hosts.hosts:
            (folder / f"upstream/{host.name}.conf").write_text(f"server {host.address}:8000;\n")
        (folder / "nginx.conf").write_text(NGINX.format(place=folder, port=PORT))
        reload = f"{needs.program('nginx')} -c {folder}/nginx.conf -s reload"
        for name, how in (("down", " down"), ("up", "")):
            (folder / f"{name}.yml").write_text(
                f"- copy: {{content: 'server {{{{ ansible_host }}}}:8000{how};', dest: '{folder}/upstream/{{{{ inventory_hostname }}}}.conf'}}\n"
                "  delegate_to: localhost\n  connection: local\n"
                f"- command: {reload}\n  delegate_to: localhost\n  connection: local\n  changed_when: true\n"
                "- pause: {seconds: 3}\n"
            )
        (folder / "hosts.ini").write_text(hosts.inventory())
        (folder / "fleet.yaml").write_text(
            "inventory: hosts.ini\ndrain: down.yml\nundrain: up.yml\nserial: [1, 10%, 50%]\nreach: 60s\n"
            f"health: {{url: 'http://127.0.0.1:{PORT}/', successes: 2, interval: 0.2}}\n"
        )

    def _make_app(self) -> None:
        sample = Sample(self.shared / "sample", venv=False)

        def tree(version: str, *migrations: str, **more: str | Program) -> Tree:
            return {
                "deploy.yaml": DEPLOY.format(), "VERSION": version, ".gitignore": "__pycache__/\nrun/\n", "app.py": APP,
                "start.sh": Program(START), "stop.sh": Program(STOP),
                "migrate.py": MIGRATE.format(database="/srv/shared/shop.sqlite3"), "shop/migrations/__init__.py": "",
                **{f"shop/migrations/{name}.py": MIGRATION for name in ("0001_initial", *migrations)}, **more,
            }  # fmt: skip

        hook = "hooks/post-deploy"
        sample.release("v1.0.0", tree("1.0.0"))
        sample.release("v1.1.0", tree("1.1.0", "0002_mood", **{hook: Program(HOLDS)}))
        sample.release("v1.2.0", tree("1.2.0", "0002_mood", **{hook: Program(BREAKS)}))
        sample.release("v1.3.0", tree("1.3.0", "0002_mood", "0003_x", **{"migrate.py": "raise SystemExit('no')"}))
        sample.install("v1.0.0")
        sample.git("remote", "set-url", "origin", "file:///srv/shared/sample/remote")
        for host in self.hosts.hosts:
            shutil.copytree(sample.app, host.app, symlinks=True)
            (host.app / "run").mkdir()
            self._inside(host.number, "./start.sh")

    def _inside(self, number: int, command: str) -> None:
        host = self.hosts[number]
        words = [
            "ssh",
            "-F",
            "none",
            "-i",
            f"{self.hosts.folder}/id",
            "-o",
            f"UserKnownHostsFile={self.hosts.folder}/known",
        ]
        subprocess.run([*words, f"root@{host.address}", f"cd /srv/app && {command}"], check=True, timeout=60)

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gitdeploy", "fleet", *words]

    def fleet(self, *words: str, code: int = 0) -> tuple[float, str]:
        """Seconds, and what the operator sees."""
        begun = time.monotonic()
        done = subprocess.run(
            self.words(*words), cwd=self.folder, capture_output=True, text=True, timeout=900, check=False
        )
        took = time.monotonic() - begun
        if done.returncode != code:
            print(done.stdout + done.stderr, file=sys.stderr)
            raise SystemExit(f"fleet {' '.join(words)} ended with {done.returncode}, not {code}")
        return took, done.stdout

    def plain(self, tag: str) -> float:
        """Seconds that plain Ansible takes for the same, with the bare commands."""
        (self.folder / "plain.yml").write_text(PLAIN.replace("TAG", tag).replace("SERIAL", "['10%', '50%']"))
        begun = time.monotonic()
        words = [f"{sys.prefix}/bin/ansible-playbook", "-i", "hosts.ini", "-f", "25", "plain.yml"]
        environment = {**os.environ, "ANSIBLE_PIPELINING": "True"}
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, timeout=900, env=environment)
        return time.monotonic() - begun

    def versions(self) -> str:
        found = [(host.app / "VERSION").read_text() for host in self.hosts.hosts]
        return ", ".join(f"{found.count(each)} on {each}" for each in sorted(set(found)))

    def states(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.folder / ".gitdeploy-fleet/rollouts.db")) as db:
            return dict(db.execute("SELECT host, state FROM member WHERE rollout=(SELECT max(id) FROM rollout)"))


def wait(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit("waited in vain")
        time.sleep(0.05)


# ---- what happens to a rollout ----


def goes_well(bench: Bench) -> None:
    with Traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.1.0", "--yes")
    print(table)
    print(
        f"{took:.1f} s; {traffic.good} requests answered, {traffic.bad} failed; migrated by {migrated(bench.database)[1]}"
    )
    back, _ = bench.fleet("rollback", "v1.1.0", "--yes")
    with Traffic() as traffic:
        plain = bench.plain("v1.1.0")
    print(f"rolled back in {back:.1f} s. Plain Ansible with the bare commands: {plain:.1f} s, {traffic.bad} failed")


def breaks_on_the_fifth(bench: Bench) -> None:
    with Traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.2.0", "--yes", "--on-failure", "rollback-all", code=3)
    print(table)
    print(f"{took:.1f} s; {traffic.good} requests answered, {traffic.bad} failed; {bench.versions()}")


def migration_fails(bench: Bench) -> None:
    with Traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.3.0", "--yes", code=3)
    print(table)
    print(f"{took:.1f} s; {traffic.good} requests answered, {traffic.bad} failed; {bench.versions()}")


def killed_in_each_phase(bench: Bench) -> None:
    bench.fleet("rollback", "v1.1.0", "--yes")
    for phase, reached in (("prepare", "preparing"), ("live", "upgrading"), ("later", "upgraded")):
        words = ("upgrade", "v1.1.0", "--yes") if phase == "prepare" else ("upgrade", "--resume")
        control = subprocess.Popen(
            bench.words(*words), cwd=bench.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait(lambda: (bench.folder / ".gitdeploy-fleet/rollouts.db").exists() and reached in bench.states().values())  # noqa: B023
        os.kill(control.pid, signal.SIGKILL)
        control.wait()
        print(f"killed while {reached}: {sorted(bench.states().values())}")
    took, table = bench.fleet("upgrade", "--resume")
    print(table)
    print(f"resumed, {took:.1f} s; {bench.versions()}; migrated by {migrated(bench.database)[1]}")


def link_drops(bench: Bench) -> None:
    bench.fleet("rollback", "v1.1.0", "--yes")
    host = bench.hosts[6]
    hold = bench.shared / f"hold-{host.name}"
    hold.touch()
    control = subprocess.Popen(
        bench.words("upgrade", "v1.1.0", "--yes"), cwd=bench.folder, stdout=subprocess.PIPE, text=True
    )
    wait(lambda: (host.app / "VERSION").read_text() == "1.1.0")
    host.disconnect()
    wait(lambda: bench.states()[host.name] == "unreachable")
    hold.unlink()
    time.sleep(5)
    host.connect()
    print(control.communicate(timeout=600)[0], bench.versions())


def was_down(bench: Bench) -> None:
    bench.fleet("rollback", "v1.1.0", "--yes")
    bench.hosts[7].disconnect()
    print(bench.fleet("upgrade", "v1.1.0", "--yes", "--skip-unreachable")[1])
    bench.hosts[7].connect()
    print(bench.fleet("status")[1])
    print(bench.fleet("upgrade", "--only-behind", "--yes")[1], bench.versions())


SCENARIOS = {
    each.__name__: each
    for each in (goes_well, breaks_on_the_fifth, migration_fails, killed_in_each_phase, link_drops, was_down)
}


# ---- how it grows ----


def grows(numbers: list[int]) -> None:
    """Stand-ins, reached without a network: what the control host itself needs."""
    print(f"{'hosts':>6} {'time':>8} {'CPU':>8} {'memory':>9} {'files':>6}")
    for number in numbers:
        folder = Path(tempfile.mkdtemp(prefix="gitdeploy-bench-"))
        lines = []
        for each in range(number):
            place = folder / f"h{each}"
            place.mkdir()
            (place / "tag").write_text("v1\n")
            lines.append(f"h{each} gitdeploy_dir={place}")
        (folder / "stand-in").write_text(STAND_IN)
        (folder / "stand-in").chmod(0o755)
        more = ["[all:vars]", "ansible_connection=local", f"ansible_python_interpreter={sys.executable}"]
        (folder / "hosts.ini").write_text("\n".join([*lines, *more, f"gitdeploy_executable={folder}/stand-in", ""]))
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        words = [sys.executable, "-m", "gitdeploy", "fleet", "upgrade", "v2", "-i", "hosts.ini", "--yes", "--json"]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
        files = memory = 0
        while process.poll() is None:
            try:
                files = max(files, len(os.listdir(f"/proc/{process.pid}/fd")))
                status = Path(f"/proc/{process.pid}/status").read_text()
                memory = max(
                    memory, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
                )
            except (OSError, ValueError, TypeError):
                pass
            time.sleep(0.1)
        document = json.loads(process.stdout.read()) if process.stdout else {}
        took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"{number:6} {took:7.1f}s {cpu:7.1f}s {memory / 1024:6.0f} MB {files:6}   {document.get('status')}",
            flush=True,
        )
        shutil.rmtree(folder)


@contextmanager
def balancer(folder: Path) -> Iterator[None]:
    words = [needs.program("nginx"), "-c", f"{folder}/nginx.conf"]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run([*words, "-s", "stop"], check=False)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--stand-ins", default="8,50,200", help="numbers of stand-ins, or nothing")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], default=[])
    asked = parser.parse_args(words)
    if asked.hosts:
        with (
            tempfile.TemporaryDirectory(prefix="gitdeploy-bench-fleet-", ignore_cleanup_errors=True) as folder,
            hosts_of_a_fleet.hosts(Path(folder, "hosts"), asked.hosts) as hosts,
        ):
            bench = Bench(hosts, Path(folder, "control"))
            with balancer(bench.folder):
                for name, scenario in SCENARIOS.items():
                    if not asked.scenario or name in asked.scenario:
                        print(f"\n== {name.replace('_', ' ')}, {asked.hosts} hosts", flush=True)
                        scenario(bench)
    if asked.stand_ins:
        grows([int(each) for each in asked.stand_ins.split(",")])
