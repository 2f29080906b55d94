"""What can't work is found before anything begins: a health check that fails already, a hook whose program isn't there."""

from __future__ import annotations

import json

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support.sample import Program, differences

pytestmark = pytest.mark.xdist_group("faults")

HEALTH = "health: {command: ./health.sh, successes: 1, timeout: 1, interval: 0.1}\n"
WELL = Program("#!/bin/sh\ntest ! -e run/sick\n")
SICK = Program("#!/bin/sh\nexit 1\n")


def hooks(text: str) -> str:
    return SETTINGS.replace("timeout: 2}", f"timeout: 2, {text}}}")


@pytest.fixture
def served(shop: Shop) -> Shop:
    """v3.0.0, which is healthy as long as nobody says that it is sick; v3.1.0 repairs that, v3.2.0 does not."""
    (shop.app / "run").mkdir(exist_ok=True)
    for tag, check in (("v3.0.0", WELL), ("v3.1.0", Program("#!/bin/sh\ntrue\n")), ("v3.2.0", SICK)):
        settings = SETTINGS + "service: {command: 'true'}\n" + HEALTH
        shop.release(tag, tree(tag.removeprefix("v"), "2.0", **{"deploy.yaml": settings, "health.sh": check}))
    shop.gitdeploy("upgrade", "v3.0.0", "--accept-config", "service.command")
    return shop


def test_an_unhealthy_app_is_not_upgraded_unasked(served: Shop) -> None:
    """And nothing is touched; plan says it too, and the release that repairs it goes live when that is asked for."""
    (served.app / "run/sick").touch()
    before = served.state()
    assert "The app is unhealthy already" in served.gitdeploy("plan", "v3.1.0", code=1).out
    said = served.gitdeploy("upgrade", "v3.1.0", code=1).err
    assert "The app is unhealthy already, before anything begins: ./health.sh: exit code 1." in said
    assert "--unhealthy" in said
    assert differences(before, served.state()) == []
    assert json.loads(served.gitdeploy("log", "--json").out)[0]["backup"] is None
    served.gitdeploy("prepare", "v3.1.0")  # the app may be anything while it is prepared
    done = served.gitdeploy("upgrade", "v3.1.0", "--unhealthy")
    assert "The app is unhealthy before anything begins" in done.err
    assert "prepared before" in done.err
    assert (served.app / "VERSION").read_text() == "3.1.0"


def test_what_was_unhealthy_before_is_rolled_back_to_as_it_was(served: Shop) -> None:
    """Nothing was made worse: exit 3, and it is said; no recovery is left to be made."""
    (served.app / "run/sick").touch()
    before = served.state()
    said = served.gitdeploy("upgrade", "v3.2.0", "--unhealthy", code=3).err
    assert "It is unhealthy, as it was before: ./health.sh: exit code 1" in said
    assert "runs v3.0.0 again" not in said
    assert differences(before, served.state()) == []
    assert json.loads(served.gitdeploy("status", "--json").out)["interrupted"] is False
    assert "won't be retried" not in said, "nothing tells that it was the release's fault"
    assert "failed here" not in served.gitdeploy("releases").out


def test_a_way_back_is_never_refused_because_the_app_is_unhealthy(served: Shop) -> None:
    served.gitdeploy("upgrade", "v3.1.0")
    (served.app / "health.sh").write_text("#!/bin/sh\nexit 1\n")
    done = served.gitdeploy("rollback", "--yes")
    assert "The app is unhealthy before anything begins" in done.err
    assert (served.app / "VERSION").read_text() == "3.0.0"


def test_without_a_restart_health_is_nobodys_matter(served: Shop) -> None:
    (served.app / "run/sick").touch()
    served.gitdeploy("upgrade", "v3.1.0", "--no-restart")


def test_a_check_that_can_not_work_at_all(shop: Shop) -> None:
    shop.release("v3.3.0", tree("3.3.0", "2.0"))
    write_untracked(shop, SETTINGS + HEALTH.replace("./health.sh", "./no-such-check"))
    said = shop.gitdeploy("upgrade", "v3.3.0", "--discard-local-changes", code=1).err
    assert "./no-such-check: exit code 127" in said


def write_untracked(shop: Shop, settings: str) -> None:
    (shop.app / "deploy.yaml").write_text(settings)


@pytest.mark.parametrize(
    ("stage", "command", "says"),
    [
        ("build", "./no-such-script", "no-such-script does not exist."),
        ("build", "no-such-program --all", "there is no program no-such-program."),
        ("migrate", "venv/bin/no-such-tool upgrade", "venv/bin/no-such-tool does not exist."),
        ("migrate", "A=1 B=2 ./no-such-script", "no-such-script does not exist."),
        ("post-deploy", "code/main.py", "code/main.py is not executable"),
        ("pre-deploy", "./no-such-script", "no-such-script does not exist."),
    ],
)
def test_a_hook_whose_program_is_not_there(shop: Shop, stage: str, command: str, says: str) -> None:
    shop.release("v1.5.0", tree("1.5.0", "1.0"))  # no other package, so that the venv's programs are known
    (shop.app / "deploy.yaml").write_text(hooks(f"{stage}: ['{command}']"))
    before = shop.state()
    said = shop.gitdeploy("upgrade", "v1.5.0", "--merge-local-changes", code=None)
    assert said.code == 1, said.text
    assert f"hooks.{stage}: {says}" in said.err
    assert "--no-hooks" in said.err
    assert differences(before, shop.state()) == []
    shop.gitdeploy("upgrade", "v1.5.0", "--merge-local-changes", "--no-hooks")


@pytest.mark.parametrize(
    "commands",
    [
        "['cd code && ./made-by-cd']",
        "['echo x > run-made', 'test -e run-made']",
        "['mkdir -p run; printf \"#!/bin/sh\\n\" > run/made; chmod +x run/made', run/made]",
        "['$HOME/elsewhere || true']",
        "['if true; then true; fi']",
        "[new/tool]",
        "['venv/bin/python -c pass']",
        "['true']",
    ],
)
def test_what_only_a_shell_can_tell_or_the_release_brings_is_left_to_run(shop: Shop, commands: str) -> None:
    """No upgrade is refused for a program that comes with the release, or that a command before it makes."""
    tool = Program("#!/bin/sh\ntrue\n")
    settings = hooks(f"post-deploy: {commands}") if "made-by-cd" not in commands else hooks(f"on-failure: {commands}")
    shop.release("v3.4.0", tree("3.4.0", "2.0", **{"deploy.yaml": settings, "new/tool": tool}))
    shop.gitdeploy("upgrade", "v3.4.0")
