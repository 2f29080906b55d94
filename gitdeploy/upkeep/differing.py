"""What is otherwise now than in a backup, by name: files of the release, kept and included paths, databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitdeploy.backups import encrypted
from gitdeploy.backups.places import INCLUDED, KEPT
from gitdeploy.backups.store import Backup
from gitdeploy.site.site import Site
from gitdeploy.text import path_text

_KINDS = {"A": "new", "D": "gone"}  # of `git diff --name-status`; the rest are changed


class Difference(Struct, frozen=True):
    """`code`: path -> new, gone or changed since the backup. `data`: kept or included path -> (files, bytes) that differ.
    `databases`: name -> when its dump was made."""

    code: Mapping[str, str]
    data: Mapping[str, tuple[int, int]]
    databases: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        data = {path: {"files": files, "size": size} for path, (files, size) in self.data.items()}
        return {"code": dict(self.code), "data": data, "databases": dict(self.databases)}


def difference(site: Site, backup: Backup) -> Difference:
    """What is on disk now beside BACKUP. Raises `CommandFailed` where its objects are gone."""
    words = (
        "diff",
        "--name-status",
        "--no-renames",
        "--no-ext-diff",
        "--ignore-submodules=all",
        "-z",
        backup.snapshot.commit,
        "--",
    )
    fields = site.repository.output(*words).split(b"\0")
    code = {
        path_text(path): _KINDS.get(kind.decode(), "changed")
        for kind, path in zip(fields[::2], fields[1::2], strict=False)
    }
    folder = site.state.backups / backup.id
    data = {}
    for part, names in ((KEPT, backup.kept), (INCLUDED, backup.included)):
        for name in names:
            if (found := encrypted.differing_files(folder, f"{part}/{name}", site.root / name))[0]:
                data[path_text(name)] = found
    dumps = {str(dump["name"]): str(dump.get("at") or backup.saved_at or backup.created_at) for dump in backup.dumps}
    return Difference(code, data, dumps)
