"""Settings and hooks that were made on this server and go with `--discard-local-changes`: said before, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gitdeploy import config as configuration
from gitdeploy.checkout.changes import Policy, Target
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import Local
from gitdeploy.config import FILE_NAME
from gitdeploy.errors import GitDeployError
from gitdeploy.hooks.running import stage_of
from gitdeploy.messages import joined, tr
from gitdeploy.site.site import Site
from gitdeploy.text import clean, listing, path_text

_MOST = 8


def settings_lost(site: Site, local: Local, goal: Target, policy: Policy, keep: KeepPaths) -> list[str]:
    """Sentences on what of deploy.yaml and of the hooks goes where local changes are discarded; none where they are merged."""
    if policy == "merge":
        return []
    kept = keep.match(os.fsencode(FILE_NAME))
    found = [*(() if kept else _settings(site, local, goal)), *_hooks(site, local, keep)]
    if not found:
        return []
    said = (
        tr(
            "Discarding local changes takes away what was set up on this server (the backup holds it): {what}.",
            what=joined("; ", found),
        )
        if policy == "discard"
        else tr(
            "--discard-local-changes would take away what was set up on this server: {what}.", what=joined("; ", found)
        )
    )
    return [said]


def _settings(site: Site, local: Local, goal: Target) -> Iterator[str]:
    """Those that deploy.yaml has here and that would be others by the release's."""
    if not _replaced(site, local, goal):
        return
    content = site.repository.read_blob(goal.tree, FILE_NAME) or b""
    try:
        then = configuration.parse(content, root=site.root, name=FILE_NAME, file=site.root / FILE_NAME)
    except GitDeployError:
        return  # that it can't be read is a problem of its own
    after = {key: value for key, value, _ in then.effective()}
    changed = [(key, value, after.get(key)) for key, value, _ in site.config.effective() if value != after.get(key)]
    if changed:
        shown = [f"{key}: {_shown(old)} -> {_shown(new)}" for key, old, new in changed]
        yield tr("settings of {file} ({settings})", file=FILE_NAME, settings=listing(shown, _MOST))


def _replaced(site: Site, local: Local, goal: Target) -> bool:
    """Whether the release's deploy.yaml takes the place of one that was changed, or made, here."""
    name = os.fsencode(FILE_NAME)
    if site.config.text is None:
        return False
    if name in {path for path, _ in local.tracked}:
        return name in local.changed()
    return site.repository.read_blob(goal.tree, FILE_NAME) not in (None, site.config.text)


def _shown(value: object) -> str:
    return clean(str(value), limit=60) if value not in (None, "", [], {}) else tr("nothing")


def _hooks(site: Site, local: Local, keep: KeepPaths) -> Iterator[str]:
    folder = site.config.hooks.dir
    names = [path_text(path) for path in local.changed() if not keep.match(path)] if folder else []
    if hooks := [name for name in names if stage_of(str(folder), name)]:
        yield tr("changes of {hooks}", hooks=listing(hooks, _MOST))
