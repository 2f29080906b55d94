"""What the metrics say. Loaded when they are asked for: prometheus_client takes a while."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gitdeploy.app import App
from gitdeploy.messages import tr
from gitdeploy.state import DeploymentRow
from gitdeploy.text import clean

log = logging.getLogger(__name__)

# Every family that there is, with its labels: of what another process says, nothing else is taken over.
_DEPLOYMENT = ("app", "action", "status")
_FAMILIES: dict[str, tuple[type[Metric], str, tuple[str, ...]]] = {
    "live": (InfoMetricFamily, tr("What is live."), ("app", "version", "tag", "commit")),
    "update_available": (GaugeMetricFamily, "1 where a newer release is known.", ("app",)),
    "last_check_age_seconds": (GaugeMetricFamily, "Seconds since the source was last asked.", ("app",)),
    "deployment_running": (GaugeMetricFamily, "1 while a deployment runs.", ("app",)),
    "deployments_held": (GaugeMetricFamily, "1 where deployments are paused.", ("app",)),
    "deployments": (CounterMetricFamily, tr("Deployments, by how they ended."), _DEPLOYMENT),
    "last_deployment_succeeded": (GaugeMetricFamily, tr("1 where the last deployment succeeded."), _DEPLOYMENT),
    "last_deployment_duration_seconds": (
        GaugeMetricFamily,
        tr("How long the last deployment took."),
        _DEPLOYMENT,
    ),
    "last_deployment_end_timestamp_seconds": (GaugeMetricFamily, tr("When the last deployment ended."), _DEPLOYMENT),
    "last_deployment_step_duration_seconds": (
        GaugeMetricFamily,
        tr("How long each step of the last deployment took."),
        ("app", "step", "status"),
    ),
    "backups": (GaugeMetricFamily, "Backups.", ("app",)),
    "backups_size_bytes": (GaugeMetricFamily, "Bytes on disk that deleting all backups would free.", ("app",)),
}
_MOST = 1000  # samples of one family of one app


def _family(what: str) -> Any:
    """The family gitdeploy_WHAT, still empty."""
    kind, about, labels = _FAMILIES[what]
    made: Any = kind
    return made(f"gitdeploy_{what}", about, labels=labels)


def exposition(app: App, listed: str | None = None) -> tuple[bytes, str]:
    """The figures of APP now, and their content type. LISTED: what the label `app` says instead of the app's own name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(app, listed))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def together(texts: Iterable[tuple[str, str]]) -> tuple[bytes, str]:
    """The figures of several apps as one exposition: TEXTS are (name, what its own process says), of which only families of
    ours count, in our words, each sample under that name. What says anything else is left out whole."""
    families = {what: _family(what) for what in _FAMILIES}
    for name, text in texts:
        try:
            read = _samples(name, text)
        except Exception as error:  # noqa: BLE001  # whatever an app's process answers, the others' figures are there
            log.warning("gitdeploy: the metrics of %s: %s", name, clean(str(error), limit=200))
            continue
        for what, samples in read.items():
            families[what].samples += samples
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read([family for family in families.values() if family.samples]))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _samples(name: str, text: str) -> dict[str, list[Sample]]:
    """The samples of our families in TEXT, as those of the app NAME. Raises whatever a parser may."""
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        what = family.name.removeprefix("gitdeploy_")
        if what == family.name or what not in _FAMILIES:
            continue
        if family.type != (own := _family(what)).type:
            continue
        sample_name = own.name + {"info": "_info", "counter": "_total"}.get(own.type, "")
        _, _, labels = _FAMILIES[what]
        same = {
            tuple(str(sample.labels[label]) for label in labels if label != "app"): float(sample.value)
            for sample in family.samples
            if sample.name == sample_name and set(sample.labels) == set(labels)
        }
        others = [label for label in labels if label != "app"]
        found[what] = [
            Sample(sample_name, {"app": name, **dict(zip(others, values, strict=True))}, value)
            for values, value in list(same.items())[:_MOST]
        ]
    return found


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
        yield from self._of("live", {"version": live.version or "", "tag": live.tag or "", "commit": live.commit})

        def gauge(what: str, value: float | None) -> Iterator[Any]:
            if value is not None:
                yield from self._of(what, value)

        known = app.last_check()
        yield from gauge("update_available", known.update_available if known else None)
        yield from gauge(
            "last_check_age_seconds", max(0.0, time.time() - (_seconds(known.checked_at) or 0)) if known else None
        )
        going_on = app.going_on()
        yield from gauge("deployment_running", going_on.holder is not None)
        yield from gauge("deployments_held", going_on.paused is not None)
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
        yield from gauge("backups", number)
        yield from gauge("backups_size_bytes", size)

    def _of(self, what: str, value: Any) -> Iterator[Any]:
        family = _family(what)
        family.add_metric([self.name], value)
        yield family

    def _deployments(self, name: str, rows: list[DeploymentRow]) -> Iterator[Any]:
        family = _family("deployments")
        for (action, status), number in sorted(Counter((row.action, row.status) for row in rows).items()):
            family.add_metric([name, action, status], number)
        yield family

    def _last(self, name: str, row: DeploymentRow) -> Iterator[Any]:
        words = [name, row.action, row.status]
        for what, value in (
            ("succeeded", row.status in ("succeeded", "nothing_to_do")),
            ("duration_seconds", row.duration),
            ("end_timestamp_seconds", _seconds(row.ended_at)),
        ):
            if value is not None:
                family = _family(f"last_deployment_{what}")
                family.add_metric(words, float(value))
                yield family
        steps = _family("last_deployment_step_duration_seconds")
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
