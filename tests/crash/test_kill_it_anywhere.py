"""The campaign with a fixed seed, every point of every command; `make crash` runs it longer. Every trial ends wholly on the
old release or wholly on the new one, with nothing lost and nothing to do by hand, or `NotEntire` says what is wrong."""

from __future__ import annotations

import pytest
from support import bounds

from . import served
from .app import HALVES, MODULE_SCENARIOS, POWER_SCENARIOS, SCENARIOS, CrashApp, Scenario
from .campaign import Campaign
from .power import PowerCampaign, missing

SEED = 4
ON_BTRFS = tuple(one for one in POWER_SCENARIOS if one.name in ("fails", "without hooks", "backup"))
# How many random kills, and kills with killed recoveries, of each command
EACH, EACH_SERVED, EACH_MODULES = (12, 6, 3) if bounds.THOROUGH else (4, 2, 2)
THOROUGH = 60  # every so many trials: earlier backups, next upgrade
# Every so many points of what a command does to the disk; `make crash` takes each.
POINTS = 9 if bounds.THOROUGH else 25
STEP = 14 if bounds.THOROUGH else 20  # every so many barriers, SEED says which, and those where one side is final
WITHOUT_SYNCS = ("prune",)  # it only deletes


def each(scenarios: tuple[Scenario, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "scenario",
        [pytest.param(one, id=one.name, marks=pytest.mark.xdist_group(f"crash-{one.name}")) for one in scenarios],
    )


pytestmark = [pytest.mark.crash, pytest.mark.timeout(1500)]


@each(SCENARIOS)
def test_killed_anywhere_it_is_the_old_release_or_the_new_one(crash_app: CrashApp, scenario: Scenario) -> None:
    campaign = Campaign(crash_app, scenario, thorough=THOROUGH)
    campaign.everywhere(first=SEED, step=POINTS, recoveries=EACH, seed=SEED)
    campaign.kills_at_points(first=SEED, step=150)
    campaign.random_kills(EACH, SEED)
    assert campaign.table.rows.total() > 2 * EACH


@each(served.SCENARIOS)
def test_killed_anywhere_the_service_runs_the_release_that_is_on_disk(served_app: CrashApp, scenario: Scenario) -> None:
    """And the database is wholly the old or the new one, and the maintenance page is gone."""
    campaign = Campaign(served_app, scenario, thorough=THOROUGH)
    campaign.everywhere(first=SEED, step=2 * POINTS, recoveries=EACH_SERVED, seed=SEED)
    campaign.random_kills(EACH_SERVED, SEED)
    assert campaign.table.rows.total() > 2 * EACH_SERVED


@each(HALVES)
def test_killed_anywhere_the_second_half_of_migrations_is_never_said_to_be_done_before_it_is(
    crash_app: CrashApp, scenario: Scenario
) -> None:
    campaign = Campaign(crash_app, scenario, thorough=THOROUGH)
    campaign.everywhere(first=SEED, step=6 * POINTS, recoveries=2, seed=SEED)
    campaign.kills_at_second_half()
    assert campaign.table.rows.total() > 8


@each(MODULE_SCENARIOS)
def test_killed_anywhere_submodules_are_the_old_ones_or_the_new_ones(module_app: CrashApp, scenario: Scenario) -> None:
    """Those that come, go, move, are nested, and become folders, files and links."""
    campaign = Campaign(module_app, scenario, thorough=THOROUGH)
    campaign.everywhere(first=SEED, step=2 * POINTS, recoveries=EACH_MODULES, seed=SEED)
    campaign.random_kills(EACH_MODULES, SEED)
    assert campaign.table.rows.total() > 2 * EACH_MODULES


@each(POWER_SCENARIOS)
def test_the_power_is_cut_anywhere(crash_app: CrashApp, scenario: Scenario) -> None:
    if why := missing():
        pytest.skip(why)
    with PowerCampaign(crash_app, scenario, thorough=12) as campaign:
        if scenario.name in WITHOUT_SYNCS:
            campaign.random_cuts(3, SEED)
        else:
            campaign.every_barrier(first=SEED, step=STEP)
            campaign.random_cuts(1, SEED)
        assert campaign.table.rows.total() >= 2


@each(ON_BTRFS)
def test_the_power_is_cut_anywhere_on_btrfs(crash_app: CrashApp, scenario: Scenario) -> None:
    """Where an fsync of one file says nothing about any other."""
    if why := missing("btrfs"):
        pytest.skip(why)
    with PowerCampaign(crash_app, scenario, kind="btrfs", thorough=12) as campaign:
        campaign.every_barrier(first=SEED, step=STEP // 2)
        assert campaign.table.rows.total() >= 1
