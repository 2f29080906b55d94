"""fleet.yaml, and the order in which hosts go live."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support import needs

from gitdeploy.errors import ConfigError, DeploymentFailed
from gitdeploy.fleet import ansible
from gitdeploy.fleet.ansible import Ansible
from gitdeploy.fleet.batches import batches, primary_of, too_many
from gitdeploy.fleet.settings import Fleet, FleetConfig, Size, load, read
from gitdeploy.fleet.survey import HostFacts, drift, survey


def test_all_of_it_is_read() -> None:
    config = read(
        b"inventory: hosts.ini\nhosts: web\nserial: [1, 10%, 50%]\nmax_fail_percentage: 20\ncanary: web1\nsoak: 10m\n"
        b"health: https://shop.example.com/health\non_failure: rollback-all\nwindow: '22:00-04:00'\ndatabase: own\n",
        "fleet.yaml",
    )
    assert [str(size) for size in config.serial] == ["1", "10%", "50%"]
    assert (config.soak, config.max_fail_percentage, config.on_failure) == (600, 20, "rollback-all")
    assert config.health is not None
    assert config.health.url == ("https://shop.example.com/health",)
    assert read(b"", "fleet.yaml") == FleetConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serail: 1", "fleet.yaml line 1: `serail` is not known. Did you mean `serial`?"),
        ("\nserial: [1, 0%]", "line 2: `serial` must be"),
        ("serial: 0", "`serial` must be"),
        ("serial: []", "`serial` is an empty list"),
        ("on_failure: panic", "one of halt, rollback-batch, rollback-all; found `panic`"),
        ("max_fail_percentage: 101", "a whole number from 0 to 100"),
        ("health: {expect: 200}", "`health` has no `url`"),
        ("health: {command: rm}", "has no key `command`"),
        ("window: sometimes", "a time of day"),
        ("a: [", "not valid YAML"),
        ("- a", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text.encode(), "fleet.yaml")
    told = " ".join((raised.value.message, *raised.value.details))
    assert said in told


@needs.another_user
def test_root_follows_no_file_that_others_can_change(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text("drain: /tmp/mine.yml\n")
    tmp_path.chmod(0o755)
    assert load(tmp_path, None).config.drain
    os.chown(tmp_path / "fleet.yaml", needs.NOBODY, needs.NOBODY)
    with pytest.raises(ConfigError, match="can be changed by"):
        load(tmp_path, None)


@needs.another_user
@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("hosts.ini", "hosts.ini"),
        ("hosts.ini", "group_vars"),
        ("hosts.ini", "group_vars/all.yml"),
        ("hosts.ini", "host_vars/web1/more.yml"),
        ("inventory", "inventory/more.ini"),
        ("inventory", "inventory/group_vars/all.yml"),
        ("web1,web2", "ansible.cfg"),
        (None, "hosts.ini"),  # ansible.cfg names it
    ],
)
def test_root_follows_no_inventory_that_others_can_change(tmp_path: Path, given: str | None, changed: str) -> None:
    pytest.importorskip("ansible_runner")
    for name in (
        "hosts.ini",
        "group_vars/all.yml",
        "host_vars/web1/more.yml",
        "inventory/more.ini",
        "inventory/group_vars/all.yml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = hosts.ini\n")
    fleet = Fleet(tmp_path, FleetConfig(inventory=(given,) if given else ()))
    with Ansible(fleet):
        os.chown(tmp_path / changed, needs.NOBODY, needs.NOBODY)
    with pytest.raises(ConfigError, match="can be changed by"):
        Ansible(fleet).__enter__()


def test_an_inventory_that_hangs_is_ended_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ansible_runner")
    monkeypatch.setattr(ansible, "_BEYOND", 1)
    (tmp_path / "hangs").write_text("#!/bin/sh\nexec sleep 20\n")
    (tmp_path / "hangs").chmod(0o755)
    with Ansible(Fleet(tmp_path, FleetConfig(inventory=("hangs",), silence=1))) as one:
        with pytest.raises(DeploymentFailed, match="Ansible said nothing for 2") as raised:
            survey(one)
    assert "`silence` in fleet.yaml" in raised.value.hint


SIZES = some.lists(
    some.one_of(
        some.builds(Size, some.integers(1, 20)), some.builds(Size, some.integers(1, 100), some.just(value=True))
    ),
    min_size=1,
    max_size=4,
)


@given(some.integers(1, 60), SIZES, some.sets(some.integers(0, 59)), some.booleans())
def test_every_host_goes_once_and_the_one_that_migrates_by_itself_before_all(
    number: int, serial: list[Size], canary: set[int], shared: bool
) -> None:
    hosts = [f"web{each}" for each in range(number)]
    primary = hosts[number // 2] if shared else None
    order = batches(hosts, primary, {f"web{each}" for each in canary}, serial)
    assert sorted(host for batch in order for host in batch) == sorted(hosts)
    assert all(order)
    if primary is not None:
        assert order[0] == (primary,)


def test_batches_are_as_ansible_makes_them() -> None:
    hosts = [f"web{each}" for each in range(1, 9)]

    def made(serial: str, primary: str | None = None, canary: tuple[str, ...] = ()) -> list[int]:
        sizes = read(f"serial: {serial}".encode(), "fleet.yaml").serial
        return [len(batch) for batch in batches(hosts, primary, canary, sizes)]

    assert made("[1, 10%, 50%]") == [1, 1, 4, 2]
    assert made("3") == [3, 3, 2]
    assert made("100%") == [8]
    assert made("[1, 50%]", "web3", ("web5",)) == [1, 1, 4, 2]
    assert primary_of(hosts, []) == "web1"
    assert primary_of(hosts, ["db2", "db1"]) == "db2"


@pytest.mark.parametrize(
    ("failed", "hosts", "percentage", "stops"),
    [(0, 4, 0, False), (1, 4, 0, True), (1, 4, 25, False), (2, 4, 25, True), (1, 3, 33, True), (4, 4, 100, False)],
)
def test_it_stops_where_ansible_would(failed: int, hosts: int, percentage: int, stops: bool) -> None:
    assert too_many(failed, hosts, percentage) is stops


def test_what_differs_between_hosts_is_named() -> None:
    def host(name: str, commit: str = "c1", changed: tuple[str, ...] = (), **more: object) -> HostFacts:
        facts = {"packages": {"flask": "3.1"}, "settings": {"app.name": name, "backup.keep": 5}, **more}
        return HostFacts(name, status={"commit": commit, "local_changes": changed}, **facts)  # type: ignore[arg-type]

    same = [host("web1"), host("web2"), host("web3")]
    assert drift(same) == {}
    odd = drift(
        [
            *same,
            host("web4", changed=("app.py",)),
            host("web5", packages={"flask": "3.0", "left": "1"}),
            host("web6", settings={"app.name": "web6", "backup.keep": 9}),
            host("web7", commit="c0", packages={"flask": "2"}),
        ]
    )
    assert odd["web4"] == ["changed files: app.py"]
    assert "flask=3.0" in odd["web5"][0]
    assert "left=1" in odd["web5"][0]
    assert "backup.keep=9" in odd["web6"][0]
    assert "web7" not in odd, "another release has other packages: that is no drift"
