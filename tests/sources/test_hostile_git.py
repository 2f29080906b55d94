"""Hostile tags, objects, remotes and environments: git is never led to run, fetch or wait for what nobody asked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import ALL
from support.sample import differences

from gitdeploy.checkout import remote as remotes
from gitdeploy.errors import SourceError
from sources.conftest import Shop, make_shop, tree


@pytest.fixture
def plain(template: Path, tmp_path: Path) -> Iterator[Shop]:
    """The app at a plain git server over HTTP."""
    shop = make_shop(template, tmp_path, ALL["git"])
    yield shop
    shop.host.close()


def refused(shop: Shop, *words: str, code: tuple[int, ...], says: str) -> str:
    before = shop.sample.state()
    done = shop.run(*words, code=None)
    assert done.code in code, done.text
    assert says.lower() in done.err.lower(), done.err
    assert differences(before, shop.sample.state()) == []
    return done.err


# ---- tags ----


def test_a_branch_named_like_the_tag_is_not_taken_for_it(plain: Shop) -> None:
    plain.sample.git("branch", "v1.2.10", "v1.2.9", cwd=plain.sample.remote)
    plain.sample.git("branch", "v1.2.10", "v1.2.9")
    plain.run("upgrade", "v1.2.10")
    wanted = plain.sample.git("rev-parse", "refs/tags/v1.2.10^{commit}", cwd=plain.sample.remote)
    assert plain.sample.git("rev-parse", "HEAD") == wanted


def test_a_tag_named_like_a_commit_is_never_chosen_and_refused_by_name(plain: Shop) -> None:
    old, new = (
        plain.sample.git("rev-parse", f"{tag}^{{commit}}", cwd=plain.sample.remote) for tag in ("v1.2.9", "v1.2.10")
    )
    plain.sample.git("update-ref", f"refs/tags/{old}", new, cwd=plain.sample.remote)
    refused(plain, "upgrade", old, code=(2,), says="looks like an object id")
    assert plain.check().latest_tag == "v1.2.10"


def test_a_tag_of_a_tag_leads_to_its_commit(plain: Shop) -> None:
    plain.sample.git("tag", "-a", "-m", "again", "v1.4.0", "v1.2.10", cwd=plain.sample.remote)
    plain.run("upgrade", "v1.4.0")
    assert (plain.sample.app / "VERSION").read_text() == "v1.2.10"


@pytest.mark.parametrize("what", ["v1.2.10^{tree}", "v1.2.10:VERSION"])
def test_a_tag_that_leads_to_no_commit(plain: Shop, what: str) -> None:
    plain.sample.git("tag", "v1.5.0", what, cwd=plain.sample.remote)
    refused(plain, "upgrade", "v1.5.0", code=(1, 6, 7), says="v1.5.0")


def test_a_tag_object_with_a_wrong_type_is_no_crash(plain: Shop) -> None:
    remote = plain.sample.remote
    blob = plain.sample.git("rev-parse", "v1.2.10:VERSION", cwd=remote)
    text = f"object {blob}\ntype commit\ntag v1.6.0\ntagger T <t@t> 1700000000 +0000\n\nx\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"], cwd=remote, input=text.encode(), capture_output=True
    )  # fmt: skip
    (remote / ".git/refs/tags/v1.6.0").write_bytes(made.stdout)
    refused(plain, "upgrade", "v1.6.0", code=(1, 6, 7), says="origin")


@pytest.mark.parametrize("tag", ["--upload-pack=touch pwned", "-x", "v1.2.10\n", "refs/tags/v1.2.10", "v1.2.10^{}", "HEAD", "a..b", "v" + "1" * 200])  # fmt: skip
def test_a_tag_that_is_an_option_a_ref_or_a_trick(plain: Shop, tag: str, tmp_path: Path) -> None:
    refused(plain, "upgrade", "--", tag, code=(2,), says="can't be a release")
    assert not list(tmp_path.rglob("pwned"))


# ---- objects ----


def plant_tree(shop: Shop, tag: str, *entries: tuple[str, str]) -> None:
    """TAG's tree has entries (mode and name) that no work tree could ever give it."""
    remote = shop.sample.remote
    blob = shop.sample.git("rev-parse", "v1.2.10:VERSION", cwd=remote)
    inner = shop.sample.git("rev-parse", "v1.2.10^{tree}", cwd=remote)
    raw = b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(inner if mode == "40000" else blob) for mode, name in entries
    )
    made = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], cwd=remote, input=raw, capture_output=True, check=True
    )  # fmt: skip
    commit = shop.sample.git("commit-tree", "-m", tag, made.stdout.decode().strip(), cwd=remote)
    shop.sample.git("tag", tag, commit, cwd=remote)


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", "..", ".g\u200cit"])
def test_a_tree_that_would_write_into_git(plain: Shop, name: str) -> None:
    plant_tree(plain, "v3.0.0", ("40000", name))
    refused(plain, "upgrade", "v3.0.0", code=(1, 6, 7), says="git's own check refuses")


