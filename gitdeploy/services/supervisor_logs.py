"""Where supervisor writes what its programs print, as its own files say: who may read it as root, and what the owner reads.

supervisord opens a log by its name as root each time. In a folder that the app's user can write to the name may lead to
any file by then, so root asks supervisor only for logs of which nobody else can change a part of the path.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

from gitdeploy.system.trusted import weak

Stream = Literal["stdout", "stderr"]
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_NOWHERE = ("", "none", "off", "syslog")


def sections(program: str, files: Sequence[str]) -> Iterator[tuple[configparser.RawConfigParser, str]]:
    """Where FILES, supervisor's own, have PROGRAM: the parser and its section. Files that aren't root's don't count."""
    for file in files:
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            if os.stat(file).st_uid == 0:
                parser.read(file, encoding="utf-8")
        for name in (f"program:{re.sub(r'_[0-9]+$', '', program)}", f"program:{program}"):
            if parser.has_section(name):
                yield parser, name


def roots_streams(program: str, files: Sequence[str]) -> list[Stream]:
    """The streams of PROGRAM whose log only root can exchange."""
    places = _places(program, files)
    return [stream for stream, place in places.items() if place is not None and weak(place) is None]


def owners_logs(program: str, files: Sequence[str]) -> list[str]:
    """The logs of PROGRAM that others than root could exchange."""
    found = [place for place in _places(program, files).values() if place is not None and weak(place) is not None]
    return [place for place in dict.fromkeys(found) if not os.path.isdir(place)]


def _places(program: str, files: Sequence[str]) -> dict[Stream, str | None]:
    """Each stream's log, or the folder of it where supervisor chooses the name; None where nothing says so."""
    found: dict[Stream, str | None] = {}
    for parser, section in sections(program, files):
        if parser.get(section, "redirect_stderr", fallback="").lower() in ("true", "yes", "on", "1", "t", "y"):
            found["stderr"] = None
        for stream in _STREAMS:
            if stream not in found:
                said = parser.get(section, f"{stream}_logfile", fallback="AUTO").strip().strip("'\"")
                found[stream] = _place(said.replace("%(program_name)s", program), files)
        break
    return found


def _place(said: str, files: Sequence[str]) -> str | None:
    if said.lower() == "auto":
        return _folder(files)
    return said if said.lower() not in _NOWHERE and os.path.isabs(said) and "%(" not in said else None


def _folder(files: Sequence[str]) -> str | None:
    """`childlogdir` of [supervisord]; without one it is the temporary folder, where others can write."""
    for file in files:
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(file, encoding="utf-8")
            place = parser.get("supervisord", "childlogdir", fallback="")
            if os.path.isabs(place):
                return place
    return None
