"""What settings of deploy.yaml mean together: each may be fine, and both not."""

from __future__ import annotations

from collections.abc import Mapping

from gitdeploy.config.document import Problem
from gitdeploy.config.model import Config
from gitdeploy.messages import tr


def check_together(config: Config, lines: Mapping[str, int]) -> list[Problem]:
    """The problems, each with the line of the key that it is about (LINES: by key, for those in the file)."""
    problems = []

    def problem(key: str, message: str) -> None:
        problems.append(Problem(lines.get(key, 0), tr("`{key}` {message}", key=key, message=message)))

    service = config.service
    kinds = service.kinds
    if service.stop and not (service.start or service.command):
        problem("service.stop", tr("needs `service.start` or `service.command`: what starts it again?"))
    if service.start and not (service.stop or service.command):
        problem("service.start", tr("needs `service.stop` or `service.command`: a restart is more than a start."))
    if service.pid and "command" not in kinds:
        problem("service.pid", tr("needs `service.command` or `service.start`, which starts that process."))
    if service.signal and not service.pidfile:
        problem("service.signal", tr("needs `service.pidfile`, which says whom the signal goes to."))
    if service.log and not {"pidfile", "command"} & set(kinds):
        problem(
            "service.log",
            tr("is for `service.pidfile` and `service.command`; what others said is asked of their manager."),
        )
    if service.stop_for_switch and (not kinds or "pidfile" in kinds or ("command" in kinds and not service.stop)):
        problem(
            "service.stop_for_switch",
            tr("needs services that can be stopped: systemd, supervisor, compose, or `command` with `stop`."),
        )
    git = config.git
    if git.verify == "ssh" and not git.allowed_signers:
        problem("git.verify", tr("is ssh, which needs `git.allowed_signers`: whose signatures count?"))
    if git.allowed_signers and git.verify != "ssh":
        problem("git.allowed_signers", tr("has a meaning only with `git.verify: ssh`."))
    if git.fingerprints and git.verify != "gpg":
        problem("git.fingerprints", tr("has a meaning only with `git.verify: gpg`."))
    backup = config.backup
    if len({len(each) in (40, 64) for each in backup.encrypt}) > 1:
        problem(
            "backup.encrypt",
            tr("must name recipients of age or of gpg, not of both: one program encrypts for all of them."),
        )
    source = config.source
    if source.agree and not source.fallback:
        problem("source.agree", tr("needs `source.fallback`: another source that could agree."))
    for name in config.venv.pass_env:
        if name in config.secret_names:
            problem(
                "venv.pass_env",
                tr("names {name}, which holds a secret of gitdeploy's own: no requirements get it.", name=name),
            )
    health = config.health
    if (health.version or health.headers or health.expect_body is not None) and not health.url:
        key = next(k for k in ("version", "headers", "expect_body") if getattr(health, k))
        problem(f"health.{key}", tr("needs `health.url`, whose answer it is about."))
    return problems
