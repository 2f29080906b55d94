"""Running uv or pip for a generation that is not live yet, and judging what they did by what is on disk.

Neither's exit code proves anything (a base Python without its library, a `uv.toml` that names another target, a cut-off
install that is run again: all have ended with 0), so the result is looked at afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gitdeploy import process
from gitdeploy.errors import DeploymentFailed
from gitdeploy.process import Completed
from gitdeploy.venvs.requirements import Requirements
from gitdeploy.venvs.settings import InstallerSettings, VenvConfig


class RequirementsFailed(DeploymentFailed):
    """The installer could not install what the release's requirements name."""

    fault = "release"


LIMIT = 1800.0  # seconds of wall-clock: a dripping server never times out by itself
UMASK = 0o022
_KILLED_CHILD = re.compile(r"signal: 9\b|SIGKILL|died with signal 9|exit code: -9\b")  # as uv and pip say it
_NETWORK_MARKS = ("error sending request", "connect", "dns", "timed out", "network", "failed to fetch")


class Installer(Struct, frozen=True):
    """Which program installs, and why it isn't uv where it isn't."""

    name: str
    reason: str = ""


def choose(config: VenvConfig, requirements: Requirements, settings: InstallerSettings, venv: Path) -> Installer:
    """uv, unless the configuration says pip or uv can't do what the files or pip's own settings ask for.

    Raises `DeploymentFailed` where pip is needed and the venv has none.
    """
    reason = ""
    if config.installer == "pip":
        reason = "venv.installer is pip"
    elif config.installer == "auto" and requirements.pip_only:
        reason = f"uv can't do this: {requirements.pip_only[0]}"
    elif config.installer == "auto" and settings.cannot_pass:
        reason = f"pip's setting `{settings.cannot_pass[0]}` can't be passed on to uv"
    if not reason:
        return Installer("uv")
    if not any(venv.glob("lib/python*/site-packages/pip/__init__.py")):
        raise DeploymentFailed(
            f"pip is needed ({reason}), and the venv has no pip.", "Install it: venv/bin/python -m ensurepip"
        )
    return Installer("pip", reason)


def uv_program() -> str:
    """uv's program, as its wheel brings it. Raises `DeploymentFailed` where it is missing."""
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        found = process.which("uv")
        if found is None:
            raise DeploymentFailed(
                "uv is not installed beside gitdeploy.", "Install gitdeploy again, with its dependencies."
            ) from error
        return found


def install(
    installer: Installer,
    venv: Path,
    folder: Path,
    requirements: Requirements,
    config: VenvConfig,
    settings: InstallerSettings,
    cache: Path,
    on_line: Callable[[str], None],
    *,
    compiling: bool = True,
) -> None:
    """Install what the files below FOLDER want into VENV. Raises `DeploymentFailed` with what the installer said last."""
    if not requirements.roots:
        return
    files = [word for root in requirements.roots for word in ("-r", root)]
    files += [word for root in requirements.constraints for word in ("-c", root)]
    environment = {name: os.environ[name] for name in requirements.variables if name in os.environ}
    if installer.name == "uv":
        done = _uv(
            venv, folder, files, requirements, config, settings, cache, environment, on_line, compiling=compiling
        )
    else:
        done = _pip(venv, folder, files, config, settings, environment, on_line)
    if not done.ok:
        _refuse_killed(installer, done)
        raise RequirementsFailed(
            f"Installing the release's requirements failed ({done.ending}): {done.error_text}",
            "The live venv was not touched. Mend the requirements, or see the whole output: gitdeploy log",
        )


def _refuse_killed(installer: Installer, done: Completed) -> None:
    """An installer that was killed says nothing itself; one whose compiler was killed says it in its own words."""
    if done.timed_out:
        return
    if done.returncode == -signal.SIGKILL:
        said = f"{installer.name} was killed (SIGKILL) while it installed the release's requirements"
    elif _KILLED_CHILD.search(done.error_text):
        said = f"A program that {installer.name} ran to build a package was killed (SIGKILL)"
    else:
        return
    last = f" It said last: {done.error_text}" if done.error_text else ""
    raise DeploymentFailed(
        f"{said}: most likely the server ran out of memory.{last}",
        "The live venv was not touched. The kernel's log tells (journalctl -k, or dmesg: `Out of memory`). Make room in "
        "memory, or add swap, then run the command again.",
    )


