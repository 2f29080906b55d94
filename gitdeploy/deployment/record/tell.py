"""Notifications of a deployment: within their time limit, never a reason to fail.

What is to be told is in the journal (`notify`) before the deployment ends, and `notified` once it was sent: whatever is
killed in between, the next command sends what is owed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.config import Config
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import heard, said, tr
from gitdeploy.text import clean

if TYPE_CHECKING:
    from gitdeploy.deployment.record.work import Work
    from gitdeploy.site.site import Site
    from gitdeploy.state import Database

_TITLES = {
    "started": tr("deployment begun"),
    "succeeded": tr("deployed"),
    "rolled_back": tr("rolled back"),
    "failed": tr("deployment failed"),
}


def owe(work: Work, config: Config, event: str, sentence: str, *, error: str = "") -> None:
    """Put down that people are to be told of EVENT, once a deployment: one of `gitdeploy.notify.EVENTS`."""
    if not config.notify:
        return
    from gitdeploy.notify import wanted

    try:
        if wanted(config.notify, event) and not _owed_before(work, event):
            data = {
                **said(sentence, "sentence"),
                **said(error, "error"),
                "from": work.origin.name,
                "to": work.target.name,
            }
            work.journal.write("notify", event, data)
    except GitDeployError as failure:
        work.journal.line(tr("Notification: {message}", message=failure.message), "warning")


def _owed_before(work: Work, event: str) -> bool:
    return any((r.kind, r.step) == ("notify", event) for r in work.database.records(work.id))


def send_owed(site: Site, database: Database, config: Config, *, again: bool = False) -> None:
    """Send what is owed, of whatever deployment. AGAIN: what could not be sent stays owed (at boot, before there is a
    network), else it is given up with a line in the log."""
    if not config.notify:
        return
    from gitdeploy import notify as sending

    try:
        for deployment, event, facts in database.owed():
            message = sending.Message(
                event,
                site.name,
                tr("{site}: {titles}", site=site.name, titles=_TITLES.get(event, event)),
                heard(facts, "sentence"),
                clean(str(facts["from"])),
                clean(str(facts["to"])),
                clean(heard(facts, "error")),
                str(deployment),
                *sending.place_of(site.config, deployment),
            )
            problems = sending.send(config.notify, message, config.expand)
            for problem in problems:
                database.line(deployment, problem, "warning")
            if not (problems and again):
                database.write(deployment, "notified", event)
        database.flush_lines()
    except GitDeployError:
        return  # the journal can't be written just now: it stays owed


def notify(work: Work, config: Config, event: str, sentence: str, *, error: str = "") -> None:
    """Put down and send at once."""
    owe(work, config, event, sentence, error=error)
    work.database.flush_lines()
    send_owed(work.site, work.database, config)
