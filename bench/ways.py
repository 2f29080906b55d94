"""The ways that are compared, each a function that a process of its own runs in the app: `python -m bench way NAME ...`.

`floor`: the bare commands that any tool must run that fetches one tag, backs up, builds aside, switches and syncs.
`today`: copies of code and venv as a backup, a tarball over the live code, pip into the live venv.
`releases`: a directory and a fresh venv for each release, with uv; `compiled` has it make bytecode.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uv import find_uv_bin

STEPS = "BENCH_STEPS"
WHOLE = "whole"


@contextmanager
def step(name: str) -> Iterator[None]:
    """Note how long the block took, for the figure of steps."""
    begun = time.perf_counter()
    yield
    with open(os.environ[STEPS], "a", encoding="ascii") as out:
        out.write(json.dumps([name, time.perf_counter() - begun]) + "\n")


def perform(name: str, *words: str) -> None:
    """One of the ways below, timed as a whole without the start of this interpreter: a shell would do the same."""
    with step(WHOLE):
        globals()[name](*words)


def run(*words: str, stdin: str | None = None) -> str:
    return subprocess.run(words, input=stdin, stdout=subprocess.PIPE, check=True, text=True).stdout


def sync() -> None:
    with step("sync"):
        run("sync", "-f", ".")


def flip(target: str, link: str) -> None:
    with step("flip"):
        os.symlink(target, f"{link}.new")
        os.rename(f"{link}.new", link)


def floor(action: str, tag: str) -> None:
    if action == "rollback":
        with step("reset"):
            run("git", "reset", "-q", "--hard", "refs/backups/last")
        flip(Path(".git/floor").read_text().split()[0], "venv")
        return
    if action in ("upgrade", "prepare"):
        _floor_prepare(tag)
    if action in ("upgrade", "switch"):
        with step("switch"):
            run("git", "checkout", "-q", tag)
        flip(Path(".git/floor").read_text().split()[1], "venv")
    if action == "upgrade":
        sync()


def _floor_prepare(tag: str) -> None:
    with step("fetch"):
        words = ("fetch", "-q", "--no-tags", "--no-auto-maintenance", "--no-write-fetch-head")
        run("git", "-c", "gc.auto=0", *words, "origin", f"refs/tags/{tag}:refs/tags/{tag}")
    with step("backup"):
        run("git", "update-ref", "refs/backups/last", "HEAD")
    live = new = os.readlink("venv")
    if subprocess.run(["git", "diff", "--quiet", "HEAD", tag, "--", "requirements.txt"], check=False).returncode:
        new = f".venvs/{tag}"
        with step("clone"):
            run("cp", "-al", live, new)
            here = os.getcwd()
            for file in (*Path(new, "bin").iterdir(), Path(new, "pyvenv.cfg")):
                if file.is_file() and not file.is_symlink() and (data := file.read_bytes()).find(here.encode()) >= 0:
                    file.unlink()  # written anew, not through the link
                    for written in (f"{here}/{live}", f"{here}/venv"):
                        data = data.replace(written.encode(), f"{here}/{new}".encode())
                    file.write_bytes(data)
                    file.chmod(0o755)
        with step("install"):
            wanted = run("git", "show", f"{tag}:requirements.txt")
            run(find_uv_bin(), "pip", "install", "-q", "--python", f"{new}/bin/python", "-r", "-", stdin=wanted)
        with step("compile"):
            site = next(Path(new).glob("lib/python*/site-packages"))
            old = next(Path(live).glob("lib/python*/site-packages"))
            records = [info for info in site.glob("*.dist-info") if not (old / info.name).exists()]
            rows = [row.split(",")[0] for info in records for row in (info / "RECORD").read_text().splitlines()]
            modules = "".join(f"{site}/{name}\n" for name in rows if name.endswith(".py"))
            run(f"{new}/bin/python", "-I", "-S", "-m", "compileall", "-q", "-i", "-", stdin=modules)
    Path(".git/floor").write_text(f"{live} {new}")
    sync()


def today(action: str, tarball: str = "") -> None:
    run_folder, site = Path.cwd().parent, Path.cwd()
    backup = run_folder / "backup"
    if action == "rollback":
        with step("delete"):
            for entry in site.iterdir():
                if entry.name != ".git":
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        with step("copy back"):
            shutil.copytree(backup / "code", site, symlinks=True, dirs_exist_ok=True)
            shutil.copytree(backup / "venv", site / "venv", symlinks=True)
        return
    with step("backup"):
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(
            site, backup / "code", symlinks=True, ignore=lambda at, _: {".git", "venv"} if Path(at) == site else ()
        )
        shutil.copytree(site / "venv", backup / "venv", symlinks=True)
    with step("fetch"), tarfile.open(tarball) as archive:
        archive.extractall(run_folder / "new", filter="fully_trusted")
    with step("switch"):
        shutil.copytree(run_folder / "new", site, dirs_exist_ok=True)
        shutil.rmtree(run_folder / "new")
    with step("install"):
        run("venv/bin/python", "-m", "pip", "install", "-q", "-r", "requirements.txt")


def releases(kind: str, tag: str, remote: str, python: str) -> None:
    new = Path("..", "releases", tag)
    with step("fetch"):
        run(
            "git",
            "clone",
            "-q",
            "--depth",
            "1",
            "-c",
            "advice.detachedHead=false",
            "--branch",
            tag,
            f"file://{remote}",
            str(new),
        )
    with step("install"):
        run(find_uv_bin(), "venv", "-q", "-p", python, str(new / "venv"))
        compiling = ("--compile-bytecode",) if kind == "compiled" else ()
        words = ("pip", "install", "-q", *compiling, "--python", str(new / "venv/bin/python"))
        run(find_uv_bin(), *words, "-r", str(new / "requirements.txt"))
    flip(f"releases/{tag}", "../current")