def test_a_gitmodules_that_leads_outside(plain: Shop) -> None:
    plain.sample.release(
        "v3.0.0", {**tree("3"), ".gitmodules": '[submodule "../../x"]\n\tpath = x\n\turl = https://example.com/x\n'}
    )
    refused(plain, "upgrade", "v3.0.0", code=(1, 6, 7), says="git's own check refuses")


# ---- remotes ----


def test_a_remote_that_redirects_elsewhere_is_not_followed(plain: Shop, template: Path) -> None:
    other = ALL["git"](plain.sample.remote)
    plain.host.git_fault = f"login {other.origin}/acme/shop.git/info/refs?service=git-upload-pack"
    error = refused(plain, "upgrade", "v1.2.10", code=(6,), says="redirect")
    assert "git remote set-url" in error
    assert other.git_requests == []
    other.close()


def test_a_remote_that_says_nothing_ends_in_time(plain: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "LOOK_LIMIT", 2.0)
    plain.host.git_fault = "silent"
    with pytest.raises(SourceError, match="gave no answer"):
        plain.check()


@pytest.mark.parametrize("fault", ["cut", "drop", "garbage", "html", "status 500", "status 403", "status 404"])
def test_a_remote_that_misbehaves_is_a_sentence(plain: Shop, fault: str) -> None:
    plain.host.git_fault = fault
    refused(plain, "upgrade", "v1.2.10", code=(6,), says="origin")


@pytest.mark.parametrize("url", ["ext::sh -c 'touch pwned'", "-oProxyCommand=touch pwned", "fd::0", "file::/etc"])
def test_a_remote_url_that_would_run_a_command(plain: Shop, url: str, tmp_path: Path) -> None:
    plain.sample.git("config", "protocol.ext.allow", "always")
    plain.sample.git("config", "remote.origin.url", url)
    refused(plain, "upgrade", "v1.2.10", code=(1, 2, 6), says="")
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("remote", ["ext::touch pwned", "-x", "--upload-pack=x", "https://u:pw@host/x"])
def test_a_configured_remote_that_is_a_trick(plain: Shop, remote: str) -> None:
    plain.configure(f"  type: git\n  remote: '{remote}'\n")
    error = refused(plain, "check", code=(2,), says="source.remote")
    assert "u:pw@" not in error


def test_an_upload_pack_of_the_repositorys_settings_is_not_run_for_a_url_of_ours(plain: Shop, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    evil.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "core.pager",
    ):
        plain.sample.git("config", name, str(evil))
    hooks = plain.sample.app / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "post-merge"):
        (hooks / name).write_text(evil.read_text())
        (hooks / name).chmod(0o755)
    done = plain.run("upgrade", "v1.2.10")
    assert done.code == 0
    assert not (tmp_path / "pwned").exists()


# ---- the environment ----


def test_git_variables_of_the_caller_lead_nowhere(plain: Shop, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    plain.sample.git("init", "-q", str(elsewhere), cwd=tmp_path)
    hostile = {
        "GIT_DIR": str(elsewhere / ".git"),
        "GIT_WORK_TREE": str(elsewhere),
        "GIT_INDEX_FILE": str(elsewhere / "index"),
        "GIT_OBJECT_DIRECTORY": str(elsewhere / ".git/objects"),
        "GIT_EXTERNAL_DIFF": f"touch {tmp_path}/pwned",
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor=touch {tmp_path}/pwned'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {tmp_path}/pwned",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_PROXY_COMMAND": f"touch {tmp_path}/pwned",
        "SUDO_UID": "0",
    }
    plain.run("upgrade", "v1.2.10", env=hostile)
    assert (plain.sample.app / "VERSION").read_text() == "v1.2.10"
    assert os.listdir(elsewhere) == [".git"]
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "trace").exists()


def test_a_git_of_the_working_directory_or_the_venv_is_not_run(plain: Shop, tmp_path: Path) -> None:
    for folder in (plain.sample.app, plain.sample.app / "venv/bin"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
        (folder / "git").chmod(0o755)
    (plain.sample.app / ".git/info/exclude").write_text("/git\n/venv\n")
    plain.run("check", "--force", env={"PATH": f".::{plain.sample.app}/venv/bin:{os.environ['PATH']}"})
    assert not (tmp_path / "pwned").exists()


def test_ssh_never_asks_and_goes_by_the_users_own_host_keys(plain: Shop, tmp_path: Path) -> None:
    """What ssh is started with: BatchMode, and nothing about StrictHostKeyChecking."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\necho "Host key verification failed." >&2\nexit 255\n')
    ssh.chmod(0o755)
    plain.sample.git("remote", "set-url", "origin", "git@git.example.com:acme/shop.git")
    plain.configure("  type: git\n")
    plain.sample.extra_environment["GIT_SSH_COMMAND"] = str(ssh)
    error = refused(plain, "check", code=(6,), says="host key")
    assert "Connect once by hand" in error
    asked = (tmp_path / "asked").read_text()
    assert "BatchMode=yes" in asked
    assert "StrictHostKeyChecking" not in asked
