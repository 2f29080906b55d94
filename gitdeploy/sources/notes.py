"""Release notes: the host's own, a tag's message, or the section of that version in the changelog."""

from __future__ import annotations

from msgspec.structs import replace

from gitdeploy.errors import SourceError
from gitdeploy.sources.base import GitRemote, Release, Source
from gitdeploy.sources.changelog import CHANGELOGS, section
from gitdeploy.text import clean


def with_local_notes(git: GitRemote, release: Release) -> Release:
    """Notes of what is here already: the annotated tag's message, the changelog of the fetched commit."""
    if _has_notes(release):
        return release
    notes = release.notes or git.tag_message(release.tag) or ""
    if release.commit and release.version and len(notes.strip().splitlines()) <= 1:
        files = git.files_at(release.commit, CHANGELOGS)
        texts = (files[name].decode("utf-8", "replace") for name in CHANGELOGS if name in files)
        notes = next(filter(None, (section(text, release.version) for text in texts)), notes)
    return replace(release, notes=_fit(notes))


def with_notes(git: GitRemote, source: Source, release: Release) -> Release:
    """The same, and where that is no more than a line, the section of the changelog that the host has at the tag."""
    made = with_local_notes(git, release)
    if _has_notes(made) or made.version is None:
        return made
    try:
        text = source.file(release.tag, CHANGELOGS[0])
    except SourceError:
        return made  # notes are not worth a failed check
    return replace(made, notes=_fit(section(text, made.version)) or made.notes) if text else made


def with_local_dates(git: GitRemote, releases: list[Release]) -> list[Release]:
    """For looking at only: a date that the source doesn't tell is that of the tag which was fetched, and a person's
    word, so nothing is decided by it."""
    dates = git.tag_dates([release.tag for release in releases if release.published_at is None])
    return [replace(r, published_at=r.published_at or dates.get(r.tag)) for r in releases]


def _has_notes(release: Release) -> bool:
    """A release's own notes, or a tag's message of more than the line that every tag has."""
    return bool(release.notes) and (release.announced or len(release.notes.splitlines()) > 1)


def _fit(notes: str) -> str:
    return clean(notes[: 64 * 1024], lines=True).strip()
