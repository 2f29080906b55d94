"""A GitLab: API v4. The project is one encoded segment; tags can be ordered by version; `X-Next-Page`."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hosts.standin import Reply, StandIn, Tag


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Roughly GitLab's own order of versions: numbers as numbers, words as words."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|[^\d.]+", name)]


class GitLab(StandIn):
    kind = "gitlab"
    repo = "acme/web/shop"
    orders: tuple[str, ...] = ("name", "updated", "version")  # version: since 15.4

    @property
    def settings(self) -> str:
        return f"  type: gitlab\n  repo: {self.repo}\n  url: {self.origin}/api/v4\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("private-token")

    def unauthorized(self, given: str | None) -> Reply:
        return (
            Reply(401, {"message": "401 Unauthorized"}) if given else Reply(404, {"message": "404 Project Not Found"})
        )

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        base = f"/api/v4/projects/{self.repo.replace('/', '|')}/"
        if not path.startswith(base):
            return Reply(404, {"message": "404 Project Not Found"})
        match path.removeprefix(base).split("/"):
            case ["repository", "tags"] if query.get("order_by", "updated") not in self.orders:
                return Reply(400, {"error": "order_by does not have a valid value"})
            case ["repository", "tags"]:
                return self._page([self._tag(tag) for tag in self._ordered(query)], query)
            case ["repository", "tags", name]:
                found = next((tag for tag in self.tags() if tag.name == name.replace("|", "/")), None)
                return Reply(data=self._tag(found)) if found else Reply(404, {"message": "404 Tag Not Found"})
            case ["releases"]:
                return self._page([self._release(tag) for tag in self.tags() if tag.name in self.releases], query)
            case ["releases", name] if (tag := name.replace("|", "/")) in self.releases:
                return Reply(data=self._release(next(each for each in self.tags() if each.name == tag)))
            case ["repository", "files", name]:
                text = self.file_at(query["ref"], name.replace("|", "/"))
                if text is None:
                    return Reply(404, {"message": "404 File Not Found"})
                return Reply(data={"encoding": "base64", "content": base64.b64encode(text.encode()).decode()})
        return Reply(404, {"message": "404 Not Found"})

    def _ordered(self, query: Mapping[str, str]) -> list[Tag]:
        found = self.tags()
        if query.get("order_by") == "version":
            found.sort(key=lambda tag: _natural(tag.name), reverse=query.get("sort") != "asc")
        search = query.get("search", "")
        if search.startswith("^"):
            return [tag for tag in found if tag.name.startswith(search[1:])]
        return [tag for tag in found if search in tag.name]

    def _page(self, entries: list[Any], query: Mapping[str, str]) -> Reply:
        size, page = min(int(query.get("per_page", "20")), 100), int(query.get("page", "1"))
        more = page * size < len(entries)
        headers = {"X-Page": str(page), "X-Next-Page": str(page + 1) if more else "", "X-Total": str(len(entries))}
        return Reply(data=entries[(page - 1) * size : page * size], headers=headers)

    def _tag(self, tag: Tag) -> dict[str, Any]:
        made = self.releases.get(tag.name)
        return {
            "name": tag.name,
            "message": tag.message,
            "target": tag.object_id,
            "commit": {"id": tag.commit, "short_id": tag.commit[:8], "created_at": tag.date},
            "release": {"tag_name": tag.name, "description": made.body} if made else None,
            "protected": False,
        }

    def _release(self, tag: Tag) -> dict[str, Any]:
        made = self.releases[tag.name]
        future = datetime.fromisoformat(made.published_at) > datetime.now(UTC)
        return {
            "tag_name": tag.name,
            "name": made.name,
            "description": made.body,
            "created_at": made.published_at,
            "released_at": made.published_at,
            "upcoming_release": future,
            "commit": {"id": tag.commit},
            "_links": {"self": f"{self.origin}/{self.repo}/-/releases/{tag.name}"},
            "assets": {"sources": []},
        }
