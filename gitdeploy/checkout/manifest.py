"""What the switch and its undo need, as one file in the stage: paths, links, directories, no file contents.

It is durable before the journal says that the switch has begun; with it and the links beside it, a later process can
tell what has been switched and put it back without git and without a network.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gitdeploy.checkout.permissions import Attributes
from gitdeploy.checkout.times import second
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system.durable import write_durably
from gitdeploy.text import path_text

FILE = "switch.json"
Kind = Literal["added", "changed", "deleted"]


class Item(Struct, frozen=True):
    """One file of the switch and its four names: live, staged new, and the links that are kept of old and new.

    `old_facts` and `new_facts` are (size, mtime in ns), only to notice that a file was written in place.
    """

    kind: Kind
    live: bytes
    new: bytes
    old: bytes
    keep: bytes
    old_facts: tuple[int, int] | None = None
    new_facts: tuple[int, int] | None = None


class Directory(Struct, frozen=True):
    path: bytes
    mode: int
    uid: int
    gid: int
    attributes: Attributes = ()


class Control(Struct, frozen=True):
    """The index, HEAD and, where `settings` are new, the configuration of one repository: rebuilt under git's own locks
    just before the switch.

    `source` is the folder that git's files of this work tree are in; `head` is the new content of HEAD, `old_head`
    what it must still be; `index_tree` and `hidden` are what the new index is made from.
    """

    source: Path
    common: Path
    work_tree: Path
    index_tree: str
    head: str
    old_head: str
    hidden: tuple[bytes, ...] = ()
    index: str = ""  # the new index in the stage, right as long as the live one is still as it was: `index_facts`
    index_facts: tuple[int, int, int] | None = None  # inode, size, mtime in ns
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The files that are exchanged, in their order."""
        return ("index", "HEAD", "config") if self.settings else ("index", "HEAD")

    def place(self, name: str) -> bytes:
        """Where the file NAME is live."""
        return os.fsencode((self.common if name == "config" else self.source) / name)


class Module(Struct, frozen=True):
    """The repository of a submodule that comes, whole, with index and HEAD: `staged` beside git's files (b"": inside
    another's that comes), then `live`."""

    live: bytes
    staged: bytes
    work_tree: Path


