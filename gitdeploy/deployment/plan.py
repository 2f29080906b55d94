"""The plan: facts read once, made into one frozen value. `plan` prints it, `upgrade` executes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import config as configuration
from gitdeploy import venvs
from gitdeploy.checkout.changes import FileChange, Policy, Problem, Target, TreePlan, plan_tree
from gitdeploy.checkout.durable import is_file
from gitdeploy.checkout.filters import filter_options, read_filtered, refuse_failed_filter
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.history import Commit, commits_between
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.lfs import lfs_findings
from gitdeploy.checkout.local import Local, read_local
from gitdeploy.checkout.sparse import left_out
from gitdeploy.config import Config
from gitdeploy.deployment import obstacles, plan_git, plan_hooks
from gitdeploy.deployment.data_moves import Move
from gitdeploy.deployment.data_open import look_open, open_paths
from gitdeploy.deployment.options import Options
from gitdeploy.deployment.plan_data import plan_data
from gitdeploy.deployment.plan_migrations import migrations_between
from gitdeploy.deployment.plan_services import staying_behind
from gitdeploy.deployment.plan_venv import VenvPlan, plan_venv
from gitdeploy.deployment.release import fetch_promised
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.hooks import Hook, find_hooks
from gitdeploy.migrations import Change
from gitdeploy.services import Service, open_services
from gitdeploy.text import count, path_text, size_text

UPGRADE_STAGES = ("pre-deploy", "build", "migrate", "post-deploy")
RESTORE_STAGES = ("pre-restore", "build", "post-restore")
LARGEST_READ = 1 << 20  # bytes of a file that is read whole


class Plan(Struct, frozen=True):
    """Everything a deployment will do, and what speaks against it."""

    action: str
    origin: Release3
    target: Release3
    local: Local
    goal: Target
    tree: TreePlan
    submodules: tuple[SubmodulePlan, ...]
    venv: VenvPlan | None
    hooks: Mapping[str, tuple[Hook, ...]]
    services: tuple[Service, ...]
    commits: tuple[Commit, ...]
    commit_count: int
    disk_needed: int
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    before: Config
    after: Config
    options: Options
    migrations: tuple[Change, ...] = ()
    unhealthy: str | None = None  # why what is live is not healthy, see preflight.py
    data: tuple[Move, ...] = ()  # what `restore --with-data` replaces

    @property
    def changes(self) -> tuple[FileChange, ...]:
        return self.tree.changes

    def files(self, kind: str) -> list[str]:
        """Paths that are added, changed or deleted, fit to show, submodules' included."""
        own = [path_text(change.path) for change in self.tree.changes if change.kind == kind]
        inner = [
            path_text(part.path + b"/" + change.path)
            for part in self.submodules
            for change in part.tree.changes
            if change.kind == kind
        ]
        return sorted(own + inner)

    @property
    def version_file(self) -> str | None:
        """The env file, where APP_VERSION in it will follow, and nothing else of it changes."""
        name = self.before.env_file
        if name is None or not any(c.path == os.fsencode(name) and c.content is not None for c in self.tree.changes):
            return None
        return path_text(name)

    @property
    def kept(self) -> list[str]:
        """Keep paths whose local content stays though the release has another, and the env file where it is one of them."""
        found = {path_text(path) for path in self.tree.kept}
        if self.version_file is not None and KeepPaths(self.before.git.keep).match(
            os.fsencode(self.before.env_file or "")
        ):
            found.add(self.version_file)
        return sorted(found)

    @property
    def nothing_to_do(self) -> bool:
        """The target is live already: same commit, no file to change, the same venv (a plain one counts as right)."""
        return (
            self.goal.commit == self.local.head
            and not self.tree.changes
            and not any(part.tree.changes for part in self.submodules)
            and (self.venv is None or self.venv.unchanged or self.venv.plain)
            and not self.options.rebuild_venv
        )

    @property
    def hook_changes(self) -> dict[str, str]:
        """Path of each hook that the target brings, changes or deletes -> added, changed, deleted."""
        return plan_hooks.changes(self.before.root, self.after.hooks.dir, self.tree, self.submodules)

    def headline(self) -> str:
        parts = [
            count(self.commit_count, "commit") if self.commit_count else "",
            count(len(self.tree.changes) + sum(len(part.tree.changes) for part in self.submodules), "file"),
        ]
        if self.venv is not None and not self.venv.unchanged:
            packages = len(self.venv.added) + len(self.venv.changed) + len(self.venv.removed)
            parts.append(count(packages, "package") if packages else "a new venv")
        return f"{self.before.app.name}  {self.origin.full} -> {self.target.full}    " + ", ".join(
            part for part in parts if part
        )

    def as_dict(self) -> dict[str, Any]:
        """The shape of `plan --json`."""
        requirements: dict[str, Any] = {"added": {}, "changed": {}, "removed": {}, "unchanged": True, "unpinned": {}}
        if self.venv is not None:
            requirements = {
                "added": dict(self.venv.added),
                "changed": {name: list(pair) for name, pair in self.venv.changed.items()},
                "removed": dict(self.venv.removed),
                "unchanged": self.venv.unchanged,
                "unpinned": dict(self.venv.requirements.unpinned),
            }
        return {
            "from": self.origin.as_dict(),
            "to": self.target.as_dict(),
            "commits": [{"id": c.id, "subject": c.subject, "author": c.author, "date": c.date} for c in self.commits],
            "files": {kind: self.files(kind) for kind in ("added", "changed", "deleted")},
            "requirements": requirements,
            "keep": self.kept,
            "kept_data": [path_text(path) for path in self.tree.kept_data],
            "merged": [path_text(path) for path in self.tree.merged],
            "local_changes": [path_text(path) for path in self.tree.saved],
            "hooks": {stage: [hook.name for hook in hooks] for stage, hooks in self.hooks.items()},
            "hook_changes": self.hook_changes,
            "migrations": [change.as_dict() for change in self.migrations],
            "data": [move.as_dict() for move in self.data],
            "service": [service.name for service in self.services],
            "disk_needed": self.disk_needed,
            "problems": [{"message": problem.message, "hint": problem.hint} for problem in self.problems],
            "warnings": list(self.warnings),
        }


