"""How a hint is followed: its own text is typed, appended to a command, or written into deploy.yaml."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml
from support.sample import PROJECT, Done, Sample

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


class App(Sample):
    """The small app, and who follows what it is told."""

    def write_settings(self, text: str) -> None:
        (self.app / "deploy.yaml").write_text(text)

    def said(self, words: str) -> list[tuple[str, str]]:
        """(message, hint) of all that WORDS, a gitdeploy command, finds wrong."""
        asked = shlex.split(words)
        if asked[0] in ("doctor", "plan"):
            document = json.loads(self.gitdeploy(*asked, "--json", code=None).out)
            if asked[0] == "doctor":
                return [(row["message"], row["hint"]) for row in document if row["level"] != "ok"]
            if "problems" in document:
                return [(row["message"], row["hint"]) for row in document["problems"]]
        done = self.gitdeploy(*asked, code=None)
        return [(done.text, hint_of(done))] if done.code else []

    def type(self, command: str, code: int | None = 0) -> Done:
        """COMMAND in a shell in the checkout, as a user would; `gitdeploy` is this clone's."""
        path = f"{PROJECT / '.venv/bin'}:{self.environment.get('PATH', '')}"
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.app, env={**self.environment, "PATH": path}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="surrogateescape", timeout=120,
        )  # fmt: skip
        assert code is None or done.returncode == code, (command, done.stdout, done.stderr)
        return Done(done.returncode, done.stdout, done.stderr)


def hint_of(done: Done) -> str:
    """What a command that failed says is to be done: the indented lines behind its error."""
    lines = done.err.splitlines()
    start = max(number for number, line in enumerate(lines) if re.match(r"(Error|Refused): ", line))
    return "\n".join(line.removeprefix("  ") for line in lines[start + 1 :] if line.startswith(("  ", "See: ")))


def matches(template: str, hint: str) -> bool:
    """Whether HINT holds what the source's TEMPLATE makes."""
    pattern = r"[\s\S]*".join(re.escape(part) for part in template.split("{}"))
    return re.search(pattern, hint) is not None


def command_in(hint: str, start: str) -> str:
    """The command of HINT that begins with START, to the end of that line or sentence."""
    assert start in hint, (start, hint)
    text = hint[hint.index(start) :].splitlines()[0]
    return re.split(r"; or |\. (?=[A-Z])|` |   ?(?=[A-Z(])| \((?=the |git )", text)[0].strip(" `.")


Make = Callable[[App], object]
Follow = Callable[[App, str], object]


def typed(start: str, **options: Any) -> Follow:
    """Type the command of the hint that begins with START."""
    return lambda app, hint: app.type(command_in(hint, start), **options)


def written(app: App, hint: str) -> None:
    """The line that the hint has for deploy.yaml, written there."""
    found = re.search(r"(\w+: \{.*?[\]}]\}|\w+: \{[^{}]*\})", hint)
    assert found is not None, hint
    line = found[1]
    app.write_settings(f"{SETTINGS}{line}\n")
    yaml.safe_load(line)


def nothing(app: App, hint: str) -> None:
    """A flag alone settles it."""


class Case(NamedTuple):
    """`hint`: its template in the source; `make` the problem; `words`: the command that finds it; `follow` the hint; `then`:
    the command that succeeds afterwards (the same one), with the `flag` that the hint names."""

    hint: str
    make: Make
    follow: Follow = nothing
    words: str = "upgrade v2.0.0"
    flag: str = ""
    then: str = ""


def go(app: App, case: Case) -> None:
    """Meet the problem, do what its hint says, and go on."""
    case.make(app)
    if "BACKUP" in case.words:
        case = case._replace(words=case.words.replace("BACKUP", max(os.listdir(app.app / ".gitdeploy/backups"))))
    found = [(message, hint) for message, hint in app.said(case.words) if matches(case.hint, hint)]
    assert found, app.gitdeploy(*shlex.split(case.words), code=None).text
    _, hint = found[0]
    assert case.flag in hint
    case.follow(app, hint)
    again = case.then or f"{case.words} {case.flag}".strip()
    if again.split()[0] == "doctor":
        assert not [each for each in app.said(again) if matches(case.hint, each[1])]
    else:
        app.gitdeploy(*shlex.split(again))
