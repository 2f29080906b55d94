"""An upgrade that nobody asked for: `watch` found a release that may be installed."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from gitdeploy.deployment.flow.dry_run import look_through
from gitdeploy.deployment.flow.rehearse import rehearse
from gitdeploy.deployment.flow.session import open_session
from gitdeploy.deployment.flow.through import require_admitted, upgrade_through
from gitdeploy.deployment.flow.upgrade import upgrade
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.work import Caller, Result
from gitdeploy.messages import tr
from gitdeploy.site.site import Site


def upgrade_watched(site: Site, tag: str, caller: Caller) -> Result | str:
    """Upgrade to the release TAG by way of those that may not be skipped; where `check.rehearse` wants it, to the first of them
    alone, and only after a rehearsal of it has passed. A sentence where it waits instead.

    Raises what fails the rehearsal or the upgrade, `PolicyError` where `check` of deploy.yaml does not admit that first one.
    """
    if not site.config.check.rehearse:
        with open_session(site, caller) as session:
            return upgrade_through(session, tag, Options())
    plan = look_through(site, tag, Options())
    first = plan.target.tag if plan is not None and plan.target.tag is not None else tag
    known = plan.rehearsal if plan is not None else None
    if known is not None and not known.stale and not known.rehearsal.passed:
        return tr("{tag} waits: {sentence}. Sooner: gitdeploy rehearse {tag}", tag=first, sentence=known.sentence())
    if known is None or known.stale:
        with open_session(site, replace(caller, command=f"gitdeploy watch: rehearse {first}")) as session:
            if first != tag:
                require_admitted(session, first)
            rehearse(session, first, Options())
        window = site.config.check.window
        if window is not None and not window.contains(datetime.now(UTC)):
            return tr("{tag} passed its rehearsal and waits for the window {window}.", tag=first, window=window)
    with open_session(site, caller) as session:
        if first != tag:
            require_admitted(session, first)
        return upgrade(session, first, Options())
