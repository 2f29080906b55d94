"""The command line: shapes of --json, exit codes, what is on which stream, quiet, verbose, names that are not ASCII."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click import Context, Group
from support.sample import PROJECT, Program, Sample
from support.waiting import wait_until

from gitdeploy.cli import COMMANDS, cli

pytestmark = pytest.mark.xdist_group("command_line")  # one app lives through all of them, in order
SETTINGS = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n"


def tree(version: str, **more: Any) -> dict[str, Any]:
    return {"deploy.yaml": SETTINGS, "VERSION": version, "中文 文件.txt": version, **more}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    sample = Sample(tmp_path_factory.mktemp("cli"), venv=False)
    sample.release("v1.0.0", tree("1.0.0"), message="First\n\nIt begins.")
    sample.release("v1.1.0", tree("1.1.0"), message="Second release\n\n- new things")
    sample.release("v1.2.0", tree("1.2.0", **{"hooks/post-deploy": Program("#!/bin/sh\necho on purpose; exit 9\n")}))
    sample.release("nightly", tree("nightly"))
    sample.install("v1.0.0", branch="main")
    (sample.app / ".env").write_text("APP_VERSION=1.0.0\n")
    return sample


def document(shop: Sample, *words: str, code: int = 0) -> Any:
    done = shop.gitdeploy(*words, "--json", code=code)
    assert done.err == "", "with --json nothing else is said"
    return json.loads(done.out)


def test_a_life_in_json(shop: Sample) -> None:
    """Every command's document, in the order in which an operator meets them."""
    status = document(shop, "status")
    assert {
        "app", "path", "version", "tag", "commit", "branch", "local_changes", "venv", "update_available",
        "last_deployment", "interrupted", "locked_by",
    } <= set(status)  # fmt: skip
    assert (status["version"], status["tag"], status["branch"], status["venv"]) == ("1.0.0", "v1.0.0", "main", None)

    check = document(shop, "check", "--force")
    assert {
        "update_available", "current_version", "latest_version", "latest_tag", "release_name", "release_notes",
        "published_at", "download_url", "tarball_url", "zipball_url", "source", "is_newer", "is_same", "is_older",
        "checked_at", "from_cache",
    } <= set(check)  # fmt: skip
    assert (check["update_available"], check["latest_tag"], check["from_cache"]) == (True, "v1.2.0", False)
    assert document(shop, "check")["from_cache"] is True
    document(shop, "check", "--exit-code", code=100)
    assert document(shop, "status")["update_available"] is True

    releases = document(shop, "releases")
    assert [(row["tag"], row["state"]) for row in releases] == [
        ("v1.2.0", "newer"), ("v1.1.0", "newer"), ("v1.0.0", "live"),
    ]  # fmt: skip
    assert {"tag", "version", "name", "notes", "published_at", "url", "prerelease", "state"} <= set(releases[0])
    assert len(document(shop, "releases", "--limit", "1")) == 1
    assert "nightly" in [row["tag"] for row in document(shop, "releases", "--all")]
    assert document(shop, "releases", "v1.1.0")["tag"] == "v1.1.0"

    plan = document(shop, "plan", "v1.1.0")
    assert {
        "from", "to", "commits", "files", "requirements", "hooks", "service", "disk_needed", "problems",
    } <= set(plan)  # fmt: skip
    assert plan["files"] == {"added": [], "changed": [".env", "VERSION", "中文 文件.txt"], "deleted": []}
    assert document(shop, "upgrade", "v1.1.0", "--dry-run") == plan

    prepared = document(shop, "prepare", "v1.1.0")
    assert prepared["status"] == "succeeded"
    done = document(shop, "upgrade", "v1.1.0")
    assert {
        "id", "action", "status", "from", "to", "backup", "started_at", "duration", "steps", "log", "error",
    } <= set(done)  # fmt: skip
    assert (done["status"], done["to"]["version"], done["error"]) == ("succeeded", "1.1.0", None)
    assert {"name", "status", "duration"} <= set(done["steps"][0])
    assert document(shop, "upgrade", "v1.1.0")["status"] == "nothing_to_do"
    assert (shop.app / ".env").read_text() == "APP_VERSION=1.1.0\n"

    failed = document(shop, "upgrade", "v1.2.0", code=3)
    assert (failed["status"], failed["error"]["exit_code"]) == ("rolled_back", 3)
    assert any("on purpose" in line for line in failed["log"])
    assert any(step["status"] == "undone" for step in failed["steps"])
    refused = document(shop, "upgrade", "--yes", code=7)
    assert "v1.2.0" in refused["error"]["message"], "a release that failed here won't be retried automatically"

    assert {"id", "ref", "version", "tag", "commit", "branch", "created_at", "size", "label", "reason", "holds"} <= set(
        document(shop, "backup", "--label", "mine")
    )
    backups = document(shop, "backups")
    assert backups[0]["label"] == "mine"
    assert document(shop, "restore", done["backup"], "--dry-run")["to"]["version"] == "1.0.0"
    assert document(shop, "rollback", "v1.0.0")["status"] == "succeeded"
    assert document(shop, "recover") == {"status": "nothing_to_do"}

    log = document(shop, "log")
    assert [row["action"] for row in log][:2] == ["rollback", "backup"]
    whole = document(shop, "log", str(failed["id"]))
    assert whole["error"]["exit_code"] == 3
    assert whole["steps"]
    assert whole["log"]

    assert document(shop, "prune", "--dry-run", "--keep", "1")["dry_run"] is True
    document(shop, "lock", "-m", "a freeze")
    assert document(shop, "status")["held"]["message"] == "a freeze"
    assert document(shop, "upgrade", "v1.1.0", code=5)["error"]["kind"] == "locked"
    document(shop, "unlock")
    assert document(shop, "hooks") == []
    assert any(row["key"] == "git.keep" for row in document(shop, "config", "show"))
    assert json.loads(shop.gitdeploy("config", "schema").out)["title"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("upgrade", "--", "-x"), 2), (("restore", "nothing"), 2), (("log", "999"), 2), (("hooks", "run", "sometimes"), 2),
        (("nonsense",), 2), (("upgrade", "v1.1.0", "--merge-local-changes", "--discard-local-changes"), 2),
        (("upgrade", "v9.9.9"), 2), (("-C", "/nowhere", "status"), 2), (("rollback", "v7"), 2),
    ],
)  # fmt: skip
def test_errors_in_json(shop: Sample, words: tuple[str, ...], code: int) -> None:
    done = shop.gitdeploy("--json", *words, code=code)
    error = json.loads(done.out)["error"]
    assert error["exit_code"] == code
    assert error["kind"]
    assert error["message"]


