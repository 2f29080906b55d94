"""A program of its own: runs a command apart from the machine that it is on, as far as the kernel allows (unshare(2)).

The command has a network of its own, in which there is loopback and nothing else. Of the world outside it reaches only the
servers that were named, at their own port on 127.0.0.1 and at their own sockets, and of a database server only the databases that
were named: who wants another is refused, whatever its environment says. No other socket that is a file is there. From outside it is
reached at one port of loopback, where that was asked for. Named folders can't be written to, others are empty for it: sockets of the managers of services are in them. It has
a low claim on the processor, is the first to go when memory is short, gains no rights by what it starts (sudo), and dies
with whoever started this.

Three processes do it: this one stays outside and leads to the servers; a child goes inside, hands the sockets that it listens
at there to this one, and becomes the command; where the command is to be reached, a child of that one leads to it.

Imports nothing of gitdeploy. `apart.py FACTS COMMAND...`; FACTS is JSON, see `gitdeploy.system.isolation`. Ends as the command
does (127 or 126 where it can't be started), or with 125 and a line on standard error where the kernel doesn't allow it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import signal
import socket
import stat
import struct
import sys
import threading
from typing import Any

REFUSED = 125  # exit code
_NICE = 10
_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000  # sched.h
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18  # mount.h
_LOCKED = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime: a mount inside must keep them
_DIE_WITH_PARENT, _NO_NEW_RIGHTS = 1, 38  # prctl.h
_IF_UP, _GET_FLAGS, _SET_FLAGS = 1, 0x8913, 0x8914  # netdevice(7)
_TLS, _GSS, _CANCEL = (
    80877103,
    80877104,
    80877102,
)  # what a PostgreSQL client may send before it says which database it wants
_LOG = "/dev/log"  # syslog's socket: who writes there changes nothing
_LARGEST_HELLO = 10_000  # bytes
_WITH_SCHEMA, _COMPRESSED, _WITH_TLS, _SECURE = 0x8, 0x20, 0x800, 0x8000  # what a MySQL client and server agree on
_LONG_PROOF, _COMPRESSED_ZSTD = 0x200000, 0x4000000
# What a MySQL command begins with: its number.
_INIT, _QUERY, _CREATE, _DROP, _CHANGE_USER, _PREPARE = b"\x02", b"\x03", b"\x05", b"\x06", b"\x11", b"\x16"
_PART = rb"(?:`(?:[^`]|``)+`|\"[^\"]+\"|[\w$\x80-\xff]+)"
_COMMENT = rb"/\*(?!!|M!).*?\*/|--[ \t\r\n][^\n]*|\#[^\n]*"
# Where a statement names a schema: `use`, a whole one, and the schema of a table where nothing but a table can stand (elsewhere
# it may be a table's alias). Texts and comments say nothing.
_NAMED = re.compile(
    rb"(?:\A|;)(?:\s|/\*M?!\d*|" + _COMMENT + rb")*use\s+(?P<used>" + _PART + rb")"
    rb"|\b(?:database|schema)\s+(?:if\s+(?:not\s+)?exists\s+)?(?P<whole>" + _PART + rb")"
    rb"|\b(?:extract|trim|substr|substring)\s*\([^()'\"]*(?:'[^']*'[^()'\"]*)*"
    rb"|\b(?:from|join|into|update|insert|replace|ignore|low_priority|delayed|quick|table|tables|exists|truncate|references|to|call"
    rb"|view|trigger|procedure|function|event|index\s+" + _PART + rb"\s+on)[\s(]+"
    rb"(?:" + _PART + rb"(?:\s*\.\s*" + _PART + rb")?(?:\s+(?:as\s+)?" + _PART + rb")?\s*,\s*)*(?P<of>" + _PART + rb")\s*\.\s*[^\s\d]"
    rb"|'[^'\\]*+(?:\\.[^'\\]*+)*+'|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"|" + _COMMENT,
    re.DOTALL | re.IGNORECASE,
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


def main(facts: dict[str, Any], command: list[str]) -> int:
    try:
        return _run(facts, command)
    except (OSError, RuntimeError) as error:
        return _said(error, REFUSED)


def _said(error: OSError | RuntimeError, code: int) -> int:
    """CODE, after a line about ERROR."""
    told = (error.strerror, error.filename) if isinstance(error, OSError) else (None, None)
    os.write(2, f"{told[0] or error}{f': {told[1]}' if told[1] else ''}\n".encode())
    return code


def _become_command(command: list[str]) -> None:
    """Never returns; ends as a shell does where COMMAND can't be started."""
    try:
        os.execvp(command[0], command)  # noqa: S606  # what it is for
    except OSError as error:
        os._exit(_said(error, 127 if error.errno == errno.ENOENT else 126))


