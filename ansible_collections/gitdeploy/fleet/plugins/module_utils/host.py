# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""One app on the host that a module runs on: gitdeploy is asked and started here, and its JSON is read.

A command that changes the app runs in a session of its own: it goes on when the connection of the control host is lost,
and whoever comes back finds it in the host's own journal, by the `request` that it was started with.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import uuid

from ansible.module_utils.basic import AnsibleModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACES = ["/usr/local/bin", "/opt/gitdeploy/bin"]
LOOK = 1.0  # seconds between two looks at what a run is doing
PATIENCE = 900  # seconds for a question: a plan fetches the release, a health check waits
MOST_LINES = 200  # of a deployment's log that are returned

ARGUMENTS: dict[str, Any] = {
    "dir": {"type": "path", "required": True},
    "config": {"type": "path"},
    "executable": {"type": "path"},
    "performer": {"type": "str"},
}
RUNS: dict[str, Any] = {
    "lock_wait": {"type": "int", "default": 0},
    "request": {"type": "str"},
    "follow": {"type": "int"},
}


class Host:
    """gitdeploy on this host, as the module's arguments say."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        wanted = module.params["executable"]
        self.program = wanted or module.get_bin_path("gitdeploy", opt_dirs=PLACES)
        if not self.program or not os.access(self.program, os.X_OK):
            module.fail_json(
                msg="There is no gitdeploy on this host%s. The role gitdeploy.fleet.install installs it."
                % (" (%s)" % wanted if wanted else ""),
                exit_code=2,
            )
        folder = module.params["dir"]
        if not os.path.isdir(folder):
            module.fail_json(msg="There is no checkout %s on this host." % folder, exit_code=2)

    def words(self, *words: str) -> list[str]:
        named = ["--config", self.module.params["config"]] if self.module.params["config"] else []
        return [self.program, "-C", self.module.params["dir"], *named, "--json", *words]

    def environment(self, request: str | None = None) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("GITDEPLOY_")}
        mine["GITDEPLOY_LANG"] = "en"
        if self.module.params["performer"]:
            mine["GITDEPLOY_PERFORMER"] = self.module.params["performer"]
        if request is not None:
            mine["GITDEPLOY_REQUEST"] = request
        return mine

    # ---- asked ----

    def look(self, *words: str) -> tuple[int, Any]:
        """The exit code and the document of a command that is soon over."""
        try:
            done = subprocess.run(
                self.words(*words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self.environment(),
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            self.module.fail_json(msg="gitdeploy %s did not answer within %d s." % (words[0], PATIENCE))
            raise
        try:
            return done.returncode, json.loads(done.stdout.decode("utf-8", "replace"))
        except ValueError:
            said = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
            self.module.fail_json(
                msg="gitdeploy %s ended with exit code %d: %s" % (words[0], done.returncode, said[-1000:])
            )
            raise

    def ask(self, *words: str) -> Any:
        """The document of a command; where it is an error the module fails with it."""
        code, document = self.look(*words)
        if code != 0:
            self.fail(code, document)
        return document

    def fail(self, code: int, document: Any, **more: Any) -> None:
        """The module fails as gitdeploy did: what happened, what to do, the exit code and its kind."""
        error = (document or {}).get("error") if isinstance(document, dict) else None
        error = error or {"message": "gitdeploy ended with exit code %d." % code}
        told = error["message"]
        if error.get("hint"):
            told += "\n" + error["hint"]
        deployment = shortened(document) if isinstance(document, dict) and "action" in document else None
        self.module.fail_json(
            msg=told,
            kind=error.get("kind", "failed"),
            hint=error.get("hint", ""),
            exit_code=code,
            deployment=deployment,
            ended=True,
            **more,
        )

    # ---- started ----

    def run(self, *words: str) -> dict[str, Any]:
        """Start a command, or find the one that was started with the same `request`, and follow it: to its end, or for
        `follow` seconds and as long as it is at the same step.

        Returns `ended`, `request`, `step`, `steps` and, once it has ended well, its `document`. The module fails where the
        command did.
        """
        params = self.module.params
        known = params["request"]
        request = known or uuid.uuid4().hex
        state = self.ask("log", "--request", request) if known else {"state": "unknown"}
        child = None
        with tempfile.TemporaryFile() as errors:
            if state["state"] == "unknown":
                child = subprocess.Popen(
                    self.words(*words),
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    env=self.environment(request),
                    cwd="/",
                    start_new_session=True,
                )
            state = self._followed(request, state, child)
            if state["state"] == "unknown" and child is not None and child.poll() is not None:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace").strip()
                if (document := _refusal(said)) is not None:
                    self.fail(child.returncode, document)
                self.module.fail_json(
                    msg="gitdeploy %s ended with exit code %d before it began: %s"
                    % (words[0], child.returncode, said[-1000:]),
                    exit_code=child.returncode,
                    ended=True,
                )
        found = {"ended": False, "request": request, "step": state.get("step"), "steps": state.get("steps") or []}
        if state["state"] == "killed":
            self.module.fail_json(
                msg="gitdeploy %s was killed before its end. The next deployment on this host recovers it first."
                % words[0],
                kind="killed",
                exit_code=137,
                **dict(found, ended=True),
            )
        if state["state"] == "ended":
            if state["exit_code"] != 0:
                self.fail(state["exit_code"], state["document"], request=request)
            found.update(ended=True, document=state["document"] or {})
        return found

    def _followed(self, request: str, state: dict[str, Any], child: Any) -> dict[str, Any]:
        limit = self.module.params["follow"]
        begun, step, looked = time.monotonic(), state.get("step"), time.monotonic()
        while child is not None or state["state"] == "running":
            over = child is not None and child.poll() is not None
            now = time.monotonic()
            if over or (now - looked >= LOOK and (limit is not None or child is None)):
                state, looked = self.ask("log", "--request", request), time.monotonic()
                moved = state.get("step") != step
                if over or (limit is not None and (moved or now - begun >= limit)):
                    break
            time.sleep(0.1)
        return state


def _refusal(said: str) -> Any:
    """The document of an error in what a command SAID before it began; None where there is none."""
    try:
        document = json.loads(said[said.index("{") :])
    except ValueError:
        return None
    return document if isinstance(document, dict) and isinstance(document.get("error"), dict) else None


def shortened(document: dict[str, Any]) -> dict[str, Any]:
    """A deployment's DOCUMENT with the end of its log."""
    log = document.get("log") or []
    return dict(document, log=log[-MOST_LINES:])


def release_of(state: dict[str, Any] | None) -> str | None:
    """What a release is called: its tag, else its version, else the commit."""
    state = state or {}
    return state.get("tag") or state.get("version") or (state.get("commit") or "")[:12] or None
