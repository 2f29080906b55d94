"""What comes from outside made safe to show; secrets never shown; figures as a person reads them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdeploy import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("a\x9b31mb", "ab"),
        ("v1\nFAKE LINE", "v1 FAKE LINE"),
        ("a\u202eb\u200bc\ufeff", "abc"),
        ("发布说明 – ok", "发布说明 – ok"),
        ("bad\udcff", "bad\\udcff"),
    ],
)
def test_cleaned(raw: str, shown: str) -> None:
    assert text.clean(raw) == shown


def test_lines_are_kept_where_asked() -> None:
    assert text.clean("a\r\nb\x1b[2J\nc", lines=True) == "a\nb\nc"


@given(st.text())
def test_what_is_cleaned_can_be_printed(raw: str) -> None:
    shown = text.clean(raw)
    shown.encode()
    assert "\x1b" not in shown
    assert "\n" not in shown


@given(st.binary())
def test_every_file_name_can_be_shown(name: bytes) -> None:
    shown = text.path_text(name)
    shown.encode()
    assert not any(ord(character) < 32 for character in shown)


def test_a_name_with_odd_bytes_is_shown_escaped() -> None:
    assert text.path_text(b"a\nb" + b"\xff" + "中".encode()) == "a\\nb\\xff中"


S = "S3cr3t-Passw0rd"
SECRET_LINES = [
    f"fatal: https://user:{S}@host/x", f"https://user:p@{S}@h/x", f"https://user:p/{S}@h/x", f"https://user:p@x/{S}@h:8443/x",
    f"https://{S}@h/x", f"http://{S[:8]}@h/x", f"https://a@{S}@h/x", f"ssh://user:{S}@h/x", f"postgresql://u:a@{S}@h/db",
    f"mysql://u:{S}:x@h/db", f"redis://:{S}@h:6379/0", f"https:\n//user:{S}@h", f"git+https://user:{S}@h/x@v1",
    f"https://ghp_{S}@github.com/a/b", f"https://user:{S}%40x@h/", f"DATABASE_URL=postgres://u:{S}@h/db", f"mailto://u:{S}@h",
    f"https://h/x?private_token={S}", f"https://h/x?a=b&api_key={S}&c=d", f"https://h/x?auth={S}", f"https://h/x?sign={S}",
    f"GET https://api/x?access_token={S}&y=1", f"https://h/x?key={S}", f"PGPASSWORD={S}", f"--password={S}", f"password={S}",
    f"password='a b {S}'", f'secret="a b {S}"', f"AWS_SECRET_ACCESS_KEY={S}", f"client_secret={S};", f"pwd={S}", f"password = {S}", f'secret = "{S}"',
    f'{{"password": "{S}"}}', f'{{"db_password" : "a \\" {S}"}}', f"{{'api_key': '{S}'}}", f'"access_token":"{S}"',
    f"Authorization: Bearer {S}", f"authorization: basic {S}", f"Proxy-Authorization: Basic {S}", f"PRIVATE-TOKEN: {S}",
    f"JOB-TOKEN: {S}", f"X-Gitlab-Token: {S}", f"X-Api-Key: {S}", f"X-Auth-Token={S}", f"X-Hub-Client-Secret: {S}",
    f"Cookie: session={S}", f"Set-Cookie: a=b; sid={S}; Path=/", f"> cookie: a=b; c={S}",
    f"https://hooks.slack.com/services/T0/B0/{S}", f"https://open.feishu.cn/open-apis/bot/v2/hook/{S}",
    f"https://discord.com/api/webhooks/1/{S}", f"https://x.webhook.office.com/webhookb2/a@b/{S}/c",
    f"https://api.telegram.org/bot123456:{S}/sendMessage", f"slack://{S}/B/C", f"dingtalk://{S}@ok/", f"tgram://1:{S}/42",
]  # fmt: skip


@pytest.mark.parametrize("line", SECRET_LINES)
def test_secrets_are_masked_wherever_they_stand(line: str) -> None:
    shown = text.redact(f"before {line} after")
    assert S not in shown
    assert S[:8] not in shown
    assert text.MASK in shown
    assert shown.startswith("before ")
    assert text.redact(shown) == shown, "and once is enough"


@pytest.mark.parametrize(
    "line",
    [
        "A token that lasts: gitdeploy web token add NAME", "Log in with the token in GITDEPLOY_WEB_TOKEN.",
        "X-Gitlab-Token is missing or not the secret.", "git@github.com:a/b.git", "https://git@github.com/a/b.git",
        "ssh://git@host:22/a/b", "https://h:8443/x@v1", "foo @ https://h:8443/foo-1.0.tar.gz", "pkg @ git+https://h/a/b@v1",
        "Set source.token_env: APP_UPDATE_GITHUB_TOKEN", "token_env=SHOP_TOKEN", "primary_key=True", "// a: b@c", "keys=3",
        "https://h/services", "password: it has none", "The cookie: a small one", "otrs-web v1.2.9 (8d1f2c3) -> v1.2.9.1",
        "http://127.0.0.1:15001/health: 200, three times", "https://h/x?page=2&limit=10", "wang@example.com:/srv/x",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(line: str) -> None:
    assert text.redact(line) == line


def test_a_long_line_costs_little() -> None:
    for piece in (
        "a://",
        "//a:",
        "password",
        "cookie: ",
        "x-",
        "https://",
        '"token": ',
        "@",
        ":",
        "x-a-",
        "bot",
        "//a:b@",
    ):
        begun = time.process_time()
        text.redact(piece * (64 * 1024 // len(piece)))
        assert time.process_time() - begun < 2, piece


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m\n\x1b[1;36;40mcode\x1b[0m", "\x1b[31mred\x1b[0m\n\x1b[1;36;40mcode\x1b[0m"),
        ("a\x1b]52;c;cm0gLXJmIH4=\x07b", "ab"),
        ("a\x1b[2J\x1b[Hb", "ab"),
        ("shown \x1b[8mhidden\x1b[30;40mblack", "shown hiddenblack"),
        ("safe\rpwned\x9b2Jx\u202ey\x08", "safe pwnedxy"),
        ("发布\t说明\n", "发布\t说明\n"),
    ],
)
def test_what_a_terminal_gets(written: str, shown: str) -> None:
    assert text.for_terminal(written) == shown


def test_a_registered_secret_is_masked() -> None:
    text.register_secret("hunter2-geheim")
    assert text.redact("it is hunter2-geheim.") == f"it is {text.MASK}."


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\x1b[31mb\x1b[0m\tc\n", "ab\tc\n"),
        ("safe\rpwned\x08\x07\x9b2J", "safepwned"),
        ("a\r\nb", "a\nb"),
        ("发布\u200b说明", "发布\u200b说明"),
    ],
)
def test_what_a_file_gets(written: str, shown: str) -> None:
    """What is piped is shown later, by `cat` or a pager."""
    assert text.without_escapes(written) == shown


def test_sizes_and_times() -> None:
    assert [text.size_text(n) for n in (0, 812, 1000, 999_499, 1_240_000, 3e9)] == [
        "0 B", "812 B", "1.0 kB", "999.5 kB", "1.2 MB", "3.0 GB",
    ]  # fmt: skip
    assert [text.duration_text(n) for n in (0.84, 42, 185, 7800, 440_000)] == [
        "0.8 s", "42 s", "3 min 5 s", "2 h 10 min", "5 days",
    ]  # fmt: skip
    assert text.listing(["a", "b", "c"], 2) == "a, b and 1 more"


EXCEPTION = "ModuleNotFoundError: No module named 'flask_migrate_is_missing'"
REENTRANT = "RuntimeError: reentrant call inside <_io.BufferedWriter name='<stderr>'>"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], ""),
        (["migrating", "the queue is not empty"], "the queue is not empty"),
        (
            ['sqlalchemy.exc.ProgrammingError: column "a" exists', "(Background on this error at: https://e.example)"],
            'sqlalchemy.exc.ProgrammingError: column "a" exists',
        ),
        (["ERROR:  column exists", "LINE 1: ALTER", "   ^"], "ERROR:  column exists"),
        (["KeyError: 'mood'", REENTRANT], "KeyError: 'mood'"),
        (["KeyError: 'mood'", "Internal Server Error: /health", "Applying shop.0005..."], "KeyError: 'mood'"),
    ],
)
def test_the_one_line_that_says_why(lines: list[str], shown: str) -> None:
    assert text.telling_line(lines) == shown


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["started", "a", "b"], ["a", "b"]),
        (["started", "error: no", "b"], ["error: no", "b"]),
        (["error: no", "a", "b"], ["error: no", "b"]),
        (
            [EXCEPTION, "[INFO] Worker exiting", "[ERROR] Worker failed to boot."],
            [EXCEPTION, "[ERROR] Worker failed to boot."],
        ),
        ([EXCEPTION, "OSError: [Errno 98]", "Stopped", "b"], ["OSError: [Errno 98]", "b"]),
        ([EXCEPTION, "Stopped", REENTRANT, "b"], [EXCEPTION, "b"]),
        (["started", "Stopped", REENTRANT, "b"], [REENTRANT, "b"]),
    ],
)
def test_the_lines_of_a_log_that_say_why(lines: list[str], shown: list[str]) -> None:
    """The exception that ended it, though the server and its manager said more after it."""
    assert text.telling_lines(lines, 2) == shown


@pytest.mark.parametrize(
    ("line", "exception"),
    [
        (EXCEPTION, EXCEPTION),
        (f"app said: {EXCEPTION}", EXCEPTION),
        (
            "2026-12-01 [ERROR] sqlalchemy.exc.OperationalError: no such table: a",
            "sqlalchemy.exc.OperationalError: no such table: a",
        ),
        ("[ERROR] Worker failed to boot.", ""),
        ("Internal Server Error: /health", ""),
    ],
)
def test_the_exception_that_a_log_names(line: str, exception: str) -> None:
    assert text.exception_in(["started", line, "[INFO] Shutting down"]) == exception


def test_a_traceback_that_is_not_written_to_its_end() -> None:
    whole = [
        "started",
        "Traceback (most recent call last):",
        '  File "app.py", line 1, in <module>',
        "    import x",
        EXCEPTION,
    ]
    assert [text.in_a_traceback(whole[:size]) for size in range(6)] == [False, False, True, True, True, False]


@pytest.mark.parametrize(
    "name", [b"plain", b"two words", b"it's", "数据".encode(), b"-rf", b"\xff", b"a\tb", b"$HOME;`x`", b"a\\b\xff%s'"]
)
def test_a_word_of_a_command_line_names_that_very_file(tmp_path: Path, name: bytes) -> None:
    place = os.fsencode(tmp_path)
    with open(place + b"/" + name, "w") as file:
        file.write("found")
    for word in (text.shell_word(name), text.shell_word(place + b"/" + name)):
        done = subprocess.run(["sh", "-c", f"cat {word}"], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout == "found", (word, done.stderr)
        assert word.isprintable()


def test_what_looks_like_a_secret_is_hidden_from_the_start() -> None:
    values = {
        "SHOP_TOKEN": "one-4711-token",
        "aws_secret_access_key": "two-4711/secret+",
        "STRIPE_KEY": "three-4711-key",
        "GIT_PW": "four-4711-pw",
        "SMTP_PASSWORD": "Five4711!",
        "DATABASE_URL": "postgresql://shop:six-4711@db/shop",
    }
    shown = {"SECRET_KEY": "development", "KEYBOARD": "de-4711-latin", "KEY_FILE": "/etc/key-4711", "PORT_KEY": "15001"}
    text.register_secrets([*values.items(), *shown.items()])
    said = text.redact(" ".join((*values.values(), *shown.values())))
    assert [word for word in ("one-", "two-", "three-", "four-", "Five", "six-") if word in said] == []
    assert all(value in said for value in shown.values())
