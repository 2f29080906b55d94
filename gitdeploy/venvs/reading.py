"""Reading requirements files: what each line means, what it includes, and what a release may not ask for.

Read before anything is installed, since an installer follows `-r ../../etc/passwd` and shows its first line, and lets a
release's own file name another index.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import shlex
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from gitdeploy.messages import tr
from gitdeploy.text import clean, path_text
from gitdeploy.venvs.described import LOCKS, is_known
from gitdeploy.venvs.itself import Own, offers, project_needs
from gitdeploy.venvs.linked import Linked
from gitdeploy.venvs.live import canonical
from gitdeploy.venvs.origins import Origin, addresses_in, of_project
from gitdeploy.venvs.settings import VenvConfig
from gitdeploy.versions import satisfies

LARGEST = 1_000_000  # bytes of all requirements files together: pip needs 20 s for 200,000 lines
LARGEST_LOCK = 20_000_000  # bytes; one of 300 packages has about a million
MOST_FILES = 200
ITSELF = ".gitdeploy-itself.txt"

_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
# A project that compiles or writes files when it is built, also for `-e`: its sources count then, not only its metadata.
_BUILDS = re.compile(
    rb"ext_modules|\bExtension\(|cythonize|cffi_modules|RustExtension|setuptools[-_]rust|maturin|scikit[-_]build|skbuild"
    rb"|meson-?python|mesonpy|setuptools[-_]scm|hatch-vcs|hatch-build|versioneer|\bpbr\b|cmdclass|build\.py"
)
INDEX_OPTIONS = ("-i", "--index-url", "--pypi-url", "--extra-index-url", "-f", "--find-links", "--trusted-host")
_LONG_OPTIONS = (
    "--index-url", "--pypi-url", "--extra-index-url", "--no-index", "--find-links", "--trusted-host", "--requirement",
    "--constraint", "--editable", "--no-binary", "--only-binary", "--prefer-binary", "--require-hashes", "--pre",
    "--use-feature",
)  # fmt: skip
UV_INDEX_OPTIONS = ("--index", "--default-index")
_PIP_ONLY_OPTIONS = ("--pre", "--prefer-binary", "--use-feature")
_PIP_ONLY_PER_LINE = ("--config-settings", "--config-setting", "--global-option", "--install-option")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;,*]+)\s*(?:;.*|--.*)?$")
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?=$|[\s<>=!~;@(,-])")
_COOKIE = re.compile(rb"^[ \t]*#.*?coding[:=][ \t]*([-\w.]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


class TreeReader(Protocol):
    """The files of the target release."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes, by its path from the checkout's root; None where there is no such file. Raises `Linked`."""

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Write those files (None: all) below FOLDER."""


@runtime_checkable
class TreeIdentities(Protocol):
    """A `TreeReader` may also say what a whole folder holds: its git tree id, None where there is no such folder."""

    def tree_id(self, path: str) -> str | None: ...


class Scan:
    """Reads files and what they include, and gathers what matters of their lines."""

    def __init__(
        self, reader: TreeReader, config: VenvConfig, python: str | None, extras: tuple[str, ...] = ()
    ) -> None:
        """EXTRAS: those that the app itself was installed with, where the configuration names none."""
        self.reader, self.config, self.python = reader, config, python
        self.extras = config.extras or tuple(extra for extra in extras if offers(reader.read, extra))
        self.written: dict[str, str] = {}  # of a lock: the requirements file that is made from it
        self.files: dict[str, bytes] = {}
        self.pins: dict[str, str] = {}
        self.names: dict[str, bool] = {}
        self.unpinned: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.index_options: list[str] = []
        self.problems: list[str] = []
        self.pip_only: list[str] = []
        self.variables: set[str] = set()
        self.origins: list[Origin] = []
        self.hashed = self.whole_tree = False
        self.size = 0

    def file(self, path: str, named_by: str, *, constraint: bool = False, optional: bool = False) -> None:
        """Read PATH (from the checkout's root), which NAMED_BY names, and all that it includes."""
        shown = path_text(path)
        if re.match(r"[a-z][a-z0-9+.-]+:", path, re.IGNORECASE):
            self.problems.append(
                tr(
                    "{named_by} includes {path}; only files of the release are read.",
                    named_by=named_by,
                    path=clean(path, limit=200),
                )
            )
            return
        name = os.path.normpath(path)
        if name.startswith(("/", "../")) or name == "..":
            self.problems.append(
                tr("{named_by} includes {shown}, which is outside of the checkout.", named_by=named_by, shown=shown)
            )
            return
        if name in self.files:
            return
        try:
            data = self.reader.read(name)
        except Linked as error:
            self.problems.append(error.message)
            return
        if data is None:
            if not optional:
                self.problems.append(
                    tr("{named_by} names {shown}, which this release doesn't have.", named_by=named_by, shown=shown)
                )
            return
        lock = not constraint and is_known(name)
        self.size += 0 if lock and len(data) <= LARGEST_LOCK else len(data)
        if self.size > LARGEST or len(self.files) >= MOST_FILES:
            self.problems.append(
                tr(
                    "The requirements files are larger than {largest} MB together (at {shown}).",
                    largest=LARGEST // 1_000_000,
                    shown=shown,
                )
            )
            return
        self.files[name] = data
        if lock:
            self._lock(name, data, shown)
            return
        text = self._decoded(data, shown)
        for number, line in _lines(text):
            self._line(line, name, tr("{shown}, line {number}", shown=shown, number=number), constraint)

    def _lock(self, name: str, data: bytes, shown: str) -> None:
        """A lock or project file: as requirement lines, or for uv to read."""
        from gitdeploy.venvs.locks import Cannot, lines_of

        try:
            meant = lines_of(name, data, self.reader.read, self.config.groups, self.extras)
        except Cannot as error:
            self.problems.append(tr("{shown} {error}.", shown=shown, error=error))
            return
        if meant.python and self.python and not satisfies(self.python, meant.python, unreadable=True):
            self.problems.append(
                tr(
                    "{shown} is for Python {python}, and the venv has {live}; name a newer one: venv.python.",
                    shown=shown,
                    python=clean(meant.python, limit=60),
                    live=self.python,
                )
            )
        self.origins += meant.origins
        if os.path.basename(name) == "pyproject.toml":
            self.origins += of_project(os.path.dirname(name), self.reader.read)
        if meant.text is None:
            self.whole_tree |= meant.tree
            if self.config.installer == "pip":
                self.problems.append(
                    tr("{shown} can only be installed from with uv, and venv.installer is pip.", shown=shown)
                )
            for _, line in _lines(meant.shown):
                self._line(line, name, shown, constraint=False)
            return
        written = os.path.join(os.path.dirname(name), f".gitdeploy-{os.path.basename(name)}.txt")
        self.written[name] = written
        self.files[written] = meant.text.encode()
        for _, line in _lines(meant.text):
            self._line(line, written, shown, constraint=False)

    def found_lock(self) -> tuple[str, ...]:
        """The lock beside the project that the venv holds as a package, where it can be installed from."""
        from gitdeploy.venvs.locks import Cannot, lines_of

        for name in LOCKS:
            data = self.reader.read(name)
            if data is not None:
                try:
                    lines_of(name, data, self.reader.read, self.config.groups, self.extras)
                except Cannot:
                    return ()
                return (name,)
        return ()

    def itself(self, owns: Sequence[Own]) -> tuple[str, ...]:
        """Note the packages of the release's own that are to be installed though no file names them; their folders."""
        wanted = self.config.itself
        if wanted == "auto":
            found = {own.path: own.editable for own in owns}
        else:
            found = {} if wanted == "never" else {".": wanted == "editable"}
        found = {
            path: editable for path, editable in found.items() if path not in self.local and self._is_project(path)
        }
        if wanted in ("editable", "always") and "." not in {*found, *self.local}:
            self.problems.append(
                tr("venv.self wants the app itself installed, and this release has no pyproject.toml.")
            )
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        lines = [
            f"{'-e ' if editable else ''}{f'.{extras}' if path == '.' else f'./{path}'}"
            for path, editable in found.items()
        ]
        if lines:
            self.files[ITSELF] = "".join(f"{line}\n" for line in lines).encode()
            for line in lines:
                self._line(line, ITSELF, "venv.self", constraint=False)
        for path in found:
            self._needs(path)
        return tuple(found)

    def _needs(self, path: str) -> None:
        """Note what the project in the folder PATH says that it needs: its own install brings that along."""
        for line in project_needs(self.reader.read, path, self.extras if path == "." else ()):
            found, asked = _NAME.match(line), _asked_version(line, self.python)
            if found and asked is not None:
                name = canonical(found[1])
                self.names.setdefault(name, False)
                if pin := _PIN.match(line):
                    self.pins.setdefault(name, pin[2])
                else:
                    self.unpinned.setdefault(name, asked)

    def _is_project(self, path: str) -> bool:
        # One that is not a release's isn't among the files that a build gets.
        if path != "." and isinstance(self.reader, TreeIdentities) and self.reader.tree_id(path) is None:
            return False
        folder = "" if path == "." else f"{path}/"
        return any(self.reader.read(folder + name) is not None for name in ("pyproject.toml", "setup.py"))

    def _decoded(self, data: bytes, shown: str) -> str:
        for mark, name in (
            (codecs.BOM_UTF8, "utf-8-sig"),
            (codecs.BOM_UTF16_LE, "utf-16"),
            (codecs.BOM_UTF16_BE, "utf-16"),
        ):
            if data.startswith(mark):
                return data.decode(name, "replace")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        for line in data.splitlines()[:2]:
            if cookie := _COOKIE.match(line):
                encoding = cookie[1].decode()
                try:
                    text = data.decode(encoding)
                except (LookupError, UnicodeDecodeError):
                    break
                self.pip_only.append(
                    tr("{shown} is written in {encoding}, which uv can't read", shown=shown, encoding=encoding)
                )
                return text
        self.problems.append(tr("{shown} is not UTF-8; save it as UTF-8.", shown=shown))
        return data.decode("utf-8", "replace")

    def _line(self, line: str, name: str, place: str, constraint: bool) -> None:
        if line.startswith("-"):
            try:
                words = shlex.split(line)
            except ValueError:
                self.problems.append(tr("{place} can't be read: {line}", place=place, line=clean(line, limit=120)))
                return
            self._options(words, name, place)
            return
        self.variables.update(_VARIABLE.findall(line))
        if _VARIABLE.search(line):
            self.pip_only.append(tr("{place} has a variable in a requirement, which uv doesn't fill in", place=place))
        if "--hash" in line:
            self.hashed = True
        if any(option in line for option in _PIP_ONLY_PER_LINE):
            self.pip_only.append(tr("{place} has options that only pip knows for one requirement", place=place))
        pin = _PIN.match(line)
        # A plain pin says all by itself, and most lines are one: what else there may be takes longer to load than to read.
        asked = f"=={pin[2]}" if pin and ";" not in line else _asked_version(line.partition(" --")[0], self.python)
        if pin and asked is not None:
            self.pins[canonical(pin[1])] = pin[2]
        requirement = line.partition(" --")[0].partition(" ;")[0].strip()
        if "://" in requirement or "+" in requirement:
            self.origins += addresses_in(requirement)
        at = re.match(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*@\s*(\S+)", requirement)
        target = at[1] if at else requirement
        if _is_local(target):
            self._local(target, place, editable=False)
        if not constraint and not (_is_local(requirement) and not at) and (found := _NAME.match(line)):
            package = canonical(found[1])
            self.names[package] = self.names.get(package, False) or ";" not in line.partition(" --")[0]
            if not pin and not at and asked is not None:
                self.unpinned[package] = asked

    def _options(self, words: list[str], name: str, place: str) -> None:
        self.variables.update(_VARIABLE.findall(" ".join(words)))
        while words:
            option, said = split_option(words.pop(0))
            takes = option in (
                *INDEX_OPTIONS,
                "-r",
                "--requirement",
                "-c",
                "--constraint",
                "-e",
                "--editable",
                "--no-binary",
                "--only-binary",
                "--use-feature",
            )
            value = said or ""
            if takes and said is None:
                value = words.pop(0) if words else ""
            if option in ("-r", "--requirement", "-c", "--constraint"):
                inside = (
                    value
                    if re.match(r"[a-z][a-z0-9+.-]+:|/", value, re.IGNORECASE)
                    else os.path.join(os.path.dirname(name), value)
                )
                self.file(inside, place, constraint=option in ("-c", "--constraint"))
            elif option in ("-e", "--editable"):
                self._editable(value, place)
            elif option in ("-f", "--find-links") and _is_local(value) and not value.startswith(("/", "file:")):
                self._local(value, place, editable=False)
                self.whole_tree = True
            elif option in INDEX_OPTIONS:
                self.index_options.append(tr("{option} {value}", option=option, value=value))
            elif option == "--require-hashes":
                self.hashed = True
            elif option in _PIP_ONLY_OPTIONS:
                self.pip_only.append(tr("{place} says {option}, which uv ignores", place=place, option=option))

    def _editable(self, value: str, place: str) -> None:
        self.origins += addresses_in(value)
        if re.match(r"(git|hg|svn|bzr)\+", value):
            self.pip_only.append(
                tr("{place} installs from a version control system with -e, which uv doesn't do", place=place)
            )
        elif not re.match(r"[a-z][a-z0-9+.-]+://", value, re.IGNORECASE) or value.startswith("file:"):
            self._local(value, place, editable=True)

    def _local(self, target: str, place: str, *, editable: bool) -> None:
        """A path of the release's own: what stands there belongs to the key."""
        path = re.sub(r"\[[^\]]*\]$", "", target.partition(";")[0].strip()).removeprefix("file:")
        if path.startswith("/"):
            return
        name = os.path.normpath(path)
        if name.startswith("../") or name == "..":
            self.problems.append(
                tr("{place} installs {path}, which is outside of the checkout.", place=place, path=path_text(path))
            )
            return
        self.local[name] = self._identity(name, editable)
        self.origins += of_project(name, self.reader.read)

    def _identity(self, name: str, editable: bool) -> str:
        data = None if name == "." else self.reader.read(name)
        if data is not None:
            return hashlib.sha256(data).hexdigest()
        if editable:
            parts = [self.reader.read(os.path.normpath(os.path.join(name, file))) or b"" for file in _METADATA]
            described = hashlib.sha256(b"\0".join(parts)).hexdigest()
            if not any(map(_BUILDS.search, parts)):
                return described
        identity = self.reader.tree_id("" if name == "." else name) if isinstance(self.reader, TreeIdentities) else None
        # Unknown content is equal to nothing, not even to itself next time.
        return identity or uuid.uuid4().hex


def split_option(word: str) -> tuple[str, str | None]:
    """An option and the value in the same word, if any; a long one that is cut short, which pip admits, in full."""
    option, equals, value = word.partition("=")
    if not option.startswith("--") and len(option) > 2:
        return option[:2], option[2:] + equals + value
    if option.startswith("--") and option not in (*_LONG_OPTIONS, *UV_INDEX_OPTIONS):
        full = [name for name in _LONG_OPTIONS if name.startswith(option)]
        option = full[0] if len(full) == 1 else option
    return option, value if equals else None


def _asked_version(requirement: str, python: str | None) -> str | None:
    """What a line asks of its package's version (`>=2,<3`; empty: nothing); None where its marker leaves it out for the
    version PYTHON on this machine, or it is not a requirement by name."""
    from packaging.requirements import Requirement

    known = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python} if python else None
    try:
        read = Requirement(requirement)
        return str(read.specifier) if read.marker is None or read.marker.evaluate(known) else None
    except ValueError:
        return None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines without comments, with the number of their first physical line."""
    joined, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        joined = re.sub(r"(^|\s)#.*$", "", joined + line).strip()
        if joined:
            yield begun, joined
        joined, begun = "", 0
    if joined.strip():
        yield begun, joined.strip()


def _is_local(target: str) -> bool:
    """Whether a requirement is a path, as pip decides it: a separator in it or a leading dot, and no address."""
    target = target.partition(";")[0].strip()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", target) or target.startswith(("git+", "hg+", "svn+", "bzr+")):
        return target.startswith("file:") and not target.startswith("file:/")
    return (
        target.startswith((".", "/", "file:"))
        or "/" in target.partition(" ")[0]
        or target.endswith((".whl", ".tar.gz", ".zip", ".tar.bz2"))
    )
