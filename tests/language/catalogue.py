"""`make messages`: every sentence of the sources into the catalogues, and the catalogues into what gettext reads.

    python -m language.catalogue            extract, update each .po, compile each .mo
    python -m language.catalogue --missing  what has no translation yet, as JSON

A sentence is what stands in `tr("...")`, in both forms of `counted(n, "...", "...")`, before the noun of `count(n, "noun")`;
further a command's help and its options', what a value of deploy.yaml must be, what a ready hook is for, and the page's
English texts.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from gitdeploy.hooks.library import library
from gitdeploy.messages import DOMAIN, FOLDER, LOCALES
from gitdeploy.web.words.texts import texts

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = PROJECT / "gitdeploy"
PAGE = "gitdeploy/web/words/texts.toml"
GAP = re.compile(r"\{\w*\}")
_HELP = frozenset(("help", "short_help", "epilog"))
_DECORATORS = frozenset(("command", "group"))


class Sentence(NamedTuple):
    """A template as the sources have it: its English (`more`: that of the plural), and the file it stands in."""

    template: str
    more: str
    place: str


def sentences() -> list[Sentence]:
    """All of them, each once, in the order of the files."""
    found: dict[str, Sentence] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        place = path.relative_to(PROJECT).as_posix()
        for template, more in _of_module(ast.parse(path.read_text(encoding="utf-8"))):
            if _has_words(template) and (template not in found or (more and not found[template].more)):
                found[template] = Sentence(template, more, place)
    for hook in library():
        for template in re.findall(
            r'gitdeploy-say (.+?)(?: \| |"|$)', hook.path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if _has_words(template):
                found.setdefault(template, Sentence(template, "", f"hooks/{hook.name}"))
        found.setdefault(_escaped(hook.about), Sentence(_escaped(hook.about), "", f"hooks/{hook.name}"))
    for text in texts().values():
        if _has_words(text.english):
            found.setdefault(
                text.one or text.english, Sentence(text.one or text.english, text.english if text.one else "", PAGE)
            )
    for between in (", ", "; ", " or ", " and "):
        found.setdefault(between, Sentence(between, "", "gitdeploy/messages.py"))
    return list(found.values())


def _has_words(template: str) -> bool:
    return bool(re.search(r"[A-Za-z]", GAP.sub("", template)))


def _of_module(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.FunctionDef) and any(_is_command(each) for each in node.decorator_list):
            yield _escaped(inspect.cleandoc(ast.get_docstring(node, clean=False) or "")), ""


def _of_call(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = called(node)
    words = [_text(argument) for argument in node.args]
    if name == "tr" and node.args:
        yield from ((text, "") for text in _choices(node.args[0]))
    elif name == "counted" and len(words) == 3 and words[1] is not None and words[2] is not None:
        yield words[1], words[2]
    elif name == "count" and len(words) > 1 and words[1] is not None:
        more = words[2] if len(words) > 2 and words[2] is not None else f"{words[1]}s"
        yield f"{{number}} {words[1]}", f"{{number}} {more}"
    elif name in ("Text", "Texts") and words and words[0] is not None:
        yield _escaped(words[0]), ""
    elif name == "table" and len(node.args) > 1 and isinstance(node.args[1], ast.Tuple):
        yield from ((_escaped(text), "") for each in node.args[1].elts if (text := _text(each)))
    for keyword in node.keywords:
        text = _text(keyword.value)
        if keyword.arg in _HELP and text is not None:
            yield _escaped(text), ""


def called(node: ast.Call) -> str:
    """The name of what NODE calls."""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def words_of(node: ast.JoinedStr) -> bool:
    """Whether an f-string has words of its own, and not only names, marks and a command."""
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return bool(re.search(r"[A-Za-z]{2,} [a-z]{2,}", text)) and not re.match(
        r"(sudo|git|gitdeploy|chmod|mv|rm|ls|uv|pip) ", text
    )


def _choices(node: ast.expr) -> Iterator[str]:
    """A template, or each of those that a condition decides between."""
    if isinstance(node, ast.IfExp):
        yield from _choices(node.body)
        yield from _choices(node.orelse)
    elif (text := _text(node)) is not None:
        yield text


def _is_command(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name in _DECORATORS


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# ---- the catalogues ----


def po_file(locale: str) -> Path:
    return FOLDER / locale / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(locale: str) -> Catalog:
    """The catalogue of LOCALE as it is translated so far; an empty one where there is none."""
    path = po_file(locale)
    if not path.exists():
        return Catalog(locale=locale, domain=DOMAIN)
    with path.open("rb") as file:
        return read_po(file, locale=locale, domain=DOMAIN)


def template() -> Catalog:
    """All sentences of the sources, untranslated."""
    made = Catalog(
        domain=DOMAIN, project="gitdeploy", copyright_holder="the authors of gitdeploy", msgid_bugs_address=""
    )
    for each in sentences():
        made.add((each.template, each.more) if each.more else each.template, locations=[(each.place, 0)])
    return made


def updated(locale: str) -> Catalog:
    """What is translated, for the sentences that there are now."""
    known = read(locale)
    known.update(template(), no_fuzzy_matching=True)
    known.obsolete.clear()
    return known


def as_po(known: Catalog) -> bytes:
    out = io.BytesIO()
    write_po(out, known, width=120, omit_header=False, include_lineno=False, sort_by_file=True, ignore_obsolete=True)
    lines = [line for line in out.getvalue().decode().splitlines(keepends=True) if not _DATED.match(line)]
    return "".join(lines).encode()


_DATED = re.compile(r'"(POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team):')


def as_mo(known: Catalog) -> bytes:
    """The same bytes from the same translations, whenever they are compiled."""
    known.creation_date = known.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    out = io.BytesIO()
    write_mo(out, known)
    return out.getvalue()


def missing(known: Catalog) -> list[tuple[str, ...]]:
    """The sentences without a translation, each with its plural."""
    return [
        (each.id,) if isinstance(each.id, str) else tuple(each.id)
        for each in known
        if each.id and not _done(each.string)
    ]


def _done(string: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(string) if isinstance(string, str) else bool(string) and all(string or ())


def main(arguments: list[str]) -> int:
    for locale in LOCALES.values():
        known = updated(locale)
        if "--missing" in arguments:
            places = {each.template: each.place for each in sentences()}
            sys.stdout.write(
                json.dumps(
                    [{"id": ids[0], "plural": ids[1:], "place": places.get(ids[0], "")} for ids in missing(known)],
                    ensure_ascii=False,
                    indent=1,
                )
            )
            continue
        path = po_file(locale)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_po(known))
        path.with_suffix(".mo").write_bytes(as_mo(read(locale)))
        sys.stderr.write(f"{locale}: {len(list(known))} sentences, {len(missing(known))} without a translation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
