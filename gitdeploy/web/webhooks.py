"""Webhooks: a host says that something happened; all that it causes is a look at the source."""

from __future__ import annotations

from gitdeploy.web.answers import NoSuchPage


def receive(**_values: str) -> dict[str, object]:
    """POST /upgrade/hooks/<source>"""
    raise NoSuchPage("There is nothing at this address.")
