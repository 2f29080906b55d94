"""A web app that embeds the page: it is restarted by each deployment, and the page with it."""

from __future__ import annotations

import secrets
import sys

from support.sample import Program
from support.served import Served

_APP = """\
import os, pathlib
from flask import Flask, jsonify
from gitdeploy.web import blueprint

VERSION = "{version}"
app = Flask(__name__)
app.register_blueprint(blueprint(pathlib.Path(__file__).parent, streams=8))


@app.get("/health")
def health():
    return jsonify(version=VERSION), {status}


if __name__ == "__main__":
    import waitress

    waitress.serve(app, listen="127.0.0.1:" + os.environ["PORT"], threads=16, channel_request_lookahead=1)
"""

_RESTART = """\
#!/bin/sh
# Ends the app where it runs and starts it anew, in the background.
[ -f run/pid ] && kill "$(cat run/pid)" 2>/dev/null
mkdir -p run
. ./.env
export PORT GITDEPLOY_WEB_TOKEN
setsid {python} app.py >>run/log 2>&1 </dev/null &
echo $! >run/pid
"""

_SETTINGS = """\
app: {{name: otrs-web}}
source: {{type: git}}
hooks: {{dir: hooks}}
service: {{command: ./restart.sh}}
health:
  url: http://127.0.0.1:{port}/health
  version: {{json: version}}
  timeout: {timeout}
  interval: 0.2
  successes: 2
"""

_CHANGES = {
    "1.0.0": "- The first release.\n",
    "1.1.0": "Tickets can be merged, and the report of the month is there in a second.\n\n"
    "- **Merge** two tickets from the list\n- The monthly report is kept, no longer made on each visit\n"
    "- Times are shown in the reader's own zone\n\nNothing has to be done by hand; the database gets one column.\n",
    "1.2.0": "- A new health page.\n",
    "1.3.0": "Search finds attachments.\n\n- PDF and text files are searched, too\n- **Fixed:** a report of an empty month\n\n"
    "| setting | default |\n| --- | --- |\n| `SEARCH_FILES` | `yes` |\n",
}


class Shop(Served):
    """`open` makes it run v1.0.0; `publish` releases more."""

    more = ""  # what the deploy.yaml of each release has besides
    token: str

    def open(self) -> None:
        self.token = secrets.token_urlsafe(24)
        for version in ("1.0", "1.1"):
            self.wheel("greeting", version)
        self.publish("1.0.0")
        self.install("v1.0.0")
        (self.app / ".env").write_text(f"PORT={self.port}\nGITDEPLOY_WEB_TOKEN={self.token}\n")
        self._run("./restart.sh")
        self.wait("1.0.0")

    def publish(self, version: str, *, status: int = 200, migrate: str = "", more: str = "") -> None:
        """Release VERSION; STATUS is what its health page answers, MIGRATE a hook, MORE what deploy.yaml has besides."""
        greeting = "1.0" if version == "1.0.0" else "1.1"
        known = [each for each in _CHANGES if each <= version]
        tree: dict[str | bytes, object] = {
            "app.py": _APP.format(version=version, status=status),
            "restart.sh": Program(_RESTART.format(python=sys.executable)),
            "requirements.txt": f"greeting=={greeting}\n",
            "deploy.yaml": _SETTINGS.format(port=self.port, timeout=30 if status == 200 else 6) + self.more + more,
            ".gitignore": "/venv\n/run/\n__pycache__/\n",
            "CHANGELOG.md": "".join(f"## {each}\n\n{_CHANGES[each]}\n" for each in reversed(known)),
        }
        if migrate:
            tree["hooks/migrate"] = Program(f"#!/bin/sh\n{migrate}\n")
        self.release(f"v{version}", tree)  # type: ignore[arg-type]
        if self.app.exists():  # so that the notes are known, as a host would know them
            self.git("fetch", "-q", "--no-tags", "origin", f"refs/tags/v{version}:refs/tags/v{version}")

    def live_in(self) -> None:
        """A history: v1.0.0, upgraded to v1.1.0; v1.2.0 failed and was rolled back; v1.3.0 waits."""
        self.publish("1.1.0", migrate="echo one column added")
        self.gitdeploy("upgrade", "v1.1.0")
        self.publish("1.2.0", status=500)
        self.gitdeploy("upgrade", "v1.2.0", code=3)
        self.publish("1.3.0", migrate="echo search index built")
        self.gitdeploy("check", "--force")
