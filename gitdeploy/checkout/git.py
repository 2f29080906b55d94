"""The one place that builds git command lines.

Plumbing only, `-z` and bytes, object ids instead of names. The environment is rebuilt from a list (no inherited
`GIT_*`), hooks, fsmonitor, automatic maintenance and replace refs are off, and everything git writes is fsynced
(`core.fsync`, git-config(1)); of other settings those of the checkout, its owner and the system apply, as
`gitdeploy.checkout.settings` says. No set of options makes git safe in a repository that somebody hostile prepared,
which is why it runs as the checkout's owner only: `gitdeploy.site.whose` closes every other checkout to children, and
git's own `safe.directory` is given for none.

A look-up has three answers: here, not here, and an error where that couldn't be told.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from gitdeploy.checkout.blobs import copy_with_time
from gitdeploy.checkout.facts import NO_ACCESS, Access, ObjectFacts, is_object_id, read_facts, unreadable
from gitdeploy.checkout.program import FSYNC_SINCE, SHORT, git_environment, git_memory, git_version, program
from gitdeploy.checkout.readers import Readers, Way
from gitdeploy.checkout.scratch import SCRATCH
from gitdeploy.checkout.settings import PINNED
from gitdeploy.errors import CommandFailed, ConfigError, DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import durable, proc, process
from gitdeploy.system import environment as environment_
from gitdeploy.system.completed import Completed
from gitdeploy.system.conversation import Conversation
from gitdeploy.text import path_text, size_text

_Answer = TypeVar("_Answer")
BACKUP_REFS = "refs/gitdeploy/backups/"
INCOMING_REFS = "refs/gitdeploy/incoming/"
EMPTY_ATTRIBUTES = "* -text !eol -filter -ident !working-tree-encoding\n"

_trees: dict[str, str] = {}  # commit -> its tree: ids are made from content, so this can never change
_readers: dict[tuple[Path, Path, int], Readers] = {}  # by git_dir, root and thread: see `Repository.asking`


class Repository(Struct, frozen=True):
    """A checkout and where its repository is: `git_dir` is this work tree's own, `common_dir` the one all share."""

    root: Path
    git_dir: Path
    common_dir: Path
    lfs: str = "auto"  # `git.lfs`
    lazy: Callable[[], Access] | None = None  # what the objects that a partial clone has left out are fetched with

    @classmethod
    def open(cls, root: Path, lfs: str = "auto") -> Repository:
        """The repository whose work tree is exactly ROOT. Starts no process. Raises `ConfigError` where there is none."""
        entry = root / ".git"
        try:
            if durable.is_file(entry):
                text = entry.read_text().strip()
                if not text.startswith("gitdir: "):
                    raise ConfigError(tr("{entry} is not what git writes there.", entry=path_text(str(entry))))
                git_dir = Path(os.path.normpath(root / text.removeprefix("gitdir: ")))
            else:
                git_dir = entry
            if not durable.is_folder(git_dir):
                raise ConfigError(
                    tr("{root} is not a git checkout: it has no .git.", root=path_text(str(root))),
                    tr("Go to the folder of your app's checkout, or name it: gitdeploy -C DIR"),
                )
            shared = git_dir / "commondir"
            common = (
                Path(os.path.normpath(git_dir / shared.read_text().strip())) if durable.is_file(shared) else git_dir
            )
        except PermissionError as error:
            raise DeploymentFailed(
                tr("{entry} can't be read: permission denied.", entry=path_text(str(entry))),
                tr("Run gitdeploy as the checkout's owner."),
            ) from error
        return cls(root, git_dir, common, lfs)

    def lfs_options(self) -> tuple[str, ...]:
        """How git is told of Git LFS, where its program is installed: its settings are usually in the user's
        configuration, which isn't read. A file that can't be had fails, whatever a release's .lfsconfig says."""
        if self.lfs == "never":
            return ("filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.clean=", "filter.lfs.required=false")
        program = environment_.which("git-lfs")
        if program is None:
            return ()
        return (
            f"filter.lfs.process='{program}' filter-process",
            f"filter.lfs.smudge='{program}' smudge -- %f",
            f"filter.lfs.clean='{program}' clean -- %f",
            "filter.lfs.required=true",
            "lfs.skipdownloaderrors=false",
        )

    def run(
        self,
        *words: str,
        stdin: bytes | None = None,
        index: Path | None = None,
        work_tree: Path | None = None,
        git_dir: Path | None = None,
        extra: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        timeout: float = SHORT,
        tied: bool = False,
    ) -> Completed:
        """One git command on local data, ended or not: callers check. `options` are further `-c` values."""
        environment = self.environment()
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        tree = work_tree or self.root
        access = self._access()
        environment |= {**(extra or {}), **access.environment}
        options = (*access.options, *options)
        if (self.common_dir / "lfs").is_dir():  # large files were fetched here: unchanged ones are known by the filter
            options = (*self.lfs_options(), *options)
        done = process.run(
            [*self.command(git_dir or self.git_dir, tree), *(w for o in options for w in ("-c", o)), *words],
            cwd=tree,
            env=environment,
            stdin=stdin,
            timeout=timeout,
            tied=tied,
            memory=git_memory(self.common_dir),
        )
        if done.cut:  # the rest of an answer, taken for the whole, would be files that are not there
            size = size_text(len(done.stdout))
            raise CommandFailed(
                tr("git {word} answers with more than {size}, which is not read.", word=words[0], size=size)
            )
        return done

    def command(self, git_dir: Path, work_tree: Path, *, pinned: bool = True) -> list[str]:
        git = program()
        if not pinned:  # to read what is set elsewhere
            return [git, f"--git-dir={git_dir}", f"--work-tree={work_tree}"]
        return [
            git,
            f"--git-dir={git_dir}",
            f"--work-tree={work_tree}",
            *PINNED,
            *(("-c", "core.fsyncObjectFiles=true") if git_version(git) < FSYNC_SINCE else ()),
        ]

    environment = staticmethod(git_environment)

    def is_partial(self) -> bool:
        """Whether it is a partial clone: git keeps a mark beside each pack that objects were left out of."""
        try:
            return any(name.endswith(".promisor") for name in os.listdir(self.common_dir / "objects" / "pack"))
        except FileNotFoundError:
            return False

    def _access(self) -> Access:
        if self.lazy is None or not self.is_partial():
            return NO_ACCESS
        return self.lazy()

    def output(self, *words: str, what: str = "", **settings: object) -> bytes:
        """The standard output of a command that must succeed. Raises `CommandFailed`."""
        return self.run(*words, **settings).check(what or f"git {words[0]}").stdout  # type: ignore[arg-type]

    # ---- names and objects ----

    def resolve(self, name: str) -> str | None:
        """The commit that NAME (a full ref or an object id) leads to, None where there is none. Raises `ObjectsUnreadable`."""
        return self.peel(name)[1]

    def peel(self, name: str) -> tuple[str | None, str | None]:
        """(object id of NAME itself, of the commit that it leads to), None where there is none."""
        own, commit, tree = self.facts([f"{name}{kind}" for kind in ("", "^{commit}", "^{tree}")])
        if own is not None and commit is None and own.kind == "tag":
            self._refuse_half_a_tag(name, own.oid)
        if commit and tree:
            _trees[commit.oid] = tree.oid
        return own.oid if own else None, commit.oid if commit else None

    def facts(self, names: Sequence[str]) -> list[ObjectFacts | None]:
        """What each of NAMES (an id, a full ref, `commit:path`) leads to; None where there is no such object.

        Raises `ObjectsUnreadable` where that couldn't be told: a damaged object, one that a ref or a tree names and that
        is missing, one that a partial clone has left out and that can't be fetched.
        """
        answers = self._answers("--batch-check", names, lambda talk, asked: talk.ask(asked, SHORT))
        read = {name: read_facts(answer) for name, answer in answers.items()}
        self._refuse_missing([name for name, facts in read.items() if facts is None])
        return [read.get(name) for name in names]

    def contents(self, names: Sequence[str]) -> list[tuple[ObjectFacts, bytes] | None]:
        """The same with the bytes of each object. Raises `ObjectsUnreadable`."""
        found = {}
        answers = self._answers("--batch", names, lambda talk, asked: talk.read(asked, SHORT))
        for name, (header, body) in answers.items():
            if (facts := read_facts(header)) is not None and body is not None:
                found[name] = (facts, body)
        self._refuse_missing([name for name in answers if name not in found])
        return [found.get(name) for name in names]

    def files_at(self, commits: Sequence[str], path: str) -> dict[str, ObjectFacts]:
        """The file PATH of each of COMMITS that has one. What isn't here, a commit or a file, is left out."""
        names = {f"{commit}:{path}": commit for commit in commits}
        answers = self._answers("--batch-check", list(names), lambda talk, asked: talk.ask(asked, SHORT))
        read = ((names[name], read_facts(answer)) for name, answer in answers.items())
        return {commit: facts for commit, facts in read if facts is not None and facts.kind == "blob"}

    def _answers(
        self, way: Way, names: Sequence[str], ask: Callable[[Conversation, list[bytes]], list[_Answer]]
    ) -> dict[str, _Answer]:
        """What `cat-file` answers in that WAY to each of NAMES that it can be asked; it has none with a line break."""
        asked = list(dict.fromkeys(name for name in names if "\n" not in name))
        with self._conversation(way) as conversation:
            answers = ask(conversation, [os.fsencode(name) for name in asked])
            said = conversation.errors()
        if len(answers) < len(asked):
            raise unreadable(tr("{asked} can't be read by git", asked=path_text(asked[len(answers)])), said)
        return dict(zip(asked, answers, strict=True))

    def _refuse_missing(self, names: Sequence[str]) -> None:
        """Raise `ObjectsUnreadable` where a tree or a ref has what git says of NAMES is missing: it says the same of what
        isn't there and of what is there without its object."""
        paths: dict[str, list[str]] = {}
        for name in names:
            holder, colon, path = name.partition(":")
            if colon and path:
                paths.setdefault(holder, []).append(path)
            elif name.startswith("refs/") and "^" not in name and self._has_ref(name):
                raise unreadable(tr("{name} is here, but not the object that it names", name=path_text(name)))
        for holder, inner in paths.items():
            listed = self.run("ls-tree", "-z", "--full-tree", holder, "--", *inner)
            if not listed.ok:
                raise unreadable(tr("The files of {holder} can't be listed", holder=holder[:12]), listed.error_text)
            for entry in listed.stdout.split(b"\0"):
                facts, _, path_bytes = entry.partition(b"\t")
                if facts and facts.split(b" ")[1] != b"commit":
                    raise unreadable(
                        tr(
                            "{path_bytes} is in {holder}, but its object is missing here",
                            path_bytes=path_text(path_bytes),
                            holder=holder[:12],
                        )
                    )

    def _has_ref(self, name: str) -> bool:
        """Whether there is a ref NAME, whatever it leads to. An empty file is what a crash leaves of one: see `mend_ref`."""
        for folder in {self.git_dir, self.common_dir}:
            file = folder / name
            if durable.is_file(file) and file.read_text("ascii", "replace").strip("\0\n "):
                return True
        packed = self.common_dir / "packed-refs"
        return durable.is_file(packed) and f" {name}\n".encode("utf-8", "surrogateescape") in packed.read_bytes()

    def _refuse_half_a_tag(self, name: str, tag: str) -> None:
        """A tag without its commit is one of something else, or the commit is missing."""
        said = self.output("cat-file", "tag", tag).split(b"\n", 2)
        if len(said) == 3 and said[1] in (b"type commit", b"type tag"):
            raise unreadable(tr("{name} is here, but not the commit that it is a tag of", name=path_text(name)))

    @contextmanager
    def _conversation(self, way: Way) -> Iterator[Conversation]:
        readers = _readers.get((self.git_dir, self.root, threading.get_ident()))
        if readers is not None:
            yield readers.reader(way, lambda: self._cat_file(way))
            return
        conversation = self._cat_file(way)
        try:
            yield conversation
        finally:
            conversation.close()

    def _cat_file(self, way: Way) -> Conversation:
        access = self._access()
        options = [word for option in access.options for word in ("-c", option)]
        words = [*self.command(self.git_dir, self.root), *options, "cat-file", way]
        environment = {**self.environment(), **access.environment}
        return Conversation(words, cwd=self.root, env=environment, memory=git_memory(self.common_dir))

    @contextmanager
    def asking(self, readers: Readers | None = None) -> Iterator[None]:
        """While the block runs, all questions of this thread about objects of this repository are answered by one git of
        each kind: READERS, which stay, or some of its own, which end with the block."""
        key = (self.git_dir, self.root, threading.get_ident())  # another's would end it in the middle of our questions
        if key in _readers:
            yield
            return
        _readers[key] = readers or Readers()
        try:
            yield
        finally:
            kept = _readers.pop(key)
            if kept is not readers:
                kept.close()

    def tree_of(self, commit: str) -> str:
        """The tree of a commit, by its object id."""
        if commit not in _trees:
            self.resolve(commit)
        # In a clone without trees (--filter=tree:0) only their ids are here.
        return _trees.get(commit) or self.output("rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()

    def update_ref(self, name: str, new: str, old: str | None = None) -> None:
        self.output("update-ref", "--no-deref", name, new, *([old] if old is not None else []), tied=True)

    def delete_ref(self, name: str) -> None:
        self.output("update-ref", "--no-deref", "-d", name, tied=True)

    def mend_ref(self, name: str, commit: str) -> bool:
        """Write the ref NAME, one of gitdeploy's own, where its file is empty, zeroed or cut off by a crash: git refuses to
        (and with one such ref in the repository also to fetch). Returns whether it was."""
        file = self.common_dir / name
        try:
            if is_object_id(file.read_text("ascii", "replace").strip()):
                return False
            file.unlink()
        except FileNotFoundError:
            return False
        self.update_ref(name, commit)
        return True

    def refs(self, prefix: str) -> dict[str, str]:
        """Full ref name -> object id, of all refs below PREFIX."""
        done = self.output("for-each-ref", "--format=%(refname) %(objectname)", prefix)
        return dict(line.rsplit(" ", 1) for line in done.decode("utf-8", "replace").splitlines())

    def tags_at(self, commit: str) -> list[str]:
        """Tags (annotated or not) whose commit is COMMIT."""
        done = self.output("for-each-ref", f"--points-at={commit}", "--format=%(refname:strip=2)", "refs/tags/")
        return done.decode("utf-8", "replace").splitlines()

    def tag_commits(self) -> dict[str, str]:
        """Every local tag -> its peeled object id, by one command however many there are."""
        lines = self.output("for-each-ref", "--format=%(refname:strip=2) %(objectname) %(*objectname)", "refs/tags/")
        found = {}
        for line in lines.decode("utf-8", "replace").splitlines():
            name, own, *peeled = line.split(" ")
            found[name] = peeled[0] if peeled and peeled[0] else own
        return found

    def is_ancestor(self, older: str, newer: str) -> bool:
        done = self.run("merge-base", "--is-ancestor", older, newer)
        if done.returncode not in (0, 1):
            raise unreadable(
                tr("How {older} and {newer} are related can't be told", older=older[:12], newer=newer[:12]),
                done.error_text,
            )
        return done.ok

    def copy_index(self, to: Path) -> None:
        """Copy the live index to TO, where there is one."""
        with suppress(FileNotFoundError):
            copy_with_time(self.git_dir / "index", to)

    def read_blob(self, commit: str, path: str, limit: int = 1 << 20) -> bytes | None:
        """The bytes of a file of COMMIT, None where it has none. Raises `DeploymentFailed` past LIMIT bytes."""
        return self.read_many(commit, [path], limit).get(path)

    def read_many(self, commit: str, paths: Sequence[str], limit: int = 1 << 20) -> dict[str, bytes]:
        """The bytes of those of PATHS that COMMIT has as files. Raises `DeploymentFailed` past LIMIT
        bytes of one, `ObjectsUnreadable`."""
        wanted = {}
        for path, facts in zip(paths, self.facts([f"{commit}:{path}" for path in paths]), strict=True):
            if facts is not None and facts.kind == "blob":
                if facts.size > limit:
                    raise DeploymentFailed(
                        tr(
                            "{path} of {commit} is larger than {limit} bytes.",
                            path=path_text(path),
                            commit=commit[:12],
                            limit=limit,
                        )
                    )
                wanted[path] = facts.oid
        if not wanted:
            return {}
        read = zip(wanted, self.contents(list(wanted.values())), strict=True)
        return {path: found[1] for path, found in read if found is not None}

    def blob(self, oid: str) -> bytes:
        """The bytes of a file's content, by its id. Raises `ObjectsUnreadable`, also where it is missing."""
        (found,) = self.contents([oid])
        if found is None:
            raise unreadable(tr("The object {oid} is missing", oid=oid[:12]))
        return found[1]

    def config(self, pattern: str) -> dict[str, list[str]]:
        """Settings whose lower-cased name matches PATTERN, of the checkout, the user and the system; the last value is the
        one that counts. Raises `ConfigError` where they can't be read."""
        words = [*self.command(self.git_dir, self.root, pinned=False), "config", "-z", "--get-regexp", pattern]
        done = process.run(words, cwd=self.root, env=self.environment(), timeout=SHORT)
        if done.returncode not in (0, 1):
            raise ConfigError(
                tr("git's settings can't be read: {error_text}", error_text=done.error_text),
                tr("Correct the file and line that it names."),
            )
        found: dict[str, list[str]] = {}
        for entry in done.stdout.decode("utf-8", "replace").split("\0"):
            name, separator, value = entry.partition("\n")
            if name:
                found.setdefault(name, []).append(value if separator else "true")  # `[core] bare` alone is true
        return found

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for a moment, beside git's own files, where `sweep_scratch` finds what a killed process left of it."""
        own = proc.Identity.own()
        folder = self.git_dir / f"{SCRATCH}{own.pid}-{own.started}-{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def lock_files(self) -> list[Path]:
        """Lock files in the repository now (index.lock, HEAD.lock, packed-refs.lock, shallow.lock, config.lock)."""
        names = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock", "config.lock")
        folders = {self.git_dir, self.common_dir}
        return [folder / name for folder in folders for name in names if durable.exists(folder / name)]


def initialise(folder: Path, *, sha256: bool) -> None:
    """Make an empty bare repository at FOLDER, from no template. Raises `CommandFailed`."""
    environment = Repository.environment()
    environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    environment["GIT_DEFAULT_HASH"] = "sha256" if sha256 else "sha1"
    words = [program(), "init", "-q", "--bare", "--template=", "--", str(folder)]
    process.run(words, cwd="/", env=environment, timeout=SHORT, tied=True).check("git init")
