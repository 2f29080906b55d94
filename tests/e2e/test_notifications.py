"""Who `notify` names hears of a deployment's begin and end, once, also when it is killed in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.receivers import Receiver, http_receiver
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("notifications")

FAIL = Program("#!/bin/sh\nexit 1\n")


def tree(version: str, **hooks: Program) -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: null}\nhooks: {dir: hooks}\n"
        "notify: [{url: '${TOLD_URL}', events: [started, succeeded, rolled_back, failed, update_available]}]\n",
        ".gitignore": "/.env\n",
        "VERSION": version,
        **{f"hooks/{name.replace('_', '-')}": hook for name, hook in hooks.items()},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    app = Sample(tmp_path_factory.mktemp("told"), venv=False)
    app.release("v1.0.0", tree("1.0.0", pre_restore=FAIL))
    app.release("v2.0.0", tree("2.0.0"))
    app.release("v2.1.0", tree("2.1.0", post_deploy=FAIL))
    app.install("v1.0.0", branch="main")
    app.keep()
    return app


@pytest.fixture
def told() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def app(made: Sample, told: Receiver) -> Sample:
    made.reset()
    (made.app / ".env").write_text(f"TOLD_URL={told.url}\n")
    return made


def titles(told: Receiver) -> list[str]:
    return [message["title"] for message in told.got]


def test_begin_and_end_are_told(app: Sample, told: Receiver) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    app.gitdeploy("upgrade", "v2.1.0", code=3)
    app.gitdeploy("upgrade", "v2.0.0")  # nothing to do: nobody is told
    assert titles(told) == [
        "shop: deployment begun", "shop: deployed", "shop: deployment begun", "shop: rolled back",
    ]  # fmt: skip
    assert told.got[0]["message"] == f"shop goes to v2.0.0 (from v1.0.0).\n[{os.uname().nodename}]"
    assert "Wanted v2.1.0, failed at post-deploy" in told.got[3]["message"]
    assert "shop runs v2.0.0 again" in told.got[3]["message"]


def test_a_failure_before_anything_was_touched_is_told_a_refusal_is_not(app: Sample, told: Receiver) -> None:
    (app.app / "VERSION").write_text("mine\n")
    app.gitdeploy("upgrade", "v2.0.0", code=7)
    assert told.got == []
    app.git("checkout", "-q", "VERSION")
    hook = app.app / "hooks/pre-deploy"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    app.gitdeploy("upgrade", "v2.0.0", code=1)
    assert titles(told) == ["shop: deployment begun", "shop: deployment failed"]
    assert "shop runs v1.0.0 as before" in told.got[1]["message"]


def test_a_receiver_that_is_gone_fails_no_deployment_and_stands_in_the_log(app: Sample) -> None:
    (app.app / ".env").write_text("TOLD_URL=json://127.0.0.1:9/x\n")
    app.gitdeploy("upgrade", "v2.0.0")
    assert "Notification 1 (json) could not be sent" in app.gitdeploy("log", "1").out
    (app.app / ".env").write_text("")
    app.gitdeploy("upgrade", "v2.1.0", code=3)
    assert "TOLD_URL, which `notify` in deploy.yaml refers to, is set neither" in app.gitdeploy("log", "2").out


@pytest.mark.parametrize(("point", "event"), [("commit", "succeeded"), ("undone", "rolled_back")])
def test_killed_before_it_could_tell_the_next_command_tells_once(
    app: Sample, told: Receiver, tmp_path: Path, point: str, event: str
) -> None:
    tag, wanted = ("v2.0.0", "shop: deployed") if point == "commit" else ("v2.1.0", "shop: rolled back")
    plan, points = tmp_path / "plan", tmp_path / "points"

    def run(action: str) -> None:
        plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\n{action}\n")
        app.gitdeploy("upgrade", tag, code=None, env={"GITDEPLOY_FAULT_PLAN": str(plan)})

    run(f"count {points}")
    names = points.read_text().splitlines()
    for name in (f"journalled {point}", f"journalled notify {event}"):
        number = names.index(name) + 1
        app.reset()
        (app.app / ".env").write_text(f"TOLD_URL={told.url}\n")
        told.got.clear()
        run(f"kill {number}")
        assert titles(told) == ["shop: deployment begun"], names
        app.gitdeploy("recover", code=None)
        app.gitdeploy("recover")
        assert titles(told) == ["shop: deployment begun", wanted], name


def test_notify_test_and_doctor_try_every_receiver(app: Sample, told: Receiver) -> None:
    assert "Notification 1 (json) was sent." in app.gitdeploy("notify", "test").out
    assert told.got[-1]["title"] == "shop: test of the notifications"
    assert "can reach you" in told.got[-1]["message"]
    told.status = 403
    failed = app.gitdeploy("notify", "test", "--json", code=1)
    assert '"sent": false' in failed.out
    assert "403" in failed.out
    before = len(told.got)
    app.gitdeploy("doctor", code=None)
    assert len(told.got) == before, "asked for only"
    assert "403" in app.gitdeploy("doctor", "--notify", code=1).out
