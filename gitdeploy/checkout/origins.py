"""Where the objects of a submodule are asked for, in which order, and what is said where nobody has them."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.gitmodules import Described, Settings, admitted, resolved
from gitdeploy.checkout.incoming import fill, incoming_repository
from gitdeploy.checkout.remote import fetch_commit
from gitdeploy.checkout.remote_access import Credentials
from gitdeploy.errors import DeploymentFailed, SourceError
from gitdeploy.messages import joined, tr
from gitdeploy.text import path_text, redact, shell_word

NEVER = tr("See to the submodules yourself, and say so in deploy.yaml:  git: {{submodules: never}}")


class Origins(Struct, frozen=True):
    """What is trusted besides a submodule's own settings: the `app`'s remote. `credentials` go to their host only."""

    app: str
    credentials: Credentials | None = None

    def new(
        self, git_dir: Path, part: Described, commit: str, settings: Settings, base: str, above: bytes | None, lfs: str
    ) -> tuple[Repository, str]:
        """A repository with COMMIT of a submodule that isn't here, and the URL that it came from. BASE: what its URL is
        relative to; ABOVE: the folder of the superproject, None where that isn't here either. Raises `SourceError`,
        `DeploymentFailed`."""
        own, release = settings.url(part.name), resolved(base, part.url)
        urls = [own] if own else []
        if release not in urls and admitted(release, [self.app, base, *urls]):
            urls.append(release)
        failure: SourceError | DeploymentFailed = self._foreign(part, release, None, above)
        for url in urls:
            found = incoming_repository(git_dir, url, sha256=len(commit) == 64, lfs=lfs)
            try:
                fill(found, url, commit, self.credentials)
                return found, url
            except SourceError as error:
                failure = error
        raise failure

    def more(
        self,
        inner: Repository,
        own: str,
        part: Described | None,
        commit: str,
        settings: Settings,
        base: str,
        above: bytes,
    ) -> None:
        """Fetch COMMIT into INNER: from its own remote OWN, from where the settings say, from where the release says if
        that is as good a place. ABOVE: the folder of the superproject. Raises `SourceError`, `DeploymentFailed`."""
        told = settings.url(part.name) if part else None
        release = resolved(base, part.url) if part else ""
        urls = [url for url in dict.fromkeys((own, told or "")) if url]
        foreign = bool(release) and release not in urls and not admitted(release, [self.app, base, *urls])
        if release and release not in urls and not foreign:
            urls.append(release)
        failure: SourceError | None = None
        for url in urls:
            try:
                fetch_commit(inner, url, commit, self.credentials)
                return
            except SourceError as error:
                failure = failure or error
        if part is not None and foreign:
            raise self._foreign(part, release, failure, above) from failure
        if failure is None:
            raise DeploymentFailed(tr("nothing says where its commit {commit} comes from.", commit=commit[:12]), NEVER)
        if len(urls) > 1:
            others = joined(", ", (shown(url) for url in urls[1:]))
            raise SourceError(
                tr("{message} Neither has {others}.", message=failure.message, others=others),
                failure.hint,
                details=failure.details,
            )
        raise failure

    @staticmethod
    def _foreign(part: Described, url: str, failure: SourceError | None, above: bytes | None) -> DeploymentFailed:
        before = tr("{message} ", message=failure.message) if failure is not None else ""
        message = tr(
            "{before}The release wants it from {url}, which is not where this app comes from.",
            before=before,
            url=shown(url),
        )
        if above is None:
            return DeploymentFailed(message, NEVER)
        where = f"-C {shell_word(above)} " if above else ""
        name, then = shell_word(f"submodule.{part.name}.url"), shell_word(part.path)
        after = (
            tr("  (and after the upgrade: git {where}submodule sync {then})", where=where, then=then)
            if failure is not None
            else ""
        )
        return DeploymentFailed(
            message,
            tr(
                "If you trust it: git {where}config {name} {url}{after}",
                where=where,
                name=name,
                url=shell_word(shown(url)),
                after=after,
            ),
        )


def url_changed(old: Described | None, new: Described | None, own: str, base: str, where: str) -> str | None:
    """A sentence where the release takes a submodule from elsewhere than the live one, and than this checkout."""
    if old is None or new is None or old.url == new.url or not own:
        return None
    then = resolved(base, new.url)
    if then in (own, resolved(base, old.url)):
        return None
    return tr(
        "Submodule {where} comes from {then} in this release; this checkout goes on asking "
        "{own}. To follow it, after the upgrade: git submodule sync {path}",
        where=where,
        then=shown(then),
        own=shown(own),
        path=shell_word(where),
    )


def shown(url: str) -> str:
    return redact(path_text(url))
