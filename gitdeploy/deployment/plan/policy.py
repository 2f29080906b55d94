"""What a release would change of the settings that are pinned on this server."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from gitdeploy import config as configuration
from gitdeploy.checkout.changes import Problem, TreePlan
from gitdeploy.config import Config
from gitdeploy.config.pins import WHO_DECIDES, Change, read_pins
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.errors import ConfigError
from gitdeploy.messages import joined, tr
from gitdeploy.site.policy import signers_in_checkout
from gitdeploy.site.site import Site
from gitdeploy.text import count, path_text, shell_word
from gitdeploy.versions import CodeState

SIGNERS = "git.allowed_signers"


def with_signers(
    site: Site, after: Config, tree: TreePlan, reader: TargetFiles, accept: tuple[str, ...]
) -> tuple[Config, tuple[bytes, ...]]:
    """(AFTER with the change of the signers' file that comes with the target, where that file is in the checkout; the files
    with settings in them that come with the target)."""
    brought = () if after.text is None or after.text == site.config.text else (after.text,)
    path, pins = signers_in_checkout(site.config), read_pins(site.root)
    name = str(path.relative_to(site.root)) if path is not None else ""
    if not name or all(change.path != os.fsencode(name) for change in tree.changes):
        return after, brought
    raw = reader.read(name) or b""
    text = raw.decode("latin-1")
    if pins is not None and pins.signers not in (None, text):
        change = Change(SIGNERS, _keys(pins.signers or ""), _keys(text), path_text(name), SIGNERS not in accept)
        after = replace(after, changes=(*after.changes, change))
    return after, (*brought, raw)


def _keys(text: str) -> str:
    return count(sum(bool(line.strip()) and not line.startswith("#") for line in text.splitlines()), "key")


def policy_findings(
    site: Site, action: str, head: str, target: CodeState, after: Config
) -> tuple[list[Problem], list[str]]:
    """(what speaks against a release that changes pinned settings, what is to be said of one, or of a backup, that has others
    all along). HEAD: the commit that is live."""
    overruled = after.overruled
    if not overruled:
        return [], []
    old = _said_before(site, head, target.commit) if action == "upgrade" else []
    changed = [change for change in overruled if action == "upgrade" and (change.key, change.said) not in old]
    stays = [change for change in overruled if change not in changed]
    listed = joined(
        "; ",
        (
            tr(
                "`{key}` stays {pinned} ({file}: {said})",
                key=each.key,
                pinned=each.pinned,
                file=each.file,
                said=each.said,
            )
            for each in stays
        ),
    )
    warnings = (
        [tr("What is pinned on this server stays, whatever these files say: {listed}.", listed=listed)] if stays else []
    )
    if not changed:
        return [], warnings
    words = " ".join(f"--accept-config {each.key}" for each in changed)
    hint = tr(
        "If that is right: gitdeploy upgrade {target_tag} {words}", target_tag=shell_word(target.tag or ""), words=words
    )
    first, *rest = [Problem(_sentence(target, each), "", refused=True) for each in changed]
    return [Problem(first.message, hint, refused=True), *rest], warnings


def _said_before(site: Site, head: str, target: str) -> list[tuple[str, str]]:
    """(key, value) of what deploy.yaml of the live commit, and of the one that it and TARGET come from, says otherwise than what
    is pinned: a release that says the same changes nothing."""
    file = site.config.file or site.root / configuration.FILE_NAME
    if not file.is_relative_to(site.root):
        return []
    base = site.repository.run("merge-base", head, target)
    found = []
    for commit in (head, *base.text.split()[:1]):
        text = site.repository.read_blob(commit, os.path.relpath(file, site.root))
        with suppress(ConfigError):
            config = configuration.parse(text or b"", root=site.root)
            found += [(change.key, change.said) for change in config.overruled]
    return found


def _sentence(target: CodeState, change: Change) -> str:
    verb = tr("lowers") if WHO_DECIDES.get(change.key) == "floor" else tr("changes")
    return tr(
        "{target_tag} {verb} `{key}`, which is pinned on this server: {said} instead of {pinned} ({file}).",
        target_tag=target.tag,
        verb=verb,
        key=change.key,
        said=change.said,
        pinned=change.pinned,
        file=change.file,
    )


def changes_as_dicts(after: Config) -> list[dict[str, Any]]:
    """The shape of `config_changes` in `plan --json`."""
    return [
        {"key": each.key, "from": each.pinned, "to": each.said, "accepted": not each.overruled}
        for each in after.changes
    ]
