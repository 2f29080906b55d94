"""What a release wants installed: its requirements files, everything that they include, and a key for reuse.

Read before anything is installed, since an installer follows `-r ../../etc/passwd` and shows its first line, and lets a
release's own file name another index.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from gitdeploy.text import clean, path_text
from gitdeploy.venvs.live import LiveVenv, canonical, interpreter_identity
from gitdeploy.venvs.settings import VenvConfig, read_settings

LARGEST = 1_000_000  # bytes of all requirements files together: pip needs 20 s for 200,000 lines
MOST_FILES = 200
DEFAULT_FILES = ("requirements.txt",)

_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
_INDEX_OPTIONS = ("-i", "--index-url", "--pypi-url", "--extra-index-url", "-f", "--find-links", "--trusted-host")
_LONG_OPTIONS = (
    "--index-url", "--pypi-url", "--extra-index-url", "--no-index", "--find-links", "--trusted-host", "--requirement",
    "--constraint", "--editable", "--no-binary", "--only-binary", "--prefer-binary", "--require-hashes", "--pre",
    "--use-feature",
)  # fmt: skip
_UV_INDEX_OPTIONS = ("--index", "--default-index")
_PIP_ONLY_OPTIONS = ("--pre", "--prefer-binary", "--use-feature")
_PIP_ONLY_PER_LINE = ("--config-settings", "--config-setting", "--global-option", "--install-option")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;,*]+)\s*(?:;.*|--.*)?$")
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?=$|[\s<>=!~;@(,-])")
_COOKIE = re.compile(rb"^[ \t]*#.*?coding[:=][ \t]*([-\w.]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


class TreeReader(Protocol):
    """The files of the target release."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes, by its path from the checkout's root; None where there is no such file."""

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Write those files (None: all) below FOLDER."""


@runtime_checkable
class TreeIdentities(Protocol):
    """A `TreeReader` may also say what a whole folder holds: its git tree id, None where there is no such folder."""

    def tree_id(self, path: str) -> str | None: ...


class Requirements(Struct, frozen=True):
    """What the release wants.

    files: every file reached by -r and -c, path from the root to bytes; roots and constraints: the ones to name to the
    installer. key: equal keys mean an equal venv. pins: name to version of the `==` lines. names: package to whether its
    line has no marker. needs_tree: the release's own files are installed (`-e .`, `./lib`, `wheels/x.whl`).
    index_options: lines that say where packages come from. hashed: a line has a hash. pip_only: why uv can't do it.
    unpinned: package to what its line asks of the version (`>=2`; empty: nothing) where no `==` line fixes it.
    variables: `${NAME}` in the files. problems: sentences; with any, there is nothing to be installed.
    """

    files: Mapping[str, bytes]
    key: str
    pins: Mapping[str, str]
    needs_tree: bool
    index_options: tuple[str, ...]
    hashed: bool
    problems: tuple[str, ...]
    roots: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    names: Mapping[str, bool] = field(default_factory=dict)
    pip_only: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    unpinned: Mapping[str, str] = field(default_factory=dict)


def read_requirements(reader: TreeReader, config: VenvConfig, live: LiveVenv | None) -> Requirements:
    """Read what the release behind READER wants. Nothing is started; problems are in the result."""
    scan = _Scan(reader, config)
    for path in config.requirements:
        scan.file(path, "the configuration", optional=tuple(config.requirements) == DEFAULT_FILES)
    for path in config.constraints:
        scan.file(path, "the configuration", constraint=True)
    return Requirements(
        files=scan.files,
        key=_key(scan, config, live),
        pins=scan.pins,
        needs_tree=bool(scan.local) or scan.whole_tree,
        index_options=tuple(scan.index_options),
        hashed=scan.hashed,
        problems=tuple(scan.problems),
        roots=tuple(path for path in config.requirements if path in scan.files),
        constraints=tuple(path for path in config.constraints if path in scan.files),
        names=scan.names,
        pip_only=tuple(dict.fromkeys(scan.pip_only)),
        variables=tuple(sorted(scan.variables)),
        unpinned={name: wanted for name, wanted in scan.unpinned.items() if name not in scan.pins},
    )


def index_options_in(words: Sequence[str]) -> list[str]:
    """Those of an installer's arguments that say where packages come from, with their values."""
    found, waiting = [], list(words)
    while waiting:
        option, value = _split(waiting.pop(0))
        if option in (*_INDEX_OPTIONS, *_UV_INDEX_OPTIONS):
            found.append(f"{option} {waiting.pop(0) if value is None and waiting else value or ''}".rstrip())
    return found


def _split(word: str) -> tuple[str, str | None]:
    """An option and the value in the same word, if any; a long one that is cut short, which pip admits, in full."""
    option, equals, value = word.partition("=")
    if not option.startswith("--") and len(option) > 2:
        return option[:2], option[2:] + equals + value
    if option.startswith("--") and option not in (*_LONG_OPTIONS, *_UV_INDEX_OPTIONS):
        full = [name for name in _LONG_OPTIONS if name.startswith(option)]
        option = full[0] if len(full) == 1 else option
    return option, value if equals else None


