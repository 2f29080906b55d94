"""Hints about the venv, followed on a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from e2e.conftest import tree
from support import needs

from hints.following import SETTINGS, App, command_in, hint_of, matches, typed


@pytest.fixture(scope="module")
def app_once(tmp_path_factory: pytest.TempPathFactory) -> App:
    """The small app with a venv, below a folder with a quote in its name (a blank would part PIP_FIND_LINKS)."""
    app = App(tmp_path_factory.mktemp("it's-a-venv"))
    for version in ("1.0", "2.0"):
        app.wheel("greeting", version)
    for version, greeting in (("1.0.0", "1.0"), ("2.0.0", "2.0")):
        app.release(
            f"v{version}", {name: text for name, text in tree(version, greeting).items() if name != "deploy.yaml"}
        )
    app.install("v1.0.0")

    app.write_settings(SETTINGS)
    with (app.app / ".git/info/exclude").open("a") as exclude:
        exclude.write("/deploy.yaml\n")
    app.keep(remote=True)
    return app


@pytest.fixture
def app(app_once: App) -> App:
    app_once.reset()
    return app_once


def without_python(app: App) -> None:
    for name in (app.app / "venv/bin").glob("python*"):
        name.unlink()


def relative_python(app: App) -> None:
    link = app.app / "venv/bin/python"
    real = os.path.realpath(link)
    link.unlink()
    link.symlink_to(os.path.relpath(real, link.parent))


def without_settings(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    (app.app / "venv/pyvenv.cfg").unlink()


def damaged_seal(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    live = (app.app / "venv").resolve()
    live.with_name(f"{live.name}.seal").write_bytes(b"no seal\nat all")


CASES: dict[str, tuple[str, Callable[[App], None], str, str]] = {
    "no interpreter": (
        "Build it anew: gitdeploy upgrade {} --rebuild-venv",
        without_python,
        "gitdeploy upgrade",
        "doctor",
    ),
    "a damaged seal": (
        "Compare the venv's packages by hand, then delete the seal: rm {}",
        damaged_seal,
        "rm ",
        "doctor",
    ),
    "no pyvenv.cfg": (
        "Build it anew: gitdeploy upgrade {} --rebuild-venv",
        without_settings,
        "gitdeploy upgrade",
        "doctor",
    ),
    "a relative link out of it": ("Make it absolute: ln -sfn {} {}", relative_python, "ln -sfn", "upgrade v2.0.0"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_hint_solves_it(app: App, name: str) -> None:
    template, make, start, words = CASES[name]
    make(app)
    (hint,) = [hint for _, hint in app.said(words) if matches(template, hint)]
    typed(start)(app, hint)
    assert not [hint for _, hint in app.said(words) if matches(template, hint)]
    app.gitdeploy("upgrade", "v2.0.0")
    assert "greeting==2.0" in app.packages()


def test_a_venv_that_is_a_mount_becomes_a_link(app: App) -> None:
    needs.mounts()
    place, real = app.app / "venv", app.folder / "real venv"
    shutil.move(place, real)
    place.mkdir()
    subprocess.run(["mount", "--bind", real, place], check=True)
    try:
        done = app.gitdeploy("upgrade", "v2.0.0", code=1)
        template = "Make it a link once, while the app is stopped: cp -a {} {} && {} && ln -s {} {}"
        assert matches(template, hint_of(done)), done.text
        app.type(command_in(hint_of(done), "cp -a"))
        app.gitdeploy("upgrade", "v2.0.0")
        assert "greeting==2.0" in app.packages()
    finally:
        subprocess.run(["umount", place], check=False, capture_output=True)  # gone already where all is well
        shutil.rmtree(real)


def test_package_sources_of_the_release_are_trusted(app: App) -> None:
    app.release(
        "v3.0.0", {**tree("3.0.0", "2.0"), "requirements.txt": f"--find-links {app.wheels.as_uri()}\ngreeting==2.0\n"}
    )
    done = app.gitdeploy("upgrade", "v3.0.0", code=7)
    assert matches(
        "If you trust them: venv: {allow_index_options: true} in the deploy.yaml that is live now; {}", hint_of(done)
    )
    line = command_in(hint_of(done), "venv: {").partition(" in the")[0]
    app.write_settings(f"{SETTINGS}{line}\n")
    assert not [message for message, _ in app.said("plan v3.0.0") if "package sources" in message]


def test_there_is_no_venv_to_build_anew(app: App) -> None:
    """It was asked for by name: nothing is left undone without a word."""
    (app.app / "venv").rename(app.app / ".git/the venv that was")
    refused = app.gitdeploy("upgrade", "v2.0.0", "--rebuild-venv", code=1)
    assert matches(
        "Make one: python3 -m venv venv\nOr leave --rebuild-venv out.", hint_of(refused).partition("\n  ")[0]
    )
    assert "--rebuild-venv was given, and the app has no venv." in app.gitdeploy("plan", "--rebuild-venv", code=1).out
    app.type(command_in(hint_of(refused), "python3 -m venv"))
    app.gitdeploy("upgrade", "v2.0.0", "--rebuild-venv")
    assert "greeting==2.0" in app.packages()
