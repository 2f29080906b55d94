"""The plan: facts read once, made into one frozen value. `plan` prints it, `upgrade` executes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from gitdeploy.checkout import preconditions
from gitdeploy.checkout.changes import FileChange, Policy, Problem, Target, TreePlan
from gitdeploy.checkout.envpath import EnvPath
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.history import Commit, History, commits_between
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.lfs import lfs_findings
from gitdeploy.checkout.local import Local, read_local
from gitdeploy.checkout.modules import configured_url
from gitdeploy.checkout.origins import Origins
from gitdeploy.checkout.plan import CheckoutPlan, plan_checkout
from gitdeploy.checkout.sparse import left_out
from gitdeploy.checkout.submodules import Rules
from gitdeploy.config import Config
from gitdeploy.deployment.plan import hooks as plan_hooks
from gitdeploy.deployment.plan import obstacles
from gitdeploy.deployment.plan.config_after import config_after
from gitdeploy.deployment.plan.copies import Copies, copies_ahead
from gitdeploy.deployment.plan.data import plan_data
from gitdeploy.deployment.plan.data_moves import Move
from gitdeploy.deployment.plan.migrations import migrations_between, nothing_runs_it
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.policy import changes_as_dicts, policy_findings, with_signers
from gitdeploy.deployment.plan.services import staying_behind
from gitdeploy.deployment.plan.settings_lost import settings_lost
from gitdeploy.deployment.plan.stops import Hop
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.deployment.plan.took import Took
from gitdeploy.deployment.plan.unlisted import not_installed
from gitdeploy.deployment.plan.venv import VenvPlan, plan_venv
from gitdeploy.errors import DeploymentFailed, PolicyError
from gitdeploy.hooks.running import MIGRATE_AFTER, Hook, find_hooks
from gitdeploy.messages import joined, said, tr
from gitdeploy.migrations import Change, second_half
from gitdeploy.services import Service, open_services
from gitdeploy.services.loads import Load
from gitdeploy.site.data_open import look_open, open_paths
from gitdeploy.site.rehearsals import Known
from gitdeploy.site.remotes import fetch_places, fetch_promised
from gitdeploy.site.site import Site
from gitdeploy.text import count, path_text, shell_word
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.checkout.modules import Recorded
    from gitdeploy.checkout.submodules import Mode
    from gitdeploy.sources import ReleaseNotes

UPGRADE_STAGES = ("check", "pre-deploy", "build", "migrate", "post-deploy", MIGRATE_AFTER)
RESTORE_STAGES = ("pre-restore", "build", "post-restore")


class Plan(Struct, frozen=True):
    """Everything a deployment will do, and what speaks against it."""

    action: str
    origin: CodeState
    target: CodeState
    local: Local
    goal: Target
    checkout: CheckoutPlan
    venv: VenvPlan | None
    hooks: Mapping[str, tuple[Hook, ...]]
    services: tuple[Service, ...]
    history: History
    disk_needed: int
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    before: Config
    after: Config
    options: Options
    migrations: tuple[Change, ...] = ()
    unhealthy: str | None = None  # why what is live is not healthy, see preflight.py
    data: tuple[Move, ...] = ()  # what `restore --with-data` replaces
    remembered: tuple[str, ...] = ()  # what is known here against the release: it failed, it is skipped
    brought: tuple[bytes, ...] = ()  # files with settings in them that come with the target
    releases: tuple[ReleaseNotes, ...] = ()  # those that come with it, with their notes, the target first
    loads: tuple[Load, ...] = ()  # what the service starts, which is loaded beside the live app before the switch
    hops: tuple[Hop, ...] = ()  # the deployments that lead there, the target the last; empty where one is enough
    took: tuple[Took, ...] = ()  # its long steps, as long as they took the last time
    rehearsal: Known | None = None  # what its last rehearsal here came to
    copies: Copies = Copies()  # the files that go into its backup
    signed: int = 0  # when the release's signed tag was made, seconds since 1970; 0: no signature was wanted

    @property
    def tree(self) -> TreePlan:
        return self.checkout.tree

    @property
    def changes(self) -> tuple[FileChange, ...]:
        return self.tree.changes

    def files(self, kind: str) -> list[str]:
        """Paths that are added, changed or deleted, fit to show, submodules' included."""
        return sorted(path_text(change.path) for change in self.tree.changes if change.kind == kind)

    @property
    def version_file(self) -> str | None:
        """The env file, where APP_VERSION in it will follow, and nothing else of it changes."""
        return path_text(self.tree.version_file) if self.tree.version_file is not None else None

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
    def halves(self) -> bool:
        """Whether the release marks its migrations in two halves: what the first did, the old release can live with."""
        return self.action == "upgrade" and MIGRATE_AFTER in self.hooks

    @property
    def half_waits(self) -> str:
        """Why the second half does not run at the end of the upgrade; empty where it does."""
        if self.after.hooks.contract == "later":
            return tr("hooks.contract: later, so by `gitdeploy contract`")
        if self.options.half:
            return tr("--migrate first, so by `gitdeploy contract`")
        if not self.services or not self.options.restart:
            return tr("gitdeploy restarts nothing, so by `gitdeploy contract`")
        return ""

    @property
    def exit_code(self) -> int:
        """What the deployment would end with for its problems: 7 where policy refuses it, else 1; 0 without any."""
        if any(problem.refused for problem in self.problems):
            return PolicyError.exit_code
        return DeploymentFailed.exit_code if self.problems else 0

    @property
    def nothing_to_do(self) -> bool:
        """The target is live already: same commit, no file to change, the same venv (a plain one counts as right)."""
        return (
            self.goal.commit == self.local.head
            and not self.tree.changes
            and not self.checkout.submodules
            and (self.venv is None or self.venv.unchanged or (self.venv.plain and self.venv.python is None))
            and not self.options.rebuild_venv
        )

    @property
    def commits(self) -> Sequence[Commit]:
        """What the target has and the live release doesn't, newest first; read from the repository when it is asked for."""
        return self.history.commits

    @property
    def commit_count(self) -> int:
        return self.history.count

    @property
    def hook_changes(self) -> dict[str, str]:
        """Path of each hook that the target brings, changes or deletes -> added, changed, deleted."""
        return plan_hooks.changes(self.before.root, self.after.hooks.dir, self.tree)

    def headline(self) -> str:
        parts = [
            count(self.commit_count, "commit") if self.commit_count else "",
            count(len(self.tree.changes), "file"),
        ]
        if self.venv is not None and not self.venv.unchanged:
            packages = len(self.venv.added) + len(self.venv.changed) + len(self.venv.removed)
            parts.append(count(packages, "package") if packages else tr("a new venv"))
        return f"{self.before.app.name}  {self.origin.full} -> {self.target.full}    " + joined(
            ", ", (part for part in parts if part)
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
            "commits": [to_builtins(commit) for commit in self.commits],
            "files": {kind: self.files(kind) for kind in ("added", "changed", "deleted")},
            "requirements": requirements,
            "keep": self.kept,
            "kept_data": [path_text(path) for path in self.tree.kept_data],
            "merged": [path_text(path) for path in self.tree.merged],
            "local_changes": [path_text(path) for path in self.tree.saved],
            "hops": [hop.as_dict() for hop in self.hops],
            "releases": [to_builtins(release) for release in self.releases],
            "hooks": {stage: [hook.name for hook in hooks] for stage, hooks in self.hooks.items()},
            "hook_changes": self.hook_changes,
            "import_test": [load.shown for load in self.loads],
            "migrations": [change.as_dict() for change in self.migrations],
            "second_half": sorted(second_half(self.migrations, self.after.hooks.contract_migrations)),
            "contract": ("later" if self.half_waits else "now") if self.halves else None,
            "data": [move.as_dict() for move in self.data],
            "service": [service.name for service in self.services],
            "disk_needed": self.disk_needed,
            "copies": self.copies.as_dict(),
            "last_took": [each.as_dict() for each in self.took],
            "problems": [{**said(problem.message), **said(problem.hint, "hint")} for problem in self.problems],
            "config_changes": changes_as_dicts(self.after),
            "warnings": list(self.warnings),
            "remembered": list(self.remembered),
            "rehearsal": self.rehearsal.as_dict() if self.rehearsal is not None else None,
        }


