"""Broken, hostile and unreachable hosts: a sentence that says what to do, exit 6, and what was known before stays known."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from hosts import GitHub, GitLab
from hosts.standin import Reply
from support import needs

from gitdeploy.errors import SourceError
from gitdeploy.sources import http as client_module
from sources.conftest import TOKEN, TOKEN_VARIABLE, Shop, make_shop

FAULTS = {
    "silent": "gave no answer in time",
    "drip": "gave no whole answer",
    "drip_head": "gave no whole answer",
    "cut": "cut short",
    "cut_unsized": "not whole JSON",
    "drop": "cut short",
    "garbage": "no text",
    "status 500": "has a fault of its own (500): Out of order",
    "status 502": "has a fault of its own (502)",
    "status 503": "has a fault of its own (503)",
    "status 504": "has a fault of its own (504)",
    "status 418": "answers with status 418",
    "html": "a web page instead of data",
    "html_as_json": "a web page instead of data",
    "login": "redirects to a login page (account.example.net)",
    "login http://127.0.0.1:9/signin": "redirects to a login page (127.0.0.1)",
    "loop": "redirects without end",
    "huge": "larger than 8 MB",
    "bomb": "larger than 8 MB",
    "triple_bomb": "packed in a way that was not asked for",
    "endless": "gave no whole answer",
    "json []x": "not whole JSON",
    "json {}": "it must be a list, not an object",
    "json null": "it must be a list, not nothing",
    "json 7": "it must be a list, not a number",
    'json [{"ref": 7}]': "`ref` must be text, not a number",
    'json [{"ref": "refs/tags/v9", "object": []}]': "must be an object, not a list",
    "json [NaN]": "NaN is not JSON",
    'json [{"ref": "a", "ref": "b"}]': "a key stands twice",
    'json ["\\ud800"]': "no text",
    "json " + "[" * 200_000: "nested without end",
    "json [" + "9" * 5000 + "]": "not whole JSON",
    "status 401": "wants to know who asks (401)",
    "status 403": "forbids that (403)",
    "status 404": "has no such repository, or hides it from those without a token (404)",
    "status 429 600": "allows",
}


NEVER_ENDING = ("silent", "drip", "drip_head", "endless")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries."""
    monkeypatch.setattr(client_module.Client, "_pause", staticmethod(lambda seconds: None))


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, shorter: for hosts that would go on for ever."""
    monkeypatch.setattr(client_module, "ONE_TIME", 1.5)
    monkeypatch.setattr(client_module, "SOCKET_TIME", 0.7)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault[:40] for fault in FAULTS])
def test_a_host_that_misbehaves_is_a_sentence_and_exit_6(
    github: Shop, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.host.fault = fault
    if fault in NEVER_ENDING:
        be_impatient(monkeypatch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError) as caught:
        github.check()
    error = caught.value
    assert FAULTS[fault] in error.message, error.message
    assert error.exit_code == 6
    assert error.hint
    assert "Traceback" not in error.message
    assert "0x" not in error.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "kB of memory for a hostile body"


@pytest.mark.parametrize("fault", ["status 503", "html", "json 7", "cut", "login", "silent"])
@pytest.mark.parametrize("shop", ["github", "codeup", "gitlab", "gitee", "gitea"], indirect=True)
def test_every_source_says_it(shop: Shop, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.host.fault = fault
    if fault in NEVER_ENDING:
        be_impatient(monkeypatch)
    with pytest.raises(SourceError) as caught:
        shop.check()
    assert caught.value.hint


@pytest.mark.parametrize("fault", ["status 503", "cut", "cut_unsized", "drop", "html"])
def test_the_last_answer_is_shown_with_its_age_and_the_warning(github: Shop, fault: str) -> None:
    known = github.check()
    github.host.fault = fault
    result = github.check(force=True)
    assert (result.latest_tag, result.from_cache) == (known.latest_tag, True)
    assert "This is the answer of" in (result.warning or "")
    assert "ago." in (result.warning or "")


def test_a_moment_of_trouble_is_survived_by_trying_again(github: Shop) -> None:
    for fault in ("status 502", "status 503", "status 504", "drop", "cut", "cut_unsized", "status 503 1"):
        github.host.fault, github.host.fault_times = fault, 1
        github.host.without_etags = True
        assert github.check(force=True).latest_tag == "v1.2.10", fault


def test_what_cannot_get_better_is_not_tried_again(github: Shop) -> None:
    for fault in ("status 401", "status 404", "status 403", "html", "json 7", "status 429 9999", "login"):
        github.host.fault = fault
        github.host.forget()
        with pytest.raises(SourceError):
            github.check()
        assert len(github.host.requests) == 1, fault


def test_the_rate_limit_says_when_it_is_over_and_what_to_do(github: Shop) -> None:
    github.host.remaining = 0  # type: ignore[attr-defined]
    with pytest.raises(SourceError) as caught:
        github.check()
    message = caught.value.message
    assert "allows 60 requests an hour without a token, and they are used up; free again at " in message
    assert "in 23 minutes" in message
    assert "Set " in caught.value.hint


REFUSALS: dict[str, tuple[int, dict[str, str], str, str, str]] = {
    # status, headers, what the host says; what is said, and the hint
    "burst": (
        403, {"X-RateLimit-Remaining": "4711"},
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "secondary rate limit: too many requests came from here in a short time.", "Wait a few minutes",
    ),
    "burst, with its time": (
        429, {"Retry-After": "120"}, "You have exceeded a secondary rate limit.", "free again in 2 minutes", "Wait a few minutes",
    ),
    "abuse": (403, {}, "You have triggered an abuse detection mechanism.", "secondary rate limit", "Wait a few minutes"),
    "limit": (
        403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "99999999999"},
        "API rate limit exceeded", "allows 5000 requests an hour, and they are used up; free again at", "Ask less often",
    ),
    "limit, headers lost on the way": (403, {}, "API rate limit exceeded for 203.0.113.7.", "no more requests now", "Ask less often"),
    "sign-on": (
        403, {"X-GitHub-SSO": "required; url=https://github.com/orgs/o/sso?authorization_request=AZ"},
        "Resource protected by organization SAML enforcement.", "single sign-on (SAML, 403)",
        "Authorize the token for the organization: https://github.com/orgs/o/sso?authorization_request=AZ",
    ),
    "sign-on without its address": (
        403, {}, "Resource protected by organization SAML enforcement.", "single sign-on", "Configure SSO",
    ),
    "sign-on with a hostile address": (
        403, {"X-GitHub-SSO": "required; url=javascript:alert(1)"}, "SAML", "single sign-on", "Configure SSO",
    ),
    "address": (
        403, {}, "Although you appear to have the correct authorization credentials, the organization has an IP allow list enabled.",
        "refuses this server's address, not the token", "list of allowed addresses",
    ),
    "right": (403, {}, "Resource not accessible by personal access token", "lacks a right", "The token needs "),
    "scope": (403, {}, "insufficient_scope: The request requires higher privileges", "lacks a right", "The token needs "),
    "blocked": (403, {}, "Your account has been blocked.", "forbids that (403): Your account has been blocked.", "doesn't say why"),
    "taken down": (451, {}, "Repository access blocked", "answers with status 451: Repository access blocked.", "API"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("private", ["github", "codeup", "gitlab", "gitee", "gitea"], indirect=True)
def test_a_refusal_says_its_true_reason(private: Shop, name: str) -> None:
    status, headers, text, wanted, hint = REFUSALS[name]
    private.host.answer = lambda *_: Reply(status, {"message": text}, dict(headers))  # type: ignore[method-assign]
    private.host.stamped = lambda *_, **__: None  # type: ignore[method-assign]
    with pytest.raises(SourceError) as caught:
        private.check()
    assert wanted in caught.value.message, caught.value.message
    assert hint in caught.value.hint, caught.value.hint
    assert "javascript" not in caught.value.hint
    assert caught.value.exit_code == 6


def test_a_rate_limit_is_never_shown_as_no_update(github: Shop) -> None:
    github.host.remaining = 0  # type: ignore[attr-defined]
    done = github.run("check", code=6)
    assert "is the newest" not in done.text
    assert "requests an hour" in done.err


def test_the_codeup_address_that_answers_with_a_login_page(codeup: Shop) -> None:
    origin = codeup.host.origin
    codeup.configure(f"  type: codeup\n  repo: {codeup.host.repo}\n  url: {origin}/api/v4\n")
    codeup.host.fault = "login https://account.aliyun.com/login/login.htm?oauth_callback=x"
    with pytest.raises(SourceError) as caught:
        codeup.check()
    assert "redirects to a login page (account.aliyun.com)" in caught.value.message
    assert "https://openapi-rdc.aliyuncs.com/oapi/v1/codeup" in caught.value.hint


@pytest.fixture
def gitlab(template: Path, tmp_path: Path) -> Iterator[Shop]:
    made = make_shop(template, tmp_path, GitLab)
    yield made
    made.host.close()


@pytest.mark.parametrize("newest", ["v3000.0.0", "v1000.5.0"])
def test_a_gitlab_that_can_not_order_by_version_is_read_to_the_end(gitlab: Shop, newest: str) -> None:
    gitlab.host.orders = ("name", "updated")  # type: ignore[attr-defined]
    gitlab.many([f"v{number}.0.0" for number in range(2, 900)])
    gitlab.tag(newest, light=True)
    result = gitlab.check()
    assert result.latest_tag == newest
    assert result.warning is None
    gitlab.run("upgrade", "--yes")
    assert (gitlab.sample.app / "VERSION").read_text() == newest


def test_a_right_that_is_missing_for_a_release_page_is_not_no_release_page(gitlab: Shop) -> None:
    """The list says that there is a release; whether its date has come can't be told."""
    answer = gitlab.host.answer

    def without_releases(path, query, headers):  # type: ignore[no-untyped-def]
        return Reply(403, {"message": "403 Forbidden"}) if "/releases/" in path else answer(path, query, headers)

    gitlab.host.answer = without_releases  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="forbids that"):
        gitlab.check()


