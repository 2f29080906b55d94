"""Hints about releases, settings, hooks, health and the commands themselves."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from support import needs
from support.sample import Link, Program

from gitdeploy.app import App as Product
from hints.cases_repository import moved
from hints.conftest import tree
from hints.following import SETTINGS, App, Case, Follow, Make, nothing, typed


def settings(line: str, corrected: str = "") -> tuple[Make, Follow]:
    """A deploy.yaml with LINE; and the same, CORRECTED."""
    return (
        lambda app: app.write_settings(f"{SETTINGS}{line}\n"),
        lambda app, hint: app.write_settings(f"{SETTINGS}{corrected}\n"),
    )


def in_env(url: str) -> tuple[Make, Follow]:
    """A database whose URL is in .env; and none."""
    make, follow = settings("backup: {databases: [{env: SHOP_DATABASE}]}")
    return lambda app: (make(app), (app.app / ".env").write_text(f"SHOP_DATABASE={url}\n")), follow


def no_python_for_the_venv(app: App) -> None:
    NO_PYTHON(app)
    app.make_venv()


def moved_tag(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    app.gitdeploy("rollback", "--yes")
    app.git("tag", "-f", "-a", "-m", "moved", "v2.0.0", "main~1", cwd=app.remote)


def paused_by_li(app: App) -> None:
    Product.open(app.app).pause("closing", who="li")


SKIPPED = "To install it all the same: gitdeploy upgrade "


def skipped(app: App) -> None:
    app.gitdeploy("skip", "v2.0.0")


def older(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")


def older_without_backup(app: App) -> None:
    older(app)
    for backup in Path(app.app, ".gitdeploy/backups").iterdir():
        app.type(f"git update-ref -d refs/gitdeploy/backups/{backup.name} && rm -rf .gitdeploy/backups/{backup.name}")


def own_hooks(app: App) -> None:
    app.write_settings(SETTINGS + "hooks: {dir: hooks}\n")
    app.gitdeploy("hooks", "install", "django-migrate")


def broken_settings(app: App) -> None:
    with (app.app / ".git/config").open("a") as config:
        config.write("[branch\n")


def line_taken_out(app: App, hint: str) -> None:
    """The file and the line that git names."""
    done = app.type("git status", 128)
    number = int(done.err.split("line ")[1].split()[0])
    file = app.app / ".git/config"
    lines = file.read_text().splitlines()
    del lines[number - 2 if number > len(lines) else number - 1]
    file.write_text("\n".join(line for line in lines if line != "[branch") + "\n")


def a_folder_in_the_way(app: App) -> None:
    (app.app / "new").write_text("mine\n")


def a_link_in_the_way(app: App) -> None:
    (app.folder / "elsewhere").mkdir(exist_ok=True)
    (app.app / "new").symlink_to(app.folder / "elsewhere")


def a_folder_instead(app: App, hint: str) -> None:
    (app.app / "new").unlink()
    (app.app / "new").mkdir()


def links_as_texts(app: App) -> None:
    """core.symlinks is false, and a release brings a link with an odd name."""
    app.release("v2.5.0", {**tree("2.5.0"), "-a link": Link("VERSION")})
    app.git("config", "core.symlinks", "false")


def large_files(app: App) -> None:
    """The release has its large files at another host, whose address a shell would read."""
    needs.program("git-lfs")
    text = "[lfs]\n\turl = https://large.example.org/a&b/$c\n"
    app.release("v2.5.0", {**tree("2.5.0"), ".gitattributes": "*.bin filter=lfs\n", ".lfsconfig": text})


def python_named(app: App, hint: str) -> None:
    assert "venv: {python: /usr/bin/python3}" in hint
    app.write_settings(f"{SETTINGS}venv: {{python: {sys.executable}, path: venv}}\n")


def dumped_in_a_hook(app: App, hint: str) -> None:
    app.write_settings(f"{SETTINGS}hooks: {{dir: hooks}}\n")
    (app.app / "hooks").mkdir()
    (app.app / "hooks/pre-deploy").write_text('#!/bin/sh\necho data > "$GITDEPLOY_BACKUP_DIR/dump"\n')
    (app.app / "hooks/pre-deploy").chmod(0o755)


def variable_set(app: App, hint: str) -> None:
    app.type("mkdir -p run && touch run/data.db")
    (app.app / ".env").write_text("SHOP_DATABASE=sqlite:///run/data.db\n")


def two_alike(app: App) -> None:
    app.gitdeploy("backup")


def its_whole_id(app: App, hint: str) -> None:
    app.gitdeploy("restore", max(backup.name for backup in (app.app / ".gitdeploy/backups").iterdir()))


def conflicting(app: App) -> None:
    (app.app / "tool.sh").write_text("one\n")
    app.git("commit", "-qam", "one")
    app.git("checkout", "-q", "-b", "side", "HEAD~1")
    (app.app / "tool.sh").write_text("two\n")
    app.git("commit", "-qam", "two")
    app.type("git merge main", 1)


def failing(app: App) -> None:
    """v3.0.0's own hook fails."""
    app.write_settings(SETTINGS + "hooks: {dir: hooks}\n")
    app.release("v3.0.0", {**tree("3.0.0"), "hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")})


