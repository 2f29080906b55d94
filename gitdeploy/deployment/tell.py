"""Notifications of a deployment: sent in the end, within their time limit, never a reason to fail."""

from __future__ import annotations

from gitdeploy.config import Config
from gitdeploy.deployment.session import Work
from gitdeploy.errors import GitDeployError


def notify(work: Work, config: Config, event: str, sentence: str) -> None:
    """Tell whoever `notify` in deploy.yaml names. Journalled before and after, so that a crash in between still tells
    people: recovery sends what has no `notified` record."""
    if not config.notify:
        return
    from gitdeploy import notify as sending

    site = work.site
    try:
        work.journal.write("notify", event, {"sentence": sentence})
        message = sending.Message(
            event=event, app=site.name, title=f"{site.name}: {event.replace('_', ' ')}", body=sentence
        )
        for problem in sending.send(config.notify, message, config.expand):
            work.journal.line(problem, "warning")
        work.journal.write("notified", event)
    except GitDeployError as error:
        work.journal.line(f"Notification: {error.message}", "warning")
