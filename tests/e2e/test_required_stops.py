"""Releases that may not be skipped: found on the way, refused where they would be, and gone through one by one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("required-stops")

SETTINGS = """\
app: {{name: shop}}
source: {{type: git}}
check: {{upgrade: all}}
venv: {{path: null}}
backup: {{databases: ["sqlite:///run/app.db"]}}
hooks: {{dir: hooks}}
health: {{command: ./health.sh, successes: 1, timeout: 1, interval: 0.05}}
{more}"""
# Each release adds its row to what the one before has left, and refuses a database that another one has left.
MIGRATE = """\
#!/bin/sh
set -eu
if [ "$(cat run/kill 2>/dev/null)" = "$GITDEPLOY_TO_TAG" ]; then rm run/kill; kill -9 $PPID; sleep 60; fi
exec /usr/bin/env python3 - "$GITDEPLOY_TO_TAG" "$(cat NEEDS)" <<'END'
import sqlite3, sys
database = sqlite3.connect("run/app.db")
done = [row[0] for row in database.execute("SELECT release FROM done")]
assert sys.argv[2] in done, f"{sys.argv[1]} needs {sys.argv[2]}, found {done}"
database.execute("INSERT INTO done VALUES (?)", (sys.argv[1],))
database.execute(f'CREATE TABLE "{sys.argv[1]}" (of_its_own)')
database.commit()
END
"""
CHAIN = {
    "v1.0": ("", ""), "v2.0": ("v1.0", "stop: true"), "v2.5": ("v2.0", ""), "v3.0": ("v2.0", "stop: true"),
    "v4.0": ("v3.0", 'requires: ">=3"'),
}  # fmt: skip


def tree(tag: str, needs: str, says: str, **more: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS.format(more=says),
        ".gitignore": "/run/\n",
        "VERSION": tag,
        "NEEDS": needs,
        "health.sh": Program("#!/bin/sh\n[ ! -e unwell ]\n"),
        "hooks/migrate": Program(MIGRATE),
        **more,
    }


class Shop(Sample):
    """Its database says which releases have run on it, in order."""

    @property
    def done(self) -> list[str]:
        with closing(sqlite3.connect(self.app / "run/app.db")) as database:
            return [row[0] for row in database.execute("SELECT release FROM done")]

    @property
    def live(self) -> str:
        return (self.app / "VERSION").read_text()

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.gitdeploy(*words, "--json", code=code).out)


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("stops"), venv=False)
    for tag, (needs, says) in CHAIN.items():
        shop.release(tag, tree(tag, needs, says))
    shop.install("v1.0", branch="main")
    (shop.app / "run").mkdir()
    with closing(sqlite3.connect(shop.app / "run/app.db")) as database, database:
        database.execute("CREATE TABLE done (release TEXT)")
        database.execute("INSERT INTO done VALUES ('v1.0')")
    shop.keep(remote=True)
    return shop


@pytest.fixture
def shop(shop_once: Shop) -> Shop:
    shop_once.reset()
    return shop_once


def test_a_release_that_may_not_be_skipped_is_not_skipped(shop: Shop) -> None:
    plan = shop.json("plan", "v4.0", code=7)
    assert [(hop["tag"], hop["why"]) for hop in plan["hops"]] == [("v2.0", "stop"), ("v3.0", "stop"), ("v4.0", None)]
    shown = shop.gitdeploy("plan", "v4.0", code=7).out
    assert "on the way      v2.0 (may not be skipped), v3.0 (may not be skipped), v4.0\n" in shown

    refused = shop.gitdeploy("upgrade", "v4.0", code=7).err
    assert "v4.0 can't be installed over v1.0 directly. First comes v2.0 (may not be skipped), v3.0" in refused
    assert "gitdeploy upgrade --through v4.0" in refused
    assert (shop.live, shop.done) == ("v1.0", ["v1.0"])

    shop.gitdeploy("upgrade", "v2.0")
    assert [hop["tag"] for hop in shop.json("plan", "v4.0", code=7)["hops"]] == ["v3.0", "v4.0"]
    assert shop.json("plan", "v2.5")["hops"] == []


def test_each_on_the_way_is_a_whole_deployment(shop: Shop) -> None:
    dry = shop.json("upgrade", "--through", "v4.0", "--dry-run")
    assert (dry["to"]["tag"], [hop["tag"] for hop in dry["hops"]]) == ("v2.0", ["v2.0", "v3.0", "v4.0"])

    result = shop.json("upgrade", "--through", "v4.0")
    assert (shop.live, shop.done) == ("v4.0", ["v1.0", "v2.0", "v3.0", "v4.0"])
    assert result["to"]["tag"] == "v4.0"
    assert [step["tag"] for step in result["through"]] == ["v2.0", "v3.0"]
    rows = shop.json("log")
    assert [(row["to"]["tag"], row["status"]) for row in rows] == [(t, "succeeded") for t in ("v4.0", "v3.0", "v2.0")]
    assert len({row["backup"] for row in rows}) == 3
    assert shop.json("status")["through"] is None
    shop.gitdeploy("rollback", "--yes")
    assert shop.live == "v3.0"


def test_it_ends_at_the_first_that_fails_and_goes_on_from_there(shop: Shop) -> None:
    shop.git("tag", "-d", "v4.0", cwd=shop.remote)
    shop.release("v4.0", tree("v4.0", "v3.0", "", unwell=""))
    failed = shop.gitdeploy("upgrade", "--through", "v4.0", code=3).err
    assert (
        "This was step 3 of 3 on the way to v4.0. Once that is fixed, go on: gitdeploy upgrade --through v4.0" in failed
    )
    assert (shop.live, shop.done) == ("v3.0", ["v1.0", "v2.0", "v3.0"])
    status = shop.json("status")
    assert status["through"]["left"] == ["v4.0"]
    assert "unwell" not in status["through"]["stopped"]
    assert "health" in status["through"]["stopped"]
    assert "on the way   On the way to v4.0, begun by" in shop.gitdeploy("status").out

    shop.release("v4.1", tree("v4.1", "v3.0", ""))
    shop.gitdeploy("upgrade", "--through", "v4.1")
    assert (shop.live, shop.json("status")["through"]) == ("v4.1", None)


def test_killed_in_each_of_them_the_same_command_goes_on(shop: Shop) -> None:
    tags = ["v2.0", "v3.0", "v4.0"]
    shop.git("update-ref", "refs/gitdeploy/incoming/read-4194305/v2.6", "HEAD")  # of a plan that was killed
    for killed_in in tags:
        (shop.app / "run/kill").write_text(killed_in)
        shop.gitdeploy("upgrade", "--through", "v4.0", code=-9)
        status = shop.json("status")
        assert status["interruption"]["to"]["tag"] == killed_in
        assert status["through"]["target"] == "v4.0"
    result = shop.json("upgrade", "--through", "v4.0")
    assert (shop.live, shop.done) == ("v4.0", ["v1.0", *tags])
    assert (result["to"]["tag"], result["through"]) == ("v4.0", [])
    told = [(row["to"]["tag"], row["status"]) for row in reversed(shop.json("log"))]
    assert told == [(tag, status) for tag in tags for status in ("rolled_back", "succeeded")]
    assert shop.git("for-each-ref", "refs/gitdeploy/incoming") == ""
    assert shop.json("status")["through"] is None


def test_a_person_may_go_past_them_and_hears_of_it(shop: Shop) -> None:
    (shop.app / "run/kill").write_text("")
    assert shop.json("plan", "v2.5", "--skip-stops")["problems"] == []
    said = shop.gitdeploy("upgrade", "v2.5", "--skip-stops", "--no-hooks").text
    assert "--skip-stops: v2.5 can't be installed over v1.0 directly. First comes v2.0 (may not be skipped)." in said
    for words in (["--no-hooks"], ["--no-restart"], ["--skip-stops"], ["--migrate", "never"], ["--migrate", "first"]):
        assert "exclude each other" in shop.gitdeploy("upgrade", "--through", "v4.0", *words, code=2).err


def test_those_on_branches_of_their_own_count_and_without_a_network_those_known_here(shop: Shop) -> None:
    shop.git("checkout", "-q", "-b", "two", "v2.5", cwd=shop.remote)
    shop.release("v2.6", tree("v2.6", "v2.0", "stop: true"), in_order=False)
    shop.git("checkout", "-q", "main", cwd=shop.remote)
    shop.release("v2.7rc1", tree("v2.7rc1", "v2.0", "stop: true"))  # the channel admits none
    shop.git("tag", "-a", "nightly", "-m", "no version", "v2.6", cwd=shop.remote)
    way = ["v2.0", "v2.6", "v3.0", "v4.0"]
    assert [hop["tag"] for hop in shop.json("plan", "v4.0", code=7)["hops"]] == way
    refs = shop.git("for-each-ref", "--format=%(refname)", "refs/gitdeploy")
    assert refs == "", "nothing is kept of what was only read"
    shop.git("fetch", "-q", "--no-tags", "origin", "refs/tags/v4.0:refs/tags/v4.0")
    shop.remote.rename(shop.folder / "gone")
    plan = shop.json("plan", "v4.0", code=7)
    (shop.folder / "gone").rename(shop.remote)
    assert [hop["tag"] for hop in plan["hops"]] == way
    assert any("are looked for among those known here" in warning for warning in plan["warnings"])


HOSTILE = {
    "no yaml": "stop: true\n\t- [",
    "an alias": "stop: &a true\nrequires: *a\n",
    "too deep": f"stop: true\nx: {'[' * 3000}\n",
    "too large": "stop: true\n" + "#" * 70_000,
    "no flag": "stop: [true]\n",
    "no range": "requires: {a: b}\n",
    "control characters": "stop: true\nx: \x1b[2J\x7f\n",
}


def test_a_hostile_file_on_the_way_stops_nothing(shop: Shop) -> None:
    for number, text in enumerate(HOSTILE.values()):
        shop.release(f"v2.{number + 50}", {**tree("x", "", ""), "deploy.yaml": text})
    shop.git("tag", "-d", "v4.0", cwd=shop.remote)
    shop.release("v4.0", tree("v4.0", "v3.0", ""))
    plan = shop.json("plan", "v4.0", code=7)
    assert [hop["tag"] for hop in plan["hops"]] == ["v2.0", "v3.0", "v4.0"]
    (warning,) = (text for text in plan["warnings"] if "can't be read" in text)
    assert warning.startswith("deploy.yaml of v2.56 (and of 6 releases more) can't be read")


def test_watch_goes_through_them_and_not_past_one_that_a_person_skips(shop: Shop) -> None:
    shop.gitdeploy("skip", "v2.0")
    assert "v2.0 is skipped here by" in shop.gitdeploy("watch", "--once", code=7).err
    assert shop.json("status")["through"] is None, "nothing began"
    shop.gitdeploy("unskip", "v2.0")
    shop.gitdeploy("skip", "v3.0")
    said = shop.gitdeploy("watch", "--once", code=7).err
    assert "v3.0 is skipped here by" in said
    assert (shop.live, shop.done) == ("v2.0", ["v1.0", "v2.0"])
    shop.gitdeploy("unskip", "v3.0")
    found = shop.json("watch", "--once")
    assert (shop.live, shop.done) == ("v4.0", ["v1.0", "v2.0", "v3.0", "v4.0"])
    assert [step["tag"] for step in found["upgrade"]["through"]] == ["v3.0"]


def test_nor_does_it_rehearse_one_on_the_way_that_is_not_admitted(shop: Shop) -> None:
    settings = (shop.app / "deploy.yaml").read_text()
    (shop.app / "deploy.yaml").write_text(settings.replace("upgrade: all", "upgrade: all, rehearse: true"))
    shop.gitdeploy("skip", "v2.0")
    assert "v2.0 is skipped here by" in shop.gitdeploy("watch", "--once", code=7).err
    assert shop.json("log") == []
