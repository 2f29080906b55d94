"""Where releases are announced: one file a source, and the catalogue that the app asks.

Nothing here imports the HTTP library, or any one source, before a source must really be asked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms
from gitdeploy.sources.base import (
    Announcement,
    CheckResult,
    GitRemote,
    Host,
    HttpStore,
    Page,
    Release,
    ReleaseNotes,
    Setup,
    Source,
)
from gitdeploy.sources.catalogue import Catalogue

if TYPE_CHECKING:
    from gitdeploy.sources import finding
else:
    __getattr__ = rooms(__name__, frozenset({"finding"}))

__all__ = [
    "Announcement",
    "Catalogue",
    "CheckResult",
    "GitRemote",
    "Host",
    "HttpStore",
    "Page",
    "Release",
    "ReleaseNotes",
    "Setup",
    "Source",
    "finding",
    "parse_webhook",
]


def parse_webhook(kind: str, headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
    """What a webhook of the source KIND (`github`, `codeup` ...) says, after its sender proved itself by SECRET.

    HEADERS in any case of letters, BODY as it came, byte for byte. Raises `gitdeploy.sources.webhooks.WebhookRefused`,
    whose `status` is the HTTP status to answer with, and `ConfigError` for a kind that there isn't.
    """
    from gitdeploy.sources.finding import source_class

    return source_class(kind).parse_webhook(headers, body, secret)
