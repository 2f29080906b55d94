"""What comes from outside made safe to show, and figures made fit to read.

One function cleans every string before it reaches a terminal, a log or a page; one removes secrets.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from gitdeploy.messages import Message, changed, counted, joined, tr

# Control characters (C0, DEL, C1), bidirectional overrides, zero-width and other invisible format characters.
_FORMATTING = "\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"
_UNSAFE = re.compile(f"[\x00-\x08\x0a-\x1f{_FORMATTING}]")
_UNSAFE_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_FORMATTING}]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ESCAPE_SEQUENCE = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-_])|\x9b[0-?]*[ -/]*[@-~]"
)
# What `redact` masks: compiled at the first use, for most commands need none of it.
# Up to the last @, for passwords hold @ and / unquoted; but `host:8443/x@v1` is a port. A scheme may have been cut off.
_URL_LOGIN = r"(?i)((?:\b[a-z][a-z0-9+.-]{0,20}:)?//)([^/@\s:'\"<>]{0,64}):(?!\d{1,5}/)[^\s'\"<>]{0,512}@"
_URL_USER = (
    r"(?i)(\bhttps?://)(?!(?:[a-z]{1,15}|x-[a-z-]{1,13}|oauth2|gitlab-ci-token)@[^/@\s]{0,256}(?:[/\s'\"]|$))"
    r"[^/\s:'\"<>]{1,512}@"
)
_ENDINGS = (  # what a secret's name ends in
    "password|passwd|passphrase|secret|token|credentials?|(?:api|access|secret|private|auth|encryption|signing)[_-]?key"
)
_QUERY = r"(?i)([?&;](?:key|auth|sign?|signature|code|pwd)=)[^&\s'\"]+"
_ASSIGNED = rf"(?i)((?:{_ENDINGS}|\bpwd) ?= ?)(?:\"[^\"]+\"|'[^']+'|[^&\s'\",;]+)"
_IN_JSON = rf"(?i)((?:{_ENDINGS})([\"'])\s*:\s*[\"'])(?:\\.|(?!\2)[^\\])+"
_HEADER = (
    r"(?i)\b((?:(?:proxy-)?authorization|(?:private|job|deploy)-token|x-(?:[a-z0-9]+-)*(?:token|key|secret))\s*[:=]\s*"
    r"(?:(?:bearer|token|basic)\s+)?)[^\s'\",]+"
)
_COOKIE = r"(?i)\b((?:set-)?cookie:\s*)(?=[^\s=;]+=)[^\r\n]+"
_WEBHOOK = r"(?i)(\bhttps?://[^\s/]+/(?:services|open-apis/bot(?:/v\d)?/hook|api/webhooks|webhookb2|bot(?=\d+:))/?)[^\s'\"<>?#]+"
_APPRISE = r"(?i)\b((?:dingtalk|discord|feishu|lark|msteams|slack|tgram|wecombot|workflows)://)[^\s'\"<>]+"
# Colours and weights that hide nothing: those of gitdeploy/cli/screen.py, and rich's of Markdown.
_COLOUR = "(\x1b\\[(?:(?:1;)?36;40|(?:[0-49]|2[2349]|3[1-79]|49|9[1-7])(?:;(?:[1-49]|3[1-7]|9[1-7]))*)?m)"
_SECRET_NAME = re.compile(
    r"(?i)TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(?:^|_)(?:API|ACCESS|PRIVATE|AUTH|ENCRYPTION)?KEY(?:_|$)|_PWD?$"
)
_PLAIN_WORD = re.compile(
    r"[a-z]{1,15}|[0-9.]{1,9}|[A-Z]{1,15}"
)  # `development`, `15001`: no secret, and seen everywhere
_PASSWORD_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s:]*:([^/\s]+)@")
MASK = "***"

_secrets: set[str] = set()


def register_secret(value: str | None) -> None:
    """From now on `redact` replaces VALUE wherever it stands. Values under four characters are not worth hiding."""
    if value and len(value.strip()) >= 4:
        _secrets.add(value)
        _secrets.add(value.strip())


def register_secrets(variables: Iterable[tuple[str, str]]) -> None:
    """The same for each of VARIABLES (name, value) that looks like a secret by its name, and for passwords in URLs."""
    for name, value in variables:
        if len(value) >= 8 and _SECRET_NAME.search(name) and value[0] != "/" and not _PLAIN_WORD.fullmatch(value):
            register_secret(value)
        if "://" in value and (found := _PASSWORD_IN_URL.match(value)):
            register_secret(found[1])


def redact(text: str) -> str:
    """TEXT without registered secrets, passwords and tokens in URLs, webhooks' paths, what is assigned to a name that says
    it is secret (`password=`, `"api_key": `), headers that prove somebody, and cookies."""
    return changed(text, _redact)


def _redact(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if "//" in text and "@" in text:
        text = re.sub(_URL_LOGIN, rf"\1\2:{MASK}@", text)
        text = re.sub(_URL_USER, rf"\1{MASK}@", text)
    if "://" in text:
        text = re.sub(_APPRISE, rf"\1{MASK}", re.sub(_WEBHOOK, rf"\1{MASK}", text))
    if "=" in text:
        text = re.sub(_ASSIGNED, rf"\1{MASK}", re.sub(_QUERY, rf"\1{MASK}", text))
    if ":" in text or "=" in text:
        text = re.sub(_HEADER, rf"\1{MASK}", text)
    if ":" in text:
        text = re.sub(_COOKIE, rf"\1{MASK}", re.sub(_IN_JSON, rf"\1{MASK}", text))
    return text


def clean(text: str, *, lines: bool = False, limit: int = 0) -> str:
    """TEXT without terminal escapes, control, bidirectional and invisible characters; undecodable bytes as `\\xNN`.

    lines: keep line feeds (else each becomes a space). limit: cut to so many characters, with an ellipsis.
    """
    if isinstance(text, Message) and not (limit and len(text) > limit):
        return changed(text, lambda part: clean(part, lines=lines))
    if not (text.isascii() and text.isprintable()):
        if "\x1b" in text or "\x9b" in text:
            text = _ESCAPE_SEQUENCE.sub("", text)
        text = text.replace("\r\n", "\n")
        text = (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(lambda found: " " if found[0] in "\n\r\v\f" else "", text)
        text = text.encode("utf-8", "backslashreplace").decode()
    if limit and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return text


def for_terminal(text: str) -> str:
    """TEXT as a terminal may get it: lines, and gitdeploy's own colours; no other escape and nothing invisible."""
    if text.isascii() and "\x1b" not in text and text.replace("\n", "").isprintable():
        return text
    return "".join(part if re.fullmatch(_COLOUR, part) else clean(part, lines=True) for part in re.split(_COLOUR, text))


