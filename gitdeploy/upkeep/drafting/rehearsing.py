"""How the app is started for a rehearsal: as its service starts it, at a port of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.upkeep.drafting.seen import Seen, serves


class _Server(Struct, frozen=True):
    """`at`: what makes it listen at the port; `values`: options that go with the word behind them, `flags` those without one."""

    at: tuple[str, ...]
    values: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()


def _server(at: str, values: str = "", flags: str = "") -> _Server:
    return _Server(tuple(at.split()), frozenset(values.split()), frozenset(flags.split()))


_SERVERS = {
    "gunicorn": _server(
        "-b 127.0.0.1:{port} -w 1",
        "-b --bind -w --workers -p --pid --access-logfile --error-logfile --log-file -u --user -g --group",
        "-D --daemon --reload --preload",
    ),
    "uvicorn": _server("--host 127.0.0.1 --port {port}", "--host --port --uds --fd --workers", "--reload"),
    "hypercorn": _server(
        "-b 127.0.0.1:{port}", "-b --bind --insecure-bind -w --workers -p --pid", "-D --daemon --reload"
    ),
    "daphne": _server("-b 127.0.0.1 -p {port}", "-b --bind -p --port -u --unix-socket --fd -e --endpoint"),
    "granian": _server("--host 127.0.0.1 --port {port}", "--host --port --uds --workers", "--reload"),
    "waitress-serve": _server("--listen=127.0.0.1:{port}", "--listen --host --port --unix-socket"),
    "flask": _server("--host 127.0.0.1 --port {port}", "--host -h --port -p", "--reload --debug"),
}


def rehearse_lines(seen: Seen) -> Iterator[Line]:
    """`rehearse.command`, where a command that serves the app is known."""
    for words in (words for words in reversed(seen.commands) if serves(words)):
        if (made := command_at_port(seen, words)) is not None:
            yield Line("rehearse.command", made, tr("as it is started now, at a port of its own: gitdeploy rehearse"))
            return


def command_at_port(seen: Seen, words: Sequence[str]) -> str | None:
    """The command WORDS, changed to serve at `{port}` of loopback in the foreground; None where that can't be told."""
    while words and "=" in words[0] and not words[0].startswith(("/", "-")):
        words = words[1:]
    for place, word in enumerate(words[:4]):
        name = os.path.basename(word)
        if name == "runserver" and place:
            script = (
                os.path.relpath(words[place - 1], seen.root) if os.path.isabs(words[place - 1]) else words[place - 1]
            )
            return _joined([_program(seen, "python"), script, "runserver", "--noreload", "127.0.0.1:{port}"])
        if (server := _SERVERS.get(name)) is not None:
            kept = list(_kept(words[place + 1 :], server))
            program = _program(seen, name)
            return _joined([program, *kept, *server.at] if name == "flask" else [program, *server.at, *kept])
    return None


def _kept(words: Sequence[str], server: _Server) -> Iterator[str]:
    """WORDS without what says where and how it serves now."""
    left_out = False
    for word in words:
        option, mark, _ = word.partition("=")
        if left_out:
            left_out = False
        elif option in server.values:
            left_out = not mark
        elif word not in server.flags:
            yield word


def _program(seen: Seen, name: str) -> str:
    """The venv's own, by its path in the checkout, where it has one."""
    venv = seen.site.venv_path
    return f"{venv}/bin/{name}" if venv is not None and (seen.root / venv / "bin" / name).exists() else name


def _joined(words: Sequence[str]) -> str:
    """As it is typed; `{port}` needs no quotes."""
    return " ".join(word if "{port}" in word else shlex.quote(word) for word in words)
