"""`service.log`: what the app itself wrote, shown when it fails; and whatever lies in the log's place is no way to another
file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support import needs

from gitdeploy.config import ServiceConfig
from gitdeploy.services import Service, ServiceFailed, from_dict, open_services

NOBODY = 65534


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run/log"


def command(root: Path, words: str = "true", log: str = "run/log") -> Service:
    (service,) = open_services(ServiceConfig(command=words, log=log), root)
    return service


def test_the_last_lines_are_shown_clean(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"one\n\ntwo \x1b[31mred\x1b[0m\n\xff\xfe\nOSError: no\n" + b"x" * 9000)
    shown = command(tmp_path).last_lines(4)
    assert shown[0].startswith("two ")
    assert "\x1b" not in "".join(shown)
    assert shown[2] == "OSError: no"
    assert len(shown[3]) <= 500
    assert command(tmp_path, log=str(log)).last_lines(1) == shown[3:], "a path outside is absolute"


def test_only_the_end_of_a_long_one_is_read_and_no_half_line(log: Path, tmp_path: Path) -> None:
    log.write_text("".join(f"line {number:09}\n" for number in range(500_000)))
    lines = command(tmp_path).last_lines(1_000_000)
    assert lines[-1] == "line 000499999"
    assert lines[0].startswith("line ")
    assert len(lines[0]) == len(lines[-1])
    assert 4000 < len(lines) < 5000


def test_what_was_there_before_the_restart_is_not_shown(log: Path, tmp_path: Path) -> None:
    log.write_text("RuntimeError: of yesterday\n")
    service = command(tmp_path, "echo started >>run/log")
    assert service.last_lines() == ["RuntimeError: of yesterday"]
    service.restart()
    assert service.last_lines() == ["started"]
    assert service.last_lines(since=time.time() - 5) == ["started"]
    assert service.last_lines(since=time.time() + 60) == []
    log.write_text("anew\n")
    assert service.last_lines() == ["anew"], "one that was emptied meanwhile is shown whole"
    log.rename(log.with_suffix(".1"))
    log.write_text("rotated, and a little longer\n")
    assert service.last_lines() == ["rotated, and a little longer"]


def test_a_command_that_fails_is_told_with_what_the_log_says(log: Path, tmp_path: Path) -> None:
    service = command(tmp_path, "echo 'OSError: port in use' >>run/log; echo no >&2; exit 1")
    with pytest.raises(ServiceFailed, match="no") as caught:
        service.restart()
    assert caught.value.details[-1].endswith(" said: OSError: port in use")


def test_it_is_known_to_a_later_process(log: Path, tmp_path: Path) -> None:
    log.write_text("well\n")
    for config in (ServiceConfig(command="true", log="run/log"), ServiceConfig(pidfile="run/pid", log="run/log")):
        (service,) = open_services(config, tmp_path)
        assert from_dict(service.as_dict()).last_lines() == ["well"]
        old = {key: value for key, value in service.as_dict().items() if key != "log"}
        assert from_dict(old).last_lines() == [], "a journal of before knows of no log"


def test_why_it_can_not_be_read_is_said(log: Path, tmp_path: Path) -> None:
    service = command(tmp_path)
    assert service.last_lines() == ["(run/log can't be read: No such file or directory)"]
    log.mkdir()
    assert service.last_lines() == ["(run/log is not read: it is not a plain file)"]
    log.rmdir()
    os.mkfifo(log)
    assert service.last_lines() == ["(run/log is not read: it is not a plain file)"]
    log.unlink()
    (tmp_path / "other").write_text("other\n")
    os.link(tmp_path / "other", log)
    assert service.last_lines() == ["(run/log is not read: it has a second name somewhere (a hard link))"]


def test_a_link_of_ones_own_is_followed_and_a_circle_ends(log: Path, tmp_path: Path) -> None:
    log.with_name("today").write_text("well\n")
    log.symlink_to("../run/./today")
    assert command(tmp_path).last_lines() == ["well"]
    log.unlink()
    log.symlink_to(log.with_name("today"))
    assert command(tmp_path).last_lines() == ["well"]
    log.unlink()
    log.symlink_to("log")
    assert command(tmp_path).last_lines() == ["(run/log can't be read: Too many levels of symbolic links)"]


@needs.another_user
def test_no_link_that_another_user_planted_is_followed(log: Path, tmp_path: Path) -> None:
    """Root's own app, whose log lies in a folder that the app's user may write to."""
    secret = tmp_path / "secret"
    secret.write_text("root's\n")
    log.symlink_to(secret)
    os.lchown(log, NOBODY, NOBODY)
    says = "(run/log is not read: there is a link of nobody's on the way)"
    assert command(tmp_path).last_lines() == [says]
    log.unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/log").write_text("root's\n")
    (tmp_path / "run").symlink_to("folder")
    os.lchown(tmp_path / "run", NOBODY, NOBODY)
    assert command(tmp_path).last_lines() == [says]


@needs.another_user
def test_root_reads_no_file_that_the_owner_of_the_checkout_names(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    os.chown(app, NOBODY, NOBODY)
    assert command(app, log="/etc/shadow").last_lines() == [
        "(/etc/shadow is not read: root reads no file that nobody names)"
    ]