def without_escapes(text: str) -> str:
    """TEXT as a file or pipe may get it: without escapes, and without the control characters by which a terminal that shows
    it later would go back, ring or be commanded; otherwise as it is."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n"))


def path_text(path: bytes | str) -> str:
    """A file name fit to show: as it is where harmless, else with its odd bytes escaped."""
    name = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    if name.isascii() and name.isprintable():  # nearly all are, and a plan shows hundreds
        return name
    shown = []
    for character in name:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            shown.append(f"\\x{code - 0xDC00:02x}")
        elif unicodedata.category(character)[0] == "C" or _UNSAFE.match(character):
            shown.append(character.encode("unicode_escape").decode())
        else:
            shown.append(character)
    return "".join(shown)


def shell_word(path: bytes | str) -> str:
    """A path, or another text, as one word of a command line for sh: quoted where it must be; where it holds what can't be
    shown, by its bytes; a relative one that begins with a dash is not an option."""
    name = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    name = f"./{name}" if name.startswith("-") else name
    if path_text(name) == name:
        return shlex.quote(name)
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    octal = "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in name.encode("utf-8", "surrogateescape"))
    return f"\"$(printf '{octal}')\""


def width_of(text: str) -> int:
    """Columns of a terminal that TEXT takes: two for an East Asian wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def padded(text: str, width: int) -> str:
    """TEXT, filled up with blanks to WIDTH columns."""
    return text + " " * max(0, width - width_of(text))


_PIECES = re.compile(
    r"\s+|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+"
)
_NOT_FIRST = "，。、；：！？）》」』”’…"  # what no line of Chinese begins with


def wrapped(text: str, width: int) -> list[str]:
    """TEXT, one paragraph, in lines of at most WIDTH columns: between words, and between Chinese characters. A word that is
    wider stands on a line of its own."""
    lines, line, used = [], "", 0
    for piece in _PIECES.findall(" ".join(text.split())):
        wide = width_of(piece)
        if used + wide > width and line and piece not in _NOT_FIRST:
            lines.append(line.rstrip())
            line, used = "", 0
        if line or piece.strip():
            line, used = line + piece, used + wide
    return [*lines, line.rstrip()] if line.strip() else lines


