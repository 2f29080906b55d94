"""The page's HTML: harmless whatever a release is called, in place behind any prefix, without inline script or style."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.sample import Sample

from gitdeploy.web import Access, blueprint

NOTES = """\
Better than ever.

<script>alert(1)</script><img src=x onerror=alert(1)> [click](javascript:alert(1)) [data](data:text/html,x)
![picture](https://evil.example/pixel.png) <style>*{display:none}</style>
"""
NAME = 'v2.0.0-"><svg/onload=alert(1)>'


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Sample(tmp_path_factory.mktemp("page"), venv=False)
    settings = "app: {name: '<i>shop</i> & co'}\nsource: {type: git, tags: '*'}\nvenv: {path: }\n"
    tree = {"a.txt": "1\n", "deploy.yaml": settings}
    alembic = "revision = {0!r}\ndown_revision = {1!r}\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    {2}\n"
    tree["migrations/env.py"] = "from alembic import context\n"
    tree["migrations/versions/1_first.py"] = alembic.format("1a", None, "pass")
    made.release("v1.0.0", tree)
    made.install("v1.0.0")
    made.release("v1.1.0", {**tree, "<img src=x onerror=alert(1)>.txt": "2\n"}, message=f"v1.1.0\n\n{NOTES}")
    tree["migrations/versions/2_mail.py"] = alembic.format("2b", "1a", "raise NotImplementedError")
    made.release("v1.2.0", tree)
    made.git("fetch", "-q", "--no-tags", "origin", "refs/tags/v1.1.0:refs/tags/v1.1.0")
    made.gitdeploy("check", "--force")
    return made


@pytest.fixture
def who() -> dict[str, Access]:
    """Who asks; a test may put somebody else there."""
    return {"access": Access("<b>li</b>")}


@pytest.fixture
def client(sample: Sample, who: dict[str, Access]) -> Iterator[FlaskClient]:
    app = Flask("tests")
    app.register_blueprint(blueprint(sample.app, authorize=lambda: who["access"], auto_check=False))
    with app.test_client() as made:
        yield made


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def harmless(html: str) -> None:
    """No element and no attribute that runs something, or that the Content-Security-Policy would have to stop."""
    for tag, attributes in Tags(html).found:
        assert tag not in ("style", "iframe", "object", "embed", "img", "base", "meta") or attributes.get(
            "charset", attributes.get("name")
        )
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction"):
            assert not re.match(r"\s*(javascript|data|vbscript):", attributes.get(name) or "", re.IGNORECASE)
        if tag == "script":
            assert "/upgrade/static/page.js" in str(attributes["src"])


def test_nothing_hostile_gets_through(sample: Sample, client: FlaskClient) -> None:
    page = client.get("/upgrade/?releases=10").get_data(as_text=True)
    assert "Better than ever." in page
    harmless(page)
    assert "&lt;i&gt;shop&lt;/i&gt; &amp; co" in page
    plan = client.get("/upgrade/part/plan?tag=v1.1.0").get_data(as_text=True)
    assert "onerror=alert(1)&gt;.txt" in plan
    harmless(plan)
    for query in ({"tag": NAME}, {"tag": "--upload-pack=x"}, {"backup": "../../etc/passwd"}, {"tag": "<script>"}, {}):
        answer = client.get("/upgrade/part/plan", query_string=query)
        assert answer.status_code in (200, 404)
        harmless(answer.get_data(as_text=True))
    assert client.get("/upgrade/part/../../etc").status_code == 404
    for name in ("nothing", "deployment?id=7", "deployment?id=x", "releases?limit=-1", "deployments?limit=1e9"):
        assert "alert" in client.get(f"/upgrade/part/{name}").get_data(as_text=True)


def test_the_plan_names_the_migrations_and_says_which_have_no_way_back(client: FlaskClient) -> None:
    plan = client.get("/upgrade/part/plan?tag=v1.2.0").text
    assert "Migrations of the database" in plan
    assert re.search(r"2b|2_mail", plan)
    assert "no rollback of its own" in plan


def test_each_part_is_the_same_as_in_the_page(client: FlaskClient) -> None:
    page = client.get("/upgrade/").get_data(as_text=True)
    for name in ("backups", "deployments", "settings"):
        assert client.get(f"/upgrade/part/{name}").get_data(as_text=True).strip() in page


def test_behind_a_proxy_s_prefix_every_address_has_it(client: FlaskClient) -> None:
    for path in ("/upgrade/", "/upgrade/part/now", "/upgrade/part/releases"):
        html = client.get(path, environ_overrides={"SCRIPT_NAME": "/shop"}).get_data(as_text=True)
        for _, attributes in Tags(html).found:
            for name in ("href", "src", "action"):
                address = attributes.get(name) or ""
                assert address.startswith(("/shop/upgrade", "#", "?", "http://", "https://")) or not address
    found = client.get("/upgrade/", environ_overrides={"SCRIPT_NAME": "/shop"}).get_data(as_text=True)
    assert 'data-base="/shop/upgrade"' in found
    chosen = client.get("/upgrade/?lang=zh", environ_overrides={"SCRIPT_NAME": "/shop"})
    assert "Path=/shop/upgrade" in chosen.headers["Set-Cookie"]


def test_a_choice_of_language_or_colours_is_only_ever_one_that_there_is(client: FlaskClient) -> None:
    assert "Set-Cookie" not in client.get("/upgrade/?lang=xx&theme=%22%3E").headers
    page = client.get("/upgrade/?theme=dark&lang=zh")
    assert 'data-theme="dark"' in page.text
    assert '<html lang="zh-CN"' in client.get("/upgrade/").text, "remembered"


def test_who_may_only_look_is_told_and_gets_no_dialogs(client: FlaskClient, who: dict[str, Access]) -> None:
    who["access"] = Access("screen", read_only=True)
    page = client.get("/upgrade/").text
    assert "this token is read-only" in page
    assert "<dialog" not in page
    assert "data-dialog" not in page


def test_restart_guidance_where_no_service_is_configured(client: FlaskClient) -> None:
    page = client.get("/upgrade/").text
    assert "How is the app restarted?" in page
    for word in ("systemd", "compose", "restart.sh"):
        assert word in page


def test_a_broken_deploy_yaml_is_shown_and_not_a_blank_page(sample: Sample, client: FlaskClient) -> None:
    file = Path(sample.app / "deploy.yaml")
    before = file.read_bytes()
    try:
        file.write_text("app: [\n")
        answer = client.get("/upgrade/")
        assert answer.status_code == 503
        assert "deploy.yaml" in answer.text
        harmless(answer.text)
        assert "Traceback" not in answer.text
    finally:
        file.write_bytes(before)
    assert client.get("/upgrade/").status_code == 200
