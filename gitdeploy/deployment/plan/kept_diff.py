"""What a release changed in a file that stays as it is here: shown, so that a new setting in it isn't missed. Values that
may be secret are masked, and of a file that is not a text only its size is said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from gitdeploy.checkout.filters import has_filters, read_filtered
from gitdeploy.checkout.git import Repository
from gitdeploy.messages import tr
from gitdeploy.text import MASK, clean, path_text, redact, size_text

MOST_LINES = 20  # of one file's difference; the rest is named
_LARGEST = 256 << 10  # bytes of a file whose lines are compared
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f")
_NAMES = r"pass(?:word|wd|phrase)?|pwd|secret|token|key|salt|credential|private|dsn|auth|cookie|signature|certificate"
# NAME=value, name: value, "name": "value", 'NAME' => 'value', <name>value: whatever stands behind a name that says so.
_NAMED = re.compile(rf"(?i)^([^=:>]*(?:{_NAMES})[\w.\-]*[\"'\]\)]*\s*(?::=|=>|=|:|>)\s*)(?=\S).*$")
_WITH_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://)[^\s'\"]*@")
# A long word of mixed characters is a key more often than anything else.
_RANDOM = re.compile(r"(?=[A-Za-z0-9+/_=\-]*[0-9])(?=[A-Za-z0-9+/_=\-]*[A-Za-z])[A-Za-z0-9+/_=\-]{32,}")
_BARE = re.compile(r"(?i)\b(pass(?:word|wd)|secret|token)\s+\S+")  # as in .netrc
_ALL_SECRET = re.compile(
    r"(?i)(?:.*/)?(?:\.pgpass|\.netrc|_netrc|\.htpasswd|\.my\.cnf|id_\w+|.*\.(?:pem|key|p12|pfx|jks|gpg|age))"
)
_ARMOUR = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")


def kept_differences(repository: Repository, old: str, new: str, kept: Sequence[bytes]) -> Iterator[str]:
    """For each of KEPT whose content differs between the commits OLD and NEW: a sentence, then the changed lines."""
    names = [os.fsdecode(path) for path in kept if b"\n" not in path]
    before, after = repository.read_many(old, names), repository.read_many(new, names)
    secret = has_filters(repository) if before != after else False
    for name in names:
        if before.get(name) == after.get(name):
            continue
        shown = path_text(name)
        if name not in after:
            yield tr("{shown} is kept as it is here; the release deletes it.", shown=shown)
            continue
        what = tr("changed its own version of it") if name in before else tr("brings one of its own")
        contents = (before.get(name) or b"", after[name])
        filtered = secret and _is_filtered(repository, new, name, after[name])
        if filtered or _ALL_SECRET.fullmatch(name) or not all(map(_is_text, contents)):
            why = tr("its content is not shown") if _ALL_SECRET.fullmatch(name) else tr("no text")
            why = tr("it goes through a filter") if filtered else why
            yield tr(
                "{shown} is kept as it is here; the release {what} ({after}, {why}).",
                shown=shown,
                what=what,
                after=size_text(len(after[name])),
                why=why,
            )
            continue
        yield tr("{shown} is kept as it is here; the release {what}:", shown=shown, what=what)
        lines = _difference(*contents)
        yield from (f"  {clean(line, limit=200)}" for line in lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            yield tr(
                "  … and {lines} more lines: git diff {old} {new} -- {shown}",
                lines=len(lines) - MOST_LINES,
                old=old[:12],
                new=new[:12],
                shown=shown,
            )


def _is_filtered(repository: Repository, commit: str, name: str, content: bytes) -> bool:
    """Whether a filter (git-crypt, say) makes something else of the file: then neither belongs into a log."""
    return read_filtered(repository, commit, [name])[name] != content


def _is_text(content: bytes) -> bool:
    """Whether a person could read it: UTF-8 without control characters, not larger than what is compared."""
    if len(content) > _LARGEST or not _CONTROL.isdisjoint(content):
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _difference(before: bytes, after: bytes) -> list[str]:
    import difflib  # which a deployment without such a file need not load

    # Compared as they are, shown masked: a secret that alone has changed is a line that has changed.
    old, new = (content.decode("utf-8").splitlines() for content in (before, after))
    shown_old, shown_new = masked(old), masked(new)
    lines = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            lines += [f"-{line}" for line in shown_old[i1:i2]] + [f"+{line}" for line in shown_new[j1:j2]]
    return lines


def masked(lines: Sequence[str]) -> list[str]:
    """LINES without what may be secret: values of names that say so, passwords in URLs, keys, and whatever stands in PEM
    armour or below a name whose value goes on over several lines."""
    shown: list[str] = []
    inside, hidden, quote = False, "", ""
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        if quote:
            shown.append(MASK)
            ended = not line.endswith(quote) if quote == "\\" else quote in line
            quote = "" if ended else quote
            continue
        if (armour := _ARMOUR.search(line)) is not None:
            inside = armour[1] == "BEGIN"
            shown.append(_NAMED.sub(rf"\1{MASK}", line) if _NAMED.match(line) else line[: armour.end()])
            continue
        if hidden and line.strip() and len(indent) < len(hidden):
            hidden = ""
        if inside or hidden:
            shown.append(f"{indent}{MASK}")
            continue
        if (named := _NAMED.match(line)) is not None:
            quote = _open_quote(line[named.end(1) :])
        hidden = f"{indent} " if _OPENS.match(line) else hidden
        line = _BARE.sub(rf"\1 {MASK}", _WITH_PASSWORD.sub(rf"\1{MASK}@", _NAMED.sub(rf"\1{MASK}", line)))
        shown.append(redact(_RANDOM.sub(MASK, line)))
    return shown


def _open_quote(value: str) -> str:
    """What ends a value that goes on in the next line; empty where it ends in its own."""
    mark = value[:1]
    if mark in ("'", '"') and value.count(mark) % 2:
        return mark
    return "\\" if value.endswith("\\") else ""


# `password: |` and `secrets:` of YAML: what is further in belongs to it.
_OPENS = re.compile(rf"(?i)^\s*[\"']?[\w.\-]*(?:{_NAMES})[\w.\-]*[\"']?\s*:\s*(?:[|>][+\-0-9]*)?\s*$")
