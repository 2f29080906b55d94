"""One question to the app: a URL, a TCP port, a command."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from gitdeploy.config import HealthConfig
from gitdeploy.health.answer import Answer, connection_problem
from gitdeploy.messages import joined, tr
from gitdeploy.system import environment as environment_
from gitdeploy.system import owner, process
from gitdeploy.text import clean, duration_text, redact, sentence

ANSWER_LIMIT = 10.0  # seconds for one answer: an app's first one may take long
COMMAND_LIMIT = 60.0  # seconds for one run of `health.command`


def check_once(
    health: HealthConfig,
    *,
    expected_version: str | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Ask everything that HEALTH names one time. None where all is well (or nothing is named), else a sentence.

    root: the checkout, where `health.command` runs, as its owner (default: the working directory).
    environment: the app's variables, which it gets beside a clean environment.
    """
    bad = ask(health, expected_version, ANSWER_LIMIT, root, environment).bad
    return sentence(bad) if bad else None


def ask(
    health: HealthConfig,
    version: str | None,
    limit: float,
    root: Path | None,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Every URL, port and command of HEALTH, until the first that is not well. limit: seconds for each answer."""
    seen = []
    for url in health.url:
        from gitdeploy.health.web import ask_url

        shown = redact(clean(url))
        answer = ask_url(url, health, version, limit)
        if answer.bad:
            return Answer(tr("{shown}: {bad}", shown=shown, bad=answer.bad))
        seen.append(tr("{shown}: {seen}", shown=shown, seen=answer.seen))
    for address in health.tcp:
        if bad := _ask_tcp(address, limit):
            return Answer(tr("{address}: {bad}", address=address, bad=bad))
        seen.append(tr("{address}: accepts connections", address=address))
    if health.command:
        if bad := _ask_command(health.command, min(COMMAND_LIMIT, health.timeout), root, environment or {}):
            return Answer(bad)
        seen.append(tr("{shown}: exit code 0", shown=_shown(health.command)))
    return Answer(None, joined("; ", seen))


def _ask_tcp(address: str, limit: float) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=limit).close()
    except OSError as error:
        return connection_problem(error, limit)
    return None


def _ask_command(command: str, limit: float, root: Path | None, environment: Mapping[str, str]) -> str | None:
    folder = root or Path.cwd()
    uid = folder.stat().st_uid
    done = process.run(
        owner.command_as(["/bin/sh", "-c", command], uid),
        cwd=folder,
        env=environment_.clean_environment({**environment, **owner.variables(uid)}),
        timeout=limit,
        keep=64 * 1024,
        tied=True,
    )
    if done.ok:
        return None
    said = done.error_text.splitlines()
    ending = tr("no end in {limit}", limit=duration_text(limit)) if done.timed_out else done.ending
    return tr("{shown}: {ending}", shown=_shown(command), ending=ending) + (
        tr(", {said}", said=said[-1]) if said else ""
    )


def _shown(command: str) -> str:
    return redact(clean(command, limit=60))
