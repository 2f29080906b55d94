"""After the commit: the deployment is final. Only tidying is left, and telling; none of it can fail the deployment."""

from __future__ import annotations

import json
from contextlib import suppress

from gitdeploy.backups import store
from gitdeploy.checkout import switch
from gitdeploy.checkout.manifest import Manifest
from gitdeploy.config import Config
from gitdeploy.deployment.live.live import LiveRecord
from gitdeploy.deployment.live.second_half import error_of, settle_second_half, waits
from gitdeploy.deployment.plan.data_release import note_data_release
from gitdeploy.deployment.record.replaced import replaced_sentence
from gitdeploy.deployment.record.tell import owe, send_owed
from gitdeploy.deployment.record.work import Result, Work
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services import discover, open_services
from gitdeploy.site import skipping
from gitdeploy.site.journey import went_live
from gitdeploy.site.policy import gone_live
from gitdeploy.site.second_half import COMMAND, Waiting, read_waiting
from gitdeploy.site.site import KEPT_DATA, Site, kept_data
from gitdeploy.text import clean, shell_word
from gitdeploy.upkeep.prune import forget_old, prune


def finish(
    work: Work,
    record: LiveRecord,
    manifest: Manifest | None,
    config: Config,
    *,
    failed: GitDeployError | None = None,
) -> Result:
    """Record the success, clean the stage up, drop what is too old. May be run again by a later process, which finds no
    MANIFEST where the stage was cleaned up already. CONFIG is that of the release that is live now. FAILED: why the second
    half of its migrations did; how far that came is in the journal."""
    site = work.site
    work.backup = record.backup
    if record.backup:
        store.set_outcome(site.state.backups, record.backup, "good")
        if store.outcome(site.state.backups, record.backup) != "good":  # the disk is full
            site.state.release_reserve()
            store.set_outcome(site.state.backups, record.backup, "good")
    work.database.forgive(record.target.commit)
    went_live(work.database, work.action, record.target.tag)
    skipped = None
    if not record.automatic:
        skipped = skipping.after_deployment(
            work.database,
            work.action,
            record.origin,
            record.target,
            by=record.performer,
            prefix=config.source.tag_prefix,
        )
    _pin(site, record, config)
    if record.kept_data:
        names = sorted({*kept_data(work.database), *record.kept_data})
        work.database.meta_put(KEPT_DATA, json.dumps(names))
    if manifest is not None:
        switch.clean_up(manifest)
    note_data_release(site, work.database, record)
    waiting = _waiting(work, record, config)
    sentence = _sentence(work, record, config, skipped, waiting)
    error = error_of(waiting, failed, site) if waiting is not None and record.halves else None
    if error is None:
        owe(work, config, "succeeded", sentence)
    else:
        owe(work, config, "failed", error.message, error=error.message)
    result = work.end("succeeded", sentence, error)
    try:
        site.state.keep_reserve()
        prune(site, keep=site.config.backup.keep, line=work.journal.line)
        forget_old(site, work.database)
    except (GitDeployError, OSError) as error:
        work.journal.line(tr("Tidying up: {error}", error=error), "warning")
    send_owed(site, work.database, config)
    work.database.flush_lines()
    return result


def _waiting(work: Work, record: LiveRecord, config: Config) -> Waiting | None:
    """What waits of the second half of the migrations of what is live now: that of this upgrade; else what is known of the data
    that are live."""
    if not record.halves:
        return read_waiting(work.database, record.target)
    later = waits(work.journal, config, half=record.half)
    return settle_second_half(work.journal, record.target, later=later)


def _sentence(
    work: Work, record: LiveRecord, config: Config, skipped: skipping.Skip | None, waiting: Waiting | None
) -> str:
    """What is live now, how it is undone, and what is left to do."""
    site = work.site
    undo = "gitdeploy rollback" if record.action == "upgrade" else f"gitdeploy restore {record.backup}"
    second = record.halves and (waiting is None or waiting.why in ("failed", "interrupted"))  # or some of it
    undo += " --with-data" if record.data_from or second else ""
    known = known_to_run(site, record, config)
    sentence = tr(
        "{site} runs {target}.{replaced}  Undo: {undo}   (backup {backup})"
        if known
        else "{site} is on {target}.{replaced}  Undo: {undo}   (backup {backup})",
        site=site.name,
        target=record.target.name,
        replaced=replaced_sentence(work.database.records(work.id)),
        undo=undo,
        backup=record.backup,
    )
    if skipped is not None:
        sentence += tr(
            "\n{skipped_tag} won't be installed automatically from now on. To allow it: {way}",
            skipped_tag=clean(skipped.tag),
            way=skipped.way,
        )
    if not known:
        sentence += tr("\n{still_to_restart}", still_to_restart=still_to_restart(site, record))
    if waiting is not None:
        sentence += tr("\n{waiting} To run it: {command}", waiting=waiting.sentence, command=COMMAND)
    return sentence


def _pin(site: Site, record: LiveRecord, config: Config) -> None:
    """The settings that decide about later releases are now those of CONFIG."""
    try:
        gone_live(site, config, accepted=record.accepted, made=record.signed)
    except GitDeployError:  # the disk is full
        site.state.release_reserve()
        with suppress(GitDeployError):  # the old settings stay pinned then, and `config show` and doctor say so
            gone_live(site, config, accepted=record.accepted, made=record.signed)


def known_to_run(site: Site, record: LiveRecord, config: Config) -> bool:
    """Whether anything was done or asked after which the release is known to run: a restart, a health check."""
    restarted = record.restart and bool(open_services(config.service, site.root))
    return restarted or config.health.configured


def still_to_restart(site: Site, record: LiveRecord) -> str:
    """What is left to do where gitdeploy restarted nothing: by the systemd units that run from here, where there are any."""
    units = discover(site.root, site.venv_link)
    how = tr(": systemctl restart {units}", units=shell_word(units[0])) if units else tr(", the way it was started")
    next_time = tr(" To have gitdeploy do it: service in deploy.yaml.") if record.restart else ""
    return tr(
        "gitdeploy restarted nothing and asked nothing, so the app may still run {origin}. "
        "Restart it now{how}.{next_time}",
        origin=record.origin.name,
        how=how,
        next_time=next_time,
    )
