"""Every test is in one lane, and each lane's tests are where its name says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lanes import LANES, PLACES, lane_of, longest_first

TESTS = Path(__file__).parent


def test_every_test_has_the_marker_of_one_lane(request: pytest.FixtureRequest) -> None:
    assert request.session.items
    for item in request.session.items:
        assert len({mark.name for mark in item.iter_markers()} & LANES.keys()) == 1, item.nodeid


@pytest.mark.parametrize(
    ("path", "own", "lane"),
    [
        ("test_text.py", set(), "quick"),
        ("test_what_somebody_adds.py", set(), "e2e"),
        ("e2e/test_x.py", set(), "e2e"),
        ("web/test_x.py", set(), "e2e"),
        ("web/browser/test_x.py", set(), "browser"),
        ("databases/test_databases_sqlite.py", set(), "quick"),
        ("databases/test_databases_mysql.py", set(), "server"),
        ("services/test_x.py", set(), "machine"),
        ("services/test_x.py", {"quick", "parametrize"}, "quick"),
        ("crash/test_x.py", {"timeout", "crash"}, "crash"),
    ],
)
def test_the_longest_place_counts_and_a_marker_of_its_own_more(path: str, own: set[str], lane: str) -> None:
    assert lane_of(path, own) == lane


def test_two_lanes_are_an_error() -> None:
    with pytest.raises(ValueError, match="two lanes: e2e, quick"):
        lane_of("test_x.py", {"e2e", "quick"})


def test_all_are_still_there_in_the_order_for_several_processes(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    ordered = longest_first(items)
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    groups = [str(mark.args[0]) for item in ordered if (mark := item.get_closest_marker("xdist_group"))]
    together = [group for number, group in enumerate(groups) if number == 0 or groups[number - 1] != group]
    assert len(together) == len(set(together)), "what shares a server or a machine stays together"


@pytest.mark.xdist_group("one")
def test_a_group_is_seen_by_who_hands_out_tests(request: pytest.FixtureRequest) -> None:
    """Else each of several processes starts every server and every machine, again and again."""
    in_one_of_several = hasattr(request.config, "workerinput")
    assert request.node.nodeid.endswith("@one") == in_one_of_several


def test_every_place_is_there() -> None:
    assert [place for place in PLACES if not (TESTS / place).exists()] == []


def test_every_lane_is_explained_where_tests_are() -> None:
    said = (TESTS / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", said, re.MULTILINE)) == LANES.keys()


def test_every_file_that_the_guide_names_is_there() -> None:
    said = (TESTS / "README.md").read_text().partition("## What the README promises")[2].partition("## Writing")[0]
    names = re.findall(r"`([\w/]+(?:\.py|/))`", said)
    assert len(names) > 40
    assert [name for name in names if not (TESTS / name).exists()] == []
