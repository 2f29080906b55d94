"""Webhooks: a host says that something happened; all that it causes is a look at the source, and what `check.upgrade`
admits. Nothing that it says is believed."""

from __future__ import annotations

import re

from flask import request

from gitdeploy.checkout.remote_names import remote_url
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.sources import parse_webhook
from gitdeploy.sources.addresses import kind_of, read_address
from gitdeploy.sources.webhooks import WebhookRefused
from gitdeploy.text import clean
from gitdeploy.web.access import access
from gitdeploy.web.answers import Answer, success
from gitdeploy.web.errors import NoSuchPage
from gitdeploy.web.shared.panel import panel

SECRET = "GITDEPLOY_WEBHOOK_SECRET"  # noqa: S105  # the variable's name, in the environment or `.env`


def receive(source: str) -> Answer:
    """POST /upgrade/hooks/<source>: 202, also for a delivery that came before (which causes nothing)."""
    here = panel()
    address = access.network_of(request.remote_addr or "")
    kind = clean(source, limit=40)
    try:
        said = parse_webhook(kind, dict(request.headers), request.get_data(), secret_of(kind, here.app().site))
    except ConfigError as error:
        raise NoSuchPage(tr("No source `{kind}` sends webhooks.", kind=kind), "github, codeup, gitlab …") from error
    except WebhookRefused as error:
        if error.status == 401:
            access.count_wrong(f"hook {address}", access.TRIES * 4, here.store)
        raise
    if said.delivery is not None and not here.store.first_delivery(f"{kind} {said.delivery}"):
        return Answer(success(message=tr("This delivery came before.")), 202)
    here.looking.soon(f"webhook of {kind}, from {request.remote_addr}")
    return Answer(success(message=tr("gitdeploy asks the source.")), 202)


def secret_of(kind: str, site: Site) -> str:
    """The secret by which a webhook of KIND proves itself; empty where none is set. A secret opens one kind: that of its
    own variable, or without one that of the app's first source. Raises `ConfigError` for a value that no header can hold.
    """
    own = site.config.secret(f"{SECRET}_{re.sub('[^A-Z0-9]', '_', kind.upper())}")
    return own or (kind == _first_kind(site) and site.config.secret(SECRET)) or ""


def _first_kind(site: Site) -> str | None:
    """What kind of host announces releases: as deploy.yaml says, else by the name of the remote's host."""
    source = site.config.source
    if source.type not in (None, "git"):
        return source.type
    address = read_address(remote_url(site.repository, source.remote) or source.remote)
    return kind_of(address) if address is not None else None
