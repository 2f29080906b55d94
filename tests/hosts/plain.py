"""A server that knows git and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from hosts.standin import Reply, StandIn


class PlainGit(StandIn):
    kind = "git"

    @property
    def settings(self) -> str:
        return "  type: git\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return None

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        return Reply(404, {"message": "Not Found"})
