"""Logins that stand in git's own settings, remotes of other owners, partial clones, old faults: whether a fetch works."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.plain import PlainGit
from support.sample import differences

from gitdeploy import App
from gitdeploy.checkout.login import login_of_url, without_passwords
from gitdeploy.errors import GitDeployError
from gitdeploy.text import redact
from sources.conftest import TOKEN, TOKEN_VARIABLE, Shop, make_shop

GIT = f"git: {{username: deploy, token_env: {TOKEN_VARIABLE}}}\n"
STALE = "AUTHORIZATION: basic " + base64.b64encode(b"x-access-token:expired").decode()


@pytest.fixture
def private(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A private repository, asked with the right token; ~/.gitconfig is this test's own."""
    shop = make_shop(template, tmp_path, PlainGit, TOKEN)
    shop.host.git_login = ("deploy", TOKEN)
    shop.sample.git("remote", "set-url", "origin", shop.host.git_url)
    shop.configure("  type: git\n", more=GIT)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    shop.sample.extra_environment = {TOKEN_VARIABLE: TOKEN, "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    yield shop
    shop.host.close()


def stale_header(shop: Shop, name: str, *scope: str) -> None:
    shop.sample.git("config", *scope, name.format(host=shop.host.origin, url=shop.host.git_url), STALE)


HEADERS = {
    "of all": ("http.extraheader",),
    "of the host": ("http.{host}/.extraheader",),
    "of the repository": ("http.{url}.extraheader",),
    "of the user": ("http.{host}/.extraheader", "--global"),
}


@pytest.mark.parametrize("where", HEADERS.values(), ids=HEADERS)
def test_our_login_counts_before_a_stale_header(private: Shop, where: tuple[str, ...]) -> None:
    stale_header(private, *where)
    name = where[0].format(host=private.host.origin, url=private.host.git_url)
    private.sample.git("config", *where[1:], "--add", name, "X-Tenant: shop")
    private.run("upgrade", "v1.2.10")
    sent = [request.headers for request in private.host.git_requests if request.status == 200]
    assert all(headers.get("authorization", "") != STALE for headers in sent)
    assert sent[-1]["x-tenant"] == "shop"


def test_our_login_counts_before_a_stale_password_in_the_url(private: Shop) -> None:
    url = private.host.git_url.replace("http://", "http://deploy:expired=1@")
    private.sample.git("remote", "set-url", "origin", url)
    private.run("upgrade", "v1.2.10")
    assert private.sample.git("remote", "get-url", "origin") == url


@pytest.mark.parametrize("where", HEADERS.values(), ids=HEADERS)
def test_without_a_login_of_ours_the_setting_is_named_and_the_hint_removes_it(
    private: Shop, where: tuple[str, ...]
) -> None:
    private.host.git_login = None  # a public repository, whose host refuses a wrong login all the same
    private.host.refused_login = STALE
    private.configure("  type: git\n")
    stale_header(private, *where)
    done = private.run("upgrade", "v1.2.10", code=6)
    assert "git sends the login that stands in http." in done.err
    hint = re.search(r"git config .*", done.err)
    assert hint is not None
    subprocess.run(["sh", "-c", hint[0]], cwd=private.sample.app, env=private.sample.environment, check=True)
    private.run("upgrade", "v1.2.10")


def test_a_refused_password_of_the_url_is_named_and_the_hint_removes_it(private: Shop) -> None:
    private.configure("  type: git\n")
    url = private.host.git_url.replace("http://", "http://deploy:expired@")
    private.sample.git("remote", "set-url", "origin", url)
    done = private.run("upgrade", "v1.2.10", code=6)
    assert "git sends the password that stands in the URL of origin" in done.err
    assert "expired" not in done.err
    hint = re.search(r"git remote set-url .*", done.err)
    assert hint is not None
    subprocess.run(["sh", "-c", hint[0]], cwd=private.sample.app, check=True)
    private.host.git_login = None
    private.run("upgrade", "v1.2.10")


# Where a password may stand (`source.remote` takes none): settings of the checkout, and of the user.
PLACES = {
    "the remote's URL": (("remote.origin.url", "{full}"), None),
    "a URL that the user rewrites": (("remote.origin.url", "{bare}"), ("url.{user}.insteadOf", "{host}/")),
}


@pytest.mark.parametrize(("own", "users"), PLACES.values(), ids=PLACES)
def test_a_password_in_a_url_stands_in_no_command_line(
    private: Shop, tmp_path: Path, own: tuple[str, str], users: tuple[str, str] | None
) -> None:
    password = "pa@ss/w%rd"
    private.host.git_login = ("deploy", password)
    bare = private.host.git_url
    words = {"bare": bare, "host": private.host.origin}
    words["full"] = bare.replace("http://", "http://deploy:pa%40ss%2Fw%25rd@")
    words["user"] = words["host"].replace("http://", "http://deploy:pa%40ss%2Fw%25rd@") + "/"
    private.sample.git("config", *(word.format(**words) for word in own))
    if users is not None:
        private.sample.git("config", "--global", *(word.format(**words) for word in users))
    private.configure("  type: git\n")
    traced = tmp_path / "commands"
    private.sample.git("config", "--global", "trace2.normalTarget", str(traced))
    private.run("upgrade", "v1.2.10")
    commands = traced.read_text()
    assert "remote-http" in commands, "git started its helper, and the trace says how"
    helpers = [line for line in commands.splitlines() if "remote-http" in line or " fetch " in line]
    assert helpers
    assert not [line for line in helpers if "pa%40ss" in line or "REDACTED" in line or "pa@ss" in line]
    sent = [request for request in private.host.git_requests if request.status == 200]
    assert sent, "and yet it was let in"


@pytest.mark.parametrize("login", ["deploy:a%0ahost%3Devil.example", "deploy%0ahost%3Devil.example:a", "deploy:a%00b"])
def test_a_login_of_several_lines_is_none(login: str) -> None:
    """It would tell git more than a password: which host it is for."""
    url = f"https://{login}@git.example.com/shop.git"
    assert login_of_url({"remote.origin.url": [url]}, "origin") is None
    assert login_of_url({}, "https://deploy:a%20b@h/x.git") == ("deploy", "a b", "https://h/x.git")


def test_a_url_of_a_release_masks_no_word_of_ours() -> None:
    for password in ("Refused", "gitdeploy", "v1.1.0"):
        without_passwords({}, f"https://u:{password}@git.example.com/lib.git")
        assert redact(f"{password}: x") == f"{password}: x"
    without_passwords({}, "https://u:real-Passw0rd@git.example.com/lib.git")
    assert redact("it is real-Passw0rd.") == "it is ***."


def test_doctor_names_a_password_in_a_url_and_the_hint_removes_it(private: Shop) -> None:
    private.sample.git(
        "remote", "set-url", "origin", private.host.git_url.replace("http://", f"http://deploy:{TOKEN}@")
    )
    found = private.run("doctor")
    assert "The URL of the remote origin holds a password." in found.out
    assert TOKEN not in found.out
    hint = re.search(r"git remote set-url \S+ \S+", found.out.replace("\n", " "))
    assert hint is not None
    subprocess.run(["sh", "-c", hint[0]], cwd=private.sample.app, check=True)
    assert private.sample.git("remote", "get-url", "origin") == private.host.git_url
    assert "holds a password" not in private.run("doctor").out
    private.run("upgrade", "v1.2.10")


def test_addresses_that_the_user_has_git_rewrite(private: Shop) -> None:
    """Of a remote and of a bare URL; the login goes to the host that is asked."""
    private.sample.git("config", "--global", f"url.{private.host.origin}/.insteadOf", "shop:")
    private.sample.git("config", "--global", f"url.{private.host.origin}/.insteadOf", "https://git.example.com/")
    private.sample.git("remote", "set-url", "origin", "https://git.example.com/acme/shop.git")
    private.run("upgrade", "v1.2.10")
    private.configure("  type: git\n  remote: https://git.example.com/acme/shop.git\n", more=GIT)
    private.run("upgrade", "v1.2.9.1", "--allow-downgrade")


# ---- partial clones ----


@pytest.fixture
def partial(private: Shop) -> Shop:
    """A blobless clone of a private repository, whose login only gitdeploy has."""
    sample = private.sample
    for number in range(30):
        (sample.remote / f"f{number}.py").write_text("one\n")
    tree = {f"f{number}.py": "one\n" for number in range(30)}
    sample.release("v2.0.0", {**tree, "requirements.txt": "a==1\n", ".gitignore": "/deploy.yaml\n"})
    sample.release(
        "v3.0.0", {**dict.fromkeys(tree, "two\n"), "requirements.txt": "a==2\n", ".gitignore": "/deploy.yaml\n"}
    )
    sample.git("config", "uploadpack.allowFilter", "true", cwd=sample.remote)
    text = (sample.app / "deploy.yaml").read_text()
    subprocess.run(["rm", "-rf", sample.app], check=True)
    with_login = private.host.git_url.replace("http://", f"http://deploy:{TOKEN}@")
    sample.git("clone", "-q", "-b", "v2.0.0", "--filter=blob:none", with_login, str(sample.app), cwd=sample.folder)
    sample.git("tag", "-d", "v3.0.0")
    sample.git("remote", "set-url", "origin", private.host.git_url)
    (sample.app / "deploy.yaml").write_text(text)
    private.host.git_requests.clear()
    return private


def test_a_partial_clone_gets_what_it_has_left_out_in_one_go(partial: Shop) -> None:
    before = partial.sample.state()
    partial.run("plan", "v3.0.0")
    partial.run("upgrade", "v3.0.0")
    assert (partial.sample.app / "f7.py").read_text() == "two\n"
    assert partial.sample.git("status", "--porcelain") == ""
    assert len(partial.host.git_requests) < 40, "one request for each of 30 files is what git does by itself"
    partial.host.git_login = ("nobody", "never")
    partial.run("rollback", "--yes")
    assert differences(before, partial.sample.state()) == []


def test_what_a_partial_clone_has_left_out_and_cannot_get_is_an_error(partial: Shop) -> None:
    """`requirements.txt` that can't be fetched is not one that isn't there."""
    partial.run("plan", "v3.0.0")
    sample = partial.sample
    sample.git(
        "fetch",
        "-q",
        partial.host.git_url.replace("http://", f"http://deploy:{TOKEN}@"),
        "--filter=blob:none",
        "tag",
        "v3.0.0",
    )
    for promisor in (sample.app / ".git/objects/pack").glob("*.promisor"):
        assert promisor.exists()
    commit = sample.release("v4.0.0", {"requirements.txt": "a==4\n", ".gitignore": "/deploy.yaml\n"})
    sample.git(
        "fetch",
        "-q",
        partial.host.git_url.replace("http://", f"http://deploy:{TOKEN}@"),
        "--filter=blob:none",
        "tag",
        "v4.0.0",
    )
    partial.host.git_login = ("nobody", "never")
    with pytest.raises(GitDeployError, match="left it out"):
        App.open(sample.app).site.repository.read_blob(commit, "requirements.txt")
    done = partial.run("upgrade", "v4.0.0", code=None)
    assert done.code in (1, 6)
    assert "did not foresee" not in done.err


# ---- a remote on this server ----


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give the remote to another user")
@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_a_remote_of_another_owner_is_one_sentence_with_the_cure(private: Shop, form: str) -> None:
    sample = private.sample
    private.configure("  type: git\n")
    sample.git("remote", "set-url", "origin", form.format(sample.remote))
    subprocess.run(["chown", "-R", "12345:12345", sample.remote], check=True)
    done = private.run("check", "--force", code=6)
    assert "belongs to another user" in done.err
    assert "dubious" not in done.err
    hint = re.search(r"git config --global .*", done.err)
    assert hint is not None
    subprocess.run(["sh", "-c", hint[0]], cwd=sample.app, env=sample.environment, check=True)
    private.run("check", "--force")


# ---- old faults ----

HARMLESS = {
    "badTimezone": "author a <a@example.com> 1313584730 +051800\ncommitter a <a@example.com> 1313584730 +051800\n",
    "missingSpaceBeforeEmail": "author a<a@example.com> 1313584730 +0000\ncommitter a <a@example.com> 1313584730 +0000\n",
    "zeroPaddedDate": "author a <a@example.com> 0313584730 +0000\ncommitter a <a@example.com> 1313584730 +0000\n",
}


def an_old_branch(shop: Shop, lines: str, tree: str | None = None) -> None:
    """v2.0.0 merges a branch of which the checkout knows nothing; one commit of it has a fault."""
    remote = shop.sample.remote

    def git(*words: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(["git", *words], cwd=remote, input=stdin, capture_output=True, check=True)
        return done.stdout.decode().strip()

    own = tree or git("rev-parse", "v1.2.9^{tree}")
    text = f"tree {own}\nparent {git('rev-parse', 'v1.2.9^{commit}')}\n{lines}\nold work\n"
    bad = git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text.encode())
    words = ("-p", "v1.2.10^{commit}", "-p", bad, "-m", "merge")
    merged = git("commit-tree", "v1.2.10^{tree}", *words)
    git("tag", "v2.0.0", merged)


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_fault_of_old_history_is_a_warning(private: Shop, fault: str) -> None:
    an_old_branch(private, HARMLESS[fault])
    assert fault in private.run("plan", "v2.0.0").text
    private.run("upgrade", "v2.0.0")


def test_zero_padded_modes_are_a_warning(private: Shop) -> None:
    remote = private.sample.remote
    blob = private.sample.git("rev-parse", "v1.2.9:VERSION", cwd=remote)
    content = b"0100644 VERSION\0" + bytes.fromhex(blob)
    words = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    tree = subprocess.run(words, cwd=remote, input=content, capture_output=True, check=True).stdout.decode().strip()
    an_old_branch(private, HARMLESS["badTimezone"].replace("051800", "0000"), tree)
    private.run("upgrade", "v2.0.0")


def test_a_dangerous_one_is_refused_whatever_is_set(private: Shop) -> None:
    remote = private.sample.remote
    blob = private.sample.git("rev-parse", "v1.2.9:VERSION", cwd=remote)
    content = b"100644 .git\0" + bytes.fromhex(blob)
    words = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    tree = subprocess.run(words, cwd=remote, input=content, capture_output=True, check=True).stdout.decode().strip()
    an_old_branch(private, HARMLESS["badTimezone"].replace("051800", "0000"), tree)
    for setting in ("fetch.fsckObjects", "transfer.fsckObjects"):
        private.sample.git("config", setting, "false")
    private.sample.git("config", "fetch.fsck.hasDotgit", "ignore")
    done = private.run("upgrade", "v2.0.0", code=7)
    assert "hasDotgit" in done.err
