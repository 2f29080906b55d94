"""An amount of bytes, as one writes it: 2 GB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from gitdeploy.config.document import Node, Scalar
from gitdeploy.config.kinds import Json, wrong
from gitdeploy.messages import tr

_UNITS: Mapping[str, int] = MappingProxyType(
    {unit: 1000**power for power, unit in enumerate(("B", "kB", "MB", "GB", "TB"))}
    | {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)}
)
_BY_NAME = {unit.lower(): size for unit, size in _UNITS.items()}
_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([kmgt]?i?b)", re.ASCII | re.IGNORECASE)


class Size(Struct, frozen=True):
    """Bytes, written with their unit, between `least` and `most`."""

    least: int = 0
    most: int = 10**15

    @property
    def expected(self) -> str:
        return tr(
            "a size such as 500 MB, 2 GB or 2 GiB (from {least} to {most})",
            least=size_word(self.least),
            most=size_word(self.most),
        )

    def read(self, node: Node) -> int:
        found = _FORM.fullmatch(node.text) if isinstance(node, Scalar) else None
        unit = _BY_NAME.get(found[2].lower()) if found else None
        if not found or unit is None:
            bare = isinstance(node, Scalar) and node.text.isdigit()
            raise wrong(node, self.expected, tr(", which has no unit") if bare else "")
        size = round(float(found[1]) * unit)
        if not self.least <= size <= self.most:
            raise wrong(node, self.expected)
        return size

    def schema(self) -> Json:
        return {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?)?[bB]$"}

    def show(self, value: Any) -> Any:
        return size_word(value)


def size_word(size: int) -> str:
    """Bytes as one would write them in the file, none lost: `2 GB`, `1500 MB`, `1 GiB`."""
    whole = [(size // unit, name) for name, unit in _UNITS.items() if size % unit == 0]
    number, name = min(whole, key=lambda each: each[0]) if size else (0, "B")
    return f"{number} {name}"
