"""The section `rehearse` of deploy.yaml: how a release is tried on a copy of the app and its data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitdeploy.config import checks
from gitdeploy.config.kinds import ListOf, Section, Text, Texts, setting


class RehearseConfig(Section, frozen=True):
    command: str | None = setting(
        Text("a shell command with {port} in it", checks.rehearse_command),
        None,
        "Starts the app in the copy, in the foreground, at 127.0.0.1:{port}. Default: none, and its health is not asked.",
    )
    env: Mapping[str, str] = setting(
        Texts("a mapping of variables to texts", checks.rehearse_variable, checks.mask_header),
        MappingProxyType({}),
        "Variables that are different in a rehearsal: what switches mail and queues off. {port}, {database} (the name of the "
        "scratch database; {database2} of the second) stand for what they are then.",
    )
    pass_env: tuple[str, ...] = setting(
        ListOf(Text("the name of an environment variable", checks.passed_variable)),
        (),
        "Variables that look like credentials of other services and are needed all the same. Default: those are withheld.",
    )
