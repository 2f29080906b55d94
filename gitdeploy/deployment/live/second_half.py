"""The second half of the migrations (`hooks.migrate-after`): what only the new release can live with.

It runs once the release is final, so that nothing is undone where it fails: the release stays live, and that is said. The
journal has a record `second-half` before it begins and after it has ended; a later process reads there how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from gitdeploy import health
from gitdeploy.config import Config
from gitdeploy.deployment.record.engine import as_expected
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.errors import GitDeployError, Interrupted, SecondHalfFailed
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import heard, said, tr
from gitdeploy.services import open_services
from gitdeploy.site.app_environment import check_environment
from gitdeploy.site.second_half import COMMAND, Waiting, Why, forget_waiting, note_waiting
from gitdeploy.site.site import Site
from gitdeploy.system import faultpoints, interruption
from gitdeploy.system.durable import sync_file_system
from gitdeploy.versions import CodeState

RECORD = "second-half"
_PATIENCE = 5.0  # seconds in which one bad answer may be a hiccup


def waits(journal: Journal, config: Config, *, half: bool) -> bool:
    """Whether it is left to somebody: as deploy.yaml (CONFIG) or the command (HALF) says, and where nothing was restarted: the
    app may still run the old code, which could not live with it."""
    restarted = any((r.kind, r.step) == ("begin", "restart") for r in journal.database.records(journal.deployment))
    return config.hooks.contract == "later" or half or not restarted


def run_second_half(
    site: Site, journal: Journal, config: Config, release: CodeState, hooks: Callable[[], str]
) -> GitDeployError | None:
    """Run HOOKS, and ask the app of RELEASE (its CONFIG) afterwards; why it failed, None where it did not."""
    try:
        with journal.step(MIGRATE_AFTER) as shown:
            interruption.check()
            journal.write(RECORD, "", {"state": "begun"})
            faultpoints.point("apply migrate-after")
            shown.summary = hooks()
            sync_file_system(site.root)
            faultpoints.point("applied migrate-after")
            _require_healthy(site, config, release)
        journal.write(RECORD, "", {"state": "done"})
    except (GitDeployError, OSError) as error:
        cause = as_expected(error)
        with suppress(GitDeployError):  # the disk is full: for a later process it was interrupted
            journal.write(RECORD, "", {"state": "failed", **said(cause.message, "error")})
        return cause
    return None


def _require_healthy(site: Site, config: Config, release: CodeState) -> None:
    """The new release works on what the second half has made. Raises `SecondHalfFailed`."""
    end = time.monotonic() + _PATIENCE
    services = open_services(config.service, site.root)
    environment = check_environment(site, config) if config.health.command else None
    while True:
        bad = next(filter(None, (service.is_up() for service in services)), None) or health.check_once(
            config.health, expected_version=release.version, root=site.root, environment=environment
        )
        if bad is None:
            return
        if time.monotonic() > end:
            raise SecondHalfFailed(tr("its hooks ended well, and now the app is unhealthy: {bad}", bad=bad))
        interruption.sleep(config.health.interval)


def settle_second_half(journal: Journal, release: CodeState, *, later: bool) -> Waiting | None:
    """Put down how it stands with RELEASE, which is live and has such hooks; what waits, None where nothing does. LATER: they
    wait for somebody."""
    states = [record.data for record in journal.database.records(journal.deployment) if record.kind == RECORD]
    state = str(states[-1]["state"]) if states else "later" if later else "missed"
    if state == "done":
        forget_waiting(journal.database, release)
        return None
    ends: dict[str, Why] = {"later": "later", "failed": "failed", "missed": "missed"}
    error = heard(states[-1], "error") if state == "failed" else ""
    return note_waiting(journal.database, release, journal.deployment, ends.get(state, "interrupted"), error)


def error_of(waiting: Waiting, cause: GitDeployError | None, site: Site) -> GitDeployError | None:
    """What a deployment ends with that leaves WAITING: nothing where that is as it was asked for. CAUSE: what failed it."""
    if waiting.why == "later":
        return None
    name = waiting.release.name
    sentence = tr("{site} runs {release}. {waiting}", site=site.name, release=name, waiting=waiting.sentence)
    hint = tr(
        "{release} stays live: the release before it may not fit the database any more. Fix that, then: {command}\n"
        "Whole log: gitdeploy log {deployment}",
        release=name,
        command=COMMAND,
        deployment=waiting.deployment,
    )
    if isinstance(cause, Interrupted):
        return Interrupted(cause.signal_number, sentence, hint)
    return SecondHalfFailed(sentence, hint, details=cause.details if cause is not None else ())
