"""The tag inside a release's download address: what today's page sends instead of a tag. Nothing is downloaded from it."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from gitdeploy.app import App
from gitdeploy.checkout.remote_names import remote_url
from gitdeploy.versions import valid_tag

OWN = "gitdeploy:"  # the address of a release whose source has no downloads: OWN and the tag

# What stands between the repository and the tag: GitHub and its API, GitLab, Gitee, Gitea, Codeup.
_FORMS = (
    r"/(?:tarball|zipball)/(?:refs/tags/)?(?P<tag>.+)",
    r"/archive/(?:refs/tags/)?(?P<tag>.+?)(?:\.tar\.gz|\.zip)",
    r"/-/archive/(?P<tag>.+)/[^/]+(?:\.tar\.gz|\.zip)",
    r"/repository/archive/(?P<tag>.+?)(?:\.tar\.gz|\.zip)?",
    r"/(?:-/)?releases/(?:tag/)?(?P<tag>.+)",
    r"/(?:-/)?tags/(?P<tag>.+)",
)
_SITES = {"github": "github.com", "gitlab": "gitlab.com", "gitee": "gitee.com", "codeup": "codeup.aliyun.com"}


def tag_of(app: App, address: str) -> str | None:
    """The tag in ADDRESS; None where it isn't one of the configured repository's."""
    if address.startswith(OWN):
        return address.removeprefix(OWN)
    return tag_in(address, repositories(app))


def tag_in(address: str, places: list[tuple[str, str]]) -> str | None:
    """The tag in ADDRESS where it stands under one of PLACES: (host, path of the repository)."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if parts.scheme not in ("https", "http") or parts.username is not None or parts.query or parts.fragment:
        return None
    for known, repository in places:
        base = "/" + repository.strip("/") + "/"
        if host != known or not parts.path.lower().startswith(base.lower()):
            continue
        for form in _FORMS:
            found = re.fullmatch(form, unquote(parts.path[len(base) - 1 :]))
            if found and valid_tag(found["tag"]) is None:
                return found["tag"]
    return None


def repositories(app: App) -> list[tuple[str, str]]:
    """Where the configured repository's pages and downloads stand: (host, path)."""
    site = app.site
    found: list[tuple[str, str]] = []
    for source in (site.config.source, *site.config.source.fallback):
        remote = _place(remote_url(site.repository, source.remote) or source.remote)
        if remote is not None:
            found.append(remote)
        repository = source.repo or (remote[1] if remote is not None else None)
        if not repository:
            continue
        host = urlsplit(source.url).hostname if source.url else None
        host = host or _SITES.get(source.type or "") or (remote[0] if remote is not None else None)
        if host is None:
            continue
        host = host.lower().removeprefix("api.")
        found.append((host, repository))
        for prefix, name in (("api.", "repos/"), ("", "api/v3/repos/"), ("", "api/v5/repos/"), ("", "api/v1/repos/")):
            found.append((prefix + host, name + repository))
        found += [(host, f"api/v4/projects/{name}") for name in (repository, repository.replace("/", "%2F"))]
    return found


def _place(url: str) -> tuple[str, str] | None:
    """(host, path) of a git URL: https://host/path.git, ssh://git@host:22/path.git, git@host:path.git."""
    if re.match(r"[a-z][a-z0-9+.-]*://", url):
        try:
            parts = urlsplit(url)
            host, path = parts.hostname, parts.path
        except ValueError:
            return None
    elif short := re.fullmatch(r"(?:[^@/\s]+@)?([A-Za-z0-9.-]+):(?!/)(.+)", url):
        host, path = short[1], short[2]
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    return (host.lower(), path) if host and path else None
