"""A fleet on the screen: a table of hosts that changes on a terminal, a line for each change off it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gitdeploy.cli.marks import step_title
from gitdeploy.cli.screen import Screen, is_terminal
from gitdeploy.fleet.events import Event, HostChanged, PhaseBegan, Said
from gitdeploy.fleet.journal import PRIMARY, Journal, Member, Rollout
from gitdeploy.fleet.survey import Survey, drift
from gitdeploy.messages import joined, render, tr
from gitdeploy.text import clean, count, duration_text, listing

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from gitdeploy.fleet.ansible import HostResult
    from gitdeploy.fleet.session import Outcome

STATES = {
    "waiting": tr("waiting"), "preparing": tr("preparing"), "prepared": tr("prepared"), "upgrading": tr("upgrading"),
    "upgraded": tr("upgraded"), "unchanged": tr("on it already"), "failed": tr("failed"),
    "rolled_back": tr("rolled back by itself"), "broken": tr("manual intervention required"), "locked": tr("busy or paused"),
    "unreachable": tr("unreachable"), "reverting": tr("rolling back"), "reverted": tr("rolled back"),
    "left_out": tr("left out"),
}  # fmt: skip
STATUSES = {
    "running": tr("running"), "interrupted": tr("interrupted"), "succeeded": tr("succeeded"), "failed": tr("failed"), "halted": tr("halted"),
    "rolled_back": tr("rolled back"), "abandoned": tr("given up"),
}  # fmt: skip
_WORKING = ("preparing", "upgrading", "reverting")
_STYLES = {
    **dict.fromkeys(("upgraded", "unchanged", "prepared"), "green"),
    **dict.fromkeys(("failed", "broken", "unreachable", "locked"), "red"),
    **dict.fromkeys(("rolled_back", "reverted", "left_out"), "yellow"),
    **dict.fromkeys(_WORKING, "cyan"),
}
_MOST_ROWS = 20  # hosts in the table that changes: a fleet may be larger than a terminal


class Shown:
    """Shows a rollout while it goes on; a context manager."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.silent = screen.as_json or screen.quiet
        self.live: Live | None = None
        self.terminal = not self.silent and is_terminal(sys.stderr)
        self.members: dict[str, Member] = {}
        self.steps: dict[str, str] = {}
        self.since: dict[str, float] = {}
        self.headline = ""
        self.heard = 0

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    # ---- asked before it begins ----

    def asked(self, result: HostResult) -> None:
        """A host answered, or can't be reached."""
        if self.silent or result.kind not in ("failed", "unreachable"):
            return
        self.screen.message(tr("{host}: {why}", host=result.host, why=result.message.partition("\n")[0]))

    # ---- while it goes on ----

    def begin(self, members: Sequence[Member]) -> None:
        self.members = {each.host: each for each in members}
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(
                file=sys.stderr, no_color=not self.screen.colours, highlight=False, markup=False, emoji=False
            )
            self.live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)
            self.live.start()

    def listen(self, event: Event) -> None:
        if isinstance(event, PhaseBegan):
            self.headline = event.headline
            self._line(tr("{headline}: {hosts}", headline=event.headline, hosts=listing(list(event.hosts), 8)) if event.hosts else event.headline)  # fmt: skip
        elif isinstance(event, HostChanged):
            self._changed(event)
        elif isinstance(event, Said) and event.host:
            self._line(tr("{host}: {why}", host=event.host, why=event.text))

    def _changed(self, event: HostChanged) -> None:
        member, before = event.member, self.members.get(event.member.host)
        self.members[member.host] = member
        if before is None or before.state != member.state:
            self.since[member.host] = time.monotonic()
            self.steps.pop(member.host, None)
            if not self.terminal:
                self._line(tr("{host}: {state}", host=member.host, state=_state(member)))
        if event.step and event.step != self.steps.get(member.host):
            self.steps[member.host] = event.step
            if not self.terminal and self.screen.verbose:
                self._line(tr("{host}: {state}", host=member.host, state=step_title(event.step)))

    def _line(self, text: str) -> None:
        if self.silent:
            return
        if self.live is not None:
            self.live.console.print(clean(render(text), lines=True))
        else:
            self.screen.message(text)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=render(self.headline) or None, title_justify="left", box=None, pad_edge=False)
        for column in (tr("HOST"), tr("BATCH"), tr("RUNS"), tr("STATE"), tr("TIME")):
            table.add_column(render(column))
        members = list(self.members.values())
        first = sorted(members, key=lambda each: each.state not in _WORKING)[:_MOST_ROWS]
        for member in (each for each in members if each in first):
            step, begun = self.steps.get(member.host), self.since.get(member.host)
            state = render(_state(member)) + (
                f": {render(step_title(step))}" if step and member.state in _WORKING else ""
            )
            took = time.monotonic() - begun if begun and member.state in _WORKING else member.duration
            table.add_row(
                clean(member.host), str(member.batch + 1), clean(member.runs or ""),
                Text(clean(state), style=_STYLES.get(member.state, "dim")), render(duration_text(took)) if took else "",
            )  # fmt: skip
        if len(members) > _MOST_ROWS:
            table.add_row(render(tr("and {number} more", number=len(members) - _MOST_ROWS)))
        return table


def _state(member: Member) -> str:
    return STATES.get(member.state, member.state)


# ---- before and after it ----


