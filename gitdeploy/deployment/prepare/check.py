"""The check before the switch: the new code, with the new venv, is loaded in a copy beside the live app, as its service
would, and the `check` hooks run there. What dies at import never goes live.

A failure counts only where what is live can be loaded in the same way: a test that fails for both tells nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from gitdeploy.backups.store import REFS
from gitdeploy.checkout.changes import list_tree
from gitdeploy.checkout.manifest import Item
from gitdeploy.deployment.live.live import CHANGED_FILES
from gitdeploy.deployment.prepare.beside import copy_beside
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.errors import DeploymentFailed
from gitdeploy.hooks.running import HookContext, find_hooks, hook_environment, run_hooks
from gitdeploy.messages import tr, without_stop
from gitdeploy.services import loading
from gitdeploy.services.loads import Load
from gitdeploy.site.app_environment import hook_caller, withheld
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
    with work.journal.step(STAGE) as shown:
        try:
            checking = _Checking(preparation, place)
            if (obstacle := checking.copy(place / "new", new=True)) is not None:
                if hooks:
                    raise DeploymentFailed(
                        tr("The release can't be checked before it goes live: {obstacle}.", obstacle=obstacle)
                    )
                work.journal.line(
                    tr("Whether the release starts was not tested: {obstacle}.", obstacle=obstacle), "warning"
                )
                shown.status, shown.summary = "skipped", obstacle
                return
            told = [load.shown for load in plan.loads if checking.load(load)]
            checking.run_hooks()
            shown.summary = listing([*told, *(hook.name for hook in hooks)], 3) or tr("nothing could be told")
        finally:
            shutil.rmtree(place, ignore_errors=True)


class _Checking(Struct):
    """One check. `place`: the folder in the stage that the copies are in."""

    preparation: Preparation
    place: Path

    def copy(self, folder: Path, *, new: bool) -> str | None:
        """Make FOLDER a copy of the checkout: as it will be, or as it is now. None, or why there is none."""
        plan, site = self.preparation.plan, self.preparation.work.site
        assert self.preparation.manifest is not None
        items: tuple[Item, ...] = self.preparation.manifest.items if new else ()
        tracked: list[bytes] = []
        for prefix, each in plan.checkout.owners.items():
            if each.target is not None:
                inside = list_tree(each.repository, each.target.tree)
                tracked += [prefix + b"/" + path if prefix else path for path in inside]
        try:
            self.place.mkdir(mode=0o700, exist_ok=True)
            copy_beside(site.root, folder, tracked, items)
            if site.venv_link is not None and (venv := self._venv(new)) is not None:
                link = folder / os.path.relpath(site.venv_link, site.root)
                if link.is_symlink():
                    link.unlink()
                link.symlink_to(venv)
        except OSError as error:
            return tr("a copy of the checkout can't be made ({strerror})", strerror=error.strerror)
        except DeploymentFailed as error:
            return error.message
        return None

    def _venv(self, new: bool) -> Path | None:
        """The generation that will be live, or that is."""
        plan, site = self.preparation.plan, self.preparation.work.site
        if plan.venv is None:
            return None
        generation = self.preparation.generation
        return site.state.venvs / generation if new and generation is not None else plan.venv.live.real

    # ---- what the service starts ----

    def load(self, load: Load) -> bool:
        """Whether LOAD could be loaded; False where that can't be told. Raises `CheckFailed`."""
        journal = self.preparation.work.journal
        done = self._run(load, self.place / "new")
        if done.ok:
            return True
        if not done.timed_out and done.returncode != loading.CAN_NOT_TELL:
            before = self.place / "live"
            if not before.exists():
                self.copy(before, new=False)
            if self._run(load, before).ok:
                raise failure(load, done, self.preparation.plan.target.name, self.place / "new")
            why = tr("what is live can't be loaded so, either")
        else:
            why = (
                tr("no end in {limit} s", limit=f"{_LIMIT:.0f}")
                if done.timed_out
                else tr("only uWSGI itself can load it")
            )
        journal.line(
            tr("Whether `{shown}` works in the release can't be told beforehand: {why}.", shown=load.shown, why=why),
            "warning",
        )
        return False

    def _run(self, load: Load, copy: Path) -> Completed:
        root = self.preparation.work.site.root
        link = self.preparation.work.site.venv_link
        assert link is not None
        what = {
            "kind": load.kind,
            "words": [_moved(word, root, copy) for word in load.words],
            "root": os.path.realpath(root),
            "copy": str(copy),
        }
        folder = copy / os.path.relpath(os.path.realpath(load.folder), os.path.realpath(root))
        uid = root.stat().st_uid
        return process.run(
            owner.command_as([str(self._python(copy)), "-c", _source(), json.dumps(what)], uid),
            cwd=folder if folder.is_dir() else copy,
            env=self._environment(copy, uid),
            timeout=_LIMIT,
            on_line=self.preparation.work.journal.output,
            tied=True,
            marked=True,
        )

    def _python(self, copy: Path) -> Path:
        site = self.preparation.work.site
        assert site.venv_link is not None
        return copy / os.path.relpath(site.venv_link, site.root) / "bin" / "python"

    def _environment(self, copy: Path, uid: int) -> dict[str, str]:
        plan, site = self.preparation.plan, self.preparation.work.site
        caller = self._caller(copy)
        secrets = withheld(site, plan.before, plan.after)
        values = hook_environment(self._context(copy), STAGE, uid=uid, secrets=secrets, caller=caller)
        return {**values, "PYTHONDONTWRITEBYTECODE": "1"}

    def _caller(self, copy: Path) -> Mapping[str, str]:
        """What hooks get; a path of the checkout is one of the copy."""
        site = self.preparation.work.site
        return {name: _moved(value, site.root, copy) for name, value in hook_caller(site).items()}

    # ---- hooks ----

    def run_hooks(self) -> None:
        """The release's own, in the copy."""
        plan, work = self.preparation.plan, self.preparation.work
        copy = self.place / "new"
        if not plan.hooks.get(STAGE):
            return
        run_hooks(
            find_hooks(copy, plan.after.hooks, STAGE),
            self._context(copy),
            stage=STAGE,
            timeout=plan.after.hooks.timeout,
            secrets=withheld(work.site, plan.before, plan.after),
            caller=self._caller(copy),
            on_line=work.journal.output,
        )

    def _context(self, copy: Path) -> HookContext:
        plan, work, site = self.preparation.plan, self.preparation.work, self.preparation.work.site
        backup = self.preparation.backup.id if self.preparation.backup is not None else None
        files = site.state.stage / self.preparation.stage / CHANGED_FILES
        return HookContext(
            action=plan.action,
            app=site.name,
            root=copy,
            deployment=work.id,
            from_version=plan.origin.version,
            from_tag=plan.origin.tag,
            from_commit=plan.origin.commit,
            to_version=plan.target.version,
            to_tag=plan.target.tag,
            to_commit=plan.target.commit,
            backup=backup,
            backup_ref=REFS + backup if backup else None,
            backup_dir=site.state.backups / backup if backup else None,
            venv=self._python(copy).parent.parent if site.venv_link is not None else None,
            changed_files=files if files.exists() else None,
            performer=work.session.caller.performer,
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


def _moved(text: str, root: Path, copy: Path) -> str:
    """TEXT with COPY wherever it names ROOT or a path in it, but for gitdeploy's own folder."""
    top = str(root)
    if text == top:
        return str(copy)
    own = text.replace(f"{top}/.gitdeploy", "\0")
    return own.replace(f"{top}/", f"{copy}/").replace("\0", f"{top}/.gitdeploy")


def _source() -> str:
    """The program that loads: its text, since the app's user may not read the folder that gitdeploy is installed in."""
    return Path(loading.__file__).read_text("utf-8")
