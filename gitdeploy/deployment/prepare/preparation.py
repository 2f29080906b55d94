"""What has been made ready above the line, and how it is thrown away."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from msgspec import Struct

from gitdeploy import venvs
from gitdeploy.backups import store
from gitdeploy.backups.store import Backup
from gitdeploy.checkout import staged, switch
from gitdeploy.checkout.manifest import Manifest
from gitdeploy.checkout.modules import module_folders
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.record.work import Work
from gitdeploy.errors import GitDeployError
from gitdeploy.site.submodule_refs import drop_refs
from gitdeploy.system import interruption
from gitdeploy.venvs.flip import Flip


class Preparation(Struct):
    """What has been made ready so far; `discard` throws it away."""

    work: Work
    plan: Plan
    stage: str
    backup: Backup | None = None
    generation: str | None = None  # that will be live
    built: str | None = None  # that this deployment made
    flip: Flip | None = None
    manifest: Manifest | None = None
    with_data: bool = False  # a restore that exchanges the data too
    reused: str | None = None  # the name of the prepared stage that this comes from

    def discard(self) -> None:
        """Back to nothing: the stage, the half-made generation and the backup of a state that is still live."""
        site = self.work.site
        with interruption.shield():  # a signal is what it may be for
            discard_leftovers(site, self.stage, self.built, self.backup.id if self.backup else None)


def discard_leftovers(site: Any, stage: str, built: str | None, backup: str | None) -> None:
    """Throw away what a deployment had prepared before it touched anything live."""
    git_dirs = {site.repository.git_dir, *module_folders(site.repository)}
    with suppress(GitDeployError):
        if (manifest := Manifest.read(site.state.stage / stage)) is not None:
            switch.release_locks(manifest)
            git_dirs |= {control.source for control in manifest.controls}
    staged.discard_stage(site.state.stage / stage, git_dirs)
    if built is not None:
        venvs.Builder(site.root, site.state.path, site.config.venv).discard(built)
    if backup is not None:
        drop_refs(site.repository, backup)
        store.remove(site.state.backups, backup, site.repository)