def size_text(size: float) -> str:
    """Bytes as a person reads them: `0 B`, `812 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5 or unit == "GB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def duration_text(seconds: float) -> str:
    """Seconds as a person reads them: `0.8 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 days`."""
    if seconds < 10:
        return tr("{seconds} s", seconds=f"{seconds:.1f}")
    whole = round(seconds)
    if whole < 120:
        return tr("{seconds} s", seconds=whole)
    if whole < 7200:
        minutes, rest = divmod(whole, 60)
        if rest and whole < 600:
            return tr("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
        return tr("{minutes} min", minutes=minutes)
    if whole < 172800:
        hours, minutes = whole // 3600, whole % 3600 // 60
        return tr("{hours} h {minutes} min", hours=hours, minutes=minutes) if minutes else tr("{hours} h", hours=hours)
    return count(whole // 86400, "day")


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `3 files`; an irregular plural is given."""
    return counted(number, f"{{number}} {noun}", f"{{number}} {plural or noun + 's'}")


def listing(items: list[str] | tuple[str, ...], most: int = 10) -> str:
    """`a, b, c and 4 more`."""
    if len(items) <= most:
        return joined(", ", items)
    return tr("{names} and {others} more", names=joined(", ", items[:most]), others=len(items) - most)


# What tells most comes first: an exception says why, and a server's own line after it only that there was one.
_NAMES_AN_ERROR = (
    # Not a server's "Internal Server Error: /health": that one names where, not why.
    re.compile(r"(?:^|\s)(?:[\w.]+(?:Error|Exception)|Exception)\b: "),
    re.compile(r"(?:^|\s)(?:ERROR|FATAL|CRITICAL|[Ff]atal)\b:?|^[Ee]rror:|\[(?:ERROR|CRITICAL)\]"),
)

_EXCEPTION = re.compile(r"(?:[\w.]+(?:Error|Exception)|Exception): .*")
_TRACEBACK = "Traceback (most recent call last):"
# An exception that another one brought about: gunicorn's handler of signals writes while its log is being written, or
# whom it wrote to is gone. It says nothing of why the app ended.
_FOLLOWS_ANOTHER = re.compile(r"RuntimeError: reentrant call inside|(?:^|\s)(?:BrokenPipe|Cancelled)Error: ")


def _naming(names: re.Pattern[str], lines: list[str]) -> list[str]:
    return [line for line in lines if names.search(line) and not _FOLLOWS_ANOTHER.search(line)]


LOOKED_THROUGH = 400
"""So many lines of a log are worth reading for `telling_lines`: a server that wraps an exception in two more of its own,
and is started again at once, says a hundred lines after the one that counts."""


def telling_lines(lines: list[str], most: int) -> list[str]:
    """The last MOST of a log's LINES; where none of them names the exception, or at least an error, that an earlier one
    does name, the last such line stands before them."""
    last, earlier = lines[-most:], lines[:-most]
    for names in _NAMES_AN_ERROR:
        if _naming(names, last):
            return last
        if named := _naming(names, earlier):
            return [named[-1], *last[1:]]
    return last


def telling_line(lines: list[str]) -> str:
    """The one of a failed program's LINES to be shown where only one can be: the last that names an exception, else an
    error, else the last of all (SQLAlchemy, for one, ends with where to read more). Empty where there is none."""
    for names in _NAMES_AN_ERROR:
        if named := _naming(names, lines):
            return named[-1].strip()
    return lines[-1] if lines else ""


def exception_in(lines: list[str]) -> str:
    """The last of a log's LINES that names an exception, without what a logger put before it; empty where none does."""
    named = _naming(_NAMES_AN_ERROR[0], lines)
    found = _EXCEPTION.search(named[-1]) if named else None
    return clean(found[0].strip(), limit=200) if found is not None else ""


def in_a_traceback(lines: list[str]) -> bool:
    """Whether LINES end in the middle of a Python traceback: what it is about comes last, and isn't there yet."""
    for line in reversed(lines):
        if _TRACEBACK in line:
            return True
        if line.strip() and not line[0].isspace():
            return False
    return False


def sentence(text: str) -> str:
    """TEXT with a full stop, where it doesn't end a sentence already."""
    return text if text.endswith((".", "!", "?")) else tr("{sentence}.", sentence=text)


def nearest(word: str, known: Iterable[str], most: int = 1, likeness: float = 0.6) -> list[str]:
    """Up to MOST of the KNOWN words that WORD may have been meant for, the likeliest first. likeness: from 0 to 1."""
    from difflib import get_close_matches  # for a misspelling only

    return get_close_matches(word, list(known), most, likeness)


def log_line(iso: str, level: str, text: str) -> str:
    """A line of a deployment's log: `[2025-01-17 10:00:00] [INFO] Creating backup...`, by the server's clock."""
    at = datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"[{at}] [{level.upper()}] {text}"


def moment_text(iso: str) -> str:
    """`2026-11-30 13:05:02 CET`, by the server's clock."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except (ValueError, OverflowError):
        return tr("an unknown time")
