"""What the API changes: each in a process of its own, found again in the journal."""

from __future__ import annotations

from typing import Any

from gitdeploy.backups.store import REFS, Backup
from gitdeploy.deployment.record.work import Caller
from gitdeploy.errors import NotFound
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean
from gitdeploy.versions import valid_tag
from gitdeploy.web.answers import Answer, success
from gitdeploy.web.api.addresses import tag_of
from gitdeploy.web.api.start import start
from gitdeploy.web.errors import BadRequest, NotAgreed
from gitdeploy.web.shared import body as bodies
from gitdeploy.web.shared.asking import json_object
from gitdeploy.web.shared.panel import panel, performer


def start_upgrade() -> Answer:
    """Upgrade to a tag; from today's page it comes inside a download address, which is never downloaded from."""
    asked = json_object()
    tag = bodies.text(asked, "tag", limit=200)
    address = bodies.text(asked, "download_url", limit=2000)
    if tag is None and address is None:
        raise BadRequest(tr("`tag` is missing."), tr('Send {{"tag": "v1.2.9.1"}}.'))
    if tag is None:
        tag = tag_of(panel().app(), address or "")
        if tag is None:
            raise BadRequest(
                tr("This address is none of the configured repository's."),
                tr("Send the release's tag instead of an address."),
            )
    if (problem := valid_tag(tag)) is not None:
        raise BadRequest(tr("`{tag}` can't be a release: {problem}", tag=clean(tag, limit=80), problem=problem))
    words = ["upgrade", tag]
    if bodies.flag(asked, "through"):
        words.append("--through")
    if bodies.flag(asked, "allow_downgrade"):
        words.append("--allow-downgrade")
    policy = bodies.text(asked, "local_changes", limit=10)
    if policy in ("merge", "discard"):
        words.append(f"--{policy}-local-changes")
    elif policy not in (None, "refuse"):
        raise BadRequest(tr("`local_changes` must be refuse, merge or discard."))
    if bodies.flag(asked, "rebuild_venv"):
        words.append("--rebuild-venv")
    if bodies.flag(asked, "unhealthy"):
        words.append("--unhealthy")
    return start(words, wait=bodies.flag(asked, "wait", True))


def rehearse() -> Answer:
    """Try a release on a copy of the app and its data; nothing live is touched."""
    asked = json_object()
    tag = bodies.text(asked, "tag", needed=True, limit=128)
    assert tag is not None
    if (problem := valid_tag(tag)) is not None:
        raise BadRequest(tr("`{tag}` can't be a release: {problem}", tag=clean(tag, limit=80), problem=problem))
    return start(["rehearse", tag], wait=bodies.flag(asked, "wait", True))


def restore_backup() -> Answer:
    """Bring a backup back, by its id or ref; nothing in the file system is ever named."""
    asked = json_object()
    reference = bodies.text(asked, "backup_path", needed=True, limit=300)
    assert reference is not None
    words = ["restore", _backup(reference)]
    if bodies.flag(asked, "with_data"):
        if not bodies.flag(asked, "yes"):
            raise _not_agreed(panel().app().find_backup(words[1]))
        words += ["--with-data", "--yes"]
    return start(words, wait=bodies.flag(asked, "wait", True))


def rollback() -> Answer:
    """Undo the last successful deployment."""
    asked = json_object()
    app = panel().app()
    version = bodies.text(asked, "version", limit=200)
    with_data = bodies.flag(asked, "with_data")
    backup: Backup | None = None
    if version is not None or app.interrupted() is None:
        # There is one; and what names one is not an option.
        backup = app.backup_for_rollback(version, with_data=with_data)
    if with_data and not bodies.flag(asked, "yes"):
        raise _not_agreed(backup)
    words = ["rollback", "--yes", *([version] if version else [])]
    if with_data:
        words.append("--with-data")
    return start(words, wait=bodies.flag(asked, "wait", True))


