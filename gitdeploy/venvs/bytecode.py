"""Bytecode of a new generation: kept where a module is what it was, compiled where it isn't, with every core.

A `.pyc` holds the time and size of its source (PEP 552 and the `py_compile` documentation), so the installer's copy of an
unchanged module needs nothing but the new time in it. What names the source in a code object is set anew at import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gitdeploy.system import environment, process
from gitdeploy.system.bytecode import HEADER as _HEADER
from gitdeploy.system.bytecode import WORD as _WORD
from gitdeploy.system.bytecode import Beside, made_from

LIMIT = 600.0  # seconds for all modules of a venv
_WORTH_A_WORKER = 100_000  # bytes of source: starting an interpreter takes as long as compiling about so much
# What an import does, which writes the `.pyc`. `-m compileall` makes the same files, but takes three times as long to start.
# Whatever compiling raises (a template that is not Python, nesting too deep) leaves that module without, as compileall does.
_COMPILING = """
import os, sys
from importlib.machinery import SourceFileLoader
for line in sys.stdin.buffer:
    try:
        SourceFileLoader("module", os.fsdecode(line[:-1])).get_code("module")
    except Exception:
        pass
"""


@contextmanager
def compiled_beside(live: Path | None, venv: Path, modules: Sequence[str], tag: str) -> Iterator[None]:
    """While the block runs, the modules (paths below VENV) that need it are compiled by VENV's own interpreter; all is
    there when it ends. LIVE: the venv that VENV was cloned from. TAG: as in `module.TAG.pyc`.

    A module that can't be compiled has no bytecode, as with any installer: some packages ship templates.
    """
    old, new = os.fspath(live) if live else "", os.fspath(venv)
    todo = [name for name in modules if not (_bytecode_of(new, name, tag) or (old and _keep(old, new, name, tag)))]
    with ExitStack() as running:
        for share in _shares(venv, todo):
            running.enter_context(
                process.alongside(
                    [venv / "bin" / "python", "-I", "-S", "-c", _COMPILING],
                    cwd=venv,
                    env=environment.clean_environment(),
                    stdin=b"".join(os.fsencode(name) + b"\n" for name in share),
                    timeout=LIMIT,
                    tied=True,
                    umask=0o022,
                )
            )
        yield


def told_apart(live: Path, venv: Path, modules: Sequence[str]) -> list[str]:
    """See that no bytecode of LIVE's modules is taken for that of VENV, which was cloned from it and has other modules of
    the same name: those of the same size and second get a later one, and what Python never checks goes. Returns the names
    of the files that were written anew for that (never in place: they may have names in a cache too)."""
    beside = Beside()
    written = []
    for name in modules:
        one, other = f"{live}/{name}", f"{venv}/{name}"
        try:
            old, new = os.stat(one), os.stat(other)
            alike = (old.st_size, int(old.st_mtime)) == (new.st_size, int(new.st_mtime))
        except OSError:
            continue
        for path in beside(os.fsencode(other)):
            if (made := made_from(path)) is not None and made.unchecked and _content(one) != _content(other):
                os.unlink(path)
        if alike and not os.path.samestat(old, new) and _content(one) != _content(other):
            shutil.copy2(other, f"{other}.gitdeploy-new")
            os.utime(f"{other}.gitdeploy-new", (new.st_atime, int(new.st_mtime) + 1))
            os.replace(f"{other}.gitdeploy-new", other)
            written.append(name)
    return written


def _shares(venv: Path, modules: Sequence[str]) -> list[list[str]]:
    """MODULES for as many workers as they are worth, about the same number of bytes for each."""
    sizes = {name: os.path.getsize(f"{venv}/{name}") for name in modules if "\n" not in name}
    workers = min(len(os.sched_getaffinity(0)), 8, 1 + sum(sizes.values()) // _WORTH_A_WORKER)
    shares: list[tuple[int, list[str]]] = [(0, []) for _ in range(workers)]
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        at = min(range(workers), key=lambda number: shares[number][0])
        shares[at][1].append(name)
        shares[at] = (shares[at][0] + sizes[name], shares[at][1])
    return [names for _, names in shares if names]


def _compiled_path(name: str, tag: str) -> str:
    folder, module = os.path.split(name)
    return os.path.join(folder, "__pycache__", f"{module.removesuffix('.py')}.{tag}.pyc")


def _bytecode_of(venv: str, name: str, tag: str) -> bytes | None:
    """The `.pyc` of a module, where it was made from the source as it is now."""
    try:
        data = _content(f"{venv}/{_compiled_path(name, tag)}")
        found = os.stat(f"{venv}/{name}")
    except OSError:
        return None
    if len(data) <= _HEADER.size:
        return None
    _, flags, mtime, size = _HEADER.unpack_from(data)
    fresh = flags == 0 and mtime == int(found.st_mtime) & _WORD and size == found.st_size & _WORD
    return data if fresh else None


def _keep(live: str, venv: str, name: str, tag: str) -> bool:
    """Take the live venv's bytecode over, where the module's source is the very same there."""
    one, other = f"{live}/{name}", f"{venv}/{name}"
    place = f"{venv}/{_compiled_path(name, tag)}"
    try:
        found = os.stat(other)
        if os.stat(one).st_size != found.st_size or _content(one) != _content(other):
            return False
        data = _bytecode_of(live, name, tag)
        if data is None:
            return False
        magic, flags, _, size = _HEADER.unpack_from(data)
        header = _HEADER.pack(magic, flags, int(found.st_mtime) & _WORD, size)
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(place))
        with suppress(FileNotFoundError):
            os.unlink(place)  # never into the old file: through a hard link that is the live venv's
        with open(place, "xb") as out:
            out.write(header + data[_HEADER.size :])
    except OSError:
        with suppress(OSError):  # half of it would be taken for whole
            os.unlink(place)
        return False
    return True


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall()
