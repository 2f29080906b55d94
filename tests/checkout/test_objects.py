"""GitPython over a checkout: what it reads is what git says, and it does nothing behind our back."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gitdb.base import IStream
from support.checkouts import Checkout
from support.sample import PROJECT

import gitdeploy
from gitdeploy.checkout.history import commits_between, local_commits, read_commits
from gitdeploy.checkout.objects import GitFailed, Objects
from gitdeploy.checkout.objects.library import git
from gitdeploy.errors import ConfigError, GitDeployError, UsageError
from gitdeploy.system.environment import clean_environment


@pytest.fixture
def releases(checkout: Checkout) -> Checkout:
    """v1, and v2 whose branch is checked out."""
    first = checkout.commit({"a.txt": "one\n", "code/b.txt": "b\n"}, tag="v1")
    second = checkout.commit({"a.txt": "two\n", "code/b.txt": "b\n"}, after=first, tag="v2")
    checkout.git("update-ref", "refs/heads/main", second)
    checkout.git("reset", "-q", "--hard")
    checkout.git("remote", "add", "origin", "https://git.example.com/shop.git")
    checkout.git("update-ref", "refs/remotes/origin/main", first)
    return checkout


@pytest.fixture
def repo(releases: Checkout) -> Iterator[Objects]:
    with closing(Objects(releases.repository)) as found:
        yield found


def paths_of(tree: git.Tree) -> list[str]:
    """Everything below TREE, as GitPython walks it."""
    found: list[str] = []
    for item in tree.traverse():
        assert isinstance(item, git.Tree | git.Blob)
        found.append(str(item.path))
    return found


def test_what_scripts_want_of_it(releases: Checkout, repo: Objects) -> None:
    releases.git("tag", "-a", "-m", "what is new", "v3", "v2")
    assert [commit.hexsha for commit in repo.iter_commits("v1..HEAD")] == [releases.git("rev-parse", "v2")]
    assert repo.head.reference.name == repo.active_branch.name == "main"
    assert repo.head.commit == repo.heads["main"].commit == repo.tags["v2"].commit
    assert [reference.name for reference in repo.remote().refs] == ["origin/main"]
    assert (repo.tag("v3").tag.message, repo.tag("v3").tag.tagger.name) == ("what is new", "Test")  # type: ignore[union-attr]
    assert repo.commit("v1").tree["code/b.txt"].data_stream.read() == b"b\n"
    assert paths_of(repo.tree("v1")) == ["a.txt", "code", "code/b.txt"]
    assert [repo.rev_parse(name).path for name in ("v1:code/b.txt", "v1:code", "v1^{tree}")] == [
        "code/b.txt",
        "code",
        "",
    ]
    assert [change.b_path for change in repo.commit("v1").diff("v2")] == ["a.txt"]
    assert (repo.is_dirty(), repo.untracked_files, list(repo.submodules)) == (False, [], [])
    assert [list(remote.urls) for remote in repo.remotes] == [["https://git.example.com/shop.git"]]
    assert repo.git.describe("--tags", "v1") == "v1"
    with pytest.raises(git.BadName):
        repo.commit("v9")
    with pytest.raises(ValueError, match="no remote"):
        repo.remote("elsewhere")


def test_it_has_what_a_repo_has(releases: Checkout, repo: Objects) -> None:
    """Its own constructor sets each attribute that GitPython's does."""
    with git.Repo(releases.root) as theirs:
        assert vars(theirs).keys() <= vars(repo).keys()
        ours = {name: getattr(repo, name) for name in ("git_dir", "working_dir", "working_tree_dir", "bare")}
        assert ours == {name: getattr(theirs, name) for name in ours}


def test_an_object_is_stored_by_git(repo: Objects) -> None:
    stored = repo.odb.store(IStream("blob", 3, io.BytesIO(b"abc")))
    assert repo.git.cat_file("blob", stored.binsha.hex()) == "abc"