@pytest.mark.parametrize("shop", ["gitlab", "gitea", "gitee", "codeup"], indirect=True)
def test_a_host_that_sends_the_same_page_again_and_again_is_not_read_for_ever(shop: Shop) -> None:
    shop.many([f"v1.1.{number}" for number in range(120)])
    answer = shop.host.answer
    shop.host.answer = lambda path, query, headers: answer(path, {**query, "page": "1"}, headers)  # type: ignore[method-assign]
    if shop.host.kind == "gitlab":
        shop.host.orders = ("updated",)  # type: ignore[attr-defined]
    result = shop.check()
    assert result.latest_tag in ("v1.2.10", "v1.2.9.1"), "what the one page holds"
    assert "has more tags than were looked at" in (result.warning or "")
    assert len([r for r in shop.host.requests if r.path.endswith("/tags")]) <= 3


def test_codeup_says_no_inside_of_a_good_answer(codeup: Shop) -> None:
    codeup.host.fault = 'json {"success": false, "errorCode": "InvalidAction.NotFound", "errorMessage": "no such repo"}'
    with pytest.raises(SourceError, match=r"Codeup refuses: InvalidAction\.NotFound no such repo"):
        codeup.check()


def test_nobody_listens(github: Shop) -> None:
    github.host.close()
    with pytest.raises(SourceError, match="refuses connections"):
        github.check()


