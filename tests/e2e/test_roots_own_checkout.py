"""Root follows nothing in its own checkout that somebody else can change: each part, each bit, and each way out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support import needs

from gitdeploy import App
from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.system import ourselves
from gitdeploy.system.trusted import weak, weak_below

pytestmark = needs.another_user
USER = needs.NOBODY
PREPARE = """set -e
git init -q; git config user.name a; git config user.email a@b
mkdir -p hooks/pre-deploy.d code; printf 'venv\\n' > .gitignore; echo 1 > code/a; printf '#!/bin/sh\\n' > hooks/build; cp hooks/build hooks/pre-deploy.d/one
chmod +x hooks/build hooks/pre-deploy.d/one
printf 'app: {name: own}\\nsource: {type: git}\\nhooks: {dir: hooks}\\n' > deploy.yaml; echo A=1 > .env; chmod 640 .env
git add -A . ':!.env'; git commit -qm one; git tag v1.0.0
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    with TemporaryDirectory(prefix="gitdeploy-roots-own-") as temporary:
        top = Path(temporary)
        top.chmod(0o755)
        app = top / "srv/app"
        app.mkdir(parents=True)
        subprocess.run(["sh", "-c", PREPARE], cwd=app, check=True, env={"PATH": os.environ["PATH"], "HOME": temporary})
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", app / "venv"], check=True)
        App.open(app).site.make_state()
        yield top


@pytest.fixture
def app(made: Path) -> Path:
    """A fresh copy."""
    subprocess.run(
        ["sh", "-c", "rm -rf srv; cp -a kept srv" if (made / "kept").exists() else "cp -a srv kept"],
        cwd=made,
        check=True,
    )
    return made / "srv/app"


def given(path: str) -> Callable[[Path], None]:
    return lambda app: os.chown(app / path, USER, USER, follow_symlinks=False)


def opened(path: str, bits: int, group: int = 0) -> Callable[[Path], None]:
    def do(app: Path) -> None:
        os.chown(app / path, 0, group)
        os.chmod(app / path, (app / path).stat().st_mode | bits)

    return do


def linked(path: str) -> Callable[[Path], None]:
    """PATH is a link to what somebody else has made."""

    def do(app: Path) -> None:
        theirs = app.parents[1] / "theirs"
        subprocess.run(["rm", "-rf", theirs], check=True)
        subprocess.run(["mv", app / path, theirs], check=True)
        (app / path).symlink_to(theirs)
        os.chown(theirs, USER, USER, follow_symlinks=False)

    return do


def including(app: Path) -> None:
    """A file of somebody else's that the repository's settings include."""
    theirs = app / "theirs.gitconfig"
    theirs.touch()
    os.chown(theirs, USER, USER)
    subprocess.run(["git", "config", "includeIf.gitdir:/.path", "../theirs.gitconfig"], cwd=app, check=True)


PARTS = (
    ".", ".git", ".git/config", ".git/info", ".git/info/exclude", ".git/hooks", ".git/HEAD", ".git/refs/tags", ".git/objects/pack",
    "deploy.yaml", ".env", "hooks", "hooks/build", "hooks/pre-deploy.d/one", ".gitdeploy", ".gitdeploy/venvs", ".gitdeploy/README",
    "venv", "venv/bin", "venv/bin/python", "venv/pyvenv.cfg", "venv/lib", f"venv/lib/python3.{sys.version_info[1]}/site-packages",
)  # fmt: skip
WEAK: dict[str, tuple[Callable[[Path], None], str]] = {
    **{f"{part} is somebody else's": (given(part), "chown") for part in PARTS if part != "."},
    **{f"{part} is the group's": (opened(part, 0o020, USER), "chmod") for part in PARTS if part != "venv/bin/python"},
    **{f"{part} is everybody's": (opened(part, 0o002), "chmod") for part in PARTS if part != "venv/bin/python"},
    "a folder with the sticky bit": (opened(".", 0o1002), "chmod"),
    "the folder above is somebody else's": (given(".."), "chown"),
    "the folder above is the group's": (opened("..", 0o020, USER), "chmod"),
    "a link of root's to somebody else's venv": (linked("venv"), "chown"),
    "settings that are included": (including, "chown"),
    "a link of root's to somebody else's settings": (linked(".env"), "chown"),
}


