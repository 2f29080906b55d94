"""The stage: every file that the switch will put in place, written, checked and linked beside the live tree.

Nothing live is touched here. git writes the new files under `stage/<id>/new` (its filters and line ends apply), each
is compared with its blob, gets owner, group and mode of the file that it replaces where git doesn't say otherwise, and
both sides get a second name (a hard link) by which recovery can tell later which of them is live.
"""

from __future__ import annotations

import os
import shutil
import stat as stat_module
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.checkout.blobs import file_blob_id
from gitdeploy.checkout.changes import LINK, REGULAR, FileChange, look
from gitdeploy.checkout.facts import Access
from gitdeploy.checkout.filters import filter_options, refuse_failed_filter
from gitdeploy.checkout.folders import directory_at, nearest_directory
from gitdeploy.checkout.git import EMPTY_ATTRIBUTES, Repository
from gitdeploy.checkout.incoming import staged_repository
from gitdeploy.checkout.leftovers import unchecked
from gitdeploy.checkout.local import git_mode
from gitdeploy.checkout.manifest import Control, Directory, Item, Manifest, Module
from gitdeploy.checkout.modes import Recorded
from gitdeploy.checkout.permissions import attributes_of, dress_new_file, set_attributes
from gitdeploy.checkout.program import LONG
from gitdeploy.checkout.stage_parts import Part, new_index
from gitdeploy.checkout.staged import staging_failure
from gitdeploy.checkout.times import make_newer, recorded, second
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import bytecode, faultpoints, interruption, progress
from gitdeploy.system.durable import exists, sync_file_systems
from gitdeploy.text import path_text


def stage_switch(
    identity: str,
    root: Path,
    stage: Path,
    saved: Path,
    parts: Sequence[Part],
    *,
    folders: Sequence[bytes] = (),
    emptied: Sequence[bytes] = (),
    newest: int = 0,
) -> Manifest:
    """Write everything that the switch will rename into place: PARTS, the checkout's own first. FOLDERS are to be there,
    EMPTIED to go where nothing is left in them. NEWEST: the latest second that a file staged before was given. Raises
    `DeploymentFailed`; the caller discards the stage."""
    work = _Stage(identity, root, stage, saved, folders, emptied, newest)
    try:
        return work.make(parts)
    except OSError as error:
        raise staging_failure(error) from error


