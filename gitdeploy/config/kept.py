"""deploy.yaml as it was read before: loading YAML's parser takes as long as everything else that `status` does.

The file holds the very bytes that were read beside what they mean, so a changed deploy.yaml is never taken for the old one.
It is a cache: whatever is wrong with it, deploy.yaml is read anew.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from msgspec import MsgspecError, Struct, msgpack

from gitdeploy.config.document import Table

_PLACE = Path(".gitdeploy", "cache", "deploy.yaml.read")
_READING = 1  # the next number where `read_document` makes something else of the same bytes
_LARGEST = 1 << 20  # bytes; LARGEST of a deploy.yaml, its bytes again, and their structure


class _Kept(Struct, frozen=True):
    """What was read: in which way, from which bytes."""

    reading: int
    raw: bytes
    table: Table


def kept_document(root: Path, raw: bytes) -> Table | None:
    """What RAW, the bytes of the deploy.yaml in ROOT, means; None where that isn't known."""
    try:
        descriptor = os.open(root / _PLACE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            kept = msgpack.decode(file.read(_LARGEST), type=_Kept)
    except (OSError, MsgspecError, RecursionError):
        return None
    return kept.table if (kept.reading, kept.raw) == (_READING, raw) else None


def keep_document(root: Path, raw: bytes, table: Table) -> None:
    """Write down what RAW means, where there is a state directory and it can be written. Half of it does no harm: it isn't
    read then."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(root / _PLACE, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgpack.encode(_Kept(_READING, raw, table)))
