"""api.github.com, or an Enterprise Server: REST API 2022-11-28."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hosts.standin import Reply, StandIn, Tag


def pages(origin: str, path: str, query: Mapping[str, str], entries: list[Any], size_word: str, most: int) -> Reply:
    """One page of a list, with `Link` headers to the others."""
    size = min(int(query.get(size_word, "30")), most)
    page = int(query.get("page", "1"))
    links = []
    words = "&".join(f"{name}={value}" for name, value in query.items() if name != "page")
    last = max(1, -(-len(entries) // size))
    if page < last:
        links.append(f'<{origin}{path}?{words}&page={page + 1}>; rel="next"')
        links.append(f'<{origin}{path}?{words}&page={last}>; rel="last"')
    reply = Reply(data=entries[(page - 1) * size : page * size])
    if links:
        reply.headers["Link"] = ", ".join(links)
    return reply


def contents(host: StandIn, path: str, query: Mapping[str, str]) -> Reply:
    """A file, base64 in JSON, as GitHub and those that follow it send one."""
    text = host.file_at(query.get("ref", "HEAD"), path)
    if text is None:
        return Reply(404, {"message": "Not Found"})
    return Reply(data={"type": "file", "encoding": "base64", "content": base64.encodebytes(text.encode()).decode()})


class GitHub(StandIn):
    kind = "github"
    prefix = "/api/v3"

    def __init__(self, folder: Path, *, token: str | None = None) -> None:
        super().__init__(folder, token=token)
        self.remaining = 60
        self.reset = int(time.time()) + 1380

    @property
    def settings(self) -> str:
        return f"  type: github\n  repo: {self.repo}\n  url: {self.origin}{self.prefix}\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def unauthorized(self, given: str | None) -> Reply:
        link = "https://docs.github.com/rest"
        if given:
            return Reply(401, {"message": "Bad credentials", "documentation_url": link})
        return Reply(404, {"message": "Not Found", "documentation_url": link})

    def stamped(self, reply: Reply, headers: Mapping[str, str], *, unchanged: bool) -> None:
        proven = self.token_of(headers) is not None
        if not (unchanged and proven):
            self.remaining -= 1
        reply.headers |= {
            "X-RateLimit-Limit": "5000" if proven else "60",
            "X-RateLimit-Remaining": str(max(self.remaining, 0)),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Resource": "core",
        }

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if self.remaining <= 0:
            return Reply(403, {"message": "API rate limit exceeded for 127.0.0.1."})
        base = f"{self.prefix}/repos/{self.repo}"
        if not path.startswith(base + "/"):
            return Reply(404, {"message": "Not Found"})
        match path.removeprefix(base + "/").split("/"):
            case ["git", "matching-refs", "tags", start]:
                refs = [self._ref(tag) for tag in sorted(self.tags(), key=lambda tag: tag.name)]
                return Reply(data=[r for r in refs if r["ref"].startswith(f"refs/tags/{start.replace('|', '/')}")])
            case ["git", "tags", oid]:
                found = next((tag for tag in self.tags() if tag.annotated and tag.object_id == oid), None)
                return Reply(data=self._object(found)) if found else Reply(404, {"message": "Not Found"})
            case ["releases"]:
                return pages(self.origin, path, query, self._list(headers), "per_page", 100)
            case ["releases", "tags", name]:
                found_release = self._release(name.replace("|", "/"))
                hidden = found_release is None or found_release["draft"]
                return Reply(404, {"message": "Not Found"}) if hidden else Reply(data=found_release)
            case ["contents", name]:
                return contents(self, name.replace("|", "/"), query)
        return Reply(404, {"message": "Not Found"})

    def _list(self, headers: Mapping[str, str]) -> list[Any]:
        found = [made for tag in self.tags() if (made := self._release(tag.name)) is not None]
        return found if self.token_of(headers) else [each for each in found if not each["draft"]]

    def _ref(self, tag: Tag) -> dict[str, Any]:
        kind = "tag" if tag.annotated else "commit"
        return {"ref": f"refs/tags/{tag.name}", "node_id": "x", "object": {"sha": tag.object_id, "type": kind}}

    def _object(self, tag: Tag) -> dict[str, Any]:
        return {
            "sha": tag.object_id,
            "tag": tag.name,
            "message": tag.message,
            "tagger": {"name": "Test", "email": "test@localhost", "date": tag.date},
            "object": {"sha": tag.commit, "type": "commit"},
        }

    def _release(self, name: str) -> dict[str, Any] | None:
        made = self.releases.get(name)
        if made is None:
            return None
        page = f"{self.origin}/{self.repo}"
        return {
            "id": 1,
            "tag_name": name,
            "target_commitish": "main",
            "name": made.name or None,
            "body": made.body or None,
            "draft": made.draft,
            "prerelease": made.prerelease,
            "created_at": made.published_at,
            "published_at": None if made.draft else made.published_at,
            "html_url": f"{page}/releases/tag/{name}",
            "tarball_url": f"{self.origin}{self.prefix}/repos/{self.repo}/tarball/{name}",
            "zipball_url": f"{self.origin}{self.prefix}/repos/{self.repo}/zipball/{name}",
            "author": {"login": "acme"},
            "assets": [],
        }
