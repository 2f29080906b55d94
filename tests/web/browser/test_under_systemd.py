"""The page inside an app that a real systemd runs: whoever presses the button does it in the service that is restarted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import systemd_root
from support.machine_app import PORT, SETTINGS, UNIT, MachineApp
from web.browser.door import Door

_APP = """\
import os
from flask import Flask, jsonify
from gitdeploy.web import blueprint

VERSION = "{version}"
application = Flask(__name__)
application.register_blueprint(blueprint("/srv/otrs-web"))


@application.get("/health")
def health():
    return jsonify(version=VERSION, pid=os.getpid()), {status}
"""


@dataclass
class Served:
    """The app with its page, as a browser out here reaches it."""

    app: MachineApp
    address: str
    token: str

    def publish(self, tag: str, *, status: int = 200) -> None:
        self.app.publish(tag, files={"wsgi.py": _APP.format(version=tag.removeprefix("v"), status=status)})


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with systemd_root.machine(tmp_path_factory.mktemp("machine")) as machine:
        token = secrets.token_urlsafe(24)
        made = Served(MachineApp(machine, SETTINGS.replace("timeout: 4", "timeout: 30")), "", token)
        made.publish("v1.0.0")
        variables = f"PYTHONPATH=/opt/gitdeploy/project:{machine.packages} GITDEPLOY_WEB_TOKEN={token}"
        made.app.install("v1.0.0", UNIT.replace("[Install]", f"Environment={variables}\n[Install]"))
        init = machine._init()
        assert init is not None
        door = Door(init, PORT)
        made.address = door.address
        yield made
        door.close()


def test_an_upgrade_ends_well_though_its_own_page_is_restarted_and_a_bad_one_goes_back(
    served: Served, open_page: Any
) -> None:
    before = served.app.ask("/health")
    tab = open_page(served)

    def dialog_for(tag: str) -> Any:
        tab.get_by_role("button", name="Check for updates").click()
        tab.get_by_role("button", name=f"Upgrade to {tag}", exact=True).click()
        return tab.get_by_role("dialog")

    served.publish("v2.0.0")
    dialog = dialog_for("v2.0.0")
    problem = dialog.locator(".alert", has_text="otrs may not restart otrs-web.service.")
    problem.wait_for()
    assert "otrs ALL=(root) NOPASSWD:" in problem.inner_text(), "which right is missing, and what to type"
    assert dialog.get_by_role("button", name="Upgrade to v2.0.0").is_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    served.app.allow()

    endings = {"v2.0.0": "v2.0.0 is live", "v3.0.0": "v3.0.0 failed; v2.0.0 runs again"}
    for (tag, ending), status in zip(endings.items(), (200, 500), strict=True):
        if status != 200:
            served.publish(tag, status=status)
        dialog = dialog_for(tag)
        dialog.get_by_text("The app is restarted (otrs-web.service)").wait_for()
        dialog.get_by_role("button", name=f"Upgrade to {tag}").click()
        tab.get_by_role("heading", name=f"Upgrading to {tag}").wait_for()
        tab.get_by_role("heading", name=ending).wait_for()
        now = served.app.ask("/health")
        assert now["version"] == "2.0.0"
        assert now["pid"] != before["pid"], "the app that served the page was ended and started anew"
    log = served.app.gitdeploy("--json", "log", "1").out
    assert '"administrator (web, from 127.0.0.1)"' in log
