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
from collections import Counter
from pathlib import Path

import conftest  # noqa: F401  # a home and a git configuration of our own, as in every test

from . import campaign, power
from .app import SCENARIOS, Scenario


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="random kills, and half as many again in recovery")
    parser.add_argument("--power-cuts", type=int, default=None, help="power cuts (default: a tenth of --kills)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--thorough", type=int, default=10, help="every so many trials: earlier backups, next upgrade")
    parser.add_argument("--every-point", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--only", action="append", help="only this scenario (may be repeated)")
    parser.add_argument("--keep-going", action="store_true", help="report every find, not just the first of a scenario")
    given = parser.parse_args()
    scenarios = [scenario for scenario in SCENARIOS if not given.only or scenario.name in given.only]
    begun = time.monotonic()
    # Long scenarios are cut in two, so that no job waits for another in the end.
    work = [(scenario, part, 2) for scenario in scenarios for part in range(2)]
    table = campaign.Table()
    finds: list[str] = []
    with multiprocessing.get_context("fork").Pool(given.jobs, maxtasksperchild=1) as pool:
        tasks = [pool.apply_async(_task, (scenario.name, part, parts, given)) for scenario, part, parts in work]
        for task in tasks:
            rows, recovery, found = task.get()
            table.rows += rows
            table.trials += sum(rows.values())
            table.recovery += recovery
            finds += found
            for text in found:
                print(f"FIND: {text}\n", flush=True)
    print(table.text())
    print(f"{time.monotonic() - begun:.0f} s, seed {given.seed}")
    if finds:
        print(f"{len(finds)} FINDS")
    return 1 if finds else 0


def _task(
    name: str, part: int, parts: int, given: argparse.Namespace
) -> tuple[Counter[tuple[str, str, str]], list[float], list[str]]:
    scenario: Scenario = next(found for found in SCENARIOS if found.name == name)
    count = len([s for s in SCENARIOS if not given.only or s.name in given.only]) * parts
    kills = -(-given.kills // count)
    cuts = -(-(given.kills // 10 if given.power_cuts is None else given.power_cuts) // count)
    seed = given.seed * 1000 + part
    finds: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gitdeploy-crash-") as folder:
        one = campaign.Campaign(Path(folder), scenario, thorough=given.thorough, keep_going=given.keep_going)
        for action in (
            (lambda: one.exhaustive(part, parts)) if given.every_point else (lambda: None),
            lambda: one.random_kills(kills, seed),
            lambda: one.kills_in_recovery(-(-kills // 2), seed),
        ):
            with _noted(finds):
                action()
        finds += one.finds
    if cuts and not power.missing():
        with tempfile.TemporaryDirectory(prefix="gitdeploy-power-") as folder, power.Disk(Path(folder)) as disk:
            other = power.PowerCampaign(disk, scenario, thorough=given.thorough, keep_going=given.keep_going)
            with _noted(finds):
                other.power_cuts(cuts, seed)
            finds += other.finds
            one.table.rows += other.table.rows
            one.table.recovery += other.table.recovery
    return one.table.rows, one.table.recovery, finds


@contextlib.contextmanager
def _noted(finds: list[str]):  # type: ignore[no-untyped-def]
    try:
        yield
    except campaign.NotEntire as error:
        finds.append(str(error))
    except Exception:
        finds.append(traceback.format_exc())


if __name__ == "__main__":
    sys.exit(main())
