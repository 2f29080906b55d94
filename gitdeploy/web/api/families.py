"""What the metrics say. Loaded when they are asked for: prometheus_client takes a while."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gitdeploy.app import App
from gitdeploy.messages import tr
from gitdeploy.state import DeploymentRow


def exposition(app: App, listed: str | None = None) -> tuple[bytes, str]:
    """The figures of APP now, and their content type. LISTED: what the label `app` says instead of the app's own name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(app, listed))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def together(texts: Iterable[tuple[str, str]]) -> tuple[bytes, str]:
    """The figures of several apps as one exposition: TEXTS are (name, what its own process says), of which only families of
    ours count, each sample under that name."""
    families: dict[str, Metric] = {}
    for name, text in texts:
        with suppress(ValueError):
            for family in text_string_to_metric_families(text):
                if not family.name.startswith("gitdeploy_"):
                    continue
                same = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                if same.type == family.type:
                    same.samples += [
                        sample._replace(labels={**sample.labels, "app": name}) for sample in family.samples
                    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read(list(families.values())))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Read:
    """Figures that were read already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class Figures:
    """Reads everything anew for each scrape."""

    def __init__(self, app: App, listed: str | None = None) -> None:
        self.app = app
        self.name = listed or app.site.name

    def collect(self) -> Iterator[Any]:
        app, name = self.app, self.name
        live = app.live()
        labels = {"app": name, "version": live.version or "", "tag": live.tag or "", "commit": live.commit}
        yield InfoMetricFamily("gitdeploy_live", tr("What is live."), value=labels)

        def gauge(what: str, about: str, value: float | None) -> Iterator[Any]:
            if value is not None:
                family = GaugeMetricFamily(f"gitdeploy_{what}", about, labels=["app"])
                family.add_metric([name], value)
                yield family

        known = app.last_check()
        yield from gauge(
            "update_available", "1 where a newer release is known.", known.update_available if known else None
        )
        yield from gauge(
            "last_check_age_seconds",
            "Seconds since the source was last asked.",
            max(0.0, time.time() - (_seconds(known.checked_at) or 0)) if known else None,
        )
        going_on = app.going_on()
        yield from gauge("deployment_running", "1 while a deployment runs.", going_on.holder is not None)
        yield from gauge("deployments_held", "1 where deployments are paused.", going_on.paused is not None)
        rows = app.deployments(-1)
        yield from self._deployments(name, rows)
        ended = next(
            (
                row
                for row in rows
                if not row.running and row.action not in ("prepare", "rehearse") and row.status != "refused"
            ),
            None,
        )
        if ended is not None:
            yield from self._last(name, ended)
        number, size = _backups(app)
        yield from gauge("backups", "Backups.", number)
        yield from gauge("backups_size_bytes", "Bytes on disk that deleting all backups would free.", size)

    def _deployments(self, name: str, rows: list[DeploymentRow]) -> Iterator[Any]:
        family = CounterMetricFamily(
            "gitdeploy_deployments", tr("Deployments, by how they ended."), labels=["app", "action", "status"]
        )
        for (action, status), number in sorted(Counter((row.action, row.status) for row in rows).items()):
            family.add_metric([name, action, status], number)
        yield family

    def _last(self, name: str, row: DeploymentRow) -> Iterator[Any]:
        words = [name, row.action, row.status]
        for what, about, value in (
            ("succeeded", tr("1 where the last deployment succeeded."), row.status in ("succeeded", "nothing_to_do")),
            ("duration_seconds", tr("How long the last deployment took."), row.duration),
            ("end_timestamp_seconds", tr("When the last deployment ended."), _seconds(row.ended_at)),
        ):
            if value is not None:
                family = GaugeMetricFamily(
                    f"gitdeploy_last_deployment_{what}", about, labels=["app", "action", "status"]
                )
                family.add_metric(words, float(value))
                yield family
        steps = GaugeMetricFamily(
            "gitdeploy_last_deployment_step_duration_seconds",
            tr("How long each step of the last deployment took."),
            labels=["app", "step", "status"],
        )
        durations: dict[tuple[str, str], float] = {}
        for step in row.steps:
            key = (str(step["name"]), str(step["status"]))
            durations[key] = durations.get(key, 0.0) + float(step["duration"])
        for (step_name, status), duration in durations.items():
            steps.add_metric([name, step_name, status], duration)
        yield steps


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _backups(app: App) -> tuple[int, int]:
    """(how many, bytes): measuring walks through venvs, so it is done again only when the list changes."""
    found = tuple(backup.id for backup in app.site.backups())
    return len(found), _size(app, found)


@lru_cache(maxsize=4)
def _size(app: App, _backups: tuple[str, ...]) -> int:
    return app.backups_usage().freed
