"""Names of the folders in a backup."""

from __future__ import annotations

DUMPS = "dumps"
KEPT = "kept"
INCLUDED = "include"
CARRIED = ".carried-"  # in the state directory: begins the name of a folder in which a backup is taken in or out
REPLACED = "replaced"  # in a backup: what was live when this backup's data took its place
