"""A backup out of this server as one file, and one of another server in."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from msgspec.structs import replace

from gitdeploy.backups import archive, copying, encrypted, store
from gitdeploy.backups.archive import BUNDLE, FILES, Entry, Listing, Package, is_inside, refused
from gitdeploy.backups.places import CARRIED, INCLUDED, KEPT, REPLACED
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.program import LONG
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.site.submodule_refs import drop_refs
from gitdeploy.system import interruption, proc, progress
from gitdeploy.system.durable import sync_file_system
from gitdeploy.text import clean, path_text, size_text
from gitdeploy.upkeep import carried_modules

_OWN = (  # what is this server's own in a backup's folder
    *(store.MANIFEST, store.OUTCOME, store.REPLACED_AT, REPLACED),
    *(f"{name}{copying.SINCE}" for name in (INCLUDED, KEPT)),
)


def export_backup(site: Site, backup: Backup, out: IO[bytes]) -> Listing:
    """Write BACKUP to OUT. Raises `DeploymentFailed` for one whose objects are not all here."""
    if (site.repository.common_dir / "shallow").exists():
        raise DeploymentFailed(
            tr("This clone is shallow, so its history can't be exported."), tr("Fetch the rest: git fetch --unshallow")
        )
    folder = site.state.backups / backup.id
    with _beside(site) as place:
        bundle = place / BUNDLE
        site.repository.output(
            "bundle", "create", "--quiet", str(bundle), backup.ref, what=tr("git bundle"), timeout=LONG
        )
        modules = carried_modules.bundles(site, backup, place)
        places = {BUNDLE: bundle, **{each.file: file for each, file in modules.items()}}
        with progress.of(tr("reading backup {backup}", backup=backup.id), "bytes"):
            git = [Entry(name, 0o600, file.stat().st_size, archive.file_hash(file)) for name, file in places.items()]
            listing = Listing(
                archive.FORMAT,
                site.name,
                backup.id,
                store.as_document(backup),
                [*git, *_entries(site, folder, place, places)],
                packages_of(site, backup),
                list(modules),
            )
        with progress.of(tr("export of {backup}", backup=backup.id), "bytes", sum(e.size for e in listing.entries)):
            archive.write(out, listing, lambda path: places.get(path) or folder / path.removeprefix(FILES))
    return listing


def _entries(site: Site, folder: Path, place: Path, places: dict[str, Path]) -> list[Entry]:
    """What goes along of a backup's FOLDER. What stands plain in there while its deployment runs leaves the server encrypted
    all the same, where deploy.yaml wants that: by a copy in PLACE, whose members PLACES gets."""
    wanted = site.config.backup.encrypt
    if not wanted or not encrypted.plain(folder):
        return archive.entries_of(folder, _OWN)
    part = encrypted.write_part(folder, place, folder.name, wanted)
    made = archive.entries_of(place, [name for name in os.listdir(place) if name.endswith(".bundle")])
    places.update({entry.path: place / entry.path.removeprefix(FILES) for entry in made})
    there = archive.entries_of(folder, (*_OWN, *encrypted.plain(folder), part.name))
    return [*made, *there]


def packages_of(site: Site, backup: Backup) -> list[Package]:
    """What is installed in BACKUP's venv, by name."""
    if backup.generation is None:
        return []
    found = []
    for record in sorted((site.state.venvs / backup.generation).glob("lib/python*/site-packages/*.dist-info/RECORD")):
        name, _, version = record.parent.name.removesuffix(".dist-info").partition("-")
        found.append(Package(name, version, hashlib.sha256(record.read_bytes()).hexdigest()))
    return found


def import_backup(site: Site, source: IO[bytes], warn: Callable[[str], object], *, other_app: bool = False) -> Backup:
    """The backup in SOURCE as one of this checkout; what is left out is WARNed of. OTHER_APP: also one of an app of another
    name. Raises `DeploymentFailed` for a file that isn't what it says, `PolicyError` for code that nobody vouches for,
    `UsageError`."""
    reader = archive.Reader(source)
    listing = reader.listing
    if listing.app != site.name and not other_app:
        raise UsageError(
            tr("This is a backup of {other}, and this is {app}.", other=clean(listing.app, limit=80), app=site.name),
            tr("To import it all the same: --other-app"),
        )
    if (site.state.backups / listing.backup).exists():
        raise UsageError(tr("There is a backup {backup} already.", backup=listing.backup))
    free = shutil.disk_usage(site.state.path).free
    if reader.size * 2 > free:
        raise DeploymentFailed(
            tr("It needs {size}, and {free} is free.", size=size_text(reader.size * 2), free=size_text(free)),
            tr("Make room, then try again."),
        )
    with _beside(site) as place:
        with progress.of(tr("import of {backup}", backup=listing.backup), "bytes", reader.size):
            reader.unpack(place)
        backup = _checked(listing, site)
        carried_modules.check(listing.modules, backup)
        known = site.repository.resolve(backup.commit) is not None
        _fetch(site, backup, place / BUNDLE)
        try:
            _check_objects(site, backup, known=known)
            carried_modules.take_in(site, listing.modules, backup, place)
            files = place / FILES
            files.mkdir(exist_ok=True)
            os.chmod(files, 0o700)
            _drop_own(files)
            sync_file_system(files)  # what it holds is on disk before its manifest says so
            os.rename(files, site.state.backups / backup.id)
            store.set_outcome(site.state.backups, backup.id, "good")
            store.write(site.state.backups, backup)
        except BaseException:
            with interruption.shield():
                shutil.rmtree(site.state.backups / backup.id, ignore_errors=True)
                site.repository.delete_ref(backup.ref)
                drop_refs(site.repository, backup.id)
            raise
    if sentence := archive.left_out_sentence(reader.left_out):
        warn(sentence)
    return backup


