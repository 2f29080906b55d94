"""`python -m bench fleet`: eight real hosts behind a balancer, under traffic, through everything that can happen to a rollout.

Each host is an sshd with a network, processes and files of its own (tests/support/hosts_of_a_fleet.py), with a checkout, a
venv and a service; they share a PostgreSQL, and nginx in front of them is asked all the while (bench/fleet_hosts.py). Needs
root, and the Debian packages iproute2, openssh-server, postgresql and nginx-light. `--rounds` measures: beside it plain
Ansible runs the bare commands on the same hosts. Larger fleets are measured with stand-ins, which only answer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.fleet_hosts import Bench, made

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


def wait(true: Callable[[], object], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit("waited in vain")
        time.sleep(0.05)


# ---- what happens to a rollout ----


def goes_well(bench: Bench) -> None:
    with bench.traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.1.0", "--yes")
    print(table)
    print(f"{took:.1f} s; {traffic}; migrated by {bench.migrated_by()}", flush=True)
    with bench.traffic() as traffic:
        took, table = bench.fleet("rollback", "v1.1.0", "--yes")
    print(table)
    print(f"rolled back, {took:.1f} s; {traffic}; {bench.versions()}")


def breaks_on_the_fifth(bench: Bench) -> None:
    with bench.traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.2.0", "--yes", "--on-failure", "rollback-all", code=3)
    print(table)
    print(f"{took:.1f} s; {traffic}; {bench.versions()}")


def migration_fails(bench: Bench) -> None:
    with bench.traffic() as traffic:
        took, table = bench.fleet("upgrade", "v1.3.0", "--yes", code=3)
    print(table)
    left = bench.sql("SELECT count(*) FROM pg_tables WHERE tablename='half_done'; ")
    orders = bench.sql("SELECT count(*) FROM orders")
    print(f"{took:.1f} s; {traffic}; {bench.versions()}; tables of the half migration: {left}, orders: {orders}")


def killed_in_each_phase(bench: Bench) -> None:
    bench.back("v1.1.0")
    begun = len(bench.migrated_by())

    def killed(words: tuple[str, ...], reached: str) -> None:
        before = bench.states()
        control = bench.start(*words)
        wait(lambda: (now := bench.states()) != before and reached in now.values())
        os.kill(control.pid, signal.SIGKILL)
        control.wait()
        print(f"killed while {reached}: {sorted(bench.states().values())}", flush=True)

    with bench.traffic() as traffic:
        killed(("upgrade", "v1.1.0", "--yes"), "preparing")
        print(bench.fleet("log")[1])
        for reached in ("upgrading", "upgraded"):
            killed(("upgrade", "--resume"), reached)
        took, table = bench.fleet("upgrade", "--resume")
        print(table)
        print(f"resumed, {took:.1f} s; {bench.versions()}; migrated by {bench.migrated_by()[begun:]}", flush=True)
        killed(("upgrade", "v1.2.0", "--yes", "--on-failure", "rollback-all"), "reverting")
        took, table = bench.fleet("upgrade", "--resume", code=3)
        print(table)
    print(f"resumed, {took:.1f} s; {traffic}; {bench.versions()}")


def link_drops(bench: Bench) -> None:
    bench.back("v1.1.0")
    host = bench.hosts[6]
    hold = bench.shared / f"hold-{host.name}"
    hold.touch()
    with bench.traffic() as traffic:
        control = bench.start("upgrade", "v1.1.0", "--yes")
        wait(lambda: (host.app / "VERSION").read_text() == "1.1.0")
        host.disconnect()
        wait(lambda: bench.states()[host.name] == "unreachable")
        hold.unlink()
        time.sleep(5)
        host.connect()
        print(control.communicate(timeout=600)[0])
    print(f"exit code {control.returncode}; {traffic}; {bench.versions()}")


def was_down(bench: Bench) -> None:
    bench.back("v1.1.0")
    bench.hosts[7].disconnect()
    took, said = bench.fleet("upgrade", "v1.1.0", "--yes", code=1)
    print(f"{said}\nrefused, {took:.1f} s")
    print(bench.fleet("upgrade", "v1.1.0", "--yes", "--skip-unreachable")[1])
    bench.hosts[7].connect()
    print(bench.fleet("status")[1])
    with bench.traffic() as traffic:
        took, table = bench.fleet("upgrade", "--only-behind", "--yes")
    print(table)
    print(f"{took:.1f} s; {traffic}; {bench.versions()}")


SCENARIOS = {
    each.__name__: each
    for each in (goes_well, breaks_on_the_fifth, migration_fails, killed_in_each_phase, link_drops, was_down)
}


# ---- what it costs, beside plain Ansible ----


def compared(bench: Bench, rounds: int, sizes: list[int]) -> None:
    """The same release to the first hosts, by both, in turns, under traffic."""
    bench.back("v1.1.0")
    for number in range(rounds):
        for place, size in enumerate(sizes):
            hosts = bench.hosts.hosts[:size]
            for way in ("fleet", "plain") if (number + place) % 2 == 0 else ("plain", "fleet"):
                with bench.traffic() as traffic:
                    if way == "fleet":
                        names = ",".join(host.name for host in hosts)
                        took, _ = bench.fleet("upgrade", "v1.1.0", "--yes", "--hosts", names)
                    else:
                        took = bench.plain("v1.1.0", hosts)
                load = os.getloadavg()[0]
                print(f"round {number + 1}, {size} hosts, {way}: {took:.1f} s; {traffic}; load {load:.1f}", flush=True)
                bench.back("v1.1.0")


# ---- how it grows ----


def tree(top: int) -> list[int]:
    """TOP and the processes below it that are the control host's own: what stands for the hosts is left out."""
    found, later = [], [top]
    while later:
        pid = later.pop()
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            below = [each.read_text().split() for each in Path(f"/proc/{pid}/task").glob("*/children")]
        except OSError:
            continue
        if b"ansible-playbook" in line or b"gitdeploy\0fleet" in line:
            found.append(pid)
        later += [int(child) for children in below for child in children]
    return found


