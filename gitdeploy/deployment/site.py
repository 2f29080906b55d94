"""Everything that belongs to one app, opened once: configuration, checkout, state, venv, sources."""

from __future__ import annotations
