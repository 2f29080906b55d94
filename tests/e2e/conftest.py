"""A small app on v1.0.0 with one backup; it and its remote are given back as they were before each test."""

from __future__ import annotations

from typing import Any

import pytest
from support.sample import Sample, Tree

SETTINGS = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks, timeout: 2}\n"


def tree(version: str, greeting: str, **more: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        ".gitignore": "/venv\n/run/\n",
        "VERSION": version,
        "requirements.txt": f"greeting=={greeting}\n",
        "code/main.py": f"VERSION = {version!r}\n",
        "code/same.py": "",
        **more,
    }


class Shop(Sample):
    """The small app."""


@pytest.fixture(scope="session")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    for version in ("1.0", "2.0"):
        shop.wheel("greeting", version)
    shop.release("v1.0.0", tree("1.0.0", "1.0"))
    shop.release("v2.0.0", tree("2.0.0", "2.0"))
    shop.release("v2.1.0", tree("2.1.0", "2.0"))
    shop.install("v1.0.0", branch="main")
    shop.gitdeploy("backup", "--label", "first")
    shop.keep(remote=True)
    return shop


@pytest.fixture
def shop(shop_once: Shop) -> Shop:
    shop_once.reset()
    return shop_once
