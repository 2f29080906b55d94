"""A Docker Compose service, on a real engine: restarted, watched, heard, rolled back; never built anew, never by who runs in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import CRASHING, SICK, ContainerApp, engine, missing
from support.sample import Done

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("docker")]


@pytest.fixture(scope="module", params=["docker"])
def app(request: pytest.FixtureRequest) -> Iterator[ContainerApp]:
    if why := missing(request.param):
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="gitdeploy-compose-"))  # other users come in: pytest's own is closed to them
    folder.chmod(0o755)
    with engine(request.param, folder / "engine") as made:
        app = ContainerApp(folder / "shop", engine=made)
        app.publish("v1.0.0")
        app.publish("v1.1.0", greeting="2.0")
        app.publish("v1.2.0", greeting="2.0", body=SICK)
        app.publish("v1.3.0", body=CRASHING)
        app.publish("v1.4.0", more=", stop_for_switch: true")
        app.publish("v1.5.0", more=", stop_for_switch: true", body=SICK)
        app.start_app("v1.0.0")
        yield app
    shutil.rmtree(folder)


with_podman_too = pytest.mark.parametrize("app", ["docker", "podman"], indirect=True)


def live(app: ContainerApp, tag: str) -> None:
    if app.ask()["version"] != tag.removeprefix("v"):
        app.gitdeploy("upgrade", tag, "--allow-downgrade")
    app.wait(tag)


def failing(app: ContainerApp, tag: str) -> Done:
    """Upgrade to TAG in vain: what was live runs again, in the same container."""
    before, container, state = app.ask(), app.container(), app.state()
    done = app.gitdeploy("upgrade", tag, code=3)
    assert f"shop runs v{before['version']} again" in done.err
    assert app.ask() == before
    assert app.container() == container
    assert app.state() == state
    return done


@with_podman_too
def test_an_upgrade_restarts_the_container_and_builds_none_anew(app: ContainerApp) -> None:
    live(app, "v1.0.0")
    container, started = app.container(), app.started_at()
    done = app.gitdeploy("upgrade", "v1.1.0")
    assert app.ask() == {"version": "1.1.0", "greeting": "2.0"}, "code and packages of the release"
    assert "shop runs v1.1.0." in done.err
    assert app.container() == container
    assert app.started_at() != started
    app.gitdeploy("rollback", "--yes")
    assert app.ask() == {"version": "1.0.0", "greeting": "1.0"}


@with_podman_too
def test_one_that_fails_its_health_check_is_taken_back_with_the_containers_own_words(app: ContainerApp) -> None:
    live(app, "v1.1.0")
    said = failing(app, "v1.2.0").err
    assert "500 instead of 200" in said
    assert "web said: no route to the queue" in said
    assert "serving 1.1.0" not in said, "only what it said since it was restarted"


def test_one_whose_process_ends_at_once_is_not_waited_for(app: ContainerApp) -> None:
    live(app, "v1.1.0")
    said = failing(app, "v1.3.0").err
    assert "The container of web is exited (exit code 1)." in said
    assert "web said: no licence" in said


def test_it_is_down_for_the_switch_where_that_is_wanted(app: ContainerApp) -> None:
    live(app, "v1.4.0")  # the settings of a release hold from the next deployment on
    done = app.gitdeploy("-v", "upgrade", "v1.1.0", "--allow-downgrade")
    assert "stop" in done.err
    assert app.ask()["version"] == "1.1.0"
    live(app, "v1.4.0")
    assert "web said: no route to the queue" in failing(app, "v1.5.0").err


def test_a_service_without_a_container_is_started(app: ContainerApp) -> None:
    live(app, "v1.0.0")
    app.compose("rm", "--stop", "--force", "web")
    assert app.container() == ""
    app.gitdeploy("upgrade", "v1.1.0", "--unhealthy")
    assert app.ask()["version"] == "1.1.0"


def test_one_that_is_stopped_is_started_again(app: ContainerApp) -> None:
    live(app, "v1.0.0")
    app.compose("stop", "web")
    app.gitdeploy("upgrade", "v1.1.0", "--unhealthy")
    assert app.ask()["version"] == "1.1.0"


def test_the_app_can_not_upgrade_itself_from_inside_its_container(app: ContainerApp) -> None:
    """It has gitdeploy and may use Docker; the restart would end it, and the upgrade with it."""
    live(app, "v1.1.0")
    app.publish("v9.0.0")
    before, started, state = app.ask(), app.started_at(), app.state()
    tried = app.ask("/upgrade")
    assert tried["code"] == 1, tried
    assert "gitdeploy runs inside the container of web, which it has to restart" in tried["said"]
    assert (app.ask(), app.started_at(), app.state()) == (before, started, state)
    app.gitdeploy("upgrade", "v9.0.0")
    assert app.ask()["version"] == "9.0.0"


def without(*programs: str) -> tuple[str, ...]:
    """The words that start a command which doesn't find PROGRAMS, wherever it looks."""
    places = [f"{folder}/{program}" for program in programs for folder in ("/usr/local/bin", "/usr/bin")]
    plugins = [
        f"/usr/{folder}/docker/cli-plugins/docker-compose"
        for folder in ("lib", "libexec", "local/lib", "local/libexec")
    ]
    hidden = [place for place in (*places, *(plugins if "docker-compose" in programs else ())) if os.path.exists(place)]
    hide = 'until [ "$1" = -- ]; do mount --bind /dev/null "$1" || exit; shift; done; shift; exec "$@"'
    return ("unshare", "--mount", "--propagation=private", "sh", "-c", hide, "sh", *hidden, "--")


