"""The source of docs/sources.md, as it stands there, installed as a package would be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hosts.standin import Reply, StandIn
from support.sample import PROJECT

from sources.conftest import Shop, make_shop


class Shed(StandIn):
    """A server with one JSON file of releases."""

    kind = "cargo-shed"

    @property
    def settings(self) -> str:
        return f"  type: cargo-shed\n  repo: {self.repo}\n  url: {self.origin}\n"

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if path != f"/{self.repo}/releases.json":
            return Reply(404, {"message": "Not Found"})
        return Reply(data=[{"tag": tag.name, "commit": tag.commit, "notes": tag.message} for tag in self.tags()])


def example() -> str:
    """The Python of the guide."""
    found = re.search(r"```python\n(.*?)```", (PROJECT / "docs/sources.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def own(template: Path, tmp_path: Path) -> Iterator[Shop]:
    place = tmp_path / "site"
    facts = place / "cargo_shed-1.0.dist-info"
    facts.mkdir(parents=True)
    (place / "cargo_shed.py").write_text(example())
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: cargo-shed\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[gitdeploy.sources]\ncargo-shed = cargo_shed:CargoShed\n")
    shop = make_shop(template, tmp_path, Shed, "tok-of-the-shed")
    shop.sample.extra_environment |= {"PYTHONPATH": f"{place}:{PROJECT}", "SHOP_SOURCE_TOKEN": "tok-of-the-shed"}
    yield shop
    shop.host.close()


def test_it_is_shorter_than_sixty_lines() -> None:
    assert len(example().splitlines()) < 60


def test_it_checks_and_upgrades_a_private_repository(own: Shop) -> None:
    done = own.run("check", "--force")
    assert "v1.2.10 is available; 1.2.9 is live." in done.out
    own.host.forget()
    own.run("check", "--force")
    assert [(r.conditional, r.status) for r in own.host.requests] == [(True, 304)]
    own.run("upgrade", "v1.2.10")
    assert (own.sample.app / "VERSION").read_text() == "v1.2.10"


def test_a_package_that_cannot_be_loaded_is_a_sentence(own: Shop) -> None:
    place = Path(own.sample.extra_environment["PYTHONPATH"].partition(":")[0])
    (place / "cargo_shed.py").write_text("raise RuntimeError('no')\n")
    assert "can't be loaded: no" in own.run("check", code=2).err


def test_a_type_that_nothing_brings(own: Shop) -> None:
    own.sample.extra_environment["PYTHONPATH"] = str(PROJECT)
    assert "source.type" in own.run("check", code=2).err
