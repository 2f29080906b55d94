"""What every address refuses: the table is the server's own, so that a new one can't be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, redirect
from markupsafe import Markup
from web.conftest import Shop, Web, json_of
from werkzeug.local import LocalProxy

from gitdeploy.errors import ConfigError
from gitdeploy.web import Access, blueprint
from gitdeploy.web.access.guard import BODY_LIMIT
from gitdeploy.web.serving.blueprint import PREFIX, ROUTES
from gitdeploy.web.serving.routes import FORM, JSON, Route
from gitdeploy.web.serving.server import make_app

OPEN = {"/upgrade/login", "/upgrade/healthz", "/upgrade/static/login.js", "/upgrade/hooks/github"}
ENDED = {"deployment": "1"}  # so that a stream has an end
VALUES = {"name": "now", "source": "github", "filename": "login.js", "rest": "nothing/here"}


def addresses(app: Flask) -> list[tuple[str, str]]:
    """(method, path) of everything below the prefix."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(PREFIX):
            path = rule.rule
            for argument in rule.arguments:
                path = path.replace(f"<path:{argument}>", VALUES[argument]).replace(f"<{argument}>", VALUES[argument])
            found += [(method, path) for method in sorted(rule.methods or ()) if method not in ("HEAD", "OPTIONS")]
    return found


def send(web: Web, method: str, path: str, headers: dict[str, str], **options: Any) -> Any:
    if method == "POST" and "data" not in options:
        form = path in ("/upgrade/login", "/upgrade/logout")
        options = {"data": b"token=x" if form else b"{}", "content_type": FORM if form else JSON, **options}
    query = ENDED if path.endswith("/events") else None
    return web.client().open(path, method=method, headers=headers, query_string=query, buffered=True, **options)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_address_is_in_the_table_of_routes(web: Web) -> None:
    endpoints = {rule.endpoint for rule in web.app.url_map.iter_rules() if rule.rule.startswith(PREFIX)}
    known = {f"gitdeploy.{route.endpoint}" for route in ROUTES}
    assert endpoints == {*known, "gitdeploy.static", "gitdeploy.nowhere"}


def test_nothing_but_the_login_without_a_login(web: Web) -> None:
    for method, path in addresses(web.app):
        answer = send(web, method, path, {})
        if path in OPEN:
            assert answer.status_code != 500, path
            continue
        if path in ("/upgrade/", "/upgrade/logout"):
            assert (answer.status_code, answer.location) == (302, "/upgrade/login"), path
            assert "shop" not in answer.text
            continue
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), path
        assert answer.json["success"] is False
        assert answer.json["hint"], path


def test_a_wrong_token_is_no_login(web: Web) -> None:
    for header in ("Bearer wrong", "Bearer ", "Basic bGk6bGk=", "Bearer é", "bearer"):
        answer = web.client().get("/upgrade/api/status", headers={"Authorization": header})
        assert answer.status_code == 401, header


def test_a_read_only_token_changes_nothing(web: Web) -> None:
    changing = {f"/upgrade{route.path}" for route in ROUTES if route.needs == "change"}
    before = web.shop.state()
    for method, path in addresses(web.app):
        answer = send(web, method, path, bearer(web.reader))
        if path in changing and method == "POST":
            assert answer.status_code == 403, path
            assert "may only look" in answer.json["error"]
        elif path not in OPEN:
            assert answer.status_code not in (401, 500), (method, path, answer.text)
    assert web.shop.state() == before


def test_an_address_by_a_strange_name_is_refused(web: Web) -> None:
    """DNS rebinding: a site's own name that leads to this server."""
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost:80@evil", "", "a b", "127.0.0.1, evil"):
        for method, path in addresses(web.app):
            answer = send(web, method, path, {**bearer(web.token), "Host": host})
            assert answer.status_code == 403, (host, method, path)
            assert "web.hosts" in answer.json["hint"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:15001", "127.0.0.1:9", "[::1]:15001", "SHOP.example.com", "shop.example.com:443"]
)
def test_its_own_names_are_answered(web: Web, host: str) -> None:
    assert web.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_change_from_another_site_is_refused(web: Web) -> None:
    before = web.shop.state()
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "https://localhost",
        "http://localhost:81",
    ):
        for method, path in addresses(web.app):
            if method == "POST" and not path.startswith("/upgrade/hooks/") and "nothing" not in path:
                answer = send(web, method, path, {**bearer(web.token), "Origin": origin})
                assert answer.status_code == 403, (origin, path, answer.text)
                assert "another site" in answer.json["error"]
    assert web.shop.state() == before


