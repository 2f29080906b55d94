"""Whether a release's signature binds it: to its name, to this app's history, to now, and to what was live before."""

from __future__ import annotations

from datetime import UTC, datetime

from gitdeploy.checkout.lineage import lineage
from gitdeploy.checkout.signature import Signed, made_at, verify
from gitdeploy.errors import ConfigError, GitDeployError, PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.policy import signers_in_force
from gitdeploy.site.site import Site
from gitdeploy.text import shell_word
from gitdeploy.versions import CodeState, read_version


def require_signature(site: Site, origin: CodeState, target: CodeState, *, older: bool) -> int:
    """When the signed tag of TARGET, whose objects are here, was made (seconds since 1970); 0 where none is wanted.

    ORIGIN is live. OLDER: one that was made before the newest that was live here will do. Raises `PolicyError`.
    """
    config = site.config.git
    if config.verify == "none":
        return 0
    tag = target.tag or ""
    try:
        signers = signers_in_force(site) if config.verify == "ssh" else None
    except OSError as error:
        raise ConfigError(
            tr("The file of git.allowed_signers can't be read: {strerror}.", strerror=error.strerror)
        ) from error
    signed = verify(site.repository, tag, config.verify, signers)
    if config.verify == "gpg":
        _require_listed(site, origin, tag, signed)
    if origin.commit != target.commit:
        _require_place(site, origin, target)
        if not older:
            _require_newer(site, origin, target, signed)
    return signed.made


def _require_listed(site: Site, origin: CodeState, tag: str, signed: Signed) -> None:
    """The key is one of `git.fingerprints`; where none is listed, the one that signed what is live."""
    listed = {text.replace(" ", "").upper() for text in site.config.git.fingerprints}
    key = signed.keys[-1]
    if listed.intersection(signed.keys):
        return
    way = tr("If that key is right, list it in deploy.yaml: git: {{fingerprints: [{key}]}}", key=key)
    if listed:
        raise PolicyError(
            tr("{tag} is signed by the key {key}, which git.fingerprints doesn't list.", tag=tag, key=key), way
        )
    try:
        before = verify(site.repository, origin.tag or "", "gpg", None).keys if origin.tag else ()
    except GitDeployError:
        before = ()
    if not set(before).intersection(signed.keys):
        whose = (
            tr("which isn't the key that signed the live release")
            if before
            else tr("and the live release isn't signed")
        )
        raise PolicyError(
            tr(
                "{tag} is signed by the key {key}, {whose}; git.fingerprints lists none.", tag=tag, key=key, whose=whose
            ),
            way,
        )


def _require_place(site: Site, origin: CodeState, target: CodeState) -> None:
    """It is a release of this app's, and no old commit under a new name."""
    found = lineage(site.repository, origin.commit, target.commit)
    if not found.related:
        if found.cut:
            raise PolicyError(
                tr(
                    "This shallow clone doesn't tell whether {target_tag} shares history with what is live, "
                    "which git.verify wants.",
                    target_tag=target.tag,
                ),
                tr(
                    "Fetch the whole history: git fetch --unshallow {remote}",
                    remote=shell_word(site.config.source.remote),
                ),
            )
        raise PolicyError(
            tr(
                "{target_tag} shares no history with what is live: its signature may be of another project's release.",
                target_tag=target.tag,
            ),
            tr("If it is this app's all the same, install it once by hand, or clone it anew."),
        )
    prefix = site.config.source.tag_prefix
    live, wanted = (read_version(each.tag or each.version or "", prefix) for each in (origin, target))
    if found.brings == 0 and live is not None and wanted is not None and wanted > live:
        raise PolicyError(
            tr(
                "{target_tag} is an older commit than {origin}, which is live, under a higher version.",
                target_tag=target.tag,
                origin=origin.name,
            ),
            tr("A release doesn't get a new number. Ask its author."),
        )


def _require_newer(site: Site, origin: CodeState, target: CodeState, signed: Signed) -> None:
    live = made_at(site.repository, origin.tag) if origin.tag else 0
    newest = max(live, site.config.pins.newest if site.config.pins is not None else 0)
    if signed.made < newest:
        raise PolicyError(
            tr(
                "{target_tag} was signed on {day}, before {newest}, when the newest signed release that "
                "was live here was made.",
                target_tag=target.tag,
                day=_day(signed.made),
                newest=_day(newest),
            ),
            tr(
                "To install it all the same: gitdeploy upgrade {target_tag} --allow-downgrade",
                target_tag=shell_word(target.tag or ""),
            ),
        )


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
