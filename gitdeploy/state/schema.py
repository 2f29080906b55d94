"""The tables of state.db, and a row of its first."""

from __future__ import annotations

import json
from typing import Any

from gitdeploy.state.rows import DeploymentRow, who_said

SCHEMA = 1
TABLES = """
CREATE TABLE IF NOT EXISTS deployment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    status TEXT NOT NULL,
    performer TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    duration REAL,
    origin TEXT NOT NULL,
    target TEXT NOT NULL,
    backup TEXT,
    error TEXT,
    steps TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS record (
    deployment INTEGER NOT NULL REFERENCES deployment(id),
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_deployment ON record(deployment);
CREATE TABLE IF NOT EXISTS line (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment INTEGER NOT NULL,
    at TEXT NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS line_deployment ON line(deployment);
CREATE TABLE IF NOT EXISTS seen_tag (tag TEXT PRIMARY KEY, commit_id TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bad_release (commit_id TEXT PRIMARY KEY, tag TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
SELECT = (
    "SELECT id, action, status, performer, started_at, ended_at, duration, origin, target, backup, error, steps "
    "FROM deployment"
)


def deployment_row(row: tuple[Any, ...]) -> DeploymentRow:
    number, action, status, performer, started_at, ended_at, duration, origin, target, backup, error, steps = row
    return DeploymentRow(
        id=number,
        action=action,
        status=status,
        performer=who_said(performer),
        started_at=started_at,
        ended_at=ended_at,
        duration=duration,
        origin=json.loads(origin),
        target=json.loads(target),
        backup=backup,
        error=json.loads(error) if error else None,
        steps=tuple(json.loads(steps)),
    )
