"""What the shell offers behind a command: tags, backups, deployments, hooks, as they are here. Asks nobody outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from click import Context, Parameter
from click.shell_completion import CompletionItem

from gitdeploy.text import clean, moment_text

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.backups.store import Backup

MOST = 200
Completer = Callable[[Context, Parameter, str], list[CompletionItem]]


def _offering(find: Callable[[App], Iterable[tuple[str, str]]]) -> Completer:
    """A completer of what FIND gives of the app: (value, what it is). Whatever goes wrong, nothing is offered: a shell that
    completes has no place for an error."""

    def offer(context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
        from gitdeploy.app import App  # not with each command that has something to complete
        from gitdeploy.several.listed import find_app

        named = context.find_root().params
        try:
            name = context.params.get("app_name") or named.get("app_name")
            folder = find_app(name) if name else Path(named.get("folder") or ".")
            app = App.open(folder, named.get("config_file"))
            found = [pair for pair in find(app) if pair[0].startswith(incomplete)]
        except Exception:  # noqa: BLE001  # see above
            return []
        return [CompletionItem(clean(value), help=clean(about, limit=80)) for value, about in found[:MOST]]

    return offer


def app_names(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """The names that `-A` may have. Whatever goes wrong, nothing is offered."""
    from gitdeploy.several.listed import read_list

    try:
        found = [each for each in read_list().apps if each.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # see above
        return []
    return [CompletionItem(each.name, help=clean(str(each.folder), limit=80)) for each in found[:MOST]]


def _tags(app: App) -> Iterable[tuple[str, str]]:
    """Tags that were fetched, and the releases that the last check found; the newest first."""
    app.site.require_owner()
    words = ("for-each-ref", "--sort=-creatordate", "--format=%(refname:strip=2)", "refs/tags/")
    here = app.site.repository.run(*words).text.splitlines()
    checked = app.last_check()
    newer = [(each.tag, each.name) for each in checked.releases] if checked is not None else []
    known = {tag for tag, _ in newer}
    return [*newer, *((tag, "") for tag in here if tag not in known)]


def _backups(app: App) -> Iterable[tuple[str, str]]:
    app.site.require_reader()
    return [("latest", ""), *((each.id, _about(each)) for each in app.site.backups())]


def _about(backup: Backup) -> str:
    return backup.label or backup.reason


def _deployments(app: App) -> Iterable[tuple[str, str]]:
    for row in app.deployments(50):
        target = row.target.get("tag") or str(row.target.get("commit") or "")[:8]
        yield str(row.id), f"{row.action} {target}, {row.status.replace('_', ' ')}, {moment_text(row.started_at)}"


def _hooks(_app: App) -> Iterable[tuple[str, str]]:
    from gitdeploy.hooks.library import library

    return [(hook.name, hook.about) for hook in library()]


def _stages(_app: App) -> Iterable[tuple[str, str]]:
    from gitdeploy.hooks.running import STAGES

    return [(stage, "") for stage in STAGES]


def _skipped(app: App) -> Iterable[tuple[str, str]]:
    return [(skip.tag, skip.reason) for skip in app.skips().all()]


def _versions(app: App) -> Iterable[tuple[str, str]]:
    """What `rollback` may name: the versions that there are backups of."""
    app.site.require_reader()
    found = {each.tag or each.version or "": each.id for each in reversed(app.site.backups())}
    return [(version, name) for version, name in reversed(found.items()) if version]


tags, backup_ids, deployment_ids = _offering(_tags), _offering(_backups), _offering(_deployments)
hook_names, skipped, versions, stages = (_offering(each) for each in (_hooks, _skipped, _versions, _stages))