def test_only_one_module_imports_gitpython() -> None:
    """All others take it from there, or it would look for git."""
    package = Path(gitdeploy.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "git" in imported(ast.parse(path.read_text()))
    }
    assert found == {"checkout/objects/library.py"}


def imported(node: ast.AST) -> Iterator[str]:
    """Packages that are imported when the program runs."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


# ---- traps: what the environment says ----


def test_variables_of_git_do_not_lead_it_elsewhere(
    releases: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", other], check=True)
    for name, place in (
        ("GIT_DIR", ".git"),
        ("GIT_COMMON_DIR", ".git"),
        ("GIT_OBJECT_DIRECTORY", ".git/objects"),
        ("GIT_INDEX_FILE", "index"),
        ("GIT_WORK_TREE", "."),
    ):
        monkeypatch.setenv(name, str(other / place))
    with closing(Objects(releases.repository)) as repo:
        assert repo.working_dir == str(releases.root)
        assert repo.head.commit.tree["a.txt"].data_stream.read() == b"two\n"
        assert repo.git.rev_parse("--absolute-git-dir") == str(releases.root / ".git")
        assert repo.git.rev_parse("--git-path", "objects").endswith(f"{releases.root}/.git/objects")
        assert not repo.is_dirty()


def test_no_variable_or_token_of_the_caller_reaches_git(repo: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "GIT_SSH_COMMAND", "GIT_CONFIG_PARAMETERS", "PYTHONPATH", "APP_SECRET"):
        monkeypatch.setenv(name, "from-the-caller")
    printed = repo.git(c="alias.variables=!env").variables()
    assert "GIT_OPTIONAL_LOCKS=0" in printed
    assert "from-the-caller" not in printed
    with repo.git.custom_environment(ASKED_FOR="yes"):
        assert "ASKED_FOR=yes" in repo.git(c="alias.variables=!env").variables()


IMPORTS = """
import json, os, sys
started, before = [], dict(os.environ)
def note(event, arguments):
    if event == 'subprocess.Popen':
        started.append(str(arguments[0]))
    elif event in ('os.system', 'os.fork', 'os.posix_spawn', 'os.exec'):
        started.append(event)
