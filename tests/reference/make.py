"""`make reference`: the reference of commands and settings, and the man pages, from the code.

    python -m reference.make        writes docs/reference/*.md and docs/man/*.1

What stands in them is what `--help` and `config schema` say: nothing is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from gitdeploy.cli import cli
from gitdeploy.config.kinds import Setting, settings_of
from gitdeploy.config.model import SECTIONS, Config
from gitdeploy.config.pins import WHO_DECIDES

PROJECT = Path(__file__).resolve().parents[2]
DOCS, MAN = PROJECT / "docs/reference", PROJECT / "docs/man"
_MADE = "<!-- Made from the code by `make reference`; change the help there. -->"
_WHO = {
    "server": "pinned on the server where deploy.yaml is tracked",
    "floor": "pinned: a release may raise it, never lower it",
    "release": "the release's",
}


def commands(command: click.Command = cli, name: str = "gitdeploy") -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, in the order of the help."""
    yield name, command
    if isinstance(command, click.Group):
        for each in command.list_commands(click.Context(command, **command.context_settings)):
            found = command.get_command(click.Context(command, **command.context_settings), each)
            assert found is not None
            yield from commands(found, f"{name} {each}")


def documents() -> Mapping[Path, str]:
    """Every file of the reference and what belongs in it."""
    made = {DOCS / "commands.md": _commands(), DOCS / "configuration.md": _configuration()}
    for name, command in commands():
        made[MAN / f"{name.replace(' ', '-')}.1"] = man_page(name, command)
    return made


def paragraphs(text: str) -> Iterator[tuple[bool, str]]:
    """(whether it stands as it is written, text) of each paragraph of a help."""
    for part in re.split(r"\n\s*\n", _dedented(text)):
        plain = part.startswith("\b")
        lines = part.removeprefix("\b").strip("\n").splitlines()
        yield plain, "\n".join(lines) if plain else " ".join(line.strip() for line in lines)


def _dedented(text: str) -> str:
    lines = text.expandtabs().strip("\n").splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip("\b ")), default=0)
    return (
        "\n".join([lines[0].strip(), *(line[indent:] if line.strip() else "" for line in lines[1:])]) if lines else ""
    )


def usage(name: str, command: click.Command) -> str:
    return " ".join(
        [name, *command.collect_usage_pieces(click.Context(command, info_name=name, **command.context_settings))]
    )


def options(command: click.Command) -> list[tuple[str, str]]:
    """(how it is written, what it does) of each option."""
    context = click.Context(command, **command.context_settings)
    found = (each.get_help_record(context) for each in command.get_params(context) if isinstance(each, click.Option))
    return [record for record in found if record is not None]


# ---- Markdown ----


def _commands() -> str:
    parts = ["# Commands", _MADE, "Exit codes, streams and `--json`: [cli.md](../cli.md)."]
    for name, command in commands():
        parts += [f"## {name}", f"```\n{usage(name, command)}\n```"]
        for plain, text in paragraphs(command.help or ""):
            head, _, rest = text.partition("\n")
            if plain and head == "Example:":
                parts.append("```console\n" + "\n".join(line.strip() for line in rest.splitlines()) + "\n```")
            else:
                parts.append(f"```\n{text}\n```" if plain else text)
        rows = [f"| `{_cell(way)}` | {_cell(about)} |" for way, about in options(command)]
        parts.append("\n".join(["| option | |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"<(?=[a-zA-Z])", "&lt;", " ".join(text.split()).replace("|", "\\|"))


def _configuration() -> str:
    parts = ["# Settings of deploy.yaml", _MADE, "A commented file: `gitdeploy config example`. What each kind of value looks like:"
             " `gitdeploy config schema`."]  # fmt: skip
    parts.append(_table("", settings_of(Config)))
    for name, section in SECTIONS.items():
        parts += [f"## {name}", _table(f"{name}.", settings_of(section))]
    return "\n\n".join(parts) + "\n"


def _table(prefix: str, settings: Mapping[str, Setting]) -> str:
    rows = [
        f"| `{prefix}{key}` | {_default(each)} | {_cell(each.about)} | {_cell(each.kind.expected)} |"
        f" {_WHO.get(WHO_DECIDES.get(prefix + key, 'release'), '')} |"
        for key, each in settings.items()
    ]
    return "\n".join(["| setting | default | | value | who decides |", "| --- | --- | --- | --- | --- |", *rows])


def _default(setting: Setting) -> str:
    if setting.default is None or setting.default in ((), ""):
        return ""
    shown = setting.kind.show(setting.default)
    if shown in ({}, []):
        return ""
    text = json.dumps(shown, ensure_ascii=False).replace('"', "")
    return f"`{text}`"


# ---- man pages: man(7), groff_man(7) ----


def man_page(name: str, command: click.Command) -> str:
    """A page of section 1."""
    page = name.replace(" ", "-")
    first, *rest = [*paragraphs(command.help or "")] or [(False, "")]
    lines = [
        f'.TH "{page.upper()}" "1" "" "gitdeploy" "gitdeploy"',
        ".SH NAME",
        f"{_roff(page)} \\- {_roff(first[1].rstrip('.'))}",
    ]
    lines += [".SH SYNOPSIS", f".B {_roff(usage(name, command))}", ".SH DESCRIPTION"]
    for plain, text in [first, *rest]:
        head, _, examples = text.partition("\n")
        if plain and head == "Example:":
            lines += [".SH EXAMPLES", ".nf", *(_roff(line.strip()) for line in examples.splitlines()), ".fi"]
        elif plain:
            lines += [".nf", *map(_roff, text.splitlines()), ".fi"]
        else:
            lines += [".PP", _roff(text)]
    lines.append(".SH OPTIONS")
    for way, about in options(command):
        lines += [".TP", f".B {_roff(way)}", _roff(" ".join(about.split()))]
    others = [each for each, _ in commands() if each != name and each.rpartition(" ")[0] == name]
    parent = name.rpartition(" ")[0]
    also = [each.replace(" ", "-") for each in ([parent] if parent else []) + others]
    if also:
        lines += [".SH SEE ALSO", ",\n".join(f".BR {_roff(each)} (1)" for each in also)]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """TEXT as it stands, whatever it begins with."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> None:
    made = documents()
    for folder in (DOCS, MAN):
        folder.mkdir(exist_ok=True, parents=True)
        for path in folder.iterdir():
            if path not in made:
                path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(made)} files in docs/reference and docs/man")


if __name__ == "__main__":
    main()
