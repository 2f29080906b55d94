"""Hints for another user, and for root: whose the files are, and who is to type what. `sudo` is a stand-in that root's
tests can have; what it is given is run as that user."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support import needs
from support.sample import Done

from gitdeploy.cli.screen import Screen
from gitdeploy.text import shell_word
from hints.conftest import tree
from hints.following import SETTINGS, App, command_in, hint_of, matches

pytestmark = needs.another_user
SUDO = """#!/bin/sh
uid=0
if [ "$1" = -u ]; then uid=$2; shift 2; fi
case $uid in
    '#'*) uid=${uid#?} ;;
    *[!0-9]*) uid=$(id -u "$uid") ;;
esac
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
"""


@pytest.fixture
def theirs() -> Iterator[App]:
    """A checkout of nobody's, whose path holds a blank and a quote, where nobody can go."""
    needs.gitdeploy_for_others()
    with TemporaryDirectory(prefix="gitdeploy-nobody's own ") as folder:
        Path(folder).chmod(0o755)
        app = App(Path(folder), venv=False)
        app.release("v1.0.0", tree("1.0.0"))
        app.release("v2.0.0", tree("2.0.0"))
        app.install("v1.0.0")
        app.write_settings(SETTINGS)
        (app.app / ".git/info/exclude").write_text("/deploy.yaml\n")
        settings = app.folder / "gitconfig"
        settings.write_text(
            f'[safe]\ndirectory = "{app.remote}"\ndirectory = "{app.remote}/.git"\ndirectory = "{app.app}"\n'
        )
        programs = app.folder / "bin"
        programs.mkdir()
        (programs / "sudo").write_text(SUDO)
        (programs / "sudo").chmod(0o755)
        app.extra_environment = {
            "GIT_CONFIG_GLOBAL": str(settings), "HOME": str(app.folder), "PATH": f"{programs}:{os.environ['PATH']}"
        }  # fmt: skip
        app.type("chown -R nobody: .")
        yield app


def as_user(app: App, uid: int, *words: str) -> Done:
    before = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return app.gitdeploy(*words, code=None, before=before)


def typed_as(app: App, uid: int, command: str, code: int = 0) -> Done:
    words = f"setpriv --reuid={uid} --regid={uid} --clear-groups sh -c " if uid else "sh -c "
    quoted = "'" + command.replace("'", "'\"'\"'") + "'"
    return app.type(words + quoted, code)


