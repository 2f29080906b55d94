"""Lock files and project files as requirement lines, which both installers read: `uv.lock` by uv's own exporter, the
others by their documented formats.

Everything is read before anything is installed. What a format leaves open (which packages are for development only) is
refused in words, never guessed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from gitdeploy.messages import joined, tr
from gitdeploy.system import environment, process
from gitdeploy.text import clean, listing
from gitdeploy.venvs.described import PYLOCK
from gitdeploy.venvs.live import canonical
from gitdeploy.venvs.origins import Origin, Reader, of_pylock
from gitdeploy.venvs.uv import uv_program

_PUBLIC_INDEX = re.compile(r"https://pypi\.org/simple/?")
_EXPORT_LIMIT = 60.0  # seconds that uv's exporter may take; it needs a tenth of one


class Cannot(Exception):
    """A file that can't be installed from: the rest of a sentence that begins with its name."""


class Lines(Struct, frozen=True):
    """What a file means. text: requirement lines; None where the installer must read the file itself, with the whole
    release beside it where `tree` says so; `shown` is what can be told of it then; `origins`: where it says that packages come from. hashed: every line has a hash. python: the versions that it is for."""

    text: str | None
    hashed: bool = False
    tree: bool = False
    python: str = ""
    shown: str = ""
    origins: tuple[Origin, ...] = ()


def lines_of(path: str, data: bytes, read: Reader, groups: tuple[str, ...], extras: tuple[str, ...]) -> Lines:
    """What the file PATH with the content DATA wants installed. READ: other files of the release. Raises `Cannot`."""
    name = os.path.basename(path)
    try:
        if name == "uv.lock":
            return _uv(path, data, read, groups, extras)
        if name == "poetry.lock":
            return _poetry(_toml(data), groups, extras)
        if name == "pdm.lock":
            return _pdm(_toml(data), groups, extras)
        if name == "Pipfile.lock":
            return _pipfile(json.loads(data), groups)
        if PYLOCK.fullmatch(name):
            return _pylock(_toml(data))
        if name == "pyproject.toml":
            return _project(_toml(data), groups, extras)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Cannot(tr("can't be read: {error}", error=clean(str(error), limit=160))) from error
    raise Cannot(_refusal(name))


def _refusal(name: str) -> str:
    if name in ("setup.py", "setup.cfg"):
        return tr("can't be named in venv.requirements; the app itself is installed by: venv: {{self: editable}}")
    if name == "Pipfile":
        return tr("says no versions; Pipfile.lock does: venv: {{requirements: [Pipfile.lock]}}")
    return tr("is conda's, and gitdeploy installs with uv and pip only")