def slow(app: App) -> None:
    app.write_settings(SETTINGS + "hooks: {dir: hooks, timeout: 1}\n")
    app.release(
        "v3.0.0",
        {**tree("3.0.0"), "hooks/pre-deploy": Program(""), "hooks/post-deploy": Program("#!/bin/sh\nsleep 2\n")},
    )


def without_a_plan(app: App) -> None:
    """The journal of an interrupted deployment lost what it was to do."""
    app.write_settings(SETTINGS + "hooks: {dir: hooks}\n")
    app.release("v3.0.0", {**tree("3.0.0"), "hooks/post-deploy": Program("#!/bin/sh\nkill -9 $PPID\n")})
    app.gitdeploy("upgrade", "v3.0.0", code=-9)
    with closing(sqlite3.connect(app.app / ".gitdeploy/state.db")) as database, database:
        database.execute("DELETE FROM record WHERE kind = 'plan'")


def running(app: App) -> None:
    app.write_settings(SETTINGS + "service: {pidfile: run/pid}\n")
    (app.app / "run").mkdir()


def started(app: App, hint: str) -> None:
    app.type("sleep 9 > /dev/null 2>&1 & echo $! > run/pid")


BACK = "To go back to the backup: gitdeploy rollback {}. {}"
AGAIN = "To install the old release all the same: gitdeploy upgrade {} --allow-downgrade"
BAD_HEALTH, GOOD_HEALTH = settings("health: {command: 'false', successes: 1, timeout: 1}")
NO_PROGRAM, PROGRAM = settings("hooks: {migrate: [no-such-program --all]}", "hooks: {migrate: ['true']}")
NO_PYTHON, _ = settings("venv: {python: /no/such/python, path: venv}")
IN_MEMORY, NO_DATABASE = in_env("sqlite://")
UNKNOWN_DATABASE, _ = in_env("oracle://host/name")
NO_NAME, NAMED = settings("backup: {databases: ['postgresql://host/']}")
UNSET, _ = settings("backup: {databases: [{env: SHOP_DATABASE}]}")
NOT_THERE, _ = settings("backup: {databases: ['sqlite:///run/none.db']}")
NO_ENV, WITH_ENV = settings("env_file: settings.env")


def nothing_made(app: App) -> None:
    """The words alone are wrong."""


