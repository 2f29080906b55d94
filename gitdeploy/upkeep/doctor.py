"""Everything that an upgrade needs, looked at before one is needed: a sentence each on what is wrong and what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime

from gitdeploy import health
from gitdeploy.backups import encryption, store
from gitdeploy.checkout import preconditions
from gitdeploy.checkout.facts import FormatUnknown, ObjectsUnreadable, refetch
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import read_local
from gitdeploy.checkout.login import names_with_password
from gitdeploy.checkout.ownership import foreign, in_words
from gitdeploy.errors import GitDeployError
from gitdeploy.hooks import running
from gitdeploy.messages import tr
from gitdeploy.services import open_services
from gitdeploy.site import unnamed_hooks
from gitdeploy.site.app_environment import check_environment
from gitdeploy.site.site import Site, head_of
from gitdeploy.state import Database, DeploymentLock
from gitdeploy.system.durable import is_folder
from gitdeploy.system.mounts import mount_of
from gitdeploy.system.ourselves import user_word
from gitdeploy.text import clean, count, duration_text, listing, path_text, shell_word, size_text
from gitdeploy.upkeep.doctor_data import look_at_data
from gitdeploy.upkeep.doctor_git import look_at_git, look_at_objects
from gitdeploy.upkeep.doctor_venv import look_at_venv
from gitdeploy.upkeep.encrypting import identity_of, not_encrypted
from gitdeploy.upkeep.finding import Finding, Level
from gitdeploy.upkeep.updates import check

LITTLE_SPACE = 500 << 20  # bytes free on the checkout's disk under which doctor warns


def examine(site: Site, *, only: Collection[str] = ()) -> Iterator[Finding]:
    """Look at everything (or ONLY at some of it), in the order in which an upgrade needs it. Changes nothing but the cache of
    the sources."""
    for about, look in _LOOKS.items():
        if only and about not in only:
            continue
        try:
            found = list(look(site))
        except GitDeployError as error:
            found = [Finding(about, "problem", error.message, error.hint)]
        except OSError as error:
            name = (
                tr("{filename}: ", filename=path_text(error.filename))
                if isinstance(error.filename, str | bytes)
                else ""
            )
            found = [
                Finding(
                    about,
                    "problem",
                    tr("{name}{strerror}.", name=name, strerror=error.strerror),
                    tr("See who owns it and its mode (ls -l)."),
                )
            ]
        yield from found


def _owner(site: Site) -> Iterator[Finding]:
    paths = [path for path, _ in read_local(site.repository).tracked]
    state = [folder for folder in (site.state.path, site.state.stage, site.state.backups) if is_folder(folder)]
    unchangeable = foreign(site.repository, paths, state)
    if os.statvfs(site.root).f_flag & os.ST_RDONLY:  # `_disk` says it of all of them
        unchangeable = [each for each in unchangeable if each.by != "read-only"]
    if unchangeable:
        yield Finding("owner", "problem", *in_words(site.root, unchangeable))
        return
    owner = site.root.stat().st_uid
    found = [
        (path_text(entry.name), uid)
        for folder in (site.root, site.repository.git_dir)
        for entry in os.scandir(folder)
        if (uid := entry.stat(follow_symlinks=False).st_uid) != owner
    ]
    if found:
        others, uids = [name for name, _ in found], {uid for _, uid in found}
        only = f"--from={user_word(uids.pop())} " if len(uids) == 1 else ""
        yield Finding(
            "owner",
            "warning",
            tr(
                "Not everything belongs to the owner of {root}: {others}.",
                root=path_text(str(site.root)),
                others=listing(others, 5),
            ),
            tr(
                "As root: chown -Rh {only}{user_word} {root}",
                only=only,
                user_word=user_word(owner),
                root=shell_word(str(site.root)),
            ),
        )
    else:
        yield Finding("owner", "ok", tr("The checkout has one owner."))


def _settings(site: Site) -> Iterator[Finding]:
    repository = site.repository
    settings = repository.config(preconditions.ASKED)
    tree = repository.tree_of("HEAD") if settings else ""
    wrong = preconditions.setting_problems(repository, settings)
    wrong += preconditions.filter_problems(repository, settings, tree) if settings else []
    yield from (Finding("settings", "problem", problem.message, problem.hint) for problem in wrong)
    with_password = names_with_password(repository)
    for name, bare in with_password:
        yield Finding(
            "settings",
            "warning",
            tr(
                "The URL of the remote {name} holds a password. gitdeploy keeps it out of command lines; git, typed by hand, "
                "shows it to every user of this machine.",
                name=clean(name),
            ),
            tr(
                "Name a variable that holds it (git: {{token_env: NAME}} in deploy.yaml), then: git remote set-url {name} {bare}",
                name=shell_word(name),
                bare=shell_word(bare),
            ),
        )
    if not wrong and not with_password:
        yield Finding("settings", "ok", tr("None of git's settings blocks an upgrade."))


def _pinned(site: Site) -> Iterator[Finding]:
    """Settings that a release's files say otherwise than what is pinned on this server."""
    for each in site.config.overruled:
        yield Finding(
            "pinned",
            "warning",
            tr(
                "`{key}` is pinned on this server: {pinned}; {file} says {said}, which doesn't count.",
                key=each.key,
                pinned=each.pinned,
                file=each.file,
                said=each.said,
            ),
            tr("To pin what the file says: gitdeploy config accept {key}", key=each.key),
        )
    if site.config.git.verify == "gpg" and not site.config.git.fingerprints:
        yield Finding(
            "pinned",
            "warning",
            tr("git.fingerprints lists no key: only the one that signed what is live counts."),
            tr("List those that sign releases: git: {{fingerprints: [...]}} in deploy.yaml"),
        )


