"""What speaks against a deployment, found before anything is touched: git's own state, permissions, the disk, the env file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitdeploy import venvs
from gitdeploy.checkout.changes import Problem, Target, TreePlan
from gitdeploy.checkout.facts import unreadable
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.git_locks import is_stale
from gitdeploy.checkout.history import local_commits
from gitdeploy.checkout.local import Local, operation_under_way, stop_words
from gitdeploy.checkout.ownership import foreign, in_words
from gitdeploy.config import Config
from gitdeploy.config.envfile import EnvFile
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.prepared import is_built
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.site import unnamed_hooks
from gitdeploy.site.site import Site
from gitdeploy.state import RESERVE_SIZE
from gitdeploy.system.durable import exists, is_folder
from gitdeploy.text import count, listing, path_text, size_text

if TYPE_CHECKING:
    from gitdeploy.checkout.plan import CheckoutPlan
    from gitdeploy.deployment.plan.copies import Copies
    from gitdeploy.deployment.plan.target_files import TargetFiles
    from gitdeploy.deployment.plan.venv import VenvPlan

SPARE = 16 << 20  # bytes that are to stay free beside what is known to be needed; of a small disk a fiftieth


def repository_problems(site: Site) -> list[Problem]:
    repository = site.repository
    problems = []
    if word := operation_under_way(repository):
        problems.append(Problem(f"git is in the middle of a {word}.", stop_words(word)))
    problems += [
        Problem(
            tr("Another git is at work: {lock} is there.", lock=path_text(str(lock))),
            tr("Wait until it has ended; if none runs, `gitdeploy recover` removes a stale lock."),
        )
        for lock in repository.lock_files()
        if lock.name in ("index.lock", "HEAD.lock") and not is_stale(lock, site.root)  # what acts removes that
    ]
    return problems


def absent_settings(site: Site, tree: TreePlan) -> tuple[list[Problem], list[str]]:
    """Problems and warnings about what deploy.yaml names itself and neither the checkout nor the release has. An env file may
    hold the address of the app's database; a folder of hooks may be yet to come."""
    env, hooks = site.config.env_file, site.config.hooks.dir
    problems = [
        Problem(tr("env_file names {name}, which isn't there.", name=path_text(name)), tr("Make it (an empty one will do), or take the line out of deploy.yaml."))
        for name in _absent(site, tree, "env_file", env)
    ]  # fmt: skip
    warnings = [
        tr("hooks.dir names {name}, which isn't there: no hook of a folder runs.", name=path_text(name))
        for name in _absent(site, tree, "hooks.dir", hooks)
        if name not in unnamed_hooks.PROPOSED
        or unnamed_hooks.ran_before(site)  # `init` names one before there are hooks
    ]
    return problems, warnings


def _absent(site: Site, tree: TreePlan, key: str, name: str | None) -> list[str]:
    if not name or site.config.where.get(key, "default") == "default" or exists(site.root / name):
        return []
    coming = [os.fsdecode(change.path) for change in tree.changes if change.kind == "added"]
    return [] if any(path == name or path.startswith(f"{name}/") for path in coming) else [name]


def local_commit_problems(repository: Repository, local: Local, goal: Target) -> list[Problem]:
    commits = local_commits(repository, local.head, goal.commit)
    if not commits:
        return []
    subjects = listing([f"{commit.id[:7]} {commit.subject}" for commit in commits], 3)
    return [
        Problem(
            tr(
                "{count} made on this server, which the release doesn't have: {subjects}.",
                count=count(len(commits), "commit"),
                subjects=subjects,
            ),
            tr(
                "Push them and make a release of them, or go on without: --discard-local-changes (the backup holds them)."
            ),
            refused=True,
            ways=("discard",),
        )
    ]


def ownership_problems(site: Site, checkout: CheckoutPlan) -> list[Problem]:
    """Files and folders of somebody else's that are in the way of the switch."""
    state = [folder for folder in (site.state.path, site.state.stage, site.state.backups) if is_folder(folder)]
    found = foreign(site.repository, [change.path for change in checkout.tree.changes], state)
    for part in checkout.submodules:
        if part.held is not None:
            found += foreign(part.held.repository, [])
    return [Problem(*in_words(site.root, found))] if found else []


def venv_disk_needed(site: Site, after: Config, venv: VenvPlan | None, options: Options) -> int:
    if venv is None or venv.reuse is not None or _is_prepared(site, venv, options):
        return 0
    builder = venvs.Builder(site.root, site.state.path, after.venv)
    return builder.disk_needed(venv.live, venv.changed, venv.added, rebuild=venv.rebuild, downloaded=venv.downloaded)


def _is_prepared(site: Site, venv: VenvPlan, options: Options) -> bool:
    if not (site.state.stage.is_dir() and os.listdir(site.state.stage)):
        return False
    return is_built(site, venv, options)


def disk_needed(checkout: CheckoutPlan, copies: Copies) -> int:
    needed = copies.size  # all of it: a roll-back puts back beside what is there
    for prefix in {change.owner for change in checkout.tree.changes if change.oid}:
        blobs = {change.oid: change.path for change in checkout.of_owner(prefix) if change.oid}
        found = checkout.owners[prefix].repository.facts(list(blobs))
        for (oid, path), facts in zip(blobs.items(), found, strict=True):
            if facts is None:
                raise unreadable(
                    tr(
                        "{path} is in the release, but its object {oid} is missing here",
                        path=path_text(path),
                        oid=oid[:12],
                    )
                )
            needed += facts.size
    return needed


def disk_problems(site: Site, needed: int, files: int) -> list[Problem]:
    problems = []
    for place in {os.stat(place).st_dev: place for place in (site.repository.git_dir, site.root)}.values():
        found = os.statvfs(place)
        free = found.f_bavail * found.f_frsize
        wanted = needed + min(SPARE, found.f_blocks * found.f_frsize // 50)
        if site.state.exists() and not site.state.has_reserve():
            wanted += RESERVE_SIZE  # given up on a full disk: to be held back again before anything begins
        if free < wanted:
            problems.append(
                Problem(
                    tr(
                        "Too little space on the disk of {place}: {free} free, {wanted} needed.",
                        place=path_text(str(place)),
                        free=size_text(free),
                        wanted=size_text(wanted),
                    ),
                    tr("Make room. To drop old backups: gitdeploy prune --keep 1"),
                )
            )
        if found.f_files and found.f_favail < 4 * files + 200:
            problems.append(
                Problem(
                    tr(
                        "Too few inodes on the file system of {place}: {f_favail} free.",
                        place=path_text(str(place)),
                        f_favail=found.f_favail,
                    ),
                    tr("Delete small files you don't need (old sessions, caches)."),
                )
            )
    return problems


def env_problems(site: Site, checkout: CheckoutPlan, reader: TargetFiles) -> list[Problem]:
    """An env file of the release's own that nobody could read once it is live, gitdeploy included."""
    name = site.config.env_file or ""
    change = next((c for c in checkout.tree.changes if c.path == os.fsencode(name) and c.kind != "deleted"), None)
    if change is None:
        return []
    try:
        if change.mode not in (0o100644, 0o100755):
            raise ConfigError(tr("{name} is not a plain file in it.", name=path_text(name)))
        if change.content is None:
            EnvFile.parse(reader.read(name) or b"", name)
    except ConfigError as error:
        return [
            Problem(
                tr(
                    "The release brings {name}, which can't be read: {message}",
                    name=path_text(name),
                    message=error.message,
                ),
                error.hint,
            )
        ]
    return []
