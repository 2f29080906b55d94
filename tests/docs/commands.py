"""The command lines that README and docs show: those of the code blocks, and every `gitdeploy …` in the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_OF_A_SHELL = ("", "console", "sh", "bash")
_PROMPT = re.compile(r"^ *(?:[$#] |30  2 \* \* \* otrs  )?(?=\S)")
_SPAN = re.compile(r"`(?:sudo )?gitdeploy((?:\s[^`]*)?)`")


class Command(NamedTuple):
    """A command line as it is shown: its words behind `gitdeploy`, variables that are set for it, and where it stands."""

    words: tuple[str, ...]
    variables: tuple[str, ...]
    place: str

    @property
    def line(self) -> str:
        return shlex.join(self.words)


def typed() -> Iterator[Command]:
    """Each command line of a code block that is typed: behind a prompt, or at the beginning of a line where the block has no
    prompts. What is piped or redirected is left out."""
    for page in PAGES:
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            if block[2] not in _OF_A_SHELL:
                continue
            lines = block[3].splitlines()
            prompts = any(re.match(r" *[$#] ", line) for line in lines) and block[2] != "sh"
            for line in lines:
                if prompts and not re.match(r" *[$#] ", line):
                    continue
                if (found := _read(_PROMPT.sub("", line), f"{page.relative_to(PROJECT)}: {line.strip()}")) is not None:
                    yield found


def _read(line: str, place: str) -> Command | None:
    line = re.split(r"(?:^|\s)#", line, maxsplit=1)[0]
    for part in re.split(r"&&|\||>|;", line):
        if not re.match(r" *(?:sudo +|[A-Z_]+=\S+ +)*gitdeploy\s", f"{part} "):
            continue
        words = [word for word in shlex.split(part) if word != "sudo"]
        variables = []
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            variables.append(words.pop(0))
        return Command(tuple(words[1:]), tuple(variables), place)
    return None


def named() -> Iterator[Command]:
    """Every `gitdeploy …` in the text and its tables."""
    for page in PAGES:
        text = _BLOCK.sub("", page.read_text())
        for span in _SPAN.finditer(text):
            yield Command(tuple(shlex.split(span[1])), (), f"{page.relative_to(PROJECT)}: {span[0]}")
