"""What the page shows, read from the app: plain frozen values for the templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.deployment.record.replaced import CLOSED
from gitdeploy.deployment.record.work import CHANGING
from gitdeploy.errors import GitDeployError, SecondHalfFailed
from gitdeploy.messages import heard, joined, render, tr
from gitdeploy.text import clean, redact
from gitdeploy.versions import CodeState
from gitdeploy.web.shared.progress import progress
from gitdeploy.web.words.notes import to_html
from gitdeploy.web.words.texts import Words

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.checkout.changes import Problem
    from gitdeploy.deployment.plan.make import Plan
    from gitdeploy.deployment.record.replaced import Kept
    from gitdeploy.site.rehearsals import Known
    from gitdeploy.site.skipping import Skip
    from gitdeploy.site.status import Status
    from gitdeploy.sources import CheckResult, ReleaseNotes
    from gitdeploy.state import BadRelease, DeploymentRow, Holder

_WANTED = re.compile(r"^Wanted \S+, ")  # how the journal's sentence begins; the page has named the release already
_ABOVE = {
    "upgrade": ("fetch", "preflight", "backup", "build", "stage", "switch"),
    "restore": ("preflight", "backup", "build", "stage", "switch"),
    "rollback": ("preflight", "backup", "build", "stage", "switch"),
    "rehearse": ("fetch", "preflight", "stage", "copy", "health"),
}
TONES = {
    "succeeded": "good", "done": "good", "rolled_back": "bad", "failed": "bad", "interrupted": "bad",
    "undone": "warn", "refused": "warn", "running": "busy",
}  # fmt: skip


def tone(status: str) -> str:
    """The colour that a status is shown in: good, bad, warn, busy or plain."""
    return TONES.get(status, "plain")


class Ending(Struct, frozen=True):
    """How a deployment ended, in words: a heading, what it means, and why. `undo`: the backup that takes it back.
    `nothing_lost`: nothing was written that isn't live now; `data`: the databases and paths that went back."""

    tone: str
    title: str
    lead: str
    reason: str = ""
    hint: str = ""
    undo: str | None = None
    nothing_lost: bool = False
    data: Sequence[Kept] = ()


class Step(Struct, frozen=True):
    """A step as it is shown; `spoken` says its status in a word."""

    name: str
    title: str
    status: str
    spoken: str
    summary: str
    took: str


class Deployment(Struct, frozen=True):
    """One deployment with its steps and log; `title` says what it is at, or how it ended."""

    id: int
    action: str
    status: str
    performer: str
    started_at: str
    origin: Mapping[str, Any]
    change: str
    title: str
    steps: Sequence[Step]
    log: Sequence[str]
    since: int
    ending: Ending | None

    @property
    def running(self) -> bool:
        return self.status == "running"


class Now(Struct, frozen=True):
    """What is live and what goes on. `holder`: who holds the lock without a deployment under way; `running`: the deployment that is under way, `cut_off`: the one
    whose process is gone; `last`: the one that ended last, and
    `origin`: what was live before it. `expected`: the steps that a deployment has here, as far as that is known."""

    status: Status
    since: str | None
    services: Sequence[str]
    units: Sequence[str]
    has_health: bool
    running: Deployment | None
    cut_off: Deployment | None
    last: DeploymentRow | None
    ending: Ending | None
    origin: str
    expected: Sequence[str]
    holder: Holder | None
    clock: str


class LocalChoice(Struct, frozen=True):
    """What an upgrade does with files that were changed on this server: `ways` are merge and discard as far as they may
    help, `chosen` is the one that the plan was made for (`refuse`: none yet), `problems` are what a choice settles."""

    ways: Sequence[str]
    chosen: str
    problems: Sequence[Problem]


class Update(Struct, frozen=True):
    """What the last check found. `found` None: nothing was ever asked; `problem`: why asking failed just now. `earlier`: the
    releases that come with the newest, with their notes as HTML. `rehearsal`: what its last one came to."""

    found: CheckResult | None
    notes: str = ""
    bad: BadRelease | None = None
    skip: Skip | None = None
    problem: str = ""
    hint: str = ""
    earlier: Sequence[tuple[ReleaseNotes, str]] = ()
    rehearsal: Known | None = None


