"""Webhooks: what hosts send when there is a new tag or release. Believed only after the sender proved itself; all that
one can cause is a check, so a tag in it is a hint, never a decision."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.sources.base import Announcement
from gitdeploy.versions import valid_tag

OLDEST = 3600.0  # seconds that a signed time (Gitee's) may be away from ours


class WebhookRefused(GitDeployError):
    """A webhook whose sender did not prove itself (HTTP 401), or that can't be read (400)."""

    kind = "webhook"

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value whatever the case of its name; empty where it is missing."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that tells nothing. Never true for an empty one."""
    return bool(given and wanted) and hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape")
    )


def require_secret(secret: str) -> None:
    """An empty secret verifies everything, so it verifies nothing here."""
    if not secret:
        raise WebhookRefused(tr("No webhook secret is set, so no webhook can prove itself."))


def check_hmac(given: str, body: bytes, secret: str, *, what: str) -> None:
    """GIVEN is the hex HMAC-SHA256 of the raw BODY. Raises `WebhookRefused`."""
    require_secret(secret)
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not same(given, wanted):
        raise WebhookRefused(tr("{what} is missing or not that of this body and secret.", what=what))


def check_token(given: str, secret: str, *, what: str) -> None:
    """GIVEN is the secret itself. Raises `WebhookRefused`."""
    require_secret(secret)
    if not same(given, secret):
        raise WebhookRefused(tr("{what} is missing or not the secret.", what=what))


def check_timed_signature(given: str, stamp: str, secret: str, now: float, *, what: str) -> None:
    """GIVEN is base64(HMAC-SHA256 of "STAMP\\nSECRET") and STAMP, in milliseconds, is near NOW."""
    require_secret(secret)
    wanted = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()
    if not same(given, base64.b64encode(wanted).decode()):
        raise WebhookRefused(tr("{what} is missing or not that of this time and secret.", what=what))
    if not re.fullmatch(r"[0-9]{10,16}", stamp, re.ASCII) or abs(int(stamp) / 1000 - now) > OLDEST:
        raise WebhookRefused(tr("{what} is of another time: an old delivery sent again, or a wrong clock.", what=what))


def announcement(
    headers: Mapping[str, str], body: bytes, *, event: str, delivery: str = "", signature: str = ""
) -> Announcement:
    """EVENT and DELIVERY name the headers; the tag is read from where the hosts put it: a release, a created tag, or a
    pushed `refs/tags/` ref that isn't being deleted.

    What tells the delivery from its repetition is what was proved: the body; with SIGNATURE that one, for it is over
    no body. The host's number of it counts only where the sender knows the secret itself, and DELIVERY is given.
    """
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookRefused(tr("The webhook's body is not JSON."), 400) from error
    if not isinstance(data, dict):
        raise WebhookRefused(tr("The webhook's body is not JSON object."), 400)
    number = header(headers, delivery) if delivery else ""
    proved = [signature.encode()] if signature else [body, number.encode("utf-8", "surrogateescape")]
    return Announcement(
        event=re.sub(r"[^A-Za-z0-9 _.-]", "", header(headers, event))[:64],
        tag=_tag(data),
        delivery=hashlib.sha256(b"\0".join(proved)).hexdigest(),
    )


def _tag(data: dict[str, Any]) -> str | None:
    release = data.get("release")
    ref = data.get("ref")
    if isinstance(release, dict):
        found = release.get("tag_name")
    elif data.get("ref_type") == "tag":
        found = ref
    elif isinstance(data.get("tag"), str):
        found = data["tag"]  # GitLab's release hook
    elif isinstance(ref, str) and ref.startswith("refs/tags/"):
        deleted = set(str(data.get("after", ""))) == {"0"} or data.get("deleted") is True
        found = None if deleted else ref.removeprefix("refs/tags/")
    else:
        found = None
    return found if isinstance(found, str) and valid_tag(found) is None else None
