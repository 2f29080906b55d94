"""The way to a release: through those that may not be skipped, and those that others require."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from packaging.version import Version

from gitdeploy.config.on_the_way import OnTheWay, read_on_the_way
from gitdeploy.deployment.plan.stops import find_way, problems_of
from gitdeploy.site.between import Between, Release
from gitdeploy.versions import CodeState, satisfies


def release(version: str, says: OnTheWay) -> Release:
    return Release(f"v{version}", version.rjust(40, "0"), Version(version), says)


def way(live: str | None, releases: dict[str, str]) -> list[str] | str:
    """The tags on the way from LIVE to the last of RELEASES (version -> what its deploy.yaml says), or why there is none."""
    made = [release(version, read_on_the_way(text.encode())) for version, text in releases.items()]
    here = Version(live) if live else None
    between = [each for each in made[:-1] if here is None or each.version > here]
    found = find_way(Between(here, made[-1], tuple(between)), CodeState(live, None, "0" * 40))
    return found.none or [hop.tag.removeprefix("v") for hop in found.hops]


REQUIRES = "requires: '>={}'"
WAYS = {
    "nothing is said": ("1", {"2": "", "3": ""}, []),
    "a stop": ("1", {"2": "stop: true", "3": ""}, ["2", "3"]),
    "a stop that has run": ("2", {"2": "stop: true", "3": ""}, []),
    "the target is a stop": ("1", {"2": "", "3": "stop: true"}, []),
    "two of three": ("1", {"2": "stop: true", "2.5": "", "3": "stop: true", "4": ""}, ["2", "3", "4"]),
    "stop: false": ("1", {"2": "stop: false", "3": ""}, []),
    "required, and the newest of them": ("1", {"2": "", "2.5": "", "3": REQUIRES.format(2)}, ["2.5", "3"]),
    "required, and live": ("2", {"2.5": "", "3": REQUIRES.format(2)}, []),
    "required below a limit": ("1", {"2": "", "2.5": "", "3": "requires: '>=2,<2.5'"}, ["2", "3"]),
    "required by what is required": (
        "1", {"2": "", "3": REQUIRES.format(2), "4": REQUIRES.format(3)}, ["2", "3", "4"]
    ),
    "required by a stop": ("1", {"2": "", "3": f"stop: true\n{REQUIRES.format(2)}", "4": ""}, ["2", "3", "4"]),
    "the stop is what is required": ("1", {"2": "stop: true", "3": REQUIRES.format(2)}, ["2", "3"]),
    "nothing is known to be live": (None, {"2": "", "3": REQUIRES.format(1)}, ["2", "3"]),
    "required, and there is none": ("1", {"2": "", "3": REQUIRES.format("2.9")}, "v3 requires >=2.9; "),
    "required, and the way there has none": (
        "1", {"2": REQUIRES.format("1.5"), "3": REQUIRES.format(2)}, "v3 requires >=2; "
    ),
}  # fmt: skip


@pytest.mark.parametrize(("live", "releases", "wanted"), WAYS.values(), ids=WAYS)
def test_the_way(live: str | None, releases: dict[str, str], wanted: list[str] | str) -> None:
    found = way(live, releases)
    assert found.startswith(wanted) if isinstance(found, str) and isinstance(wanted, str) else found == wanted


@settings(max_examples=200, deadline=None)
@given(
    some.lists(some.tuples(some.booleans(), some.none() | some.integers(0, 12)), min_size=1, max_size=12),
    some.integers(0, 3),
)
def test_a_way_skips_no_stop_and_gives_everybody_what_it_requires(
    said: list[tuple[bool, int | None]], live: int
) -> None:
    made = [
        release(str(number + live + 1), OnTheWay(f">={wanted}" if wanted is not None else "", stop))
        for number, (stop, wanted) in enumerate(said)
    ]
    origin = CodeState(str(live), f"v{live}", "0" * 40)
    found = find_way(Between(Version(str(live)), made[-1], tuple(made[:-1])), origin)
    by_tag = {each.tag: each for each in made}
    if found.none:
        (problem,) = problems_of(found, origin, CodeState(None, made[-1].tag, ""))
        assert problem.refused
        assert "--skip-stops" in problem.hint
        return
    path = [by_tag[hop.tag] for hop in found.hops] or [made[-1]]
    assert [each.version for each in path] == sorted({each.version for each in path})
    assert path[-1] is made[-1]
    assert {each.tag for each in made[:-1] if each.says.stop} <= {each.tag for each in path}
    before = str(live)
    for each in path:
        assert not each.says.requires or satisfies(before, each.says.requires)
        before = str(each.version)


def test_a_thousand_releases_that_all_want_something_take_no_time() -> None:
    made = {str(number): f"requires: '>={number - 1},<{number - 1}'" for number in range(2, 900)}
    assert isinstance(way("1", made), str)
    assert len(way("1", {str(n): f"requires: '>={n - 1}'" for n in range(2, 40)})) == 38


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, OnTheWay()),
        ("", OnTheWay()),
        ("stop: true\nanother: [gitdeploy's, later key]\n", OnTheWay(stop=True)),
        ("requires: '>=2.5'\nstop: true\n", OnTheWay(">=2.5", stop=True)),
        ("requires:\nstop: ~\n", OnTheWay()),
        ("spec: {stop: true}\n", OnTheWay()),
        ("service: {stop: ./stop.sh}\n", OnTheWay()),
    ],
)
def test_nothing_else_of_the_file_is_looked_at(text: str | None, says: OnTheWay) -> None:
    assert read_on_the_way(text.encode() if text is not None else None) == says


@settings(max_examples=150, deadline=None)
@given(
    some.binary(max_size=200) | some.text(alphabet="stop: true\nrequires[]{}&*!|>'\"#\t\0", max_size=80).map(str.encode)
)
def test_whatever_a_file_holds_it_is_read_or_said_why_not(raw: bytes) -> None:
    found = read_on_the_way(b"stop: " + raw)
    assert found.problem or isinstance(found.stop, bool)
