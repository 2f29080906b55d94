"""A Flask app that runs: upgraded, rolled back and restored while somebody uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.releases import FAILING_HOOK, publish, trees
from support.sample import differences
from support.served import Served

# It tells its test from its start, as an app may.
DIES = "import os\napp = None\nif os.environ.get('GITDEPLOY_STAGE') != 'check':\n    raise SystemExit('this release does not start')\n"
pytestmark = pytest.mark.xdist_group("running-app")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    sample = Served(tmp_path_factory.mktemp("running"))
    publish(sample, service_port=sample.port)
    tree = trees(service_port=sample.port)["v1.5.0"]
    sample.release("v3.0.0", {**tree, "app.py": DIES})
    sick = str(tree["app.py"]).replace("    with database", "    return 'sick', 500\n    with database", 1)
    sample.release("v3.0.1", {**tree, "app.py": sick})
    liar = str(tree["app.py"]).replace('VERSION = "1.5.0"', 'VERSION = "1.4.0"')
    sample.release("v3.0.2", {**tree, "app.py": liar})
    sample.install("v1.2.9", branch="main")
    (sample.app / ".env").write_text(f"PORT={sample.port}\n")
    sample._run("./restart.sh")
    sample.wait("1.2.9")
    yield sample
    sample.stop()


def test_up_and_back_through_running_releases(running: Served) -> None:
    running.ask("/notes", b"before")
    before = running.state()
    for tag in ("v1.2.9.1", "v1.2.10", "v1.5.0"):
        done = running.gitdeploy("upgrade", tag)
        assert f"sample runs {tag}." in done.err
        assert running.ask()["version"] == tag.removeprefix("v")
        assert running.ask()["notes"] == 1
    for tag in ("v1.2.10", "v1.2.9.1", "v1.2.9"):
        running.gitdeploy("rollback", tag)
        assert running.wait(tag.removeprefix("v"))["notes"] == 1
    after = running.state()
    assert differences(without_runtime(before), without_runtime(after)) == []
    assert after["HEAD"] == "ref: refs/heads/main\n", "a restore puts HEAD back on its branch"


def without_runtime(state: dict[str, object]) -> dict[str, object]:
    """A keep path that a release brought stays for good: nothing of `git.keep` is ever deleted."""
    state = {**state, "status": str(state["status"]).replace("?? local.cfg\0", "")}
    files = {p: f for p, f in state["files"].items() if not p.startswith((b"run", b"instance", b"local.cfg"))}  # type: ignore[attr-defined]
    return {**state, "files": files}


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("v3.0.0", "health"),
        ("v3.0.1", "500"),
        ("v3.0.2", "1.4.0"),
        (FAILING_HOOK, "this hook fails"),
    ],
    ids=["does not start", "answers 500", "says another version", "hook fails"],
)
def test_a_release_that_is_not_well_is_rolled_back(running: Served, tag: str, says: str) -> None:
    live = running.ask()["version"]
    before = without_runtime(running.state())
    settings = running.app / "deploy.yaml"
    done = running.gitdeploy("upgrade", tag, code=3)
    assert says in done.err
    assert f"sample runs v{live} again" in done.err
    assert "nothing was lost" in done.err
    assert running.wait(str(live))["version"] == live
    assert differences(before, without_runtime(running.state())) == []
    assert settings.exists()
    refused = running.gitdeploy("status", "--json").out
    assert json.loads(refused)["last_deployment"]["status"] == "rolled_back"


def test_an_automatic_choice_leaves_a_bad_release_alone(running: Served) -> None:
    """v3.0.2 is the newest, and failed."""
    if "v3.0.2" not in running.gitdeploy("log").out:  # above, where every row runs
        running.gitdeploy("upgrade", "v3.0.2", code=3)
    done = running.gitdeploy("upgrade", "--yes", code=7)
    assert "failed here before" in done.err
    assert "v3.0.2" in done.err


def test_what_a_user_reads(running: Served, tmp_path: Path) -> None:
    status = running.gitdeploy("status").out
    assert "sample" in status
    assert "v1.2.9" in status
    check = json.loads(running.gitdeploy("check", "--json", "--force").out)
    assert check["latest_tag"] == "v3.0.2"
    assert check["update_available"] is True
    releases = json.loads(running.gitdeploy("releases", "--all", "--json").out)
    tags = [release["tag"] for release in releases]
    assert tags.index("v2.0.0") < tags.index("v1.2.10") < tags.index("v1.2.9.1") < tags.index("v1.2.9")
    plan = json.loads(running.gitdeploy("plan", "v1.2.9.1", "--json").out)
    assert plan["to"]["tag"] == "v1.2.9.1"
    assert running.gitdeploy("plan", "v9.9.9", code=None).code in (1, 2, 6)
