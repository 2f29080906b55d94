"""The page: what its templates need from the app, and the HTML that they make of it.

Everything is made on the server, whole or in parts, so that it reads without a script; the script only asks for a part
again and puts it in the place of the old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from gitdeploy import __version__
from gitdeploy.errors import GitDeployError, NotFound, UsageError
from gitdeploy.messages import Message, render, speaking, tr
from gitdeploy.text import clean, size_text
from gitdeploy.web.page import facts
from gitdeploy.web.shared.asking import options_for
from gitdeploy.web.words.taste import THEMES
from gitdeploy.web.words.texts import LANGUAGES, Words, read_time

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.several.summary import Row

FOLDER = Path(__file__).parent


class Visitor(Struct, frozen=True):
    """Who looks, and how they want to see it. `base`: the path of the page without a slash at its end, a proxy's prefix
    included. `csrf`: what changes must be sent with; `can_log_out`: there is a session of gitdeploy's own;
    `streams`: the server has room for live streams; `all_apps`: the path of the page of all apps, where this is one of them."""

    base: str
    name: str = ""
    read_only: bool = False
    csrf: str = ""
    can_log_out: bool = False
    streams: bool = False
    all_apps: str = ""
    language: str = "en"
    theme: str = "auto"


# ---- the documents ----


def page(app: App, visitor: Visitor, *, deployment: int | None = None, releases: int = 0) -> str:
    """The whole page. `deployment`: whose steps and log are shown opened; `releases`: how many are listed (0: the script
    asks for them, since they may need the network)."""
    parts = Parts(app, visitor)
    return _render(
        "page.html",
        visitor,
        app=app.site.name,
        parts=parts,
        releases=parts.releases(releases) if releases else "",
        opened=parts.deployment(deployment) if deployment is not None else "",
        opened_id=deployment,
    )


def login(visitor: Visitor, app_name: str, *, problem: str = "", wait: int = 0) -> str:
    """The login form. `problem`: `wrong` or `too-many`, after a try; `wait`: seconds until the next one."""
    return _render("login.html", visitor, app=app_name, problem=problem, wait=wait)


def broken(app_name: str, visitor: Visitor, error: GitDeployError) -> str:
    """What is shown while nothing else can be: deploy.yaml can't be read, the checkout is another user's."""
    return _render("broken.html", visitor, app=app_name, message=error.message, hint=error.hint)


def overview(visitor: Visitor, title: str, rows: Sequence[Row]) -> str:
    """The page of all apps."""
    return _render("overview.html", visitor, app=title, rows=rows)


def apps(visitor: Visitor, rows: Sequence[Row]) -> str:
    """The list in it."""
    return _render("apps.html", visitor, rows=rows)


class Parts:
    """The page's parts. Each is HTML, from what is so at this moment."""

    def __init__(self, app: App, visitor: Visitor) -> None:
        self.app = app
        self.visitor = visitor
        self.words = Words(visitor.language)

    def now(self) -> Markup:
        """What is live, whether an update waits (as the last check found it), what runs, how the last one ended."""
        return self._part("now.html", now=facts.read_now(self.app, self.words), update=facts.read_update(self.app))

    def update(self, *, force: bool) -> Markup:
        """Whether an update waits, asking the source where the last answer is too old, or FORCE."""
        return self._part("update.html", update=facts.read_update(self.app, ask=True, force=force))

    def plan(self, tag: str | None, backup: str | None, *, local_changes: str | None, choose: bool) -> Markup:
        """What an upgrade to TAG, or a restore of BACKUP, would do. Changes nothing live. LOCAL_CHANGES: what becomes of
        them, as chosen; CHOOSE: offer the choice, where there is one."""
        plan, holds_data, choice, bad, skip = None, False, None, None, None
        moves, against, notes = self.app.data_moves(self.app.find_backup(backup)) if backup else ((), (), ())
        if backup is not None:
            found = self.app.find_backup(backup)
            plan, holds_data = self.app.plan_restore(found), "data" in found.holds
        elif tag is not None:
            plan = self.app.plan(tag, options_for(local_changes), through=True)
            if plan is not None:
                choice = facts.local_choice(self.app, plan)
                bad = facts.bad_releases(self.app).get(plan.target.commit)
                skip = self.app.skips().against(plan.target.tag)
        else:
            raise UsageError(tr("`tag` or `backup` is missing."))
        return self._part(
            "plan.html",
            plan=plan,
            holds_data=holds_data and not against,
            moves=moves,
            against=against,
            data_notes=notes,
            restore=backup is not None,
            choice=choice,
            bad=bad,
            skip=skip,
            choose=choose and not self.visitor.read_only,
        )

    def releases(self, limit: int) -> Markup:
        """The newest LIMIT releases with their notes."""
        listed = facts.read_releases(self.app, limit)
        return self._part("releases.html", releases=listed, limit=limit, more=len(listed) >= limit)

    def backups(self) -> Markup:
        return self._part("backups.html", backups=self.app.backups(), keep=self.app.site.config.backup.keep)

    def deployments(self, limit: int = 10) -> Markup:
        rows = self.app.deployments(limit + 1)
        return self._part(
            "deployments.html", rows=rows[:limit], limit=limit, more=len(rows) > limit, running=self.app.is_running()
        )

    def deployment(self, number: int) -> Markup:
        """One deployment's steps and whole log. Raises `NotFound`."""
        return self._part("deployment.html", deployment=facts.read_deployment(self.app, number, self.words))

    def health(self) -> Markup:
        """The health check, asked once."""
        return self._part("health.html", problem=self.app.health(), configured=True)

    def settings(self) -> Markup:
        return self._part("settings.html", settings=self.app.site.config.effective())

    def _part(self, template: str, **values: Any) -> Markup:
        return Markup(_render(template, self.visitor, app=self.app.site.name, **values))  # noqa: S704  # autoescaped