CLOSED: dict[str, tuple[Callable[[App], object], str, str]] = {
    "a tracked file that can't be read": (
        lambda app: (app.app / "two words").chmod(0), "Make it readable for its owner: chmod -R u+rwX {}", "chmod"
    ),
    "a folder without the right to write": (lambda app: (app.app / "code").chmod(0o555), "chmod -R u+rwX {}", "chmod"),
    "folders of objects without it": (lambda app: (app.app / ".git/objects").chmod(0o555), "chmod -R u+rwX {}", "chmod"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_ones_own_files_are_opened(theirs: App, name: str) -> None:
    make, template, start = CLOSED[name]
    make(theirs)
    done = as_user(theirs, needs.NOBODY, "upgrade", "v2.0.0")
    assert done.code == 1, done.text
    assert matches(template, done.err), done.err
    typed_as(theirs, needs.NOBODY, command_in(done.err, start))
    assert as_user(theirs, needs.NOBODY, "upgrade", "v2.0.0").code == 0


@pytest.mark.parametrize("uid", [1, 4321], ids=["a user", "one without a name"])
def test_the_owner_is_to_type_the_same(theirs: App, uid: int) -> None:
    theirs.type(f"chown -R {uid}:{uid} .")
    done = as_user(theirs, needs.NOBODY, "upgrade", "v2.0.0", "--wait", "5")
    assert matches("Run it as its owner: {}", hint_of(done)), done.text
    theirs.type(command_in(hint_of(done), "sudo -u"))
    assert (theirs.app / "VERSION").read_text() == "2.0.0"


def test_a_repository_of_somebody_elses(theirs: App) -> None:
    """git would run its filters and hooks as whoever looks."""
    theirs.type("chown -R 4321 .git")
    for words in (["plan", "v2.0.0"], ["doctor"]):
        done = as_user(theirs, needs.NOBODY, *words)
        assert "is yours, but " in done.err, done.text
        assert matches("Look at its config first. To take it over: sudo chown -hR {} {}", hint_of(done)), done.text
    theirs.type(command_in(hint_of(done), "sudo chown"))
    assert as_user(theirs, needs.NOBODY, "plan", "v2.0.0").code == 0


def test_root_is_to_install_the_unit(theirs: App) -> None:
    done = as_user(theirs, needs.NOBODY, "recover", "--install-unit")
    template = "As root: {}\nSee what it would write: gitdeploy recover --print-unit"
    assert matches(template, hint_of(done)), done.text
    shown = shlex.split(command_in(hint_of(done), "gitdeploy recover --print-unit"))
    assert as_user(theirs, needs.NOBODY, *shown[1:]).code == 0
    answer = theirs.type(command_in(hint_of(done), "sudo "), None)
    assert answer.code == 0 or "Only root can" not in answer.text


# ---- root's own checkout ----


@pytest.fixture
def roots(theirs: App) -> App:
    theirs.type("chown -R root: .")
    return theirs


def test_everybody_may_write_there(roots: App) -> None:
    roots.app.chmod(0o777)
    done = roots.type("gitdeploy plan v2.0.0", None)
    assert matches("Look at what is there, then: chmod {}go-w {}", hint_of(done)), done.text
    roots.type(command_in(hint_of(done), "chmod"))
    assert as_user(roots, 0, "plan", "v2.0.0").code == 0


@pytest.mark.parametrize("uid", [needs.NOBODY, 4321], ids=["a user's", "of one without a name"])
def test_a_part_is_another_users(roots: App, uid: int) -> None:
    os.chown(roots.app / "deploy.yaml", uid, -1)
    done = as_user(roots, 0, "plan", "v2.0.0")
    assert matches("Give all of it to one of them: chown -R {} {}", hint_of(done)), done.text
    roots.type(command_in(hint_of(done), "chown"))
    assert as_user(roots, uid, "plan", "v2.0.0").code == 0


def test_a_link_of_somebody_elses(roots: App) -> None:
    roots.type(f"chown -R nobody: . {shlex.quote(str(roots.remote))}")
    link = roots.folder / "a link"
    link.symlink_to(roots.app)
    os.chown(link, 4321, 4321, follow_symlinks=False)
    done = roots.type(f'cd / && gitdeploy -C "{link}" plan v2.0.0', None)
    assert matches("Name the checkout itself: gitdeploy -C {}", hint_of(done)), done.text
    answer = roots.type(f"cd / && {command_in(hint_of(done), 'gitdeploy -C')} plan v2.0.0", None)
    assert answer.code == 0 or "can't read it" in answer.text, answer.text  # where the clone is root's alone


@pytest.mark.parametrize("other", [[needs.NOBODY], [needs.NOBODY, 4321]], ids=["one other", "two others"])
def test_doctor_gives_all_of_it_to_one(roots: App, other: list[int]) -> None:
    for number, uid in enumerate(other):
        os.chown(roots.app / ("VERSION", "tool.sh")[number], uid, uid)
    found = [hint for _, hint in roots.said("doctor") if matches("As root: chown -Rh {}{} {}", hint)]
    assert found
    roots.type(command_in(found[0], "chown"))
    assert not [hint for _, hint in roots.said("doctor") if "chown" in hint]


# ---- mounts ----


def test_a_file_system_that_is_read_only(roots: App) -> None:
    needs.mounts()
    place = roots.folder / "a mount"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        subprocess.run(["cp", "-a", roots.app, place / "app"], check=True)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        roots.app = place / "app"
        (hint,) = [
            hint for _, hint in roots.said("doctor") if matches("dmesg says why. As root: mount -o remount,rw {}", hint)
        ]
        roots.type(command_in(hint, "mount -o"))
        assert not [hint for _, hint in roots.said("doctor") if "remount" in hint]
        roots.gitdeploy("upgrade", "v2.0.0")
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    ("how", "folder"),
    [
        ("read-only", ".gitdeploy/backups"), ("read-only", ".git/refs"),
        ("immutable", ".gitdeploy/backups"), ("immutable", "code"),
    ],
)  # fmt: skip
def test_a_folder_that_root_cannot_write_to(roots: App, how: str, folder: str) -> None:
    """Said before anything begins, by doctor and by the upgrade, with the command that ends it."""
    place = roots.app / folder
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if how == "immutable":
        needs.immutable(place)
        expected, word = "As root: chattr -i {}", "chattr -i"
    else:
        needs.mounts()
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        expected, word = "dmesg says why. As root: mount -o remount,rw {}", "mount -o"
    try:
        (hint,) = [hint for _, hint in roots.said("doctor") if matches(expected, hint)]
        refused = roots.type("gitdeploy upgrade v2.0.0", 1)
        assert hint_of(refused).splitlines()[0] == hint
        assert f": {folder}" in refused.text
        roots.type(command_in(hint, word))
        assert not [hint for _, hint in roots.said("doctor") if matches(expected, hint)]
    finally:
        if how == "immutable":
            subprocess.run([needs.program("chattr"), "-i", place], check=True)
        else:
            subprocess.run(["umount", place], check=True)


def test_root_without_its_rights_is_not_told_that_a_folder_is_marked(roots: App) -> None:
    """As in a container, or on a network's file system: what stands against it are the folder's rights."""
    place = roots.app / "code"
    place.chmod(0o555)
    less = f"{needs.program('setpriv')} --bounding-set=-dac_override,-dac_read_search"
    said = roots.type(f"{less} gitdeploy doctor", 1).text
    assert "1 folder of the checkout can't be changed by root: code (belongs to root)." in said
    assert "chattr" not in said
    (way,) = [line.strip() for line in said.splitlines() if line.strip().startswith("chmod -R u+rwX ")]
    roots.type(way)
    assert "can't be changed" not in roots.type(f"{less} gitdeploy doctor", None).text


def test_a_mount_inside_the_checkout(roots: App) -> None:
    needs.mounts()
    place = roots.app / "code"
    copy = roots.folder / "code"
    shutil.copytree(place, copy)
    subprocess.run(["mount", "--bind", copy, place], check=True)
    mounted = True
    try:
        done = as_user(roots, 0, "upgrade", "v2.0.0")
        template = "Files can't be renamed across mounts. Unmount it for the deployment, or add the path to git.keep."
        assert matches(template, hint_of(done)), done.text
        subprocess.run(["umount", place], check=True)
        mounted = False
        roots.gitdeploy("upgrade", "v2.0.0")
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)