def make_plan(
    site: Site,
    action: str,
    goal: Target,
    target: CodeState,
    options: Options,
    *,
    kept_data: list[str],
    env_version: str | None,
    submodules: Mapping[bytes, Recorded] | None = None,
    all_submodules: bool = False,
    generation: str | None = None,
    origin: CodeState | None = None,
) -> Plan:
    """Read the facts and make the plan. Changes nothing.

    origin: what is live, where that was found out already. kept_data: files that an earlier release stopped tracking. env_version: what APP_VERSION becomes. generation: of a
    restore, the venv generation that must be live (it is built anew where it is gone). submodules: of a restore, their
    recorded states, and whether those are all.
    """
    repository, config = site.repository, site.config
    local = read_local(repository)
    if origin is None or origin.commit != local.head:
        origin = site.release_at(local.head)
    policy: Policy = options.local_changes or ("discard" if action == "restore" else _policy(config))
    keep = site.keep(kept_data, open_paths(site, opened := look_open(site)))
    settings = repository.config(preconditions.ASKED)
    if preconditions.is_on(settings, "core.sparsecheckout"):
        goal = replace(goal, left_out=left_out(repository, local, goal.index_tree))
    env = _env_path(site, env_version)
    rules = partial(submodule_rules, site, keep, policy, submodules, all_submodules)
    checkout = _checkout(site, action, local, goal, keep, policy, rules, env)
    tree = checkout.tree
    reader = TargetFiles(repository, site.root, goal, checkout, filtered=preconditions.is_filtered(settings))
    said = _Said()
    _look_at_checkout(site, local, goal, checkout, settings, env, said)
    if action == "upgrade":
        said.add(obstacles.local_commit_problems(repository, local, goal) if policy != "discard" else ())
        said.add((), settings_lost(site, local, goal, policy, keep))
    said.add(obstacles.env_problems(site, checkout, reader))
    after = config_after(site, tree, reader, options.accept_config)
    after, brought = with_signers(site, after, tree, reader, options.accept_config)
    said.add(*policy_findings(site, action, local.head, target, after))
    venv = plan_venv(site, after, reader, generation, options, said.problems)
    said.add((), not_installed(repository, (repository.tree_of(local.head), goal.tree), tree, venv))
    hooks = _hooks(site, action, after, tree, said) if options.hooks else {}
    if not options.migrate:
        hooks = {stage: each for stage, each in hooks.items() if stage not in ("migrate", MIGRATE_AFTER)}
    services = _services(site, venv, said) if options.restart else ()
    migrations = _migrations(repository, local, goal, after, hooks, said)
    migrates = action == "upgrade" and "migrate" in hooks
    data = plan_data(site, opened, tree, after, migrates=migrates, dumps=options.migrate, halves=MIGRATE_AFTER in hooks)
    said.add(data.problems, data.warnings)
    copies = copies_ahead(site)
    needed = (
        obstacles.disk_needed(checkout, copies) + obstacles.venv_disk_needed(site, after, venv, options) + data.needed
    )
    said.add(obstacles.disk_problems(site, needed, len(tree.changes)), copies.warnings)
    said.add(obstacles.ownership_problems(site, checkout))
    return Plan(
        action=action, origin=origin, target=target, local=local, goal=goal, checkout=checkout, venv=venv,
        hooks=hooks, services=services, history=commits_between(repository, local.head, goal.commit),
        disk_needed=needed, problems=tuple(said.problems), warnings=tuple(said.warnings), before=config,
        after=after, options=options, migrations=migrations, brought=brought, loads=_loads(site, action, services, venv), copies=copies,
    )  # fmt: skip


