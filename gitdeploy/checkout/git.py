"""The one place that builds git command lines.

Plumbing only, `-z` and bytes, object ids instead of names. The environment is rebuilt from a list (no inherited
`GIT_*`, no user or system configuration unless the network is asked), hooks, fsmonitor, automatic maintenance and
replace refs are off, and everything git writes is fsynced (`core.fsync`, git-config(1)). No set of options makes git
safe in a repository that somebody hostile prepared, which is why it always runs as the checkout's owner.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

from gitdeploy import process
from gitdeploy.conversation import Conversation
from gitdeploy.errors import ConfigError, DeploymentFailed
from gitdeploy.process import Completed
from gitdeploy.regex import regex
from gitdeploy.text import path_text

MINIMUM = (2, 25)
FSYNC_SINCE = (2, 36)  # knows core.fsync, and warns of core.fsyncObjectFiles, which was before it (git-config(1))
SHORT = 60.0  # seconds: a command that only reads or writes a few objects
LONG = 600.0  # seconds: one that writes many files
BACKUP_REFS = "refs/gitdeploy/backups/"
INCOMING_REFS = "refs/gitdeploy/incoming/"
_SCRATCH = "gitdeploy-scratch-"
EMPTY_ATTRIBUTES = "* -text !eol -filter -ident !working-tree-encoding\n"

_OPTIONS = tuple(
    word
    for option in (
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.fsync=all",
        "core.quotePath=false",
        "fetch.unpackLimit=1",
        "fetch.fsckObjects=true",
        "fetch.writeCommitGraph=false",
        "maintenance.auto=false",
        "gc.auto=0",
        "submodule.recurse=false",
        "commit.gpgSign=false",
        "advice.detachedHead=false",
        "color.ui=false",
    )
    for word in ("-c", option)
)
_OBJECT_ID = regex(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


_trees: dict[str, str] = {}  # commit -> its tree: ids are made from content, so this can never change
_conversations: dict[tuple[Path, Path, int], Conversation] = {}  # by git_dir, root and thread: see `Repository.asking`


def is_object_id(text: str) -> bool:
    return _OBJECT_ID.fullmatch(text) is not None


@cache
def program() -> str:
    """The absolute path of git, found and asked for its version once a process. Raises `DeploymentFailed` where there
    is none or it is too old."""
    found = process.which("git")
    if found is None:
        raise DeploymentFailed("git is not installed.", "Install it: apt-get install git")
    git_version(found)
    return found


@cache
def git_version(git: str) -> tuple[int, ...]:
    """The version of the program GIT, (2, 39, 5). Raises `DeploymentFailed` where it is older than 2.25."""
    done = process.run([git, "version"], cwd="/", env=process.clean_environment(), timeout=SHORT)
    found = re.search(r"(\d+(?:\.\d+)+)", done.check("git version").text)
    version = tuple(int(part) for part in found[1].split(".")) if found else (0,)
    if version < MINIMUM:
        raise DeploymentFailed(
            f"git {'.'.join(map(str, version))} is too old: gitdeploy needs {MINIMUM[0]}.{MINIMUM[1]} or newer.",
            "Upgrade git.",
        )
    return version


class ObjectFacts(Struct, frozen=True):
    """An object of a repository: its id, its kind (blob, tree, commit, tag), its size in bytes."""

    oid: str
    kind: str
    size: int


class Repository(Struct, frozen=True):
    """A checkout and where its repository is: `git_dir` is this work tree's own, `common_dir` the one all share."""

    root: Path
    git_dir: Path
    common_dir: Path
    lfs: str = "auto"  # `git.lfs`

    @classmethod
    def open(cls, root: Path, lfs: str = "auto") -> Repository:
        """The repository whose work tree is exactly ROOT. Starts no process. Raises `ConfigError` where there is none."""
        entry = root / ".git"
        try:
            if entry.is_file():
                text = entry.read_text().strip()
                if not text.startswith("gitdir: "):
                    raise ConfigError(f"{path_text(str(entry))} is not what git writes there.")
                git_dir = Path(os.path.normpath(root / text.removeprefix("gitdir: ")))
            else:
                git_dir = entry
            if not git_dir.is_dir():
                raise ConfigError(
                    f"{path_text(str(root))} is no git checkout: it has no .git.",
                    "Go to the folder of your app's checkout, or name it: gitdeploy -C DIR",
                )
            shared = git_dir / "commondir"
            common = Path(os.path.normpath(git_dir / shared.read_text().strip())) if shared.is_file() else git_dir
        except PermissionError as error:
            raise DeploymentFailed(
                f"{path_text(str(entry))} can't be read: permission denied.", "Run gitdeploy as the checkout's owner."
            ) from error
        return cls(root, git_dir, common, lfs)

    def lfs_options(self) -> tuple[str, ...]:
        """How git is told of Git LFS, where its program is installed: its settings are usually in the user's
        configuration, which isn't read. A file that can't be had fails, whatever a release's .lfsconfig says."""
        if self.lfs == "never":
            return ("filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.clean=", "filter.lfs.required=false")
        program = process.which("git-lfs")
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
        environment = self.local_environment()
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        if extra:
            environment.update(extra)
        tree = work_tree or self.root
        if (self.common_dir / "lfs").is_dir():  # large files were fetched here: unchanged ones are known by the filter
            options = (*self.lfs_options(), *options)
        return process.run(
            [*self.command(git_dir or self.git_dir, tree), *(w for o in options for w in ("-c", o)), *words],
            cwd=tree,
            env=environment,
            stdin=stdin,
            timeout=timeout,
            tied=tied,
        )

    def command(self, git_dir: Path, work_tree: Path) -> list[str]:
        git = program()
        return [
            git,
            f"--git-dir={git_dir}",
            f"--work-tree={work_tree}",
            *_OPTIONS,
            *(("-c", "core.fsyncObjectFiles=true") if git_version(git) < FSYNC_SINCE else ()),
            "-c",
            f"safe.directory={self.root}",
        ]

    @staticmethod
    def environment() -> dict[str, str]:
        return process.clean_environment(
            {
                "LC_ALL": "C",
                "GIT_OPTIONAL_LOCKS": "0",
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
                "GIT_AUTHOR_NAME": "gitdeploy",
                "GIT_AUTHOR_EMAIL": "gitdeploy@localhost",
                "GIT_COMMITTER_NAME": "gitdeploy",
                "GIT_COMMITTER_EMAIL": "gitdeploy@localhost",
            }
        )

    @classmethod
    def local_environment(cls) -> dict[str, str]:
        """The same for commands that ask no network: without the user's configuration."""
        environment = cls.environment()
        environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
        environment["HOME"] = "/nonexistent"  # git before 2.32 knows no GIT_CONFIG_GLOBAL
        environment.pop("XDG_CONFIG_HOME", None)
        return environment

    def output(self, *words: str, what: str = "", **settings: object) -> bytes:
        """The standard output of a command that must succeed. Raises `CommandFailed`."""
        return self.run(*words, **settings).check(what or f"git {words[0]}").stdout  # type: ignore[arg-type]

    # ---- names and objects ----

    def resolve(self, name: str) -> str | None:
        """The commit that NAME (a full ref or an object id) leads to, None where there is none."""
        return self.peel(name)[1]

    def peel(self, name: str) -> tuple[str | None, str | None]:
        """(object id of NAME itself, of the commit that it leads to), None where there is none."""
        found = self.facts([f"{name}{kind}" for kind in ("", "^{commit}", "^{tree}")])
        own, commit, tree = (facts.oid if facts is not None else None for facts in found)
        if commit and tree:
            _trees[commit] = tree
        return own, commit

    def facts(self, names: Sequence[str]) -> list[ObjectFacts | None]:
        """What each of NAMES (an id, a full ref, `commit:path`) leads to; None where there is no such object, and for all
        after a damaged one."""
        asked = [name for name in names if "\n" not in name]
        with self._conversation() as conversation:
            answers = conversation.ask([name.encode("utf-8", "surrogateescape") for name in asked], SHORT)
        found: dict[str, ObjectFacts] = {}
        for name, answer in zip(asked, answers, strict=False):
            oid, _, rest = answer.decode("utf-8", "replace").partition(" ")
            kind, _, size = rest.partition(" ")
            if is_object_id(oid) and size.isdecimal():
                found[name] = ObjectFacts(oid, kind, int(size))
        return [found.get(name) for name in names]

    @contextmanager
    def _conversation(self) -> Iterator[Conversation]:
        kept = _conversations.get((self.git_dir, self.root, threading.get_ident()))
        if kept is not None and not kept.over:
            yield kept
            return
        words = [*self.command(self.git_dir, self.root), "cat-file", "--batch-check"]
        conversation = Conversation(words, cwd=self.root, env=self.local_environment())
        try:
            yield conversation
        finally:
            conversation.close()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While the block runs, all questions of this thread about objects of this repository are answered by one git."""
        key = (self.git_dir, self.root, threading.get_ident())  # another's would end it in the middle of our questions
        if key in _conversations:
            yield
            return
        with self._conversation() as conversation:
            _conversations[key] = conversation
            try:
                yield
            finally:
                del _conversations[key]

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
        return self.run("merge-base", "--is-ancestor", older, newer).returncode == 0

    def copy_index(self, to: Path) -> None:
        """Copy the live index to TO, where there is one."""
        with suppress(FileNotFoundError):
            copy_with_time(self.git_dir / "index", to)

    def read_blob(self, commit: str, path: str, limit: int = 1 << 20) -> bytes | None:
        """The bytes of a file of COMMIT, None where it has none. Raises `DeploymentFailed` past LIMIT bytes."""
        (facts,) = self.facts([f"{commit}:{path}"])
        if facts is None:
            return None
        if facts.size > limit:
            raise DeploymentFailed(f"{path_text(path)} of {commit[:12]} is larger than {limit} bytes.")
        done = self.run("cat-file", "blob", facts.oid)
        return done.stdout if done.ok else None

    def read_many(self, commit: str, paths: Sequence[str], limit: int = 1 << 20) -> dict[str, bytes]:
        """The bytes of those of PATHS that COMMIT has as files, by one command more; those past LIMIT bytes left out."""
        wanted = {}
        for path, facts in zip(paths, self.facts([f"{commit}:{path}" for path in paths]), strict=True):
            if facts is not None and facts.kind == "blob" and facts.size <= limit:
                wanted[path] = facts.oid
        if not wanted:
            return {}
        data = self.output("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in wanted.values()).encode())
        found, at = {}, 0
        for path in wanted:
            end = data.index(b"\n", at)
            size = int(data[at:end].rsplit(b" ", 1)[1])
            found[path] = data[end + 1 : end + 1 + size]
            at = end + 1 + size + 1
        return found

    def config(self, pattern: str, *, everywhere: bool = False) -> dict[str, list[str]]:
        """Settings whose lower-cased name matches PATTERN; `everywhere` reads the user's and the system's too."""
        extra: dict[str, str] = {}
        if everywhere:
            environment = process.clean_environment()
            extra = {name: environment[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in environment}
            extra |= {"GIT_CONFIG_GLOBAL": _user_config(environment), "GIT_CONFIG_NOSYSTEM": "0"}
        done = self.run("config", "-z", "--get-regexp", pattern, extra=extra)
        found: dict[str, list[str]] = {}
        for entry in done.stdout.decode("utf-8", "replace").split("\0"):
            name, _, value = entry.partition("\n")
            if name:
                found.setdefault(name, []).append(value)
        return found

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for a moment, beside git's own files, where `sweep_scratch` finds what a killed process left of it."""
        own = process.Identity.own()
        folder = self.git_dir / f"{_SCRATCH}{own.pid}-{own.started}-{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def lock_files(self) -> list[Path]:
        """Lock files in the repository now (index.lock, HEAD.lock, packed-refs.lock, shallow.lock, config.lock)."""
        names = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock", "config.lock")
        folders = {self.git_dir, self.common_dir}
        return [folder / name for folder in folders for name in names if (folder / name).exists()]


