"""Hooks as an operator knows them: what is found, in which order, with which environment, and how each failure reads."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support import needs

from gitdeploy.config import HooksConfig
from gitdeploy.hooks.running import STAGES, HookContext, HookFailed, find_hooks, hook_environment, run_hooks


def script(path: Path, body: str = "exit 0", *, first: str = "#!/bin/sh", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{first}\n{body}\n".encode())
    path.chmod(mode)
    return path


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "hooks").mkdir(parents=True)
    return root


def run(app: Path, stage: str = "post-deploy", *, config: HooksConfig | None = None, **options: object) -> list[str]:
    lines: list[str] = []
    config = config or HooksConfig(dir="hooks")
    context = options.pop("context", None) or HookContext("upgrade", "otrs-web", app)
    settings = {"timeout": 20.0, "on_line": lines.append, **options}
    run_hooks(find_hooks(app, config, stage), context, stage=stage, **settings)  # type: ignore[arg-type]
    return lines


def test_commands_come_first_then_the_file_then_the_folder_by_name(app: Path) -> None:
    script(app / "hooks/post-deploy", "echo file")
    script(app / "hooks/post-deploy.d/20-b", "echo b")
    script(app / "hooks/post-deploy.d/10-a", "echo a")
    config = HooksConfig(dir="hooks", post_deploy=("echo command",))
    assert [hook.name for hook in find_hooks(app, config, "post-deploy")] == [
        "echo command",
        "hooks/post-deploy",
        "hooks/post-deploy.d/10-a",
        "hooks/post-deploy.d/20-b",
    ]
    assert run(app, config=config) == ["command", "file", "a", "b"]


def test_samples_backups_of_editors_and_hidden_files_never_run(app: Path) -> None:
    for name in ("10-a.sample", "10-a~", ".10-a", "#10-a#", "10-a.dpkg-dist", "10-a.orig"):
        script(app / "hooks/migrate.d" / name)
    script(app / "hooks/migrate.sample")
    assert find_hooks(app, HooksConfig(dir="hooks"), "migrate") == ()


def test_every_stage_has_its_commands_in_deploy_yaml() -> None:
    for stage in STAGES:
        assert HooksConfig().commands(stage) == ()


def test_a_hook_knows_the_deployment_and_finds_the_venv_first(app: Path) -> None:
    script(app / "venv/bin/tool", "echo from the venv")
    script(
        app / "hooks/post-deploy",
        'set -eu; tool; pwd; echo "$GITDEPLOY_STAGE $GITDEPLOY_TO_TAG [$GITDEPLOY_BACKUP] $VIRTUAL_ENV"',
    )
    context = HookContext("upgrade", "otrs-web", app, 17, to_tag="v1.2.9.1", venv=app / "venv")
    assert run(app, context=context) == [
        "from the venv",
        str(app),
        f"post-deploy v1.2.9.1 [] {app}/venv",
    ]


def test_no_token_reaches_a_hook_but_the_database_url_does(app: Path) -> None:
    caller = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": "postgresql://localhost/app",
        "SECRET_KEY": "the app's own",
        "APP_UPDATE_GITHUB_TOKEN": "ghp_0123456789",
        "GH_TOKEN": "ghp_0123456789",  # the same token under another name
        "GITDEPLOY_WEB_TOKEN": "letmein-letmein",
        "MY_TOKEN": "configured-one",
        "GIT_DIR": "/elsewhere/.git",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_VALUE_0": "Authorization: Bearer x",
        "PYTHONHOME": "/elsewhere",
    }
    context = HookContext("upgrade", "otrs-web", app)
    got = hook_environment(context, "migrate", uid=os.geteuid(), secrets=["MY_TOKEN"], caller=caller)
    assert {name for name in got if not name.startswith("GITDEPLOY_")} == {"PATH", "DATABASE_URL", "SECRET_KEY"}
    assert "GITDEPLOY_WEB_TOKEN" not in got


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: script(p, mode=0o644), "not executable: chmod +x hooks/build"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: script(p, first="echo no shebang"), "no #! line"),
        (lambda p: script(p, first="\ufeff#!/bin/sh"), "byte order mark"),
        (lambda p: script(p, first="#!/bin/sh\r"), "Windows line ends"),
        (lambda p: script(p, first="#!/usr/bin/no-such-shell"), "/usr/bin/no-such-shell, which does not exist"),
        (lambda p: p.symlink_to("/bin/true"), "leaves the checkout"),
        (lambda p: p.symlink_to("nowhere"), "leads nowhere"),
        (lambda p: (script(p.with_name("tool")), p.symlink_to("tool")), "is a symbolic link; copy the file"),
        (os.mkfifo, "not a regular file"),
        (lambda p: script(p, first="#!"), "empty #! line"),
    ],
)
def test_a_hook_that_can_not_run_is_said_in_its_own_words_before_anything_is_touched(
    app: Path, make: Callable[[Path], object], words: str
) -> None:
    make(app / "hooks/build")
    (hook,) = find_hooks(app, HooksConfig(dir="hooks"), "build")
    assert hook.problem is not None
    assert words in hook.problem
    assert hook.problem.startswith("hooks/build ")
    with pytest.raises(HookFailed, match="hooks/build"):
        run(app, "build")


def test_owner_and_mode_are_listed(app: Path) -> None:
    script(app / "hooks/build", mode=0o750)
    (hook,) = find_hooks(app, HooksConfig(dir="hooks"), "build")
    assert hook.mode == "rwxr-x---"
    assert hook.owner
    assert hook.problem is None


def test_a_failing_hook_stops_the_stage_and_says_its_code_and_last_lines(app: Path) -> None:
    script(app / "hooks/migrate.d/1", "echo one; echo two >&2; exit 3")
    script(app / "hooks/migrate.d/2", "touch ran")
    with pytest.raises(HookFailed) as caught:
        run(app, "migrate")
    assert caught.value.message in (
        "hooks/migrate.d/1 failed (exit code 3): two",
        "hooks/migrate.d/1 failed (exit code 3): one",  # two pipes have no common order
    )
    assert len(caught.value.details) == 1
    assert not (app / "ran").exists()


def test_a_hook_that_was_killed_names_the_signal(app: Path) -> None:
    with pytest.raises(HookFailed, match="killed by SIGKILL"):
        run(app, config=HooksConfig(dir="hooks", post_deploy=("kill -9 $$",)))


def test_a_hook_that_takes_too_long_is_ended_with_all_it_started(app: Path) -> None:
    script(app / "hooks/post-deploy", 'trap "" TERM; sleep 60 & echo $! > child; echo still here; wait; wait; sleep 60')
    begun = time.monotonic()
    with pytest.raises(HookFailed, match=r"took longer than 0\.5 s.*: still here"):
        run(app, timeout=0.5)
    assert time.monotonic() - begun < 15
    child, end = int((app / "child").read_text()), time.monotonic() + 10
    with suppress(FileNotFoundError, ProcessLookupError):  # on a busy machine a killed process takes its time
        while Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_deployment(app: Path) -> None:
    script(app / "hooks/post-deploy", "sleep 30 & echo started")
    begun = time.monotonic()
    assert run(app) == ["started"]
    assert time.monotonic() - begun < 5


def test_binary_noise_and_megabytes_of_output_are_survived(app: Path) -> None:
    script(app / "hooks/post-deploy", "head -c 3000000 /dev/urandom; echo; echo end")
    assert run(app)[-1] == "end"


def test_a_hook_reads_nothing_from_the_terminal(app: Path) -> None:
    script(app / "hooks/post-deploy", 'read answer || echo "no input"')
    assert run(app) == ["no input"]


def test_a_hook_that_deletes_the_checkout_is_a_failure_in_words(app: Path) -> None:
    script(app / "hooks/post-deploy", 'rm -rf "$GITDEPLOY_ROOT"; mkdir "$GITDEPLOY_ROOT"')
    with pytest.raises(HookFailed, match="removed or replaced the checkout"):
        run(app)


def test_the_hooks_folder_may_be_another(app: Path) -> None:
    script(app / "deploy/hooks/build", "echo here")
    assert run(app, "build", config=HooksConfig(dir="deploy/hooks")) == ["here"]


def test_a_secret_in_a_command_is_not_shown(app: Path) -> None:
    (hook,) = find_hooks(app, HooksConfig(build=("curl https://u:hunter22@host/",)), "build")
    assert "hunter22" not in hook.name


@needs.another_user
def test_root_runs_the_hooks_of_another_users_app_as_that_user_without_roots_variables(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.let_others_in(app)
    subprocess.run(["chown", "-R", "65534:65534", str(app)], check=True)
    monkeypatch.setenv("ROOTS_OWN", "secret")
    script(app / "hooks/build", 'id -u; id -G; echo "[$ROOTS_OWN] $HOME"; touch made')
    os.chown(app / "hooks/build", 65534, 65534)
    lines = run(app, "build")
    assert lines[0] == "65534"
    assert "0" not in lines[1].split()
    assert lines[2].startswith("[] ")
    assert lines[2] != "[] /root"
    assert (app / "made").stat().st_uid == 65534