def _checkout(
    site: Site,
    action: str,
    local: Local,
    goal: Target,
    keep: KeepPaths,
    policy: Policy,
    rules: Callable[[], Rules],
    env: EnvPath | None,
) -> CheckoutPlan:
    """What happens to the files; what of GOAL a partial clone has left out is here then."""
    checkout = plan_checkout(
        site.repository,
        local,
        goal,
        keep=keep,
        policy=policy,
        rules=rules,
        forbidden=site.forbidden(),
        keep_dropped=action == "upgrade",
        env=env,
    )
    changes = checkout.tree.changes
    fetch_promised(site, goal.tree, {change.oid for change in changes if change.oid and not change.owner})
    return checkout


class _Said(Struct):
    """What speaks against the plan, and what else there is to say of it, in the order in which it was found."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, problems: Iterable[Problem], warnings: Iterable[str] = ()) -> None:
        self.problems += problems
        self.warnings += warnings


def _look_at_checkout(
    site: Site,
    local: Local,
    goal: Target,
    checkout: CheckoutPlan,
    settings: preconditions.Settings,
    env: EnvPath | None,
    said: _Said,
) -> None:
    """git's settings, the repository and the paths themselves."""
    absent, missing = obstacles.absent_settings(site, checkout.tree)
    said.add(obstacles.repository_problems(site))
    said.add(preconditions.setting_problems(site.repository, settings))
    said.add(preconditions.link_problems(settings, local, checkout.tree))
    said.add(preconditions.filter_problems(site.repository, settings, goal.tree))
    said.add(absent)
    said.add(checkout.tree.problems, [*checkout.warnings, *missing, *(env.warnings if env is not None else ())])
    for holder, goal_tree, remote, changes, at in _lfs_places(site, goal, checkout):
        said.add(*lfs_findings(holder, goal_tree, changes, remote, at))


