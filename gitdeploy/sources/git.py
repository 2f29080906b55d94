"""A plain git remote: its tags are its releases. Works with every host, SSH or HTTPS, by one request."""

from __future__ import annotations

from collections.abc import Sequence

from gitdeploy.config import SourceConfig
from gitdeploy.errors import SourceError
from gitdeploy.sources.base import GitRemote, Release
from gitdeploy.sources.changelog import section
from gitdeploy.text import clean, redact
from gitdeploy.versions import read_version, valid_tag, version_text

CHANGELOGS = ("CHANGELOG.md", "CHANGELOG", "CHANGES.md", "CHANGES.rst", "CHANGES", "HISTORY.md")
NOTES_LIMIT = 64 * 1024


class GitSource:
    """Releases are the tags of a remote; notes come from the annotated tag or the changelog, once it was fetched."""

    name = "git"

    def __init__(self, config: SourceConfig, git: GitRemote) -> None:
        self.config = config
        self.git = git

    def releases(self) -> Sequence[Release]:
        remote = self.config.remote
        if self.git.remote_url(remote) is None:
            raise SourceError(
                f"The checkout has no remote `{clean(remote)}`, so there is nowhere to learn of releases.",
                "Add it: git remote add origin URL, or name another: source: {remote: …} in deploy.yaml.",
            )
        return [
            self._release(tag, commit)
            for tag, (_, commit) in self.git.ls_remote_tags(remote).items()
            if valid_tag(tag) is None
        ]

    def release(self, tag: str) -> Release | None:
        for release in self.releases():
            if release.tag == tag:
                return release
        return None

    def with_notes(self, release: Release) -> Release:
        """The same with its notes, where the tag's objects are here."""
        from dataclasses import replace

        notes = self.git.tag_message(release.tag) or ""
        if release.commit and release.version and len(notes.strip().splitlines()) <= 1:
            for name in CHANGELOGS:
                text = self.git.file_at(release.commit, name)
                found = section(text.decode("utf-8", "replace"), release.version) if text else ""
                if found:
                    notes = found
                    break
        return replace(release, notes=clean(notes[:NOTES_LIMIT], lines=True).strip())

    def _release(self, tag: str, commit: str) -> Release:
        version = read_version(tag, self.config.tag_prefix)
        return Release(
            tag=tag,
            version=version_text(tag, self.config.tag_prefix),
            name=tag,
            notes="",
            url=redact(self.git.remote_url(self.config.remote) or "") if not self.config.repo else self.config.repo,
            published_at=None,
            commit=commit,
            prerelease=bool(version is not None and version.is_prerelease),
        )
