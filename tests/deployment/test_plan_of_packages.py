"""What a plan says of packages, by what the live venv holds and what the release asks for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.checkouts import Checkout
from support.noted_venv import noted_venv

from gitdeploy.cli.plan_text import _packages
from gitdeploy.deployment.flow.upgrade import plan_upgrade
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.prepare.release import Chosen
from gitdeploy.site.site import Site
from gitdeploy.versions import CodeState

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"
PROJECT = (
    '[project]\nname = "shop"\nversion = "2"\ndependencies = ["a>=2"]\n[project.optional-dependencies]\npg = ["b>=2"]\n'
)
SHOP = '1\nProvides-Extra: pg\nRequires-Dist: a\nRequires-Dist: b; extra == "pg"\n'


def venv_line(
    checkout: Checkout, release: Mapping[str, str], packages: Mapping[str, str], *, itself: bool = False
) -> str:
    checkout.go(checkout.commit({"deploy.yaml": SETTINGS, ".gitignore": "/venv\n"}, tag="v1.0.0"))
    site = noted_venv(checkout.root / "venv", packages)
    if itself:
        (site / "shop-1.dist-info/direct_url.json").write_text(
            f'{{"url": "file://{checkout.root}", "dir_info": {{"editable": true}}}}'
        )
    tree = {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n", **release}
    commit = checkout.commit(tree, after=checkout.git("rev-parse", "HEAD"), tag="v2.0.0")
    plan = plan_upgrade(Site.open(checkout.root), None, Chosen(CodeState("2.0.0", "v2.0.0", commit)), Options())
    assert plan.venv is not None
    return _packages(plan.venv)


@pytest.mark.parametrize(
    ("asked", "there", "said"),
    [
        ("a==4.6", "4.6.0", "no package is known to change"),
        ("a==4.6.0", "4.6", "no package is known to change"),
        ("a==1.0", "1.0+cpu", "no package is known to change"),
        ("a===1.0", "1.0.0", "no package is known to change"),
        ("a==1.0+cpu", "1.0", "a 1.0 -> 1.0+cpu"),
        ("a==1.0", "1.0rc1", "a 1.0rc1 -> 1.0"),
        ("a==not-a-version", "1", "a 1 -> not-a-version"),
    ],
)
def test_two_spellings_of_a_version_are_one(checkout: Checkout, asked: str, there: str, said: str) -> None:
    assert said in venv_line(checkout, {"requirements.txt": f"{asked}\n"}, {"a": there})


def test_what_the_app_itself_needs_is_said_with_the_extras_that_it_has(checkout: Checkout) -> None:
    said = venv_line(checkout, {"pyproject.toml": PROJECT}, {"a": "1", "b": "1", "shop": SHOP}, itself=True)
    assert said == "a 1 -> >=2, b 1 -> >=2, the app itself with pg"


def test_an_extra_that_the_release_lacks_is_not_asked_of_it(checkout: Checkout) -> None:
    project = PROJECT.partition("[project.optional")[0]
    said = venv_line(checkout, {"pyproject.toml": project}, {"a": "1", "b": "1", "shop": SHOP}, itself=True)
    assert said == "a 1 -> >=2, the app itself"
