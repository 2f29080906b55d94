"""What `prepare` leaves for a later `upgrade`, and whether it still fits then: the stage, and the venv, the long part."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gitdeploy import venvs
from gitdeploy.checkout import staged
from gitdeploy.checkout.manifest import Manifest
from gitdeploy.checkout.times import Newest
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.prepared import venv_facts, venv_fits
from gitdeploy.deployment.prepare.preparation import Preparation, discard_leftovers
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.state.prepared import PREPARED, prepared_stages
from gitdeploy.system import faultpoints
from gitdeploy.system.durable import write_durably
from gitdeploy.upkeep.prune import held_generations
from gitdeploy.venvs.flip import Flip


def plan_digest(plan: Plan) -> str:
    """What must be the same for a prepared stage to be used: the state it starts from, what it changes, its options."""
    facts = (
        plan.goal,
        # Not the inode: it may be another after a remount or in a copied app; `relink` looks at that.
        [
            (c.path, c.kind, c.mode, c.oid, c.exact, c.content, c.owner, c.seen and c.seen[1:])
            for c in plan.tree.changes
        ],
        [(p.path, p.source.name, p.created, p.goal, p.head, p.settings) for p in plan.checkout.submodules],
        (plan.tree.folders, plan.tree.emptied, plan.checkout.settings),
        plan.local.head,
        plan.local.branch,
        venv_facts(plan.venv, plan.options),
        replace(plan.options, unhealthy=False, migrate=True, half=False),  # they may be anything while it is prepared
        plan.before.text,
    )
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()


def keep_prepared(preparation: Preparation) -> None:
    """Leave the stage for a later `upgrade`."""
    plan = preparation.plan
    data = {
        "tag": plan.target.tag,
        "commit": plan.target.commit,
        "digest": plan_digest(plan),
        "venv": venv_facts(plan.venv, plan.options),
        "generation": preparation.generation,
        "built": preparation.built,
        "flip": preparation.flip.as_dict() if preparation.flip else None,
    }
    write_durably(preparation.work.site.state.stage / preparation.stage / PREPARED, json.dumps(data).encode())


def is_prepared(site: Site, plan: Plan) -> bool:
    """Whether all of PLAN lies ready."""
    digest = plan_digest(plan)
    return any(
        data["digest"] == digest and venv_fits(site, data, plan.venv, plan.options)
        for data in prepared_stages(site.state.stage).values()
    )


def take_prepared(preparation: Preparation) -> bool:
    """Use what was prepared where it still fits the plan: the stage (True), or only its generation, the long part. What
    doesn't fit is thrown away, with a word."""
    site, plan = preparation.work.site, preparation.plan
    for name, data in prepared_stages(site.state.stage).items():
        fits = preparation.reused is None and venv_fits(site, data, plan.venv, plan.options)
        manifest = Manifest.read(site.state.stage / name) if fits and data["digest"] == plan_digest(plan) else None
        if fits and data["built"] is not None:
            preparation.work.journal.write("build", "", {"generation": data["built"]})
        if manifest is not None and staged.relink(manifest):
            os.unlink(site.state.stage / name / PREPARED)
            faultpoints.point("prepared stage taken")
            preparation.stage, preparation.manifest = name, manifest
        elif data["tag"] == plan.target.tag:
            again = tr("staging its files") if fits else tr("preparing")
            preparation.work.journal.line(
                tr("The app changed since it was prepared: {again} anew.", again=again), "warning"
            )
        if fits:
            preparation.generation, preparation.built = data["generation"], data["built"]
            preparation.flip = Flip.from_dict(data["flip"]) if data["flip"] else None
            preparation.reused = name
        if preparation.stage != name:
            drop_prepared(site, name, {} if fits else data)
    return preparation.manifest is not None


def drop_prepared(site: Site, name: str, data: Mapping[str, Any]) -> None:
    """Throw a prepared stage away, and its generation where nothing else holds it."""
    discard_leftovers(site, name, None, None)
    built = data.get("built")
    if built is not None and built not in held_generations(site):
        venvs.Builder(site.root, site.state.path, site.config.venv).discard(built)


def adopt_backup_place(preparation: Preparation) -> None:
    """A prepared stage knows no backup yet: what undo moves aside belongs into this one. And its files are of the time
    when they were prepared."""
    assert preparation.manifest is not None
    assert preparation.backup is not None
    saved = preparation.work.site.state.backups / preparation.backup.id / "saved"
    newest = Newest(preparation.work.site.state.newest)
    preparation.manifest = replace(staged.renew_times(preparation.manifest, newest.read()), saved=saved)
    preparation.manifest.write()
    newest.keep(preparation.manifest.newest)
