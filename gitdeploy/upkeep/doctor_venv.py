"""What doctor says of the venv: whether it works, what is installed into it, and what of others' stands in its way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.messages import joined, tr
from gitdeploy.site.dependencies import uninstalled_here, way_to_install
from gitdeploy.site.site import Site, head_of
from gitdeploy.system.owner import user_name
from gitdeploy.text import count, listing, path_text, shell_word
from gitdeploy.upkeep.finding import Finding
from gitdeploy.upkeep.reading import Checkout


def look_at_venv(site: Site) -> Iterator[Finding]:
    """How the venv stands, and whether anything installs what the app says that it needs."""
    live = site.live_venv()
    if live is None:
        yield Finding("venv", "ok", tr("The app has none."))
        return
    yield from _left_over(site)
    if wrong := venvs.examine(live):
        yield Finding(
            "venv",
            "problem",
            wrong,
            tr("Build it anew: gitdeploy upgrade {live_tag} --rebuild-venv", live_tag=_live_tag(site)),
        )
        return
    other = venvs.other_than_live(site.config.venv, live, site.state.pythons)
    if other is not None and other.path is None and not other.downloaded:
        yield Finding(
            "venv", "problem", tr("venv.python is {python}, and this server has no such interpreter, or it doesn't start.", python=site.config.venv.python),
            tr("Install it, or name another: venv: {{python: /usr/bin/python3}}"),
        )  # fmt: skip
    elif other is not None:
        yield Finding(
            "venv", "warning",
            tr("venv.python is {python}, and the venv has Python {live}: the next upgrade builds it " "anew.", python=site.config.venv.python, live=live.python),
            tr("See what it will hold: gitdeploy plan"),
        )  # fmt: skip
    yield from _others_files(live.real)
    requirements = venvs.read_requirements(Checkout(site.root), site.config.venv, live, root=site.root)
    yield from (Finding("venv", "problem", text, tr("See venv: in deploy.yaml.")) for text in requirements.problems)
    if said := uninstalled_here(site.root, requirements):
        yield Finding("venv", "warning", said, way_to_install(site.root))
    if requirements.extras and not site.config.venv.extras:
        said = tr(
            "The app itself is installed with {extras}, by the packages that are in the venv.",
            extras=listing(requirements.extras, 5),
        )
        yield Finding("venv", "ok", said)
    edited = venvs.differences(live.real)
    if edited:
        yield Finding(
            "venv",
            "warning",
            tr(
                "Written in place since it went live: {edited}.",
                edited=listing([path_text(name) for name in edited], 3),
            ),
            tr("Through hard links other generations may have changed too. Put such changes into a package."),
        )
    else:
        yield Finding(
            "venv", "ok", tr("Python {python}, its libraries load; nothing was changed in place.", python=live.python)
        )


def _live_tag(site: Site) -> str:
    """The tag of what is live; a placeholder where it has none."""
    live = site.release_at(head_of(site))
    return live.tag or "TAG"


def _left_over(site: Site) -> Iterator[Finding]:
    if left := venvs.undeletable(site.state.venvs):
        words = joined(" ", (shell_word(str(path)) for path in left))
        yield Finding(
            "venv",
            "warning",
            tr(
                "{count} could not be deleted whole: files of another user's are in it. Nothing uses it.",
                count=count(len(left), "old generation"),
            ),
            tr("As root: rm -rf {words}", words=words),
        )


def _others_files(venv: Path) -> Iterator[Finding]:
    """Files of another user's in VENV, as one `sudo pip install` or one run of the app as root leaves them."""
    owner = venv.stat().st_uid
    folders = [os.fspath(venv)]
    found: dict[int, str] = {}
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue  # it is named already: it isn't the owner's
        for entry in entries:
            uid = entry.stat(follow_symlinks=False).st_uid
            if uid != owner:
                found.setdefault(uid, entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
    for uid, path in found.items():
        yield Finding(
            "venv",
            "warning",
            tr(
                "{relpath} in the venv belongs to {user_name}; old copies of such files can't be deleted "
                "by the app's user.",
                relpath=path_text(os.path.relpath(path, venv)),
                user_name=user_name(uid),
            ),
            tr(
                "As root: chown -R --from={uid} {owner} {fspath}",
                uid=uid,
                owner=owner,
                fspath=shell_word(os.fspath(venv)),
            ),
        )
