"""fleet.yaml: how a rollout goes, in Ansible's terms."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.config import HealthConfig
from gitdeploy.config.document import LARGEST, Node, Problem, Scalar, Unreadable, refused
from gitdeploy.config.kinds import (
    Choice,
    Duration,
    Group,
    Json,
    ListOf,
    Number,
    Section,
    Text,
    Wrong,
    setting,
    settings_of,
    shown_key,
    wrong,
)
from gitdeploy.config.window import Window, WindowKind
from gitdeploy.errors import ConfigError, UsageError
from gitdeploy.messages import tr
from gitdeploy.system.trusted import weak, weak_below
from gitdeploy.text import nearest, path_text

_HINT = tr("docs/fleet.md has every key of fleet.yaml.")

FILE_NAME = "fleet.yaml"
DAY = 86400.0
_DEEP = 40  # folders inside each other in an inventory
_SIZE = re.compile(r"([1-9]\d{0,5})|(100|[1-9]\d?)%")
_ASKED = ("url", "expect", "expect_body", "headers", "timeout", "interval", "successes")


class Size(Struct, frozen=True):
    """How many hosts are a batch: a number, or a share of all (`10%`), at least one."""

    number: int
    percent: bool = False

    def of(self, hosts: int) -> int:
        """The batch's size in a fleet of so many HOSTS."""
        return max(1, hosts * self.number // 100) if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


class SizeKind:
    """An entry of Ansible's `serial`."""

    expected = tr("a number of hosts such as 2, or a share of them such as 25%")

    def read(self, node: Node) -> Size:
        found = _SIZE.fullmatch(node.text) if isinstance(node, Scalar) else None
        if not found:
            raise wrong(node, self.expected)
        return Size(int(found[1] or found[2]), percent=found[2] is not None)

    def schema(self) -> Json:
        return {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+%?$"}]}

    def show(self, value: Any) -> Any:
        return value.number if not value.percent else str(value)


class FleetConfig(Section, frozen=True):
    """A fleet: its hosts, and how a release is rolled out to them."""

    inventory: tuple[str, ...] = setting(
        ListOf(Text("a path of an Ansible inventory")), (), "Ansible's inventory, relative to this file (-i)."
    )
    hosts: str = setting(Text("a pattern of hosts"), "all", "The app's hosts, as a pattern of Ansible's.")
    dir: str | None = setting(
        Text("a path"), None, "The app's checkout on the hosts. Default: the variable gitdeploy_dir of each host."
    )
    database: str = setting(
        Choice(("shared", "own")),
        "shared",
        "shared: all hosts use one database, and one host dumps and migrates it (the first of the group "
        "gitdeploy_primary, else the first of all). own: each host has its own.",
    )
    serial: tuple[Size, ...] = setting(
        ListOf(SizeKind()),
        (Size(1), Size(10, percent=True), Size(50, percent=True)),
        "Sizes of the batches; the last one repeats until all hosts are through.",
    )
    max_fail_percentage: int = setting(
        Number(0, 100), 0, "The rollout stops when more than this share of a batch's hosts has failed."
    )
    canary: str | None = setting(
        Text("a pattern of hosts"), None, "Hosts that are upgraded first and watched, as a pattern of Ansible's."
    )
    soak: float = setting(
        Duration(0, 7 * DAY), 0.0, "How long the canary hosts, or the first batch, are watched before the next batch."
    )
    health: HealthConfig | None = setting(
        Group(lambda: HealthConfig, only=_ASKED, short="url"),
        None,
        "A URL that is asked through the balancer after each batch: url, expect, expect_body, headers, timeout, "
        "interval, successes.",
    )
    on_failure: str = setting(
        Choice(("halt", "rollback-batch", "rollback-all")),
        "halt",
        "What happens when the rollout stops. A host that failed rolls itself back in any case. halt: the others stay as "
        "they are; rollback-batch: the failed batch goes back; rollback-all: every host goes back.",
    )
    window: Window | None = setting(
        WindowKind(), None, "The time of day in which a batch may begin, as HH:MM-HH:MM with an optional time zone."
    )
    drain: str | None = setting(
        Text("a path of a file of tasks"),
        None,
        "Ansible tasks before a host's switch, such as taking it out of the balancer.",
    )
    undrain: str | None = setting(
        Text("a path of a file of tasks"),
        None,
        "Ansible tasks after it; not after a host that needs manual intervention.",
    )
    forks: int = setting(Number(1, 500), 25, "How many hosts are worked on at once.")
    reach: float = setting(
        Duration(0, DAY), 60.0, "How long a host that can't be reached any more in the middle is waited for."
    )
    silence: float = setting(
        Duration(60, 7 * DAY),
        1800.0,
        "How long a task may take without a word, before its host counts as unreachable. Deployments say every 15 s what they "
        "are doing, however long they take; a wait of yours in drain does not.",
    )


class Fleet(Struct, frozen=True):
    """A fleet as fleet.yaml and the command line have it. `folder`: what relative paths start from, and where the journal
    is kept."""

    folder: Path
    config: FleetConfig
    become: bool = False

    @property
    def state(self) -> Path:
        return self.folder / ".gitdeploy-fleet"

    def path(self, name: str) -> str:
        """NAME of fleet.yaml as an absolute path."""
        return str(self.folder / Path(name).expanduser())

    def inventories(self) -> list[str]:
        """What Ansible is given with -i; empty: as ansible.cfg says. A list of hosts (`web1,web2`) stays one. Raises
        `UsageError` for a file that isn't there."""
        found = [each if "," in each else self.path(each) for each in self.config.inventory]
        if gone := [each for each in found if "," not in each and not os.path.exists(each)]:
            raise UsageError(
                tr("There is no inventory {path}.", path=path_text(gone[0])),
                tr("Name an inventory of Ansible's (-i FILE), or `inventory` in fleet.yaml."),
            )
        return found


def load(folder: Path, file: Path | None) -> Fleet:
    """The fleet of FILE, else of fleet.yaml in FOLDER, else one with nothing set. Raises `ConfigError`."""
    path = file or folder / FILE_NAME
    refuse_weak(path)  # its tasks would run as root here
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        if file is None:
            return Fleet(folder.absolute(), FleetConfig())
        raise ConfigError(tr("There is no file {file}.", file=path_text(str(file)))) from error
    except OSError as error:
        raise ConfigError(
            tr("{file} can't be read: {strerror}.", file=path_text(str(path)), strerror=error.strerror)
        ) from error
    return Fleet(path.parent.absolute(), read(raw, path_text(path.name)))


def refuse_weak(path: str | Path) -> None:
    """Raises `ConfigError` where others than root can change what root follows: PATH, or what is in it."""
    if os.geteuid() == 0 and (bad := weak(path) or weak_below(path, depth=_DEEP)) is not None:
        raise ConfigError(
            tr("{file} can be changed by {who}, and root follows it.", file=path_text(bad.path), who=bad.who),
            tr("Work in a folder that is root's, or as the user whose fleet it is."),
        )


def read(raw: bytes, name: str) -> FleetConfig:
    """RAW, the bytes of a fleet.yaml; NAME stands in errors. Raises `ConfigError` with everything that is wrong."""
    from gitdeploy.config.parsing import read_document

    known, values, problems = settings_of(FleetConfig), {}, []
    try:
        table = read_document(raw[: LARGEST + 1])
    except Unreadable as error:
        raise refused(name, error.problems, _HINT) from error
    for key, (line, node) in table.entries.items():
        if key not in known:
            near = nearest(key, known)
            ask = tr(" Did you mean {nearest}?", nearest=f"`{near[0]}`") if near else ""
            problems.append(
                Problem(line, tr("`{dotted}` is not known.{question}", dotted=shown_key(key), question=ask))
            )
        elif not (isinstance(node, Scalar) and node.nothing):
            try:
                values[known[key].attribute] = known[key].kind.read(node)
            except Wrong as error:
                problems += [
                    Problem(each.line, tr("`{dotted}` {each_message}", dotted=key, each_message=each.message))
                    for each in error.problems
                ]
    if problems:
        raise refused(name, problems, _HINT)
    config = FleetConfig(**values)
    if not config.serial:
        raise ConfigError(tr("{name}: `serial` is an empty list.", name=name))
    if config.health is not None and not config.health.url:
        raise ConfigError(tr("{name}: `health` has no `url`.", name=name))
    return config


def with_options(fleet: Fleet, values: dict[str, Any]) -> Fleet:
    """FLEET with what the command line says. Raises `UsageError`."""
    given = {key: value for key, value in values.items() if value not in (None, ()) and key in settings_of(FleetConfig)}
    for key, value in given.items():
        kind = settings_of(FleetConfig)[key].kind
        texts = value if isinstance(value, tuple) else (str(value),)
        try:
            read_values = (
                tuple(kind.kind.read(Scalar(text, True, 0)) for text in texts) if isinstance(kind, ListOf) else None
            )
            given[key] = read_values if read_values is not None else kind.read(Scalar(texts[0], True, 0))
        except Wrong as error:
            raise UsageError(
                tr("--{option} {problem}", option=key.replace("_", "-"), problem=error.problems[0].message)
            ) from error
    if "inventory" in given:  # typed: from where it was typed
        given["inventory"] = tuple(each if "," in each else str(Path(each).absolute()) for each in given["inventory"])
    found = replace(fleet, config=replace(fleet.config, **given), become=bool(values.get("become")))
    for key, tasks in (("drain", found.config.drain), ("undrain", found.config.undrain)):
        if tasks is not None and not os.path.isfile(found.path(tasks)):
            raise ConfigError(tr("`{key}` names {path}, which is no file.", key=key, path=path_text(found.path(tasks))))
        if tasks is not None:
            refuse_weak(found.path(tasks))
    return found
