"""Running uv or pip for a generation that is not live yet, and judging what they did by what is on disk.

Neither's exit code proves anything (a base Python without its library, a `uv.toml` that names another target, a cut-off
install that is run again: all have ended with 0), so the result is looked at afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment as environment_
from gitdeploy.system import owner, process, progress
from gitdeploy.system.completed import Completed
from gitdeploy.venvs.bundled import pip_command
from gitdeploy.venvs.described import PYLOCK
from gitdeploy.venvs.requirements import Requirements
from gitdeploy.venvs.settings import InstallerSettings, VenvConfig
from gitdeploy.venvs.system import sees_system
from gitdeploy.venvs.uv import uv_program


class RequirementsFailed(DeploymentFailed):
    """The installer could not install what the release's requirements name."""

    fault = "release"


_SHOWN = 60  # characters of a line that says what an installer is at
LIMIT = 1800.0  # seconds of wall-clock: a dripping server never times out by itself
UMASK = 0o022
_KILLED_CHILD = re.compile(r"signal: 9\b|SIGKILL|died with signal 9|exit code: -9\b")  # as uv and pip say it
_BUILD_FAILED = re.compile(
    r"fatal error: \S+: No such file|command '\S+' failed|[Ff]ailed (?:to )?build|error: command|pg_config|build backend"
    r"|can't find (?:the )?Rust|cargo"
)
_UNREACHED = (
    "not found in the cache",
    "dns error",
    "name resolution",
    "connection refused",
    "network is unreachable",
    "no route to host",
)
_NETWORK_MARKS = ("error sending request", "connect", "dns", "timed out", "network", "failed to fetch")


class Installer(Struct, frozen=True):
    """Which program installs, and why it isn't uv where it isn't."""

    name: str
    reason: str = ""


def choose(config: VenvConfig, requirements: Requirements, settings: InstallerSettings, venv: Path) -> Installer:
    """uv, unless the configuration says pip or uv can't do what the files, pip's own settings or VENV ask for."""
    reason = ""
    if config.installer == "pip":
        reason = tr("venv.installer is pip")
    elif config.installer == "auto" and requirements.pip_only:
        reason = tr("uv can't do this: {pip_only}", pip_only=requirements.pip_only[0])
    elif config.installer == "auto" and settings.cannot_pass:
        reason = f"pip's setting `{settings.cannot_pass[0]}` can't be passed on to uv"
    elif _counts_the_systems(config, venv, requirements):
        reason = tr("the venv sees the system's packages (--system-site-packages), which uv doesn't count")
    return Installer("pip", reason) if reason else Installer("uv")


def _is_toml(root: str) -> bool:
    """Whether ROOT is a file that only uv can install from."""
    return root.endswith(".toml")


class _Run(Struct, frozen=True):
    """Everything that either installer is started with."""

    venv: Path
    folder: Path
    requirements: Requirements
    config: VenvConfig
    settings: InstallerSettings
    cache: Path
    on_line: Callable[[str], object]
    compiling: bool

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the operator sets for builds, and those that the files name and may have."""
        asked = set(self.requirements.variables).intersection(self.config.pass_env)
        named = {name: os.environ[name] for name in asked if name in os.environ}
        return {**named, **self.config.env}

    def heard(self, line: str) -> None:
        """A line of the installer's own: what it is at. pip names each package that it fetches."""
        progress.name(line.strip()[:_SHOWN])
        if line.startswith("Collecting "):
            progress.add(1, "packages")
        self.on_line(line)

    @property
    def path(self) -> str:
        return ":".join([*self.config.path_dirs, environment_.STANDARD_PATH])


def install(
    installer: Installer,
    venv: Path,
    folder: Path,
    requirements: Requirements,
    config: VenvConfig,
    settings: InstallerSettings,
    cache: Path,
    on_line: Callable[[str], object],
    *,
    compiling: bool = True,
) -> Installer:
    """Install what the files below FOLDER want into VENV; the installer that did it: where uv refuses and nothing says
    that it must be uv, pip tries. Raises `DeploymentFailed` with what the installer said last."""
    run = _Run(venv, folder, requirements, config, settings, cache, on_line, compiling)
    constraints = [word for root in requirements.constraints for word in ("-c", root)]
    for roots, alone in ((requirements.roots, False), (requirements.alone, True)):
        if roots:
            # Poetry, Pipenv, PDM and uv install a lock so too: nothing is added to it.
            whole = alone or requirements.locked
            files = [*(["--no-deps"] if whole else []), *(word for root in roots for word in ("-r", root))]
            with progress.of(tr("installing with {installer}", installer=installer.name), "packages"):
                installer = _install(installer, run, [*files, *([] if alone else constraints)], alone=alone)
    return installer


def _install(installer: Installer, run: _Run, files: Sequence[str], *, alone: bool) -> Installer:
    done = _uv(run, files, alone=alone) if installer.name == "uv" else _pip(run, files)
    if done.ok:
        return installer
    _refuse_killed(installer, done)
    if installer.name == "uv" and _pip_may_try(run, done) and (command := pip_command(run.venv)) is not None:
        run.on_line(
            tr(
                "uv refuses: {error_text}",
                error_text=done.error_text.splitlines()[-1].strip() if done.error_text else done.ending,
            )
        )
        run.on_line(tr("Trying with pip, which takes what uv doesn't."))
        if _pip(run, files, command).ok:
            return Installer("pip", "uv refused")
    built = _BUILD_FAILED.search(done.error_text)
    needs = tr("What the build of a package needs from the environment: venv.env and venv.path_dirs. ") if built else ""
    if run.requirements.itself:
        needs += tr("To leave the app's own install as it is: venv: {{self: false}}. ")
    hint = tr(
        "The live venv was not touched. {needs}Fix the requirements, or see the whole output: gitdeploy log",
        needs=needs,
    )
    if any(mark in done.error_text.lower() for mark in _UNREACHED):
        hint = tr(
            "The live venv was not touched. See that {user} reaches the package index (network, proxy, pip.conf), then run the "
            "command again.",
            user=owner.user_name(os.geteuid()),
        )
    raise RequirementsFailed(
        tr(
            "Installing the release's requirements failed ({ending}): {error_text}",
            ending=done.ending,
            error_text=done.error_text,
        ),
        hint,
    )


