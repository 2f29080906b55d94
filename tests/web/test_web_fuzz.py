"""Anything at all, sent to every address of openapi.json: an answer that the document has, and never a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web.conftest import Web, check_answer

from gitdeploy.app import App
from gitdeploy.errors import LockedError
from gitdeploy.web.serving.blueprint import document

OPERATIONS = [
    (method.upper(), path, entry)
    for path, methods in document()["paths"].items()
    for method, entry in methods.items()
    if path != "/api/events"
]
HOSTILE = ["", "latest", "v1.1.0", "--help", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "é你", "%00", "'; DROP TABLE token",
           "{{7*7}}", "<script>", "1e999", "-1", "0", "9" * 30, "x" * 5000, "\r\nSet-Cookie: a=b", "\x1b[31m", "true", "null"]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@pytest.fixture
def harmless(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """Nothing is started, and a source that answers at once."""

    def refuse(*_: object, **__: object) -> None:
        raise LockedError("Another deployment is running.", "Wait.")

    monkeypatch.setattr(App, "launch", refuse)
    monkeypatch.setenv("GITDEPLOY_WEBHOOK_SECRET_GITLAB", "a-secret-of-the-webhook")
    web.panel.looking.soon = lambda performer: None  # type: ignore[method-assign]
    web.get("/api/check-update")
    return web


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_nothing_brings_it_down(harmless: Web, data: st.DataObject) -> None:
    method, path, entry = data.draw(st.sampled_from(OPERATIONS))
    names = [p["name"] for p in entry.get("parameters", ()) if p["in"] == "query"]
    query = urlencode({name: data.draw(TEXTS) for name in names if data.draw(st.booleans())}, errors="surrogatepass")
    for parameter in entry.get("parameters", ()):
        if parameter["in"] == "path":
            word = data.draw(st.sampled_from(["github", "gitlab", "now", "update", "%2e%2e", "a%00b", "é", "x" * 300]))
            path = path.replace("{" + parameter["name"] + "}", word)
    headers = {"Authorization": f"Bearer {harmless.token}"}
    if data.draw(st.integers(0, 9)) == 0:
        headers["X-Gitlab-Token"] = "a-secret-of-the-webhook"
    options: dict[str, Any] = {}
    if method == "POST":
        kind = next(iter(entry["requestBody"]["content"]))
        schema = entry["requestBody"]["content"][kind]["schema"]
        body = {name: data.draw(VALUES) for name in schema.get("properties", {}) if data.draw(st.booleans())}
        raw = json.dumps(body).encode() if data.draw(st.booleans()) else data.draw(st.binary(max_size=200))
        options = {"data": raw, "content_type": kind}
    answer = harmless.client().open(
        f"/upgrade{path}", method=method, query_string=query, headers=headers, buffered=True, **options
    )
    assert answer.status_code != 500, (method, path, query, options, answer.text)
    assert "Traceback" not in answer.text
    check_answer(method, path, answer)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.text(max_size=80), host=st.sampled_from(["localhost", "evil", "é", "[::1", "a:b:c", "localhost:99999999"])
)
def test_no_address_brings_it_down(harmless: Web, path: str, host: str) -> None:
    answer = harmless.client().get(f"/upgrade/{path}", headers={"Host": host}, buffered=True)
    assert answer.status_code < 500, (path, host, answer.text)
