"""Ten releases of one Flask app: together they change everything that a release can change."""

from __future__ import annotations

from support.sample import Files, Link, Program, Sample, Tree

APP = """\
import os, pathlib, sqlite3
from flask import Flask, jsonify, request
import greeting

app = Flask(__name__)
VERSION = "{version}"
DATABASE = pathlib.Path(__file__).parent / "instance" / "app.db"


def database():
    DATABASE.parent.mkdir(exist_ok=True)
    found = sqlite3.connect(DATABASE)
    found.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
    return found


@app.get("/health")
def health():
    with database() as found:
        count = found.execute("SELECT count(*) FROM notes").fetchone()[0]
    return jsonify(version=VERSION, greeting=greeting.VERSION, notes=count)


@app.post("/notes")
def add():
    with database() as found:
        found.execute("INSERT INTO notes VALUES (?)", (request.get_data(as_text=True),))
    return "", 204
"""

RUN = """\
#!/bin/sh
# Starts the app anew: stops the one that runs, waits for the new one's port file no longer than its health check does.
cd "$(dirname "$0")" || exit 1
if [ -f run/pid ]; then kill "$(cat run/pid)" 2>/dev/null; fi
mkdir -p run
PORT=$(sed -n 's/^PORT=//p' .env)
setsid venv/bin/python -m waitress --listen="127.0.0.1:$PORT" app:app >>run/log 2>&1 </dev/null &
echo $! >run/pid
"""

SETTINGS = """\
app: {name: sample}
source: {type: git}
git: {keep: [.env, conf/settings.ini, local.cfg]}
hooks: {dir: hooks}
"""
SERVICE = """\
service: {command: ./restart.sh}
health:
  url: http://127.0.0.1:%PORT%/health
  version: {json: version}
  successes: 1
  timeout: 8
  interval: 0.1
"""

IGNORED = "/instance/\n*.log\n/run/\n__pycache__/\n"


def trees(*, service_port: int | None = None) -> dict[str, Files]:
    """Tag -> tree, in the order of the versions; two of them are broken."""
    settings = SETTINGS + (SERVICE.replace("%PORT%", str(service_port)) if service_port else "")

    def release(version: str, requirements: str, more: Tree) -> Files:
        return {
            "app.py": APP.replace("{version}", version),
            "restart.sh": Program(RUN),
            "requirements.txt": requirements,
            "deploy.yaml": settings,
            ".gitignore": IGNORED,
            **more,
        }

    web = "flask\nwaitress\n" if service_port else ""
    base: Files = {
        "pkg/__init__.py": "",
        "pkg/core.py": "NUMBER = 1\n",
        "static/logo.bin": bytes(range(256)) * 8,
        "文档/说明.txt": "你好\n",
        b"odd\xffname": b"not UTF-8\n",
        "with space.txt": "a\n",
        "new\nline": "b\n",
        "-option": "c\n",
        "empty.txt": "",
        "link": Link("static/logo.bin"),
        "bin/run": Program("#!/bin/sh\necho 1\n"),
        "conf/settings.ini": "[main]\nnumber = 1\n",
        "data/a.txt": "a\n",
        "data/b/c.txt": "c\n",
        "thing": "a file\n",
        "cache.dat": "tracked\n",
    }
    second: Files = {
        **base,
        "pkg/core.py": "NUMBER = 2\n",
        "pkg/new.py": "",
        "bin/run": "#!/bin/sh\necho 1\n",
        "link": Link("pkg/core.py"),
        "empty.txt": "not any more\n",
    }
    without_data: Files = {path: content for path, content in second.items() if not str(path).startswith("data/")}
    third: Files = {**without_data, "data": "a file now\n", "bin/run": Program("#!/bin/sh\necho 3\n")}
    del third["thing"]
    third |= {"thing/inside/deep.txt": "a folder now\n", "link": "no link any more\n"}
    fourth: Files = {
        path: content for path, content in base.items() if path not in (b"odd\xffname", "new\nline", "-option")
    }
    fifth: Files = {**base, "conf/settings.ini": "[main]\nnumber = 5\nnew = 1\n", "pkg/core.py": "NUMBER = 5\n"}
    del fifth["cache.dat"]
    sixth: Files = {
        **fifth,
        ".gitignore": IGNORED + "/cache.dat\n",
        "local.cfg": "the release's own\n",
        "static/more/x": "x",
    }
    ninth: Files = {
        "pkg": Link("lib"),
        "lib/core.py": "NUMBER = 9\n",
        "文档": "a file instead of a folder\n",
        "dos.bat": "echo hello\r\n",
        ".gitattributes": "*.bat text eol=crlf\n*.txt text\n",
        "static/logo.bin": Link("../lib/core.py"),
        "bin/run": Program("#!/bin/sh\necho 9\n"),
    }
    return {
        "v1.2.9": release("1.2.9", f"{web}greeting==1.0\n", base),
        "v1.2.9.1": release("1.2.9.1", f"{web}greeting==1.1\nhelper==1.0\n", second),
        "v1.2.10": release("1.2.10", f"{web}greeting==1.1\nhelper==1.0\n", third),
        "v1.3.0": release("1.3.0", f"{web}greeting==1.0\n", fourth),
        "v1.4.0": release("1.4.0", f"{web}-r requirements/base.txt\n", {**fifth, "requirements/base.txt": "greeting==1.2\n"}),
        "v1.5.0": release("1.5.0", f"{web}greeting==1.2\n", sixth),
        "v1.6.0": release("1.6.0", f"{web}greeting==1.2\nthis-is-nowhere==9.9\n", sixth),
        "v1.7.0": release("1.7.0", f"{web}greeting==1.3\n", {**sixth, "hooks/post-deploy": Program("#!/bin/sh\necho this hook fails >&2\nexit 3\n")}),
        "v2.0.0": release("2.0.0", f"{web}greeting==1.3\nhelper==2.0\n", ninth),
        "v10.0.0rc1": release("10.0.0rc1", f"{web}greeting==1.3\nhelper==2.0\n", {"only": "little is left\n"}),
    }  # fmt: skip


BROKEN_REQUIREMENTS, FAILING_HOOK = "v1.6.0", "v1.7.0"


def publish(sample: Sample, *, service_port: int | None = None) -> dict[str, Files]:
    """All ten at the remote, their packages as wheels."""
    for version in ("1.0", "1.1", "1.2", "1.3"):
        sample.wheel("greeting", version)
    for version in ("1.0", "2.0"):
        sample.wheel("helper", version)
    if service_port:
        sample.real_wheels("flask", "waitress")
    found = trees(service_port=service_port)
    for tag, tree in found.items():
        sample.release(tag, tree)
    return found