def test_only_json_is_taken(web: Web) -> None:
    """A form of another site can send text/plain and form bodies without asking first; JSON it can't."""
    for content_type in (
        "text/plain",
        FORM,
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "",
    ):
        for method, path in addresses(web.app):
            if method == "POST" and path.startswith("/upgrade/api/"):
                answer = send(web, method, path, bearer(web.token), data=b"{}", content_type=content_type)
                assert answer.status_code == 415, (content_type, path, answer.text)


def test_a_large_body_is_refused(web: Web) -> None:
    for method, path in addresses(web.app):
        if method == "POST" and "nothing" not in path:
            content_type = FORM if path in ("/upgrade/login", "/upgrade/logout") else JSON
            answer = send(
                web, method, path, bearer(web.token), data=b'{"tag": "' + b"v" * BODY_LIMIT, content_type=content_type
            )
            assert answer.status_code == 413, (path, answer.text)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"NaN", b'{"tag": NaN}', b'{"tag": "v1.1.0", "tag": "v1.2.0"}', b"\xff\xfe", b"[" * 20000,
     b'{"a":' * 5000, b'{"tag": ' + b"9" * 5000 + b"}", b'{"a":' * 30 + b"1" + b"}" * 30],
    ids=["cut short", "a list", "NaN", "NaN inside", "a name twice", "no UTF-8", "deep list", "deep object", "a long number", "deep"],
)  # fmt: skip
def test_a_malformed_body_is_refused(web: Web, body: bytes) -> None:
    for route in ROUTES:
        if route.needs == "change":
            answer = send(web, "POST", f"/upgrade{route.path}", bearer(web.token), data=body, content_type=JSON)
            assert answer.status_code == 400, (route.path, answer.text)
            assert "Traceback" not in answer.text


FIELDS = (
    ("start-upgrade", "tag"),
    ("start-upgrade", "download_url"),
    ("start-upgrade", "wait"),
    ("start-upgrade", "local_changes"),
    ("rehearse", "tag"),
    ("restore-backup", "backup_path"),
    ("delete-backup", "backup"),
    ("label-backup", "backup"),
)


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_a_field_of_a_wrong_kind_is_refused(web: Web, path: str, name: str) -> None:
    wrong: tuple[Any, ...] = (1, [], {}, "v\ud800", "v\0", "x" * 3000, "--upload-pack=x", "../../etc", "v1 x", "-")
    for value in wrong:
        body = {"tag": "v9.9.9", name: value} if path == "start-upgrade" and name != "download_url" else {name: value}
        answer = web.post(f"/api/{path}", body)
        assert answer.status_code in (400, 404), (value, answer.text)
    assert not web.panel.app().is_running()


def test_every_answer_has_the_headers(web: Web) -> None:
    for method, path in addresses(web.app):
        for headers in ({}, bearer(web.reader), {"Host": "evil.example"}):
            answer = send(web, method, path, headers)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            if "/static/" not in path:
                assert answer.headers["Cache-Control"] == "no-store", path


def test_unknown_addresses_and_methods(web: Web) -> None:
    assert web.get("/api/nothing").status_code == 404
    for method in ("PUT", "DELETE", "PATCH", "GET"):
        answer = web.client().open("/upgrade/api/start-upgrade", method=method, headers=bearer(web.token))
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == "POST"
    answer = web.client().open("/upgrade/api/status", method="DELETE", headers=bearer(web.token))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


# ---- sessions ----


def csrf(client: Any) -> str:
    text = client.get("/upgrade/").text
    return str(text.split('data-csrf="')[1].split('"')[0])


def test_a_session_needs_origin_and_the_pages_proof(web: Web) -> None:
    client = web.log_in()
    good = {"Origin": "http://localhost", "X-CSRF-Token": csrf(client)}
    refused: tuple[dict[str, str], ...] = (
        {},
        {"Origin": "http://localhost"},
        {"X-CSRF-Token": good["X-CSRF-Token"]},
        {**good, "X-CSRF-Token": "wrong"},
        {**good, "X-CSRF-Token": csrf(web.log_in())},
        {**good, "Origin": "http://evil.example"},
    )
    for headers in refused:
        answer = client.post("/upgrade/api/lock", json={"message": "x"}, headers=headers)
        assert answer.status_code == 403, headers
    assert client.post("/upgrade/api/lock", json={"message": "x"}, headers=good).status_code == 200


