"""The settings that are pinned on this server: pinned at first use, kept whatever a release says, changed by who runs it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitdeploy.config import Config, Judging, load
from gitdeploy.config.pins import (
    PLACE,
    POLICY_VARIABLES,
    WHO_DECIDES,
    Change,
    Pins,
    fingerprint,
    read_pins,
    write_pins,
)
from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.messages import joined, tr
from gitdeploy.system.durable import write_durably
from gitdeploy.text import clean, path_text, shell_word

if TYPE_CHECKING:
    from gitdeploy.checkout.git import Repository
    from gitdeploy.site.site import Site
    from gitdeploy.state import Database

SIGNERS = "allowed_signers"  # in the state directory: the pinned text, where a release's file says otherwise


def judging(repository: Repository, accept: Collection[str] = ()) -> Judging:
    """Whether a file of the checkout is a release's: asked of git only where it says otherwise than what is pinned."""
    return Judging(
        lambda path, raw, pins: is_releases(repository, path, raw, pins),
        lambda path, _: _is_tracked(repository, path),
        accept,
    )


def is_releases(repository: Repository, path: Path, raw: bytes, pins: Pins) -> bool:
    """Whether a release brought PATH, which holds RAW: a deployment here put it there, or git tracks just this, by a commit that
    wasn't made on this server.

    Whoever isn't the checkout's owner starts no git in it: for them it is a release's.
    """
    if fingerprint(raw) in pins.brought:
        return True
    if not path.is_relative_to(repository.root):
        return False
    if os.geteuid() != repository.root.stat().st_uid:
        return True
    name = str(path.relative_to(repository.root))
    listed = repository.output("ls-files", "--stage", "-z", "--", name).split(b"\0")[0]
    if not listed:
        return False
    made = repository.output("hash-object", f"--path={name}", "--stdin", stdin=raw).strip()
    if listed.split(b" ")[1] != made:
        return False
    commit = repository.output("rev-list", "-1", "HEAD", "--", name).decode().strip()
    known = ("for-each-ref", "--count=1", "--contains", commit, "refs/tags", "refs/remotes")
    return not commit or bool(repository.output(*known).strip())


def _is_tracked(repository: Repository, path: Path) -> bool:
    """Whether git tracks the env file, whatever was edited in it since: it is edited all the time."""
    if not path.is_relative_to(repository.root):
        return False
    if os.geteuid() != repository.root.stat().st_uid:
        return True
    return bool(repository.output("ls-files", "-z", "--", str(path.relative_to(repository.root))))


def keep_policy(site: Site, database: Database) -> None:
    """Pin the settings: at first use what is live, later what whoever runs this server changed by hand. Not while a
    deployment is unfinished, when what stands on disk may be of a release that goes back."""
    config = site.config
    signers = _signers_here(site)
    known = config.pins
    moved = any(not change.overruled for change in config.changes)
    if known is not None and not moved and signers == known.signers:
        return
    if (
        database.unfinished() or read_pins(site.root) != known
    ):  # or another process was faster: judged when it is read again
        return
    pins = replace(pinned(config), signers=signers)
    if pins != known:
        with suppress(OSError):  # a full disk, say: pinned the next time
            write_pins(site.root, pins)


def pinned(config: Config) -> Pins:
    """What CONFIG says, pinned; what is overruled in it stays as it was."""
    from gitdeploy.config.overlay import node_of, policy_of, table_of

    table = table_of(config.text)
    before = config.pins
    secrets = tuple(dict.fromkeys((*(before.secrets if before else ()), *config.secret_names)))
    agrees = (
        ""
        if any(change.key not in POLICY_VARIABLES for change in config.overruled)
        else fingerprint(config.text or b"")
    )
    if before is None:
        env = {name: _variable(config, name) for name in POLICY_VARIABLES}
        return Pins(keys=policy_of(table), env=env, agrees=agrees, secrets=secrets)
    keys, env, accepted = dict(before.keys), dict(before.env), dict(before.accepted)
    for change in config.changes:
        if change.overruled:
            continue
        accepted.pop(change.key, None)
        if change.key in POLICY_VARIABLES:
            env[change.key] = _variable(config, change.key)
        elif (node := node_of(table, change.key)) is not None:
            keys[change.key] = node
        else:
            keys.pop(change.key, None)
    return replace(before, keys=keys, env=env, agrees=agrees, secrets=secrets, accepted=accepted)


def _variable(config: Config, name: str) -> str:
    return (config.env.get(name) or "").encode("utf-8", "replace").decode()


def require_pinned(keys: Iterable[str]) -> None:
    """Each of KEYS is a setting that is pinned. Raises `UsageError`."""
    for key in keys:
        if key not in POLICY_VARIABLES and WHO_DECIDES.get(key, "release") == "release":
            known = joined(", ", (name for name, who in WHO_DECIDES.items() if who != "release"))
            raise UsageError(
                tr("{key} is not a pinned setting.", key=clean(key, limit=60)), tr("Pinned are: {known}.", known=known)
            )