class SubmodulePlan(Struct, frozen=True):
    """The share of one submodule; `created`: its repository has no work tree here yet."""

    path: bytes
    repository: Repository
    goal: Target
    tree: TreePlan
    old_head: str
    created: bool
    control: bool


class TargetFiles(Struct, frozen=True):
    """The checkout's files as they will be once the target is live, for whoever must read them before: those of the
    target's tree, and what stays on disk beside it (keep paths, untracked files such as an operator's own requirements)."""

    repository: Repository
    root: Path
    goal: Target
    tree: TreePlan
    filtered: bool = False  # filters of the operator's own make something else of what the release tracks

    def read(self, path: str) -> bytes | None:
        name = os.fsencode(path)
        change = next((change for change in self.tree.changes if change.path == name), None)
        if change is not None and change.content is not None:
            return change.content
        if change is not None:
            return None if change.kind == "deleted" else self._of_release(path)
        try:
            return self._on_disk(path) if self._stays(path) else self._of_release(path)
        except OSError as error:
            raise DeploymentFailed(
                f"{path_text(path)} can't be read: {error.strerror}.", "See who owns it and its mode (ls -l)."
            ) from error

    def _of_release(self, path: str) -> bytes | None:
        if self.filtered:
            return read_filtered(self.repository, self.goal.tree, [path]).get(path)
        return self.repository.read_blob(self.goal.tree, path)

    def _stays(self, path: str) -> bool:
        """A regular file inside the checkout: no link of a release leads its reader out. Raises `OSError`."""
        full = self.root / path
        return is_file(full) and Path(os.path.realpath(full)) == Path(os.path.realpath(self.root)) / path

    def _on_disk(self, path: str) -> bytes | None:
        full = self.root / path
        if full.stat().st_size > LARGEST_READ:
            raise DeploymentFailed(f"{path_text(path)} is larger than {size_text(LARGEST_READ)}.")
        return full.read_bytes()

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Write those files (None: all) below FOLDER, as git checks them out."""
        folder.mkdir(parents=True, exist_ok=True)
        index = folder.parent / f"{folder.name}.index"
        self.repository.output("read-tree", self.goal.tree, index=index, tied=True)
        words = ("checkout-index", "-f", "-a") if paths is None else ("checkout-index", "-f", "-z", "--stdin")
        stdin = None if paths is None else b"".join(os.fsencode(path) + b"\0" for path in paths)
        options = filter_options(self.repository)
        done = self.repository.run(*words, stdin=stdin, index=index, work_tree=folder, options=options, tied=True)
        refuse_failed_filter(done)
        done.check("Writing the release's files for its packages")
        index.unlink()


def make_plan(
    site: Site,
    action: str,
    goal: Target,
    target: Release3,
    options: Options,
    *,
    kept_data: list[str],
    env_version: str | None,
    submodules: Mapping[bytes, Target] | None = None,
    generation: str | None = None,
    origin: Release3 | None = None,
) -> Plan:
    """Read the facts and make the plan. Changes nothing.

    origin: what is live, where that was found out already. kept_data: files that an earlier release stopped tracking. env_version: what APP_VERSION becomes. generation: of a
    restore, the venv generation that must be live (it is built anew where it is gone). submodules: of a restore, their
    recorded states.
    """
    from gitdeploy.checkout.submodules import plan_submodules

    repository, config = site.repository, site.config
    local = read_local(repository)
    if origin is None or origin.commit != local.head:
        origin = site.release_at(local.head)
    policy: Policy = options.local_changes or ("discard" if action == "restore" else _policy(config))
    keep = site.keep(kept_data, open_paths(site, opened := look_open(site)))
    settings = repository.config(plan_git.ASKED)
    if plan_git.is_on(settings, "core.sparsecheckout"):
        goal = replace(goal, left_out=left_out(repository, local, goal.index_tree))
    tree = plan_tree(
        repository,
        local,
        goal,
        keep=keep,
        policy=policy,
        forbidden=site.forbidden(),
        keep_dropped=action == "upgrade",
    )
    fetch_promised(site, goal.tree, {change.oid for change in tree.changes if change.oid})
    reader = TargetFiles(repository, site.root, goal, tree, filtered=plan_git.is_filtered(settings))
    problems = [
        *obstacles.repository_problems(site),
        *plan_git.setting_problems(repository, settings),
        *plan_git.link_problems(settings, local, tree),
        *plan_git.filter_problems(repository, settings, goal.tree),
        *obstacles.absent_problems(site, tree),
        *tree.problems,
    ]
    warnings: list[str] = []
    if action == "upgrade" and policy != "discard":
        problems += obstacles.local_commit_problems(repository, local, goal)
    problems += obstacles.env_problems(site, tree, reader)
    tree = _with_version(site, tree, env_version, warnings)
    parts: tuple[SubmodulePlan, ...] = ()
    if tree.submodules and config.git.submodules != "never":
        inner, inner_problems = plan_submodules(site.repository, tree.submodules, goal.tree, policy, submodules or {})
        parts = tuple(SubmodulePlan(*part) for part in inner)
        problems += inner_problems
    for holder, goal_tree, changes, remote in (
        (repository, goal.tree, tree.changes, config.source.remote),
        *((part.repository, part.goal.tree, part.tree.changes, "origin") for part in parts),
    ):
        lfs_problems, lfs_warnings = lfs_findings(holder, goal_tree, changes, remote)
        problems += lfs_problems
        warnings += lfs_warnings
    after = _with_new_requirements(_config_after(site, tree, reader), tree)
    reader = replace(reader, tree=tree)
    venv = plan_venv(site, action, after, reader, generation, options, problems)
    stages = UPGRADE_STAGES if action == "upgrade" else RESTORE_STAGES
    # Before the switch the live release's own hooks run, after it the target's.
    hooks = {s: find_hooks(site.root, (config if s.startswith("pre-") else after).hooks, s) for s in stages}
    hooks = hooks if options.hooks else {}
    hooks = plan_hooks.as_they_will_be(hooks, site.root, after.hooks.dir, tree, parts)
    hooks = {stage: found for stage, found in hooks.items() if found}
    if options.hooks:
        problem, warning = plan_hooks.not_asked_for(site, action, after, tree)
        problems += problem
        warnings += warning
    for found in hooks.values():
        problems += [Problem(hook.problem, "", False) for hook in found if hook.problem]
    services: tuple[Service, ...] = ()
    if options.restart:
        services = open_services(config.service, site.root)
        problems += [Problem(message, hint) for service in services for message, hint in service.problems()]
        venv_changes = venv is not None and not venv.unchanged
        behind, doubtful = staying_behind(site, services, venv_changes=venv_changes)
        problems += behind
        warnings += doubtful
    migrations = migrations_between(repository, repository.tree_of(local.head), goal.tree)
    warnings += [warning for change in migrations for warning in change.warnings]
    data = plan_data(site, opened, tree, after, migrates=action == "upgrade" and "migrate" in hooks)
    problems += data.problems
    warnings += data.warnings
    needed = (
        obstacles.disk_needed(site, tree, parts) + obstacles.venv_disk_needed(site, after, venv, options) + data.needed
    )
    problems += obstacles.disk_problems(site, needed, len(tree.changes))
    problems += obstacles.ownership_problems(site, tree, parts)
    commits, commit_count = commits_between(repository, local.head, goal.commit)
    return Plan(
        action,
        origin,
        target,
        local,
        goal,
        tree,
        parts,
        venv,
        hooks,
        services,
        commits,
        commit_count,
        needed,
        tuple(problems),
        tuple(warnings),
        config,
        after,
        options,
        migrations,
    )


# ---- what else changes ----


def _with_version(site: Site, tree: TreePlan, version: str | None, warnings: list[str]) -> TreePlan:
    """APP_VERSION in the env file follows the live version: one more file of the switch."""
    env = site.env_file()
    if env is None or version is None or env.get("APP_VERSION") in (None, version):
        return tree
    name = site.config.env_file or ""
    full = site.root / name
    if full.is_symlink() or not full.is_file():
        warnings.append(f"{path_text(name)} is a symbolic link: APP_VERSION in it is not changed.")
        return tree
    path = os.fsencode(name)
    found = full.stat()
    try:
        content = env.with_value("APP_VERSION", version)
    except GitDeployError as error:
        warnings.append(error.message)
        return tree
    change = FileChange(
        path,
        "changed",
        0o100755 if found.st_mode & 0o100 else 0o100644,
        content=content,
        seen=(found.st_ino, found.st_size, found.st_mtime_ns),
    )
    others = [c for c in tree.changes if c.path != path]
    return replace(tree, changes=tuple(sorted((*others, change), key=lambda c: c.path)))


def _config_after(site: Site, tree: TreePlan, reader: TargetFiles) -> Config:
    """The configuration that holds once the target is live: its own deploy.yaml where the release brings one."""
    file = site.config.file
    if file is not None and not file.is_relative_to(site.root):
        return site.config
    name = str(file.relative_to(site.root)) if file is not None else "deploy.yaml"
    changed = {change.path: change for change in tree.changes}
    change = changed.get(os.fsencode(name))
    if change is None:
        return site.config
    if change.kind == "deleted":
        return configuration.parse(b"", root=site.root, name=name)
    content = reader.read(name)
    return configuration.parse(content or b"", root=site.root, name=f"{name} of the release", file=site.root / name)


def _with_new_requirements(config: Config, tree: TreePlan) -> Config:
    """Where nothing names requirements files, requirements.txt is one; the target may be the first to bring it."""
    brings = any((change.path, change.kind) == (b"requirements.txt", "added") for change in tree.changes)
    if config.venv.requirements or not brings or config.where.get("venv.requirements", "default") != "default":
        return config
    return replace(config, venv=replace(config.venv, requirements=venvs.DEFAULT_FILES))


def _policy(config: Config) -> Policy:
    word = config.git.local_changes
    return "merge" if word == "merge" else "discard" if word == "discard" else "refuse"
