"""What doctor sees of the repository: HEAD, what git left unfinished, objects and refs that a power cut emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitdeploy.backups.store import REFS
from gitdeploy.checkout.facts import FormatUnknown, ObjectsUnreadable, is_object_id, refetch
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import FIRST_CHECKOUT, operation_under_way, stop_words
from gitdeploy.checkout.program import git_version, program
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.state import DeploymentLock
from gitdeploy.text import count, listing, path_text, shell_word
from gitdeploy.upkeep.finding import Finding
from gitdeploy.versions import CodeState

_PUT_LIVE = ("upgrade", "restore", "rollback", "backup")  # after such a deployment its target is live


def look_at_git(site: Site) -> Iterator[Finding]:
    repository = site.repository
    version = ".".join(map(str, git_version(program())))
    if wrong := _head_problem(site):
        yield Finding("git", "problem", *wrong)
        return
    head = repository.resolve("HEAD")
    assert head is not None
    yield Finding("git", "ok", tr("git {version}; {full} is live.", version=version, full=site.release_at(head).full))
    if word := operation_under_way(repository):
        yield Finding("git", "problem", f"git is in the middle of a {word}.", stop_words(word))
    held = DeploymentLock(site.state.lock).holder() is not None
    for lock in [] if held else repository.lock_files():
        yield Finding(
            "git",
            "warning",
            tr("{lock} is there: another git is at work, or was killed.", lock=path_text(str(lock))),
            tr("If none runs, this removes it: gitdeploy recover"),
        )


def _head_problem(site: Site) -> tuple[str, str] | None:
    """(what is wrong with HEAD, what to type); None where it leads to a commit."""
    repository, live = site.repository, _last_live(site)
    commit = shell_word(live.commit) if live is not None else "COMMIT"
    known = tr("{full} was live. ", full=live.full) if live is not None else ""
    file = repository.git_dir / "HEAD"
    text = file.read_text("utf-8", "replace").strip() if file.is_file() else ""
    if not text.startswith("ref: refs/") and not is_object_id(text):
        return (
            tr("HEAD is empty or damaged, as a power cut leaves it; to git this is no repository."),
            tr(
                "{known}Write it into HEAD: echo {commit} > {file}",
                known=known,
                commit=commit,
                file=shell_word(str(file)),
            ),
        )
    reference = text.removeprefix("ref: ")
    if text.startswith("ref: ") and (name := repository.common_dir / reference).is_file() and not _good_ref(name):
        return (
            tr("{reference}, which HEAD names, is empty or damaged.", reference=reference),
            tr(
                "{known}Write it anew: rm {name} && git update-ref {reference} {commit}",
                known=known,
                name=shell_word(str(name)),
                reference=shell_word(reference),
                commit=commit,
            ),
        )
    try:
        if repository.resolve("HEAD") is not None:
            return None
    except FormatUnknown as error:
        return error.message, error.hint
    except ObjectsUnreadable:
        pass  # told below
    if text.startswith("ref: ") and repository.resolve(reference) is None and not _is_packed(repository, reference):
        way = (
            FIRST_CHECKOUT
            if live is None
            else tr("{known}Bring it back: git update-ref HEAD {commit}", known=known, commit=commit)
        )
        return tr("HEAD leads to no commit: its branch has none."), way
    return tr("Objects of HEAD's commit are missing or damaged."), refetch(site.config.source.remote)


def _is_packed(repository: Repository, reference: str) -> bool:
    file = repository.common_dir / "packed-refs"
    return file.is_file() and f" {reference}\n" in file.read_text("utf-8", "surrogateescape")


def _last_live(site: Site) -> CodeState | None:
    """The release that the last deployment left live, as far as the log or a backup tells."""
    with suppress(GitDeployError):
        database = site.read_database()
        if database is not None:
            with database:
                rows = [row for row in database.deployments() if row.action in _PUT_LIVE and row.ended_at is not None]
            if rows:
                return CodeState.from_dict(rows[0].target if rows[0].status == "succeeded" else rows[0].origin)
    newest = next(iter(site.backups()), None)
    return CodeState(newest.version, newest.tag, newest.commit) if newest is not None else None


def look_at_objects(site: Site) -> Iterator[Finding]:
    if empty := _empty_objects(site.repository):
        yield Finding(
            "objects",
            "problem",
            tr(
                "{count} of the repository {empty}, as a power cut leaves them; git fails on them.",
                count=count(len(empty), "object"),
                empty=tr("is an empty file") if len(empty) == 1 else tr("are empty files"),
            ),
            tr("Delete them: gitdeploy doctor --repair\n{refetch}", refetch=refetch(site.config.source.remote)),
        )
        return
    bad = [path for path in _loose_refs(site.repository) if not _good_ref(path)]
    names = {path: str(path.relative_to(site.repository.common_dir)) for path in bad}
    of_backups = [name for name in names.values() if name.startswith(REFS)]
    if of_backups:
        yield Finding("objects", "problem", _empty_refs(of_backups), tr("Write them anew: gitdeploy recover"))
    if others := [path for path in bad if names[path] not in of_backups]:
        yield Finding(
            "objects",
            "problem",
            _empty_refs([names[path] for path in others]),
            tr(
                "Delete them, and fetch what the remote has: rm {others} && git fetch --tags",
                others=" ".join(shell_word(str(path)) for path in others),
            ),
        )
    if not bad:
        yield Finding("objects", "ok", tr("No object and no ref is empty."))


def _empty_refs(names: list[str]) -> str:
    return tr("{names}: empty or damaged; git refuses to fetch beside such a ref.", names=listing(names, 5))


def _empty_objects(repository: Repository) -> list[Path]:
    """Loose objects without content: nothing can be read from them, and git writes none itself."""
    folder = repository.common_dir / "objects"
    return [path for path in folder.glob("??/*") if len(path.name) >= 38 and path.stat().st_size == 0]


def _loose_refs(repository: Repository) -> Iterator[Path]:
    for path in sorted((repository.common_dir / "refs").rglob("*")):
        if path.is_file() and path.suffix != ".lock":
            yield path


def _good_ref(file: Path) -> bool:
    text = file.read_text("ascii", "replace")
    return is_object_id(text.strip()) or text.startswith("ref: ")


def mend_objects(site: Site) -> Iterator[Finding]:
    """Delete empty object files: nothing is in them, and a fetch brings them only where they are gone."""
    empty = _empty_objects(site.repository)
    for path in empty:
        with suppress(FileNotFoundError):
            path.unlink()
    if empty:
        yield Finding(
            "objects",
            "mended",
            tr("{count} deleted.", count=count(len(empty), "empty object")),
            refetch(site.config.source.remote),
        )
