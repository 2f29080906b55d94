"""Telling people: through apprise, within a time limit, never a reason for a deployment to fail."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gitdeploy.text import clean, redact

EVENTS = ("started", "succeeded", "rolled_back", "failed", "update_available")
_LOCAL = ("file:", "syslog:", "dbus:", "gnome:", "macosx:", "windows:")


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: one of `EVENTS`, the app, a title and the text."""

    event: str
    app: str
    title: str
    body: str


class Expand(Protocol):
    """Replaces `${NAME}` in an entry's URL."""

    def __call__(self, text: str) -> str: ...


def send(entries: Sequence[Any], message: Message, expand: Expand, *, timeout: float = 20) -> list[str]:
    """Send MESSAGE to every entry that wants its event. Returns problems as sentences."""
    wanted = [entry for entry in entries if not entry.events or message.event in entry.events]
    if not wanted:
        return []
    try:
        import apprise
    except ImportError:
        return ["Notifications need apprise: pip install 'gitdeploy[notify]'"]
    problems: list[str] = []

    def deliver() -> None:
        for number, entry in enumerate(wanted, 1):
            url = expand(entry.url)
            if url.lower().startswith(_LOCAL):
                problems.append(f"Notification {number}: this kind of address is not used.")
                continue
            sender = apprise.Apprise()
            if not sender.add(url):
                problems.append(f"Notification {number}: apprise doesn't know its address.")
            elif not sender.notify(title=clean(message.title), body=clean(message.body, lines=True)):
                problems.append(f"Notification {number} ({redact(url.partition(':')[0])}) could not be sent.")

    worker = threading.Thread(target=deliver, daemon=True)
    worker.start()
    worker.join(timeout)
    if worker.is_alive():
        problems.append(f"Notifications took longer than {timeout:.0f} s and were given up.")
    return problems
