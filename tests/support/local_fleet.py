"""A fleet whose hosts are checkouts on this machine: Ansible reaches them without a network."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.sample import Sample
from support.shared_shop import make_database, make_releases
from support.waiting import wait_until


class LocalFleet:
    """web1 to web3, with one database; `folder` is where `gitdeploy fleet` is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database = folder, folder / "shop.sqlite3"
        make_database(self.database)
        self.sample = Sample(folder / "sample", venv=False)
        make_releases(self.sample, database=str(self.database), place=str(folder), python=shlex.quote(sys.executable))
        self.apps = [folder / f"web{number}" for number in (1, 2, 3)]
        for app in self.apps:
            shutil.copytree(self.sample.app, app, symlinks=True)
        lines = [f"{app.name} gitdeploy_dir={app}" for app in self.apps]
        more = ["ansible_connection=local", f"ansible_python_interpreter={sys.executable}"]
        program = f"gitdeploy_executable={sys.prefix}/bin/gitdeploy"
        (folder / "hosts.ini").write_text("\n".join([*lines, "[all:vars]", *more, program, ""]))
        (folder / "fleet.yaml").write_text("inventory: hosts.ini\n")

    def run(self, *words: str, code: int = 0) -> str:
        """What `gitdeploy fleet WORDS` says on standard output and standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "gitdeploy", "fleet", *words], cwd=self.folder, env=self.sample.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def stopped(self, *words: str, when: str, there: Path | None = None) -> str:
        """What it has said on standard error when it is ended by a signal, once it says WHEN and the file THERE is there."""
        with subprocess.Popen(
            [sys.executable, "-m", "gitdeploy", "fleet", *words], cwd=self.folder, env=self.sample.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if when in line:
                    if there is not None:
                        wait_until(there.exists, str(there))
                    process.terminate()
        assert process.returncode == 128 + signal.SIGTERM, said
        return said

    def asked(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    def ansible(self, program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**self.sample.environment, "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            [f"{sys.prefix}/bin/{program}", *map(str, words)], cwd=self.folder, env=environment, capture_output=True,
            text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def versions(self) -> list[str]:
        return [(app / "VERSION").read_text() for app in self.apps]
