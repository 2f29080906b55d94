"""Figures for Prometheus."""

from __future__ import annotations

from gitdeploy.web.answers import NoSuchPage


def figures() -> dict[str, object]:
    """GET /upgrade/metrics"""
    raise NoSuchPage("There is nothing at this address.")
