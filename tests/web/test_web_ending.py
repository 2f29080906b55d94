"""A signal ends a page whatever runs when it arrives."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from support.waiting import free_port

SERVER = """
import gc, os, signal, sys, threading, time
from flask import Flask
from gitdeploy.web.serving import ending, server

def told():
    os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    time.sleep(0.01)  # a signal is handled between two instructions

class Dying:
    def __del__(self):
        told()

def collected(phase, info):
    gc.callbacks.remove(collected)
    told()

def ready():
    if sys.argv[2] == "in a destructor":
        Dying()
    elif sys.argv[2] == "in a callback of the garbage collector":
        gc.callbacks.append(collected)
        gc.collect()
    elif sys.argv[2] == "while it serves":
        threading.Timer(0.3, told).start()

ending.take_over()
if sys.argv[2] == "before it serves":
    told()
server.run(Flask("x"), ready, threads=2, host="127.0.0.1", port=int(sys.argv[1]))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "when",
    ["before it serves", "in a destructor", "in a callback of the garbage collector", "while it serves"],
)
def test_a_page_that_is_told_to_end_ends(when: str, number: str) -> None:
    assert hasattr(signal, number)
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(free_port()), when, number],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