def _run(facts: dict[str, Any], command: list[str]) -> int:
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    _first_to_go()
    _libc.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)
    if not facts["network"]:
        _become_command(command)
    served = None
    if (port := facts["serve"]) is not None:
        served = socket.create_server(("127.0.0.1", port))
        served.set_inheritable(True)
    ours, theirs = socket.socketpair()
    sockets = _own_sockets(facts) if facts["mounts"] else []
    facts["sockets"] = _others_sockets(facts) if facts["mounts"] else []
    child = os.fork()
    if child == 0:
        ours.close()
        _become(facts, command, theirs, served)
    theirs.close()
    if served is not None:
        served.close()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the command has
    ports = [server for server in facts["reach"] if "port" in server]
    for listener, server in (*zip(_received(ours, len(ports)), ports, strict=False), *sockets):
        threading.Thread(target=_lead, args=(listener, server), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    return status


def _own_sockets(facts: dict[str, Any]) -> list[tuple[socket.socket, dict[str, Any]]]:
    """A socket of our own for each server's that is a file: inside, it has the place of that one. With its server."""
    made = []
    here = os.getcwd()
    os.chdir(facts["own"])  # a socket's name has 107 bytes at most
    for number, server in enumerate(facts["reach"]):
        if "path" in server:
            listener = socket.socket(socket.AF_UNIX)
            server["own"] = f"{os.getpid()}-{number}"
            listener.bind(server["own"])
            listener.listen(64)
            made.append((listener, server))
    os.chdir(here)
    return made


def _others_sockets(facts: dict[str, Any]) -> list[str]:
    """Files that are sockets of whatever runs outside now: what is no server of ours is reached by none of them."""
    with open("/proc/net/unix", "rb") as file:
        named = {line.split(maxsplit=7)[-1].rstrip(b"\n") for line in file if line.count(b"/")}
    kept = {server["path"] for server in facts["reach"] if "path" in server} | {_LOG}
    found = set()
    for name in named:
        path = os.path.realpath(os.fsdecode(name))
        inside = any(path.startswith(f"{top}/") for top in (*facts["open"], *facts["hidden"]))
        if name.startswith(b"/") and path not in kept and not inside:
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    found.add(path)
    return sorted(found)


def _first_to_go() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


# ---- inside ----


def _become(facts: dict[str, Any], command: list[str], theirs: socket.socket, served: socket.socket | None) -> None:
    """Go inside and become the command. Never returns."""
    try:
        _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        _unshare(_NEW_NETWORK | (_NEW_MOUNTS if facts["mounts"] else 0))
        _loopback_up()
        if facts["mounts"]:
            _mount(facts)
        ports = [server["port"] for server in facts["reach"] if "port" in server]
        listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
        handed = array.array("i", [each.fileno() for each in listeners])
        theirs.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handed)] if listeners else [])
        theirs.close()
        for each in listeners:
            each.close()
        if served is not None:
            if os.fork() == 0:
                _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
                _lead(served, {"host": "127.0.0.1", "port": facts["serve"]})
            served.close()
        _become_command(command)
    except OSError as error:
        _said(error, REFUSED)
    finally:
        os._exit(REFUSED)