def _hooks(site: Site, action: str, after: Config, tree: TreePlan, said: _Said) -> dict[str, tuple[Hook, ...]]:
    """Event -> its hooks: before the switch the live release's own run, after it those of AFTER, the target."""
    stages = UPGRADE_STAGES if action == "upgrade" else RESTORE_STAGES
    found = {s: find_hooks(site.root, (site.config if s.startswith("pre-") else after).hooks, s) for s in stages}
    coming = plan_hooks.as_they_will_be(found, site.root, after.hooks.dir, tree)
    hooks = {stage: each for stage, each in coming.items() if each}
    said.add(*plan_hooks.not_asked_for(site, action, after, tree))
    said.add(Problem(hook.problem, "", False) for each in hooks.values() for hook in each if hook.problem)
    return hooks


def _migrations(
    repository: Repository,
    local: Local,
    goal: Target,
    after: Config,
    hooks: Mapping[str, tuple[Hook, ...]],
    said: _Said,
) -> tuple[Change, ...]:
    changes = migrations_between(repository, repository.tree_of(local.head), goal.tree)
    said.add((), [warning for change in changes for warning in change.warnings])
    said.add((), nothing_runs_it(changes, after.hooks.contract_migrations, hooks))
    return changes


def _loads(site: Site, action: str, services: Sequence[Service], venv: VenvPlan | None) -> tuple[Load, ...]:
    if (
        action != "upgrade"
        or venv is None
        or site.venv_link is None
        or not site.config.service.import_test
        or not services
    ):
        return ()
    from gitdeploy.services.starts import loaded_by

    return loaded_by(services, site.root, site.venv_link)


def _services(site: Site, venv: VenvPlan | None, said: _Said) -> tuple[Service, ...]:
    services = open_services(site.config.service, site.root)
    said.add(Problem(message, hint) for service in services for message, hint in service.problems())
    said.add(*staying_behind(site, services, venv_changes=venv is not None and not venv.unchanged))
    return services


# ---- what else changes ----


def _env_path(site: Site, version: str | None) -> EnvPath | None:
    """The env file, whose APP_VERSION is to be VERSION."""
    name = site.config.env_file
    return EnvPath(os.fsencode(name), version) if name else None


def submodule_rules(
    site: Site,
    keep: KeepPaths,
    policy: Policy,
    recorded: Mapping[bytes, Recorded] | None,
    complete: bool,
) -> Rules:
    """How the submodules of this checkout are treated, and what fetches them."""
    remote, credentials = fetch_places(site)[0]
    app = configured_url(site.repository, remote)
    return Rules(
        submodule_mode(site.config.git.submodules), policy, keep, Origins(app, credentials), recorded, complete
    )


def _lfs_places(
    site: Site, goal: Target, checkout: CheckoutPlan
) -> Iterator[tuple[Repository, str, str, tuple[FileChange, ...], str | None]]:
    """Whose use of Git LFS is looked at: repository, tree, remote, what changes of it (with its own paths), how git is
    told to work there; None where it isn't here yet."""
    yield (
        site.repository, goal.tree, site.config.source.remote, tuple(c for c in checkout.tree.changes if not c.owner), ""
    )  # fmt: skip
    for part in checkout.submodules:
        if part.goal is not None:
            at = f"-C {shell_word(part.path)} " if part.held else f"--git-dir={shell_word(str(part.source))} "
            yield part.objects, part.goal.tree, "origin", checkout.of_owner(part.path), None if part.created else at


def submodule_mode(word: str) -> Mode:
    return "always" if word == "always" else "never" if word == "never" else "auto"


def _policy(config: Config) -> Policy:
    word = config.git.local_changes
    return "merge" if word == "merge" else "discard" if word == "discard" else "refuse"
