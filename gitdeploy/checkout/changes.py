"""What a switch would do to the files of the checkout: compared with what is really on disk, nothing changed.

A release replaces the old one's files; the operator's own things (local edits, untracked and ignored files in the way,
keep paths, data that the new release no longer tracks) must survive. Everything that speaks against a switch is found
here at once, before anything is touched.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.bytecode import is_bytecode
from gitdeploy.checkout.filters import refuse_failed_filter
from gitdeploy.checkout.git import LONG, Repository, blob_id, file_blob_id
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import Local, LocalChange, git_mode
from gitdeploy.errors import DeploymentFailed
from gitdeploy.text import count, listing, path_text

Kind = Literal["added", "changed", "deleted"]
Policy = Literal["refuse", "merge", "discard"]
SUBMODULE = 0o160000
LINK = 0o120000
REGULAR = frozenset((0o100644, 0o100755))
_ALL_SUBMODULES = "--ignore-submodules=none"  # whatever submodule.NAME.ignore says


class FileChange(Struct, frozen=True):
    """One path that the switch changes on disk. `mode` is git's, 0 for a deletion.

    What will stand there: the blob `oid` through git's filters, its bytes as they are (`exact`), or `content`.
    """

    path: bytes
    kind: Kind
    mode: int = 0
    oid: str = ""
    exact: bool = False
    content: bytes | None = None
    seen: tuple[int, int, int] | None = None  # inode, size, mtime in ns of what stood there when it was compared


class Target(Struct, frozen=True):
    """What is to be live: HEAD (a commit, on a branch or not), the tree of the files, the tree of the index.

    `exact`: paths whose blobs are bytes of the disk; `untracked`: paths of `tree` that the index doesn't have.
    """

    commit: str
    tree: str
    index_tree: str
    branch: str | None = None
    exact: frozenset[bytes] = frozenset()
    untracked: frozenset[bytes] = frozenset()
    hidden: tuple[bytes, ...] = ()
    left_out: tuple[bytes, ...] = ()  # paths of `tree` that a sparse checkout leaves absent


class Problem(Struct, frozen=True):
    """Something that speaks against the deployment, and what to do. `refused`: by policy (exit 7), else exit 1; `ways`:
    what to do with local changes that would settle it."""

    message: str
    hint: str = ""
    refused: bool = False
    ways: tuple[Policy, ...] = ()


class TreePlan(Struct, frozen=True):
    """What the switch does to one checkout's files, and what stands in its way."""

    changes: tuple[FileChange, ...]
    problems: tuple[Problem, ...]
    saved: tuple[bytes, ...]  # local content that only the backup will hold
    kept: tuple[bytes, ...]  # keep paths that the release changes, deletes or begins to track
    kept_data: tuple[bytes, ...]  # files that the release no longer tracks but ignores: left where they are
    merged: tuple[bytes, ...]
    submodules: tuple[tuple[bytes, str, str], ...]  # path, commit now, commit then ("" for none)


class _Entry(Struct, frozen=True):
    old_mode: int
    old_id: str
    new_mode: int
    new_id: str


def plan_tree(
    repository: Repository,
    local: Local,
    target: Target,
    *,
    keep: KeepPaths,
    policy: Policy,
    forbidden: Iterable[bytes] = (),
    keep_dropped: bool = True,
) -> TreePlan:
    """Compare what is live with TARGET.

    forbidden: paths that no release may track (the state directory, the venv). keep_dropped: what the target no longer
    tracks but ignores stays on disk even unedited (an upgrade); else only where it was edited (on the way back, where
    the release brought it). Raises `CommandFailed` where git fails.
    """
    return _Planner(repository, local, target, keep, policy, tuple(forbidden), keep_dropped).plan()


def tree_difference(repository: Repository, old: str, new: str) -> Mapping[bytes, tuple[int, str, int, str]]:
    """Path -> (old mode, old id, new mode, new id) of what differs between two trees, given by their ids."""
    if old > new:
        turned = _tree_difference(repository, new, old).items()
        return {path: (old_mode, old_id, new_mode, new_id) for path, (new_mode, new_id, old_mode, old_id) in turned}
    return _tree_difference(repository, old, new)