def part(app: App, visitor: Visitor, name: str, query: Mapping[str, str]) -> str:
    """One part by its name. Raises `NotFound`, `UsageError`, and what the app raises."""
    parts = Parts(app, visitor)
    made: dict[str, Callable[[], str]] = {
        "now": parts.now,
        "update": lambda: parts.update(force=query.get("force") == "true"),
        "plan": lambda: parts.plan(
            query.get("tag"),
            query.get("backup"),
            local_changes=query.get("local_changes"),
            choose=query.get("choose") == "true",
        ),
        "releases": lambda: parts.releases(_number(query, "limit", 10, 500)),
        "backups": parts.backups,
        "deployments": lambda: parts.deployments(_number(query, "limit", 10, 500)),
        "deployment": lambda: parts.deployment(_number(query, "id", 0, 1 << 40)),
        "health": parts.health,
        "settings": parts.settings,
    }
    if name not in made:
        raise NotFound(tr("The page has no such part."))
    return made[name]()


def problem(error: GitDeployError, visitor: Visitor) -> str:
    """What is shown in the place of a part that could not be made."""
    return _render("problem.html", visitor, message=error.message, hint=error.hint)


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and int(text) <= most):
        raise UsageError(tr("`{name}` must be a whole number up to {most}.", name=name, most=most))
    return int(text)


# ---- templates ----


@cache
def templates() -> Environment:
    """All templates, compiled: half a second the first time, so a server has it done before it serves. One of our own: an app that embeds the page may have templates of the same names."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spoken,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        clean=lambda text: clean(text if isinstance(text, str) else str(text)),
        json=_json,
        size=size_text,
        moment=_moment,
        tone=facts.tone,
        english=lambda text: clean(str(text)),
    )
    for name in environment.list_templates():
        environment.get_template(name)  # now: an upgrade may put another gitdeploy's in their place
    return environment


def _spoken(value: object) -> object:
    """A sentence in the visitor's language; anything else as it is."""
    return render(value) if isinstance(value, Message) else value


def _render(template: str, visitor: Visitor, **values: Any) -> str:
    with speaking(visitor.language):
        return (
            templates()
            .get_template(template)
            .render(
                t=Words(visitor.language),
                visitor=visitor,
                base=visitor.base,
                version=__version__,
                languages=LANGUAGES,
                themes=THEMES,
                asset=asset_version,
                **values,
            )
        )


@cache
def asset_version(name: str) -> str:
    """Changes with the file's content, so that a browser may keep it for good."""
    return hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:12]


def _json(value: object) -> str:
    """A setting as deploy.yaml could hold it."""
    return json.dumps(value, ensure_ascii=False)


def _moment(text: str | None) -> Markup:
    """A time as `2026-11-26 06:30` in the server's zone; the script shows it in the reader's, in the same width."""
    moment = read_time(text)
    if moment is None:
        return Markup()
    local = moment.astimezone()
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), local.strftime("%Y-%m-%d %H:%M:%S %Z"), local.strftime("%Y-%m-%d %H:%M")
    )
