"""Webhooks: a host says that something happened; all that it causes is a look at the source, and what `check.upgrade`
admits. Nothing that it says is believed."""

from __future__ import annotations

from flask import request

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.sources import parse_webhook
from gitdeploy.sources.webhooks import WebhookRefused
from gitdeploy.text import clean
from gitdeploy.web.access import access
from gitdeploy.web.answers import Answer, success
from gitdeploy.web.errors import NoSuchPage, TooManyTries
from gitdeploy.web.shared.panel import panel

SECRET = "GITDEPLOY_WEBHOOK_SECRET"  # noqa: S105  # the variable's name, in the environment or `.env`


def receive(source: str) -> Answer:
    """POST /upgrade/hooks/<source>: 202, also for a delivery that came before (which causes nothing)."""
    here = panel()
    address = access.network_of(request.remote_addr or "")
    wait = here.store.locked_out(tr("hook {address}", address=address), access.TRIES * 4, access.TRIES_WITHIN)
    if wait > 0:
        raise TooManyTries(wait)
    secret = here.app().site.config.secret(SECRET) or ""
    try:
        said = parse_webhook(clean(source, limit=40), dict(request.headers), request.get_data(), secret)
    except ConfigError as error:
        raise NoSuchPage(
            tr("No source `{source}` sends webhooks.", source=clean(source, limit=40)), tr("github, codeup, gitlab …")
        ) from error
    except WebhookRefused as error:
        if error.status == 401:
            here.store.count_failure(tr("hook {address}", address=address))
        raise
    if said.delivery is not None and not here.store.first_delivery(
        tr("{source} {delivery}", source=source, delivery=said.delivery)
    ):
        return Answer(success(message=tr("This delivery came before.")), 202)
    here.looking.soon(
        tr("webhook of {source}, from {remote_addr}", source=clean(source, limit=40), remote_addr=request.remote_addr)
    )
    return Answer(success(message="gitdeploy asks the source."), 202)
