"""What a person asks for outside an upgrade or a restore: a backup now, the hooks of a stage now."""

from __future__ import annotations

from collections.abc import Callable

from gitdeploy.backups.store import REFS, Backup, new_id, set_outcome
from gitdeploy.checkout.changes import Target
from gitdeploy.deployment.plan.make import make_plan
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.prepare.backup import create_backup
from gitdeploy.deployment.record.work import Session, record
from gitdeploy.errors import UsageError
from gitdeploy.hooks import running
from gitdeploy.hooks.running import STAGES, HookContext
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import hook_caller, withheld
from gitdeploy.site.site import head_of, kept_data
from gitdeploy.text import clean, listing
from gitdeploy.versions import CodeState


def make_backup(session: Session, label: str, *, reason: str = "") -> Backup:
    """The present state as a backup. With a LABEL it is never pruned. REASON: where nobody asked for it by name."""
    site = session.site
    live = site.release_at(head_of(site))
    with record(session, "backup", live, live) as work:
        tree = site.repository.tree_of(live.commit)
        goal = Target(live.commit, tree, tree)
        options = Options(local_changes="discard", restart=False, hooks=False)
        plan = make_plan(site, "restore", goal, live, options, kept_data=kept_data(session.database), env_version=None)
        identity = new_id(site.state.backups, live.tag or live.version, work.database.backups_made())
        with work.journal.step("backup") as shown:
            work.journal.write("prepare", "", {"stage": ""})
            work.journal.write("backup", "", {"id": identity})
            work.backup = identity
            generation = plan.venv.live.generation if plan.venv is not None else None
            backup = create_backup(
                work,
                plan,
                identity,
                reason or tr("made by hand"),
                clean(label, limit=200),
                generation=generation,
                dumps=True,
            )
            set_outcome(site.state.backups, identity, "good")
            shown.summary = identity
        work.end(
            "succeeded",
            tr(
                "{identity} holds {live} as it is now.  Bring it back: gitdeploy restore {identity}",
                identity=identity,
                live=live.name,
            ),
        )
    return backup


def run_hooks(session: Session, stage: str, on_line: Callable[[str], object]) -> int:
    """Run the hooks of STAGE as if a deployment to what is live did."""
    if stage not in STAGES:
        raise UsageError(
            tr("There is no stage `{stage}`.", stage=clean(stage, limit=40)),
            tr("The stages: {stages}.", stages=listing(STAGES)),
        )
    site = session.site
    live = site.release_at(head_of(site))
    found = running.find_hooks(site.root, site.config.hooks, stage)
    context = hook_context(session, live)
    return running.run_hooks(
        found,
        context,
        stage=stage,
        timeout=site.config.hooks.timeout,
        secrets=withheld(site),
        caller=hook_caller(site),
        on_line=on_line,
    )


def hook_context(session: Session, live: CodeState, deployment: int | None = None) -> HookContext:
    """What a hook is told where nothing goes live: LIVE is where it comes from and goes to. DEPLOYMENT: by default the last."""
    site = session.site
    link = site.venv_link
    last = session.database.last_ended()
    backup = last.backup if last is not None else None
    return HookContext(
        action="upgrade",
        app=site.name,
        root=site.root,
        deployment=deployment if deployment is not None else last.id if last is not None else 0,
        from_version=live.version,
        from_tag=live.tag,
        from_commit=live.commit,
        to_version=live.version,
        to_tag=live.tag,
        to_commit=live.commit,
        backup=backup,
        backup_ref=REFS + backup if backup else None,
        backup_dir=site.state.backups / backup if backup else None,
        venv=link if link is not None and link.exists() else None,
        performer=session.caller.performer,
        contract_migrations=" ".join(site.config.hooks.contract_migrations),
    )