@pytest.mark.parametrize("name", WEAK)
def test_what_others_can_change_is_refused_until_its_hint_is_typed(app: Path, name: str) -> None:
    spoil, start = WEAK[name]
    spoil(app)
    with pytest.raises(DeploymentFailed, match=r"is root's, but .* \(mode \d{4}\): root follows nothing") as raised:
        App.open(app)
    commands = [line.partition(": ")[2] for line in raised.value.hint.splitlines()]
    assert commands[0].startswith(start), raised.value.hint
    give_to_root = [command for command in commands if not command.startswith("chown -R ")]
    for command in give_to_root or commands:
        subprocess.run(["sh", "-c", command], check=True, cwd="/")
    if give_to_root:
        App.open(app)
    else:
        assert app.stat().st_uid == USER  # as whom gitdeploy runs then
    if ".env" in name and "link" not in name and "somebody" in name:
        assert ((app / ".env").stat().st_mode & 0o777, (app / ".env").stat().st_gid) == (0o640, USER)


def test_all_of_it_given_to_one_is_a_way_out(app: Path) -> None:
    given("venv")(app)
    with pytest.raises(DeploymentFailed) as raised:
        App.open(app)
    subprocess.run(["sh", "-c", raised.value.hint.splitlines()[0].partition(": ")[2]], check=True)
    with pytest.raises(DeploymentFailed, match="Root does not work in"):
        App.open(app)


def test_a_deployment_looks_at_every_file_of_the_venv(app: Path) -> None:
    package = app / f"venv/lib/python3.{sys.version_info[1]}/site-packages/package/inner"
    package.mkdir(parents=True)
    (package / "code.py").touch()
    os.chown(package / "code.py", USER, USER)
    assert App.open(app).status().live.tag == "v1.0.0"
    with pytest.raises(DeploymentFailed, match=r"package/inner/code.py is nobody's"):
        App.open(app).backup()


def test_a_checkout_somebody_makes_in_a_folder_with_the_sticky_bit(app: Path) -> None:
    """In /tmp nobody exchanges what is root's; what somebody else made there is that one's."""
    shared = app.parents[1] / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    app.rename(shared / "app")
    assert App.open(shared / "app").status().live.tag == "v1.0.0"
    assert weak(shared / "missing") is not None
    (shared / "theirs").mkdir()
    os.chown(shared / "theirs", USER, USER)
    (shared / "app").rename(shared / "theirs/app")
    with pytest.raises(DeploymentFailed, match=r"is root's, but \S*/shared/theirs is nobody's"):
        App.open(shared / "theirs/app")
    subprocess.run(["rm", "-rf", shared], check=True)


@pytest.mark.parametrize("spoil", [given("bin/module.py"), opened("bin/module.py", 0o020, USER), opened("bin", 0o002)])
def test_a_gitdeploy_that_others_can_change_is_not_roots(
    app: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    package = app.parent / "gitdeploy"
    (package / "bin").mkdir(parents=True)
    (package / "bin/module.py").touch()
    monkeypatch.setattr(ourselves, "places", lambda: [str(package)])
    ourselves.refuse_changeable(app)
    spoil(package)
    with pytest.raises(
        UsageError, match=r"Root does not run a gitdeploy that (nobody|the group nogroup|everybody) can change"
    ):
        ourselves.refuse_changeable(app)


def test_an_access_control_list_counts(app: Path) -> None:
    if subprocess.run(["setfacl", "-m", f"u:{USER}:rwx", app / "hooks"], check=False, capture_output=True).returncode:
        pytest.skip("needs access control lists (acl)")
    assert weak_below(app / "hooks") is not None
    with pytest.raises(DeploymentFailed) as raised:
        App.open(app)
    subprocess.run(["sh", "-c", raised.value.hint.partition(": ")[2]], check=True)
    App.open(app)
