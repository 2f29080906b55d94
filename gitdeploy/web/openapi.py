"""openapi.json: what the API takes and answers, for programs."""

from __future__ import annotations

from typing import Any


def document() -> dict[str, Any]:
    """GET /upgrade/api/openapi.json"""
    return {"openapi": "3.1.0", "info": {"title": "gitdeploy", "version": "1"}, "paths": {}}