class Manifest(Struct, frozen=True):
    """A staged switch. `saved` is where what somebody put in the way meanwhile is moved to."""

    id: str
    root: Path
    stage: Path
    saved: Path
    items: tuple[Item, ...]
    made_directories: tuple[bytes, ...]  # shallowest first
    old_directories: tuple[Directory, ...]  # that may be empty, or in the way, afterwards; shallowest first
    controls: tuple[Control, ...]
    modules: tuple[Module, ...] = ()  # outer ones first
    stale: tuple[bytes, ...] = ()  # bytecode that Python would take for that of a file which is replaced
    spared: frozenset[bytes] = frozenset()  # bytecode that the new release tracks

    def write(self) -> None:
        write_durably(self.stage / FILE, json.dumps(_encode(self)).encode())

    @classmethod
    def read(cls, stage: Path) -> Manifest | None:
        """The manifest of a stage; None where staging had not come that far."""
        try:
            data = json.loads((stage / FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DeploymentFailed(
                tr("{stage} can't be read: {error}.", stage=path_text(str(stage / FILE)), error=error)
            ) from error
        return _decode(data)

    @property
    def newest(self) -> int:
        """The latest second that any file of the switch has had, before or after."""
        facts = [each for item in self.items for each in (item.old_facts, item.new_facts) if each is not None]
        return max((second(nanoseconds) for _, nanoseconds in facts), default=0)

    def special(self, control: Control, name: str, part: str) -> bytes:
        """`.git/gitdeploy.<id>.<name>.<part>`: beside what it belongs to, so that it can be renamed."""
        return os.fsencode(control.source / f"gitdeploy.{self.id}.{name}.{part}")


def _encode(manifest: Manifest) -> dict[str, Any]:
    root, stage = os.fsencode(manifest.root), os.fsencode(manifest.stage)

    def short(path: bytes) -> str:
        for mark, folder in (("s:", stage), ("r:", root)):
            if path == folder or path.startswith(folder + b"/"):
                return mark + os.fsdecode(path[len(folder) :])
        return "a:" + os.fsdecode(path)

    return {
        "id": manifest.id,
        "root": str(manifest.root),
        "stage": str(manifest.stage),
        "saved": str(manifest.saved),
        "items": [
            [i.kind, short(i.live), short(i.new), short(i.old), short(i.keep), i.old_facts, i.new_facts]
            for i in manifest.items
        ],
        "made": [short(path) for path in manifest.made_directories],
        "old": [
            [short(d.path), d.mode, d.uid, d.gid, [[name, value.hex()] for name, value in d.attributes]]
            for d in manifest.old_directories
        ],
        "stale": [short(path) for path in manifest.stale],
        "spared": [short(path) for path in sorted(manifest.spared)],
        "controls": [
            {
                "source": str(c.source),
                "common": str(c.common),
                "work_tree": str(c.work_tree),
                "index_tree": c.index_tree,
                "head": c.head,
                "old_head": c.old_head,
                "hidden": [os.fsdecode(path) for path in c.hidden],
                "settings": c.settings,
                "index": c.index,
                "index_facts": c.index_facts,
            }
            for c in manifest.controls
        ],
        "modules": [[short(m.live), short(m.staged) if m.staged else "", str(m.work_tree)] for m in manifest.modules],
    }


def _decode(data: dict[str, Any]) -> Manifest:
    root, stage = os.fsencode(data["root"]), os.fsencode(data["stage"])
    places = {"s:": stage, "r:": root, "a:": b""}

    def long(text: str) -> bytes:
        return places[text[:2]] + os.fsencode(text[2:])

    return Manifest(
        id=data["id"],
        root=Path(data["root"]),
        stage=Path(data["stage"]),
        saved=Path(data["saved"]),
        items=tuple(
            Item(
                kind,
                long(live),
                long(new),
                long(old),
                long(keep),
                (old_facts[0], old_facts[1]) if old_facts else None,
                (new_facts[0], new_facts[1]) if new_facts else None,
            )
            for kind, live, new, old, keep, old_facts, new_facts in data["items"]
        ),
        made_directories=tuple(long(path) for path in data["made"]),
        old_directories=tuple(
            Directory(long(path), mode, uid, gid, tuple((name, bytes.fromhex(value)) for name, value in attributes))
            for path, mode, uid, gid, attributes in data["old"]
        ),
        controls=tuple(
            Control(
                Path(c["source"]),
                Path(c["common"]),
                Path(c["work_tree"]),
                c["index_tree"],
                c["head"],
                c["old_head"],
                tuple(os.fsencode(path) for path in c["hidden"]),
                c.get("index", ""),
                tuple(c["index_facts"]) if c.get("index_facts") else None,
                tuple((name, value) for name, value in c.get("settings", ())),
            )
            for c in data["controls"]
            if not c.get("created")  # as gitdeploy up to 1.0 wrote them
        ),
        modules=tuple(
            Module(long(live), long(staged) if staged else b"", Path(work_tree))
            for live, staged, work_tree in data.get("modules", ())
        ),
        stale=tuple(long(path) for path in data.get("stale", ())),
        spared=frozenset(long(path) for path in data.get("spared", ())),
    )


def moved(manifest: Manifest, root: Path) -> Manifest:
    """The same manifest for a checkout that was moved (`mv`) to ROOT since it was written."""
    if manifest.root == root:
        return manifest
    data = _encode(manifest)
    old = str(manifest.root)
    for name in ("stage", "saved"):
        if data[name].startswith(old + "/"):
            data[name] = str(root) + data[name][len(old) :]
    for control in data["controls"]:
        for name in ("source", "common", "work_tree"):
            if control[name] == old or control[name].startswith(old + "/"):
                control[name] = str(root) + control[name][len(old) :]
    for row in data["modules"]:
        if row[2] == old or row[2].startswith(old + "/"):
            row[2] = str(root) + row[2][len(old) :]
    for row in data["items"]:
        for at in range(1, 5):
            if row[at].startswith("a:" + old + "/"):
                row[at] = "r:" + row[at][2 + len(old) :]
    data["root"] = str(root)
    return _decode(data)