def shares(pids: list[int]) -> tuple[float, int]:
    """(MB of PIDS together, where memory that they share counts once; the most open files that one of them has)."""
    memory = files = 0
    for pid in pids:
        try:
            files = max(files, len(os.listdir(f"/proc/{pid}/fd")))
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            memory += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            continue
    return memory / 1024, files


def resident(pid: int) -> float:
    """MB that PID had at most."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def grows(numbers: list[int]) -> None:
    """Stand-ins, reached without a network: what the control host itself needs."""
    print(f"{'hosts':>6} {'time':>8} {'CPU':>8} {'its own':>9} {'with Ansible':>13} {'files':>6}")
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
        said = (folder / "said").open("w+")
        process = subprocess.Popen(words, cwd=folder, stdout=said)
        own = all_of_it = 0.0
        files = 0
        while process.poll() is None:
            own = max(own, resident(process.pid))
            memory, most = shares(tree(process.pid))
            all_of_it, files = max(all_of_it, memory), max(files, most)
            time.sleep(0.5)
        took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        said.seek(0)
        status = json.load(said)["status"]
        said.close()
        print(
            f"{number:6} {took:7.1f}s {cpu:7.1f}s {own:6.0f} MB {all_of_it:10.0f} MB {files:6}   {status}", flush=True
        )
        shutil.rmtree(folder)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=0, help="rounds beside plain Ansible, instead of the scenarios")
    parser.add_argument("--sizes", default="1,2,4,8", help="numbers of hosts in a round")
    parser.add_argument("--stand-ins", default="8,50,200", help="numbers of stand-ins, or nothing")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], default=[])
    asked = parser.parse_args(words)
    if asked.hosts:
        with made(asked.hosts) as bench:
            if asked.rounds:
                compared(bench, asked.rounds, [int(each) for each in asked.sizes.split(",")])
            for name, scenario in SCENARIOS.items():
                if not asked.rounds and (not asked.scenario or name in asked.scenario):
                    print(f"\n== {name.replace('_', ' ')}, {asked.hosts} hosts", flush=True)
                    scenario(bench)
    if asked.stand_ins:
        grows([int(each) for each in asked.stand_ins.split(",")])