# ---- elsewhere than in the checkout ----


def test_commands_are_typed_in_the_checkout(roots: App) -> None:
    """From another folder, and from one inside: the hint says where to go first."""
    lock = os.open(roots.app / ".git/index.lock", os.O_CREAT | os.O_WRONLY)
    for folder in (roots.folder, roots.app / "code"):
        done = roots.type(f'cd "{folder}" && gitdeploy -C "{roots.app}" plan v2.0.0', None)
        first = re.search(r"To be typed in the checkout: (cd .*)", done.text)
        assert first is not None, done.text
        found = roots.type(f'cd "{folder}" && {first[1]} && pwd -P').out.strip()
        assert found == str(roots.app.resolve())
    assert "To be typed" not in roots.gitdeploy("plan", "v2.0.0", code=None).text
    os.close(lock)


def test_root_that_became_the_owner_was_in_the_checkout_all_the_same(
    roots: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process goes to / for that; where the command was typed is where the next one is."""
    for folder, said in ((roots.app, None), (roots.folder, f"cd {shell_word(str(roots.app.resolve()))}")):
        monkeypatch.chdir(folder)
        screen = Screen(folder=roots.app)
        screen.become_owner()
        monkeypatch.chdir("/")
        told = screen.elsewhere("Put it right: gitdeploy recover")
        assert (told is None) if said is None else (told is not None and told.endswith(said))


def test_the_folder_is_gone(roots: App) -> None:
    done = roots.type("mkdir gone && cd gone && rmdir ../gone && gitdeploy status", None)
    assert matches("Go to the app's folder anew: cd DIR", hint_of(done)), done.text
    roots.type(command_in(hint_of(done), "cd ").replace("DIR", f'"{roots.app}"') + " && gitdeploy status")


@pytest.mark.parametrize("folder", ["", "none"], ids=["no checkout", "no folder"])
def test_a_folder_that_is_no_checkout(roots: App, folder: str) -> None:
    done = roots.type(f'cd "{roots.folder}" && gitdeploy -C "./{folder}" status', None)
    templates = (
        "gitdeploy -C DIR takes the app's checkout.",
        "Go to the folder of your app's checkout, or name it: gitdeploy -C DIR",
    )
    assert any(matches(template, hint_of(done)) for template in templates), done.text
    command = command_in(hint_of(done), "gitdeploy -C DIR").partition(" takes")[0].replace("DIR", f'"{roots.app}"')
    roots.type(f'cd "{roots.folder}" && {command} status')


def test_root_calls_the_program_or_goes_elsewhere(theirs: App) -> None:
    theirs.type("chown -R root: . && chmod 0775 .")
    os.chown(theirs.app, 0, needs.NOBODY)
    done = as_user(theirs, 0, "status")
    assert matches("Call the program itself, {}, or go elsewhere first: cd /", hint_of(done)), done.text
    os.chown(theirs.app, 0, 0)  # else the program, too, refuses the checkout
    program = command_in(hint_of(done), "Call the program itself, ").split(", ")[1]
    theirs.type(f"{program} status")
    module = f'{shlex.quote(sys.executable)} -m gitdeploy -C "{theirs.app}" status'
    theirs.type(f"{command_in(hint_of(done), 'cd /')} && {module}")