def _toml(data: bytes) -> dict[str, Any]:
    return tomllib.loads(data.decode("utf-8-sig"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# ---- uv.lock ----


def _uv(path: str, data: bytes, read: Reader, groups: tuple[str, ...], extras: tuple[str, ...]) -> Lines:
    """By `uv export`: it alone knows what the lock means."""
    lock = _toml(data)
    folder = os.path.dirname(path)
    members = {"."}
    foreign: set[str] = set()
    for package in lock.get("package", ()):
        source = package.get("source", {})
        members |= {source[kind] for kind in ("editable", "virtual", "directory") if kind in source}
        address = _text(source.get("registry"))
        if address and not _PUBLIC_INDEX.fullmatch(address):
            foreign.add(address)
    words = [word for group in groups for word in ("--group", group)]
    words += [word for extra in extras for word in ("--extra", extra)]
    with tempfile.TemporaryDirectory(prefix="gitdeploy-") as name:
        place = Path(name)
        (place / "uv.lock").write_bytes(data)
        for member in members:
            inside = os.path.normpath(os.path.join(folder, member))
            project = (
                read(os.path.normpath(os.path.join(inside, "pyproject.toml")))
                if not inside.startswith(("/", ".."))
                else None
            )
            if project is not None:
                (place / member).mkdir(parents=True, exist_ok=True)
                (place / member / "pyproject.toml").write_bytes(project)
            elif member == ".":
                raise Cannot(tr("lies beside no pyproject.toml, which it belongs to"))
        done = process.run(
            [uv_program(), "export", "--frozen", "--offline", "--no-config", "--no-cache", "--no-header",
             "--no-annotate", "--no-emit-project", *([] if "dev" in groups else ["--no-dev"]), *words,
             "--color", "never", "--no-progress", "--quiet"],
            cwd=place,
            env=environment.clean_environment({"UV_PYTHON_DOWNLOADS": "never"}),
            timeout=_EXPORT_LIMIT,
        )  # fmt: skip
    if not done.ok:
        raise Cannot(tr("can't be exported by uv: {error_text}", error_text=done.error_text.removeprefix("error: ")))
    text = _below(done.text, folder)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    hashed = bool(lines) and all("--hash=" in line for line in lines)
    # Where one has no hash (a folder of the release, a git address), an installer that requires them would refuse all.
    text = text if hashed else re.sub(r" *\\\n *--hash=\S+", "", text)
    indexes = "".join(f"--extra-index-url {address}\n" for address in sorted(foreign) if "://" in address)
    return Lines(indexes + text, hashed, python=_text(lock.get("requires-python")))


def _below(text: str, folder: str) -> str:
    """Paths in an export count from the project's folder; the installer's from the checkout's."""
    if not folder:
        return text
    return re.sub(r"^(-e )?\./", lambda found: f"{found[1] or ''}./{folder}/", text, flags=re.MULTILINE)


# ---- the others ----


def _pylock(lock: Mapping[str, Any]) -> Lines:
    """uv installs it; which of its packages an extra or a group adds is uv's to say."""
    lines = [
        _line(str(package["name"]), str(package["version"]), marker, ())
        for package in lock.get("packages", ())
        if "version" in package
        and not re.search(r"\b(?:extras|dependency_groups)\b", marker := _text(package.get("marker")))
    ]
    shown = "".join(f"{line}\n" for line in lines)
    return Lines(None, python=_text(lock.get("requires-python")), shown=shown, origins=of_pylock(lock))


def _line(name: str, version: str, marker: str, hashes: Iterable[str], extras: Iterable[str] = ()) -> str:
    wanted = ",".join(extras)
    shown = f"{name}[{wanted}]" if wanted else name
    return joined(
        " ", [f"{shown}=={version}", *([f"; {marker}"] if marker else []), *(f"--hash={one}" for one in hashes)]
    )


def _joined(lines: list[str], python: str = "") -> Lines:
    hashed = bool(lines) and all("--hash=" in line for line in lines)
    if not hashed:
        lines = [re.sub(r" --hash=\S+", "", line) for line in lines]
    return Lines("".join(f"{line}\n" for line in lines), hashed, python=python)


def _locked(package: Mapping[str, Any], marker: str, kind: str) -> str:
    """One package of a lock that is installed from an index. Raises `Cannot` for one from elsewhere."""
    name = str(package["name"])
    source = package.get("source") or {}
    if source.get("type") not in (None, "legacy") or any(key in package for key in ("path", "git", "url", "ref")):
        raise Cannot(
            tr(
                "takes {name} from elsewhere than an index, which gitdeploy can't read from it; let the "
                "release bring what `{kind}` exports as requirements.txt",
                name=clean(name, limit=60),
                kind=kind,
            )
        )
    return _line(name, str(package["version"]), marker, (file["hash"] for file in package.get("files", ())))


def _chosen(names: Iterable[str], offered: Iterable[str], setting: str, what: str) -> None:
    """Raises `Cannot` where NAMES (of SETTING) has one that isn't OFFERED."""
    if missing := sorted(set(names) - set(offered)):
        raise Cannot(
            tr(
                "has no {what} {missing} ({setting})",
                what=what,
                missing=listing([clean(name, limit=60) for name in missing], 3),
                setting=setting,
            )
        )


def _poetry(lock: Mapping[str, Any], groups: tuple[str, ...], extras: tuple[str, ...]) -> Lines:
    """Poetry 2's locks (2.1) say for each package which groups want it and where; older ones don't."""
    about = lock.get("metadata", {})
    version = tuple(int(part) for part in _text(about.get("lock-version")).split(".") if part.isdecimal())
    if version < (2, 1):
        raise Cannot(
            tr(
                "was written by Poetry 1, and doesn't say which packages are for development; write it with Poetry 2 "
                "(`poetry lock`), or let the release bring `poetry export -o requirements.txt`"
            )
        )
    packages = lock.get("package", ())
    _chosen(groups, (group for package in packages for group in package.get("groups", ())), "venv.groups", "group")
    _chosen(extras, lock.get("extras", {}), "venv.extras", "extra")
    lines = []
    for package in packages:
        of = [group for group in package.get("groups", ("main",)) if group in ("main", *groups)]
        said = package.get("markers", "")
        markers = {said} if isinstance(said, str) else {said.get(group, "") for group in of}
        marker = "" if "" in markers else " or ".join(f"({one})" for one in sorted(markers))
        if of:
            lines.append(_locked(package, _without_extras(marker, extras), "poetry export"))
    return _joined(lines, _text(about.get("python-versions")))


def _without_extras(marker: str, extras: Iterable[str]) -> str:
    """MARKER with its questions for extras answered: an installer has none to answer them by."""

    def answer(found: re.Match[str]) -> str:
        return 'python_version >= "0"' if (found[2] in extras) == (found[1] == "==") else 'python_version < "0"'

    return re.sub(r"""extra\s*(==|!=)\s*["']([^"']+)["']""", answer, marker)


def _pdm(lock: Mapping[str, Any], groups: tuple[str, ...], extras: tuple[str, ...]) -> Lines:
    about = lock.get("metadata", {})
    if "inherit_metadata" not in about.get("strategy", ()):
        raise Cannot(
            tr(
                "doesn't say which packages are for development; write it with `pdm lock -S inherit_metadata`, or let the "
                "release bring `pdm export -o requirements.txt`"
            )
        )
    _chosen((*groups, *extras), about.get("groups", ()), tr("venv.groups, venv.extras"), "group")
    wanted = {"default", *groups, *extras}
    lines = [
        _locked(package, _text(package.get("marker")), "pdm export")
        for package in lock.get("package", ())
        if not wanted.isdisjoint(package.get("groups", ("default",)))
    ]
    targets = about.get("targets", ())
    return _joined(lines, _text(targets[0].get("requires_python")) if len(targets) == 1 else "")


def _pipfile(lock: Mapping[str, Any], groups: tuple[str, ...]) -> Lines:
    """Pipenv's categories are `default`, `develop` and the operator's own."""
    _chosen(groups, (name for name in lock if not name.startswith("_")), "venv.groups", "category")
    lines = []
    for category in dict.fromkeys(("default", *groups)):
        for name, said in lock.get(category, {}).items():
            version = _text(said.get("version"))
            if not version.startswith("=="):
                raise Cannot(
                    tr(
                        "takes {name} from elsewhere than an index, which gitdeploy can't read from it; let the "
                        "release bring what `pipenv requirements` says as requirements.txt",
                        name=clean(name, limit=60),
                    )
                )
            marker = _text(said.get("markers"))
            lines.append(_line(name, version[2:], marker, said.get("hashes", ()), said.get("extras", ())))
    sources = lock.get("_meta", {}).get("sources", ())
    foreign = [_text(source.get("url")) for source in sources if not _PUBLIC_INDEX.fullmatch(_text(source.get("url")))]
    python = _text(lock.get("_meta", {}).get("requires", {}).get("python_version"))
    made = _joined(lines, f"=={python}.*" if python else "")
    return Lines(
        "".join(f"--extra-index-url {url}\n" for url in foreign) + (made.text or ""), made.hashed, python=made.python
    )


def _project(project: Mapping[str, Any], groups: tuple[str, ...], extras: tuple[str, ...]) -> Lines:
    """What `pyproject.toml` itself says; where it leaves that to its build backend, uv must ask that."""
    about = project.get("project", {})
    python = _text(about.get("requires-python"))
    dynamic = about.get("dynamic", ())
    if not about or "dependencies" in dynamic or (extras and "optional-dependencies" in dynamic):
        if groups:
            raise Cannot(tr("leaves its dependencies to its build backend, which knows no groups (venv.groups)"))
        return Lines(None, tree=True, python=python)
    lines = [str(line) for line in about.get("dependencies", ())]
    offered = {canonical(name): said for name, said in about.get("optional-dependencies", {}).items()}
    _chosen(map(canonical, extras), offered, "venv.extras", "extra")
    own, wanted = canonical(_text(about.get("name"))), [canonical(extra) for extra in extras]
    for extra in wanted:  # `all = ["shop[pg,mail]"]` asks for others of its own
        for line in map(str, offered.get(extra, ())):
            inner = re.match(r"([\w.-]+)\s*\[([^\]]*)\]", line)
            if inner and canonical(inner[1]) == own:
                wanted += [name for part in inner[2].split(",") if (name := canonical(part.strip())) not in wanted]
            else:
                lines.append(line)
    known = {canonical(name): said for name, said in project.get("dependency-groups", {}).items()}
    for group in groups:
        lines += _group(known, canonical(group), ())
    return Lines("".join(f"{line}\n" for line in dict.fromkeys(lines)), python=python)


def _group(known: Mapping[str, Any], name: str, outer: tuple[str, ...]) -> Iterator[str]:
    """The lines of a dependency group and of those that it includes. Raises `Cannot`."""
    _chosen((name,), known, "venv.groups", "group")
    if name in outer:
        raise Cannot(tr("has a group that includes itself: {name}", name=clean(name, limit=60)))
    for line in known[name]:
        if isinstance(line, str):
            yield line
        else:
            yield from _group(known, canonical(str(line["include-group"])), (*outer, name))
