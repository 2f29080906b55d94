"""Whatever became of standard output and error, each command ends with its own exit code and does its work."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from e2e.conftest import Shop, tree
from support.sample import Program

FAILS = "v2.2.0"


@contextmanager
def full_disk() -> Iterator[int]:
    number = os.open("/dev/full", os.O_WRONLY)
    yield number
    os.close(number)


@contextmanager
def nobody_reads() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def vanished_terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    os.close(master)
    yield slave
    os.close(slave)


@contextmanager
def only_to_read() -> Iterator[int]:
    number = os.open(os.devnull, os.O_RDONLY)
    yield number
    os.close(number)


@contextmanager
def all_is_well() -> Iterator[int]:
    """The table itself is right."""
    with open(os.devnull, "wb") as kept:
        yield kept.fileno()


@contextmanager
def closed() -> Iterator[None]:
    yield None


LOST = {
    "all is well": all_is_well,
    "closed": closed,
    "a full disk": full_disk,
    "nobody reads": nobody_reads,
    "a vanished terminal": vanished_terminal,
    "open only for reading": only_to_read,
}
READING = {
    "--version": 0, "--help": 0, "": 2, "upgarde": 2, "upgrade --help": 0, "-C / --json status": 2, "status": 0,
    "check --force --exit-code": 100, "releases v9.9.9": 2, "plan": 0, "log": 0, "completion bash": 0, "upgrade v0.0.1": 7,
}  # fmt: skip


def code_of(shop: Shop, words: str, output: int | None, error: int | None) -> int:
    """How `gitdeploy WORDS` ends with these descriptors (None: closed), as a bare server would start it."""

    def close() -> None:
        for number, given in ((1, output), (2, error)):
            if given is None:
                os.close(number)

    return subprocess.run(
        [sys.executable, "-m", "gitdeploy", *words.split()],
        cwd=shop.app,
        env={name: value for name, value in shop.environment.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=error,
        preexec_fn=close,  # nothing but two closes
        timeout=120,
    ).returncode


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_each_command_keeps_its_exit_code(shop: Shop, lost: Callable[[], AbstractContextManager[int | None]]) -> None:
    wrong = {}
    with lost() as number:
        for words, expected in READING.items():
            if (code := code_of(shop, words, number, number)) != expected:
                wrong[words] = code
    assert wrong == {}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_deployment_is_not_decided_by_its_output(
    shop: Shop, lost: Callable[[], AbstractContextManager[int | None]]
) -> None:
    shop.release(FAILS, tree("2.2.0", "2.0", **{"hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")}))
    with lost() as number:
        codes = [code_of(shop, words, number, number) for words in ("upgrade v2.0.0", f"-v upgrade {FAILS}")]
        assert (codes, (shop.app / "VERSION").read_text()) == ([0, 3], "2.0.0")
        assert code_of(shop, "--json rollback --yes", number, number) == 0
    assert (shop.app / "VERSION").read_text() == "1.0.0"


@pytest.mark.parametrize("which", ["output", "error"])
def test_what_is_lost_of_one_is_still_said_on_the_other(shop: Shop, tmp_path: Path, which: str) -> None:
    kept = tmp_path / "kept"
    with full_disk() as lost, kept.open("wb") as good:
        pair = (lost, good.fileno()) if which == "output" else (good.fileno(), lost)
        assert code_of(shop, "-C / status", *pair) == 2
        assert code_of(shop, "status", *pair) == 0
    assert ("v1.0.0" in kept.read_text()) == (which == "error")
    assert ("in no git checkout" in kept.read_text()) == (which == "output")


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_everything(shop: Shop) -> None:
    """As where ssh or a task runner shares its own pipe with us."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    read = bytearray()

    def slowly() -> None:
        time.sleep(0.5)
        while data := os.read(reading, 1000):
            read.extend(data)

    reader = threading.Thread(target=slowly)
    reader.start()
    assert code_of(shop, "config schema", writing, writing) == 0
    os.close(writing)
    reader.join(30)
    os.close(reading)
    assert read.decode() == shop.gitdeploy("config", "schema").out


def test_what_the_encoding_lacks_is_escaped_and_the_rest_is_not(shop: Shop) -> None:
    shop.gitdeploy("backup", "--label", "für 北京")
    listed = shop.gitdeploy("backups", env={"PYTHONIOENCODING": "latin-1"})
    assert "f\udcfcr \\u5317\\u4eac" in listed.out