def sweep_scratch(git_dir: Path) -> None:
    """Delete the folders of `Repository.scratch` whose process is gone."""
    for entry in git_dir.glob(f"{_SCRATCH}*"):
        pid, _, rest = entry.name.removeprefix(_SCRATCH).partition("-")
        started = rest.partition("-")[0]
        if not pid.isdecimal() or str(process.start_ticks(int(pid))) != started:
            shutil.rmtree(entry, ignore_errors=True)


def initialise(folder: Path, *, sha256: bool) -> None:
    """Make an empty bare repository at FOLDER, from no template. Raises `CommandFailed`."""
    environment = Repository.environment()
    environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
    environment["GIT_DEFAULT_HASH"] = "sha256" if sha256 else "sha1"
    words = [program(), "init", "-q", "--bare", "--template=", "--", str(folder)]
    process.run(words, cwd="/", env=environment, timeout=SHORT, tied=True).check("git init")


def _user_config(environment: Mapping[str, str]) -> str:
    return os.environ.get("GIT_CONFIG_GLOBAL") or os.path.join(environment.get("HOME", "/nonexistent"), ".gitconfig")


def copy_with_time(index: Path, to: Path) -> None:
    """Copy an index with its time: git trusts an entry's file times only where they are older than the index itself, so
    a younger copy would take a file changed in the same second for unchanged."""
    facts = index.stat()
    shutil.copyfile(index, to)
    os.utime(to, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def blob_id(content: bytes | Iterable[bytes], size: int, length: int = 40) -> str:
    """The object id that git gives a blob of these bytes (`blob SIZE\\0` before them; gitformat-loose)."""
    import hashlib

    digest = hashlib.new("sha1" if length == 40 else "sha256", f"blob {size}\0".encode(), usedforsecurity=False)
    for part in (content,) if isinstance(content, bytes) else content:
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
