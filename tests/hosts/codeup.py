"""Aliyun Codeup: tags only. The organization edition, the region edition, and the old API's envelope."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hosts.standin import Reply, StandIn, Tag

ORGANIZATION = "68720966aa7bbf6cb884753e"


class Codeup(StandIn):
    kind = "codeup"
    repo = f"{ORGANIZATION}/acme/shop"

    def __init__(self, folder: Path, *, token: str | None = None) -> None:
        super().__init__(folder, token=token)
        self.git_login = ("clone-account", "clone-password-of-codeup") if token else None
        self.old_envelope = False
        self.totals = True
        self.region = False

    @property
    def settings(self) -> str:
        repo = "acme/shop" if self.region else self.repo
        return f"  type: codeup\n  repo: {repo}\n  url: {self.origin}/oapi/v1/codeup\n"

    @property
    def git_settings(self) -> str:
        return "  username: clone-account\n  token_env: CODEUP_GIT_PASSWORD\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-yunxiao-token")

    def unauthorized(self, given: str | None) -> Reply:
        return Reply(401 if given else 403, {"errorCode": "InvalidAction.Unauthorized", "errorMessage": "no right"})

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        place = "" if self.region else f"/organizations/{ORGANIZATION}"
        base = f"/oapi/v1/codeup{place}/repositories/acme|shop/"
        if not path.startswith(base):
            return Reply(302, None, {"Location": "https://account.aliyun.com/login/login.htm"})
        match path.removeprefix(base).split("/"):
            case ["tags"]:
                return self._tags(query)
            case ["files", name]:
                text = self.file_at(query["ref"], name.replace("|", "/"))
                if text is None:
                    return Reply(404, {"errorCode": "NOT_FOUND", "errorMessage": "file not found"})
                return Reply(data={"encoding": "base64", "content": base64.b64encode(text.encode()).decode()})
        return Reply(404, {"errorCode": "SYSTEM_NOT_FOUND_ERROR", "errorMessage": "not found"})

    def _tags(self, query: Mapping[str, str]) -> Reply:
        found = [tag for tag in self.tags() if query.get("search", "") in tag.name]
        size, page = min(int(query.get("perPage", "20")), 100), int(query.get("page", "1"))
        entries = [self._tag(tag) for tag in found[(page - 1) * size : page * size]]
        pages = max(1, -(-len(found) // size))
        totals = {"x-total": str(len(found)), "x-total-pages": str(pages), "x-page": str(page)} if self.totals else {}
        if self.old_envelope:
            envelope = {"requestId": "R", "errorCode": "", "errorMessage": "", "success": True, "total": len(found)}
            return Reply(data={**envelope, "result": entries})
        return Reply(data=entries, headers=totals)

    def _tag(self, tag: Tag) -> dict[str, Any]:
        date = "2022-03-18 10:00:00" if self.old_envelope else tag.date
        commit = {"id": tag.commit, "shortId": tag.commit[:8], "title": "t", "message": "m", "parentIds": []}
        return {
            "name": tag.name,
            "message": tag.message or None,
            "id": tag.object_id,
            "commit": {**commit, "authorName": "Test", "authoredDate": date, "committedDate": date},
        }