class ReleaseRow(Struct, frozen=True):
    """A release as it is listed; `bad`: when and why it was rolled back here; `skip`: by whom it is skipped."""

    tag: str
    version: str
    name: str
    notes: str
    published_at: str | None
    url: str
    state: str
    bad: BadRelease | None
    skip: Skip | None


def read_now(app: App, words: Words) -> Now:
    """What is live, what runs, how the last deployment ended. Asks nobody outside this server."""
    status = app.status()
    rows = app.deployments(50)
    holder = status.holder
    open_one = next((row for row in rows if row.running), None)
    running, cut_off = (open_one, None) if holder is not None else (None, open_one if status.interrupted else None)
    ended = next((row for row in rows if not row.running and row.action not in ("prepare", "rehearse")), None)
    services = app.service_names()
    has_health = app.site.config.health.configured or bool(services)
    expected = list(_ABOVE.get(running.action if running else "", ()))
    if running is None or running.action in CHANGING:
        expected += [*(["restart"] if services else []), *(["health"] if has_health else [])]
    return Now(
        status=status,
        since=_live_since(rows, status.live.commit),
        services=services,
        units=app.units_found() if not services else [],
        has_health=has_health,
        running=read_deployment(app, running.id, words, expected) if running is not None else None,
        cut_off=read_deployment(app, cut_off.id, words) if cut_off is not None else None,
        last=ended,
        ending=ending(ended, words, app.replaced(ended.id)) if ended is not None else None,
        origin=name_of(ended.origin) if ended is not None else "",
        expected=expected,
        holder=holder if running is None and (_between_two(status) or not _tidying(holder, rows)) else None,
        clock=time_zone(datetime.now().astimezone()),
    )


def _tidying(holder: Holder | None, rows: Sequence[DeploymentRow]) -> bool:
    """Whether HOLDER's deployment has ended, and only old backups are still dropped and people told: for readers it is
    over. The newest of ROWS that ended did so after the lock was taken."""
    newest = next((row for row in rows if row.ended_at is not None), None)
    if holder is None or newest is None:
        return False
    return datetime.fromisoformat(str(newest.ended_at)) >= datetime.fromisoformat(holder.since)


def _between_two(status: Status) -> bool:
    """Whether one deployment has ended and the next on the way is about to begin."""
    return status.journey is not None and not status.journey.stopped


def time_zone(now: datetime) -> str:
    """The zone of NOW, the server's: `CET (UTC+01:00)`, and `UTC` alone."""
    hours = f"{now:%z}"
    offset, name = f"UTC{hours[:3]}:{hours[3:5]}", now.tzname() or ""
    return "UTC" if name == "UTC" else tr("{name} ({offset})", name=name, offset=offset) if name.isalpha() else offset


def _live_since(rows: Sequence[DeploymentRow], commit: str) -> str | None:
    """When the live commit went live: the end of the newest deployment that put it there."""
    for row in rows:
        if row.status == "succeeded" and row.action in CHANGING:
            return row.ended_at if row.target.get("commit") == commit else None
    return None


def read_deployment(app: App, number: int, words: Words, expected: Sequence[str] = ()) -> Deployment:
    """One deployment with its whole log; those of EXPECTED that it has not come to yet are `pending`. Raises
    `NotFound`."""
    state = progress(app, number, language=words.language)
    log = list(state["log"])
    while state["more"]:
        state = progress(app, number, state["since"], words.language)
        log += state["log"]
    row, _ = app.log(number, state["since"])
    running = state["status"] == "running"
    found = None if running else ending(row, words, app.replaced(row.id))
    return Deployment(
        id=row.id,
        action=row.action,
        status=state["status"],
        performer=clean(row.performer),
        started_at=row.started_at,
        origin=row.origin,
        change=f"{name_of(row.origin)} → {name_of(row.target)}",
        title=found.title if found is not None else running_title(row, words),
        steps=read_steps([*state["steps"], *still_to_come(state["steps"], expected)], words),
        log=log,
        since=state["since"],
        ending=found,
    )


