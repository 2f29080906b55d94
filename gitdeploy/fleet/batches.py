"""In which order the hosts of a rollout go live."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gitdeploy.fleet.settings import Size


def primary_of(hosts: Sequence[str], group: Sequence[str]) -> str:
    """The one host that dumps and migrates the shared database: the first of the GROUP gitdeploy_primary, else of HOSTS."""
    return group[0] if group else hosts[0]


def batches(
    hosts: Sequence[str], primary: str | None, canary: Collection[str], serial: Sequence[Size]
) -> list[tuple[str, ...]]:
    """HOSTS in batches: PRIMARY (None: no host is) by itself, since the others wait for its migration; then the CANARY
    hosts; then by SERIAL, whose last entry repeats. What went before SERIAL stands for its first entry, where it has more.

    Shares of SERIAL are of all HOSTS, as Ansible's are.
    """
    left = list(hosts)
    made: list[tuple[str, ...]] = []
    for wanted in ([primary], [host for host in hosts if host in canary]):
        first = tuple(host for host in wanted if host in left)
        if first:
            made.append(first)
            left = [host for host in left if host not in first]
    sizes = iter(serial[1:] if made and len(serial) > 1 else serial)
    size = next(sizes)
    while left:
        number = size.of(len(hosts))
        made.append(tuple(left[:number]))
        left = left[number:]
        size = next(sizes, size)
    return made


def too_many(failed: int, hosts: int, percentage: int) -> bool:
    """Whether FAILED of a batch's HOSTS are more than `max_fail_percentage` lets pass, as Ansible counts."""
    return failed > 0 and failed * 100 > percentage * hosts
