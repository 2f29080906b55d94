"""Webhooks: the sender proves itself over the raw body, in constant time, and what is said is a hint, no more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import pytest

from gitdeploy.errors import ConfigError
from gitdeploy.sources import parse_webhook
from gitdeploy.sources.webhooks import WebhookRefused

SECRET = "s3cret-of-the-hook"
PUSH = {"object_kind": "tag_push", "ref": "refs/tags/v1.0.0", "before": "0" * 40, "after": "a" * 40}
RELEASE = {"action": "published", "release": {"tag_name": "v1.0.0"}}


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def proof(kind: str, body: bytes, secret: str = SECRET) -> Mapping[str, str]:
    """The headers by which each host proves itself."""
    stamp = str(int(time.time() * 1000))
    return {
        "github": {"X-Hub-Signature-256": f"sha256={signed(body, secret)}", "X-GitHub-Event": "release", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"},
        "codeup": {"X-Codeup-Token": secret, "Codeup-Event": "Tag Push Hook"},
        "gitlab": {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Tag Push Hook"},
        "gitee": {"X-Gitee-Token": base64.b64encode(hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()).decode(), "X-Gitee-Timestamp": stamp, "X-Gitee-Event": "Tag Push Hook"},
        "gitea": {"X-Gitea-Signature": signed(body, secret), "X-Gitea-Event": "push"},
    }[kind]  # fmt: skip


HOSTS = ("github", "codeup", "gitlab", "gitee", "gitea")
at_each_host = pytest.mark.parametrize("kind", HOSTS)


@at_each_host
@pytest.mark.parametrize("document", [PUSH, RELEASE])
def test_a_tag_that_its_host_announces(kind: str, document: object) -> None:
    body = json.dumps(document).encode()
    said = parse_webhook(kind, {name.upper(): value for name, value in proof(kind, body).items()}, body, SECRET)
    assert said.tag == "v1.0.0"
    assert said.event


def test_a_created_tag_and_what_tells_its_delivery_from_a_repetition() -> None:
    body = json.dumps({"ref": "v1.0.0", "ref_type": "tag"}).encode()
    said = parse_webhook("github", proof("github", body), body, SECRET)
    assert said.tag == "v1.0.0"
    numbered = parse_webhook("github", {**proof("github", body), "X-GitHub-Delivery": "another"}, body, SECRET)
    assert numbered.delivery == said.delivery, "the number isn't signed"


def test_gitees_plain_password() -> None:
    body = json.dumps(PUSH).encode()
    assert parse_webhook("gitee", {"X-Gitee-Token": SECRET, "X-Gitee-Event": "x"}, body, SECRET).tag == "v1.0.0"


@at_each_host
@pytest.mark.parametrize("document", [{**PUSH, "after": "0" * 40}, {"ref": "refs/heads/main"}, {"zen": "x"}, {"ref": "refs/tags/--upload-pack=x"}])  # fmt: skip
def test_what_is_no_new_tag_names_none(kind: str, document: object) -> None:
    body = json.dumps(document).encode()
    assert parse_webhook(kind, proof(kind, body), body, SECRET).tag is None


@at_each_host
def test_without_a_proof(kind: str) -> None:
    body = json.dumps(PUSH).encode()
    for headers in ({}, proof(kind, body, "another secret"), dict.fromkeys(proof(kind, body), "é")):
        with pytest.raises(WebhookRefused) as caught:
            parse_webhook(kind, headers, body, SECRET)
        assert caught.value.status == 401
        assert SECRET not in caught.value.message


@at_each_host
def test_an_empty_secret_verifies_nothing(kind: str) -> None:
    body = json.dumps(PUSH).encode()
    with pytest.raises(WebhookRefused):
        parse_webhook(kind, proof(kind, body, ""), body, "")


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_a_body_that_was_written_anew_or_changed(kind: str) -> None:
    body = json.dumps(PUSH).encode()
    for other in (json.dumps(PUSH, indent=1).encode(), body.replace(b"v1.0.0", b"v6.6.6")):
        with pytest.raises(WebhookRefused):
            parse_webhook(kind, proof(kind, body), other, SECRET)


def test_an_old_signature_of_gitee_sent_again() -> None:
    stamp = str(int((time.time() - 7200) * 1000))
    given = base64.b64encode(hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest())
    headers = {"X-Gitee-Token": given.decode(), "X-Gitee-Timestamp": stamp}
    with pytest.raises(WebhookRefused, match="another time"):
        parse_webhook("gitee", headers, b"{}", SECRET)


def test_sha1_is_not_enough() -> None:
    body = json.dumps(PUSH).encode()
    old = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    with pytest.raises(WebhookRefused):
        parse_webhook("github", {"X-Hub-Signature": f"sha1={old}"}, body, SECRET)


@at_each_host
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 20_000, b"\xff", b"payload=%7B%7D"])
def test_a_body_that_is_no_json_object(kind: str, body: bytes) -> None:
    with pytest.raises(WebhookRefused) as caught:
        parse_webhook(kind, proof(kind, body), body, SECRET)
    assert caught.value.status == 400


def test_kinds_that_send_none() -> None:
    with pytest.raises(WebhookRefused) as caught:
        parse_webhook("git", {}, b"{}", SECRET)
    assert caught.value.status == 404
    with pytest.raises(ConfigError):
        parse_webhook("nobody", {}, b"{}", SECRET)