def problems(app: ContainerApp, *before: str, **env: str) -> list[str]:
    done = app.gitdeploy("--json", "plan", "v1.0.0", "--allow-downgrade", before=before, env=env, code=None)
    return [problem["message"] for problem in json.loads(done.out)["problems"]]


def test_what_can_not_be_restarted_is_said_before_anything_is_touched(app: ContainerApp, tmp_path: Path) -> None:
    live(app, "v1.1.0")
    assert problems(app) == []
    assert "There is no docker on this machine." in problems(app, *without("docker", "docker-compose"))
    said = "Docker has no compose here: neither `docker compose` nor `docker-compose` works."
    assert said in problems(app, *without("docker-compose"))
    assert said in app.gitdeploy("doctor", before=without("docker-compose"), code=None).text
    message = " ".join(problems(app, DOCKER_HOST=f"unix://{tmp_path}/none"))
    assert "Docker does not answer" in message or "can't be asked about web" in message
    settings = app.app / "deploy.yaml"
    settings.write_text(settings.read_text().replace("compose: web", "compose: wbe"))
    try:
        said = app.gitdeploy("doctor", code=None).text
        assert "has no service wbe" in said
        assert "It has: " in said
    finally:
        app.git("checkout", "-q", "--", "deploy.yaml")


NOBODY = 65534
ASK = f"""
import json, pathlib, sys
from gitdeploy.services.compose import Compose
service = Compose("web", pathlib.Path(sys.argv[1]), {NOBODY})
if not (problems := service.problems()):
    service.restart()
print(json.dumps(problems))
"""


def test_root_asks_docker_as_the_checkouts_owner(app: ContainerApp) -> None:
    """Root's Docker would do whatever the owner's compose file says."""
    live(app, "v1.1.0")
    # Root passes no DOCKER_HOST on: the owner's Docker is the machine's own, here in a /run of its own.
    run = 'mount -t tmpfs none /run && ln -s "$0" /run/docker.sock && exec "$@"'
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", run, str(app.engine.socket)]

    def problems() -> list[str]:
        argv = [*words, sys.executable, "-c", ASK, str(app.app)]
        done = subprocess.run(argv, cwd="/", env=app.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [message for message, _ in json.loads(done.stdout)]

    started = app.started_at()
    app.engine.socket.chmod(0o600)
    try:
        (refused,) = problems()
        assert re.fullmatch(r"Docker does not answer: .*[Pp]ermission denied.*", refused), "in one line"
        assert app.started_at() == started
        os.chown(app.engine.socket, NOBODY, NOBODY)
        assert problems() == []
        assert app.started_at() != started
    finally:
        os.chown(app.engine.socket, 0, 0)