def accept_here(site: Site, keys: Collection[str]) -> list[Change]:
    """Pin what the files on this server say of KEYS now; what changed by that. Raises `UsageError` where one is as pinned."""
    require_pinned(keys)
    config = load(site.root, site.named_config, judging(site.repository, keys))
    taken = [change for change in config.changes if change.key in keys]
    signers = _signers_here(site, pinned_too="git.allowed_signers" not in keys)
    pins = replace(pinned(config), signers=signers)
    known = {change.key for change in taken}
    if config.pins is not None and signers != config.pins.signers:
        known.add("git.allowed_signers")
    if missing := next((key for key in keys if key not in known), None):
        raise UsageError(
            tr("`{missing}` is as it is pinned: there is nothing to accept.", missing=missing),
            tr("To accept what a release changes: gitdeploy config accept {missing} --release TAG", missing=missing),
        )
    _write(site, pins)
    return taken


def accept_of_release(site: Site, after: Config, tag: str, keys: Collection[str]) -> list[Change]:
    """Remember that the release TAG, whose configuration is AFTER, may change KEYS to just what it says. Raises `UsageError`
    where it doesn't change one, or one can be accepted with the upgrade only."""
    from gitdeploy.config.overlay import node_of, table_of

    require_pinned(keys)
    changes = {change.key: change for change in after.changes}
    for key in keys:
        if key not in changes:
            raise UsageError(
                tr("{tag} doesn't change `{key}`.", tag=tag, key=key),
                tr("What it changes: gitdeploy plan {tag}", tag=shell_word(tag)),
            )
        if key in POLICY_VARIABLES or key == "git.allowed_signers":
            raise UsageError(
                tr("`{key}` is accepted with the upgrade.", key=key),
                f"gitdeploy upgrade {shell_word(tag)} --accept-config {key}",
            )
    pins, table = read_pins(site.root) or Pins(), table_of(after.text)
    _write(site, replace(pins, accepted={**pins.accepted, **{key: node_of(table, key) for key in keys}}))
    return [changes[key] for key in keys]


def before_the_switch(site: Site, config: Config, files: Iterable[bytes]) -> None:
    """Remember FILES as a release's, so that whatever happens none of them is taken for an operator's, and the names of
    the secrets that CONFIG, the release's, takes. Raises `DeploymentFailed`."""
    pins = read_pins(site.root) or Pins()
    secrets = tuple(dict.fromkeys((*pins.secrets, *config.secret_names)))
    wanted = replace(pins, brought=pins.with_brought(*files), secrets=secrets)
    if wanted != pins:
        _write(site, wanted)


def _write(site: Site, pins: Pins) -> None:
    try:
        write_pins(site.root, pins)
    except OSError as error:
        raise DeploymentFailed(
            tr("{root} can't be written: {strerror}.", root=path_text(str(site.root / PLACE)), strerror=error.strerror),
            tr("Run gitdeploy as the owner of the checkout, and see that its disk is neither full nor read-only."),
        ) from error


def gone_live(site: Site, config: Config, *, accepted: Collection[str], made: int = 0) -> None:
    """A release is final, whose configuration is CONFIG: what was ACCEPTED of it is pinned. MADE: when its signed tag was
    (seconds since 1970). Again and again the same. Raises `DeploymentFailed`."""
    now = read_pins(site.root)
    if now is None:
        return
    wanted = replace(pinned(replace(config, pins=now)), newest=max(now.newest, made))
    if "git.allowed_signers" in accepted:
        wanted = replace(wanted, signers=_signers_here(replace(site, config=config), pinned_too=False))
    if wanted != now:
        _write(site, wanted)


# ---- whose signatures count ----


def signers_in_checkout(config: Config) -> Path | None:
    """The file of `git.allowed_signers`, where that is in the checkout, so that a release may bring another."""
    name = config.git.allowed_signers
    path = config.root / name if name else None
    return path if path is not None and path.is_relative_to(config.root) else None


def _signers_here(site: Site, *, pinned_too: bool = True) -> str | None:
    """The text of the signers' file in the checkout, or the pinned one where a release brought another."""
    path, pins = signers_in_checkout(site.config), site.config.pins
    if path is None:
        return None
    raw = _read(path)
    known = pins.signers if pins is not None and pinned_too else None
    if raw is None:
        return known
    text = raw.decode("latin-1")  # whatever the bytes are, they come back
    if known is None or pins is None or text == known or not is_releases(site.repository, path, raw, pins):
        return text
    return known


def signers_in_force(site: Site) -> Path | None:
    """The file of whose signatures count now: as it is on this server, or the pinned text where a release brought another.
    Raises OSError."""
    name = site.config.git.allowed_signers
    path = signers_in_checkout(site.config)
    if path is None:
        return site.root / name if name else None
    text = _signers_here(site)
    raw = _read(path)
    if text is None or raw == text.encode("latin-1"):
        return path
    place = site.state.path / SIGNERS
    write_durably(place, text.encode("latin-1"))
    return place


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
