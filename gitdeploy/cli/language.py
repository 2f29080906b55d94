"""Which language the command line speaks, and click's own texts in it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence

import click

from gitdeploy.messages import LANGUAGES, joined, render, sentence_of, speak, spoken, tr
from gitdeploy.text import padded, width_of, wrapped


def language_of(name: str) -> str | None:
    """One of `LANGUAGES` for a name such as `zh`, `zh_CN.UTF-8` or `en-GB`; None where it is none of ours."""
    word = name.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return word if word in LANGUAGES else None


def wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """By `--lang`, else GITDEPLOY_LANG, else the locale (LC_ALL, LC_MESSAGES, LANG: the first that is set). What names no
    language of ours is English; a wrong `--lang` is refused when the words are parsed."""
    for at, word in enumerate(arguments):
        if word == "--":
            break
        if word == "--lang" and at + 1 < len(arguments):
            return language_of(arguments[at + 1]) or "en"
        if word.startswith("--lang="):
            return language_of(word.partition("=")[2]) or "en"
    if own := environment.get("GITDEPLOY_LANG"):
        return language_of(own) or "en"
    locale = next((value for key in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(key))), "")
    return language_of(locale) or "en"


def choose(arguments: Sequence[str]) -> None:
    """From here on everything is said in the language that is wanted."""
    speak(wanted(arguments, os.environ))


def known_language(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and language_of(value) is None:
        raise click.BadParameter(
            render(tr("must be {languages}; found `{value}`.", languages=joined(" or ", LANGUAGES), value=value))
        )
    return value


def translate(command: click.Command) -> click.Command:
    """COMMAND with its help in the language that is spoken. In English nothing is done."""
    if spoken() == "en":
        return command
    command.context_class = Context
    if command.help and not command.short_help:
        command.help = render(sentence_of(inspect.cleandoc(command.help)))
        command.short_help = command.help.partition("\n\n")[0].replace("\n", " ")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            parameter.help = render(sentence_of(parameter.help))
    return command


class Formatter(click.HelpFormatter):
    """Click's headings in the language that is spoken."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix if prefix is not None else render(tr("Usage: ")))

    def write_text(self, text: str) -> None:
        for paragraph in text.split("\n\n"):
            lines = paragraph.strip("\n").split("\n")
            kept = lines[0].strip() == "\b"
            shown = lines[1:] if kept else wrapped(paragraph, self.width - self.current_indent)
            self.write("".join(f"{' ' * self.current_indent}{line}\n" for line in shown))
            self.write("\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        first = min(max((width_of(name) for name, _ in rows), default=0), col_max) + col_spacing
        for option, about in rows:
            start, name = " " * self.current_indent, option
            lines = wrapped(render(_OF_CLICK.get(about, about)), max(20, self.width - self.current_indent - first))
            if width_of(name) > first - col_spacing:
                self.write(f"{start}{name}\n")
                name = ""
            for line in lines or [""]:
                self.write(f"{start}{padded(name, first)}{line}".rstrip() + "\n")
                name = ""

    def write_heading(self, heading: str) -> None:
        super().write_heading(render(_HEADINGS.get(heading, heading)))


class Context(click.Context):
    """Of a command that is shown with those headings."""

    formatter_class = Formatter


_OF_CLICK = {
    "Show this message and exit.": tr("Show this message and exit."),
    "Show the version and exit.": tr("Show the version and exit."),
}
_HEADINGS = {"Options": tr("Options"), "Commands": tr("Commands"), "Arguments": tr("Arguments")}


def problem(error: click.ClickException) -> str:
    """What click refuses, as a sentence of ours where it is one of the usual ones."""
    if isinstance(error, click.NoSuchOption):
        near = tr(" Did you mean {near}?", near=joined(" or ", error.possibilities)) if error.possibilities else ""
        return tr("There is no option {option}.{near}", option=error.option_name, near=near)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return tr("{name} is missing.", name=error.param.get_error_hint(error.ctx) if error.ctx else error.param.name)
    if isinstance(error, click.BadParameter) and error.param is not None and error.ctx is not None:
        return tr("{name}: {message}", name=error.param.get_error_hint(error.ctx), message=error.message)
    return error.message if isinstance(error, click.UsageError) else error.format_message()