def _unshare(what: int) -> None:
    """As root with root's rights, else with a user namespace, in which this user is who it was."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc.unshare(what) == 0:
        return
    if _libc.unshare(what | _NEW_USER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(asked, _GET_FLAGS, request))[1]
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _IF_UP))


def _mount(facts: dict[str, Any]) -> None:
    """`closed` folders can't be written to, but for what of `open` is in them, nor can `files`; those of `hidden` are empty."""
    _do_mount("none", "/", _RECURSIVE | _PRIVATE)
    for path in facts["closed"]:
        _do_mount(path, path, _BIND | _RECURSIVE)
    for path in facts["open"]:
        _do_mount(path, path, _BIND)
    for path in (*facts["closed"], *_mounts_below(facts["closed"], facts["open"])):
        _do_mount("none", path, _REMOUNT | _BIND | _READ_ONLY | (os.statvfs(path).f_flag & _LOCKED))
    for path in facts["files"]:
        with contextlib.suppress(FileNotFoundError):  # a database's journal comes and goes
            _do_mount(path, path, _BIND)
            _do_mount("none", path, _REMOUNT | _BIND | _READ_ONLY | (os.statvfs(path).f_flag & _LOCKED))
    for server in facts["reach"]:
        if "path" in server:
            _do_mount(f"{facts['own']}/{server['own']}", server["path"], _BIND)
    for path in facts["hidden"]:
        if os.path.isdir(path):
            _do_mount(facts["empty"], path, _BIND)
        elif os.path.exists(path):
            _do_mount("/dev/null", path, _BIND)
    for path in facts["sockets"]:
        with contextlib.suppress(
            FileNotFoundError, NotADirectoryError, PermissionError
        ):  # gone, or out of reach anyway
            _do_mount("/dev/null", path, _BIND)
    os.chdir(os.getcwd())  # the folder itself is below a mount now


def _mounts_below(closed: list[str], left: list[str]) -> list[str]:
    """Where something else is mounted in the folders CLOSED, but for what is LEFT open: each has rights of its own."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]) for line in file}
    return sorted(
        place
        for place in places
        if any(place.startswith(f"{top}/") for top in closed)
        and not any(f"{place}/".startswith(f"{top}/") for top in left)
        and os.path.exists(place)
    )


def _do_mount(source: str, target: str, flags: int) -> None:
    if _libc.mount(source.encode(), os.fsencode(target), None, flags, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}", target)


# ---- between inside and outside ----


def _received(ours: socket.socket, most: int) -> list[socket.socket]:
    """The sockets that the child listens at inside; none where it did not come so far."""
    _, handed, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4 * max(most, 1)))
    numbers = array.array("i")
    for _, _, data in handed:
        numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return [socket.socket(fileno=number) for number in numbers]


def _lead(listener: socket.socket, server: dict[str, Any]) -> None:
    """Lead each connection at LISTENER to SERVER, for ever."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_connect, args=(connection, server), daemon=True).start()


def _connect(connection: socket.socket, server: dict[str, Any]) -> None:
    """Lead CONNECTION to SERVER; of a database server only to the databases that are allowed."""
    try:
        if server.get("path"):
            there = socket.socket(socket.AF_UNIX)
            there.connect(server["path"])
        else:
            there = socket.create_connection((server["host"], server["port"]), timeout=15)
            there.settimeout(None)
        begin = {"postgresql": _postgresql, "mysql": _mysql}.get(server.get("wire", ""))
        if begin is not None and not begin(connection, there, server["only"]):
            connection.close()
            return
    except OSError:
        connection.close()
        return
    threading.Thread(target=_pump, args=(there, connection), daemon=True).start()
    if server.get("wire") == "mysql":
        _pump_commands(connection, there, server["only"], server.get("live", []))
    else:
        _pump(connection, there)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _exactly(connection: socket.socket, number: int) -> bytes:
    """NUMBER bytes. Raises OSError where they don't come."""
    got = b""
    while len(got) < number:
        part = connection.recv(number - len(got))
        if not part:
            raise OSError("closed")
        got += part
    return got


def _refusal(wanted: bytes, only: list[str]) -> bytes:
    return f'a rehearsal may not use "{wanted.decode(errors="replace")}", only "{", ".join(only)}"'.encode()


# ---- PostgreSQL: Frontend/Backend Protocol, Message Formats ----


def _postgresql(client: socket.socket, server: socket.socket, only: list[str]) -> bool:
    """Pass the client's first message on, where it wants one of the databases ONLY (or cancels a query there)."""
    while True:
        begin = _exactly(client, 8)
        length, code = struct.unpack("!II", begin)
        if code not in (_TLS, _GSS):
            break
        client.sendall(b"N")
    if not 8 <= length <= _LARGEST_HELLO:
        return False
    rest = _exactly(client, length - 8)
    words = rest.rstrip(b"\0").split(b"\0")
    said = dict(zip(words[::2], words[1::2], strict=False))
    wanted = said.get(b"database") or said.get(b"user", b"")
    if code == _CANCEL or wanted.decode(errors="replace") in only:
        server.sendall(begin + rest)
        return True
    fields = b"SFATAL\0VFATAL\0C3D000\0M" + _refusal(wanted, only) + b"\0\0"
    client.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
    return False


