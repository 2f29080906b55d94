"""Where the app's database files are in the checkout, under all their names: nothing but the database's own programs
copies, replaces or removes them, whatever a release tracks and whatever becomes of local changes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitdeploy.checkout.changes import Problem
from gitdeploy.checkout.keep import keep_line
from gitdeploy.messages import tr
from gitdeploy.site.keeping import database_paths
from gitdeploy.text import path_text

if TYPE_CHECKING:
    from gitdeploy.checkout.changes import TreePlan
    from gitdeploy.config import Config
    from gitdeploy.site.site import Site


def threatened_databases(site: Site, tree: TreePlan, configs: Iterable[Config]) -> list[Problem]:
    """A switch never touches a file of a database that is there; what speaks against one that would, although database
    files are kept: one that is behind a link or a file that the release replaces, or that only the release's own
    deploy.yaml names."""
    names = {os.fsencode(path) for config in configs for path in database_paths(site, config)}
    there = sorted(name for name in names if os.path.lexists(os.path.join(os.fsencode(site.root), name)))
    said = []
    for change in tree.changes:
        for name in there:
            shown, verb = path_text(name), tr("deletes") if change.kind == "deleted" else tr("replaces")
            if name == change.path:
                said.append(
                    Problem(
                        tr(
                            "The release {verb} {shown}, which its deploy.yaml names as the app's database, and "
                            "today's doesn't.",
                            verb=verb,
                            shown=shown,
                        ),
                        tr(
                            "Keep yours, in deploy.yaml:  {keep_line}",
                            keep_line=keep_line(site.config.git.keep, [name]),
                        ),
                        refused=True,
                    )
                )
            elif name.startswith(change.path + b"/"):
                said.append(
                    Problem(
                        tr(
                            "The release {verb} {change}, through which the app's database {shown} is reached.",
                            verb=verb,
                            change=path_text(change.path),
                            shown=shown,
                        ),
                        tr("Move the database out of the checkout, and tell the app and backup.databases where it is."),
                        refused=True,
                    )
                )
    return said
