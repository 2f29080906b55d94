"""A run of gitdeploy as whoever started it sees it later: what it is doing, or how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from gitdeploy.site.status import row_as_dict
from gitdeploy.state.requests import RunFile

if TYPE_CHECKING:
    from gitdeploy.site.site import Site

State = Literal["unknown", "running", "ended", "killed"]


class Requested(Struct, frozen=True):
    """The run of one request. `document`: what its `--json` printed, else the deployment as the journal has it."""

    request: str
    state: State
    deployment: int | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    exit_code: int | None = None
    document: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The shape of `log --request --json`. `step` is the one that runs, or that ran last."""
        return {
            "request": self.request,
            "state": self.state,
            "deployment": self.deployment,
            "step": self.steps[-1]["name"] if self.steps else None,
            "steps": list(self.steps),
            "exit_code": self.exit_code,
            "document": self.document,
        }


def requested(site: Site, request: str) -> Requested:
    """The run of REQUEST (32 hexadecimal digits): by its own file, which stays a day, and by the journal, which stays."""
    facts = RunFile(site.state.requests, request).read()
    number, steps, row = None, [], None
    database = site.read_database()
    if database is not None:
        with database:
            number = database.requested(request)
            row = database.deployment(number) if number is not None else None
            steps = database.steps(number) if number is not None else []
    if facts is not None and facts.exit_code is not None:
        return Requested(request, "ended", number, steps, facts.exit_code, facts.document)
    if facts is not None and facts.process.alive():
        return Requested(request, "running", number, steps)
    if row is None:
        return Requested(request, "unknown" if facts is None else "killed")
    if row.running:
        return Requested(request, "killed", number, steps)
    failed = row.error.get("exit_code") if row.error else 0
    return Requested(request, "ended", number, steps, failed if isinstance(failed, int) else 1, row_as_dict(row))