sys.addaudithook(note)
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.objects import Objects
repo = Objects(Repository.open(__import__('pathlib').Path(sys.argv[1])))
print(json.dumps([started, dict(os.environ) == before]))
"""


@pytest.mark.parametrize(
    "told", [{}, {"GIT_PYTHON_GIT_EXECUTABLE": "/elsewhere/git", "GIT_PYTHON_REFRESH": "nonsense"}]
)
def test_importing_it_runs_nothing_and_leaves_the_environment_alone(
    releases: Checkout, tmp_path: Path, told: dict[str, str]
) -> None:
    trap = tmp_path / "bin/git"
    trap.parent.mkdir()
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    trap.chmod(0o755)
    environment = {**os.environ, "PATH": f"{trap.parent}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT), **told}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, str(releases.root)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [[os.devnull], True]  # which can't be executed
    assert not (tmp_path / "was-run").exists()


def test_a_variable_that_goes_meanwhile_is_no_matter_to_other_threads() -> None:
    """The import sets two and deletes them, while other threads start children."""
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            os.environ["GIT_PYTHON_REFRESH"] = "quiet"
            del os.environ["GIT_PYTHON_REFRESH"]

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(3000):
            clean_environment()
    finally:
        done.set()
        other.join()


# ---- traps: how git is run ----


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(repo: Objects, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with pytest.raises(GitFailed, match="still running"):
        repo.git(c=f"alias.slow=!sleep 2; touch {left}").slow(kill_after_timeout=0.3)
    process = repo.git(c="alias.slow=!sleep 30").slow(kill_after_timeout=0.3, as_process=True)
    with pytest.raises(GitFailed, match=r"git slow failed \(still running"):
        process.wait()
    subprocess.run(["sleep", "2"], check=True)
    assert not left.exists()


def test_a_command_has_a_session_of_its_own(repo: Objects) -> None:
    printed = repo.git(c="alias.session=!cat /proc/self/stat").session()
    assert int(printed.rpartition(")")[2].split()[3]) != os.getsid(0)


def test_a_failure_is_an_error_of_both(repo: Objects) -> None:
    for kind in (git.GitCommandError, GitDeployError):
        with pytest.raises(kind, match="git rev-parse failed"):
            repo.git.rev_parse("--verify", "v9^{commit}")
    with pytest.raises(GitDeployError):
        list(repo.iter_commits("v9..HEAD"))
    assert repo.git.rev_parse("--verify", "-q", "v9", with_exceptions=False) == ""
    status, out, _ = repo.git.rev_parse("--verify", "-q", "v9", with_exceptions=False, with_extended_output=True)
    assert (status, out) == (1, "")


@pytest.mark.parametrize("asked", [{"command": "git status"}, {"command": ["git", "status"], "shell": True}])
def test_no_shell_is_started(repo: Objects, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="shell"):
        repo.git.execute(**asked)


def test_many_reads_start_two_children(releases: Checkout) -> None:
    program = (
        "import sys; started = []\n"
        "sys.addaudithook(lambda e, a: started.append(a[1]) if e == 'subprocess.Popen' and a[0] != '/dev/null' else None)\n"
        "from pathlib import Path\n"
        "from gitdeploy.checkout.git import Repository\n"
        "from gitdeploy.checkout.objects import Objects\n"
        f"repo = Objects(Repository.open(Path({str(releases.root)!r})))\n"
        "for _ in range(20):\n"
        "    for name in ('v1', 'v2'): repo.commit(name).tree['code/b.txt'].data_stream.read()\n"
        "print(sorted(words[-1] for words in started if 'version' not in words))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "['--batch', '--batch-check']\n"


# ---- traps: names ----


def test_names_that_are_not_utf8_are_read(releases: Checkout) -> None:
    name = b"caf\xe9"
    third = releases.commit({name: "x\n", b"d\xe9/f": "y\n", "a.txt": "two\n"}, after=releases.git("rev-parse", "HEAD"))
    for kind in ("tags", "heads", "remotes/origin"):
        subprocess.run(["git", "update-ref", f"refs/{kind}/".encode() + name, third], cwd=releases.root, check=True)
    releases.git("config", "--file", ".git/config", "shop.owner", os.fsdecode(name))
    for packed in (False, True):
        if packed:
            releases.git("pack-refs", "--all")
        with closing(Objects(releases.repository)) as repo:
            shown = os.fsdecode(name)
            assert repo.tags[shown].commit.hexsha == repo.heads[shown].commit.hexsha == third
            assert f"origin/{shown}" in [reference.name for reference in repo.remote().refs]
            assert len(repo.references) == 7
            paths = set(paths_of(repo.commit(third).tree))
            assert {shown, f"{os.fsdecode(b'd' + name[-1:])}/f"} <= paths
            assert repo.commit(third).tree[shown].data_stream.read() == b"x\n"
            assert {"caf\N{REPLACEMENT CHARACTER}", "d\N{REPLACEMENT CHARACTER}/f"} <= {
                change.b_path for change in repo.commit("v2").diff(third)
            }
            assert shown in repo.git.ls_tree("-z", third)
            assert repo.config_reader().get_value("shop", "owner")
            assert [remote.name for remote in repo.remotes] == ["origin"]


# ---- traps: what is written ----

WRITES: dict[str, Callable[[Any], object]] = {
    "HEAD to a branch": lambda repo: setattr(repo.head, "reference", repo.heads["main"]),
    "HEAD to a commit": lambda repo: repo.head.set_reference("v1"),
    "HEAD's commit": lambda repo: setattr(repo.head, "commit", "v1"),
    "a branch": lambda repo: repo.heads["main"].set_commit("v1"),
    "the active branch": lambda repo: repo.active_branch.set_object("v1"),
    "a remote's branch": lambda repo: repo.remote().refs[0].set_object("v2"),
    "a tag": lambda repo: repo.tags["v1"].set_object("v2"),
    "a new branch": lambda repo: repo.create_head("other", "v1"),
    "a new one of its kind": lambda repo: type(repo.heads["main"]).create(repo, "other", "v1"),
    "no tag": lambda repo: type(repo.tags["v1"]).delete(repo, "v1"),
    "another name": lambda repo: repo.heads["main"].rename("other"),
    "a reflog": lambda repo: repo.head.log_append(b"\0" * 20, "x"),
    "a setting": lambda repo: repo.config_writer().set_value("user", "name", "x"),
    "a remote's setting": lambda repo: repo.remote().config_writer,
    "the index": lambda repo: repo.index.write(),
    "a file in the index": lambda repo: repo.index.add(["a.txt"]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_would_not_be_synced_is_refused(releases: Checkout, repo: Objects, write: Callable[[Any], object]) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (releases.root / ".git").rglob("*") if path.is_file()}

    before = state()
    with pytest.raises(UsageError) as refused:
        write(repo)
    assert refused.value.hint
    assert state() == before


def test_git_itself_may_be_asked_to_write(releases: Checkout, repo: Objects) -> None:
    repo.git.update_ref("refs/heads/other", "v1")
    assert releases.git("rev-parse", "other") == releases.git("rev-parse", "v1")


# ---- settings ----


def test_settings_are_those_that_git_has(releases: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "shop.quoted": 'a "b" \\ c',
        "shop.hash": "one # two; three",
        "shop.lines": "one\ntwo",
        "shop.sub.x.y": "z",
    }
    for name, value in values.items():
        releases.git("config", name, value)
    (tmp_path / "included").write_text("[shop]\n\tincluded = yes\n")
    releases.git("config", "include.path", str(tmp_path / "included"))
    (tmp_path / "global").write_text("[shop]\n\tglobally\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    with closing(Objects(releases.repository)) as repo:
        found = repo.config_reader()
        assert found.get("shop", "quoted") == values["shop.quoted"]
        assert found.get("shop", "hash") == values["shop.hash"]
        assert found.get("shop", "lines") == values["shop.lines"]
        assert found.get('shop "sub.x"', "y") == "z"
        assert found.getboolean("shop", "included")
        assert found.getboolean("shop", "globally")
        assert not found.has_option(
            "core", "hookspath"
        )  # what gitdeploy sets on its own command lines is not a setting


# ---- history ----

COMMITS = {
    "plain": (b"", b"A U Thor <a@example.com>", b"Subject\n\nBody\n"),
    "no message": (b"", b"A <a@example.com>", b""),
    "a subject of two lines": (b"", b"A <a@example.com>", b"\n\nFirst\nsecond\n\nBody\n"),
    "Latin-1": (b"encoding ISO-8859-1\n", b"Ren\xe9 <a@example.com>", b"Caf\xe9\n"),
    "GBK": (b"encoding gbk\n", "李 <a@example.com>".encode("gbk"), "修复\n".encode("gbk")),
    "an encoding that Python hasn't": (b"encoding x-no-such-thing\n", b"A <a@example.com>", b"Subject\n"),
    "an encoding that isn't said": (b"", b"Ren\xe9 <a@example.com>", b"Caf\xe9\n"),
    "no name": (b"", b" <a@example.com>", b"Subject\n"),
    "no address": (b"", b"A <>", b"Subject\n"),
    "signed": (b"gpgsig -----BEGIN\n abc\n -----END\n", b"A <a@example.com>", b"Subject\n"),
    "a terminal's codes": (b"", b"A\x1b[31m <a@example.com>", b"Sub\x1b[2Jject\n"),
}


def made(checkout: Checkout, headers: bytes, author: bytes, message: bytes, when: bytes = b"1700000000 +0545") -> str:
    tree = checkout.git("mktree", stdin=b"")
    identity = author + b" " + when
    raw = b"tree %s\nauthor %s\ncommitter %s\n%s\n%s" % (tree.encode(), identity, identity, headers, message)
    return checkout.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)


@pytest.mark.parametrize("kind", COMMITS)
def test_a_commit_reads_as_git_shows_it(checkout: Checkout, kind: str) -> None:
    commit = made(checkout, *COMMITS[kind])
    shown = checkout.git("-c", "i18n.logOutputEncoding=UTF-8", "show", "-s", "--format=%s%x00%an", commit)
    subject, author = (re.sub("[\udc80-\udcff]", "\N{REPLACEMENT CHARACTER}", text) for text in shown.split("\0"))
    (read,) = read_commits(checkout.repository, [commit])
    assert "\x1b" not in read.subject + read.author
    if "\x1b" not in shown:
        assert (read.subject, read.author) == (subject, author)
    assert read.date == "2023-11-15T03:58:20+05:45"


@pytest.mark.parametrize("when", [b"99999999999999 +0000", b"-5 +0000", b"1700000000 +9999", b"never", b""])
def test_a_date_that_is_none_hides_nothing(checkout: Checkout, when: bytes) -> None:
    commit = made(checkout, b"", b"A <a@example.com>", b"Subject\n", when)
    (read,) = read_commits(checkout.repository, [commit])
    assert (read.id, read.subject) == (commit, "Subject")


def test_history_is_counted_whole_and_read_so_far(checkout: Checkout) -> None:
    commits: list[str] = []
    for number in range(6):
        commits.append(checkout.commit({"a.txt": f"{number}\n"}, after=commits[-1] if commits else None))
    found = commits_between(checkout.repository, commits[0], commits[-1], most=3)
    assert (found.count, list(found.ids)) == (5, commits[:2:-1])
    assert [commit.id for commit in found.commits] == commits[:2:-1]
    none = commits_between(checkout.repository, commits[0], commits[0])
    assert (none.count, none.commits) == (0, [])


def test_commits_made_here_are_those_that_nobody_else_has(releases: Checkout) -> None:
    mine = made(releases, b"", b"A <a@example.com>", b"By hand\n")
    assert [commit.subject for commit in local_commits(releases.repository, mine)] == ["By hand"]
    assert local_commits(releases.repository, releases.git("rev-parse", "v2")) == []
    assert local_commits(releases.repository, mine, mine) == []


def test_a_repository_with_sha256_ids_has_a_history_and_no_gitpython(tmp_path: Path) -> None:
    root = tmp_path / "app"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", root], check=True)
    checkout = Checkout(root)
    first = made(checkout, *COMMITS["plain"])
    second = made(checkout, b"", b"A <a@example.com>", b"On this server\n")
    assert [commit.subject for commit in read_commits(checkout.repository, [first, second])] == [
        "Subject",
        "On this server",
    ]
    assert [commit.id for commit in local_commits(checkout.repository, second, first)] == [second]
    with pytest.raises(ConfigError, match="SHA-256"):
        Objects(checkout.repository)


def test_a_damaged_object_is_an_error_that_names_it(releases: Checkout) -> None:
    commit = made(releases, *COMMITS["plain"])
    file = releases.root / ".git/objects" / commit[:2] / commit[2:]
    file.chmod(0o600)
    file.write_bytes(b"damaged")
    with pytest.raises(GitDeployError, match=commit[:12]):
        read_commits(releases.repository, [commit])


def test_threads_share_one(releases: Checkout, repo: Objects) -> None:
    with ThreadPoolExecutor(4) as threads:
        read = threads.map(lambda number: repo.commit(f"v{number % 2 + 1}").tree["a.txt"].data_stream.read(), range(80))
        assert set(read) == {b"one\n", b"two\n"}
