"""A small app without a venv, whose files have odd names and whose deploy.yaml is the server's own; given back before each test."""

from __future__ import annotations

import pytest
from support.sample import Tree

from hints.following import SETTINGS, App

ODD: tuple[str | bytes, ...] = (
    "two words",
    "it's",
    "数据.txt",
    "-n",
    "a[1].txt",
    "2024",
    "yes",
    b"\xff.txt",
    "tab\there",
)


def tree(version: str) -> Tree:
    return {
        "deploy.yaml.example": SETTINGS,
        ".gitignore": "/run/\n",
        "VERSION": version,
        "code/main.py": f"VERSION = {version!r}\n" + "same\n" * 20,
        "code/same.py": "",
        "tool.sh": f"echo {version}\n",
        **dict.fromkeys(ODD, f"{version}\n"),
    }


@pytest.fixture(scope="session")
def app_once(tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(tmp_path_factory.mktemp("it's an app"), venv=False)
    app.release("v1.0.0", tree("1.0.0"))
    app.release("v2.0.0", {**tree("2.0.0"), "new/file": "new\n", "link": "text\n"})
    app.install("v1.0.0", branch="main")
    app.write_settings(SETTINGS)
    with (app.app / ".git/info/exclude").open("a") as exclude:
        exclude.write("/deploy.yaml\n")
    app.gitdeploy("backup", "--label", "first")
    app.keep(remote=True)
    return app


@pytest.fixture
def app(app_once: App) -> App:
    app_once.reset()
    app_once.extra_environment = {}
    return app_once
