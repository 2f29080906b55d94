"""Names of the folders in a backup."""

from __future__ import annotations

DUMPS = "dumps"
KEPT = "kept"
INCLUDED = "include"
REPLACED = "replaced"  # in a backup: what was live when this backup's data took its place