def _uv(
    venv: Path,
    folder: Path,
    files: Sequence[str],
    requirements: Requirements,
    config: VenvConfig,
    settings: InstallerSettings,
    cache: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    *,
    compiling: bool,
) -> Completed:
    words = [
        uv_program(), "pip", "install", "--no-config", "--python", str(venv / "bin" / "python"), "--link-mode", "copy",
        "--cache-dir", _uv_cache(settings, cache), *(["--compile-bytecode"] if compiling else []), "--color", "never", "--no-progress",
        *settings.uv_arguments, *(["--require-hashes"] if requirements.hashed else []), *config.extra_args, *files,
    ]  # fmt: skip

    def run(*more: str) -> Completed:
        return process.run(
            [*words, *more],
            cwd=folder,
            env=process.clean_environment({**environment, **settings.uv_environment}),
            timeout=LIMIT,
            on_line=on_line,
            tied=True,
            marked=True,
            umask=UMASK,
        )

    done = run()
    low = done.error_text.lower()
    if not done.ok and not done.timed_out and "cache entry" in low and settings.uv_cache is None:
        # uv writes its cache without fsync: after a power cut there may be emptied files in it, which it never mends.
        on_line("The package cache is damaged; it is made anew.")
        shutil.rmtree(cache / "uv", ignore_errors=True)
        done = run()
        low = done.error_text.lower()
    if done.returncode > 0 and not done.timed_out and any(mark in low for mark in _NETWORK_MARKS):
        on_line("The package index can't be reached; trying with what is cached.")
        offline = run("--offline")
        return offline if offline.ok else done
    return done


def _pip(
    venv: Path,
    folder: Path,
    files: Sequence[str],
    config: VenvConfig,
    settings: InstallerSettings,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> Completed:
    return process.run(
        [
            str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
            "--no-warn-script-location", "--progress-bar", "off", *config.extra_args, *files,
        ],
        cwd=folder,
        env=process.clean_environment({**environment, **settings.pip_environment, "PIP_CONFIG_FILE": os.devnull}),
        timeout=LIMIT,
        on_line=on_line,
        tied=True,
        marked=True,
        umask=UMASK,
    )  # fmt: skip


@contextmanager
def introduced(installer: Installer, venv: Path, settings: InstallerSettings, cache: Path) -> Iterator[None]:
    """While the block runs, uv gets to know VENV's interpreter, which may still miss packages: that takes it longer than
    to install one. Whether it worked doesn't matter: uv asks again for what isn't in its cache."""
    if installer.name != "uv":
        yield
        return
    with process.alongside(
        [uv_program(), "python", "find", "--no-config", "--no-project", "--cache-dir", _uv_cache(settings, cache),
         str(venv / "bin" / "python")],
        cwd="/",
        env=process.clean_environment({"UV_PYTHON_DOWNLOADS": "never"}),
        timeout=60,
    ):  # fmt: skip
        yield


@contextmanager
def conflicts(venv: Path, settings: InstallerSettings, cache: Path) -> Iterator[Callable[[], list[str]]]:
    """While the block runs, `pip check` does; yields a function that waits for what it says: packages whose dependencies
    don't fit each other. Warnings, not failures."""
    with process.alongside(
        [uv_program(), "pip", "check", "--no-config", "--python", str(venv / "bin" / "python"), "--color", "never",
         "--cache-dir", _uv_cache(settings, cache)],
        cwd="/",
        env=process.clean_environment(),
        timeout=60,
        output=True,
    ) as finish:  # fmt: skip
        yield lambda: _conflicts_in(finish())


def _conflicts_in(done: Completed) -> list[str]:
    if done.returncode != 1:
        return []
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.startswith("The package")]
    return lines[:10]


def _uv_cache(settings: InstallerSettings, cache: Path) -> str:
    return settings.uv_cache or str(cache / "uv")
