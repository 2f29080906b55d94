"""The printed units: the sandbox leaves out what this app's deployments need, and says why; no name becomes a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.sample import Sample

from gitdeploy import App
from gitdeploy.cli import units
from gitdeploy.cli.sandbox import sandbox

# (more in deploy.yaml, in .env, a hook; what stands in the unit, what doesn't)
CASES: dict[str, tuple[str, str, str, tuple[str, ...], tuple[str, ...]]] = {
    "nothing special": ("", "", "", ("NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=full", "UMask=0022"), ()),
    "sudo in a command": (
        "service: {command: sudo -n systemctl restart shop}\n", "", "", ("# sudo is used here", "PrivateTmp=yes"),
        ("\nNoNewPrivileges=yes", "CapabilityBoundingSet="),
    ),
    "sudo in a hook": ("hooks: {dir: hooks}\n", "", "#!/bin/sh\nsudo nginx -s reload\n", ("# sudo is",), ("\nNoNewPrivileges",)),
    "a word like it": ("hooks: {dir: hooks}\n", "", "#!/bin/sh\necho pseudo\n", ("\nNoNewPrivileges=yes",), ("# sudo",)),
    "a hook of a folder that isn't named": ("", "", "#!/bin/sh\nsudo x\n", ("\nNoNewPrivileges=yes",), ()),
    "a socket in /tmp": ("", "DATABASE_URL=mysql://u@/db?unix_socket=/tmp/mysql.sock\n", "", ("Not PrivateTmp",), ("\nPrivateTmp",)),
    "supervisor": ("service: {supervisor: shop}\n", "", "", ("Not PrivateTmp",), ("\nPrivateTmp",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sample = Sample(tmp_path_factory.mktemp("units"), venv=False)
    sample.release("v1.0.0", {"a": "b"})
    sample.install("v1.0.0", branch="main")
    return sample.app


@pytest.mark.parametrize(("settings", "env", "hook", "there", "not_there"), CASES.values(), ids=CASES)
def test_what_the_unit_leaves_to_deployments(
    app: Path, settings: str, env: str, hook: str, there: tuple[str, ...], not_there: tuple[str, ...]
) -> None:
    (app / "deploy.yaml").write_text(f"app: {{name: shop}}\nsource: {{type: git}}\n{settings}")
    (app / ".env").write_text(env)
    (app / "hooks").mkdir(exist_ok=True)
    (app / "hooks/post-deploy").write_text(hook or "#!/bin/sh\n")
    found = f"\n{sandbox(App.open(app).site)}\n"
    assert not [line for line in there if line not in found], found
    assert not [line for line in not_there if line in found], found
    if os.geteuid() == 0:
        assert "CapabilityBoundingSet=" not in found, "root's own checkout: hooks of root's need what root has"


# Names of folders, as they stand in ExecStart.
NAMES = {
    "plain": "plain",
    "a b": '"{}/a b"',
    "a%nb": '"{}/a%%nb"',
    "$HOME": '"{}/$$HOME"',
    'a"b\\c': '"{}/a\\"b\\\\c"',
    "x\nExecStartPre=+touch pwned": '"{}/x\\x0aExecStartPre=+touch pwned"',
    "x\r\t\x85y": '"{}/x\\x0d\\x09\\xc2\\x85y"',
    "x\udcffy": '"{}/x\\xffy"',
    "店": "{}/店",
}


@pytest.mark.parametrize(("name", "written"), NAMES.items(), ids=map(ascii, NAMES))
def test_a_folder_of_any_name_is_one_word_of_the_unit(app: Path, tmp_path: Path, name: str, written: str) -> None:
    """Root installs what is printed, for an owner who chose the name."""
    place = tmp_path / name
    place.mkdir()
    site = replace(App.open(app).site, root=place)
    found = units.web_unit(site, None).splitlines()
    assert len(found) == len(units.web_unit(App.open(app).site, None).splitlines())
    (command,) = (line for line in found if line.startswith("ExecStart"))
    assert command.endswith(f" -C {written.format(tmp_path) if '{}' in written else f'{tmp_path}/{written}'} web")
