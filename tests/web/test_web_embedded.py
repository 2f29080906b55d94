"""The page inside other apps and beside them, each as docs/embedding.md has it."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.sample import PROJECT, Program, Sample
from support.waiting import free_port, wait_until
from web.conftest import Shop, json_of
from web.nginx import NGINX, needs_nginx
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from gitdeploy.errors import UsageError
from gitdeploy.web import Access, wsgi

PAGE = (PROJECT / "docs/embedding.md").read_text()


def documented(kind: str, beginning: str) -> str:
    """The code block of the guide that has BEGINNING in it."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [block for block in blocks if beginning in block]
    return str(found)


class Answer:
    def __init__(self, status: int, text: str, headers: Any) -> None:
        self.status, self.text, self.headers = status, text, headers

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(port: int, path: str, body: Any = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
        sent.setdefault("Origin", f"http://127.0.0.1:{port}")
    try:
        connection.request(
            "POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None, sent
        )
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(), answer.headers)
    finally:
        connection.close()


@contextmanager
def served(port: int, *words: str, folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """A server that is started with WORDS, until it listens."""
    log = folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=out, stderr=out)
    try:
        wait_until(lambda: ask(port, "/"), log.read_text, seconds=60, errors=OSError)
        yield
    finally:
        process.terminate()
        process.wait(30)


# ---- as a WSGI application ----

WHERE = ["beside", "mounted", "mounted elsewhere", "below a proxy's prefix"]


