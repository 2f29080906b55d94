"""`make crash N=2000 SEED=1`: the whole campaign. Prints where gitdeploy was killed and how it ended; exit code 1 where
the app was ever between two releases, something was lost, or a person was needed."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import conftest  # noqa: F401  # a home and a git configuration of our own, as in every test
from support.fast import fast_folder

from . import campaign, power, served
from .app import HALVES, MODULE_SCENARIOS, POWER_SCENARIOS, SCENARIOS, CrashApp, CrashModules, Scenario
from .served import ServedApp


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="random kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every", type=int, default=1, help="every so many points, and barriers of a power cut")
    parser.add_argument("--signals", type=int, default=10, help="a real SIGKILL at every so many points")
    parser.add_argument("--recoveries", type=int, help="kills that are followed by killed recoveries (half of --kills)")
    parser.add_argument("--thorough", type=int, default=25, help="every so many trials: earlier backups, next upgrade")
    parser.add_argument("--only", action="append", help="only this scenario (may be repeated)")
    parser.add_argument("--kind", action="append", help="only this kind of kill: points, random, recovery, power")
    given = parser.parse_args()
    begun = time.monotonic()
    scenarios = [scenario for scenario in ALL if not given.only or scenario.name in given.only]
    work = [
        (scenario.name, kind)
        for kind in given.kind or KINDS
        for scenario in scenarios
        if scenario in (POWER_SCENARIOS if kind == "power" else KILL_SCENARIOS)
    ]
    table = campaign.Table()
    finds: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="gitdeploy-crash-", dir=fast_folder()) as folder,
        multiprocessing.get_context("fork").Pool(given.jobs) as pool,
    ):
        for name, kind in work:
            pool.apply_async(
                _task, (name, kind, folder, given, len(scenarios)), callback=lambda done: _add(done, table, finds)
            )
        pool.close()
        try:
            pool.join()
        except KeyboardInterrupt:
            print("Broken off; what was done so far:")
            pool.terminate()
    print(table.text(finds))
    print(f"{time.monotonic() - begun:.0f} s, seed {given.seed}")
    return 1 if finds else 0


def _add(done: tuple[str, campaign.Table, list[str]], table: campaign.Table, finds: list[str]) -> None:
    what, rows, found = done
    table += rows
    finds += found
    print(f"{what}: {rows.rows.total()} kills, {len(found)} finds", file=sys.stderr, flush=True)
    for text in found:
        print(f"FIND: {text}\n", flush=True)


@cache
def _app(kind: type[CrashApp], folder: str) -> CrashApp:
    """The app of this process, of that kind."""
    app = kind(Path(folder) / f"{kind.__name__}-{os.getpid()}")
    app.build()
    return app


def _task(
    name: str, kind: str, folder: str, given: argparse.Namespace, count: int
) -> tuple[str, campaign.Table, list[str]]:
    scenario = next(found for found in ALL if found.name == name)
    made_for = CrashModules if scenario in MODULE_SCENARIOS else CrashApp
    app = _app(
        made_for if scenario in POWER_SCENARIOS or scenario in (*HALVES, *MODULE_SCENARIOS) else ServedApp, folder
    )
    finds: list[str] = []
    table = campaign.Table()
    try:
        KINDS[kind](app, scenario, given, count, table, finds)
    except campaign.NotEntire as error:
        finds.append(str(error))
    except Exception:
        finds.append(traceback.format_exc())
    finally:
        app.close()
    return f"{name}, {kind}", table, finds


def _points(
    app: CrashApp, scenario: Scenario, given: argparse.Namespace, count: int, table: campaign.Table, finds: list[str]
) -> None:
    with _campaign(app, scenario, given, table, finds) as one:
        one.every_point(first=given.seed, step=given.every)
        one.kills_at_points(first=given.seed % given.signals, step=given.signals)


def _random(
    app: CrashApp, scenario: Scenario, given: argparse.Namespace, count: int, table: campaign.Table, finds: list[str]
) -> None:
    with _campaign(app, scenario, given, table, finds) as one:
        one.random_kills(-(-given.kills // count), given.seed)


def _recovery(
    app: CrashApp, scenario: Scenario, given: argparse.Namespace, count: int, table: campaign.Table, finds: list[str]
) -> None:
    with _campaign(app, scenario, given, table, finds) as one:
        number = given.kills // 2 if given.recoveries is None else given.recoveries
        one.kills_in_recovery(-(-number // count), given.seed)


def _power(
    app: CrashApp, scenario: Scenario, given: argparse.Namespace, count: int, table: campaign.Table, finds: list[str]
) -> None:
    for kind in power.KINDS:
        if power.missing(kind):
            continue
        options = {"thorough": given.thorough, "keep_going": True}
        with power.PowerCampaign(app, scenario, kind=kind, **options) as one, _noted(one, table, finds):
            if kind in power.KEPT_AS_IMAGE:
                one.every_barrier(first=given.seed, step=given.every)
            if kind in power.CUT_BY_KERNEL:
                one.random_cuts(-(-given.kills // 20 // count), given.seed)


@contextlib.contextmanager
def _campaign(
    app: CrashApp, scenario: Scenario, given: argparse.Namespace, table: campaign.Table, finds: list[str]
) -> Iterator[campaign.Campaign]:
    one = campaign.Campaign(app, scenario, thorough=given.thorough, keep_going=True)
    with _noted(one, table, finds):
        yield one


@contextlib.contextmanager
def _noted(one: campaign.Campaign, table: campaign.Table, finds: list[str]) -> Iterator[None]:
    try:
        yield
    finally:
        table += one.table
        finds += one.finds


# A power cut ends the service, whatever it ran: those of its own are killed only.
KILL_SCENARIOS = (*SCENARIOS, *HALVES, *MODULE_SCENARIOS, *served.SCENARIOS)
ALL = (*POWER_SCENARIOS, *HALVES, *MODULE_SCENARIOS, *served.SCENARIOS)
KINDS: dict[str, Callable[..., None]] = {
    "points": _points, "random": _random, "recovery": _recovery, "power": _power
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
