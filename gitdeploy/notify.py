"""Telling people: through apprise, within a time limit, never a reason for a deployment to fail."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from gitdeploy.config import Config
from gitdeploy.errors import GitDeployError, UsageError
from gitdeploy.messages import render, spoken, tr, without_stop
from gitdeploy.text import clean, redact

EVENTS = ("started", "succeeded", "rolled_back", "failed", "update_available")
TIME_LIMIT = 20.0  # seconds for all receivers together
_LOCAL = ("file:", "syslog:", "dbus:", "gnome:", "macosx:", "windows:")
_KINDS = {"succeeded": "success", "rolled_back": "warning", "failed": "failure"}  # apprise's words; others: info


class Message(Struct, frozen=True):
    """What is told: one of `EVENTS` (or `test`), the app, a title and the text; and what a template may name. `server`:
    where it happened, `link`: the page's address of it; both stand below the text."""

    event: str
    app: str
    title: str
    body: str
    origin: str = ""
    target: str = ""
    error: str = ""
    deployment: str = ""
    server: str = ""
    link: str = ""

    def whole(self, language: str) -> str:
        """The text in LANGUAGE, and below it the server's name and the link."""
        return "\n".join(
            (render(self.body, language), *filter(None, [f"[{self.server}]" if self.server else "", self.link]))
        )

    def filled(self, template: str, language: str) -> str:
        """TEMPLATE with `{app}`, `{event}`, `{from}`, `{to}`, `{error}`, `{id}`, `{server}` and `{link}` replaced; other braces stay."""
        values = {
            "app": self.app,
            "event": self.event,
            "from": self.origin,
            "to": self.target,
            "error": render(self.error, language),
            "id": self.deployment,
            "server": self.server,
            "link": self.link,
        }
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


def place_of(config: Config, deployment: int | str | None = None) -> tuple[str, str]:
    """(the server's name, the address of the page there), which shows DEPLOYMENT; no address where `web.hosts` names none
    by which the page is asked for from elsewhere."""
    if not config.web.hosts:
        return os.uname().nodename, ""
    secure = bool(config.web.trusted_proxies)
    name = config.web.hosts[0] if secure else f"{config.web.hosts[0]}:{config.web.port}"
    shown = f"?deployment={deployment}#opened" if deployment else ""
    return os.uname().nodename, f"{'https' if secure else 'http'}://{name}/upgrade/{shown}"


class Expand(Protocol):
    """Replaces `${NAME}` in an entry's URL."""

    def __call__(self, text: str) -> str: ...


def wanted(entries: Sequence[Any], event: str) -> list[Any]:
    """The receivers that are told of EVENT."""
    return [entry for entry in entries if event in entry.events]


class Sent(Struct, frozen=True):
    """How one receiver was told: its number in `notify`, its kind (`mailto`), and what kept it from it, in a sentence."""

    number: int
    kind: str
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"number": self.number, "kind": self.kind, "sent": not self.problem, "problem": self.problem}


def send(entries: Sequence[Any], message: Message, expand: Expand, *, timeout: float = TIME_LIMIT) -> list[str]:
    """Send MESSAGE to every entry that wants its event, to all at once. Returns problems as sentences.

    timeout: seconds; who hasn't got it by then is given up.
    """
    try:
        found = send_all(wanted(entries, message.event), message, expand, timeout=timeout)
    except UsageError as error:
        return [f"{error.message} {error.hint}"]
    return [each.problem for each in found if each.problem]


def send_all(receivers: Sequence[Any], message: Message, expand: Expand, *, timeout: float = TIME_LIMIT) -> list[Sent]:
    """Send MESSAGE to all of RECEIVERS at once, whatever events they want. Raises `UsageError` where apprise isn't
    installed."""
    if not receivers:
        return []
    try:
        import apprise  # noqa: F401
    except ImportError as error:
        from gitdeploy.system.installation import Installation

        raise UsageError(
            tr("Notifications need apprise, which isn't installed."),
            tr("Install what it needs: {command}", command=Installation().extend("notify")),
        ) from error
    # Made before the clock runs: apprise reads all its plugins for that, which takes a small machine seconds.
    deliveries = [_Delivery(number, entry, message, expand) for number, entry in enumerate(receivers, 1)]
    end = time.monotonic() + timeout
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join(max(0.0, end - time.monotonic()))
    return [
        Sent(
            each.number,
            each.scheme,
            tr(
                "Notification {number} took longer than {timeout} s and was given up.",
                number=each.number,
                timeout=f"{timeout:.0f}",
            )
            if each.is_alive()
            else each.problem,
        )
        for each in deliveries
    ]


class _Delivery(threading.Thread):
    """One receiver is told; `problem` is a sentence where that failed, empty where it went well."""

    def __init__(self, number: int, entry: Any, message: Message, expand: Expand) -> None:
        super().__init__(daemon=True)
        self.number, self.message = number, message
        language = entry.lang or spoken()  # asked here: the thread speaks English
        self.title = render(message.title, language)
        self.text = message.filled(entry.template, language) if entry.template else message.whole(language)
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
        # Without the face that apprise has for many: it sends in threads of its own, whose log _Said couldn't tell apart.
        self.sender = apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(async_mode=False))
        if self.sender is None:
            self.problem = tr("Notification {number}: apprise doesn't know its address.", number=self.number)

    def run(self) -> None:
        if self.problem:
            return
        said = _Said()
        log = logging.getLogger("apprise")
        log.addHandler(said)
        log.setLevel(logging.DEBUG)
        log.propagate = False
        try:
            kind = _KINDS.get(self.message.event, "info")
            done = self.sender.notify(title=clean(self.title), body=clean(self.text, lines=True), notify_type=kind)
            why = tr(": {last}", last=said.last) if said.last else tr(".")
        except Exception as error:  # noqa: BLE001  # whatever a plugin of apprise raises
            done, why = False, tr(": {error}", error=redact(clean(str(error), limit=200)))
        finally:
            log.removeHandler(said)
        if not done:
            self.problem = tr(
                "Notification {number} ({scheme}) could not be sent{why}",
                number=self.number,
                scheme=self.scheme,
                why=why,
            )


# What says why in apprise's lines for developers: a system's error, TLS, a mail server's answer. Nothing else of them is
# shown: they hold addresses, and tokens in those.
_REASONS = (
    re.compile(r"(certificate verify failed: [\w ,'.-]+)"),
    re.compile(r"\[Errno -?\d+\] ([A-Za-z][A-Za-z ]+)"),
    re.compile(r"\((\d{3}, b?'[^'\\]{1,150})'"),
    re.compile(
        r"(Read timed out|[Cc]onnection timed out|timed out|Connection reset by peer|Remote end closed connection)"
    ),
)


class _Said(logging.Handler):
    """The last warning that apprise gave in this thread, and the reason that it told developers alone."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.thread = threading.get_ident()
        self.warning, self.reason = "", ""

    @property
    def last(self) -> str:
        return (
            tr("{warning}: {reason}", warning=without_stop(self.warning), reason=self.reason)
            if self.warning and self.reason
            else self.warning
        )

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self.thread:
            return
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.warning = redact(clean(text, limit=200))
        elif "xception" in text and (found := next(filter(None, (each.search(text) for each in _REASONS)), None)):
            self.reason = redact(clean(found[1], limit=200)).replace("b'", "").strip()
