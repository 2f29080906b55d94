"""What one question to the app was answered."""

from __future__ import annotations

import socket

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.text import clean, duration_text, redact


class Answer(Struct, frozen=True):
    """`bad`: what is wrong, a sentence without its full stop, None where all is well; `seen`: what was seen then."""

    bad: str | None
    seen: str = ""


def connection_problem(error: OSError, limit: float) -> str:
    """Why nothing could be asked, in a few words: `connection refused`, `no answer in 10 s`."""
    if isinstance(error, ConnectionRefusedError):
        return tr("connection refused")
    if isinstance(error, TimeoutError):
        return tr("no answer in {limit}", limit=duration_text(limit))
    if isinstance(error, socket.gaierror):
        return tr("the host's name is not known")
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return tr("connection closed without an answer")
    return clean(redact(error.strerror or str(error) or type(error).__name__), limit=200)
