"""Telling people: through apprise, within a time limit, never a reason for a deployment to fail."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact

EVENTS = ("started", "succeeded", "rolled_back", "failed", "update_available")
TIME_LIMIT = 20.0  # seconds for all receivers together
_LOCAL = ("file:", "syslog:", "dbus:", "gnome:", "macosx:", "windows:")
_KINDS = {"succeeded": "success", "rolled_back": "warning", "failed": "failure"}  # apprise's words; others: info


class Message(Struct, frozen=True):
    """What is told: one of `EVENTS`, the app, a title and the text; and what a template may name."""

    event: str
    app: str
    title: str
    body: str
    origin: str = ""
    target: str = ""
    error: str = ""
    deployment: str = ""

    def filled(self, template: str) -> str:
        """TEMPLATE with `{app}`, `{event}`, `{from}`, `{to}`, `{error}` and `{id}` replaced; other braces stay."""
        values = {
            "app": self.app,
            "event": self.event,
            "from": self.origin,
            "to": self.target,
            "error": self.error,
            "id": self.deployment,
        }
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


class Expand(Protocol):
    """Replaces `${NAME}` in an entry's URL."""

    def __call__(self, text: str) -> str: ...


def wanted(entries: Sequence[Any], event: str) -> list[Any]:
    """The receivers that are told of EVENT."""
    return [entry for entry in entries if event in entry.events]


def send(entries: Sequence[Any], message: Message, expand: Expand, *, timeout: float = TIME_LIMIT) -> list[str]:
    """Send MESSAGE to every entry that wants its event, to all at once. Returns problems as sentences.

    timeout: seconds; who hasn't got it by then is given up.
    """
    receivers = wanted(entries, message.event)
    if not receivers:
        return []
    try:
        import apprise  # noqa: F401
    except ImportError:
        from gitdeploy.system.installation import Installation

        return [
            tr("Notifications need apprise, which isn't installed: {extend}", extend=Installation().extend("notify"))
        ]
    # Made before the clock runs: apprise reads all its plugins for that, which takes a small machine seconds.
    deliveries = [_Delivery(number, entry, message, expand) for number, entry in enumerate(receivers, 1)]
    end = time.monotonic() + timeout
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join(max(0.0, end - time.monotonic()))
    return [
        tr(
            "Notification {number} took longer than {timeout} s and was given up.",
            number=each.number,
            timeout=f"{timeout:.0f}",
        )
        if each.is_alive()
        else each.problem
        for each in deliveries
        if each.is_alive() or each.problem
    ]


class _Delivery(threading.Thread):
    """One receiver is told; `problem` is a sentence where that failed, empty where it went well."""

    def __init__(self, number: int, entry: Any, message: Message, expand: Expand) -> None:
        super().__init__(daemon=True)
        self.number, self.message = number, message
        self.text = message.filled(entry.template) if entry.template else message.body
        self.sender: Any = None
        self.scheme, self.problem = "", ""
        try:
            self._open(expand(entry.url))
        except GitDeployError as error:
            self.problem = error.message

    def _open(self, url: str) -> None:
        import apprise

        self.scheme = redact(url.partition(":")[0])
        if url.lower().startswith(_LOCAL):
            self.problem = tr("Notification {number}: this kind of address is not used.", number=self.number)
            return
        sender = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))  # in this thread: see _Said
        if sender.add(url):
            self.sender = sender
        else:
            self.problem = tr("Notification {number}: apprise doesn't know its address.", number=self.number)

    def run(self) -> None:
        if self.sender is None:
            return
        said = _Said()
        log = logging.getLogger("apprise")
        log.addHandler(said)
        log.propagate = False
        try:
            kind = _KINDS.get(self.message.event, "info")
            done = self.sender.notify(
                title=clean(self.message.title), body=clean(self.text, lines=True), notify_type=kind
            )
            why = tr(": {last}", last=said.last) if said.last else "."
        except Exception as error:  # noqa: BLE001  # whatever a plugin of apprise raises
            done, why = False, f": {redact(clean(str(error), limit=200))}"
        finally:
            log.removeHandler(said)
        if not done:
            self.problem = tr(
                "Notification {number} ({scheme}) could not be sent{why}",
                number=self.number,
                scheme=self.scheme,
                why=why,
            )


class _Said(logging.Handler):
    """The last warning that apprise gave in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.last = redact(clean(record.getMessage(), limit=200))
