"""Running things of the release in a copy beside the live app: the copy itself, what hooks are told there, their environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups.store import REFS
from gitdeploy.checkout.changes import list_tree
from gitdeploy.checkout.manifest import Item
from gitdeploy.config import Config
from gitdeploy.deployment.live.live import CHANGED_FILES
from gitdeploy.deployment.prepare.beside import Whole, copy_beside, moved
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.errors import DeploymentFailed
from gitdeploy.hooks.running import Hook, HookContext, find_hooks, hook_environment, run_hooks
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import hook_caller, withheld
from gitdeploy.system.inside import require_inside


def make_copy(preparation: Preparation, folder: Path, *, new: bool, whole: Whole | None = None) -> str | None:
    """Make FOLDER a copy of the checkout: as it will be (NEW), or as it is now. None, or why there is none."""
    plan, site = preparation.plan, preparation.work.site
    assert preparation.manifest is not None
    items: tuple[Item, ...] = preparation.manifest.items if new else ()
    tracked: list[bytes] = []
    for prefix, each in plan.checkout.owners.items():
        if each.target is not None:
            inside = list_tree(each.repository, each.target.tree)
            tracked += [prefix + b"/" + path if prefix else path for path in inside]
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        copy_beside(site.root, folder, tracked, items, whole)
        link_venv(preparation, folder, new=new)
    except OSError as error:
        return tr("a copy of the checkout can't be made ({strerror})", strerror=error.strerror)
    except DeploymentFailed as error:
        return error.message
    return None


def link_venv(preparation: Preparation, folder: Path, *, new: bool) -> None:
    """In the copy FOLDER, the venv that will be live, or that is, in its place. Raises `DeploymentFailed`, `OSError`."""
    plan, site = preparation.plan, preparation.work.site
    if site.venv_link is None or plan.venv is None:
        return
    generation = preparation.generation
    venv = site.state.venvs / generation if new and generation is not None else plan.venv.live.real
    link = folder / os.path.relpath(site.venv_link, site.root)
    require_inside(link, folder)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(venv)


def caller_in(preparation: Preparation, copy: Path) -> dict[str, str]:
    """The environment that hooks are started from; a path of the checkout is one of COPY."""
    site = preparation.work.site
    return {name: moved(value, site.root, copy) for name, value in hook_caller(site).items()}


class InCopy(Struct, frozen=True):
    """The copy COPY, in which things run from the environment `caller`. `around`: what a command is run as; `memory`: bytes that
    it may have; `rehearsal`: 1 where it is one."""

    preparation: Preparation
    copy: Path
    caller: Mapping[str, str]
    around: Callable[[Sequence[str]], Sequence[str]] = list
    memory: int = 0
    rehearsal: int | None = None

    @property
    def venv(self) -> Path | None:
        site = self.preparation.work.site
        return None if site.venv_link is None else self.copy / os.path.relpath(site.venv_link, site.root)

    @property
    def secrets(self) -> frozenset[str]:
        plan = self.preparation.plan
        return withheld(self.preparation.work.site, plan.before, plan.after)

    def environment(self, stage: str) -> dict[str, str]:
        """What a command of STAGE gets."""
        uid = self.preparation.work.site.root.stat().st_uid
        values = hook_environment(self.context(), stage, uid=uid, secrets=self.secrets, caller=self.caller)
        return {**values, "PYTHONDONTWRITEBYTECODE": "1"}

    def run_stage(self, config: Config, stage: str) -> list[str]:
        """Run the hooks of STAGE that CONFIG and the copy have; their names. Raises `HookFailed`."""
        found = [self._in_it(hook) for hook in find_hooks(self.copy, config.hooks, stage)]
        if found:
            run_hooks(
                found,
                self.context(),
                stage=stage,
                timeout=config.hooks.timeout,
                secrets=self.secrets,
                caller=self.caller,
                on_line=self.preparation.work.journal.output,
                around=self.around,
                memory=self.memory,
            )
        return [hook.name for hook in found]

    def _in_it(self, hook: Hook) -> Hook:
        """HOOK; where it is a command that names the checkout, this copy instead."""
        if hook.path is not None:
            return hook
        return replace(hook, argv=tuple(moved(word, self.preparation.work.site.root, self.copy) for word in hook.argv))

    def context(self) -> HookContext:
        plan, work, site = self.preparation.plan, self.preparation.work, self.preparation.work.site
        backup = self.preparation.backup.id if self.preparation.backup is not None else None
        files = site.state.stage / self.preparation.stage / CHANGED_FILES
        return HookContext(
            action=plan.action,
            app=site.name,
            root=self.copy,
            deployment=work.id,
            from_version=plan.origin.version,
            from_tag=plan.origin.tag,
            from_commit=plan.origin.commit,
            to_version=plan.target.version,
            to_tag=plan.target.tag,
            to_commit=plan.target.commit,
            backup=backup,
            backup_ref=REFS + backup if backup else None,
            backup_dir=site.state.backups / backup if backup else None,
            venv=self.venv,
            changed_files=files if files.exists() else None,
            performer=work.session.caller.performer,
            rehearsal=self.rehearsal,
            contract_migrations=" ".join(plan.after.hooks.contract_migrations),
        )