def _not_agreed(backup: Backup | None) -> NotAgreed:
    """What a restore of BACKUP with its data would replace, and how to agree to it."""
    if backup is None:
        return NotAgreed(
            tr("What would be replaced can be named only once the interrupted deployment is recovered."),
            tr('Recover it first (api/recover); or agree unseen: "yes": true'),
        )
    moves, _, notes = panel().app().data_moves(backup)
    named = joined("; ", (move.text for move in moves)) or tr("nothing")
    return NotAgreed(
        tr("With the data of {backup}, these are replaced: {named}.", backup=backup.id, named=named),
        tr('To agree to it: "yes": true'),
        details=notes,
    )


def contract() -> Answer:
    """Run the second half of the live release's migrations."""
    return start(["contract"], wait=bodies.flag(json_object(), "wait", True))


def make_backup() -> Answer:
    """A backup now."""
    asked = json_object()
    label = bodies.text(asked, "label", limit=200)
    return start(["backup", *(["--label", label] if label else [])], wait=bodies.flag(asked, "wait", True))


def recover() -> Answer:
    """Finish or undo an interrupted deployment; `hooks`, `restart`, `health` are false for what is to be left out."""
    asked = json_object()
    wait = bodies.flag(asked, "wait", True)
    left_out = [f"--no-{part}" for part in ("hooks", "restart", "health") if not bodies.flag(asked, part, True)]
    interrupted = panel().app().interrupted()
    if interrupted is None:
        return Answer(
            success(message=tr("Nothing to recover: no deployment was interrupted."), deployment=None, log=[])
        )
    return start(["recover", *left_out], wait=wait, recovering=interrupted.deployment)


def delete_backup() -> dict[str, Any]:
    """Delete one backup."""
    reference = bodies.text(json_object(), "backup", needed=True, limit=300)
    assert reference is not None
    identity = _backup(reference)
    panel().app().delete_backup(identity, caller=_caller(tr("delete a backup")))
    return success({"id": identity})


def label_backup() -> dict[str, Any]:
    """Label a backup, which is then never pruned; an empty label takes it away."""
    asked = json_object()
    reference = bodies.text(asked, "backup", needed=True, limit=300)
    assert reference is not None
    identity, label = _backup(reference), bodies.text(asked, "label", limit=200) or ""
    panel().app().label_backup(identity, label, caller=_caller(tr("label a backup")))
    return success({"id": identity, "label": clean(label)})


def pause() -> dict[str, Any]:
    """Pause deployments."""
    asked = json_object()
    message = bodies.text(asked, "message", limit=500) or ""
    panel().app().pause(clean(message), who=performer(), force=bodies.flag(asked, "force", False))
    return success({"held": True})


def resume() -> dict[str, Any]:
    """Resume deployments."""
    json_object()
    return success({"held": False, "was_held": panel().app().resume()})


def skip_release() -> dict[str, Any]:
    """Never install a release by itself."""
    asked = json_object()
    tag = bodies.text(asked, "tag", needed=True, limit=128)
    assert tag is not None
    made = panel().app().skip(tag, bodies.text(asked, "reason", limit=300) or "", who=performer())
    return success(made.as_dict())


def unskip_release() -> dict[str, Any]:
    """Let a skipped release be installed automatically again."""
    tag = bodies.text(json_object(), "tag", needed=True, limit=128)
    assert tag is not None
    return success({"tag": tag, "was_skipped": panel().app().unskip(tag)})


def _caller(command: str) -> Caller:
    return Caller(performer(), tr("gitdeploy web: {command}", command=command))


def _backup(reference: str) -> str:
    """The id of an existing backup: only whole ids and refs, no prefixes, no paths. Raises `NotFound`, `BadRequest`."""
    identity = reference.removeprefix(REFS)
    if "/" in identity or identity.startswith("."):
        raise BadRequest(
            tr("A backup is named by its id or its ref, never by a path."), tr("The list of backups has both.")
        )
    if identity not in {backup.id for backup in panel().app().site.backups()}:
        raise NotFound(
            tr("There is no backup `{identity}`.", identity=clean(identity, limit=80)),
            tr("The list of backups has their ids."),
        )
    return identity
