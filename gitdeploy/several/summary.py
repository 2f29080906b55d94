"""What an app is like at this moment, in a row: what `gitdeploy apps`, the page of all apps and its API show of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import heard, said
from gitdeploy.site.status import row_as_dict
from gitdeploy.sources.answers import depth_of, read_json

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.config.apps_list import Listed

_DEEPEST = 20


class Said(Struct, frozen=True, kw_only=True):
    """A sentence as it travels in JSON (`messages.said`)."""

    message: str = ""
    code: str = ""
    params: dict[str, Any] = {}

    @property
    def sentence(self) -> str:
        """To be rendered in the reader's language."""
        return heard(to_builtins(self))


class Health(Said, frozen=True, kw_only=True):
    """Healthy or not; unconfigured: there is nothing that could be asked; unknown: it was not asked, or not by this user;
    asking: there is no answer yet. The sentence says why it is unhealthy or unknown."""

    state: Literal["healthy", "unhealthy", "unconfigured", "unknown", "asking"] = "unknown"


class Last(Struct, frozen=True):
    """The last deployment, as `log --json` has it, without its steps."""

    id: int
    action: str
    status: str
    performer: str
    started_at: str
    ended_at: str | None
    duration: float | None
    backup: str | None
    origin: dict[str, str | None] = msgspec.field(name="from")
    target: dict[str, str | None] = msgspec.field(name="to")


class Trouble(Said, frozen=True, kw_only=True):
    """Why an app can't be read, and what to do: an error as `--json` has it."""

    kind: str
    exit_code: int
    hint: str = ""
    hint_code: str = ""
    hint_params: dict[str, Any] = {}

    @classmethod
    def of(cls, error: GitDeployError) -> Trouble:
        return msgspec.convert(error.as_dict(), cls)

    @property
    def way(self) -> str:
        """The hint, to be rendered."""
        return heard(to_builtins(self), "hint")


class Row(Struct, frozen=True):
    """One app: what `apps --json` says of it. The names are those of `status --json`; `limited`: why somebody else than the
    owner is told its commit only; `error`: why it can't be read at all."""

    name: str
    path: str
    version: str | None = None
    tag: str | None = None
    commit: str | None = None
    local_changes: int | None = None
    update_available: bool | None = None
    latest_version: str | None = None
    checked_at: str | None = None
    last_deployment: Last | None = None
    running: bool | None = None
    interrupted: bool | None = None
    paused: bool | None = None
    health: Health = Health()
    limited: Said | None = None
    error: Trouble | None = None

    def as_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = to_builtins(self)
        return made

    @classmethod
    def read(cls, raw: bytes, name: str, path: str, within: str = "") -> Row:
        """The row that another process, maybe of somebody who means ill, says of the app NAME in PATH: RAW, as JSON, or what
        it has as WITHIN. Raises `ValueError`."""
        document = read_json(raw)
        if depth_of(document) > _DEEPEST:
            raise ValueError("nested too deeply")
        if within:
            document = document.get(within) if isinstance(document, dict) else None
        return replace(msgspec.convert(document, cls), name=name, path=path)


def summary(name: str, app: App, ask_health: Callable[[], Health]) -> Row:
    """The row of APP, listed as NAME. ASK_HEALTH: `health_of`, or what keeps its answer. Raises `GitDeployError`."""
    status = app.status()
    live, last = status.live, status.last_deployment
    if status.limited is not None:
        return Row(name, status.path, commit=live.commit or None, limited=Said(**said(status.limited[0])))
    return Row(
        name,
        status.path,
        live.version,
        live.tag,
        live.commit,
        len(status.local_changes),
        status.update_available,
        status.latest_version,
        status.checked_at,
        msgspec.convert(row_as_dict(last), Last) if last is not None else None,
        status.holder is not None,
        status.interrupted,
        status.held is not None,
        ask_health(),
    )


def health_of(app: App) -> Health:
    """Its services and its health check, asked one time."""
    if not app.site.config.health.configured and not app.service_names():
        return Health(state="unconfigured")
    try:
        problem = app.health()
    except GitDeployError as error:
        return Health(state="unknown", **said(error.message))
    return Health(state="unhealthy", **said(problem)) if problem else Health(state="healthy")


def unreadable(listed: Listed, error: GitDeployError) -> Row:
    """The row of an app that can't be read."""
    return Row(listed.name, str(listed.folder), error=Trouble.of(error))