def _drop_own(files: Path) -> None:
    """What is a server's own says of the one that made the backup, or nothing true: since when its copies are what is live,
    which data took the place of others."""
    begins = tuple(f"{name}." for name in _OWN)
    for place in [place for place in files.iterdir() if place.name in _OWN or place.name.startswith(begins)]:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()


def _fetch(site: Site, backup: Backup, bundle: Path) -> None:
    """Its objects, checked by git one by one, behind the backup's own ref."""
    words = (
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--refmap=",
        str(bundle),
        f"{backup.ref}:{backup.ref}",
    )
    done = site.repository.run(*words, timeout=LONG, tied=True)
    if not done.ok:
        raise refused(tr("git refuses its objects: {said}", said=clean(done.error_text, limit=300)))


def _check_objects(site: Site, backup: Backup, *, known: bool) -> None:
    """What the manifest says of the objects is so. KNOWN: the commit was here before. Raises `DeploymentFailed`,
    `PolicyError` where signatures are wanted and nobody vouches for the commit."""
    repository, snapshot = site.repository, backup.snapshot
    if repository.resolve(backup.ref) != snapshot.commit or snapshot.head != backup.commit:
        raise refused(tr("its git objects are not those of its manifest"))
    try:
        whole = (
            repository.tree_of(snapshot.commit) == snapshot.tree
            and repository.resolve(backup.commit) == backup.commit
            and (snapshot.commit == backup.commit or repository.is_ancestor(backup.commit, snapshot.commit))
            and repository.facts([snapshot.index_tree])[0] is not None
        )
    except GitDeployError:
        whole = False
    if not whole:
        raise refused(tr("its git objects are not those of its manifest"))
    if not known and site.config.git.verify != "none":
        raise PolicyError(
            tr("The commit of this backup, {commit}, is none that this checkout has.", commit=backup.commit[:12]),
            tr("Signatures are wanted (git.verify). Fetch its release first: gitdeploy prepare TAG"),
        )


def _checked(listing: Listing, site: Site) -> Backup:
    """The manifest of another server as one of this: its venv isn't here, owners are those of this checkout."""
    try:
        backup = store.from_document(listing.manifest)
        lists: Sequence[Sequence[str]] = (backup.kept, backup.kept_data, backup.included, backup.not_copied)
        snapshot = backup.snapshot
        names = [os.fsdecode(path) for path in (*snapshot.exact, *snapshot.untracked, *snapshot.hidden)]
        names += [name for each in lists for name in each] + list(backup.modes)
        for state in backup.submodules.values():
            inner = state.snapshot
            names += [os.fsdecode(path) for path in (*inner.exact, *inner.untracked, *inner.hidden)]
        names += [dump["file"] for dump in backup.dumps]
        owner = site.root.stat()
        modes = {path: [int(facts[0]) & 0o777, owner.st_uid, owner.st_gid] for path, facts in backup.modes.items()}
        usual = {f"{int(kind, 8):o}": int(mode) & 0o777 for kind, mode in backup.usual_modes.items()}
        texts = [backup.id, backup.created_at, backup.commit, backup.label, backup.reason, backup.app]
        waiting = (backup.second_halves or {}).values()
        texts += [each[name] for each in waiting for name in ("since", "why", "error")]
        for release in (*(each["release"] for each in waiting), *filter(None, [backup.data_release])):
            texts += [release["commit"], release["tag"] or "", release["version"] or ""]
        sound = all(isinstance(text, str) for text in texts) and backup.id == listing.backup
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise refused(tr("its manifest can't be read")) from error
    if bad := next((name for name in names if not isinstance(name, str) or not is_inside(name)), None):
        raise refused(tr("its manifest names {path}, which leads outside", path=path_text(str(bad)[:200])))
    if not sound:
        raise refused(tr("its manifest is not its own"))
    branch = backup.branch if isinstance(backup.branch, str) and backup.branch.startswith("refs/heads/") else None
    snapshot = replace(snapshot, branch=branch if snapshot.branch == branch else None)
    return replace(
        backup,
        generation=None,
        venv=None,
        modes=modes,
        usual_modes=usual,
        branch=branch,
        snapshot=snapshot,
        imported=True,
        label=clean(backup.label, limit=200) or tr("imported"),
        reason=clean(backup.reason, limit=200),
    )


def sweep(site: Site) -> None:
    """Delete what killed processes left of folders in which a backup was taken in or out."""
    for left in site.state.path.glob(f"{CARRIED}*"):
        pid, _, started = left.name.removeprefix(CARRIED).rpartition("-")[0].partition("-")
        if not pid.isdecimal() or str(proc.start_ticks(int(pid))) != started:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _beside(site: Site) -> Iterator[Path]:
    """A folder for a moment, on the disk of the backups. What a killed process left of one goes first."""
    sweep(site)
    own = proc.Identity.own()
    place = site.state.path / f"{CARRIED}{own.pid}-{own.started}-{os.urandom(4).hex()}"
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
