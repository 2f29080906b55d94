"""Hooks: an operator's executables and commands, found by stage, and run one after the other.

Order in a stage: the commands of `deploy.yaml`, `DIR/<stage>`, `DIR/<stage>.d/*` by name. DIR is what deploy.yaml names: a
folder of an app's own that happens to have such files (Docker Hub's convention is `hooks/build`) is not run. They run in
the checkout, in a session of their own, as the owner of the checkout, and learn about the deployment from `GITDEPLOY_*`
variables.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.config import HooksConfig
from gitdeploy.errors import GitDeployError
from gitdeploy.hooks.saying import sentence_in
from gitdeploy.messages import render, spoken, tr
from gitdeploy.system import environment as environment_
from gitdeploy.system import owner, process
from gitdeploy.system.ourselves import user_word
from gitdeploy.text import (
    LOOKED_THROUGH,
    clean,
    duration_text,
    path_text,
    redact,
    shell_word,
    telling_line,
    telling_lines,
)

_ACTIONS = {"upgrade": tr("upgrade"), "restore": tr("restore"), "rollback": tr("rollback")}
_STATUSES = {"rolled_back": tr("rolled back"), "failed": tr("failed")}
FOLDER = "hooks"  # the usual name of the folder; it counts where deploy.yaml says so
MIGRATE_AFTER = "migrate-after"  # the second half of the migrations
STAGES = (
    "check", "pre-deploy", "build", "migrate", "post-deploy", MIGRATE_AFTER, "pre-restore", "post-restore", "on-failure",
)  # fmt: skip
_LAST_LINES = 12
_KEPT_OUTPUT = 64 * 1024  # bytes of each stream; all of it has gone to the log by then
# What editors, package managers and merges leave beside a file.
_NEVER = re.compile(r"[.#].*|.*~|.*\.(?:sample|bak|orig|rej|swp|swo|dpkg-\w+|rpm(?:save|new|orig)|pyc)|__pycache__")
_TOKEN_NAME = re.compile(r"(?:APP_UPDATE_|GITDEPLOY_).*(?:TOKEN|PASSWORD|SECRET).*")
# These point a hook's own git or python elsewhere than into the checkout and its venv.
_MISLEADING = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR|NAMESPACE|PREFIX|CONFIG_\w+)|PYTHONHOME|__PYVENV_LAUNCHER__"
)


class HookFailed(GitDeployError):
    """A hook ended with a failure, took longer than its limit, or can't be run."""

    kind = "hook"
    fault = "release"


class Hook(Struct, frozen=True):
    """One thing that runs in a stage. `name` is shown: the path in the checkout, or the command of deploy.yaml.

    `owner` and `mode` (`rwxr-xr-x`) are empty for a command; `problem` is a sentence where it can't be run.
    """

    stage: str
    name: str
    argv: tuple[str, ...]
    path: Path | None = None
    owner: str = ""
    mode: str = ""
    problem: str | None = None


