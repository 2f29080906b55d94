"""What a switch would do to the files of the checkout: compared with what is really on disk, nothing changed.

A release replaces the old one's files; the operator's own things (local edits, untracked and ignored files in the way,
keep paths, data that the new release no longer tracks) must survive. Everything that speaks against a switch is found
here at once, before anything is touched. It works on the one plan over all paths (`paths.py`): whether a path is the
checkout's or a submodule's decides only which repository is asked about it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.checkout.blobs import file_blob_id
from gitdeploy.checkout.changes import LINK, REGULAR, FileChange, Kind, Policy, Problem, TreePlan, look
from gitdeploy.checkout.envpath import EnvPath
from gitdeploy.checkout.filters import refuse_failed_filter
from gitdeploy.checkout.ignored import ignored_paths
from gitdeploy.checkout.keep import KeepPaths, keep_line
from gitdeploy.checkout.local import LocalChange
from gitdeploy.checkout.paths import Entry, Owner, Side, owner_of, settled
from gitdeploy.checkout.places import Disk, Places
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import count, listing, path_text, shell_word


class Facts(Struct, frozen=True):
    """What a plan is made from. Paths are the checkout's; `now` and `then`: who owns what is below a folder, before the
    switch and after it.

    entries: what differs. local: tracked paths that differ from HEAD on disk. gitfiles: `.git` files of submodules that
    come and go. gitlinks: places of the submodules that the target has. alone: folders that nothing of the plan may reach.
    keep_dropped: what the target no longer tracks but ignores stays on disk even unedited (an upgrade); else only where
    it was edited (on the way back, where the release brought it). absent: what a sparse checkout leaves out, now or then.
    """

    root: Path
    now: Mapping[bytes, Owner]
    then: Mapping[bytes, Owner]
    entries: Mapping[bytes, Entry]
    local: Mapping[bytes, LocalChange]
    keep: KeepPaths
    policy: Policy
    forbidden: tuple[bytes, ...] = ()
    keep_dropped: bool = True
    gitfiles: tuple[FileChange, ...] = ()
    gitlinks: tuple[bytes, ...] = ()
    folders: tuple[bytes, ...] = ()
    emptied: tuple[bytes, ...] = ()
    alone: tuple[bytes, ...] = ()
    problems: tuple[Problem, ...] = ()  # known already
    env: EnvPath | None = None
    absent: frozenset[bytes] = frozenset()


def plan_paths(facts: Facts) -> TreePlan:
    """What happens to each path. Raises `CommandFailed` where git fails, `DeploymentFailed` where a path has two owners."""
    return _Planner(facts, Disk(os.fsencode(facts.root))).plan()


class _Planner(Struct):
    facts: Facts
    disk: Disk
    seen: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    changes: dict[bytes, FileChange] = field(default_factory=dict)
    saved: set[bytes] = field(default_factory=set)
    kept: set[bytes] = field(default_factory=set)
    kept_data: set[bytes] = field(default_factory=set)
    merged: set[bytes] = field(default_factory=set)
    edited: list[bytes] = field(default_factory=list)
    in_the_way: list[bytes] = field(default_factory=list)
    conflicts: list[bytes] = field(default_factory=list)
    mode_changes: dict[bytes, int] = field(default_factory=dict)  # path -> git's mode for what differs in nothing else

    def plan(self) -> TreePlan:
        facts = self.facts
        local = dict(facts.local)
        local |= self._undetected(local)
        dropped = self._ignored_by_target(self._droppable(local))
        for path in sorted(facts.entries.keys() | local.keys()):
            if path in facts.absent and self.disk.mode(path) == 0:
                continue
            entry, change = facts.entries.get(path), local.get(path)
            if self._stays_local(path, entry, change):
                if entry and entry.changes:
                    self.kept.add(path)
            elif path in dropped:
                self.kept_data.add(path)
            elif change is not None and not (facts.env and self._is_only_version(facts.env, path, change)):
                self._locally_changed(path, entry, change)
            elif entry is not None and entry.changes:
                self._by_release(path, entry)
        version = facts.env.follow(self.disk.root, self.changes, self._planned_bytes) if facts.env else None
        changes = settled((*self.changes.values(), *facts.gitfiles))
        places = Places(self.disk, {change.path: change for change in changes})
        problems = [
            *facts.problems,
            *places.hostile(facts.entries, facts.gitlinks, facts.forbidden),
            *places.alone(facts.alone),
            *places.blocked(facts.folders),
            *self._said(),
        ]
        return TreePlan(
            tuple(self._with_seen(change) for change in changes),
            tuple(problems),
            tuple(sorted(self.saved)),
            tuple(sorted(self.kept)),
            tuple(sorted(self.kept_data)),
            tuple(sorted(self.merged)),
            facts.folders,
            facts.emptied,
            version,
        )

    def _with_seen(self, change: FileChange) -> FileChange:
        if change.kind == "added" or change.seen is not None:
            return change
        return replace(change, seen=self.seen.get(change.path) or look(self.disk.full(change.path)))

    # ---- one path ----

    def _stays_local(self, path: bytes, entry: Entry | None, change: LocalChange | None) -> bool:
        """Whether PATH is a keep path and there is something to keep: its content, or that it was removed."""
        return self.facts.keep.match(path) and bool(
            self.disk.mode(path) or (entry and entry.old_mode) or (change and change.head_mode)
        )

    def _by_release(self, path: bytes, entry: Entry) -> None:
        """The disk has HEAD's version (or, for a new path, something of the user's, or nothing)."""
        if entry.new is None:
            self.changes[path] = FileChange(path, "deleted")
        elif entry.old is None:
            self._new_path(path, entry.new)
        else:
            # Permissions set by hand that git was told to overlook stay where the release doesn't change them.
            on_disk = self.disk.mode(path)
            by_hand = entry.old_mode == entry.new_mode and {on_disk, entry.new_mode} <= REGULAR
            self._put(path, "changed", replace(entry.new, mode=on_disk) if by_hand else entry.new)

    def _new_path(self, path: bytes, new: Side) -> None:
        found = self.disk.mode(path)
        if found in {0, 16384}:
            self._put(path, "added", new)  # a directory in the way is looked at once all deletions are known
        elif not self._same(path, new):
            by_mode = self._only_mode(path, new)
            if by_mode and not _looks_at_modes(new.owner):
                return
            if self.facts.policy == "discard":
                self.saved.add(path)
                self._put(path, "changed", new)
            elif by_mode:
                self.mode_changes[path] = new.mode
            else:
                self.in_the_way.append(path)

    def _locally_changed(self, path: bytes, entry: Entry | None, change: LocalChange) -> None:
        if self.facts.policy == "refuse":
            head = self._head(path, change)
            if head is not None and not change.staged and self._only_mode(path, head):
                self.mode_changes[path] = head.mode
            else:
                self.edited.append(path)
        elif self.facts.policy == "discard":
            self._discard(path, change, entry.new if entry else self._head(path, change))
        elif entry is not None and entry.changes:
            self._merge(path, entry, change)

    def _head(self, path: bytes, change: LocalChange) -> Side | None:
        """What HEAD has of a path that the target doesn't change."""
        owner = owner_of(self.facts.now, path)
        return Side(owner, change.head_mode, change.head_id, False) if change.head_mode else None

    def _discard(self, path: bytes, change: LocalChange, new: Side | None) -> None:
        self.saved.add(path)
        on_disk = self.disk.mode(path)
        if new is None:
            # What was only staged stays on disk, untracked, as git leaves it too.
            if change.head_mode and on_disk:
                self.changes[path] = FileChange(path, "deleted")
        elif on_disk in (0, 0o40000):
            self._put(path, "added", new)
        elif not self._same(path, new):
            self._put(path, "changed", new)

    def _merge(self, path: bytes, entry: Entry, change: LocalChange) -> None:
        on_disk = self.disk.mode(path)
        if entry.new is None and on_disk == 0:
            return
        if on_disk and entry.new and self._same(path, entry.new):
            return
        merged = None
        old, new = entry.old, entry.new
        if old and new and {on_disk, old.mode, new.mode} <= REGULAR and change.index_mode:
            merged = self._merge_file(path, old, new)
        if merged is None or old is None or new is None:
            self.conflicts.append(path)
            return
        self.merged.add(path)
        self.saved.add(path)
        mode = new.mode if new.mode != old.mode else on_disk
        self.changes[path] = FileChange(path, "changed", mode, content=merged, owner=new.owner.prefix)

    def _merge_file(self, path: bytes, old: Side, new: Side) -> bytes | None:
        """Three-way merge of the local edit into the release's version, by git merge-file; None where it conflicts."""
        base, local = self._filtered(path, old), Path(os.fsdecode(self.disk.full(path))).read_bytes()
        if self.facts.env is not None and path == self.facts.env.path:
            local = self.facts.env.as_in(local, base)  # a version that gitdeploy wrote is not an edit of anybody's
        repository = self.facts.now[b""].repository
        with repository.scratch() as folder:
            for label, content in (("base", base), ("release", self._filtered(path, new)), ("local", local)):
                Path(folder, label).write_bytes(content)
            files = [os.path.join(folder, label) for label in ("local", "base", "release")]
            done = repository.run("merge-file", "-p", "-q", *files)
        return done.stdout if done.returncode == 0 else None

    @staticmethod
    def _filtered(path: bytes, side: Side) -> bytes:
        """The bytes that git would write for that blob."""
        if side.exact:
            return side.owner.repository.blob(side.oid)
        name = os.fsdecode(side.owner.inside(path))
        return side.owner.repository.output("cat-file", "--filters", f"--path={name}", side.oid)

    def _planned_bytes(self, change: FileChange) -> bytes:
        """The bytes that CHANGE will put at its path."""
        if change.content is not None:
            return change.content
        owner = self.facts.then[change.owner]
        return self._filtered(change.path, Side(owner, change.mode, change.oid, change.exact))

    def _put(self, path: bytes, kind: Kind, new: Side) -> None:
        self.changes[path] = FileChange(path, kind, new.mode, new.oid, new.exact, owner=new.owner.prefix)

    def _same(self, path: bytes, new: Side) -> bool:
        """Whether the disk already has just that blob, with that mode."""
        return self.disk.mode(path) == new.mode and self._same_content(path, new)

    def _same_content(self, path: bytes, new: Side) -> bool:
        if file_blob_id(self.disk.full(path), len(new.oid)) == new.oid:
            return True
        return not new.exact and self._cleaned({path: new.owner}).get(path) == new.oid

    def _only_mode(self, path: bytes, side: Side) -> bool:
        """Whether PATH is a file whose right to be executed alone differs."""
        on_disk = self.disk.mode(path)
        return on_disk != side.mode and {on_disk, side.mode} <= REGULAR and self._same_content(path, side)

    # ---- facts ----

    def _is_only_version(self, env: EnvPath, path: bytes, change: LocalChange) -> bool:
        """Whether the local edit of PATH is gitdeploy's own: APP_VERSION in the env file."""
        if path != env.path or change.staged or self.disk.mode(path) not in REGULAR:
            return False
        head = self._head(path, change)
        if head is None or head.mode != self.disk.mode(path):
            return False
        on_disk, committed = Path(os.fsdecode(self.disk.full(path))).read_bytes(), self._filtered(path, head)
        return on_disk != committed and env.as_in(on_disk, committed) == committed

    def _undetected(self, local: Mapping[bytes, LocalChange]) -> dict[bytes, LocalChange]:
        """Edits that git's cached file times hide: every file about to be replaced is read and compared."""
        odd: dict[bytes, Side] = {}
        for path, entry in self.facts.entries.items():
            if path in local or path in self.facts.absent or entry.old is None or self.facts.keep.match(path):
                continue
            full = self.disk.full(path)
            try:
                self.seen[path] = look(full)
            except (FileNotFoundError, NotADirectoryError):
                odd[path] = entry.old
                continue
            if self.disk.mode(path) == 0o40000 or file_blob_id(full, len(entry.old.oid)) != entry.old.oid:
                odd[path] = entry.old
        if not odd:
            return {}
        cleaned = self._cleaned({p: s.owner for p, s in odd.items() if self.disk.mode(p) not in (0, 0o40000, LINK)})
        return {
            path: LocalChange(path, old.mode, old.oid, old.mode, old.oid, self.disk.mode(path))
            for path, old in odd.items()
            if cleaned.get(path) != old.oid
        }

    def _cleaned(self, paths: Mapping[bytes, Owner]) -> dict[bytes, str]:
        """Path -> the id that git would give its present content (line ends and filters applied). Raises
        `DeploymentFailed` where a file can't be read or a filter fails."""
        found: dict[bytes, str] = {}
        for owner, mine in _by_owner(paths).items():
            if not owner.place.is_dir():
                continue
            usable = [path for path in mine if b"\n" not in path]
            if usable:
                stdin = b"".join(owner.inside(path) + b"\n" for path in usable)
                done = owner.repository.run("hash-object", "--stdin-paths", stdin=stdin, work_tree=owner.place)
                refuse_failed_filter(done)
                if not done.ok:
                    raise DeploymentFailed(
                        tr("git can't read the checkout's files: {error_text}", error_text=done.error_text)
                    )
                found |= dict(zip(usable, done.stdout.decode().split(), strict=True))
            for path in set(mine).difference(usable):  # one by one: a line ends at a line feed
                content = Path(os.fsdecode(self.disk.full(path))).read_bytes()
                words = ("hash-object", f"--path={os.fsdecode(owner.inside(path))}", "--stdin")
                found[path] = owner.repository.output(*words, stdin=content).decode().strip()
        return found

    def _droppable(self, local: Mapping[bytes, LocalChange]) -> list[bytes]:
        """Files that the target no longer tracks, and that would stay if it ignored them."""
        facts = self.facts
        return [
            path
            for path, entry in facts.entries.items()
            if entry.old is not None
            and entry.new is None
            and not facts.keep.match(path)
            and ((facts.keep_dropped and entry.old.owner.prefix in facts.then) or path in local)
        ]

    def _ignored_by_target(self, deleted: list[bytes]) -> set[bytes]:
        """Those of DELETED that the target's own .gitignore files name: data that the app wrote into tracked files."""
        here = [path for path in deleted if b"\n" not in path and self.disk.mode(path) not in (0, 0o40000)]
        found: set[bytes] = set()
        for owner, mine in _by_owner({path: owner_of(self.facts.then, path) for path in here}).items():
            found |= {owner.outside(path) for path in ignored_paths(owner, [owner.inside(path) for path in mine])}
        return found

    # ---- words ----

    def _said(self) -> Iterable[Problem]:
        if self.mode_changes:
            yield self._modes_said()
        if self.edited:
            names = [path_text(path) for path in self.edited]
            yield Problem(
                tr(
                    "{count} changed locally: {names}.",
                    count=count(len(names), "tracked file"),
                    names=listing(names),
                ),
                tr(
                    "Three ways out: --discard-local-changes (the backup holds them, `gitdeploy restore` "
                    "brings them back); --merge-local-changes (a three-way merge into the release); or keep "
                    "them for good in deploy.yaml:  {keep_line}",
                    keep_line=keep_line(self.facts.keep.patterns, self.edited),
                ),
                refused=True,
                ways=("merge", "discard"),
            )
        if self.in_the_way:
            names = [path_text(path) for path in self.in_the_way]
            yield Problem(
                tr(
                    "{count} of yours, which the release would overwrite: {names}.",
                    count=count(len(names), "untracked or ignored file"),
                    names=listing(names),
                ),
                tr(
                    "Keep them for good in deploy.yaml:  {keep_line}  or take the release's with "
                    "--discard-local-changes (the backup holds yours).",
                    keep_line=keep_line(self.facts.keep.patterns, self.in_the_way),
                ),
                refused=True,
                ways=("discard",),
            )
        if self.conflicts:
            names = [path_text(path) for path in self.conflicts]
            yield Problem(
                tr("Local changes conflict with the release's in {names}.", names=listing(names)),
                tr("Merge them by hand, or discard them: --discard-local-changes (the backup holds them)."),
                refused=True,
                ways=("discard",),
            )

    def _modes_said(self) -> Problem:
        names = [path_text(path) for path in self.mode_changes]
        back = [
            f"chmod {word} {' '.join(shell_word(path) for path in found)}"
            for word, wanted in (("-x", 0o100644), ("+x", 0o100755))
            if (found := [path for path, mode in self.mode_changes.items() if mode == wanted])
        ]
        ways = tr("Put them back: {back}\n", back=" && ".join(back)) if len(names) <= 20 else ""
        places = dict.fromkeys(owner_of(self.facts.now, path).prefix for path in self.mode_changes)
        overlook = " && ".join(
            f"git {f'-C {shell_word(place)} ' if place else ''}config core.fileMode false" for place in places
        )
        return Problem(
            tr(
                "{count} changed locally, but only in their mode: {names}.",
                count=count(len(names), "file"),
                names=listing(names),
            ),
            tr("{ways}To keep modes set by hand, have git overlook them: {overlook}", ways=ways, overlook=overlook),
            refused=True,
            ways=("merge", "discard"),
        )


def _looks_at_modes(owner: Owner) -> bool:
    """Whether git was told to look at modes there (core.fileMode)."""
    values = owner.repository.config(r"^core\.filemode$").get("core.filemode", ["true"])
    return values[-1].lower() not in ("false", "no", "off", "0")


def _by_owner(paths: Mapping[bytes, Owner]) -> dict[Owner, list[bytes]]:
    found: dict[bytes, tuple[Owner, list[bytes]]] = {}
    for path, owner in paths.items():
        found.setdefault(owner.prefix, (owner, []))[1].append(path)
    return dict(found.values())
