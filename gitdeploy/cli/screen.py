"""Where output goes: results to standard output, progress and messages to standard error.

All that a command says goes through a `Screen`, which keeps what is promised of both streams: an escape sequence goes to a
terminal only, asked of the very stream that is written to; with --json standard output holds one document, or one a line
from a command that goes on (`log -f`, `watch`).

Output never decides the outcome: a closed pipe, a full disk behind it or a terminal that went away are ignored
(gitdeploy/__main__.py sees to it).
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from msgspec import Struct, field

from gitdeploy.app import App
from gitdeploy.cli.marks import MARKS, status_of, step_title
from gitdeploy.cli.tables import table_text
from gitdeploy.deployment import outside
from gitdeploy.deployment.record.events import Ended, Event, Line, Listener, Progress, Started, StepChanged, far_told
from gitdeploy.deployment.record.work import Caller
from gitdeploy.errors import Declined, GitDeployError, RolledBack, UsageError
from gitdeploy.messages import heard, render, sentence_of, tr
from gitdeploy.site.caller import performer, request_id
from gitdeploy.site.roots_own import refuse_unsafe
from gitdeploy.site.site import find_root
from gitdeploy.state import StateDirectory
from gitdeploy.state.requests import RunFile
from gitdeploy.system import interruption, progress
from gitdeploy.system.ourselves import refuse_changeable
from gitdeploy.text import for_terminal, padded, shell_word, without_escapes

if TYPE_CHECKING:
    from gitdeploy.deployment.record.work import Result

_TYPED_THERE = re.compile(r"\b(?:git|gitdeploy|chmod|mv) [a-z+-]")
_WORTH_A_LINE = 2.0  # seconds of work
_BETWEEN_LINES = 10.0  # seconds
_COLOURS = {"done": "32", "skipped": "2", "failed": "31", "undone": "33"}


class Screen(Struct):
    """What the global options said, and how to write."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    folder: Path = Path()
    config_file: Path | None = None
    exit_code: int = 0
    words: list[str] = field(default_factory=list)  # the command and what follows it, as typed
    run_file: RunFile | None = None  # where somebody started us to follow us (gitdeploy/deployment/outside/launch.py)
    document: Mapping[str, Any] | None = None  # what was written as JSON
    goes_on: bool = False  # with --json: a document a line, as things happen
    said_at: float = -math.inf  # when a plain line said last how far work has come
    typed_in: str = ""  # the folder that it was typed in; root that becomes somebody else leaves it

    # ---- the app ----

    def app(self, *, recovering: bool = False) -> App:
        self.become_owner()
        self.begin_run()
        return App.open(self.folder, self.config_file, recovering=recovering)

    def become_owner(self) -> None:
        """Where root runs us on another user's checkout: be that user, before anything of it is read."""
        with suppress(OSError):
            self.typed_in = self.typed_in or os.getcwd()
        self.folder = Path(os.path.abspath(self.folder))
        if self.config_file is not None:
            self.config_file = Path(os.path.abspath(self.config_file))
        if os.geteuid() == 0:
            refuse_changeable(self.folder)
            typed = "GITDEPLOY_REQUEST" not in os.environ  # by root, not started for somebody who asked
            outside.as_owner.become_owner(
                self.folder, self.config_file, boot_unit=typed and "--install-unit" in self.words
            )

    def begin_run(self) -> None:
        """Tell whoever started and follows us that we are here."""
        if self.run_file is None and (request := request_id()):
            del os.environ["GITDEPLOY_REQUEST"]  # a gitdeploy that a hook calls is another run
            if os.geteuid() == 0:
                refuse_unsafe(self.folder)
            self.run_file = RunFile(StateDirectory(self.folder).requests, request)
            self.run_file.begin()

    def end_run(self, code: int) -> None:
        if self.run_file is not None:
            with suppress(OSError):
                self.run_file.end(code, self.document)

    def moved_out(self, app: App, *more: str, restart: bool = True) -> bool:
        """Where a restart would end this process with the app: run the very command elsewhere and follow it to its end.
        False where it can run here. MORE: what was asked and answered meanwhile, as further words of the command."""
        if not restart or self.run_file is not None or not app.must_move_out():
            return False
        interruption.install()
        started = app.launch([*self.words, *more], performer=performer(), request=uuid.uuid4().hex)
        self.message(
            tr(
                "The restart of the app would end this process too, so the deployment runs in {where}. "
                "It goes on if you lose this one: gitdeploy log -f",
                where=started.where,
            )
        )
        ended = started.follow(self._followed)
        self.exit_code = ended.exit_code
        if self.as_json:
            self.result(ended.document, "")
        elif (error := ended.error()) is not None:
            self.error(error)
        elif started.deployment() is None:  # a recovery belongs to the deployment that it recovers
            self.message(heard(ended.document))
        return True

    def _followed(self, level: str, text: str) -> None:
        if level == outside.launch.PROGRESS:
            self.said_how_far(text)
        elif not self.as_json and not self.quiet and (level != "debug" or self.verbose):
            self._plain_line(level, text)

    def caller(self, command: str, *, wait: float = 0, automatic: bool = False) -> Caller:
        """Who asks; from here on signals are seen at safe points only."""
        interruption.install()
        return Caller(
            performer(),
            f"gitdeploy {command}",
            wait=wait,
            listener=self.listener(),
            automatic=automatic,
            attended=is_terminal(sys.stdin) or is_terminal(sys.stderr),
            request=self.run_file.request if self.run_file is not None else "",
        )

    # ---- writing ----

    @property
    def colours(self) -> bool:
        """Whether colours are wanted, where they can be shown."""
        return not (self.no_color or os.environ.get("NO_COLOR"))

    def coloured(self, status: str, text: str) -> str:
        """TEXT in the colour of STATUS. `write` and `write_error` leave it out where their stream can't show it."""
        code = _COLOURS.get(status)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.colours else text

    def write(self, text: str) -> None:
        _write(sys.stdout, render(text))

    def write_error(self, text: str) -> None:
        _write(sys.stderr, render(text))

    def result(self, document: Any, text: str) -> None:
        """The result of a command: JSON with --json, else the text."""
        if self.as_json:
            self._write_json(document)
        elif text:
            text = render(text)
            self.write(text if text.endswith("\n") else f"{text}\n")

    def _write_json(self, document: Any) -> None:
        self.document = document if isinstance(document, Mapping) else None
        self.write(json.dumps(document, indent=None if self.goes_on else 2) + "\n")

    def message(self, text: str) -> None:
        if not self.quiet and not self.as_json:
            self.write_error(f"{render(text)}\n")

    def error(self, error: GitDeployError) -> None:
        """What happened and what to do."""
        if self.as_json:
            self._write_json(error.document or {"error": error.as_dict()})
            return
        word = self.coloured("failed", render(tr("Refused") if error.exit_code == 7 else tr("Error")))
        before = "" if isinstance(error, Declined) else render(tr("{word}: ", word=word))
        first, *rest = map(render, error.lines)
        lines = [f"{before}{first}", *(f"  {line}" for line in (*rest, *render(error.hint).splitlines()) if line)]
        if (place := self.elsewhere(error.hint)) is not None:
            lines.append(f"  {render(place)}")
        if self.quiet or not isinstance(error, RolledBack):  # whose details were told when the step failed
            lines += [f"  {render(line)}" for line in error.details]
        self.write_error("\n".join(lines) + "\n")

    def elsewhere(self, hint: str) -> str | None:
        """A line that leads to the checkout, where HINT holds a command that wants to be typed there and this isn't it."""
        if not _TYPED_THERE.search(hint):
            return None
        with suppress(GitDeployError, OSError):
            root = find_root(self.folder)
            if not os.path.samefile(root, self.typed_in or os.getcwd()):
                return tr("To be typed in the checkout: cd {root}", root=shell_word(str(root)))
        return None

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
        """Columns, aligned by the width that they take on a terminal. On one, what is too wide for it goes on in the next
        line, whole words below each other; in a pipe a row is a line."""
        shown = [[render(cell) for cell in row] for row in (map(sentence_of, header), *rows)]
        return table_text(shown, shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 0)

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""
        return is_terminal(sys.stdin) and is_terminal(sys.stderr) and not self.as_json

    def confirm(self, question: str) -> bool:
        """Ask on a terminal; off one, `--yes` is needed. Raises `UsageError`."""
        if not self.attended:
            raise UsageError(tr("This is not a terminal, so nobody can be asked."), tr("Pass --yes."))
        return click.confirm(for_terminal(render(question)), default=False, err=True)

    # ---- a deployment's events ----

    def listener(self) -> Listener:
        if self.as_json or self.quiet:
            return self._only_failures if not self.as_json else _nothing
        if is_terminal(sys.stderr):
            from gitdeploy.cli.live import LiveListener

            return LiveListener(self).listen
        return self._plain

    @contextmanager
    def follows(self, name: str) -> Iterator[None]:
        """While the block runs, how far its work has come is shown under NAME: for what is no deployment."""
        with progress.told(far_told(self.listener(), name)):
            yield

    def _only_failures(self, event: Event) -> None:
        if isinstance(event, StepChanged) and event.status == "failed":
            self.write_error(
                tr(
                    "{marks} {event}: {summary}\n",
                    marks=MARKS["failed"],
                    event=step_title(event.name),
                    summary=event.summary,
                )
            )

    def _plain(self, event: Event) -> None:
        """One plain line an event: for cron, logs, pipes."""
        if isinstance(event, Line):
            if event.level != "debug" or self.verbose:
                self._plain_line(event.level, event.text)
        elif isinstance(event, StepChanged) and event.status != "running":
            level = "error" if event.status == "failed" else "info"
            took = tr(" ({seconds} s)", seconds=f"{event.duration:.1f}") if event.duration is not None else ""
            text = tr(
                "{event}: {summary}", event=step_title(event.name), summary=event.summary or status_of(event.status)
            )
            if (event.name, event.status) == ("backup", "done"):
                text = tr("Backup created: {summary}", summary=event.summary)
            self._plain_line(level, text + took)
        elif isinstance(event, Progress):
            if event.far and event.far.elapsed >= _WORTH_A_LINE:
                self.said_how_far(event.text)
        elif isinstance(event, Started):
            self._plain_line("info", event.headline)
        elif isinstance(event, Ended) and event.status in ("succeeded", "nothing_to_do"):
            self._plain_line("info", event.sentence)  # a failure's sentence is the error that the command ends with

    def said_how_far(self, text: str) -> None:
        """A plain line that says how far long work has come, once in a while."""
        if not self.as_json and not self.quiet and time.monotonic() - self.said_at >= _BETWEEN_LINES:
            self.said_at = time.monotonic()
            self._plain_line("info", text)

    def _plain_line(self, level: str, text: str) -> None:
        self.write_error(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] [{level.upper()}] {render(text)}\n")

    def deployment_result(self, result: Result) -> None:
        """The end of a deployment that did not raise."""
        self.result(result.as_dict(), "")
        if not self.as_json and not self.quiet and is_terminal(sys.stderr):
            self.write_error(f"{render(result.sentence)}\n")
        elif result.status == "nothing_to_do" and self.quiet:
            return
        self.exit_code = result.exit_code


def row(label: str, text: str, width: int = 15) -> str:
    """A line of a list: LABEL, filled up to WIDTH columns, and TEXT, both in the language that is spoken."""
    return f"  {padded(render(label), width)} {render(text)}"


def is_terminal(stream: TextIO) -> bool:
    """Whether STREAM is a terminal that draws: colours, progress, questions."""
    with suppress(ValueError, OSError):
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _write(stream: TextIO, text: str) -> None:
    """Write at once. All that a command says comes by here, so here what others wrote (in names, logs, the state) loses
    what would command a terminal; where STREAM is none, our colours too."""
    stream.write(for_terminal(text) if is_terminal(stream) else without_escapes(text))
    stream.flush()


def _nothing(event: Event) -> None:
    """With --json, only the document."""