def plan_text(members: Sequence[Member], tag: str) -> str:
    """The batches, in order."""
    lines = [tr("{tag} goes to {hosts}:", tag=tag, hosts=count(len(members), "host"))]
    for number in sorted({each.batch for each in members}):
        batch = [each for each in members if each.batch == number]
        names = [
            tr("{host} (migrates)", host=each.host)
            if each.role == PRIMARY
            else tr("{host} (left out: {why})", host=each.host, why=each.message.partition("\n")[0])
            if each.state == "left_out"
            else each.host
            for each in batch
        ]
        lines.append(f"  {number + 1:3}  " + listing(names, 12))
    return joined("\n", lines)


def outcome_text(screen: Screen, outcome: Outcome) -> str:
    """How it ended: a line a host, and what that means."""
    rows = [
        (
            clean(each.host), str(each.batch + 1), clean(each.was or "?"), clean(each.runs or "?"),
            _state(each),
            duration_text(each.duration) if each.duration else "",
        )
        for each in outcome.members
    ]  # fmt: skip
    table = screen.table(rows, ("HOST", "BATCH", "BEFORE", "RUNS", "STATE", "TOOK"))
    why = [
        tr("{host}: {why}", host=each.host, why=clean(each.message.partition("\n")[0]))
        for each in outcome.members
        if each.message and each.state != "left_out"
    ]
    log = tr("Whole log: gitdeploy fleet log {number}", number=outcome.rollout.id)
    return joined("\n", (table, "", *why, outcome.sentence, log))


def status_text(screen: Screen, found: Survey, last: Rollout | None) -> tuple[dict[str, Any], str]:
    """The document and the text of `fleet status`."""
    odd = drift(found.hosts)
    versions = Counter(host.runs for host in found.hosts if host.known)
    rows = []
    for host in found.hosts:
        state = (
            tr("unreachable") if host.unreachable
            else tr("can't be asked") if host.problem
            else host.busy or (tr("unhealthy") if host.health else tr("healthy"))
        )  # fmt: skip
        rows.append((clean(host.name), clean(host.runs or "?"), state))
    lines = [screen.table(rows, ("HOST", "RUNS", "STATE"))]
    if len(versions) > 1:
        parts = [tr("{number} on {release}", number=number, release=clean(str(release))) for release, number in versions.most_common()]  # fmt: skip
        lines.append(tr("Mixed versions: {parts}.", parts=joined(", ", parts)))
    for host in found.hosts:
        why = host.unreachable or host.problem or host.health
        lines += [tr("{host}: {why}", host=host.name, why=clean(why.partition("\n")[0]))] if why else []
    for name, said in odd.items():
        lines += [tr("{host}: {why}", host=name, why=each) for each in said]
    if last is not None:
        lines.append(_last_line(last))
        behind = [host.name for host in found.hosts if host.known and host.status.get("tag") != last.tag]
        if last.action == "upgrade" and last.status == "succeeded" and behind:
            names = listing(behind, 8)
            lines.append(tr("Behind: {names}.  Bring them up: gitdeploy fleet upgrade --only-behind", names=names))
    document = {
        "hosts": [{**host.as_dict(), "drift": odd.get(host.name, [])} for host in found.hosts],
        "versions": dict(versions),
        "mixed": len(versions) > 1,
        "last_rollout": rollout_dict(last) if last is not None else None,
    }
    return document, joined("\n", lines)


def _last_line(last: Rollout) -> str:
    line = tr(
        "Last rollout: {number}, {action} {tag}, {status}, {when} by {performer}.",
        number=last.id,
        action=last.action,
        tag=last.tag or "",
        status=STATUSES.get(last.status, last.status),
        when=_when(last.started_at),
        performer=clean(last.performer),
    )
    if last.action == "upgrade" and last.status in ("interrupted", "halted"):
        return joined("  ", (line, tr("Go on: gitdeploy fleet upgrade --resume")))
    return line


def rollout_dict(rollout: Rollout) -> dict[str, Any]:
    """A rollout in a list of them, as JSON."""
    return {
        "id": rollout.id, "action": rollout.action, "tag": rollout.tag, "status": rollout.status,
        "performer": rollout.performer, "started_at": rollout.started_at, "ended_at": rollout.ended_at,
        "message": rollout.message,
    }  # fmt: skip


def rollouts_text(screen: Screen, rollouts: Sequence[Rollout]) -> tuple[list[dict[str, Any]], str]:
    rows = [
        (
            str(each.id), _when(each.started_at), each.action, each.tag or "", STATUSES.get(each.status, each.status),
            clean(each.performer),
        )
        for each in rollouts
    ]  # fmt: skip
    table = screen.table(rows, ("ID", "STARTED", "ACTION", "RELEASE", "STATUS", "BY"))
    return [rollout_dict(each) for each in rollouts], table if rows else tr("There was no rollout yet.")


def log_text(journal: Journal, rollout: Rollout, host: str | None) -> tuple[dict[str, Any], str]:
    lines = journal.lines(rollout.id, host)
    members = [each for each in journal.members(rollout.id) if host is None or each.host == host]
    document = {
        **rollout_dict(rollout),
        "hosts": [each.as_dict() for each in members],
        "log": [{"at": at, "host": name or None, "text": text} for at, name, text in lines],
    }
    text = [f"{_when(at)} {clean(name)}{': ' if name else ''}{clean(said, lines=True)}" for at, name, said in lines]
    status = STATUSES.get(rollout.status, rollout.status)
    return document, joined("\n", (*text, tr("{status}: {message}", status=status, message=rollout.message)))


def _when(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
