"""A small app with a page, given back as it was before each test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.sample import Program, Sample, Tree
from werkzeug.test import TestResponse

from gitdeploy.web.api.openapi import ERROR
from gitdeploy.web.serving.blueprint import document
from gitdeploy.web.serving.server import make_app
from gitdeploy.web.shared.panel import Panel

SETTINGS = """\
app: {name: shop}
source: {type: git}
hooks: {dir: hooks, timeout: 20}
web: {hosts: [shop.example.com], trusted_proxies: [192.0.2.0/24]}
"""
NOTES = """\
Release v1.1.0

## New

* faster <script>alert(1)</script>
* [a trap](javascript:alert(1)) and [a page](https://example.com/x)
"""


def tree(version: str, greeting: str = "1.0", /, **more: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        ".gitignore": "/venv\n",
        "requirements.txt": f"greeting=={greeting}\n",
        "main.py": f"VERSION = {version!r}\n",
        **more,
    }


class Shop(Sample):
    """The small app: v1.0.0 is live, v1.1.0 newer, v1.2.0's hook fails."""


@pytest.fixture(scope="session")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("web"))
    for version in ("1.0", "2.0"):
        shop.wheel("greeting", version)
    shop.release("v1.0.0", tree("1.0.0"))
    shop.release("v1.1.0", tree("1.1.0", "2.0"), message=NOTES)
    shop.release(
        "v1.2.0", tree("1.2.0", **{"hooks/post-deploy": Program("#!/bin/sh\necho this hook fails >&2\nexit 3\n")})
    )
    shop.install("v1.0.0", branch="main")
    shop.gitdeploy("backup", "--label", "first")
    shop.keep()
    return shop


@pytest.fixture
def shop(shop_once: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop_once.reset()
    for name, value in shop_once.environment.items():
        monkeypatch.setenv(name, value)
    return shop_once


def json_of(answer: TestResponse) -> Any:
    """What an answer says, which has to be JSON."""
    assert answer.is_json, answer.text
    return answer.json


def check_answer(method: str, path: str, answer: Any) -> None:
    """ANSWER is one that openapi.json has for this address and status, down to its fields."""
    path = path.partition("?")[0]
    entry = document()["paths"].get("/hooks/{source}" if path.startswith("/hooks/") else path, {}).get(method.lower())
    if entry is None or not answer.is_json:
        return
    status = str(answer.status_code)
    assert status in entry["responses"], (path, status, answer.text)
    schema = entry["responses"][status]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json, ERROR if "$ref" in schema else schema)


@dataclass
class Web:
    """The page of the shop, without a server between."""

    shop: Shop
    app: Flask
    token: str
    reader: str

    @property
    def panel(self) -> Panel:
        found: Panel = self.app.extensions["gitdeploy"]["gitdeploy"]
        return found

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def get(self, path: str, *, token: str | None = "", **options: Any) -> Any:
        answer = self.client().get(f"/upgrade{path}", headers=self.headers(token, options), **options)
        check_answer("GET", path, answer)
        return answer

    def post(self, path: str, body: Any = None, *, token: str | None = "", **options: Any) -> Any:
        headers = self.headers(token, options)
        answer = self.client().post(f"/upgrade{path}", json={} if body is None else body, headers=headers, **options)
        check_answer("POST", path, answer)
        return answer

    def headers(self, token: str | None, options: dict[str, Any]) -> dict[str, str]:
        """The administrator's token, unless another one or (None) no one is given."""
        found = dict(options.pop("headers", {}))
        if token is not None:
            found["Authorization"] = f"Bearer {token or self.token}"
        return found

    def log_in(self, token: str = "") -> FlaskClient:
        client = self.client()
        answer = client.post("/upgrade/login", data={"token": token or self.token})
        assert answer.status_code == 303, answer.text
        return client


@pytest.fixture
def web(shop: Shop) -> Web:
    app = make_app(shop.app, auto_check=False)
    store = app.extensions["gitdeploy"]["gitdeploy"].store
    return Web(shop, app, store.add_token("li", read_only=False), store.add_token("dashboard", read_only=True))
