"""Secrets stay secret: after a whole upgrade of a private repository the token is nowhere to be found."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hosts import ALL

from sources.conftest import TOKEN, TOKEN_VARIABLE, Shop, make_shop

HOOK = "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >>{seen}\nenv >>{seen}\ncat /proc/$PPID/cmdline >>{seen}\n"
PASSWORD = "clone-password-of-codeup"


class Sampler(threading.Thread):
    """Reads the command lines of all processes below this one over and over (tests of a neighbour know the same token)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.002):
            for entry in os.listdir("/proc"):
                if entry.isdigit() and descends(int(entry)):
                    with suppress(OSError):
                        self.seen.add(Path(f"/proc/{entry}/cmdline").read_bytes())


def descends(pid: int) -> bool:
    """Whether PID is a child, grandchild ... of this process."""
    with suppress(OSError, ValueError):
        while pid > 1:
            if pid == os.getpid():
                return True
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def test_the_token_is_nowhere_after_an_upgrade(private: Shop, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    hooks = {f"hooks/{stage}": HOOK.replace("{seen}", str(seen)) for stage in ("pre-deploy", "build", "post-deploy")}
    for name, text in hooks.items():
        path = private.sample.app / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (private.sample.app / ".git/info/exclude").write_text("/hooks/\n")
    private.configure(more="hooks: {dir: hooks}\n")
    sampler = Sampler()
    sampler.start()
    said = private.run("-v", "check", "--force").text
    said += private.run("-v", "upgrade", "v1.2.10").text
    said += private.run("--json", "log", "1").text
    said += private.run("config", "show").text
    sampler.done.set()
    sampler.join()
    assert seen.read_text().count("GITDEPLOY_STAGE=") >= 3, "the hooks ran"
    assert any(b"fetch" in line and b"git" in line for line in sampler.seen), "git was seen at work"
    secrets = [TOKEN, PASSWORD] if private.host.kind == "codeup" else [TOKEN]
    for secret in secrets:
        assert secret not in said
        assert secret not in seen.read_text()
        assert not any(secret.encode() in line for line in sampler.seen)
        for folder in (private.sample.app, private.sample.app / ".gitdeploy"):
            found = subprocess.run(["grep", "-rlaF", secret, str(folder)], capture_output=True, text=True)
            assert found.stdout == ""
    if private.host.kind != "git":
        assert any(TOKEN in str(request.headers) for request in private.host.requests), "the host was given it"


def test_a_token_is_not_given_to_a_mirror_elsewhere(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub's token is for GitHub; the git remote is another host, which wants a login."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    shop = make_shop(template, tmp_path, ALL["github"], TOKEN)
    mirror = ALL["git"](shop.sample.remote, token="tok-of-the-mirror-9999")
    shop.sample.git("remote", "set-url", "origin", mirror.git_url)
    error = shop.run("upgrade", "v1.2.10", code=6).err
    assert "user and password" in error
    assert not any("authorization" in request.headers for request in mirror.git_requests)
    monkeypatch.setenv("MIRROR_PASSWORD", "tok-of-the-mirror-9999")
    shop.configure(more="git: {username: me, token_env: MIRROR_PASSWORD}\n")
    shop.run("upgrade", "v1.2.10")
    for host in (shop.host, mirror):
        host.close()


@pytest.mark.parametrize("private", ["github", "git"], indirect=True)
def test_a_users_own_credential_helper_never_sees_the_token(private: Shop, tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\ncat >>{tmp_path}/stored\n")
    helper.chmod(0o755)
    private.sample.git("config", "credential.helper", str(helper))
    private.run("upgrade", "v1.2.10")
    assert not (tmp_path / "stored").exists()


@pytest.mark.parametrize("private", ["git"], indirect=True)
def test_a_password_in_the_remotes_url_is_masked_wherever_it_is_shown(private: Shop) -> None:
    private.configure("  type: git\n")
    url = f"http://user:hunter2-secret@127.0.0.1:{private.host.port}/acme/shop.git"
    private.sample.git("remote", "set-url", "origin", url)
    said = "".join(
        private.run(*words, code=None).text
        for words in (("check", "--force"), ("--json", "check"), ("upgrade", "v1.2.10"), ("log",), ("--json", "status"))
    )
    assert "user:***@127.0.0.1" in said
    assert "hunter2-secret" not in said


def test_a_prompt_never_hangs_a_deployment(template: Path, tmp_path: Path) -> None:
    shop = make_shop(template, tmp_path, ALL["git"])
    shop.host.git_login = (None, "never-told-4711")
    done = subprocess.run(
        ["setsid", "-w", sys.executable, "-m", "gitdeploy", "upgrade", "v1.2.10"],
        cwd=shop.sample.app, env=shop.sample.environment | {"GIT_ASKPASS": "/bin/cat", "DISPLAY": ":9"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 6
    assert "user and password" in done.stderr
    shop.host.close()
