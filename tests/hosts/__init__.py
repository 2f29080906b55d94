"""Stand-ins of the hosts of releases: one file a host, true to its API, with real git behind smart HTTP."""

from hosts.codeup import Codeup
from hosts.gitea import Gitea
from hosts.gitee import Gitee
from hosts.github import GitHub
from hosts.gitlab import GitLab
from hosts.plain import PlainGit
from hosts.standin import Announced, StandIn

ALL: dict[str, type[StandIn]] = {each.kind: each for each in (GitHub, Codeup, GitLab, Gitee, Gitea, PlainGit)}

__all__ = ["ALL", "Announced", "Codeup", "GitHub", "GitLab", "Gitea", "Gitee", "PlainGit", "StandIn"]
