"""Hints about a damaged repository, about backups and about gitdeploy's own state."""

from __future__ import annotations

import os
import shutil

from support.sample import Program

from hints.conftest import tree
from hints.following import App, Case, Follow, command_in, typed

REFETCH = "Fetch them again, with git 2.36 or newer: git fetch --refetch --no-tags {} {}"
BACKUPS = "refs/gitdeploy/backups"


def upgraded(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")


def empty_head(app: App) -> None:
    upgraded(app)
    (app.app / ".git/HEAD").write_text("")


def empty_branch(app: App) -> None:
    (app.app / ".git/refs/heads/main").write_text("")


def lost_branch(app: App) -> None:
    (app.app / ".git/refs/heads/main").unlink()


def lost_head(app: App) -> None:
    upgraded(app)
    lose(app, app.git("rev-parse", "HEAD"))


def lose(app: App, commit: str) -> None:
    """Its object is gone, out of packs too."""
    for pack in (app.app / ".git/objects/pack").glob("*.pack"):
        moved = app.folder / "pack"
        moved.unlink(missing_ok=True)  # git's packs are read-only, and so is their copy
        shutil.copy(pack, moved)
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        app.type(
            f"git unpack-objects -q < '{str(moved).replace(chr(39), chr(39) + chr(34) + chr(39) + chr(34) + chr(39))}'"
        )
    (app.app / ".git/objects" / commit[:2] / commit[2:]).unlink()


def only_a_tag(app: App) -> None:
    """What is live hangs from a tag alone: no branch of the remote leads to it."""
    app.git("checkout", "-q", "--detach", cwd=app.remote)
    app.git("commit", "-q", "--allow-empty", "-m", "beside", cwd=app.remote)
    app.git("tag", "-a", "v1.5.0", "-m", "beside", cwd=app.remote)
    app.git("checkout", "-q", "main", cwd=app.remote)
    app.gitdeploy("upgrade", "v1.5.0")
    lose(app, app.git("rev-parse", "HEAD"))


def empty_object(app: App) -> None:
    object_id = app.git("rev-parse", "HEAD:code/main.py")
    file = app.app / ".git/objects" / object_id[:2] / object_id[2:]
    if not file.exists():
        lose(app, object_id)
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch()


def refetched(app: App, hint: str) -> None:
    app.type("gitdeploy doctor --repair", None)
    typed("git fetch --refetch")(app, hint)


def damaged_backup(app: App) -> None:
    next((app.app / ".gitdeploy/backups").glob("*/*.json")).write_text("no JSON")


def backup_of(app: App) -> str:
    return next((app.app / ".gitdeploy/backups").iterdir()).name


def looked_into(app: App, hint: str) -> None:
    """Both places of the hint hold something."""
    app.type(command_in(hint, "git show").partition(", and")[0])
    assert any((app.app / hint.split(", and ")[1].strip()).iterdir())


def empty_backup_ref(app: App) -> None:
    (app.app / ".git" / BACKUPS / backup_of(app)).write_text("")


def lost_backup(app: App) -> None:
    upgraded(app)
    lose(app, app.git("rev-parse", "v1.0.0^{commit}"))


def truncated_database(app: App) -> None:
    database = app.app / ".gitdeploy/state.db"
    for name in (database, database.with_name("state.db-wal"), database.with_name("state.db-shm")):
        if name.exists():
            name.write_bytes(b"no database at all" * 300)


def doctored(prefix: str) -> Follow:
    """`gitdeploy doctor`, as the hint says; and what that says."""

    def follow(app: App, hint: str) -> None:
        assert "gitdeploy doctor" in hint
        found = [each for _, each in app.said("doctor") if prefix in each]
        typed(prefix)(app, found[0])

    return follow


def file_in_state(app: App) -> None:
    shutil.rmtree(app.app / ".gitdeploy")
    (app.app / ".gitdeploy").write_text("mine\n")


def moved(name: str) -> Follow:
    def follow(app: App, hint: str) -> None:
        os.rename(app.app / name, app.folder / f"moved-{os.urandom(4).hex()}")

    return follow


def failed_before(app: App) -> None:
    """v3.0.0's own hook fails."""
    files = {"hooks/post-deploy": "#!/bin/sh\ntest -e run/fixed\n"}
    app.release("v3.0.0", {**tree("3.0.0"), **{name: Program(text) for name, text in files.items()}})
    app.write_settings("app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n")
    app.gitdeploy("upgrade", "v3.0.0", code=3)
    (app.app / "run").mkdir()
    (app.app / "run/fixed").touch()


CASES = {
    "HEAD is empty": Case(
        "{}Write it into HEAD: echo {} > {}", empty_head, typed("echo"), "doctor", then="plan v1.0.0 --allow-downgrade"
    ),
    "HEAD is empty, met by upgrade": Case(
        "HEAD may be damaged. To see what to type: gitdeploy doctor", empty_head, doctored("echo"), "plan v2.0.0"
    ),
    "HEAD is empty, met by status": Case(
        "To see why, and what to type: gitdeploy doctor", empty_head, doctored("echo"), "status"
    ),
    "HEAD's branch is empty": Case(
        "{}Write it anew: rm {} && git update-ref {} {}", empty_branch, typed("rm "), "doctor", then="plan v2.0.0"
    ),
    "HEAD's branch is gone": Case(
        "{}Bring it back: git update-ref HEAD {}", lost_branch, typed("git update-ref"), "doctor", then="plan v2.0.0"
    ),
    "HEAD's branch is gone, met by upgrade": Case(
        "To see why, and what to type: gitdeploy doctor", lost_branch, doctored("git update-ref"), "upgrade v2.0.0"
    ),
    "HEAD's commit is gone": Case(REFETCH, lost_head, typed("git fetch"), "doctor", then="upgrade v2.0.0"),
    "HEAD's commit is gone, and only a tag names it": Case(
        REFETCH, only_a_tag, typed("git fetch"), "doctor", then="upgrade v2.0.0 --allow-downgrade"
    ),
    "an object is empty": Case(
        f"Delete them: gitdeploy doctor --repair\n{REFETCH}",
        empty_object,
        refetched,
        "doctor",
        then="upgrade v2.0.0",
    ),
    "an object was deleted": Case(REFETCH, empty_object, typed("git fetch"), "doctor --repair", then="upgrade v2.0.0"),
    "an object is empty, met by upgrade": Case(
        f"Objects are missing or damaged: git fsck names them. Delete empty ones: gitdeploy doctor --repair\n{REFETCH}",
        empty_object,
        refetched,
        "upgrade v2.0.0",
    ),
    "a tag is empty": Case(
        "Delete them, and fetch what the remote has: rm {} && git fetch --tags",
        lambda app: (app.app / ".git/refs/tags/v1.0.0").write_text(""),
        typed("rm "),
        "doctor",
    ),
    "a backup's ref is empty": Case(
        "Write them anew: gitdeploy recover", empty_backup_ref, typed("gitdeploy recover"), "doctor"
    ),
    "a backup's manifest is damaged": Case(
        "Its files may still be of use ({}). Without them: git update-ref -d {}{} && rm -rf {}",
        damaged_backup,
        typed("git update-ref"),
        "doctor",
    ),
    "a damaged backup is restored": Case(
        "Its files may still be there: {}", damaged_backup, looked_into, "restore BACKUP", then="upgrade v2.0.0"
    ),
    "a backup's objects are gone": Case(REFETCH, lost_backup, typed("git fetch"), "doctor"),
    "a backup's objects are gone, and it is restored": Case(
        f"{REFETCH}\nTo look at the rest: gitdeploy doctor", lost_backup, typed("git fetch"), "restore latest"
    ),
    "the database is damaged": Case(
        "`gitdeploy recover` moves it aside and goes on from the backups' own manifests.",
        truncated_database,
        typed("gitdeploy recover"),
        "upgrade v2.0.0",
    ),
    "a file stands where the state goes": Case(
        "Move it away and run the command again.", file_in_state, moved(".gitdeploy"), "upgrade v2.0.0"
    ),
    "a lock file, met by a second deployment": Case(
        "If none runs, this removes it: gitdeploy recover",
        lambda app: (app.app / ".git/HEAD.lock").touch(),
        typed("gitdeploy recover"),
        "doctor",
    ),
    "a release that failed here": Case(
        "To try it all the same: gitdeploy upgrade {}",
        failed_before,
        typed("gitdeploy upgrade"),
        "upgrade --yes",
        then="status",
    ),
}
