"""A small repository of plain trees, as the app of a site."""

from __future__ import annotations

from support.checkouts import checkout, empty_repository

__all__ = ["checkout", "empty_repository"]