class HookContext(Struct, frozen=True):
    """What a hook is told of the deployment; every name is `GITDEPLOY_` and the field's name in capitals."""

    action: str
    app: str
    root: Path
    deployment: int | str | None = None
    from_version: str | None = None
    from_tag: str | None = None
    from_commit: str | None = None
    to_version: str | None = None
    to_tag: str | None = None
    to_commit: str | None = None
    backup: str | None = None
    backup_ref: str | None = None
    backup_dir: Path | None = None
    venv: Path | None = None
    changed_files: Path | None = None
    performer: str = ""
    rehearsal: int | None = None
    contract_migrations: str = ""  # those of the second half, as deploy.yaml lists them
    status: str | None = None
    error: str | None = None

    def variables(self, stage: str) -> dict[str, str]:
        """All of them, the unknown ones empty: a script with `set -u` can name each."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        texts = {f"GITDEPLOY_{k.upper()}": "" if v is None else str(v).replace("\0", "") for k, v in values.items()}
        said = {"GITDEPLOY_SENTENCE": render(self.sentence()).replace("\0", ""), "GITDEPLOY_LANG": spoken()}
        return {"GITDEPLOY_STAGE": stage, **texts, **said}

    def sentence(self) -> str:
        """What the deployment is or how it failed, for whoever is told of it by a hook."""
        if self.error:
            status = _STATUSES.get(self.status or "", (self.status or "").replace("_", " "))
            return tr("{app}: {status}. {error}", app=self.app, status=status, error=self.error)
        return tr(
            "{app}: {action} from {before} to {after}, by {performer}",
            app=self.app,
            action=_ACTIONS.get(self.action, self.action),
            before=self.from_version or "?",
            after=self.to_tag or self.to_version or (self.to_commit or "")[:8],
            performer=self.performer,
        )


def find_hooks(root: Path, hooks: HooksConfig, stage: str) -> tuple[Hook, ...]:
    """The hooks of STAGE as they are on disk now, in the order in which they run. Never raises for a broken one: its
    `problem` says what is wrong with it."""
    commands = tuple(
        Hook(stage, redact(clean(command, limit=80)), ("/bin/sh", "-c", command)) for command in hooks.commands(stage)
    )
    return commands if hooks.dir is None else (*commands, *_on_disk(root, root / hooks.dir, stage))


def _on_disk(root: Path, folder: Path, stage: str) -> Iterator[Hook]:
    if os.path.lexists(folder / stage):
        yield _hook(root, folder / stage, stage)
    several = folder / f"{stage}.d"
    try:
        names = sorted(os.listdir(several))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        name = path_text(os.path.relpath(several, root))
        yield Hook(
            stage,
            name,
            (),
            several,
            problem=tr("{name} can't be read: {strerror}.", name=name, strerror=error.strerror),
        )
        return
    for name in names:
        if not _NEVER.fullmatch(name):
            yield _hook(root, several / name, stage)


def _hook(root: Path, path: Path, stage: str) -> Hook:
    name = path_text(os.path.relpath(path, root))
    try:
        status = path.stat()
    except OSError as error:
        why = (
            tr("is a link that leads nowhere")
            if path.is_symlink()
            else tr("can't be looked at: {strerror}", strerror=error.strerror)
        )
        return Hook(stage, name, (str(path),), path, problem=tr("{name} {why}.", name=name, why=why))
    problem = _problem(root, path, name, status) or _stranger(root, path, name, status)
    return Hook(
        stage, name, (str(path),), path, owner.user_name(status.st_uid), stat.filemode(status.st_mode)[1:], problem
    )


def _problem(root: Path, path: Path, name: str, status: os.stat_result) -> str | None:
    """Why the file can't be run as a hook, in words that say what to type; None where it can."""
    real = os.path.realpath(path)
    if not real.startswith(os.path.realpath(root) + "/"):
        return tr(
            "{name} is a link that leaves the checkout (to {real}); copy the file instead.",
            name=name,
            real=path_text(real),
        )
    if path.is_symlink():
        return linked(name)
    if stat.S_ISDIR(status.st_mode):
        where = tr("; several hooks belong in {name}.d", name=name) if path.name in STAGES else ""
        return tr("{name} is a folder, not an executable file{where}.", name=name, where=where)
    if not stat.S_ISREG(status.st_mode):
        return tr("{name} is not a regular file.", name=name)
    if not status.st_mode & 0o111:
        return not_executable(name)
    try:
        with open(path, "rb") as file:
            begin = file.read(512)
    except OSError as error:
        return tr("{name} can't be read: {strerror}.", name=name, strerror=error.strerror)
    return _bad_start(root, name, begin)


def _stranger(root: Path, path: Path, name: str, status: os.stat_result) -> str | None:
    """A hook runs as the checkout's owner: who else can write it would decide what that user does."""
    trusted = (0, root.stat().st_uid)
    for place, found in ((name, status), (path_text(os.path.relpath(path.parent, root)), path.parent.stat())):
        if found.st_uid not in trusted:
            user = owner.user_name(trusted[1])
            return tr(
                "{place} belongs to {owner}, and {user} would run it: chown {to} {file}",
                place=place,
                owner=owner.user_name(found.st_uid),
                user=user,
                to=user_word(trusted[1]),
                file=shell_word(place),
            )
    return None


def stage_of(folder: str, path: str) -> str | None:
    """The stage that the file PATH would be a hook of, were FOLDER the one of hooks; None where of none."""
    inside = path.removeprefix(f"{folder}/")
    if inside == path:
        return None
    first, _, name = inside.partition("/")
    stage = first.removesuffix(".d") if name else first
    if stage not in STAGES or (name and (not first.endswith(".d") or "/" in name or _NEVER.fullmatch(name))):
        return None
    return stage


def linked(name: str) -> str:
    """What is said of a hook that is a link: it may lead to what no release has."""
    return tr("{name} is a symbolic link; copy the file instead.", name=name)


def not_executable(name: str) -> str:
    """What is said of a hook without the right to be run."""
    word = shell_word(name)
    return tr(
        "{name} is not executable: chmod +x {word} (and git update-index --chmod=+x {word}).", name=name, word=word
    )


