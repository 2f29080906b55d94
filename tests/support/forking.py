"""`python -m gitdeploy` without its start: more than half of what a command costs is Python and its modules being loaded.

One process per pytest process loads everything once; each command is a fork of it, with the words, folder, environment,
umask and descriptors of its own, and runs what `python -m gitdeploy` runs, to its exit code. What depends on how Python
itself was started (another locale or `PYTHON*` variable) needs a real start: see `can_fork`. So do tests of the start
and of what is loaded, and THOROUGH=1 starts every command anew.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parents[2]
_MOST = 256 << 10  # bytes of a request: its environment, mostly
_READ = frozenset(("LANG", "LANGUAGE"))
_READ_FAMILIES = ("LC_", "PYTHON", "GIT_PYTHON_")
_CALLED_IN = "/called-in"  # stands for the folder of a command until that is known


# ---- who asks ----


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether Python, started with ENVIRONMENT, would be what is loaded here: nothing of what is read while it starts or
    while a module is loaded differs."""
    read = {name: value for name, value in environment.items() if name in _READ or name.startswith(_READ_FAMILIES)}
    own = {name: value for name, value in os.environ.items() if name in _READ or name.startswith(_READ_FAMILIES)}
    return {**read, "PYTHONPATH": ""} == {**own, "PYTHONPATH": ""} and environment.get("PYTHONPATH") == str(PROJECT)


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and error of `python -m gitdeploy WORDS`. Raises `subprocess.TimeoutExpired`, after it was
    killed."""
    asked = {"words": list(words), "cwd": str(cwd), "env": dict(env), "umask": _umask()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        line.connect(_server())
        (from_out, out), (from_err, err) = os.pipe(), os.pipe()
        try:
            socket.send_fds(line, [json.dumps(asked).encode()], [out, err])
        finally:
            os.close(out)
            os.close(err)
        pid = int(line.recv(64))
        try:
            printed = _read_all({from_out: b"", from_err: b""}, time.monotonic() + timeout)
            line.settimeout(timeout)
            code = int(line.recv(64))
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired([*words], timeout) from None
        finally:
            os.close(from_out)
            os.close(from_err)
    return code, printed[from_out], printed[from_err]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _read_all(found: dict[int, bytes], until: float) -> dict[int, bytes]:
    """All that comes from the descriptors, to their end. Raises `TimeoutError`."""
    with selectors.DefaultSelector() as waiting:
        for descriptor in found:
            waiting.register(descriptor, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, until - time.monotonic()))
            if not ready and time.monotonic() >= until:
                raise TimeoutError
            for key, _ in ready:
                if piece := os.read(key.fd, 65536):
                    found[key.fd] += piece
                else:
                    waiting.unregister(key.fd)
    return found


_starting = threading.Lock()


def _server() -> str:
    with _starting:
        return _started()


@cache
def _started() -> str:
    """Start the process that loads everything; where it listens. It ends with this process."""
    folder = tempfile.mkdtemp(prefix="gitdeploy-forks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, __file__, place],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as ready:
        assert ready.readline() == b"ready\n", "gitdeploy can't be loaded"
    atexit.register(_end, process)
    return place


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by its standard input, also where this process was killed."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)


# ---- who forks ----


def serve(place: str) -> NoReturn:
    """Load gitdeploy whole, then fork a command for whoever connects to PLACE, until standard input ends."""
    _load()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(place)
    listener.listen(64)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    asking: dict[int, tuple[int, socket.socket]] = {}  # of a process -> its number and who waits for it
    os.write(1, b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while True:
        for key, _ in waiting.select():
            if key.fd == 0:
                os._exit(0)
            elif key.fd in asking:
                pid, line = asking.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                with line, suppress(OSError):
                    line.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            else:
                line, _ = listener.accept()
                pid = _fork(line)
                line.send(b"%d" % pid)
                watched = os.pidfd_open(pid)
                asking[watched] = pid, line
                waiting.register(watched, selectors.EVENT_READ)


def _fork(line: socket.socket) -> int:
    text, descriptors, _, _ = socket.recv_fds(line, _MOST, 2)
    pid = os.fork()
    if pid == 0:
        _become(json.loads(text), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _load() -> None:
    """All modules of gitdeploy, as though by `python -m gitdeploy`."""
    sys.argv, sys.orig_argv = ["-m"], [sys.executable, "-m", "gitdeploy"]
    sys.path[0] = _CALLED_IN
    gitdeploy = import_module("gitdeploy")
    for module in pkgutil.walk_packages(gitdeploy.__path__, "gitdeploy."):
        if module.name != "gitdeploy.__main__":
            import_module(module.name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all of it


def _become(asked: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    code: Any = 1
    try:
        for number, descriptor in zip((0, 1, 2), (os.open(os.devnull, os.O_RDONLY), *descriptors), strict=True):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(asked["env"])
        time.tzset()
        os.umask(asked["umask"])
        os.chdir(asked["cwd"])
        import_module("gitdeploy.system.faultpoints").load()
        sys.argv = ["-m", *asked["words"]]
        sys.orig_argv = [sys.executable, "-m", "gitdeploy", *asked["words"]]
        for module in list(sys.modules.values()):
            if getattr(module, "CALLED_IN", None) == _CALLED_IN:
                module.CALLED_IN = asked["cwd"]  # type: ignore[attr-defined]
        try:
            runpy.run_module("gitdeploy", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code
    except BaseException:  # what Python itself would say of it
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # as at Python's own end: threads are waited for
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if not isinstance(code, int | None):
        os.write(2, f"{code}\n".encode())
        code = 1
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
