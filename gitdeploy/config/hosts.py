"""The kinds of sources, and what is known of public hosts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SOURCE_TYPES = ("github", "codeup", "gitlab", "gitee", "gitea", "git")
SOURCE_GROUP = "gitdeploy.sources"  # the entry point group of sources that other packages bring
# The variable that holds a source's token where `token_env` does not name another.
TOKEN_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"github": "APP_UPDATE_GITHUB_TOKEN", "codeup": "APP_UPDATE_YUNXIAO_TOKEN"}
)
# Where git finds repositories over HTTPS, at the public hosts that APP_UPDATE_SOURCE may name.
PUBLIC_GIT_HOSTS: Mapping[str, str] = MappingProxyType(
    {"github": "https://github.com", "codeup": "https://codeup.aliyun.com"}
)
