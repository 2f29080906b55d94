"""The program git: where it is, whether it is new enough, how long it may take."""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment as environment_
from gitdeploy.system import process
from gitdeploy.system.memory import share_of_memory

MINIMUM = (2, 25)
FSYNC_SINCE = (2, 36)  # knows core.fsync, and warns of core.fsyncObjectFiles, which was before it (git-config(1))
SHORT = 60.0  # seconds: a command that only reads or writes a few objects
LONG = 600.0  # seconds: one that writes many files


@cache
def program() -> str:
    """The absolute path of git, found and asked for its version once a process. Raises `DeploymentFailed` where there
    is none or it is too old."""
    found = environment_.which("git")
    if found is None:
        raise DeploymentFailed("git is not installed.", tr("Install it: apt-get install git"))
    git_version(found)
    return found


@cache
def git_version(git: str) -> tuple[int, ...]:
    """The version of the program GIT, (2, 39, 5). Raises `DeploymentFailed` where it is older than 2.25."""
    done = process.run([git, "version"], cwd="/", env=environment_.clean_environment(), timeout=SHORT)
    found = re.search(r"(\d+(?:\.\d+)+)", done.check("git version").text)
    version = tuple(int(part) for part in found[1].split(".")) if found else (0,)
    if version < MINIMUM:
        raise DeploymentFailed(
            tr(
                "git {version} is too old: gitdeploy needs {major}.{minor} or newer.",
                version=".".join(map(str, version)),
                major=MINIMUM[0],
                minor=MINIMUM[1],
            ),
            tr("Upgrade git."),
        )
    return version


def git_memory(common_dir: Path) -> int:
    """Bytes that a git on the repository COMMON_DIR may map: its packs, twice, beside its share of the machine's memory."""
    packs = common_dir / "objects" / "pack"
    try:
        return _with_packs(str(packs), packs.stat().st_mtime_ns)
    except OSError:
        return share_of_memory()


@lru_cache(maxsize=16)
def _with_packs(folder: str, _changed: int) -> int:
    return share_of_memory() + 2 * sum(entry.stat().st_size for entry in os.scandir(folder))


def git_environment() -> dict[str, str]:
    """Of every git command. Settings of the user and the system apply, wherever the caller has them."""
    environment = environment_.clean_environment(
        {
            "LC_ALL": "C",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
            "GIT_AUTHOR_NAME": "gitdeploy",
            "GIT_AUTHOR_EMAIL": "gitdeploy@localhost",
            "GIT_COMMITTER_NAME": "gitdeploy",
            "GIT_COMMITTER_EMAIL": "gitdeploy@localhost",
        }
    )
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        if os.environ.get(name):
            environment[name] = os.environ[name]
    if "HOME" not in environment:  # a system service of root's has none, and so would know no ~/.gitconfig
        with suppress(KeyError):
            environment["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    return environment