def _disk(site: Site) -> Iterator[Finding]:
    found = os.statvfs(site.root)
    free = found.f_bavail * found.f_frsize
    if found.f_flag & os.ST_RDONLY:
        yield Finding(
            "disk",
            "problem",
            tr("The checkout's file system is read-only."),
            tr("dmesg says why. As root: mount -o remount,rw {mount}", mount=shell_word(str(mount_of(site.root)))),
        )
    elif free < LITTLE_SPACE:
        yield Finding(
            "disk",
            "warning",
            tr("{free} free on the checkout's disk.", free=size_text(free)),
            tr("To see which old backups could go: gitdeploy prune --keep 1 --dry-run"),
        )
    elif found.f_files and found.f_favail < found.f_files // 50:
        yield Finding(
            "disk",
            "warning",
            tr("{f_favail} inodes free on the checkout's disk.", f_favail=found.f_favail),
            tr("Delete small files (caches)."),
        )
    else:
        yield Finding("disk", "ok", tr("{free} free.", free=size_text(free)))


def _state(site: Site) -> Iterator[Finding]:
    if not site.state.exists():
        yield Finding("state", "ok", tr("No deployment yet."))
        return
    database = Database.read(site.state.database)
    if database is not None:
        with database:
            unfinished = database.unfinished()
            newest = database.deployments(1)
        if unfinished and DeploymentLock(site.state.lock).holder() is None:
            yield Finding(
                "state",
                "problem",
                tr("Deployment {id} was interrupted.", id=unfinished[-1].id),
                tr("Put it right: gitdeploy recover"),
            )
        ahead = (datetime.fromisoformat(newest[0].started_at) - datetime.now(UTC)).total_seconds() if newest else 0
        if ahead > 60:
            yield Finding(
                "clock",
                "warning",
                tr("The clock is {ahead} behind the start of the last deployment.", ahead=duration_text(ahead)),
                tr("Set it: timedatectl set-ntp true"),
            )
    good, damaged = store.read_all(site.state.backups)
    for entry in damaged:
        yield Finding(
            "backups",
            "problem",
            tr("Backup {entry} can't be used: {problem}.", entry=entry.id, problem=clean(entry.problem)),
            tr(
                "Its files may still be of use ({where_files_are}). Without them: git update-ref -d "
                "{refs}{entry} && rm -rf {backups}",
                where_files_are=store.where_files_are(entry.id),
                refs=store.REFS,
                entry=entry.id,
                backups=shell_word(str(site.state.backups / entry.id)),
            ),
        )
    lost = [b.id for b in good if not _is_there(site.repository, b.snapshot.commit)]
    if lost:
        yield Finding(
            "backups",
            "problem",
            tr("The objects of {lost} are missing or damaged.", lost=listing(lost, 3)),
            refetch(site.config.source.remote),
        )
    if not damaged and not lost:
        said = (
            tr("{count}, complete.", count=count(len(good), "backup"))
            if good
            else tr("There is no backup yet; every upgrade makes one first.")
        )
        yield Finding("backups", "ok", said)


def _encrypted(site: Site) -> Iterator[Finding]:
    """Whether backups can be encrypted, and decrypted where this server has what that takes."""
    wanted = site.config.backup.encrypt
    if not wanted:
        return
    name, identity = encryption.program_for(wanted), identity_of(site)
    if identity is not None and name == "age":
        encryption.try_both_ways(wanted, identity, site.root)
    else:
        encryption.try_encrypting(wanted, site.root)
    if left := not_encrypted(site):
        yield Finding(
            "encryption",
            "warning",
            tr("{count} not encrypted yet: {left}.", count=count(len(left), "backup"), left=listing(left, 3)),
            tr("Encrypt them now: gitdeploy prune"),
        )
    recipients = count(len(wanted), "recipient")
    if identity is not None:
        said = tr(
            "Backups can be encrypted for {recipients} ({name}), and decrypted with backup.identity.",
            recipients=recipients,
            name=name,
        )
    else:
        said = tr("Backups can be encrypted for {recipients} ({name}).", recipients=recipients, name=name)
    yield Finding("encryption", "ok", said)


