"""Hints about the checkout's files and about git."""

from __future__ import annotations

import os

from hints.conftest import ODD
from hints.following import App, Case, command_in, typed, written

DISCARD = "--discard-local-changes"


def edit(app: App) -> None:
    for name in ODD:
        with open(os.fsencode(app.app) + b"/" + os.fsencode(name), "ab") as file:
            file.write(b"mine\n")


def in_the_way(app: App) -> None:
    (app.app / "new").mkdir()
    (app.app / "new/file").write_text("mine\n")


def odd_modes(app: App) -> None:
    for name in ODD:
        os.chmod(os.fsencode(app.app) + b"/" + os.fsencode(name), 0o755)


def bisecting(app: App) -> None:
    app.git("bisect", "start")


def merging(app: App) -> None:
    app.git("commit", "-q", "--allow-empty", "-m", "one")
    app.git("checkout", "-q", "-b", "side", "HEAD~1")
    app.git("commit", "-q", "--allow-empty", "-m", "two")
    app.git("merge", "-q", "--no-commit", "--no-ff", "main")


def reverting(app: App) -> None:
    app.git("commit", "-q", "--allow-empty", "-m", "one")
    (app.app / "code/main.py").write_text("other\n")
    app.git("commit", "-qam", "two")
    app.git("revert", "--no-commit", "HEAD")


def commit_here(app: App) -> None:
    (app.app / "code/same.py").write_text("# mine\n")
    app.git("commit", "-qam", "mine")


LOCKS: list[int] = []


def locked(app: App) -> None:
    LOCKS.append(os.open(app.app / ".git/index.lock", os.O_CREAT | os.O_WRONLY))


def killed_and_recovered(app: App, hint: str) -> None:
    os.close(LOCKS.pop())
    app.type(command_in(hint, "gitdeploy recover"))


def relative_attributes(app: App) -> None:
    app.git("config", "core.attributesFile", "my own/it's")


def filtered(app: App) -> None:
    (app.app / ".git/info/attributes").write_text("VERSION filter=up\n")
    app.git("config", "filter.up.clean", "no-such-program -x")
    app.git("config", "filter.up.smudge", "cat")


def whole_path(app: App, hint: str) -> None:
    program = app.folder / "bin/no-such-program"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o755)
    typed("git config")(app, hint.replace("/PATH/TO", str(program.parent).replace("'", "'\"'\"'")))


def no_commit(app: App) -> None:
    app.git("checkout", "-q", "--orphan", "fresh")
    app.git("rm", "-qrf", "--cached", ".")
    app.git("tag", "-d", "v1.0.0")
    for entry in app.app.iterdir():
        if entry.is_file() and entry.name != "deploy.yaml":
            entry.unlink()
    app.type("rm -rf code .gitdeploy")


def checked_out(app: App, hint: str) -> None:
    typed("git fetch")(app, hint.replace("TAG", "v1.0.0"))


def sparse(app: App) -> None:
    app.git("sparse-checkout", "set", "--no-cone", "/*", "!/code/")


def moved_away(app: App, hint: str) -> None:
    app.type("mv new /tmp/$$.away && rm -rf /tmp/$$.away")


CASES = {
    "tracked files changed, kept": Case(
        "Three ways out: --discard-local-changes (the backup holds them, `gitdeploy restore` brings them back); "
        "--merge-local-changes (a three-way merge into the release); or keep them for good in deploy.yaml:  {}",
        edit,
        written,
    ),
    "tracked files changed, discarded": Case("Three ways out: --discard-local-changes {}", edit, flag=DISCARD),
    "tracked files changed, merged": Case(
        "Three ways out: {}", lambda app: append(app, "code/main.py"), flag="--merge-local-changes"
    ),
    "untracked in the way, kept": Case(
        "Keep them for good in deploy.yaml:  {}  or take the release's with --discard-local-changes (the backup holds yours).",
        in_the_way,
        written,
    ),
    "untracked in the way, discarded": Case("Keep them for good in deploy.yaml:  {}", in_the_way, flag=DISCARD),
    "modes, put back": Case("{}To keep modes set by hand, have git overlook them: {}", odd_modes, typed("chmod")),
    "modes, overlooked": Case(
        "{}To keep modes set by hand, have git overlook them: {}", odd_modes, typed("git config")
    ),
    "a bisect": Case("Finish it, or stop it: {}", bisecting, typed("git bisect")),
    "a bisect, by doctor": Case("Finish it, or stop it: {}", bisecting, typed("git bisect"), "doctor"),
    "a merge": Case(
        "Finish it, or stop it: {}",
        merging,
        typed("git merge"),
        flag="",
        then=f"upgrade v2.0.0 {DISCARD}",
    ),
    "a revert": Case("Finish it, or stop it: {}", reverting, typed("git revert"), then=f"upgrade v2.0.0 {DISCARD}"),
    "a commit of this server's": Case(
        "Push them and make a release of them, or go on without: --discard-local-changes (the backup holds them).",
        commit_here,
        flag=DISCARD,
    ),
    "a conflict": Case(
        "Merge them by hand, or discard them: --discard-local-changes (the backup holds them).",
        lambda app: (app.app / "code/main.py").write_text("mine\n"),
        words="upgrade v2.0.0 --merge-local-changes",
        flag=DISCARD,
        then=f"upgrade v2.0.0 {DISCARD}",
    ),
    "a stale lock": Case(
        "Wait until it has ended; if none runs, `gitdeploy recover` removes a stale lock.",
        locked,
        killed_and_recovered,
        "plan v2.0.0",
    ),
    "a relative attributes file": Case(
        "Give it the whole path: git config {} {}", relative_attributes, typed("git config core.attributesfile")
    ),
    "a filter's program": Case("Install it, or give its whole path: git config {} {}", filtered, whole_path),
    "no commit yet": Case(
        "Check a release out once by hand: git fetch --tags && git checkout TAG",
        no_commit,
        checked_out,
        "doctor",
        then="upgrade v2.0.0",
    ),
}


def append(app: App, name: str) -> None:
    with (app.app / name).open("a") as file:
        file.write("mine\n")