def test_a_name_that_does_not_exist(github: Shop) -> None:
    github.configure("  type: github\n  repo: acme/shop\n  url: https://nowhere.invalid/api/v3\n")
    with pytest.raises(SourceError) as caught:
        github.check()
    assert "nowhere.invalid" in caught.value.message


# ---- where the token goes ----


class _Thief(BaseHTTPRequestHandler):
    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def thief() -> object:
    """Another server, which must never be asked."""
    _Thief.seen = []
    server = HTTPServer(("127.0.0.1", 0), _Thief)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("private", ["github", "codeup", "gitlab", "gitee", "gitea"], indirect=True)
def test_a_redirect_to_another_port_gets_neither_token_nor_question(private: Shop, thief: HTTPServer) -> None:
    private.host.fault = f"login http://127.0.0.1:{thief.server_address[1]}/api"
    with pytest.raises(SourceError):
        private.check()
    assert _Thief.seen == []


@pytest.mark.parametrize("shop", ["gitea", "gitlab"], indirect=True)
def test_a_link_to_another_host_is_not_followed(shop: Shop, thief: HTTPServer) -> None:
    shop.host.fault = ""
    original = shop.host.answer

    def answer(path, query, headers):  # type: ignore[no-untyped-def]
        reply = original(path, query, headers)
        reply.headers.pop("X-Next-Page", None)
        reply.headers["Link"] = f'<http://127.0.0.1:{thief.server_address[1]}/x?page=2>; rel="next"'
        return reply

    shop.host.answer = answer  # type: ignore[method-assign]
    shop.check()
    assert _Thief.seen == []
    assert len(shop.host.requests) <= 12, "a Link that never ends"


@pytest.mark.parametrize("private", ["github", "codeup", "gitlab", "gitee", "gitea"], indirect=True)
def test_netrc_does_not_replace_the_token(private: Shop, home: Path) -> None:
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login thief password not-the-token\n")
    netrc.chmod(0o600)
    try:
        assert private.check().latest_tag == "v1.2.10"
        for request in private.host.requests:
            assert "not-the-token" not in str(request.headers)
    finally:
        netrc.unlink()


