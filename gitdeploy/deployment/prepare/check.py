"""The check before the switch: the new code, with the new venv, is loaded in a copy beside the live app, as its service
would, and the `check` hooks run there. What dies at import never goes live.

A failure counts only where what is live can be loaded in the same way: a test that fails for both tells nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from msgspec import Struct

from gitdeploy.deployment.prepare.beside import moved
from gitdeploy.deployment.prepare.in_copy import InCopy, caller_in, make_copy
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr, without_stop
from gitdeploy.services import loading
from gitdeploy.services.loads import Load
from gitdeploy.system import owner, process
from gitdeploy.system.completed import Completed
from gitdeploy.text import LOOKED_THROUGH, clean, listing, redact, telling_line, telling_lines

STAGE = "check"
_FOLDER = "check"  # in the stage
_LIMIT = 60.0  # seconds for one thing to be loaded
_LAST_LINES = 12
_DJANGOS = frozenset(("CRITICALS:", "ERRORS:"))  # what `manage.py check` puts before those that count
_HINT = tr(
    "Nothing live was touched. Fix the release; or, where the test is wrong: service: {{import_test: false}} in deploy.yaml"
)


class CheckFailed(DeploymentFailed):
    """The new code can't be loaded: it would not have started."""

    kind = "check"
    fault = "release"


def check_release(preparation: Preparation) -> None:
    """Load what the service starts, and run the release's `check` hooks, in a copy beside the live app. Raises `CheckFailed`,
    `HookFailed`; a line in the log says what could not be told."""
    plan, work = preparation.plan, preparation.work
    hooks = plan.hooks.get(STAGE, ())
    if not plan.loads and not hooks:
        return
    place = work.site.state.stage / preparation.stage / _FOLDER
    copy = place / "new"
    with work.journal.step(STAGE) as shown:
        try:
            if (obstacle := make_copy(preparation, copy, new=True)) is not None:
                if hooks:
                    raise DeploymentFailed(
                        tr("The release can't be checked before it goes live: {obstacle}.", obstacle=obstacle)
                    )
                work.journal.line(
                    tr("Whether the release starts was not tested: {obstacle}.", obstacle=obstacle), "warning"
                )
                shown.status, shown.summary = "skipped", obstacle
                return
            shown.summary = check_copy(InCopy(preparation, copy, caller_in(preparation, copy)), place / "live")
        finally:
            shutil.rmtree(place, ignore_errors=True)


def check_copy(there: InCopy, live: Path) -> str:
    """Load what the service starts from the copy THERE, and run the `check` hooks in it; what was done. LIVE: where a copy of
    what is live may be made, to compare with. Raises `CheckFailed`, `HookFailed`."""
    plan = there.preparation.plan
    checking = _Checking(there, live)
    told = [load.shown for load in plan.loads if checking.load(load)]
    hooks = there.run_stage(plan.after, STAGE) if plan.hooks.get(STAGE) else []
    return listing([*told, *hooks], 3) or tr("nothing could be told")


class _Checking(Struct):
    """One check. `live`: the folder for a copy of what is live."""

    there: InCopy
    live: Path

    def load(self, load: Load) -> bool:
        """Whether LOAD could be loaded; False where that can't be told. Raises `CheckFailed`."""
        preparation = self.there.preparation
        done = self._run(load, self.there)
        if done.ok:
            return True
        if not done.timed_out and done.returncode != loading.CAN_NOT_TELL:
            if not self.live.exists():
                make_copy(preparation, self.live, new=False)
            if self._run(load, InCopy(preparation, self.live, caller_in(preparation, self.live))).ok:
                raise failure(load, done, preparation.plan.target.name, self.there.copy)
            why = tr("what is live can't be loaded so, either")
        else:
            why = (
                tr("no end in {limit} s", limit=f"{_LIMIT:.0f}")
                if done.timed_out
                else tr("only uWSGI itself can load it")
            )
        preparation.work.journal.line(
            tr("Whether `{shown}` works in the release can't be told beforehand: {why}.", shown=load.shown, why=why),
            "warning",
        )
        return False

    def _run(self, load: Load, there: InCopy) -> Completed:
        root, copy = there.preparation.work.site.root, there.copy
        assert there.venv is not None
        what = {
            "kind": load.kind,
            "words": [moved(word, root, copy) for word in load.words],
            "root": os.path.realpath(root),
            "copy": str(copy),
        }
        folder = copy / os.path.relpath(os.path.realpath(load.folder), os.path.realpath(root))
        python = str(there.venv / "bin" / "python")
        return process.run(
            there.around(owner.command_as([python, "-c", _source(), json.dumps(what)], root.stat().st_uid)),
            cwd=folder if folder.is_dir() else copy,
            env=there.environment(STAGE),
            timeout=_LIMIT,
            on_line=there.preparation.work.journal.output,
            tied=True,
            marked=True,
            memory=there.memory,
        )


def failure(load: Load, done: Completed, target: str, copy: Path) -> CheckFailed:
    """What is said of the release TARGET, whose LOAD in COPY ended as DONE."""
    raw = (done.stderr.strip() or done.stdout).decode("utf-8", "replace").replace(f"{copy}/", "")
    said = [redact(clean(line)) for line in raw.splitlines()[-LOOKED_THROUGH:]]
    lines = [line for line in said if line.strip() and "<frozen " not in line]
    if load.kind == "django" and (errors := _DJANGOS.intersection(lines)):
        first = min(lines.index(word) for word in errors) + 1
        told, shown = lines[first], lines[first : first + _LAST_LINES]
        message = tr("{target} does not pass `{check}`: {told}", target=target, check=load.shown, told=told)
    else:
        told = telling_line(lines) or tr("it ended with {ending}", ending=done.ending)
        shown = telling_lines(lines, _LAST_LINES)
        message = tr(
            "{target} would not start: {why} ({shown}).", target=target, why=without_stop(told), shown=load.shown
        )
    return CheckFailed(message, _HINT, details=tuple(line for line in shown if line != told))


def _source() -> str:
    """The program that loads: its text, since the app's user may not read the folder that gitdeploy is installed in."""
    return Path(loading.__file__).read_text("utf-8")