CASES = {
    "no such tag": Case("They are listed by: gitdeploy releases --all", nothing_made, typed("gitdeploy releases"), "upgrade v9.9.9", then="upgrade v2.0.0"),
    "no such tag, by git": Case("They are listed by: gitdeploy releases --all", nothing_made, typed("gitdeploy releases"), "plan v9.9.9", then="plan v2.0.0"),
    "no tag's name": Case("`gitdeploy releases` lists them.", nothing_made, typed("gitdeploy releases"), "upgrade v1..2", then="upgrade v2.0.0"),
    "a branch": Case("A release is a tag. They are listed by: gitdeploy releases", nothing_made, typed("gitdeploy releases"), "upgrade main", then="upgrade v2.0.0"),
    "a moved tag": Case(
        "A release must not change after it was made. Ask its author; if it is right: --accept-moved-tag", moved_tag, flag="--accept-moved-tag", words="upgrade v2.0.0 --allow-downgrade"
    ),
    "an older release, its backup": Case(BACK, older, typed("gitdeploy rollback"), "upgrade v1.0.0", then="upgrade v2.0.0"),
    "an older release": Case(AGAIN, older, typed("gitdeploy upgrade v1.0.0"), "upgrade v1.0.0", then="upgrade v2.0.0"),
    "an older release without a backup": Case(AGAIN, older_without_backup, typed("gitdeploy upgrade"), "upgrade v1.0.0", then="upgrade v2.0.0"),
    "paused": Case("Resume them: gitdeploy unlock", lambda app: app.gitdeploy("lock", "-m", "a reason"), typed("gitdeploy unlock")),
    "paused by somebody else": Case(
        "To put your pause in its place: add --force", paused_by_li, typed("gitdeploy unlock"), "lock -m mine", then="lock -m mine"
    ),
    "paused by somebody else, all the same": Case(
        "To put your pause in its place: add --force", paused_by_li, words="lock -m mine", flag="--force"
    ),
    "skipped": Case(SKIPPED, skipped, typed("gitdeploy unskip"), "upgrade --yes"),
    "skipped, by name": Case(SKIPPED, skipped, typed("gitdeploy upgrade"), "upgrade --yes", then="status"),
    "no such deployment": Case("`gitdeploy log` lists them.", nothing_made, typed("gitdeploy log"), "log 999", then="log 1"),
    "no such backup": Case("`gitdeploy backups` lists them.", nothing_made, typed("gitdeploy backups"), "restore 1999", then="restore latest"),
    "a backup of a version": Case("`gitdeploy backups` lists them.", nothing_made, typed("gitdeploy backups"), "rollback v7.0.0 --yes", then="restore latest"),
    "no backup": Case(
        "`gitdeploy backup` makes one; every upgrade does too.", lambda app: app.type("rm -rf .gitdeploy"), typed("gitdeploy backup"), "restore latest"
    ),
    "nothing to undo": Case(
        "`gitdeploy backups` lists what `gitdeploy restore` can bring back.", nothing_made, typed("gitdeploy backups"), "rollback --yes", then="restore latest"
    ),
    "nobody to be asked": Case("Pass --yes.", older, words="rollback", flag="--yes"),
    "no such stage": Case("The stages: {}.", nothing_made, words="hooks run nothing", then="hooks run build"),
    "no such ready hook": Case("See what there is: gitdeploy hooks library", nothing_made, typed("gitdeploy hooks library"), "hooks install zzz", then="hooks library"),
    "a ready hook almost named": Case("Did you mean {}?", lambda app: app.write_settings(SETTINGS + "hooks: {dir: hooks}\n"), nothing, "hooks install django-migrat", then="hooks install django-migrate"),
    "a hook of one's own": Case("To replace what is there, changes of yours included: --force", own_hooks, words="hooks install django-migrate", flag="--force"),
    "a deploy.yaml is there": Case("To see a fresh one: gitdeploy init --print\nTo replace it: gitdeploy init --force", nothing_made, typed("gitdeploy init --force"), "init", then="plan v2.0.0"),
    "unhealthy already": Case(
        "Fix it, or the check (health in deploy.yaml). Where the release is to repair it, or it is down on purpose: --unhealthy",
        lambda app: (BAD_HEALTH(app), app.type("mkdir -p run")), GOOD_HEALTH,
    ),
    "a hook's program": Case("Correct it in deploy.yaml, or run no hooks: --no-hooks", NO_PROGRAM, flag="--no-hooks"),
    "a hook's program, corrected": Case("Correct it in deploy.yaml, or run no hooks: --no-hooks", NO_PROGRAM, PROGRAM),
    "an interpreter": Case("Install it, or name one that is there: venv: {python: /usr/bin/python3}", no_python_for_the_venv, python_named, "plan v2.0.0"),
    "an interpreter, by doctor": Case("Install it, or name another: venv: {python: /usr/bin/python3}", no_python_for_the_venv, python_named, "doctor"),
    "a database in memory": Case("Name the file that the app uses, or remove that entry.", IN_MEMORY, NO_DATABASE),
    "a database of a kind that can't be dumped": Case("Dump it in a hook: hooks/pre-deploy gets GITDEPLOY_BACKUP_DIR.", UNKNOWN_DATABASE, dumped_in_a_hook),
    "a database URL without a name": Case("It ends in /NAME.", NO_NAME, NO_DATABASE),
    "a database's variable": Case("Set it, or remove that entry.", UNSET, variable_set),
    "a database file that isn't there": Case("Correct backup.databases in deploy.yaml.", NOT_THERE, NO_DATABASE),
    "git's settings": Case("Correct the file and line that it names.", broken_settings, line_taken_out),
    "a file where the release has a folder": Case("Move them away first.", a_folder_in_the_way, moved("new")),
    "a link where the release has a folder": Case(
        "Put a real folder there, or keep the files behind it out of the release (git.keep).", a_link_in_the_way, a_folder_instead
    ),
    "links as texts": Case("Have them as links: git config core.symlinks true{}", links_as_texts, typed("git config"), "upgrade v2.5.0"),
    "no such option": Case("See: {} --help", nothing_made, typed("gitdeploy upgrade --help"), "upgrade --no-such-option", then="upgrade v2.0.0"),
    "an id's beginning": Case("Give more of the id.", two_alike, its_whole_id, "restore 20", then="status"),
    "a merge with conflicts": Case("Finish or abort it first (git status says how).", conflicting, lambda app, hint: app.type("git merge --abort"), "status"),
    "a failed upgrade left as it is": Case(
        "`gitdeploy recover` goes back to the old release; `gitdeploy status` shows what is live.",
        failing, typed("gitdeploy recover"), "upgrade v3.0.0 --no-rollback", then="upgrade v2.0.0",
    ),
    "a failed upgrade": Case("{}Whole log: gitdeploy log {}", failing, typed("gitdeploy log"), "upgrade v3.0.0", then="upgrade v2.0.0"),
    "a slow hook": Case(
        "Fix the hook, or give it more time: hooks.timeout in deploy.yaml", slow,
        lambda app, hint: app.write_settings(SETTINGS + "hooks: {dir: hooks, timeout: 30}\n"), "upgrade v3.0.0",
    ),
    "a journal without a plan": Case("Bring a backup back: gitdeploy restore latest", without_a_plan, typed("gitdeploy restore"), "recover", then="upgrade v2.0.0"),
    "no service, by doctor": Case("service: in deploy.yaml", nothing_made, lambda app, hint: app.write_settings(SETTINGS + "service: {command: 'true'}\n"), "doctor"),
    "no health check, by doctor": Case("health: in deploy.yaml", nothing_made, lambda app, hint: app.write_settings(SETTINGS + "health: {command: 'true'}\n"), "doctor"),
    "unhealthy, by doctor": Case("A release can't be told from a broken one until it answers.", BAD_HEALTH, GOOD_HEALTH, "doctor"),
    "a pid file that isn't there": Case("Start the app once by hand", running, started, "doctor"),
    "large files elsewhere": Case("If you trust it: git {}config lfs.url {}", large_files, typed("git config"), "plan v2.5.0"),
}  # fmt: skip