class _Stage(Struct):
    identity: str
    root: Path
    stage: Path
    saved: Path
    folders: Sequence[bytes]
    emptied: Sequence[bytes]
    newest: int = 0
    caches: bytecode.Beside = field(default_factory=bytecode.Beside)
    items: list[Item] = field(default_factory=list)
    deleted: set[bytes] = field(default_factory=set)
    links_deleted: list[bytes] = field(default_factory=list)
    stale: list[bytes] = field(default_factory=list)
    indexes: dict[bytes, tuple[str, tuple[int, int, int] | None]] = field(default_factory=dict)  # of each part's prefix
    # By the git folder that will be: what it is, and where it is now.
    modules: dict[Path, tuple[Module, Path]] = field(default_factory=dict)

    def make(self, parts: Sequence[Part]) -> Manifest:
        for name in ("new", "old", "keep"):
            os.makedirs(self.stage / name, mode=0o700)
        for part in parts:
            self._write(part)
            if part.source is not None:
                self._make_repository(part, part.source, parts[0].repository.git_dir)
            for change in part.changes:
                self._link(part, change)
                progress.add(1, "files")
                interruption.check()
        manifest = Manifest(
            self.identity,
            self.root,
            self.stage,
            self.saved,
            tuple(self.items),
            tuple(self._made_directories()),
            tuple(self._old_directories()),
            tuple(
                Control(
                    part.repository.git_dir,
                    part.repository.common_dir,
                    self.root / os.fsdecode(part.prefix),
                    part.target.index_tree,
                    f"ref: {part.target.branch}\n" if part.target.branch else f"{part.target.commit}\n",
                    part.old_head,
                    (*part.target.hidden, *part.target.left_out),
                    *self.indexes[part.prefix],
                    part.settings,
                )
                for part in parts
                if part.source is None
            ),
            tuple(module for module, _ in self.modules.values()),
            tuple(self.stale),
            frozenset(self._tracked_bytecode(parts)),
        )
        manifest.write()
        faultpoints.point("stage written")
        sync_file_systems(self.stage, *(part.repository.git_dir for part in parts))
        faultpoints.point("stage durable")
        return manifest

    # ---- writing ----

    def _make_repository(self, part: Part, source: Path, git_dir: Path) -> None:
        """The git folder of a submodule that comes, with its index and HEAD: it becomes SOURCE by one rename, or with
        the one that it is inside of."""
        outer = next((path for path in source.parents if path in self.modules), None)
        if outer is None:
            place = git_dir / f"gitdeploy.{self.identity}.module.{len(self.modules)}"
        else:
            place = self.modules[outer][1] / source.relative_to(outer)
            place.parent.mkdir(parents=True, exist_ok=True)
        made = staged_repository(part.repository, place)
        shutil.copyfile(self.stage / self.indexes[part.prefix][0], place / "index")
        (place / "HEAD").write_text(f"{part.target.commit}\n")
        for name, value in part.settings:
            made.output("config", "--file", str(place / "config"), name, value, tied=True)
        staged = os.fsencode(place) if outer is None else b""
        module = Module(os.fsencode(source), staged, self.root / os.fsdecode(part.prefix))
        self.modules[source] = (module, place)

    def _write(self, part: Part) -> None:
        new = self.stage / "new" / os.fsdecode(part.prefix)
        new.mkdir(parents=True, exist_ok=True)
        live_index = os.fsencode(part.repository.git_dir / "index")
        facts = look(live_index) if exists(live_index) else None
        index = new_index(part.repository, part.target.index_tree, self.stage / f"index-{len(self.indexes)}")
        self.indexes[part.prefix] = (index.name, facts)
        filtered = [c for c in part.changes if c.kind != "deleted" and c.content is None and not c.exact]
        exact = [c for c in part.changes if c.kind != "deleted" and c.content is None and c.exact]
        overlooked = {change.path for change in filtered}.intersection(part.hidden)
        if overlooked:
            words = ("update-index", "-z", "--no-skip-worktree", "--stdin")
            stdin = b"".join(path + b"\0" for path in overlooked)
            part.repository.output(*words, stdin=stdin, index=index, work_tree=new, tied=True)
        if filtered:
            self._check_out(part.repository, index, new, filtered, part.access)
        if exact:
            self._check_out_exactly(part, new, exact)
        for change in part.changes:
            if change.content is not None:
                full = os.path.join(os.fsencode(new), change.path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "xb") as out:
                    out.write(change.content)
        self._verify(part.repository, index, new, [*filtered, *exact])

    def _check_out(
        self, repository: Repository, index: Path, new: Path, changes: Sequence[FileChange], access: Access
    ) -> None:
        options = filter_options(repository)
        # The stage is the work tree here, so that the release's own .gitattributes apply (from the new index).
        done = repository.run(
            "checkout-index", "-f", "-z", "--stdin",
            stdin=b"\0".join(c.path for c in changes) + b"\0",
            index=index,
            work_tree=new,
            options=(*options, *access.options),
            extra=access.environment,
            timeout=LONG,
            tied=True,
        )  # fmt: skip
        if not done.ok:
            raise DeploymentFailed(
                tr(
                    "git can't write the release's files ({ending}): {error_text}",
                    ending=done.ending,
                    error_text=done.error_text,
                )
            )
        refuse_failed_filter(done)

    def _check_out_exactly(self, part: Part, new: Path, changes: Sequence[FileChange]) -> None:
        """Blobs as they are, however large: git reads the objects, but through a repository that has no filters."""
        bare = self.stage / f"exact-{len(self.indexes)}"
        for name in ("refs", "objects", "info"):
            os.makedirs(bare / name, exist_ok=True)
        (bare / "HEAD").write_text("ref: refs/heads/none\n")
        length = len(part.target.tree)
        (bare / "config").write_text(
            "[core]\n\trepositoryformatversion = 0\n"
            if length == 40
            else "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
        )
        (bare / "info" / "attributes").write_text(EMPTY_ATTRIBUTES)
        index = self.stage / f"exact-index-{len(self.indexes)}"
        objects = {"GIT_OBJECT_DIRECTORY": str(part.repository.common_dir / "objects")}
        for words, stdin in (
            (("read-tree", part.target.tree), None),
            (("checkout-index", "-f", "-z", "--stdin"), b"\0".join(c.path for c in changes) + b"\0"),
        ):
            done = part.repository.run(
                *words, stdin=stdin, index=index, work_tree=new, git_dir=bare, extra=objects, timeout=LONG, tied=True
            )
            if not done.ok:
                raise DeploymentFailed(
                    tr(
                        "git can't write the saved files ({ending}): {error_text}",
                        ending=done.ending,
                        error_text=done.error_text,
                    )
                )

    def _verify(self, repository: Repository, index: Path, new: Path, changes: Sequence[FileChange]) -> None:
        """Every staged file has its blob's bytes, or (where a filter or line ends apply) becomes that blob again."""
        through_filters = []
        base = os.fsencode(new)
        for change in changes:
            interruption.check()
            full = base + b"/" + change.path
            found = git_mode(full)  # a mode set by hand comes later, see `_dress`
            if found != change.mode and not {found, change.mode} <= REGULAR:
                raise DeploymentFailed(
                    tr("git did not write {change} as the release has it.", change=path_text(change.path))
                )
            if file_blob_id(full, len(change.oid)) != change.oid:
                if change.exact or change.mode == LINK:
                    raise DeploymentFailed(
                        tr("{change} was written with other bytes than it should have.", change=path_text(change.path))
                    )
                through_filters.append(change)
        if not through_filters:
            return
        cleaned = self._cleaned(repository, index, new, [change.path for change in through_filters])
        for change in through_filters:
            if cleaned.get(change.path) != change.oid:
                raise DeploymentFailed(
                    tr("{change} was written with other bytes than the release has.", change=path_text(change.path)),
                    tr("A filter of .gitattributes failed (git-lfs not installed, or a program of its own)."),
                )

    def _cleaned(self, repository: Repository, index: Path, new: Path, paths: Sequence[bytes]) -> dict[bytes, str]:
        """Path -> the blob that the staged file becomes again on its way back through filters and line ends.

        By an index, since hash-object sees no .gitattributes but those on disk, and one that didn't change isn't staged.
        """
        copy = index.with_name(f"{index.name}-cleaned")
        shutil.copyfile(index, copy)
        stdin = b"".join(path + b"\0" for path in paths)
        done = repository.run(
            "update-index", "-z", "--stdin",
            stdin=stdin,
            index=copy,
            work_tree=new,
            options=filter_options(repository),
            timeout=LONG,
        )  # fmt: skip
        listed = repository.output("ls-files", "-s", "-z", index=copy).split(b"\0") if done.ok else []
        copy.unlink()
        wanted = set(paths)
        entries = (entry.partition(b"\t") for entry in listed if entry)
        return {path: facts.split(b" ")[1].decode() for facts, _, path in entries if path in wanted}

    # ---- links, owners and modes ----

    def _link(self, part: Part, change: FileChange) -> None:
        path = part.prefix + b"/" + change.path if part.prefix else change.path
        number = b"%06d" % len(self.items)
        stage = os.fsencode(self.stage)
        live = os.fsencode(self.root) + b"/" + path
        new, old, keep = stage + b"/new/" + path, stage + b"/old/" + number, stage + b"/keep/" + number
        before = os.lstat(live) if change.kind != "added" else None
        old_facts = None
        if before is not None:
            os.link(live, old, follow_symlinks=False)
            if change.seen is not None and look(old) != change.seen:
                raise DeploymentFailed(
                    tr("{path} was changed while the deployment was being prepared.", path=path_text(path)),
                    tr("Run it again."),
                )
            old_facts = (before.st_size, before.st_mtime_ns)
        elif not self._below_deleted(live):
            self._refuse_if_there(live, path)
        new_facts = None
        if change.kind == "deleted":
            self.deleted.add(live)
            if before is not None and stat_module.S_ISLNK(before.st_mode):
                self.links_deleted.append(live)
        else:
            self._dress(new, live, change.mode, before, part.modes.of(change.path, change.mode))
            if change.mode != LINK:
                self._time(new, live, before)
            os.link(new, keep, follow_symlinks=False)
            found = os.lstat(new)
            new_facts = (found.st_size, found.st_mtime_ns)
        self.items.append(Item(change.kind, live, new, old, keep, old_facts, new_facts))

    def _time(self, new: bytes, live: bytes, before: os.stat_result | None) -> None:
        """A second of its own (see times.py), and no bytecode that would be taken for the new file's all the same."""
        caches = self.caches(live)
        self.stale += unchecked(caches)
        earlier = [self.newest] if before is None else [self.newest, second(before.st_mtime_ns)]
        make_newer(new, [*earlier, *recorded(caches, os.lstat(new).st_size)])

    def _tracked_bytecode(self, parts: Sequence[Part]) -> Iterator[bytes]:
        """Of the bytecode beside files that go or are replaced, what the new release brings itself."""
        moved = (item.live for item in self.items if item.kind != "changed")
        if not self.stale and not any(self.caches(live) or exists(live + b"c") for live in moved):
            return
        for part in parts:
            prefix = os.fsencode(self.root / os.fsdecode(part.prefix)) + b"/"
            index = self.stage / self.indexes[part.prefix][0]
            listed = part.repository.output("ls-files", "-z", "--", "*.pyc", index=index)
            yield from (prefix + path for path in listed.split(b"\0") if path)

    def _below_deleted(self, live: bytes) -> bool:
        """Whether a file or link that the switch deletes stands where a folder of LIVE's will be."""
        return any(live.startswith(path + b"/") for path in self.links_deleted)

    @staticmethod
    def _refuse_if_there(live: bytes, path: bytes) -> None:
        if exists(live) and git_mode(live) != 0o40000:
            raise DeploymentFailed(
                tr("{path} appeared while the deployment was being prepared.", path=path_text(path)),
                tr("Run it again."),
            )

    @staticmethod
    def _dress(
        new: bytes,
        live: bytes,
        mode: int,
        before: os.stat_result | None,
        recorded: Recorded | None,
    ) -> None:
        """Owner, group, permissions and extended attributes of the file that is replaced; a new one is its folder's."""
        own = os.lstat(new)
        if recorded is not None and recorded[1] >= 0:
            uid, gid = recorded[1:]
        elif before is not None and not stat_module.S_ISDIR(before.st_mode):
            uid, gid = before.st_uid, before.st_gid
        else:
            folder = os.lstat(nearest_directory(os.path.dirname(live)))
            uid = folder.st_uid if os.geteuid() == 0 else own.st_uid
            gid = folder.st_gid if folder.st_mode & stat_module.S_ISGID or os.geteuid() == 0 else own.st_gid
        if (uid, gid) != (own.st_uid, own.st_gid):
            try:
                os.chown(new, uid, gid, follow_symlinks=False)
            except PermissionError:
                if uid != own.st_uid:  # only another group of the owner's is worth a try, not a failure
                    raise
        if mode == LINK:
            return
        if before is not None and stat_module.S_ISREG(before.st_mode):
            bits = stat_module.S_IMODE(before.st_mode)
            if bool(bits & 0o100) != (mode == 0o100755):
                bits = bits | (bits & 0o444) >> 2 if mode == 0o100755 else bits & ~0o111
            set_attributes(new, attributes_of(live))
            os.chmod(new, bits if recorded is None else recorded[0])
        else:
            dress_new_file(new, nearest_directory(os.path.dirname(live)), executable=mode == 0o100755)
            if recorded is not None:
                os.chmod(new, recorded[0])

    # ---- directories ----

    def _made_directories(self) -> list[bytes]:
        made: set[bytes] = set()
        root = os.fsencode(self.root)
        known: set[bytes] = {root}
        wanted = [os.path.dirname(item.live) for item in self.items if item.kind != "deleted"]
        for parent in (*wanted, *(root + b"/" + folder for folder in self.folders)):
            while parent not in known:
                known.add(parent)
                if parent in self.deleted or not exists(parent):
                    made.add(parent)
                parent = os.path.dirname(parent)
        for module, _ in self.modules.values():
            parent = os.path.dirname(module.live)
            while module.staged and not exists(parent):
                made.add(parent)
                parent = os.path.dirname(parent)
        return sorted(made)

    def _old_directories(self) -> list[Directory]:
        """Directories that deletions may leave empty, and those that stand where a file will be."""
        root = os.fsencode(self.root)
        found: dict[bytes, Directory] = {}
        folders = [folder for name in self.emptied if git_mode(folder := root + b"/" + name) == 0o40000]
        for parent in (*(os.path.dirname(item.live) for item in self.items if item.kind == "deleted"), *folders):
            while parent != root and parent not in found:
                found[parent] = directory_at(parent)
                parent = os.path.dirname(parent)
        for item in self.items:
            if item.kind == "added" and git_mode(item.live) == 0o40000:
                for base, folders, _ in os.walk(item.live):
                    found[base] = directory_at(base)
                    for name in folders:
                        inner = os.path.join(base, name)
                        if not os.path.islink(inner):
                            found[inner] = directory_at(inner)
        staying = {root + b"/" + folder for folder in self.folders}
        return [found[path] for path in sorted(found) if path not in staying]
