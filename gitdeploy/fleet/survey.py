"""Which hosts a fleet has, what each of them runs, and what differs between them: asked of the hosts themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitdeploy.errors import UsageError
from gitdeploy.fleet.ansible import Ansible, OnResult, Played
from gitdeploy.messages import tr
from gitdeploy.text import clean, count, listing

ASK, LIST = "Ask", "List"  # tasks of the playbook `survey`
# Settings that are a host's own matter, or follow from the others.
_OWN = frozenset(("app.name", "venv.path", "web.host", "web.port"))


class HostFacts(Struct, frozen=True):
    """One host as it is now. `unreachable` and `problem` say why nothing more is known of it."""

    name: str
    unreachable: str = ""
    problem: str = ""
    status: Mapping[str, Any] = {}
    packages: Mapping[str, str] | None = None
    settings: Mapping[str, Any] | None = None
    requests: Mapping[str, Mapping[str, Any]] = {}

    @property
    def known(self) -> bool:
        return not self.unreachable and not self.problem

    @property
    def runs(self) -> str | None:
        """The live release's tag, else its version, else the commit."""
        state = self.status
        return state.get("tag") or state.get("version") or str(state.get("commit") or "")[:12] or None

    @property
    def health(self) -> str | None:
        """Why it is unhealthy; None where it is healthy, or nothing is configured by which that could be told."""
        found = self.status.get("health")
        return str(found) if found else None

    @property
    def busy(self) -> str:
        """Who deploys there now, or why deployments are paused; empty where one could begin."""
        if (holder := self.status.get("locked_by")) is not None:
            return tr(
                "{who} runs `{command}` there",
                who=clean(str(holder.get("who"))),
                command=clean(str(holder.get("command")), limit=80),
            )
        if (held := self.status.get("held")) is not None:
            why = clean(str(held.get("message") or tr("no reason given")))
            return tr("paused by {who}: {why}", who=clean(str(held.get("who"))), why=why)
        return ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "host": self.name,
            "runs": self.runs,
            "unreachable": self.unreachable or None,
            "problem": self.problem or None,
            "status": dict(self.status) or None,
        }


class Survey(Struct, frozen=True):
    """The fleet's hosts, in the inventory's order, and the hosts of the groups that count."""

    hosts: Sequence[HostFacts]
    primary: Sequence[str] = ()
    canary: Sequence[str] = ()
    undrained: Sequence[str] = ()  # those with tasks after their switch, wherever these are set

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.hosts]

    def of(self, name: str) -> HostFacts:
        """Raises `UsageError` for a host that isn't the app's."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise UsageError(
            tr("{host} is none of the app's hosts.", host=clean(name)),
            tr("Name the inventory (-i FILE), or the app's hosts (`hosts` in fleet.yaml, --hosts)."),
        )


def survey(
    ansible: Ansible,
    *,
    gather: Sequence[str] = ("health",),
    requests: Mapping[str, Sequence[str]] | None = None,
    hosts: Sequence[str] | None = None,
    on_result: OnResult = lambda _: None,
) -> Survey:
    """Ask every host of the fleet (or HOSTS). REQUESTS: host -> runs to look for in its journal. Raises `UsageError` where
    there is no host."""
    variables: dict[str, Any] = {"gitdeploy_gather": list(gather)}
    if requests:
        variables["gitdeploy_requests"] = {host: list(each) for host, each in requests.items()}
    if (canary := ansible.fleet.config.canary) is not None:
        variables["gitdeploy_canary"] = canary
    played = ansible.play("survey", variables, hosts=hosts, on_result=on_result)
    parts = re.split(r"[:,]", ansible.fleet.config.hosts) if hosts is None else []
    wrong = next(
        (each for each in parts if each.lstrip("&") in played.unmatched), None
    )  # the others would go on without it
    listed = next((each for each in played.results if each.task == LIST and each.kind == "ok"), None)
    if hosts is None and canary is not None and listed is not None and not listed.facts["msg"]["canary"]:
        wrong = canary  # else no host would be watched before the others
    if listed is None or wrong is not None:
        pattern = wrong or ansible.fleet.config.hosts
        raise UsageError(
            tr("The inventory has no host that matches `{pattern}`.", pattern=clean(pattern)),
            tr("Name the inventory (-i FILE), or the app's hosts (`hosts` in fleet.yaml, --hosts)."),
        )
    groups = listed.facts["msg"]
    return Survey(
        [_facts(name, played) for name in groups["hosts"]], groups["primary"], groups["canary"], groups["undrained"]
    )


def _facts(name: str, played: Played) -> HostFacts:
    result = played.last(name, ASK)
    if result is None and played.silent:
        return HostFacts(name, unreachable=played.why)
    if result is None:
        return HostFacts(name, problem=tr("Ansible asked it nothing."))
    if result.kind == "unreachable":
        return HostFacts(name, unreachable=result.message or tr("no answer"))
    if result.kind == "failed":
        return HostFacts(name, problem=result.message or tr("it could not be asked"))
    facts = result.facts
    return HostFacts(
        name,
        status=facts["status"],
        packages=facts.get("packages"),
        settings=facts.get("settings"),
        requests=facts.get("requests") or {},
    )


# ---- what differs ----


def drift(hosts: Iterable[HostFacts]) -> dict[str, list[str]]:
    """Host -> what is otherwise there than in its release or on most hosts that run the same one, in sentences."""
    known = [host for host in hosts if host.known]
    found: dict[str, list[str]] = {host.name: [] for host in known}
    for host in known:
        if changed := host.status.get("local_changes"):
            found[host.name].append(
                tr("changed files: {files}", files=listing([clean(str(each)) for each in changed], 3))
            )
    for release in {host.status.get("commit") for host in known}:
        same = [host for host in known if host.status.get("commit") == release]
        for host, differing in _unlike_most(same, [host.packages for host in same]):
            found[host.name].append(_differs("package", differing))
        for host, differing in _unlike_most(same, [host.settings for host in same]):
            if own := [each for each in differing if each.partition("=")[0] not in _OWN]:
                found[host.name].append(_differs("setting", own))
    return {name: said for name, said in found.items() if said}


def _unlike_most(
    hosts: Sequence[HostFacts], facts: Sequence[Mapping[str, Any] | None]
) -> Iterable[tuple[HostFacts, list[str]]]:
    """Each of HOSTS whose FACTS are not those of most of them, with `name=value` of what differs (`name=` where it lacks it)."""
    there = [(host, each) for host, each in zip(hosts, facts, strict=True) if each is not None]
    if len(there) < 2:
        return
    usual: dict[str, str] = {}
    for key in {key for _, each in there for key in each}:
        [(value, number)] = Counter(repr(each.get(key)) for _, each in there).most_common(1)
        if number > 1 or len(there) == 2:
            usual[key] = value
    for host, each in there:
        differing = [key for key, value in sorted(usual.items()) if repr(each.get(key)) != value]
        if differing:
            yield host, [f"{key}={each.get(key, '')}" for key in differing]


def _differs(what: str, differing: Sequence[str]) -> str:
    return tr(
        "{number} otherwise than on most hosts: {names}",
        number=count(len(differing), what),
        names=listing([clean(each, limit=60) for each in differing], 3),
    )