def _bad_start(root: Path, name: str, begin: bytes) -> str | None:
    if begin.startswith(b"\x7fELF"):
        return None
    if begin.startswith(b"\xef\xbb\xbf"):
        return tr(
            "{name} begins with a byte order mark, so its #! line is not seen; save it as UTF-8 without BOM.", name=name
        )
    if not begin.startswith(b"#!"):
        return tr(
            "{name} has no #! line, so the system can't run it; its first line should be #!/bin/sh or the like.",
            name=name,
        )
    first = begin.partition(b"\n")[0]
    if first.endswith(b"\r"):
        return tr(
            "{name} has Windows line ends (CRLF), so its interpreter is not found: sed -i 's/\\r$//' {name}", name=name
        )
    words = first[2:].split()
    if not words:
        return tr("{name} has an empty #! line.", name=name)
    interpreter = os.fsdecode(words[0])
    if not os.path.exists(os.path.join(root, interpreter)):
        return tr(
            "{name} wants the interpreter {interpreter}, which does not exist.",
            name=name,
            interpreter=path_text(interpreter),
        )
    return None


def run_hooks(
    hooks: Iterable[Hook],
    context: HookContext,
    *,
    stage: str,
    timeout: float,
    secrets: Iterable[str] = (),
    caller: Mapping[str, str] | None = None,
    on_line: Callable[[str], object] | None = None,
    around: Callable[[Sequence[str]], Sequence[str]] = list,
    memory: int = 0,
) -> int:
    """Run HOOKS one after the other and return how many ran.

    timeout: seconds for each. secrets: names of environment variables that no hook gets, beside gitdeploy's own.
    caller: the environment that they are started from (default: ours). around: the words that a hook's are run as, which keep it
    apart from what is live; memory: bytes that it may have mapped (0: no limit).
    Raises `HookFailed` for the first that fails; `Interrupted` when a signal came (the hook is ended first).
    """
    uid = context.root.stat().st_uid
    environment = hook_environment(context, stage, uid=uid, secrets=secrets, caller=caller)
    ran = 0
    for hook in hooks:
        if hook.problem:
            raise HookFailed(hook.problem)
        _run(hook, context.root, environment, timeout, around(owner.command_as(hook.argv, uid)), on_line, memory)
        ran += 1
    return ran


def hook_environment(
    context: HookContext, stage: str, *, uid: int, secrets: Iterable[str] = (), caller: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The caller's environment (default: ours) without tokens; the venv first in PATH; `GITDEPLOY_*`.

    Where root runs the hooks of another user's app, root's own variables stay with root: the child's could be read by
    that user in /proc.
    """
    if owner.must_drop(uid):
        environment = environment_.clean_environment(owner.variables(uid))
        environment.pop("SSH_AUTH_SOCK", None)
    else:
        environment = _without_tokens(dict(os.environ if caller is None else caller), frozenset(secrets))
    path = environment.get("PATH") or environment_.STANDARD_PATH
    if context.venv is not None:
        environment["VIRTUAL_ENV"] = str(context.venv)
        environment["PATH"] = f"{context.venv}/bin:{path}"
    else:
        environment.pop("VIRTUAL_ENV", None)
        environment["PATH"] = path
    environment.update(context.variables(stage))
    return environment


def _without_tokens(environment: dict[str, str], secrets: frozenset[str]) -> dict[str, str]:
    """Also without any other variable that holds the very same token."""
    names = {name for name in environment if name in secrets or _TOKEN_NAME.fullmatch(name)}
    values = {environment[name] for name in names if len(environment[name]) >= 8}
    return {
        name: value
        for name, value in environment.items()
        if name not in names and value not in values and not _MISLEADING.fullmatch(name)
    }


def _run(
    hook: Hook,
    root: Path,
    environment: Mapping[str, str],
    timeout: float,
    words: Sequence[str],
    on_line: Callable[[str], object] | None,
    memory: int,
) -> None:
    last: deque[str] = deque(maxlen=LOOKED_THROUGH)

    def line(said: str) -> None:
        said = sentence_in(said)
        last.append(said)
        if on_line:
            on_line(said)

    before = root.stat()
    done = process.run(
        words,
        cwd=root,
        env=environment,
        timeout=timeout,
        on_line=line,
        keep=_KEPT_OUTPUT,
        marked=True,
        memory=memory,
    )
    try:
        now = root.stat()
    except OSError:
        now = None
    if now is None or (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
        raise HookFailed(
            tr("{hook} removed or replaced the checkout {root} itself.", hook=hook.name, root=path_text(str(root))),
            tr("A hook may change files in the checkout, but not the folder."),
        )
    if done.ok:
        return
    ending = (
        tr("took longer than {timeout}, ended with all it had started", timeout=duration_text(timeout))
        if done.timed_out
        else done.ending
    )
    lines = list(last)
    told = telling_line(lines)
    shown = telling_lines(lines, _LAST_LINES)
    raise HookFailed(
        tr("{hook} failed ({ending})", hook=hook.name, ending=ending)
        + (tr(": {told}", told=told) if told else tr("; it said nothing.")),
        tr("Fix the hook, or give it more time: hooks.timeout in deploy.yaml") if done.timed_out else "",
        details=tuple(shown[:-1] if shown[-1:] == [told] else shown),
    )