def test_every_command_has_help_with_an_example() -> None:
    for name in COMMANDS:
        command = cli.get_command(Context(cli), name)
        assert command is not None
        for each in (command, *(command.commands.values() if isinstance(command, Group) else ())):
            assert each.help, name
        assert "Example:" in (command.help or ""), name
        assert command.context_settings["help_option_names"] == ["-h", "--help"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shop: Sample, shell: str) -> None:
    assert "_GITDEPLOY_COMPLETE" in shop.gitdeploy("completion", shell).out


def test_results_and_progress_are_on_their_own_streams(shop: Sample) -> None:
    done = shop.gitdeploy("upgrade", "v1.1.0", "--allow-downgrade")
    assert done.out == ""
    assert re.search(
        r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[INFO\] Backup created: \d{8}-\d{6}-v1\.0\.0", done.err, re.MULTILINE
    )
    assert "\x1b" not in done.err
    assert "Undo: gitdeploy rollback" in done.err
    quiet = shop.gitdeploy("-q", "rollback", "v1.0.0")
    assert quiet.text == ""
    failed = shop.gitdeploy("-q", "upgrade", "v1.2.0", code=3)
    assert failed.err.count("Wanted v1.2.0, failed at post-deploy") == 1
    assert "v1.2.0" in failed.err
    assert "won't be retried automatically.  Whole log: gitdeploy log" in failed.err


def test_verbose_shows_what_children_print(shop: Sample) -> None:
    assert "on purpose" in shop.gitdeploy("-v", "upgrade", "v1.2.0", code=3).err


def test_off_a_terminal_nobody_is_asked(shop: Sample) -> None:
    if not any(row["status"] == "succeeded" for row in document(shop, "log")):
        shop.gitdeploy("upgrade", "v1.1.0")
    done = shop.gitdeploy("rollback", code=2)
    assert "--yes" in done.err


