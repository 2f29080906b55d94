"""A plain git remote: its tags are its releases. Works with every host, SSH or HTTPS, by one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from gitdeploy.errors import SourceError
from gitdeploy.messages import tr
from gitdeploy.sources.base import Announcement, Order, Page, Release, Setup
from gitdeploy.sources.webhooks import WebhookRefused
from gitdeploy.text import clean, redact
from gitdeploy.versions import read_version, version_text


class GitSource:
    """Releases are the tags of a remote; notes come from the annotated tag or the changelog, once it was fetched."""

    kind: ClassVar[str] = "git"
    order: ClassVar[Order] = "none"
    tags_only: ClassVar[bool] = True
    name = "git"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def pages(self) -> Iterator[Page]:
        remote, git = self.setup.remote, self.setup.git
        url = git.remote_url(remote)
        if url is None:
            raise SourceError(
                tr(
                    "The checkout has no remote `{remote}`, so there is nowhere to learn of releases.",
                    remote=clean(remote),
                ),
                tr("Add it: git remote add origin URL, or name another: source: {{remote: …}} in deploy.yaml."),
            )
        tags = git.ls_remote_tags(remote)
        yield Page([self._release(tag, oid, commit, redact(url)) for tag, (oid, commit) in tags.items()])

    def _release(self, tag: str, object_id: str, commit: str, url: str) -> Release:
        version = read_version(tag, self.setup.prefix)
        return Release(
            tag=tag,
            version=version_text(tag, self.setup.prefix),
            name=clean(tag, limit=200),
            notes="",
            url=clean(url),
            published_at=None,
            commit=commit,
            prerelease=bool(version is not None and version.is_prerelease),
            object_id=object_id,
        )

    def details(self, releases: Sequence[Release]) -> Sequence[Release]:
        return releases

    def release(self, tag: str) -> Release | None:
        return next((each for page in self.pages() for each in page.releases if each.tag == tag), None)

    def file(self, tag: str, path: str) -> str | None:
        return None

    def git_url(self) -> str | None:
        return None

    def git_user(self) -> str:
        return "git"

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:  # noqa: ARG004  # the protocol's shape
        raise WebhookRefused(tr("A plain git remote sends no webhooks that gitdeploy knows."), 404)