# ---- MySQL: Client/Server Protocol, Connection Phase and Command Phase ----


def _mysql(client: socket.socket, server: socket.socket, only: list[str]) -> bool:
    """Pass the greeting on without what could not be read along (TLS, compression), and the client's answer, where it wants no
    schema but ONLY."""
    head = _exactly(server, 4)
    greeting = bytearray(_exactly(server, int.from_bytes(head[:3], "little")))
    if greeting[:1] == b"\x0a":
        flags = greeting.index(0, 1) + 1 + 4 + 8 + 1  # behind version, connection and the first part of the challenge
        lower = int.from_bytes(greeting[flags : flags + 2], "little") & ~(_WITH_TLS | _COMPRESSED)
        greeting[flags : flags + 2] = lower.to_bytes(2, "little")
        if len(greeting) > flags + 7:
            upper = int.from_bytes(greeting[flags + 5 : flags + 7], "little") & ~(_COMPRESSED_ZSTD >> 16)
            greeting[flags + 5 : flags + 7] = upper.to_bytes(2, "little")
    client.sendall(head + greeting)
    head = _exactly(client, 4)
    answer = _exactly(client, int.from_bytes(head[:3], "little"))
    wanted = _schema_of(answer)
    if wanted and not _may_use(wanted, only):
        _refuse_mysql(client, head[3], wanted, only)
        return False
    server.sendall(head + answer)
    return True


def _schema_of(answer: bytes) -> bytes:
    """The schema that a client's first answer names; empty where none."""
    flags = int.from_bytes(answer[:4], "little")
    if not flags & _WITH_SCHEMA:
        return b""
    place = answer.index(0, 32) + 1  # behind the user
    if flags & _LONG_PROOF:
        size = answer[place]
        place += 1
        if size == 0xFC:
            size, place = int.from_bytes(answer[place : place + 2], "little"), place + 2
        place += size
    elif flags & _SECURE:
        place += 1 + answer[place]
    else:
        place = answer.index(0, place) + 1
    return answer[place : place + 300].partition(b"\0")[0]


def _pump_commands(client: socket.socket, server: socket.socket, only: list[str], live: list[str]) -> None:
    """Pass the client's commands on, but for one that goes to another schema, or names something in one of LIVE."""
    with contextlib.suppress(OSError):
        while True:
            head = _exactly(client, 4)
            size = int.from_bytes(head[:3], "little")
            command = _exactly(client, size)
            if head[3] == 0 and (wanted := _goes_to(command, only, live)):
                _refuse_mysql(client, 0, wanted, only)
                continue
            server.sendall(head + command)
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _goes_to(command: bytes, only: list[str], live: list[str]) -> bytes:
    """The schema that a COMMAND wants and may not: it makes one the current one that is not of ONLY, or names one of LIVE."""
    kind, text = command[:1], command[1:]
    if kind in (_INIT, _CREATE, _DROP):
        return b"" if _may_use(text, only) else text
    if kind == _CHANGE_USER:
        place = text.index(0) + 1 if 0 in text else len(text)
        schema = text[place + 1 + (text[place] if place < len(text) else 0) :].partition(b"\0")[0]
        return b"" if not schema or _may_use(schema, only) else schema
    if kind not in (_QUERY, _PREPARE):
        return b""
    small = text.lower()
    if b"use" not in small and not any(name.lower().encode() in small for name in live):
        return b""
    for found in _NAMED.finditer(text):
        part = found["used"] or found["whole"] or found["of"] or b""
        name = part.strip(b'`"').replace(b"``", b"`")
        if found["used"] and not _may_use(name, only):
            return name
        if name and name.decode(errors="replace").lower() in (each.lower() for each in live):
            return name
    return b""


def _may_use(schema: bytes, only: list[str]) -> bool:
    name = schema.decode(errors="replace")
    return name in only or name.lower() in ("information_schema", "performance_schema")


def _refuse_mysql(client: socket.socket, sequence: int, wanted: bytes, only: list[str]) -> None:
    said = b"\xff" + (1044).to_bytes(2, "little") + b"#42000" + _refusal(wanted, only)
    client.sendall(len(said).to_bytes(3, "little") + bytes([sequence + 1]) + said)


if __name__ == "__main__":
    os._exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