def test_names_survive_a_plain_ascii_locale(shop: Sample) -> None:
    done = shop.gitdeploy("plan", "v1.1.0", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert "VERSION" in done.out


def on_terminal(shop: Sample, *words: str, columns: int = 80, typed: bytes = b"", **env: str) -> tuple[int, str]:
    """Run on a pseudo-terminal of so many columns where that is TYPED; its exit code and all that it showed."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitdeploy", *words], cwd=shop.app, stdin=follower, stdout=follower, stderr=follower,
        env={**shop.environment, "TERM": "xterm", "COLUMNS": str(columns), "LANG": "C.UTF-8", **env},
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, typed)
    shown, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([leader], [], [], 1)[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        elif process.poll() is not None:
            break
    os.close(leader)
    return process.wait(30), shown.decode("utf-8", "replace")


@pytest.mark.parametrize("columns", [0, 20, 80, 120])
def test_on_a_terminal_each_step_has_its_line_and_time(shop: Sample, columns: int) -> None:
    code, shown = on_terminal(shop, "upgrade", "v1.1.0", columns=columns)
    assert code == 0, shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for step in ("fetch", "preflight", "backup", "stage", "switch"):
        assert re.search(rf"✓ {step}", plain), plain
    assert "shop is on v1.1.0." in plain.replace("\r\n", " ") or columns <= 20
    shop.gitdeploy("-q", "restore", "latest")


def test_no_color(shop: Sample) -> None:
    _, shown = on_terminal(shop, "upgrade", "v1.1.0", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
    shop.gitdeploy("-q", "restore", "latest")


def test_a_terminal_asks_before_a_rollback(shop: Sample, tmp_path: Path) -> None:
    shop.gitdeploy("-q", "upgrade", "v1.1.0")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitdeploy", "rollback"], cwd=shop.app, stdin=follower, stdout=follower, stderr=follower,
        env={**shop.environment, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, b"n\n")
    assert process.wait(60) == 1
    os.close(leader)
    assert (shop.app / "VERSION").read_text() == "1.1.0"
    shop.gitdeploy("-q", "rollback", "--yes")


def test_a_terminal_asks_before_unexpectedly_much_is_copied_and_nobody_else_is_held_up(
    shop: Sample, tmp_path: Path
) -> None:
    settings = tmp_path / "deploy.yaml"
    settings.write_text(SETTINGS + "backup: {include: [media], ask_above: 1 MB}\n")
    (shop.app / "media").mkdir()
    with (shop.app / "media/film").open("wb") as out:
        out.truncate(2_000_000)
    before = document(shop, "log")
    warning = "The backup copies 2.0 MB that the one before it doesn't have, more than 1 MB (backup.ask_above)"
    for words in (["upgrade", "v1.1.0"], ["upgrade"]):
        code, shown = on_terminal(shop, "--config", str(settings), *words, columns=200, typed=b"n\n")
        assert (code, warning in shown) == (1, True), shown
        assert re.search("Copy 2.0 MB into the backup and upgrade to v[0-9.]+ now?", shown)
    assert document(shop, "log") == before, "declined before anything began"
    assert warning in shop.gitdeploy("--config", str(settings), "upgrade", "v1.1.0").err
    assert warning in shop.gitdeploy("log", str(document(shop, "log")[0]["id"])).out
    copies = document(shop, "--config", str(settings), "plan", "v1.0.0", "--allow-downgrade")["copies"]
    assert (copies["size"] >= 2_000_000, copies["new"] < 1000, copies["asks"]) == (True, True, False)
    shop.gitdeploy("-q", "restore", "latest")
    (shop.app / "media/film").unlink()
    (shop.app / "media").rmdir()


def test_log_follows_a_running_deployment(shop: Sample) -> None:
    shop.release(
        "v1.3.0", tree("1.3.0", **{"hooks/post-deploy": Program("#!/bin/sh\nsleep 2; echo the hook is done\n")})
    )
    running = shop.start("upgrade", "v1.3.0")
    wait_until(lambda: (shop.app / "VERSION").read_text() == "1.3.0")
    followed = shop.gitdeploy("log", "-f")
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert "the hook is done" in followed.out
    assert "shop is on v1.3.0" in followed.out


def test_without_arguments_the_help_is_no_error(shop: Sample) -> None:
    done = shop.gitdeploy(code=2)
    assert done.out.startswith("Usage: gitdeploy")
    assert done.err == ""


def test_called_as_a_module_it_imports_nothing_from_where_it_is_called(tmp_path: Path) -> None:
    """`warnings` is Python's own affair: it is imported before any module of ours can be."""
    (tmp_path / "typing").mkdir()
    for name in ("__future__", "click", "yaml", "json", "re", "os", "typing/__init__"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    for words in (["-m", "gitdeploy"], ["-Bm", "gitdeploy"], ["-Wignore", "-mgitdeploy"]):
        done = subprocess.run(
            [sys.executable, *words, "releases", "--help"], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Usage: " in done.stdout
    assert not (tmp_path / "ran").exists()
