"""A Gitea or Forgejo: API v1, pages of 50, `Link` and `X-Total-Count`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hosts.github import contents, pages
from hosts.standin import Reply, StandIn


class Gitea(StandIn):
    kind = "gitea"

    @property
    def settings(self) -> str:
        return f"  type: gitea\n  repo: {self.repo}\n  url: {self.origin}\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("token ") or None

    def unauthorized(self, given: str | None) -> Reply:
        text = "user does not exist [uid: 0, name: ]" if given else "The target couldn't be found."
        return Reply(401 if given else 404, {"message": text, "url": f"{self.origin}/api/swagger"})

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        base = f"/api/v1/repos/{self.repo}/"
        if not path.startswith(base):
            return Reply(404, {"message": "The target couldn't be found."})
        match path.removeprefix(base).split("/"):
            case ["tags"]:
                return self._page(path, [self._tag(tag) for tag in self.tags()], query)
            case ["releases"]:
                made = [self._release(tag.name) for tag in self.tags() if tag.name in self.releases]
                shown = [each for each in made if not (each["draft"] and query.get("draft") == "false")]
                return self._page(path, shown, query)
            case ["releases", "tags", name] if name.replace("|", "/") in self.releases:
                return Reply(data=self._release(name.replace("|", "/")))
            case ["contents", name]:
                return contents(self, name.replace("|", "/"), query)
        return Reply(404, {"message": "The target couldn't be found."})

    def _page(self, path: str, entries: list[Any], query: Mapping[str, str]) -> Reply:
        reply = pages(self.origin, path, query, entries, "limit", 50)
        reply.headers["X-Total-Count"] = str(len(entries))
        return reply

    def _tag(self, tag: Any) -> dict[str, Any]:
        commit = {"url": f"{self.origin}/x", "sha": tag.commit, "created": tag.date}
        return {"name": tag.name, "message": tag.message, "id": tag.object_id, "commit": commit}

    def _release(self, name: str) -> dict[str, Any]:
        made = self.releases[name]
        return {
            "id": 1,
            "tag_name": name,
            "name": made.name,
            "body": made.body,
            "draft": made.draft,
            "prerelease": made.prerelease,
            "created_at": made.published_at,
            "published_at": made.published_at,
            "html_url": f"{self.origin}/{self.repo}/releases/tag/{name}",
            "tarball_url": f"{self.origin}/{self.repo}/archive/{name}.tar.gz",
            "zipball_url": f"{self.origin}/{self.repo}/archive/{name}.zip",
        }
