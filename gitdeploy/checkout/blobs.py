"""Object ids of files' bytes, and an index's copy."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from gitdeploy.system import interruption


def copy_with_time(index: Path, to: Path) -> None:
    """Copy an index with its time: git trusts an entry's file times only where they are older than the index itself, so
    a younger copy would take a file changed in the same second for unchanged."""
    facts = index.stat()
    shutil.copyfile(index, to)
    os.utime(to, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def blob_id(content: bytes | Iterable[bytes], size: int, length: int = 40) -> str:
    """The object id that git gives a blob of these bytes (`blob SIZE\\0` before them; gitformat-loose)."""
    digest = hashlib.new("sha1" if length == 40 else "sha256", f"blob {size}\0".encode(), usedforsecurity=False)
    for part in (content,) if isinstance(content, bytes) else content:
        interruption.check()
        digest.update(part)
    return digest.hexdigest()


def file_blob_id(path: bytes, length: int = 40) -> str:
    """The object id of a file's (or symlink's) present bytes, without any filter; streamed."""
    found = os.lstat(path)
    if os.path.islink(path):
        target = os.readlink(path)
        return blob_id(target, len(target), length)
    with open(path, "rb", buffering=0) as source:
        if found.st_size <= 1 << 20:
            return blob_id(source.read(), found.st_size, length)
        return blob_id(iter(lambda: source.read(1 << 20), b""), found.st_size, length)
