"""What the user typed wrong, what is missing, what broke: a sentence, the right exit code, nothing changed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from e2e.conftest import Shop, tree
from support import needs
from support.sample import Program, differences
from support.waiting import wait_until
from uv import find_uv_bin

from gitdeploy.system import faultpoints

pytestmark = pytest.mark.xdist_group(__name__)


def refused(shop: Shop, *words: str, code: int, says: str | tuple[str, ...], env: dict[str, str] | None = None) -> str:
    """The command fails with CODE and says so; nothing live changed."""
    before = shop.state()
    done = shop.gitdeploy(*words, code=code, env=env)
    for text in (says,) if isinstance(says, str) else says:
        assert text in done.err, done.err
    assert differences(before, shop.state()) == []
    return done.err


def upgrades(shop: Shop, tag: str = "v2.0.0") -> None:
    shop.gitdeploy("upgrade", tag)
    assert (shop.app / "VERSION").read_text() == tag.removeprefix("v")
    assert "greeting==2.0" in shop.packages()


# ---- typed wrong, or missing ----


@pytest.mark.parametrize("tag", ["v9.9.9", "does/not/exist"])
def test_a_tag_that_does_not_exist(shop: Shop, tag: str) -> None:
    refused(shop, "upgrade", tag, code=2, says=f"has no tag {tag}.")


@pytest.mark.parametrize(
    "tag", ["--upload-pack=touch pwned", "-v", "a b", "../../etc", "v1..2", "v1^{}", "refs/x\n", ""]
)
def test_a_tag_that_is_no_tag(shop: Shop, tag: str) -> None:
    refused(shop, "upgrade", "--", tag, code=2, says="Error")
    assert not (shop.app / "pwned").exists()


def test_a_mistyped_command(shop: Shop) -> None:
    refused(shop, "upgarde", code=2, says="Did you mean `upgrade`?")


def test_broken_yaml_says_where(shop: Shop) -> None:
    (shop.app / "deploy.yaml").write_text("app: {name: shop\nsource: [\n")
    refused(shop, "status", code=2, says=("deploy.yaml", "line"))


def test_a_wrong_key_says_which_one_was_meant(shop: Shop) -> None:
    (shop.app / "deploy.yaml").write_text("app: {name: shop}\nservise: {command: x}\n")
    refused(shop, "upgrade", "v2.0.0", code=2, says=("servise", "service", "2"))


def test_a_release_whose_deploy_yaml_is_broken(shop: Shop) -> None:
    shop.release("v3.0.0-broken.yaml", {**tree("3.0.0", "2.0"), "deploy.yaml": "hooks: 7\n"})
    shop.git("tag", "-f", "v3.0.1", "v3.0.0-broken.yaml", cwd=shop.remote)
    error = refused(shop, "upgrade", "v3.0.1", code=2, says="deploy.yaml")
    assert "v3.0.1" in error


def test_outside_of_a_checkout(shop: Shop, tmp_path: Path) -> None:
    done = shop.gitdeploy("-C", str(tmp_path), "status", code=2)
    assert "in no git checkout" in done.err


def in_place_of_git(shop: Shop, program: Path) -> list[str]:
    """The words that start a command which sees PROGRAM where git is: a bind mount in a mount namespace of its own."""
    needs.mounts()
    script = 'for git in /usr/bin/git /bin/git /usr/local/bin/git; do [ ! -f "$git" ] || mount --bind "$0" "$git"; done; exec "$@"'
    return [*needs.namespace("--mount"), "sh", "-ec", script, str(program)]


def test_without_git(shop: Shop, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("")  # as good as no git: it can't be executed
    for command in (("upgrade", "v2.0.0"), ("status",)):
        done = shop.gitdeploy(*command, code=1, before=in_place_of_git(shop, nothing))
        assert "git is not installed" in done.err
        assert "apt-get install git" in done.err
    assert (shop.app / "VERSION").read_text() == "1.0.0"


def test_with_a_git_that_is_too_old(shop: Shop, tmp_path: Path) -> None:
    real = shutil.copy("/usr/bin/git", tmp_path / "real-git")
    old = tmp_path / "git"
    old.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo "git version 2.20.1" || exec {real} "$@"\n')
    old.chmod(0o755)
    for command in (("upgrade", "v2.0.0"), ("status",)):
        done = shop.gitdeploy(*command, code=1, before=in_place_of_git(shop, old))
        assert "git 2.20.1 is too old: gitdeploy needs 2.25 or newer" in done.err
    assert (shop.app / "VERSION").read_text() == "1.0.0"


def test_a_downgrade_needs_its_flag(shop: Shop) -> None:
    upgrades(shop)
    refused(shop, "upgrade", "v1.0.0", code=7, says="--allow-downgrade")


# ---- the disk ----


@contextmanager
def small_disk(shop: Shop, options: str) -> Iterator[None]:
    """The checkout on a tmpfs of its own."""
    needs.mounts()
    shutil.rmtree(shop.app)
    shop.app.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(shop.app)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{shop.folder}/pristine/.", str(shop.app)], check=True)
        yield
    finally:
        while shop.app.is_mount():
            subprocess.run(["umount", "-l", str(shop.app)], check=True)


@pytest.mark.parametrize("free", [0, 40, 300])
def test_the_disk_is_nearly_full(shop: Shop, free: int) -> None:
    """FREE kB are left: too little for the fetch, or for what preflight knows to be needed."""
    with small_disk(shop, "size=24m"):
        before = shop.state()
        room = os.statvfs(shop.app)
        fill = shop.app / ".git" / "fill"
        with fill.open("wb") as out:
            left = room.f_bavail * room.f_frsize - free * 1024
            out.write(b"x" * left)
        done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
        assert re.search("disk|space", done.err), done.err
        assert differences(before, shop.state()) == []
        fill.unlink()
        upgrades(shop)


@pytest.fixture(scope="session")
def points(shop_once: Shop) -> list[str]:
    """The names of all fault points that an upgrade passes, in order."""
    shop_once.reset()
    names, plan = shop_once.folder / "points", shop_once.folder / "count-plan"
    plan.write_text(f"{faultpoints.MAGIC}\ncount {names}\n")
    shop_once.gitdeploy("upgrade", "v2.0.0", env={faultpoints.VARIABLE: str(plan)})
    return names.read_text().splitlines()


@pytest.mark.parametrize(
    ("point", "codes"),
    [
        ("backup ref", {1}),
        ("venv build begun", {1}),
        ("venv cloned", {1}),
        ("venv installed", {1}),
        ("venv sealed", {1}),
        ("stage written", {0, 1}),
        ("apply switch", {0}),
        ("applied switch", {0}),
        ("journalled commit", {0}),
    ],
)
def test_the_disk_becomes_full_in_the_middle(
    shop: Shop, points: list[str], tmp_path: Path, point: str, codes: set[int]
) -> None:
    """Not a byte is left from POINT on. Above the line nothing happened; below it the switch needs no space, or it is
    undone."""
    number = points.index(point) + 1
    with small_disk(shop, "size=24m"):
        before = shop.state()
        fill = shop.app / ".git" / "fill"
        plan = tmp_path / "plan"
        plan.write_text(f"{faultpoints.MAGIC}\nfill {number} {fill}\n")
        done = shop.gitdeploy("upgrade", "v2.0.0", code=None, env={faultpoints.VARIABLE: str(plan)})
        assert done.code in codes, done.text
        if done.code:
            assert re.search("disk|space", done.err), done.err
            assert differences(before, shop.state()) == []
        else:
            assert (shop.app / "VERSION").read_text() == "2.0.0"
        fill.unlink()
        shop.gitdeploy("recover")
        upgrades(shop)


@pytest.mark.parametrize("free", [0, 5, 20, 60])
def test_no_inode_is_left(shop: Shop, free: int) -> None:
    with small_disk(shop, "size=60m,nr_inodes=2500"):
        before = shop.state()
        folder = shop.app / ".git/fill"
        folder.mkdir()
        for number in range(os.statvfs(shop.app).f_favail - free):
            (folder / str(number)).touch()
        done = shop.gitdeploy("upgrade", "v2.0.0", code=None)
        assert done.code in (0, 1, 3), done.text
        if done.code:
            assert differences(before, shop.state()) == []
        shutil.rmtree(folder)
        shop.gitdeploy("recover")
        upgrades(shop)


def test_the_file_system_becomes_read_only_in_the_middle(shop: Shop) -> None:
    hook = "#!/bin/sh\nmount --bind . . && mount -o remount,bind,ro . && exit 1\n"
    shop.release("v4.0.0", tree("4.0.0", "2.0", **{"hooks/post-deploy": Program(hook)}))
    with small_disk(shop, "size=60m"):
        before = shop.state()
        done = shop.gitdeploy("upgrade", "v4.0.0", code=4)
        assert "Read-only file system" in done.err
        assert "gitdeploy recover" in done.err
        subprocess.run(["umount", str(shop.app)], check=True)
        assert shop.gitdeploy("status").out.count("interrupted") >= 1
        shop.gitdeploy("recover")
        assert differences(before, shop.state()) == []


def test_a_read_only_checkout(shop: Shop) -> None:
    with small_disk(shop, "size=60m"):
        subprocess.run(["mount", "-o", "remount,ro", str(shop.app)], check=True)
        refused(shop, "upgrade", "v2.0.0", code=1, says="ead-only")
        shop.gitdeploy("status")


def test_a_file_that_must_not_be_changed(shop: Shop) -> None:
    """Permission lost: an immutable file."""
    file = shop.app / "code/main.py"
    needs.immutable(file)
    try:
        refused(shop, "upgrade", "v2.0.0", code=1, says="code/main.py")
    finally:
        subprocess.run([needs.program("chattr"), "-i", str(file)], check=True)


# ---- git ----


@pytest.mark.parametrize(
    "made", [{"repositoryformatversion": "1", "extension": "ofTheFuture"}, {"repositoryformatversion": "7"}]
)
def test_a_checkout_in_the_format_of_a_newer_git(shop: Shop, made: dict[str, str]) -> None:
    """As reftables are to an older one: nothing is damaged, and nobody is told to fetch objects again."""
    config = shop.app / ".git/config"
    kept = config.read_text()
    config.write_text(
        kept.replace("repositoryformatversion = 0", f"repositoryformatversion = {made['repositoryformatversion']}")
    )
    if "extension" in made:
        config.write_text(f"{config.read_text()}[extensions]\n\t{made['extension']} = true\n")
    for words in (("doctor",), ("upgrade", "v2.0.0")):
        said = shop.gitdeploy(*words, code=1).text
        assert "A newer git made that. Install one here that knows it; nothing is damaged." in said
        assert "--refetch" not in said
    config.write_text(kept)
    upgrades(shop)


def test_git_objects_emptied_by_a_crash(shop: Shop) -> None:
    for pack in (shop.app / ".git/objects").rglob("*"):
        if pack.is_file() and len(pack.name) == 38:
            pack.chmod(0o644)
            pack.write_bytes(b"")
    for pack in (shop.app / ".git/objects/pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(b"")
    files = (shop.app / "code/main.py").read_text(), (shop.app / "VERSION").read_text()
    done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
    assert "git" in done.err
    assert ((shop.app / "code/main.py").read_text(), (shop.app / "VERSION").read_text()) == files


def test_a_users_git_checkout_between_two_deployments(shop: Shop) -> None:
    shop.git("fetch", "-q", "origin", "refs/tags/v2.0.0:refs/tags/v2.0.0")
    shop.git("checkout", "-q", "v2.0.0")
    upgrades(shop, "v2.1.0")
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_a_users_git_checkout_during_a_deployment(shop: Shop) -> None:
    hook = "#!/bin/sh\ngit -c core.hooksPath=/dev/null commit -q --allow-empty -m meanwhile\n"
    shop.release("v1.5.0", tree("1.5.0", "1.0", **{"hooks/pre-deploy": Program(hook)}))
    shop.gitdeploy("upgrade", "v1.5.0")
    done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
    assert "HEAD" in done.err
    assert (shop.app / "VERSION").read_text() == "1.5.0"


def pip_install(shop: Shop, *more: str) -> list[str]:
    """What a user types to have the package `extra` in the live venv."""
    shop.wheel("extra", "1.0")
    words = ["pip", "install", "-q", "--no-config", "-p", "venv/bin/python", "extra"]
    return [find_uv_bin(), *words, *(more or ("--no-index", "--find-links", str(shop.wheels)))]


def test_a_users_pip_install_between_two_deployments(shop: Shop) -> None:
    subprocess.run(pip_install(shop), cwd=shop.app, check=True, env=shop.environment)
    upgrades(shop)
    assert "extra==1.0" in shop.packages(), "what was installed by hand survives"


def test_a_users_pip_install_after_the_upgrade_was_prepared(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v2.0.0")
    subprocess.run(pip_install(shop), cwd=shop.app, check=True, env=shop.environment)
    upgrades(shop)
    assert {"extra==1.0", "greeting==2.0"} <= set(shop.packages())


def test_a_users_pip_install_during_a_deployment(shop: Shop) -> None:
    """The new venv was made without it: nothing is touched, and the next try takes it along."""
    hook = Program(f"#!/bin/sh\nexec {shlex.join(pip_install(shop))}\n")
    shop.release("v1.5.0", tree("1.5.0", "1.0", **{"hooks/pre-deploy": hook}))
    shop.gitdeploy("upgrade", "v1.5.0")
    done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
    assert "extra 1.0 is new" in done.err
    assert "Run the command again" in done.err
    assert (shop.app / "VERSION").read_text() == "1.5.0"
    assert {"extra==1.0", "greeting==1.0"} <= set(shop.packages())
    upgrades(shop)
    assert {"extra==1.0", "greeting==2.0"} <= set(shop.packages())


def test_a_users_pip_install_that_is_still_running_at_the_switch(shop: Shop) -> None:
    """It would put half of a package into each of the two venvs."""
    before = shop.state()
    with socket.create_server(("127.0.0.1", 0)) as index:  # that never answers
        words = pip_install(shop, "--index-url", f"http://127.0.0.1:{index.getsockname()[1]}/")
        environment = {**shop.environment, "UV_OFFLINE": "0"}
        with subprocess.Popen(words, cwd=shop.app, env=environment, stderr=subprocess.DEVNULL) as installing:
            index.settimeout(60)
            with index.accept()[0]:
                done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
                installing.kill()
    assert "uv pip install -q --no-config -p venv/bin/python extra" in done.err
    assert f"process {installing.pid}" in done.err
    assert differences(before, shop.state()) == []
    upgrades(shop)


def test_a_users_pip_install_into_a_release_that_is_rolled_back(shop: Shop) -> None:
    """It goes with the venv that it was made into, and how to have it again is said."""
    hook = Program(f"#!/bin/sh\n{shlex.join(pip_install(shop))}\nexit 1\n")
    shop.release("v3.1.0", tree("3.1.0", "2.0", **{"hooks/post-deploy": hook}))
    before = shop.state()
    done = shop.gitdeploy("upgrade", "v3.1.0", code=3)
    assert f"{shop.app}/venv/bin/python -m pip install extra==1.0" in done.err
    assert differences(before, shop.state()) == []


def test_stale_lock_files_of_a_killed_git_are_removed(shop: Shop) -> None:
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (shop.app / ".git" / name).write_text("")
    upgrades(shop)


def test_the_lock_file_of_a_git_that_runs_is_respected(shop: Shop) -> None:
    lock = shop.app / ".git/index.lock"
    with lock.open("w"):
        done = shop.gitdeploy("upgrade", "v2.0.0", code=1)
        assert "index.lock" in done.err or "another git" in done.err.lower()
        assert lock.exists()


# ---- the remote ----


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            server.settimeout(0.1)
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def test_a_remote_that_serves_garbage(shop: Shop) -> None:
    with listening(lambda connection: connection.sendall(os.urandom(5000))) as port:
        shop.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/shop")
        refused(shop, "upgrade", "v2.0.0", code=6, says="127.0.0.1")


def test_a_remote_that_hangs_up(shop: Shop) -> None:
    with listening(lambda connection: None) as port:
        shop.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/shop")
        refused(shop, "upgrade", "v2.0.0", code=6, says="127.0.0.1")


def test_a_remote_that_is_not_there(shop: Shop) -> None:
    shop.git("remote", "set-url", "origin", "https://127.0.0.1:9/shop.git")
    refused(shop, "upgrade", "v2.0.0", code=6, says="127.0.0.1:9")
    refused(shop, "check", "--force", code=6, says="127.0.0.1:9")


def test_a_remote_that_hangs_does_not_hang_an_interrupted_deployment(shop: Shop) -> None:
    """^C while the fetch waits: nothing happened, exit code 130."""
    before = shop.state()
    with listening(lambda connection: time.sleep(3)) as port:
        shop.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/shop")
        running = shop.start("upgrade", "v2.0.0")
        time.sleep(1.0)
        running.send_signal(2)
        output, _ = running.communicate(timeout=20)
        assert running.returncode == 130, output
        shop.git("remote", "set-url", "origin", f"file://{shop.remote}")
    assert differences(before, shop.state()) == []


def test_packages_that_cannot_be_fetched(shop: Shop, tmp_path: Path) -> None:
    refused(shop, "upgrade", "v2.0.0", code=1, says="greeting", env={"PIP_FIND_LINKS": str(tmp_path)})


# ---- the state directory ----


def test_state_db_deleted(shop: Shop) -> None:
    upgrades(shop)
    for file in (shop.app / ".gitdeploy").glob("state.db*"):
        file.unlink()
    identity = shop.gitdeploy("backups", "--json").out
    assert len(json.loads(identity)) == 2
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    assert "greeting==1.0" in shop.packages()


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_state_db_truncated(shop: Shop, size: int) -> None:
    upgrades(shop)
    for ending in ("-wal", "-shm"):
        (shop.app / f".gitdeploy/state.db{ending}").unlink(missing_ok=True)
    os.truncate(shop.app / ".gitdeploy/state.db", size)
    if size:
        done = shop.gitdeploy("upgrade", "v2.1.0", code=1)
        assert "state.db" in done.err
        assert "gitdeploy recover" in done.err
        shop.gitdeploy("recover")
    shop.gitdeploy("restore", "latest")
    assert (shop.app / "VERSION").read_text() == "1.0.0"


def test_state_db_locked_by_another_program(shop: Shop) -> None:
    database = sqlite3.connect(shop.app / ".gitdeploy/state.db")
    database.execute("BEGIN EXCLUSIVE")
    try:
        refused(shop, "upgrade", "v2.0.0", code=1, says="locked")
    finally:
        database.rollback()
        database.close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": "x"}'])
def test_a_backup_whose_manifest_is_damaged(shop: Shop, content: str) -> None:
    upgrades(shop)
    first, second = sorted((shop.app / ".gitdeploy/backups").iterdir())
    (second / "manifest.json").write_text(content)
    refused(shop, "restore", second.name, code=1, says=second.name)
    listed = [row["id"] for row in json.loads(shop.gitdeploy("backups", "--json").out)]
    assert listed == [first.name]
    shop.gitdeploy("restore", first.name)
    assert (shop.app / "VERSION").read_text() == "1.0.0"


def test_a_backup_that_does_not_exist(shop: Shop) -> None:
    refused(shop, "restore", "20000101-000000-v0", code=2, says="20000101-000000-v0")
    refused(shop, "restore", "../../../etc", code=2, says="etc")


def test_a_backup_whose_ref_was_emptied_and_whose_venv_was_deleted(shop: Shop) -> None:
    upgrades(shop)
    backup = max((shop.app / ".gitdeploy/backups").iterdir()).name
    (shop.app / ".git/refs/gitdeploy/backups" / backup).write_text("")
    for generation in (shop.app / ".gitdeploy/venvs").iterdir():
        if generation.is_dir() and generation.resolve() != (shop.app / "venv").resolve():
            shutil.rmtree(generation)
    shop.gitdeploy("restore", backup)
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    assert "greeting==1.0" in shop.packages(), "the venv is built anew from the requirements of that state"


# ---- the venv ----


def test_the_live_generation_deleted_by_hand(shop: Shop) -> None:
    upgrades(shop)
    shutil.rmtree((shop.app / "venv").resolve())
    assert "venv" in shop.gitdeploy("status").out
    shop.gitdeploy("upgrade", "v2.1.0")
    assert "greeting==2.0" in shop.packages()


def test_the_venv_link_deleted_by_hand(shop: Shop) -> None:
    upgrades(shop)
    (shop.app / "venv").unlink()
    shop.gitdeploy("upgrade", "v2.1.0")
    assert "greeting==2.0" in shop.packages()


def test_the_venv_link_replaced_by_a_folder_by_hand(shop: Shop) -> None:
    upgrades(shop)
    (shop.app / "venv").unlink()
    shop.make_venv()
    shop.gitdeploy("upgrade", "v2.1.0")
    assert "greeting==2.0" in shop.packages()
    shop.gitdeploy("rollback", "--yes")
    assert "greeting==2.0" in shop.packages()
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_a_checkout_that_was_moved(shop: Shop) -> None:
    upgrades(shop)
    moved = shop.folder / "moved"
    shop.app.rename(moved)
    shop.app = moved
    try:
        shop.gitdeploy("upgrade", "v2.1.0")
        shop.gitdeploy("rollback", "v1.0.0")
        assert (moved / "VERSION").read_text() == "1.0.0"
        assert "greeting==1.0" in shop.packages()
        script = subprocess.run(
            [moved / "venv/bin/python", "-c", "import greeting; print(greeting.VERSION)"],
            capture_output=True,
            text=True,
        )
        assert script.stdout == "1.0\n"
    finally:
        shop.app = shop.folder / "app"
        shutil.rmtree(moved)


# ---- hooks ----


def with_hook(shop: Shop, tag: str, stage: str, text: str) -> None:
    shop.release(tag, tree(tag.removeprefix("v"), "1.0", **{f"hooks/{stage}": Program(text)}))


def running(*words: str) -> list[int]:
    """The processes with this command line."""
    line, found = b"".join(word.encode() + b"\0" for word in words), []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == line:
                found.append(int(entry.name))
    return found


def test_a_hook_that_hangs_is_ended_with_its_children(shop: Shop) -> None:
    with_hook(shop, "v1.6.0", "post-deploy", "#!/bin/sh\nsleep 77.7 &\nsleep 88.8\n")
    begun = time.monotonic()
    refused(shop, "upgrade", "v1.6.0", code=3, says="took longer than 2.0 s")
    assert time.monotonic() - begun < 30
    end = time.monotonic() + 10
    while left := running("sleep", "77.7") + running("sleep", "88.8"):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def test_a_hook_that_forks_and_exits_does_not_keep_the_lock(shop: Shop) -> None:
    with_hook(
        shop, "v1.6.1", "post-deploy", "#!/bin/sh\nsetsid sleep 200 >/dev/null 2>&1 </dev/null &\necho $! > run-pid\n"
    )
    shop.gitdeploy("upgrade", "v1.6.1")
    shop.gitdeploy("backup")
    os.kill(int((shop.app / "run-pid").read_text()), signal.SIGTERM)


def test_a_hook_killed_for_want_of_memory(shop: Shop) -> None:
    with_hook(shop, "v1.6.2", "migrate", "#!/bin/sh\nkill -9 $$\n")
    refused(shop, "upgrade", "v1.6.2", code=3, says="SIGKILL")


def test_a_hook_that_is_not_executable(shop: Shop) -> None:
    shop.release("v1.6.3", tree("1.6.3", "1.0", **{"hooks/post-deploy": "#!/bin/sh\n"}))
    error = shop.gitdeploy("upgrade", "v1.6.3", code=None)
    assert error.code in (1, 3)
    assert "executable" in error.err
    assert (shop.app / "VERSION").read_text() == "1.0.0"


# ---- the lock ----


def test_two_deployments_started_at_once(shop: Shop) -> None:
    running = [shop.start("upgrade", "v2.0.0") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].decode() for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes in ([0, 5], [0, 0]), outputs
    if codes == [0, 5]:
        assert any("runs" in text and "pid" in text.lower() for text in outputs), outputs
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_held_deployments(shop: Shop) -> None:
    shop.gitdeploy("lock", "-m", "until the fair is over")
    refused(shop, "upgrade", "v2.0.0", code=5, says="until the fair is over")
    assert "until the fair is over" in shop.gitdeploy("status").out
    shop.gitdeploy("unlock")
    upgrades(shop)


# ---- time ----


def test_a_clock_set_back_a_year(shop: Shop) -> None:
    faketime = needs.program("faketime")
    upgrades(shop)
    done = subprocess.run(
        [faketime, "-f", "-365d", sys.executable, "-m", "gitdeploy", "upgrade", "v2.1.0"],
        cwd=shop.app, env=shop.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "VERSION").read_text() == "2.0.0"
    shop.gitdeploy("rollback", "v1.0.0")
    assert (shop.app / "VERSION").read_text() == "1.0.0"


# ---- signals, terminals ----


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (1, 129)], ids=["^C", "SIGTERM", "SSH line dropped"])
@pytest.mark.parametrize("when", ["pre-deploy", "post-deploy"])
def test_a_signal(shop: Shop, number: int, code: int, when: str) -> None:
    tag = f"v1.7.{number}" if when == "pre-deploy" else f"v1.8.{number}"
    with_hook(shop, tag, when, "#!/bin/sh\ntouch run-now\nsleep 1.5\n")
    if when == "pre-deploy":  # the hook of the live release runs before the switch
        shop.gitdeploy("upgrade", tag)
        (shop.app / "run-now").unlink(missing_ok=True)
        goal = "v2.0.0"
    else:
        goal = tag
    before = shop.state()
    running = shop.start("upgrade", goal)
    wait_until((shop.app / "run-now").exists)
    running.send_signal(number)
    running.send_signal(number)
    output = running.communicate(timeout=30)[0].decode()
    (shop.app / "run-now").unlink(missing_ok=True)
    assert running.returncode == code, output
    assert differences(before, shop.state()) == [], output
    assert "nterrupted" in output
    status = json.loads(shop.gitdeploy("status", "--json").out)
    assert status["interrupted"] is False
    shop.gitdeploy("upgrade", "v2.0.0")


def test_a_closed_standard_output_does_not_stop_a_deployment(shop: Shop) -> None:
    running = shop.start("upgrade", "v2.0.0")
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(60) == 0
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_the_state_directory_is_for_its_owner_alone(shop: Shop) -> None:
    assert stat.S_IMODE((shop.app / ".gitdeploy").stat().st_mode) == 0o700
