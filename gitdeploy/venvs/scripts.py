"""The paths inside a venv: scripts, kernelspecs and path files that name the venv they were made in.

A script whose first line names the live venv would run with the live packages, and a `pip` would change them. So before
anything runs in a clone, all that names another place of this venv is made to name the clone itself. Once it is whole, its
scripts name the link that it will be behind: a gunicorn that was started as `venv/bin/gunicorn` starts itself again by the
path in that first line (USR2), or forks workers that import from there (HUP), and must come to what is live by then.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gitdeploy.text import path_text
from gitdeploy.venvs.live import site_folders

_LARGEST = 1 << 20  # bytes; scripts are small, what is larger is a program
_LONGEST_SHEBANG = 127  # bytes that every kernel takes (256 since Linux 5.1)
_PLAIN = re.compile(rb"#!(?P<python>/[^\n]*?/bin/[^/\s]+)(?P<arguments>[ \t][^\n]*)?\r?\n")
# What pip ("..."), uv ('...') and distlib (bare) write where the kernel couldn't read the line.
_TRAMPOLINE = re.compile(
    rb"#!/bin/sh\n'''exec' (?P<quote>[\"']?)(?P<python>/.*?)(?P=quote)(?P<arguments>(?: -\S+)*) \"\$0\" \"\$@\"\n' '''\n"
)
_GENERATION = re.compile(r"(/.*/\.gitdeploy/venvs/[^/]+)/bin/[^/]+")


def rewrite(venv: Path, prefixes: Sequence[str], seen_at: Path) -> None:
    """Make every script, kernelspec and path file of VENV name VENV where it names one of PREFIXES.

    seen_at: the place of the venv that it was cloned from, as the app sees it; relative paths count from there.
    """
    replace = _with_generations(_replacer(prefixes, os.fspath(venv)), venv)
    for path, data in _small_texts(venv / "bin"):
        _write(path, data, replace(_with_own_python(data, venv, prefixes)))
    for site in site_folders(venv):
        for path in path_files(site):
            data = path.read_bytes()
            new = replace(data)
            if path.suffix in (".pth", ".egg-link"):
                new = _absolute_lines(new, seen_at / site.relative_to(venv))
            _write(path, data, new)
    for kernel in sorted(venv.glob("share/jupyter/kernels/*/kernel.json")):
        _rewrite_kernel(kernel, prefixes, os.fspath(venv))
    settings = venv / "pyvenv.cfg"
    data = settings.read_bytes()
    lines = [replace(line) if line.startswith(b"command") else line for line in data.splitlines(keepends=True)]
    _write(settings, data, b"".join(lines))


def path_files(site: Path) -> Iterator[Path]:
    """What in a `site-packages` names places of packages that lie elsewhere: path files, the finders and loaders of
    editable installs, and where a package came from."""
    for entry in os.scandir(site):
        if entry.name.endswith(".dist-info"):
            origin = Path(entry.path, "direct_url.json")
            if origin.is_file():
                yield origin
        elif names_places(entry.name) and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def names_places(name: str) -> bool:
    """Whether a file right below `site-packages` may name places, by its name."""
    return name.endswith((".pth", ".egg-link")) or (name.endswith((".py", ".json")) and "editable" in name)


def _with_generations(replace: Callable[[bytes], bytes], venv: Path) -> Callable[[bytes], bytes]:
    """REPLACE, and every other generation beside VENV (an older clone may name one that is gone) becomes VENV too."""
    if venv.parent.name != "venvs":
        return replace
    own, quoted = os.fsencode(venv), os.fsencode(quote(os.fspath(venv)))
    folders = {os.fsencode(folder) for folder in (os.fspath(venv.parent), os.path.realpath(venv.parent))}
    plain = re.compile(rb"(?:" + b"|".join(map(re.escape, folders)) + rb")/(?!\.)[\w.+-]+")
    urls = re.compile(
        rb"(?:" + b"|".join(re.escape(os.fsencode(quote(os.fsdecode(f)))) for f in folders) + rb")/(?!\.)[\w.+-]+"
    )
    return lambda data: urls.sub(lambda _: quoted, plain.sub(lambda _: own, replace(data)))


def name_link(venv: Path, link: Path) -> None:
    """Make the scripts in VENV's `bin` name LINK, the live venv's place, where they name VENV."""
    replace = _replacer([os.path.realpath(venv), os.fspath(venv)], os.fspath(link))
    for path, data in _small_texts(venv / "bin"):
        _write(path, data, replace(data))


def _small_texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files in FOLDER that aren't programs, with their content."""
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size <= _LARGEST:
            path = Path(entry.path)
            data = path.read_bytes()
            if b"\0" not in data[:1024]:
                yield path, data


