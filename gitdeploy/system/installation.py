"""This installation of gitdeploy: where it came from, and how it is extended, upgraded and removed.

The name `gitdeploy` on the public package index belongs to another project (2017), so no command here ever asks an index
for it: extras are installed by the names of what they bring, an upgrade comes from where this one came from.
Sources: PEP 610 (direct_url.json), `uv-receipt.toml` of uv tool, `pipx_metadata.json` of pipx.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from gitdeploy import __version__
from gitdeploy.text import redact

EXTRAS = ("web", "notify", "fleet")
Kind = Literal["pip", "uv", "uv tool", "pipx"]


class Installation:
    """What PREFIX, the environment that this Python belongs to, says of the gitdeploy in it."""

    def __init__(self, prefix: str = sys.prefix, python: str = sys.executable) -> None:
        self._prefix = Path(prefix)
        self._python = python

    @cached_property
    def _distribution(self) -> metadata.Distribution | None:
        try:
            return metadata.distribution("gitdeploy")
        except metadata.PackageNotFoundError:
            return None

    @cached_property
    def _origin(self) -> Mapping[str, Any]:
        text = self._distribution.read_text("direct_url.json") if self._distribution is not None else None
        try:
            found = json.loads(text or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def kind(self) -> Kind:
        """What it is kept by: a tool of uv's, pipx, else pip, or uv where the environment has no pip."""
        if (self._prefix / "uv-receipt.toml").is_file():
            return "uv tool"
        if (self._prefix / "pipx_metadata.json").is_file():
            return "pipx"
        return "pip" if util.find_spec("pip") is not None else "uv"

    @property
    def folder(self) -> str | None:
        """The folder that it was installed from."""
        url = str(self._origin.get("url", ""))
        return unquote(urlsplit(url).path) if "dir_info" in self._origin and url.startswith("file:") else None

    @property
    def editable(self) -> bool:
        return bool(self.folder and self._origin["dir_info"].get("editable"))

    @property
    def source(self) -> str | None:
        """What an installer takes it from again: a folder, `git+URL`, a file or its address. None where nothing says so."""
        url = redact(str(self._origin.get("url", "")))
        if not url:
            return None
        if "vcs_info" in self._origin:
            return f"{self._origin['vcs_info'].get('vcs', 'git')}+{url}"
        if self.folder is not None:
            return self.folder
        return unquote(urlsplit(url).path) if url.startswith("file:") else url

    def needed(self, extra: str) -> list[str]:
        """The requirements that EXTRA adds: `flask>=3.1`."""
        found = []
        for text in (self._distribution.requires if self._distribution is not None else None) or ():
            try:
                one = Requirement(text)
            except InvalidRequirement:
                continue
            if one.name != "gitdeploy" and one.marker is not None:
                with_it, without = (one.marker.evaluate({"extra": name}) for name in (extra, ""))
                if with_it and not without:
                    one.marker = None
                    found.append(str(one))
        return found

    def has(self, extra: str) -> bool:
        """Whether everything that EXTRA adds is there."""
        names = [Requirement(text).name for text in self.needed(extra)]
        return bool(names) and all(_installed(name) for name in names)

    def extend(self, extra: str) -> str:
        """The command that installs what EXTRA adds, here."""
        return self._install(self.needed(extra))

    def _install(self, words: Sequence[str]) -> str:
        asked = shlex.join(words)
        if self.kind == "pipx":
            return f"pipx inject gitdeploy {asked}"
        if self.kind == "pip":
            return f"{shlex.quote(self._python)} -m pip install {asked}"
        return f"uv pip install --python {shlex.quote(self._python)} {asked}"

    @property
    def upgrade(self) -> str | None:
        """The command that installs a newer gitdeploy over this one; None where nothing says where this one came from."""
        source = self.source
        if source is None:
            return None
        extras = ",".join(extra for extra in EXTRAS if self.has(extra))
        wanted = f"{source}[{extras}]" if extras else source
        if "://" in source:  # pip takes extras of an address only by name, and only where it has a host
            wanted = f"gitdeploy[{extras}] @ {source}" if extras and urlsplit(source).netloc else source
        if self.folder is not None:
            pull = f"git -C {shlex.quote(self.folder)} pull && " if os.path.isdir(f"{self.folder}/.git") else ""
            return pull + self._install(["--editable", wanted] if self.editable else [wanted])
        return self._install(["--upgrade", wanted])

    @property
    def remove(self) -> str:
        """The command that removes it. What it keeps in each app (`.gitdeploy/`, refs) stays."""
        if self.kind == "pipx":
            return "pipx uninstall gitdeploy"
        if self.kind == "uv tool":
            return "uv tool uninstall gitdeploy"
        if self.kind == "pip":
            return f"{shlex.quote(self._python)} -m pip uninstall gitdeploy"
        return f"uv pip uninstall --python {shlex.quote(self._python)} gitdeploy"

    def as_dict(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "python": self._python,
            "environment": str(self._prefix),
            "kept_by": self.kind,
            "source": self.source,
            "editable": self.editable,
            "extras": {extra: self.has(extra) for extra in EXTRAS},
            "extend": {extra: self.extend(extra) for extra in EXTRAS if not self.has(extra)},
            "upgrade": self.upgrade,
            "remove": self.remove,
        }


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
