"""A bounded part of the campaign with a fixed seed; `make crash` runs all of it. Every trial ends wholly on the old release
or wholly on the new one, with nothing lost and nothing to do by hand, or `NotEntire` says what is wrong."""

from __future__ import annotations

import pytest

from .app import SCENARIOS, CrashApp, Scenario
from .campaign import Campaign
from .power import PowerCampaign, missing

SEED = 4
STEP = 7  # every 7th point and barrier; SEED says which
# Two groups of about the same length: the app of the campaign is made once for each.
WITHOUT_SYNCS = ("prune",)  # it only deletes
GROUPS = {"adopt": 1, "upgrade": 1, "prepared": 1, "prepare": 1, "fails": 2, "restore": 2, "rollback": 2, "prune": 2}


def each_scenario() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "scenario",
        [
            pytest.param(one, id=one.name, marks=pytest.mark.xdist_group(f"crash-{GROUPS.get(one.name, 1)}"))
            for one in SCENARIOS
        ],
    )


pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


@each_scenario()
def test_killed_anywhere_it_is_the_old_release_or_the_new_one(crash_app: CrashApp, scenario: Scenario) -> None:
    campaign = Campaign(crash_app, scenario, thorough=12)
    campaign.every_point(first=SEED, step=STEP)
    campaign.kills_at_points(first=SEED, step=150)
    campaign.random_kills(4, SEED)
    campaign.kills_in_recovery(6, SEED)
    assert campaign.table.rows.total() >= 10


@each_scenario()
def test_the_power_is_cut_anywhere(crash_app: CrashApp, scenario: Scenario) -> None:
    if why := missing():
        pytest.skip(why)
    with PowerCampaign(crash_app, scenario, thorough=12) as campaign:
        if scenario.name in WITHOUT_SYNCS:
            campaign.random_cuts(3, SEED)
        else:
            campaign.every_barrier(first=SEED, step=STEP * 2)
            campaign.random_cuts(1, SEED)
        assert campaign.table.rows.total() >= 2