def test_the_sessions_cookie(web: Web) -> None:
    answer = web.client().post("/upgrade/login", data={"token": web.token})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/upgrade" in cookie
    assert "Secure" not in cookie
    behind_tls = web.client().post("/upgrade/login", data={"token": web.token}, base_url="https://shop.example.com")
    assert "Secure" in behind_tls.headers["Set-Cookie"]
    assert web.token not in (web.shop.app / ".gitdeploy/web.db").read_bytes().decode("latin-1")


def test_a_login_makes_a_new_session_and_a_logout_ends_it(web: Web) -> None:
    client = web.log_in()
    first = client.get_cookie("gitdeploy_session", path="/upgrade")
    client.post("/upgrade/login", data={"token": web.token})
    second = client.get_cookie("gitdeploy_session", path="/upgrade")
    assert first is not None
    assert second is not None
    assert first.value != second.value
    stale = web.client()
    stale.set_cookie("gitdeploy_session", first.value, path="/upgrade")
    assert stale.get("/upgrade/api/status").status_code == 401, "the session before the login has ended"
    proof = {"Origin": "http://localhost", "X-CSRF-Token": csrf(client)}
    assert client.post("/upgrade/logout", data={"x": "y"}, headers=proof).status_code == 303
    stale.set_cookie("gitdeploy_session", second.value, path="/upgrade")
    assert stale.get("/upgrade/api/status").status_code == 401


def test_a_revoked_token_ends_its_sessions(web: Web) -> None:
    client, other = web.log_in(), web.log_in(web.reader)
    assert client.get("/upgrade/api/status").status_code == 200
    web.shop.gitdeploy("web", "token", "revoke", "li")
    assert client.get("/upgrade/api/status").status_code == 401
    assert web.get("/api/status").status_code == 401
    assert other.get("/upgrade/api/status").status_code == 200


def test_sessions_end_by_themselves(web: Web) -> None:
    now = [1_000_000.0]
    web.panel.store._clock = lambda: now[0]
    client = web.log_in()
    for _ in range(20):
        now[0] += 3600
        assert client.get("/upgrade/api/status").status_code == 200
    now[0] += 4 * 3600 + 1
    assert client.get("/upgrade/api/status").status_code == 401, "four hours without a request"
    client = web.log_in()
    for _ in range(23):
        now[0] += 3600
        client.get("/upgrade/api/status")
    now[0] += 3601
    assert client.get("/upgrade/api/status").status_code == 401, "a day old"


