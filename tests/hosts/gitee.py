"""gitee.com: API v5. Totals in headers, no `Link`, no `html_url`, an absent release may be `null` with 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hosts.github import contents
from hosts.standin import Reply, StandIn


class Gitee(StandIn):
    kind = "gitee"

    @property
    def settings(self) -> str:
        return f"  type: gitee\n  repo: {self.repo}\n  url: {self.origin}/api/v5\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def unauthorized(self, given: str | None) -> Reply:
        return Reply(401, {"message": "401 Unauthorized: Access token is expired"}) if given else Reply(404, {"message": "Not Found Project"})  # fmt: skip

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        assert "access_token" not in query, "a token in the address lands in logs"
        base = f"/api/v5/repos/{self.repo}/"
        if not path.startswith(base):
            return Reply(404, {"message": "Not Found Project"})
        match path.removeprefix(base).split("/"):
            case ["tags"]:
                found = self.tags() if query.get("sort") == "updated" else sorted(self.tags(), key=lambda tag: tag.name)
                return self._page([self._tag(tag) for tag in found], query)
            case ["releases"]:
                made = [self._release(tag.name) for tag in self.tags() if tag.name in self.releases]
                return self._page(made, query)
            case ["releases", "tags", name]:
                return Reply(data=self._release(name.replace("|", "/")))
            case ["contents", name]:
                return contents(self, name.replace("|", "/"), query)
        return Reply(404, {"message": "404 Not Found"})

    def _page(self, entries: list[Any], query: Mapping[str, str]) -> Reply:
        size, page = min(int(query.get("per_page", "20")), 100), int(query.get("page", "1"))
        total = {"total_count": str(len(entries)), "total_page": str(max(1, -(-len(entries) // size)))}
        return Reply(data=entries[(page - 1) * size : page * size], headers=total)

    def _tag(self, tag: Any) -> dict[str, Any]:
        return {"name": tag.name, "message": tag.message, "commit": {"sha": tag.commit, "date": tag.date}}

    def _release(self, name: str) -> dict[str, Any] | None:
        made = self.releases.get(name)
        if made is None or made.draft:
            return None
        return {
            "id": 1,
            "tag_name": name,
            "target_commitish": "main",
            "prerelease": made.prerelease,
            "name": made.name,
            "body": made.body,
            "author": {"login": "acme"},
            "created_at": made.published_at,
            "assets": [],
        }