def _pip_may_try(run: _Run, done: Completed) -> bool:
    """Whether uv failed at something that pip may do otherwise: not for want of network or time."""
    low = done.error_text.lower()
    return (
        run.config.installer == "auto"
        and done.returncode > 0
        and not done.timed_out
        and not any(mark in low for mark in _NETWORK_MARKS)
        and not any(map(_is_toml, run.requirements.roots))
    )


def _refuse_killed(installer: Installer, done: Completed) -> None:
    """An installer that was killed says nothing itself; one whose compiler was killed says it in its own words."""
    if done.timed_out:
        return
    if done.returncode == -signal.SIGKILL:
        said = tr(
            "{installer} was killed (SIGKILL) while it installed the release's requirements", installer=installer.name
        )
    elif _KILLED_CHILD.search(done.error_text):
        said = tr("A program that {installer} ran to build a package was killed (SIGKILL)", installer=installer.name)
    else:
        return
    last = tr(" It said last: {error_text}", error_text=done.error_text) if done.error_text else ""
    raise DeploymentFailed(
        tr("{said}: most likely the server ran out of memory.{last}", said=said, last=last),
        tr(
            "The live venv was not touched. The kernel's log tells (journalctl -k, or dmesg: `Out of memory`). Make room in "
            "memory, or add swap, then run the command again."
        ),
    )


def _uv(run: _Run, files: Sequence[str], *, alone: bool) -> Completed:
    raw = [root for root in run.requirements.roots if _is_toml(root)]
    chosen = [word for extra in run.config.extras if raw for word in ("--extra", extra)]
    chosen += [word for root in raw for group in run.config.groups for word in ("--group", f"{root}:{group}")]
    words = [
        uv_program(), "pip", "install", "--no-config", "--python", str(run.venv / "bin" / "python"), "--link-mode", "copy",
        "--cache-dir", _uv_cache(run.settings, run.cache), *(["--compile-bytecode"] if run.compiling else []),
        "--color", "never", "--no-progress", *run.settings.uv_arguments,
        *(["--require-hashes"] if run.requirements.hashed and not alone else []), *run.config.extra_args, *chosen, *files,
    ]  # fmt: skip

    given = dict(run.settings.uv_environment)
    if run.requirements.locked or any(PYLOCK.fullmatch(os.path.basename(root)) for root in raw):
        given.pop("UV_CONSTRAINT", None)  # uv refuses the server's constraints beside a lock that says every version

    def attempt(*more: str) -> Completed:
        with progress.looking(_arriving(Path(_uv_cache(run.settings, run.cache)))):
            return process.run(
                [*words, *more],
                cwd=run.folder,
                env=environment_.clean_environment({**run.environment, **given}, path=run.path),
                timeout=LIMIT,
                on_line=run.heard,
                tied=True,
                marked=True,
                umask=UMASK,
            )

    done = attempt()
    low = done.error_text.lower()
    if not done.ok and not done.timed_out and "cache entry" in low and run.settings.uv_cache is None:
        # uv writes its cache without fsync: after a power cut there may be emptied files in it, which it never mends.
        run.on_line(tr("The package cache is damaged; it is made anew."))
        shutil.rmtree(run.cache / "uv", ignore_errors=True)
        done = attempt()
        low = done.error_text.lower()
    if done.returncode > 0 and not done.timed_out and any(mark in low for mark in _NETWORK_MARKS):
        run.on_line(tr("The package index can't be reached; trying with what is cached."))
        offline = attempt("--offline")
        return offline if offline.ok else done
    return done


def _arriving(cache: Path) -> Callable[[int], int]:
    """How many packages have come into uv's CACHE since now: it says nothing of them itself until all are there."""
    place = cache / "archive-v0"

    def count() -> int:
        try:
            return len(os.listdir(place))
        except OSError:
            return 0

    before = count()
    return lambda _pid: count() - before


def _counts_the_systems(config: VenvConfig, venv: Path, requirements: Requirements) -> bool:
    """Whether pip is taken because it counts the system's packages; where there is no pip, uv installs them once more."""
    if config.installer != "auto" or any(map(_is_toml, requirements.roots)):
        return False
    return sees_system(venv) and pip_command(venv) is not None


def _pip(run: _Run, files: Sequence[str], command: Sequence[str] | None = None) -> Completed:
    command = command or pip_command(run.venv)
    if command is None:
        raise DeploymentFailed(
            tr("pip is needed, and neither the venv nor its Python has one."),
            tr("Install it: apt-get install python3-venv, or set venv: {{installer: uv}}"),
        )
    return process.run(
        [
            *command, "install", "--no-input", "--disable-pip-version-check",
            "--no-warn-script-location", "--progress-bar", "off", *run.config.extra_args, *files,
        ],
        cwd=run.folder,
        env=environment_.clean_environment(
            {**run.environment, **run.settings.pip_environment, "PIP_CONFIG_FILE": os.devnull}, path=run.path
        ),
        timeout=LIMIT,
        on_line=run.heard,
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
        env=environment_.clean_environment({"UV_PYTHON_DOWNLOADS": "never"}),
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
        env=environment_.clean_environment(),
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