def test_the_environments_token(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITDEPLOY_WEB_TOKEN", "short")
    with pytest.raises(ConfigError, match="could be guessed"):
        make_app(shop.app)
    monkeypatch.setenv("GITDEPLOY_WEB_TOKEN", "a-long-enough-token")
    web = Web(shop, make_app(shop.app, auto_check=False), "a-long-enough-token", "")
    client = web.log_in()
    assert web.get("/api/status").status_code == 200
    assert client.get("/upgrade/api/status").status_code == 200
    web.panel.environment_token = "another-long-token-now"
    assert client.get("/upgrade/api/status").status_code == 401, "its sessions end with it"


# ---- proxies ----


def seen(web: Web, peer: str, **headers: str) -> tuple[str, str]:
    """(address, scheme) as the page sees them: by whom a hold was made, and whether a cookie is Secure."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = web.client().post(
        "/upgrade/login", data={"token": web.token}, headers=names, environ_base={"REMOTE_ADDR": peer}
    )
    assert answer.status_code == 303, answer.text
    web.post("/api/lock", headers=names, environ_base={"REMOTE_ADDR": peer})
    held = web.get("/api/status").json["data"]["held"]["who"]
    web.post("/api/unlock")
    return held.split("from ")[1].rstrip(")"), "https" if "Secure" in answer.headers["Set-Cookie"] else "http"


def test_forwarded_headers_count_only_from_a_trusted_proxy(web: Web) -> None:
    said = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "shop.example.com"}
    assert seen(web, "198.51.100.7", **said) == ("198.51.100.7", "http")
    assert seen(web, "192.0.2.1", **said) == ("203.0.113.9", "https")
    forged = {**said, "X_Forwarded_For": "127.0.0.1, 203.0.113.9, 192.0.2.5"}
    assert seen(web, "192.0.2.1", **forged) == ("203.0.113.9", "https"), "what a client put in front is not believed"


def test_a_forwarded_host_is_checked_too(web: Web) -> None:
    for peer, status in (("192.0.2.1", 403), ("198.51.100.7", 200)):
        answer = web.get("/healthz", headers={"X-Forwarded-Host": "evil.example"}, environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == status, peer


def test_a_path_prefix(web: Web) -> None:
    answer = web.client().get(
        "/upgrade/", headers={"X-Forwarded-Prefix": "/shop"}, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert answer.location == "/shop/upgrade/login"
    ignored = web.client().get(
        "/upgrade/", headers={"X-Forwarded-Prefix": "//evil.example"}, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert ignored.location == "/upgrade/login"


# ---- inside another app ----


def test_an_apps_own_login_guards_the_page(shop: Shop) -> None:
    who: list[Any] = [None]
    app = Flask("shop")
    app.register_blueprint(blueprint(shop.app, authorize=lambda: who[0], auto_check=False))
    client = app.test_client()
    assert client.get("/upgrade/api/status").status_code == 401
    assert client.get("/upgrade/").status_code == 401
    assert client.get("/upgrade/login").status_code == 404
    change: Any = {"json": {"message": "x"}, "headers": {"Origin": "http://localhost"}}
    who[0] = Access("wang", read_only=True)
    assert client.get("/upgrade/").status_code == 200
    assert client.post("/upgrade/api/lock", **change).status_code == 403
    who[0] = "wang"
    assert client.post("/upgrade/api/lock", json={}).status_code == 403, "no Origin"
    assert client.post("/upgrade/api/lock", **change).status_code == 200
    assert "wang (web" in json_of(client.get("/upgrade/api/status"))["data"]["held"]["who"]
    assert client.get("/upgrade/api/events").status_code == 503, "no stream takes the app's threads"


class Anonymous:
    """As that of flask-login, it is true."""

    is_authenticated = False


async def _coroutine() -> bool:
    return True


NOBODY: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "False": lambda: False,
    "an empty name": lambda: "",
    "a redirect": lambda: redirect("/login"),
    "an anonymous user": Anonymous,
    "a proxy for True": lambda: LocalProxy(lambda: True),
    "a proxy for a user": lambda: LocalProxy(Anonymous),
    "a proxy for a name": lambda: LocalProxy(lambda: "wang"),
    "a coroutine": _coroutine,
    "a text and a status": lambda: ("Forbidden", 403),
    "1": lambda: 1,
    "a list": lambda: ["wang"],
    "a dictionary": lambda: {"name": "wang"},
    "bytes": lambda: b"wang",
    "a function": lambda: lambda: True,
    "markup": lambda: Markup("wang"),
    "a page": lambda: "<!doctype html><title>Log in</title>",
    "an error's text": lambda: "Forbidden",
    "another": lambda: "unauthorized",
    "a status": lambda: "403",
    "a sentence": lambda: "You may not do that.",
    "one in Chinese": lambda: "没有权限。",
    "two lines": lambda: "wang\nForbidden",
    "a long text": lambda: "x" * 65,
}
SOMEBODY: dict[str, Callable[[], Any]] = {
    "True": lambda: True,
    "a name": lambda: "wang",
    "a name with blanks": lambda: "J. R. van der Berg",
    "an address": lambda: "wang@example.com",
    "a Chinese name": lambda: "王伟",
    "an Access": lambda: Access("wang"),
}


@pytest.mark.filterwarnings("error")
def test_only_true_a_name_or_an_access_opens_a_route(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever else `authorize` returns, and however true it is: nobody gets in anywhere."""
    said: list[Callable[[], Any]] = []
    app = Flask("shop")
    app.register_blueprint(blueprint(shop.app, authorize=lambda: said[-1](), auto_check=False))  # noqa: PLW0108
    client = app.test_client()
    for name, answer in SOMEBODY.items():
        said.append(answer)
        assert client.get("/upgrade/api/config").status_code == 200, name
    for name, answer in NOBODY.items():
        said.append(answer)
        caplog.clear()
        refused = 401 if name in ("nothing", "False", "an empty name") else 500
        for route in ROUTES:
            path = f"/upgrade{route.path.replace('<name>', 'status')}"
            body: Any = {"json": {}} if route.body == JSON else {"data": {"x": "1"}}
            more: Any = {**body, "headers": {"Origin": "http://localhost"}} if route.method == "POST" else {}
            if route.needs != "nothing":
                got = client.open(path, method=route.method, **more)
                assert (got.status_code, (got.json or {}).get("success")) == (refused, False), (name, route.path)
        assert client.get("/upgrade/nothing-here").status_code == refused
        assert ("The app's own login answered with something that names nobody" in caplog.text) == (refused == 500), (
            name
        )


def test_routes_say_what_they_need() -> None:
    for route in ROUTES:
        assert isinstance(route, Route)
        if route.method == "POST" and route.path.startswith("/api/"):
            assert route.needs == "change", route.path