def test_a_proxy_of_the_environment_is_used(github: Shop, thief: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{thief.server_address[1]}")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(SourceError):
        github.check()  # that proxy answers without a type
    assert _Thief.seen


def test_a_proxy_of_gits_own_settings_is_used(github: Shop, thief: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    github.sample.git("config", "http.proxy", f"http://127.0.0.1:{thief.server_address[1]}")
    with pytest.raises(SourceError):
        github.check()
    assert _Thief.seen


def test_a_ca_bundle_that_is_not_there(github: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(SourceError, match=r"REQUESTS_CA_BUNDLE names /nowhere/ca\.pem, which does not exist"):
        github.check()


@pytest.fixture
def tls(github: Shop, tmp_path: Path) -> Path:
    """The stand-in behind TLS with a certificate of its own; the path of the certificate."""
    openssl = needs.program("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = github.host._server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    github.configure(f"  type: github\n  repo: acme/shop\n  url: https://127.0.0.1:{github.host.port}/api/v3\n")
    return certificate


def test_a_certificate_that_nobody_vouches_for(github: Shop, tls: Path) -> None:
    with pytest.raises(SourceError) as caught:
        github.check()
    assert "TLS certificate of 127.0.0.1 can't be trusted" in caught.value.message
    assert "clock" in caught.value.hint


def test_a_ca_bundle_of_the_environment_is_used(github: Shop, tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls))
    assert github.check().latest_tag == "v1.2.10"


def test_a_ca_bundle_of_gits_own_settings_is_used(github: Shop, tls: Path) -> None:
    github.sample.git("config", "http.sslCAInfo", str(tls))
    assert github.check().latest_tag == "v1.2.10"


def test_a_server_that_stops_in_the_middle_of_the_handshake(github: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    be_impatient(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        github.configure(f"  type: github\n  repo: acme/shop\n  url: https://127.0.0.1:{port}/api/v3\n")
        with pytest.raises(SourceError):
            github.check()


def test_a_token_with_a_line_break_or_an_umlaut_is_named_not_sent(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(template, tmp_path, GitHub, TOKEN)
    for value in ("tok en", "tökén-1234", "“token”"):
        monkeypatch.setenv(TOKEN_VARIABLE, value)
        done = shop.run("check", code=2)
        assert TOKEN_VARIABLE in done.err
        assert value not in done.text
    assert shop.host.requests == []
    shop.host.close()


# ---- the cache ----


def test_a_damaged_cache_is_asked_anew(github: Shop) -> None:
    github.check()
    with closing(sqlite3.connect(github.sample.app / ".gitdeploy/state.db")) as database, database:
        database.execute("UPDATE cache SET value = 'no json'")
        database.execute("UPDATE meta SET value = '[1]' WHERE key = 'last_check'")
    assert github.check(force=False).latest_tag == "v1.2.10"


def test_the_cache_stays_small(github: Shop) -> None:
    for number in range(230):
        client_store = github.app.site.open_database()
        with client_store:
            client_store.cache_put(f"http {number}", "x")
    with closing(sqlite3.connect(github.sample.app / ".gitdeploy/state.db")) as database, database:
        count = database.execute("SELECT count(*) FROM cache").fetchone()[0]
    assert count <= 200


COUNTED = """
import os, subprocess, sys
started = []
original = subprocess.Popen.__init__
def counting(self, *a, **k):
    started.append(a[0] if a else k["args"])
    original(self, *a, **k)
subprocess.Popen.__init__ = counting
os.fork = lambda: started.append("fork")
from gitdeploy.cli import run
code = run(["check", "--json"])
heavy = sorted(set(sys.modules) & {"requests", "urllib3", "git", "rich", "ssl", "importlib.metadata"})
print(repr((code, started, heavy)), file=sys.stderr)
"""


def test_a_check_from_the_cache_asks_nobody_starts_nothing_and_imports_no_http_library(shop: Shop) -> None:
    shop.run("check")
    shop.host.forget()
    done = subprocess.run(
        [sys.executable, "-c", COUNTED],
        cwd=shop.sample.app,
        env=shop.sample.environment,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["from_cache"] is True
    assert done.stderr.strip() == "(0, [], [])"
    assert shop.host.requests == []
    assert shop.host.git_requests == []


def test_only_the_owner_can_read_the_cache(github: Shop) -> None:
    github.check()
    assert os.stat(github.sample.app / ".gitdeploy/state.db").st_mode & 0o077 == 0