def other(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [f"other {environ['PATH_INFO']}".encode()]


@pytest.mark.parametrize("where", WHERE)
def test_it_is_at_its_prefix_however_it_is_mounted(shop: Shop, where: str) -> None:
    seen: list[str] = []

    def authorize(environ: Any) -> Access | None:
        seen.append(environ["PATH_INFO"])
        return Access("li") if environ.get("HTTP_X_USER") == "li" else None

    prefix = "/tools/deploy" if where == "mounted elsewhere" else "/upgrade"
    page = wsgi(shop.app, authorize, otherwise=other if where != "mounted" else None, prefix=prefix, auto_check=False)
    mounted = DispatcherMiddleware(other, {prefix: page}) if where.startswith("mounted") else page
    base = prefix
    if where == "below a proxy's prefix":
        mounted, base = DispatcherMiddleware(other, {"/shop": page}), "/shop/upgrade"
    client = Client(mounted)
    li = {"X-User": "li"}
    assert client.get(f"{base}/", headers=li).status_code == 200
    assert f'data-base="{base}"' in client.get(f"{base}/", headers=li).text
    with client.get(f"{base}/static/page.js") as script:
        assert script.status_code == 200
    assert json_of(client.get(f"{base}/api/status", headers=li))["data"]["version"] == "1.0.0"
    assert client.get(f"{base}/api/status").status_code == 401
    assert client.post(f"{base}/api/lock", json={}, headers=li).status_code == 403, "a change has an Origin"
    origin = {**li, "Origin": "http://localhost"}
    assert client.post(f"{base}/api/lock", json={}, headers=origin).status_code == 200
    assert client.post(f"{base}/api/unlock", json={}, headers=origin).status_code == 200
    assert client.get(f"{base}x").text.startswith("other")
    assert client.get("/").text == "other /"
    assert len(seen) > 5


def test_alone_it_has_its_own_login_and_nothing_else(shop: Shop) -> None:
    client = Client(wsgi(shop.app, auto_check=False))
    assert client.get("/upgrade/").headers["Location"] == "/upgrade/login"
    assert client.get("/upgrade/login").status_code == 200
    assert client.get("/elsewhere").status_code == 404
    assert client.get("/upgrade/api/status", headers={"Host": "evil.example"}).status_code == 403
    for wrong in ("upgrade", "/upgrade/", "/", "", "/a/../b", "/a b"):
        with pytest.raises(UsageError, match="can't be the page's prefix"):
            wsgi(shop.app, prefix=wrong)


def test_forwarded_headers_count_from_named_proxies_only(shop: Shop) -> None:
    page = wsgi(shop.app, lambda _: True, auto_check=False)
    forged = {"X-Forwarded-For": "203.0.113.66", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"}
    for peer, base in (("198.51.100.1", "/upgrade"), ("192.0.2.1", "/evil/upgrade")):
        answer = Client(page).get("/upgrade/", headers=forged, environ_overrides={"REMOTE_ADDR": peer})
        assert f'data-base="{base}"' in answer.text


@pytest.mark.parametrize("said", ["<a redirect>", ("Forbidden", 403), 1, object()])
def test_what_names_nobody_lets_nobody_in(shop: Shop, said: Any) -> None:
    client = Client(wsgi(shop.app, lambda _: said, auto_check=False))
    assert client.get("/upgrade/api/status").status_code == 500


# ---- Django ----

SETTINGS = """
SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
"""
URLS = """
from django.http import HttpResponse
from django.urls import re_path
urlpatterns = [re_path("", lambda request: HttpResponse(f"Django {request.path} {request.user}"))]
"""
MAKE_USERS = """
import os, json
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
import django; django.setup()
from django.core.management import call_command
from django.contrib.auth.models import User
from django.test import Client
call_command("migrate", verbosity=0)
made = {}
for name, staff, superuser, active in (("li", True, True, True), ("wang", True, False, True), ("zhao", False, False, True), ("gone", True, True, True)):
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    client = Client(); client.force_login(user)
    made[name] = client.cookies["sessionid"].value
User.objects.filter(username="gone").update(is_active=False)
print(json.dumps(made))
"""


def test_in_django_behind_its_login(shop: Shop, tmp_path: Path) -> None:
    site = tmp_path / "mysite"
    site.mkdir()
    (site / "__init__.py").touch()
    (site / "settings.py").write_text(SETTINGS)
    (site / "urls.py").write_text(URLS)
    (site / "wsgi.py").write_text(documented("python", "wsgi.py of a Django").replace("/srv/mysite", str(shop.app)))
    environment = {**shop.environment, "PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    made = subprocess.run([sys.executable, "-c", MAKE_USERS], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)  # fmt: skip
    sessions = json.loads(made.stdout)
    port = free_port()
    words = (sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "mysite.wsgi")
    with served(port, *words, folder=tmp_path, env=environment):
        cookies = {name: f"sessionid={session}" for name, session in sessions.items()}
        assert ask(port, "/shop", Cookie=cookies["li"]).text == "Django /shop li"
        assert ask(port, "/upgradex").text.startswith("Django")
        statuses = {name: ask(port, "/upgrade/", Cookie=cookie).status for name, cookie in cookies.items()}
        assert statuses == {"li": 200, "wang": 200, "zhao": 401, "gone": 401}
        assert ask(port, "/upgrade/").status == 401
        assert ask(port, "/upgrade/", Cookie="sessionid=forged").status == 401
        assert ask(port, "/upgrade/login").status == 404, "there is no second login"
        tag = {"tag": "v1.1.0"}
        assert ask(port, "/upgrade/api/start-upgrade", tag, Cookie=cookies["wang"]).status == 403
        assert (
            ask(port, "/upgrade/api/start-upgrade", tag, Cookie=cookies["li"], Origin="http://evil.example").status
            == 403
        )
        done = ask(port, "/upgrade/api/start-upgrade", tag, Cookie=cookies["li"])
        assert (done.status, done.json["success"]) == (200, True), done.text
        log = ask(port, f"/upgrade/api/upgrade-log?deployment={done.json['deployment']}", Cookie=cookies["wang"])
        assert log.json["performer"] == "li (web, from 127.0.0.1)"
        assert ask(port, "/shop", Cookie=cookies["li"]).text == "Django /shop li"


# ---- FastAPI ----

LOGIN = """

from fastapi import Request


@app.get("/login/{user}")
def log_in(request: Request, user: str):
    request.session.update(user=user, is_admin=user == "li")
    return {"user": user}


@app.get("/")
def home():
    return "home"
"""


def test_in_fastapi_behind_its_login(shop: Shop, tmp_path: Path) -> None:
    text = documented("python", "main.py of a FastAPI").replace("/srv/my-app", str(shop.app))
    (tmp_path / "main.py").write_text(text + LOGIN)
    port = free_port()
    words = (sys.executable, "-m", "uvicorn", "--port", str(port), "main:app")
    environment = {**shop.environment, "PYTHONPATH": f"{tmp_path}:{PROJECT}", "SESSION_SECRET": "only for this test"}
    with served(port, *words, folder=tmp_path, env=environment):
        cookies = {name: ask(port, f"/login/{name}").headers["Set-Cookie"].partition(";")[0] for name in ("li", "zhao")}
        assert ask(port, "/upgrade/").status == 401
        assert ask(port, "/upgrade/", Cookie=cookies["zhao"]).status == 401
        page = ask(port, "/upgrade/", Cookie=cookies["li"])
        assert page.status == 200
        assert 'data-base="/upgrade"' in page.text
        assert ask(port, "/upgrade/static/page.js").status == 200
        assert ask(port, "/upgrade/api/lock", {}, Cookie=cookies["li"], Origin="http://evil.example").status == 403
        begun = ask(port, "/upgrade/api/start-upgrade", {"tag": "v1.1.0", "wait": False}, Cookie=cookies["li"])
        assert (begun.status, begun.json["success"]) == (202, True), begun.text
        log = f"/upgrade/api/upgrade-log?deployment={begun.json['deployment']}"
        wait_until(lambda: ask(port, log, Cookie=cookies["li"]).json["status"] == "succeeded", seconds=60, every=0.3)
        assert ask(port, "/").text == '"home"'


# ---- beside an app that can't import it ----

OLD_APP = """\\
import http.server, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import upgrade_badge

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        admin = "admin=1" in self.headers.get("Cookie", "")
        if self.path == "/is-admin":
            status, text = (200 if admin else 403), ""
        else:
            status, text = 200, "Python %d.%d, release %s, update %s" % (*sys.version_info[:2], open("VERSION").read(), upgrade_badge.available_update())
        self.send_response(status); self.send_header("Content-Length", str(len(text))); self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"

open("pid", "w").write(str(os.getpid()))
http.server.HTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])), Handler).serve_forever()
"""
OLD_PYTHONS = ["python3.6", "python3.7", "python3.8", "python3.9", "python3.10"]


def test_the_badge_needs_no_newer_python_than_it_says() -> None:
    ast.parse(documented("python", "upgrade_badge.py"), feature_version=(3, 6))


def _old_python() -> str:
    """An interpreter that gitdeploy can't run in; ours where there is none."""
    for name in OLD_PYTHONS:
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return sys.executable


def test_the_print_of_the_proxy_is_what_the_guide_has(shop: Shop) -> None:
    printed = shop.gitdeploy("web", "--print-proxy").out
    assert documented("nginx", "location /upgrade/ {\n    proxy_pass") in printed


SETTINGS_BESIDE = """\
app: {{name: shop}}
source: {{type: git}}
web: {{trusted_proxies: [127.0.0.1]}}
service: {{command: ./restart}}
health: {{url: 'http://127.0.0.1:{port}/', expect_body: 'release {version},', successes: 1}}
"""
RESTART = """\
#!/bin/sh
if [ -e pid ]; then kill $(cat pid); while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done; fi
. ./settings
setsid {python} app.py >log 2>&1 </dev/null &
"""


@pytest.mark.server
@needs_nginx
def test_beside_an_old_app_whose_waiting_call_is_answered_after_its_restart(tmp_path: Path) -> None:
    """An app on a Python that gitdeploy doesn't run on, its login, its old page's call, through the guide's nginx."""
    assert NGINX is not None
    port, page, outside = free_port(), free_port(), free_port()
    shop = Sample(tmp_path, venv=False)
    for version in ("1.0.0", "1.1.0"):
        shop.release(
            f"v{version}",
            {
                "deploy.yaml": SETTINGS_BESIDE.format(port=port, version=version),
                "VERSION": version,
                "app.py": OLD_APP,
                "upgrade_badge.py": documented("python", "upgrade_badge.py"),
                "restart": Program(RESTART.format(python=_old_python())),
                ".gitignore": "pid\nlog\nsettings\n__pycache__\n",
            },
        )
    shop.install("v1.0.0", branch="main")
    shop.gitdeploy("check", "--force")
    reader, token = (
        shop.gitdeploy("web", "token", "add", *words).out.strip() for words in (("badge", "--read-only"), ("admins",))
    )
    (shop.app / "settings").write_text(
        f"export APP_PORT={port} UPGRADE_URL=http://127.0.0.1:{page}/upgrade/api/status UPGRADE_BADGE_TOKEN={reader}\n"
    )
    server = shop.start("web", "--port", str(page), stdout=subprocess.DEVNULL)
    nginx = _nginx(tmp_path, port, page, outside, token)
    try:
        wait_until(lambda: ask(page, "/upgrade/healthz").status == 200, seconds=30, errors=OSError)
        subprocess.run([shop.app / "restart"], cwd=shop.app, check=True)
        wait_until(lambda: ask(outside, "/").status == 200, seconds=30, errors=OSError)
        home = ask(outside, "/").text
        assert home.endswith("release 1.0.0, update 1.1.0"), home
        assert ask(outside, "/upgrade/").status == 403, "the app says who is an administrator"
        assert ask(outside, "/upgrade/api/lock", {}, Authorization="Bearer gd_mine").status == 403
        admin = {"Cookie": "admin=1"}
        assert ask(outside, "/upgrade/", **admin).status == 200
        assert ask(outside, "/upgrade/api/lock", {}, Origin="http://evil.example", **admin).status == 403
        checked = ask(outside, "/upgrade/api/check-update?force=true", **admin).json["data"]
        before = int((shop.app / "pid").read_text())
        old = {"download_url": checked["tarball_url"], "is_tarball": True}
        done = ask(outside, "/upgrade/api/start-upgrade", old, **admin)
        assert (done.status, done.json["success"]) == (200, True), done.text
        assert done.json["log"]
        assert int((shop.app / "pid").read_text()) != before, "the app was restarted meanwhile"
        assert ask(outside, "/").text.endswith("release 1.1.0, update None")
    finally:
        nginx.terminate()
        nginx.wait(10)
        server.terminate()
        server.wait(30)
        with suppress(OSError, ValueError):
            os.kill(int((shop.app / "pid").read_text()), signal.SIGTERM)


def _nginx(folder: Path, port: int, page: int, outside: int, token: str) -> subprocess.Popen[bytes]:
    """nginx with the guide's block, before the app at PORT and the page."""
    block = documented("nginx", "auth_request").replace(":8000", f":{port}").replace(":15001", f":{page}")
    block = block.replace("/etc/nginx/gitdeploy-token.conf", f"{folder}/token.conf")
    (folder / "token.conf").write_text(re.sub(r"gd_\w+", token, documented("nginx", "Bearer gd_")))
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\nevents {{}}\nhttp {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{outside};\nlocation / {{ proxy_pass http://127.0.0.1:{port}; }}\n{block}}}\n}}\n"
    )
    return subprocess.Popen([str(NGINX), "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