@lru_cache(maxsize=4)
def _tree_difference(repository: Repository, old: str, new: str) -> Mapping[bytes, tuple[int, str, int, str]]:
    """The same, kept, since two ids always differ in the same; a plan asks for it forwards and backwards."""
    output = repository.output(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", _ALL_SUBMODULES, old, new, timeout=LONG
    )
    fields = output.split(b"\0")
    found = {}
    for facts, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, _ = facts[1:].decode().split(" ")
        found[path] = (int(old_mode, 8), old_id, int(new_mode, 8), new_id)
    return found


def list_tree(repository: Repository, tree: str) -> dict[bytes, tuple[int, str]]:
    """Path -> (mode, id) of every entry of a tree."""
    found = {}
    for entry in repository.output("ls-tree", "-r", "-z", "--full-tree", tree, timeout=LONG).split(b"\0"):
        if entry:
            facts, _, path = entry.partition(b"\t")
            mode, _, oid = facts.split(b" ")
            found[path] = (int(mode, 8), oid.decode())
    return found


class _Planner(Struct):
    repository: Repository
    local: Local
    target: Target
    keep: KeepPaths
    policy: Policy
    forbidden: tuple[bytes, ...]
    keep_dropped: bool
    seen: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    links: dict[bytes, bool] = field(default_factory=dict)  # folder -> whether it is, or is behind, a symbolic link
    changes: dict[bytes, FileChange] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    saved: set[bytes] = field(default_factory=set)
    kept: set[bytes] = field(default_factory=set)
    kept_data: set[bytes] = field(default_factory=set)
    merged: set[bytes] = field(default_factory=set)
    submodules: list[tuple[bytes, str, str]] = field(default_factory=list)
    edited: list[bytes] = field(default_factory=list)
    in_the_way: list[bytes] = field(default_factory=list)
    conflicts: list[bytes] = field(default_factory=list)
    difference: dict[bytes, _Entry] = field(default_factory=dict)
    root: bytes = b""
    parents: dict[bytes, bool] = field(default_factory=dict)
    absent: frozenset[bytes] = frozenset()  # what a sparse checkout leaves out, now or then
    mode_changes: dict[bytes, int] = field(default_factory=dict)  # path -> git's mode for what differs in nothing else

    def plan(self) -> TreePlan:
        self.root = os.fsencode(self.repository.root)
        self.absent = frozenset(self.target.left_out) | frozenset(self.local.sparse)
        raw = tree_difference(self.repository, self.repository.tree_of(self.local.head), self.target.tree)
        self.difference = {path: _Entry(*facts) for path, facts in raw.items()}
        self._refuse_hostile_paths()
        local = self.local.changed()
        local |= self._undetected(local)
        dropped = self._ignored_by_target(
            [
                path
                for path, entry in self.difference.items()
                if entry.new_mode == 0 and not self.keep.match(path) and (self.keep_dropped or path in local)
            ]
        )
        for path in sorted(self.difference.keys() | local.keys()):
            if path in self.absent and self._mode(path) == 0:
                continue
            entry, change = self.difference.get(path), local.get(path)
            if self._is_submodule(entry, change):
                self._submodule(path, entry, change)
            elif self.keep.match(path) and (
                self._mode(path) or (entry and entry.old_mode) or (change and change.head_mode)
            ):
                if entry:
                    self.kept.add(path)
            elif path in dropped:
                self.kept_data.add(path)
            elif change is not None:
                self._locally_changed(path, entry, change)
            elif entry is not None:
                self._by_release(path, entry)
        self._look_at_places()
        self._say()
        return TreePlan(
            tuple(self._with_seen(self.changes[path]) for path in sorted(self.changes)),
            tuple(self.problems),
            tuple(sorted(self.saved)),
            tuple(sorted(self.kept)),
            tuple(sorted(self.kept_data)),
            tuple(sorted(self.merged)),
            tuple(self.submodules),
        )

    def _with_seen(self, change: FileChange) -> FileChange:
        if change.kind == "added":
            return change
        return replace(change, seen=self.seen.get(change.path) or look(self._full(change.path)))

    def _full(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def _mode(self, path: bytes) -> int:
        """What git would record for PATH; 0 also where it would be reached through a symbolic link, as git sees it."""
        folder = os.path.dirname(path)
        return 0 if folder and self._behind_link(folder) else git_mode(self._full(path))

    def _behind_link(self, folder: bytes) -> bool:
        known = self.links.get(folder)
        if known is None:
            above = os.path.dirname(folder)
            known = bool(above and self._behind_link(above)) or os.path.islink(self._full(folder))
            self.links[folder] = known
        return known

    # ---- one path ----

    def _by_release(self, path: bytes, entry: _Entry) -> None:
        """The disk has HEAD's version (or, for a new path, something of the user's, or nothing)."""
        if entry.new_mode == 0:
            self.changes[path] = FileChange(path, "deleted")
        elif entry.old_mode == 0:
            self._new_path(path, entry.new_mode, entry.new_id)
        else:
            # Permissions set by hand that git was told to overlook stay where the release doesn't change them.
            on_disk = self._mode(path)
            by_hand = entry.old_mode == entry.new_mode and {on_disk, entry.new_mode} <= REGULAR
            self._put(path, "changed", on_disk if by_hand else entry.new_mode, entry.new_id)

    def _new_path(self, path: bytes, mode: int, oid: str) -> None:
        found = self._mode(path)
        if found == 0 or found == 0o40000:
            self._put(path, "added", mode, oid)  # a directory in the way is looked at once all deletions are known
        elif not self._same(path, mode, oid):
            by_mode = self._only_mode(path, mode, oid)
            if by_mode and not self._file_mode():
                return
            if self.policy == "discard":
                self.saved.add(path)
                self._put(path, "changed", mode, oid)
            elif by_mode:
                self.mode_changes[path] = mode
            else:
                self.in_the_way.append(path)

    def _locally_changed(self, path: bytes, entry: _Entry | None, change: LocalChange) -> None:
        mode, oid = (entry.new_mode, entry.new_id) if entry else (change.head_mode, change.head_id)
        if self.policy == "refuse":
            if not change.staged and self._only_mode(path, change.head_mode, change.head_id):
                self.mode_changes[path] = change.head_mode
            else:
                self.edited.append(path)
        elif self.policy == "discard":
            self._discard(path, change, mode, oid)
        elif entry is not None:
            self._merge(path, entry, change)

    def _discard(self, path: bytes, change: LocalChange, mode: int, oid: str) -> None:
        self.saved.add(path)
        on_disk = self._mode(path)
        if mode == 0:
            # What was only staged stays on disk, untracked, as git leaves it too.
            if change.head_mode and on_disk:
                self.changes[path] = FileChange(path, "deleted")
        elif on_disk in (0, 0o40000):
            self._put(path, "added", mode, oid)
        elif not self._same(path, mode, oid):
            self._put(path, "changed", mode, oid)

    def _merge(self, path: bytes, entry: _Entry, change: LocalChange) -> None:
        on_disk = self._mode(path)
        if entry.new_mode == 0 and on_disk == 0:
            return
        if on_disk and entry.new_mode and self._same(path, entry.new_mode, entry.new_id):
            return
        regular = {0o100644, 0o100755}
        merged = None
        if {on_disk, entry.old_mode, entry.new_mode} <= regular and change.index_mode:
            merged = self._merge_file(path, entry)
        if merged is None:
            self.conflicts.append(path)
            return
        self.merged.add(path)
        self.saved.add(path)
        mode = entry.new_mode if entry.new_mode != entry.old_mode else on_disk
        self.changes[path] = FileChange(path, "changed", mode, content=merged)

    def _merge_file(self, path: bytes, entry: _Entry) -> bytes | None:
        """Three-way merge of the local edit into the release's version, by git merge-file; None where it conflicts."""
        name = os.fsdecode(path)
        with self.repository.scratch() as folder:
            for label, oid in (("base", entry.old_id), ("release", entry.new_id)):
                done = self.repository.output("cat-file", "--filters", f"--path={name}", oid)
                Path(folder, label).write_bytes(done)
            Path(folder, "local").write_bytes(Path(os.fsdecode(self._full(path))).read_bytes())
            files = [os.path.join(folder, label) for label in ("local", "base", "release")]
            done_merge = self.repository.run("merge-file", "-p", "-q", *files)
        return done_merge.stdout if done_merge.returncode == 0 else None

    def _put(self, path: bytes, kind: Kind, mode: int, oid: str) -> None:
        self.changes[path] = FileChange(path, kind, mode, oid, path in self.target.exact)

    def _same(self, path: bytes, mode: int, oid: str) -> bool:
        """Whether the disk already has just that blob, with that mode."""
        return self._mode(path) == mode and self._same_content(path, oid)

    def _same_content(self, path: bytes, oid: str) -> bool:
        if file_blob_id(self._full(path), len(oid)) == oid:
            return True
        return path not in self.target.exact and self._cleaned([path]).get(path) == oid

    def _only_mode(self, path: bytes, mode: int, oid: str) -> bool:
        """Whether PATH is a file whose right to be executed alone differs."""
        on_disk = self._mode(path)
        return on_disk != mode and {on_disk, mode} <= REGULAR and self._same_content(path, oid)

    def _file_mode(self) -> bool:
        """Whether git was told to look at modes (core.fileMode)."""
        values = self.repository.config(r"^core\.filemode$").get("core.filemode", ["true"])
        return values[-1].lower() not in ("false", "no", "off", "0")

    # ---- facts ----

    def _undetected(self, local: Mapping[bytes, LocalChange]) -> dict[bytes, LocalChange]:
        """Edits that git's cached file times hide: every file about to be replaced is read and compared."""
        odd = []
        for path, entry in self.difference.items():
            if path in local or path in self.absent or entry.old_mode in (0, SUBMODULE) or self.keep.match(path):
                continue
            full = self._full(path)
            try:
                self.seen[path] = look(full)
            except (FileNotFoundError, NotADirectoryError):
                odd.append(path)
                continue
            if self._mode(path) == 0o40000 or file_blob_id(full, len(entry.old_id)) != entry.old_id:
                odd.append(path)
        if not odd:
            return {}
        cleaned = self._cleaned([path for path in odd if self._mode(path) not in (0, 0o40000, LINK)])
        return {
            path: LocalChange(path, entry.old_mode, entry.old_id, entry.old_mode, entry.old_id, self._mode(path))
            for path in odd
            if cleaned.get(path) != (entry := self.difference[path]).old_id
        }

    def _cleaned(self, paths: list[bytes]) -> dict[bytes, str]:
        """Path -> the id that git would give its present content (line ends and filters applied). Raises
        `DeploymentFailed` where a file can't be read or a filter fails."""
        usable = [path for path in paths if b"\n" not in path]
        found = {}
        if usable:
            done = self.repository.run("hash-object", "--stdin-paths", stdin=b"\n".join(usable) + b"\n")
            refuse_failed_filter(done)
            if not done.ok:
                raise DeploymentFailed(f"git can't read the checkout's files: {done.error_text}")
            found = dict(zip(usable, done.stdout.decode().split(), strict=True))
        for path in set(paths).difference(usable):  # one by one: a line ends at a line feed
            content = Path(os.fsdecode(self._full(path))).read_bytes()
            words = ("hash-object", f"--path={os.fsdecode(path)}", "--stdin")
            found[path] = self.repository.output(*words, stdin=content).decode().strip()
        return found

    def _ignored_by_target(self, deleted: list[bytes]) -> set[bytes]:
        """Those of DELETED that the target's own .gitignore files name: data that the app wrote into tracked files."""
        here = [path for path in deleted if b"\n" not in path and self._mode(path) not in (0, 0o40000)]
        if not here:
            return set()
        folders = {b""}
        for path in here:
            while (path := os.path.dirname(path)) and path not in folders:
                folders.add(path)
        names = [os.fsdecode(os.path.join(folder, b".gitignore")) for folder in sorted(folders)]
        rules = self.repository.read_many(self.target.tree, names)
        with self.repository.scratch() as scratch:
            for name, content in rules.items():
                file = scratch / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            done = self.repository.run(
                "check-ignore", "--no-index", "-z", "--stdin", stdin=b"\0".join(here) + b"\0", work_tree=scratch
            )
        return {path for path in done.stdout.split(b"\0") if path}

    # ---- places ----

    def _refuse_hostile_paths(self) -> None:
        links = []
        for path, entry in self.difference.items():
            if entry.new_mode == 0:
                continue
            parts = path.split(b"/")
            if any(p in (b"", b".", b"..") or p.lower() == b".git" or len(p) > 255 for p in parts) or len(path) > 3500:
                self._hostile(path, "is no path that a checkout can have")
            for taken in self.forbidden:
                if path == taken or path.startswith(taken + b"/"):
                    self._hostile(path, "belongs to this server, not to a release")
            if entry.new_mode == LINK and os.path.isdir(self._full(path)) and not os.path.islink(self._full(path)):
                links.append(path)
        for path in links:
            target = self.repository.output("cat-file", "blob", self.difference[path].new_id)
            resolved = os.path.normpath(os.path.join(os.path.dirname(self._full(path)), target))
            if resolved != self.root and not resolved.startswith(self.root + b"/"):
                self._hostile(path, f"would turn a directory into a link to {path_text(target)}, outside the checkout")

    def _hostile(self, path: bytes, why: str) -> None:
        self.problems.append(
            Problem(
                f"The release tracks `{path_text(path)}`, which {why}.",
                "Such a release can't be installed; ask its author to remove it.",
                refused=True,
            )
        )

    def _look_at_places(self) -> None:
        """Directories where files must go, files where directories must go, links and mounts on the way."""
        mounts = _mounts_below(self.root)
        deleted = {path for path, change in self.changes.items() if change.kind == "deleted"}
        blocked: list[bytes] = []
        linked: list[bytes] = []
        mounted: list[bytes] = []
        for path, change in self.changes.items():
            if change.kind != "deleted":
                full = self._full(path)
                if self._mode(path) == 0o40000 and change.kind == "added":
                    blocked += [p for p in _files_below(full, path) if p not in deleted and not is_bytecode(p)]
                if blocker := self._blocking_parent(path, deleted):
                    (linked if os.path.islink(self._full(blocker)) else blocked).append(blocker)
            if mounts and any(_is_below(path, mount) for mount in mounts):
                mounted.append(path)
        if blocked:
            self.problems.append(
                Problem(
                    f"{count(len(set(blocked)), 'path')} of yours stand where the release has a file or folder: "
                    f"{_names(set(blocked))}.",
                    "Move them away first.",
                    refused=True,
                )
            )
        if linked:
            self.problems.append(
                Problem(
                    f"A symbolic link stands where the release has a folder: {_names(set(linked))}.",
                    "Put a real folder there, or keep the files behind it out of the release (git.keep).",
                    refused=True,
                )
            )
        if mounted:
            self.problems.append(
                Problem(
                    f"The release changes files on another mount inside the checkout: {_names(mounted)}.",
                    "Files can't be renamed across mounts. Unmount it for the deployment, or add the path to git.keep.",
                )
            )

    def _blocking_parent(self, path: bytes, deleted: set[bytes]) -> bytes | None:
        """The nearest thing above PATH that is no directory and won't be deleted."""
        parent = os.path.dirname(path)
        while parent:
            if parent in self.parents:
                if self.parents[parent]:
                    return None
            else:
                mode = git_mode(self._full(parent))
                self.parents[parent] = mode == 0o40000
                if mode not in (0, 0o40000) and parent not in deleted:
                    del self.parents[parent]
                    return parent
            parent = os.path.dirname(parent)
        return None

    # ---- submodules ----

    @staticmethod
    def _is_submodule(entry: _Entry | None, change: LocalChange | None) -> bool:
        return bool((entry and SUBMODULE in (entry.old_mode, entry.new_mode)) or (change and change.submodule))

    def _submodule(self, path: bytes, entry: _Entry | None, change: LocalChange | None) -> None:
        old_mode, old_id = (
            (entry.old_mode, entry.old_id) if entry else (change.head_mode, change.head_id) if change else (0, "")
        )
        new_mode, new_id = (entry.new_mode, entry.new_id) if entry else (old_mode, old_id)
        if old_mode not in (0, SUBMODULE):
            self.changes[path] = FileChange(path, "deleted")
        if new_mode not in (0, SUBMODULE):
            self._put(path, "added", new_mode, new_id)
        self.submodules.append((path, old_id if old_mode == SUBMODULE else "", new_id if new_mode == SUBMODULE else ""))

    # ---- words ----

    def _say(self) -> None:
        if self.mode_changes:
            self._say_modes()
        if self.edited:
            names = [path_text(path) for path in self.edited]
            self.problems.append(
                Problem(
                    f"{count(len(names), 'tracked file')} changed locally: {listing(names)}.",
                    "Three ways out: --discard-local-changes (the backup holds them, `gitdeploy restore` brings them "
                    "back); --merge-local-changes (a three-way merge into the release); or keep them for good in "
                    f"deploy.yaml:  {self._keep_line(names)}",
                    refused=True,
                    ways=("merge", "discard"),
                )
            )
        if self.in_the_way:
            names = [path_text(path) for path in self.in_the_way]
            self.problems.append(
                Problem(
                    f"{count(len(names), 'untracked or ignored file')} of yours, which the release would overwrite: "
                    f"{listing(names)}.",
                    f"Keep them for good in deploy.yaml:  {self._keep_line(names)}  "
                    "or take the release's with --discard-local-changes (the backup holds yours).",
                    refused=True,
                    ways=("discard",),
                )
            )
        if self.conflicts:
            names = [path_text(path) for path in self.conflicts]
            self.problems.append(
                Problem(
                    f"Local changes conflict with the release's in {listing(names)}.",
                    "Merge them by hand, or discard them: --discard-local-changes (the backup holds them).",
                    refused=True,
                    ways=("discard",),
                )
            )

    def _say_modes(self) -> None:
        names = [path_text(path) for path in self.mode_changes]
        back = [
            f"chmod {word} {' '.join(shlex.quote(path_text(path)) for path in found)}"
            for word, wanted in (("-x", 0o100644), ("+x", 0o100755))
            if (found := [path for path, mode in self.mode_changes.items() if mode == wanted])
        ]
        ways = f"Put them back: {' && '.join(back)}. " if len(names) <= 20 else ""
        self.problems.append(
            Problem(
                f"{count(len(names), 'file')} changed locally, but only in their mode: {listing(names)}.",
                f"{ways}To keep modes set by hand, have git overlook them: git config core.fileMode false",
                refused=True,
                ways=("merge", "discard"),
            )
        )

    def _keep_line(self, names: list[str]) -> str:
        """The line of deploy.yaml that settles it: what is kept already, and these."""
        kept = dict.fromkeys([*self.keep.patterns, *names[:20]])
        return f"git: {{keep: [{', '.join(_yaml(name) for name in kept)}]}}"


def _yaml(name: str) -> str:
    return name if name.replace("/", "").replace(".", "").replace("-", "").replace("_", "").isalnum() else f'"{name}"'


def _names(paths: Iterable[bytes]) -> str:
    return listing([path_text(path) for path in sorted(paths)])


def _is_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _files_below(folder: bytes, name: bytes) -> list[bytes]:
    found = []
    for base, _, files in os.walk(folder, onerror=_raise):
        found += [name + (os.path.join(base, file))[len(folder) :] for file in files]
        found += [
            name + os.path.join(base, link)[len(folder) :]
            for link in os.listdir(base)
            if stat.S_ISLNK(os.lstat(os.path.join(base, link)).st_mode) and link not in files
        ]
    return found


def _raise(error: OSError) -> None:
    raise error


def _mounts_below(root: bytes) -> list[bytes]:
    """Mount points inside the checkout, relative to it (bind mounts have its st_dev: only mountinfo tells; proc(5))."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    real = os.path.realpath(root)
    found = []
    for line in lines:
        point = line.split(b" ")[4].decode("unicode_escape").encode("latin-1")
        if point.startswith(real + b"/"):
            found.append(point[len(real) + 1 :])
    return found


def look(path: bytes) -> tuple[int, int, int]:
    """Inode, size and mtime (ns) of what stands at PATH."""
    found = os.lstat(path)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def content_id(change: FileChange, length: int = 40) -> str:
    """The blob id of what will stand at a change's path, where it is known without filters."""
    return blob_id(change.content, len(change.content), length) if change.content is not None else change.oid