def _key(scan: _Scan, config: VenvConfig, live: LiveVenv | None) -> str:
    settings = read_settings(live.real if live else None)
    parts = {
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(scan.files.items())},
        "local": sorted(scan.local.items()),
        "roots": [list(config.requirements), list(config.constraints)],
        "python": _wanted_interpreter(config, live),
        "installer": [config.installer, config.exact, list(config.extra_args), list(settings.fingerprint)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _wanted_interpreter(config: VenvConfig, live: LiveVenv | None) -> str:
    wanted = config.python or ""
    if live is not None and live.problem is None:
        return f"{wanted} {interpreter_identity(live.real)}"
    return wanted


class _Scan:
    """Reads files and what they include, and gathers what matters of their lines."""

    def __init__(self, reader: TreeReader, config: VenvConfig) -> None:
        self.reader, self.config = reader, config
        self.files: dict[str, bytes] = {}
        self.pins: dict[str, str] = {}
        self.names: dict[str, bool] = {}
        self.unpinned: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.index_options: list[str] = []
        self.problems: list[str] = []
        self.pip_only: list[str] = []
        self.variables: set[str] = set()
        self.hashed = self.whole_tree = False
        self.size = 0

    def file(self, path: str, named_by: str, *, constraint: bool = False, optional: bool = False) -> None:
        """Read PATH (from the checkout's root), which NAMED_BY names, and all that it includes."""
        shown = path_text(path)
        if re.match(r"[a-z][a-z0-9+.-]+:", path, re.IGNORECASE):
            self.problems.append(f"{named_by} includes {clean(path, limit=200)}; only files of the release are read.")
            return
        name = os.path.normpath(path)
        if name.startswith(("/", "../")) or name == "..":
            self.problems.append(f"{named_by} includes {shown}, which is outside of the checkout.")
            return
        if name in self.files:
            return
        data = self.reader.read(name)
        if data is None:
            if not optional:
                self.problems.append(f"{named_by} names {shown}, which this release doesn't have.")
            return
        self.size += len(data)
        if self.size > LARGEST or len(self.files) >= MOST_FILES:
            self.problems.append(
                f"The requirements files are larger than {LARGEST // 1_000_000} MB together (at {shown})."
            )
            return
        self.files[name] = data
        if name.endswith(".toml"):
            self._project(name)
            return
        text = self._decoded(data, shown)
        for number, line in _lines(text):
            self._line(line, name, f"{shown}, line {number}", constraint)

    def _project(self, name: str) -> None:
        """uv installs what a `pyproject.toml` depends on; pip has no such thing."""
        if self.config.installer == "pip":
            self.problems.append(f"{path_text(name)} can only be installed from with uv, and venv.installer is pip.")

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
                self.pip_only.append(f"{shown} is written in {encoding}, which uv can't read")
                return text
        self.problems.append(f"{shown} is not UTF-8; save it as UTF-8.")
        return data.decode("utf-8", "replace")

    def _line(self, line: str, name: str, place: str, constraint: bool) -> None:
        if line.startswith("-"):
            try:
                words = shlex.split(line)
            except ValueError:
                self.problems.append(f"{place} can't be read: {clean(line, limit=120)}")
                return
            self._options(words, name, place)
            return
        self.variables.update(_VARIABLE.findall(line))
        if _VARIABLE.search(line):
            self.pip_only.append(f"{place} has a variable in a requirement, which uv doesn't fill in")
        if "--hash" in line:
            self.hashed = True
        if any(option in line for option in _PIP_ONLY_PER_LINE):
            self.pip_only.append(f"{place} has options that only pip knows for one requirement")
        pin = _PIN.match(line)
        # A plain pin says all by itself, and most lines are one: what else there may be takes longer to load than to read.
        asked = f"=={pin[2]}" if pin and ";" not in line else _asked_version(line.partition(" --")[0])
        if pin and asked is not None:
            self.pins[canonical(pin[1])] = pin[2]
        requirement = line.partition(" --")[0].partition(" ;")[0].strip()
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
        while words:
            option, said = _split(words.pop(0))
            takes = option in (
                *_INDEX_OPTIONS,
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
            self.variables.update(_VARIABLE.findall(value))
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
            elif option in _INDEX_OPTIONS:
                self.index_options.append(f"{option} {value}")
            elif option == "--require-hashes":
                self.hashed = True
            elif option in _PIP_ONLY_OPTIONS:
                self.pip_only.append(f"{place} says {option}, which uv ignores")

    def _editable(self, value: str, place: str) -> None:
        if re.match(r"(git|hg|svn|bzr)\+", value):
            self.pip_only.append(f"{place} installs from a version control system with -e, which uv doesn't do")
        elif not re.match(r"[a-z][a-z0-9+.-]+://", value, re.IGNORECASE) or value.startswith("file:"):
            self._local(value, place, editable=True)

    def _local(self, target: str, place: str, *, editable: bool) -> None:
        """A path of the release's own: what stands there belongs to the key."""
        path = re.sub(r"\[[^\]]*\]$", "", target.partition(";")[0].strip()).removeprefix("file:")
        if path.startswith("/"):
            return
        name = os.path.normpath(path)
        if name.startswith("../") or name == "..":
            self.problems.append(f"{place} installs {path_text(path)}, which is outside of the checkout.")
            return
        self.local[name] = self._identity(name, editable)

    def _identity(self, name: str, editable: bool) -> str:
        data = None if name == "." else self.reader.read(name)
        if data is not None:
            return hashlib.sha256(data).hexdigest()
        if editable:
            parts = [self.reader.read(os.path.normpath(os.path.join(name, file))) or b"" for file in _METADATA]
            return hashlib.sha256(b"\0".join(parts)).hexdigest()
        identity = self.reader.tree_id("" if name == "." else name) if isinstance(self.reader, TreeIdentities) else None
        # Unknown content is equal to nothing, not even to itself next time.
        return identity or uuid.uuid4().hex


def _asked_version(requirement: str) -> str | None:
    """What a line asks of its package's version (`>=2,<3`; empty: nothing); None where its marker leaves it out on this
    machine, or it is no requirement by name."""
    from packaging.requirements import Requirement

    try:
        read = Requirement(requirement)
        return str(read.specifier) if read.marker is None or read.marker.evaluate() else None
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