def still_to_come(steps: Sequence[Mapping[str, Any]], expected: Sequence[str]) -> list[dict[str, Any]]:
    """The steps of EXPECTED behind the last one that began; none on the way back."""
    if any(step["status"] in ("failed", "undone") for step in steps):
        return []
    names = {step["name"] for step in steps}
    begun = max((at for at, name in enumerate(expected) if name in names), default=-1)
    return [{"name": name, "status": "pending"} for name in expected[begun + 1 :]]


def read_steps(steps: Sequence[Mapping[str, Any]], words: Words) -> list[Step]:
    """Steps of the journal with their names in the reader's language."""
    found = []
    for step, key in zip(steps, step_keys(steps), strict=True):
        status = str(step["status"])
        took = words.duration(float(step.get("duration") or 0))
        found.append(
            Step(
                name=str(step["name"]),
                title=words.known(f"step.{key}", clean(key)),
                status=status,
                spoken=words(f"run.step-{status}"),
                summary=clean(redact(render(heard(step, "summary"), words.language)), lines=True),
                took=took if status not in ("running", "skipped", "pending") else "",
            )
        )
    return found


def step_keys(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each step is called in the catalogue: `build` is the venv before the switch, and the build hooks after it."""
    names = [str(step["name"]) for step in steps]
    return ["build-hooks" if name == "build" and "switch" in names[:at] else name for at, name in enumerate(names)]


def name_of(state: Any) -> str:
    """`v1.2.9`, else the version, else the short commit."""
    return clean(str(state.get("tag") or state.get("version") or str(state.get("commit") or "?")[:8]), limit=100)


def running_title(row: DeploymentRow, words: Words) -> str:
    """What a deployment is at: `Upgrading to v1.3.0`."""
    if row.action in (*CHANGING, "rehearse"):
        return words(f"run.{row.action}", version=name_of(row.target))
    return words("run.other", action=words.known(f"deployments.action-{row.action}", row.action))


def ending(row: DeploymentRow, words: Words, data: Sequence[Kept] = ()) -> Ending:
    """How ROW ended, in words that need no log. DATA: the databases and paths that it replaced."""
    found = _ending(row, words)
    lost = CLOSED not in str((row.error or {}).get("message") or "")
    return replace(found, data=data, nothing_lost=row.status == "rolled_back" and not lost)


def _ending(row: DeploymentRow, words: Words) -> Ending:
    old, new = name_of(row.origin), name_of(row.target)
    error = row.error or {}
    reason, hint = redact(heard(error)), redact(heard(error, "hint"))
    names = step_keys(row.steps)
    at = next((at for at, step in enumerate(row.steps) if step["status"] == "failed"), None)
    step = words.known(f"step.{names[at]}", names[at]) if at is not None else ""
    took = words.duration(row.duration)
    if error.get("kind") == SecondHalfFailed.kind:
        return Ending("bad", words("end.half", version=new), words("end.half-lead"), reason, hint)
    if row.running or error.get("exit_code") == 4:
        return Ending("bad", words("end.person", version=new), words("end.person-lead"), reason, hint)
    if row.status == "succeeded" and row.action in CHANGING:
        kind = "upgraded" if row.action == "upgrade" else "restored"
        lead = words(f"end.{kind}-lead", old=old, duration=took)
        return Ending("good", words(f"end.{kind}", version=new), lead, undo=row.backup)
    if row.status == "succeeded" and row.action == "contract":
        return Ending("good", words("end.half-done", version=new), "")
    if row.status == "succeeded" and row.action == "backup":
        return Ending("good", words("end.backed-up", version=old), "")
    if row.status == "rolled_back" and at is None:
        return Ending("bad", words("end.cut-off", version=new, old=old), words("end.cut-off-lead"), reason, hint)
    if row.status == "rolled_back":
        if at is not None:  # the step's own words; the message says the rest, as the page does
            details = reason.splitlines()[1:]
            reason, hint = joined("\n", (redact(heard(row.steps[at], "summary")), *details)), ""
        return Ending(
            "bad",
            words("end.rolled-back", version=new, old=old),
            words("end.rolled-back-lead", step=step),
            reason,
            hint,
        )
    if row.status in ("refused", "failed", "interrupted") and row.action in CHANGING:
        known = CodeState.from_dict(row.target).name
        title = words("end.failed", version=new, old=old) if known else words("end.failed-unknown", old=old)
        if row.status == "refused":
            return Ending("warn", title, words("end.refused-lead"), reason, hint)
        lead = words("end.failed-lead", step=step) if step else words("end.failed-early")
        return Ending("bad", title, lead, reason, hint)
    if row.status == "nothing_to_do":
        return Ending("plain", words("end.nothing", version=new), "")
    action = words.known(f"deployments.action-{row.action}", row.action)
    status = words.known(f"deployments.status-{row.status}", row.status)
    return Ending(tone(row.status), words("end.other", action=action, status=status), "", reason, hint)


def local_choice(app: App, plan: Plan) -> LocalChoice | None:
    """The choice that PLAN leaves to whoever starts it; None where nothing was changed here that it touches."""
    if plan.action != "upgrade":
        return None
    problems = [problem for problem in plan.problems if problem.ways]
    asked = plan.options.local_changes
    if not problems and asked is None and not plan.tree.saved and not plan.tree.merged:
        return None
    chosen = asked or app.site.config.git.local_changes
    possible = {way for problem in problems for way in problem.ways} if chosen == "refuse" else {"merge", "discard"}
    return LocalChoice([way for way in ("merge", "discard") if way in possible], chosen, problems)


def read_update(app: App, *, ask: bool = False, force: bool = False) -> Update:
    """What the last check found; ASK: ask the source where that is too old and `check.auto` lets it, or FORCE."""
    ask = ask and (force or app.site.config.check.auto)
    problem = hint = ""
    found = None
    try:
        found = app.check(force=force) if ask else app.last_check()
    except GitDeployError as error:
        problem, hint = error.message, error.hint
    if found is None:
        return Update(None, problem=problem, hint=hint)
    bad = bad_releases(app).get(found.commit or "")
    why, way = "", ""
    if found.latest_tag is None or found.is_older:
        why, way = tr("{nothing}.", nothing=found.nothing(app.live().name)), found.way or ""
    said = joined(" ", filter(None, (found.warning, why)))
    skip = app.skips().against(found.latest_tag)
    notes = to_html(found.release_notes or (found.releases[0].notes if found.releases else ""))
    earlier = [(release, to_html(release.notes)) for release in found.releases[1:]]
    return Update(found, notes, bad, skip, said, way or hint, earlier, app.rehearsal(found.commit))


def bad_releases(app: App) -> dict[str, BadRelease]:
    """Commit -> the release that failed here; its reason fit to show, as `Failed at health: …`."""

    def shown(reason: str) -> str:
        text = _WANTED.sub("", clean(redact(reason)))
        return text[:1].upper() + text[1:]

    return {commit: replace(bad, reason=shown(bad.reason)) for commit, bad in app.bad_releases().items()}


def read_releases(app: App, limit: int) -> list[ReleaseRow]:
    """The newest LIMIT releases. Raises `SourceError`."""
    bad, skips = bad_releases(app), app.skips()
    return [
        ReleaseRow(
            tag=release.tag,
            version=release.version or release.tag,
            name=release.name,
            notes=to_html(release.notes),
            published_at=release.published_at,
            url=release.url if release.url.startswith(("https://", "http://")) else "",
            state=state,
            bad=bad.get(release.commit or ""),
            skip=skips.of(release.tag),
        )
        for release, state in app.releases(limit=limit)
    ]
