"""git's settings, as it says them, in a file for GitPython."""

from __future__ import annotations

import io
from collections.abc import Mapping


class _Settings(io.BytesIO):
    name = "git config --list"  # as errors call it


def as_file(values: Mapping[str, list[str]]) -> _Settings:
    """A file that says the same as VALUES (`remote.origin.url`, all of each)."""
    lines = []
    for key, told in values.items():
        section, _, rest = key.partition(".")
        within, _, name = rest.rpartition(".")
        lines.append(f'[{section} "{_quoted(within)}"]' if within else f"[{section}]")
        lines += [f'\t{name} = "{_quoted(value)}"' for value in told]
    return _Settings("\n".join(lines).encode())


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