def _is_there(repository: Repository, commit: str) -> bool:
    """Whether COMMIT can be read: missing or damaged is the same to a backup."""
    try:
        return repository.resolve(commit) is not None
    except FormatUnknown:
        raise  # nothing can be told of any
    except ObjectsUnreadable:
        return False


def _venv(site: Site) -> Iterator[Finding]:
    yield from look_at_venv(site)


def _source(site: Site) -> Iterator[Finding]:
    for source in (site.config.source, *site.config.source.fallback):
        if source.token_env and site.config.variable(source.token_env) is None:
            yield Finding(
                "source",
                "warning",
                tr(
                    "{token_env} is set neither in the environment nor in {env_file}.",
                    token_env=source.token_env,
                    env_file=site.config.env_file or ".env",
                ),
                tr("A public repository needs no token; a private one can't be read without."),
            )
    with site.open_database() as database:
        begun = time.monotonic()
        result = check(site, database, site.release_at(head_of(site)), force=True)
    if result.warning:
        level: Level = "problem" if result.from_cache else "warning"  # what acts asks anew, and is refused then
        yield Finding("source", level, result.warning)
    took = duration_text(time.monotonic() - begun)
    if result.latest_tag is None:
        yield Finding("source", "warning", tr("{reason}.", reason=result.reason), result.way or "")
    elif not result.from_cache:
        yield Finding(
            "source",
            "ok",
            tr(
                "{source}: the newest release is {latest_tag} ({took}).",
                source=result.source,
                latest_tag=result.latest_tag,
                took=took,
            ),
        )


def _hooks(site: Site) -> Iterator[Finding]:
    found = [hook for stage in running.STAGES for hook in running.find_hooks(site.root, site.config.hooks, stage)]
    wrong = [hook.problem for hook in found if hook.problem]
    yield from (Finding("hooks", "problem", text) for text in wrong)
    if unnamed := unnamed_hooks.unnamed(site, site.config):
        level: Level = "problem" if unnamed_hooks.ran_before(site) else "warning"
        yield Finding("hooks", level, unnamed_hooks.not_run(unnamed), unnamed_hooks.WAYS)
    elif not wrong:
        yield Finding(
            "hooks", "ok", tr("{count}, runnable.", count=count(len(found), "hook")) if found else tr("None.")
        )


def _service(site: Site) -> Iterator[Finding]:
    services = open_services(site.config.service, site.root)
    if not services:
        yield Finding(
            "service",
            "warning",
            tr("No service is configured: an upgrade restarts nothing."),
            tr("service: in deploy.yaml"),
        )
    for service in services:
        wrong = service.problems()
        yield from (Finding("service", "problem", message, hint) for message, hint in wrong)
        if wrong:
            continue
        down = service.is_up()
        if down:
            yield Finding(
                "service",
                "problem",
                tr("{service}: {down}", service=service.name, down=clean(down)),
                tr("Start it, and look at its log."),
            )
        else:
            yield Finding("service", "ok", tr("{service} is up.", service=service.name))


def _health(site: Site) -> Iterator[Finding]:
    if not site.config.health.configured:
        yield Finding(
            "health",
            "warning",
            tr("No health check: a release that starts and fails stays live."),
            tr("health: in deploy.yaml"),
        )
        return
    environment = check_environment(site, site.config) if site.config.health.command else None
    wrong = health.check_once(site.config.health, root=site.root, environment=environment)
    if wrong:
        yield Finding(
            "health", "problem", clean(wrong), tr("A release can't be told from a broken one until it answers.")
        )
    else:
        yield Finding("health", "ok", tr("The app answers."))


def _databases(site: Site) -> Iterator[Finding]:
    yield from look_at_data(site)


_LOOKS: Mapping[str, Callable[[Site], Iterator[Finding]]] = {
    "git": look_at_git,
    "objects": look_at_objects,
    "settings": _settings,
    "owner": _owner,
    "disk": _disk,
    "state": _state,
    "encryption": _encrypted,
    "venv": _venv,
    "source": _source,
    "pinned": _pinned,
    "hooks": _hooks,
    "service": _service,
    "health": _health,
    "database": _databases,
}