def _write(path: Path, old: bytes, new: bytes) -> None:
    if new != old:
        # In place: the file is this clone's own copy, and keeps its mode.
        path.write_bytes(new)


def _replacer(prefixes: Iterable[str], new: str) -> Callable[[bytes], bytes]:
    """A function that puts NEW for each of PREFIXES where it stands as a whole path, also inside shell quotes."""
    pairs = {}
    for prefix in prefixes:
        for quoted in (str, quote, lambda text: text.replace("'", "'\\''"), lambda text: text.replace("'", "'\"'\"'")):
            pairs[os.fsencode(quoted(prefix))] = os.fsencode(quoted(new))
    pairs.pop(os.fsencode(new), None)
    if not pairs:
        return lambda data: data
    # NEW is matched first, so that a prefix inside it (a venv with generations below it) isn't replaced a second time.
    words = sorted((re.escape(word) for word in (*pairs, os.fsencode(new))), key=len, reverse=True)
    pattern = re.compile(rb"(?<![\w.])(?:" + b"|".join(words) + rb")(?![\w.-])")
    return lambda data: pattern.sub(lambda found: pairs.get(found[0], found[0]), data)


def _with_own_python(data: bytes, venv: Path, prefixes: Sequence[str]) -> bytes:
    """A Python script whose interpreter is this venv's under another name gets a first line that names VENV's."""
    found = _TRAMPOLINE.match(data) or _PLAIN.match(data)
    if not found:
        return data
    python = os.fsdecode(found["python"]).replace("'\\''", "'")
    elsewhere = _GENERATION.fullmatch(python)
    if not (elsewhere or any(os.path.dirname(python) == f"{prefix}/bin" for prefix in prefixes)):
        return data
    own = os.path.join(venv, "bin", os.path.basename(python))
    return first_line(own, os.fsdecode((found["arguments"] or b"").strip())) + data[found.end() :]


def first_line(python: str, arguments: str = "") -> bytes:
    """The `#!` line for PYTHON; where the kernel couldn't read it (a space, too long), /bin/sh hands over to it."""
    line = f"#!{python} {arguments}".rstrip() + "\n"
    if " " not in python and len(os.fsencode(line)) <= _LONGEST_SHEBANG:
        return os.fsencode(line)
    quoted = '"' + re.sub(r'([\\"$`])', r"\\\1", python) + '"' if "'" in python else f"'{python}'"
    arguments = f" {arguments}" if arguments else ""
    return os.fsencode(f"#!/bin/sh\n'''exec' {quoted}{arguments} \"$0\" \"$@\"\n' '''\n")


def _absolute_lines(data: bytes, site: Path) -> bytes:
    """Relative paths in a path file count from its folder, which was SITE; make them absolute."""
    lines = []
    for line in data.splitlines(keepends=True):
        text = os.fsdecode(line.strip())
        if text.startswith("../"):
            line = os.fsencode(os.path.normpath(os.path.join(site, text))) + b"\n"
        lines.append(line)
    return b"".join(lines)


def _rewrite_kernel(path: Path, prefixes: Sequence[str], new: str) -> None:
    replace = _replacer(prefixes, new)

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return os.fsdecode(replace(os.fsencode(value)))
        if isinstance(value, list):
            return [changed(item) for item in value]
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        return value

    try:
        old = json.loads(path.read_bytes())
    except ValueError:
        return
    if (text := changed(old)) != old:
        path.write_text(json.dumps(text, indent=1), "utf-8")


def strays(venv: Path, prefixes: Sequence[str]) -> list[str]:
    """Scripts of VENV that still name one of PREFIXES in their first line: they would work on another venv."""
    found = []
    folder = venv / "bin"
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as file:
                head = file.read(1024)
            match = _TRAMPOLINE.match(head) or _PLAIN.match(head)
            python = os.fsdecode(match["python"]) if match else ""
            if any(python.startswith(f"{prefix}/bin/") for prefix in prefixes if prefix != os.fspath(venv)):
                found.append(path_text(entry.name))
    return sorted(found)
