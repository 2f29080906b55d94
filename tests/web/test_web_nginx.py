"""The nginx configuration of docs/web.md, as it stands there, in front of a served page."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.waiting import free_port, wait_until
from web.conftest import Web
from web.nginx import NAME, needs_nginx, nginx_before
from web.test_web_api import until_up

pytestmark = needs_nginx


@pytest.fixture
def proxied(web: Web, tmp_path: Path) -> Iterator[tuple[Web, int]]:
    """A page behind nginx with TLS; the port of nginx."""
    page, outside = free_port(), free_port()
    settings = web.shop.app / "deploy.yaml"
    settings.write_text(settings.read_text().replace("192.0.2.0/24", "127.0.0.1"))
    server = web.shop.start("web", "--port", str(page), stdout=subprocess.DEVNULL)
    try:
        with nginx_before(page, outside, tmp_path, prefix="/shop"):
            until_up(page)
            yield web, outside
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> Any:
    """(status, headers, text) as https://shop.example.com answers."""
    context = ssl._create_unverified_context()

    def answer() -> Any:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": f"{NAME}:{port}", **names})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    return wait_until(answer, seconds=20, every=0.1, errors=ConnectionRefusedError)


def test_the_page_behind_nginx_with_tls(proxied: tuple[Web, int]) -> None:
    web, port = proxied
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": f"https://{NAME}:{port}"}
    status, headers, text = ask(port, "POST", "/upgrade/login", f"token={web.token}", **form)
    assert status == 303, text
    assert "Secure" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    status, _, page = ask(port, "GET", "/upgrade/", Cookie=cookie)
    assert status == 200
    proof = page.split('data-csrf="')[1].split('"')[0]
    change = {"Cookie": cookie, "X_CSRF_Token": proof, "Content_Type": "application/json", "Origin": form["Origin"]}
    forged = {"X_Forwarded_For": "203.0.113.66", "X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
    status, _, text = ask(port, "POST", "/upgrade/api/lock", '{"message": "x"}', **change, **forged)
    assert status == 200, text
    status, _, text = ask(port, "GET", "/upgrade/api/status", Cookie=cookie)
    assert json.loads(text)["data"]["held"]["who"] == "li (web, from 127.0.0.1)", "nginx says who asks, nobody else"
    status, _, text = ask(port, "POST", "/upgrade/api/unlock", "{}", **{**change, "Origin": f"http://{NAME}:{port}"})
    assert status == 403, "another scheme is another site"
    status, _, text = ask(port, "GET", "/upgrade/api/events?deployment=1", Cookie=cookie)
    assert status == 200
    assert "event: end" in text


def test_under_another_path(proxied: tuple[Web, int]) -> None:
    web, port = proxied
    status, headers, _ = ask(port, "GET", "/shop/upgrade/")
    assert (status, headers["Location"]) == (302, "/shop/upgrade/login")
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": f"https://{NAME}:{port}"}
    status, headers, _ = ask(port, "POST", "/shop/upgrade/login", f"token={web.token}", **form)
    assert headers["Location"] == "/shop/upgrade/"
    assert "Path=/shop/upgrade" in headers["Set-Cookie"]
    status, _, page = ask(port, "GET", "/shop/upgrade/", Cookie=headers["Set-Cookie"].partition(";")[0])
    assert status == 200
    assert not re.search(r'(?:src|href|action)="/upgrade', page)
