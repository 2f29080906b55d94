"""The health check against real servers on loopback: every way in which an app can be unwell, and what is said of it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace
from support import needs
from support.waiting import free_port

from gitdeploy.config import HealthConfig, HealthVersion
from gitdeploy.errors import Interrupted
from gitdeploy.health import Health, HealthFailed, check_once, soak, wait_healthy
from gitdeploy.health.proof import other_generation
from gitdeploy.health.waiting import BAD_IN_A_ROW
from gitdeploy.health.web import is_loopback, same_version
from gitdeploy.system import interruption
from gitdeploy.system.proc import Identity, boot_id, start_ticks

QUICK = HealthConfig(timeout=1.0, interval=0.05, successes=2)
Answering = Callable[[BaseHTTPRequestHandler], None]


def say(status: int = 200, body: bytes = b"ok", **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **own}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def in_turn(answers: Iterator[Answering]) -> Answering:
    """Each request gets the next one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        next(answers)(handler)

    return answer


class App:
    """A server on loopback whose answer a test chooses, and changes while it runs."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.answer: Answering = say()
        self.asked: list[tuple[str, dict[str, str]]] = []
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                app.asked.append((self.path, dict(self.headers.items())))
                app.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.port}/health"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def app() -> Iterator[App]:
    made = App()
    yield made
    made.close()


@dataclass
class Watched:
    """A service whose state a test sets by hand."""

    name: str = "otrs-web.service"
    kind: str = "systemd"
    up: str | None = None
    given_up: str | None = None
    found: tuple[Identity, ...] = ()
    count: int | None = 0
    log: list[str] = field(default_factory=list)

    def is_up(self) -> str | None:
        return self.given_up or self.up

    def gave_up(self) -> str | None:
        return self.given_up

    def processes(self) -> tuple[Identity, ...]:
        return self.found

    def restarts(self) -> int | None:
        return self.count

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        return self.log[-most:]


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer


# ---- one question ----


def test_an_app_that_answers_is_well(app: App) -> None:
    assert check_once(replace(QUICK, url=(app.url,))) is None
    assert app.asked[0][0] == "/health"
    assert app.asked[0][1]["Host"] == f"127.0.0.1:{app.port}"


def test_nothing_configured_is_said_honestly() -> None:
    assert check_once(HealthConfig()) is None
    assert wait_healthy(HealthConfig(), ()) == Health(True, "no health check configured")


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}/health"
    assert check_once(replace(QUICK, url=(url,))) == f"{url}: connection refused."
    address = f"127.0.0.1:{free_port()}"
    assert check_once(replace(QUICK, tcp=(address,))) == f"{address}: connection refused."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (say(500), "500 instead of 200 (ok)"),
        (say(502, b"<html>", Content_Type="text/html"), "502 instead of 200."),
        (say(302, b"", Location="/login"), "302 instead of 200 (redirects to /login; ask that address itself)"),
        (say(500, b"ESC\x1b[31m token=abcdef&x"), "500 instead of 200 (ESC token="),
        (lambda h: h.connection.close(), "connection closed without an answer"),
        (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "no valid HTTP answer"),
    ],
)
def test_a_wrong_answer_is_told_as_it_is(app: App, answer: Answering, words: str) -> None:
    app.answer = answer
    bad = check_once(replace(QUICK, url=(app.url,)))
    assert bad is not None
    assert words in bad
    assert "\x1b" not in bad


def test_another_status_may_be_the_expected_one(app: App) -> None:
    app.answer = say(401)
    assert check_once(replace(QUICK, url=(app.url,), expect=401)) is None


def test_the_answer_must_contain_the_expected_words(app: App) -> None:
    config = replace(QUICK, url=(app.url,), expect_body="database: ok")
    assert "does not contain `database: ok`" in str(check_once(config))
    app.answer = say(200, b"queue: ok\ndatabase: ok\n")
    assert check_once(config) is None


def test_headers_are_sent_and_may_name_another_host(app: App) -> None:
    assert check_once(replace(QUICK, url=(app.url,), headers={"Host": "shop.example", "X-Key": "ü"})) is None
    sent = app.asked[0][1]
    assert sent["Host"] == "shop.example"
    assert "X-Key" in sent


def test_the_version_that_the_app_says_must_be_the_releases(app: App) -> None:
    app.answer = say(200, b'{"app": {"version": "1.2.9"}}')
    config = replace(QUICK, url=(app.url,), version=HealthVersion(json="app.version"))
    assert check_once(config, expected_version="1.2.9") is None
    assert "it says version 1.2.9, not 1.2.9.1." in str(check_once(config, expected_version="1.2.9.1"))
    other = replace(config, version=HealthVersion(json="version"))
    assert "says no version (looked for `version`)" in str(check_once(other, expected_version="1.2.9"))
    app.answer = say(200, b"[" * 100000)
    assert "says no version" in str(check_once(config, expected_version="1.2.9"))
    app.answer = say(200, b"", X_App_Version="v1.2.9")
    header = replace(config, version=HealthVersion(header="X-App-Version"))
    assert check_once(header, expected_version="1.2.9") is None
    assert check_once(header, expected_version=None) is None


def test_versions_are_compared_as_versions() -> None:
    assert same_version("v1.2.0", "1.2")
    assert same_version("nightly", "nightly")
    assert not same_version("1.2.0rc1", "1.2")
    assert not same_version("9" * 5000, "1")


def test_an_ipv6_address_is_asked() -> None:
    try:
        app = App("::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    try:
        assert check_once(replace(QUICK, url=(app.url,), tcp=(f"[::1]:{app.port}",))) is None
    finally:
        app.close()


def test_a_server_that_drips_is_not_waited_for(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        for _ in range(100):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.05)

    app.answer = drip
    monkeypatch.setattr("gitdeploy.health.questions.ANSWER_LIMIT", 0.3)
    begun = time.monotonic()
    assert "no answer in 0.3 s" in str(check_once(replace(QUICK, url=(app.url,))))
    assert time.monotonic() - begun < 2


def test_loopback_is_only_what_can_not_be_another_machine() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example.com")
    assert not is_loopback("10.0.0.1")


def test_a_self_signed_certificate_is_no_obstacle_on_loopback(app: App, tmp_path: Path) -> None:
    argv = [
        needs.program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=shop.example",
        "-days",
        "2",
    ]
    subprocess.run([*argv, "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    app.server.socket = context.wrap_socket(app.server.socket, server_side=True)
    assert check_once(replace(QUICK, url=(app.url.replace("http:", "https:"),))) is None
    plain = check_once(replace(QUICK, url=(app.url,)))
    assert plain is not None


def test_a_command_runs_in_the_checkout_and_its_last_words_are_told(tmp_path: Path) -> None:
    config = replace(QUICK, command="test -e well || { echo the queue is full >&2; exit 4; }")
    assert str(check_once(config, root=tmp_path)).endswith(": exit code 4, the queue is full.")
    (tmp_path / "well").touch()
    assert check_once(config, root=tmp_path) is None
    assert "no end in" in str(check_once(replace(QUICK, command="sleep 30", timeout=0.3), root=tmp_path))


# ---- waiting ----


def test_it_must_answer_several_times_in_a_row(app: App) -> None:
    answers = iter([say(), say(503), say(), say(), say()])
    app.answer = in_turn(answers)
    well = wait_healthy(replace(QUICK, url=(app.url,), successes=3), ())
    assert well == Health(True, f"{app.url}: 200, three times")
    assert len(app.asked) == 5


def test_an_app_that_needs_its_time_gets_it() -> None:
    made: list[App] = []
    port = free_port()

    def start() -> None:
        made.append(App())

    config = replace(QUICK, tcp=(f"127.0.0.1:{port}",), timeout=5.0)
    with socket.socket() as listener:

        def begin() -> None:
            listener.bind(("127.0.0.1", port))
            listener.listen()

        later(0.3, begin)
        assert wait_healthy(config, ()).summary == f"127.0.0.1:{port}: accepts connections, twice"
    assert not made


def test_when_the_time_is_over_it_says_for_how_long_and_what_the_service_said() -> None:
    url = f"http://127.0.0.1:{free_port()}/health"
    service = Watched(log=["Traceback", "ModuleNotFoundError: No module named 'flask_migrate'"])
    told: list[str] = []
    with pytest.raises(HealthFailed) as caught:
        wait_healthy(replace(QUICK, url=(url,)), [service], on_line=told.append)
    assert (
        caught.value.message
        == f"{url}: connection refused for 1.0 s (ModuleNotFoundError: No module named 'flask_migrate')."
    )
    assert caught.value.details[-1] == "otrs-web.service said: ModuleNotFoundError: No module named 'flask_migrate'"
    assert told == [
        "otrs-web.service: Traceback",
        "otrs-web.service: ModuleNotFoundError: No module named 'flask_migrate'",
    ]


def test_a_traceback_is_shown_to_its_end(app: App) -> None:
    app.answer = say(500)
    service = Watched(log=["Traceback (most recent call last):", '  File "app.py", line 1, in <module>'])
    later(1.5, lambda: service.log.append("KeyError: 'mood'"))
    with pytest.raises(HealthFailed, match=r"500 instead of 200 \(ok\) for 1\.0 s \(KeyError: 'mood'\)\.") as caught:
        wait_healthy(replace(QUICK, url=(app.url,)), [service])
    assert caught.value.details[-1].endswith("said: KeyError: 'mood'")


def test_what_was_last_answered_is_shown_while_it_waits(app: App) -> None:
    app.answer = in_turn(iter([say(500), say(503), say(), say()]))
    shown: list[str] = []
    wait_healthy(replace(QUICK, url=(app.url,), timeout=60.0), (), on_progress=shown.append)
    assert shown[:2] == ["500 instead of 200 (ok), 0 of 60 s", "503 instead of 200 (ok), 0 of 60 s"]
    assert shown[2:] == [f"{app.url}: 200, {number} of 2" for number in (1, 2)]


def test_new_lines_of_the_service_are_shown_once_while_it_waits(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitdeploy.health.waiting._LOOK_AGAIN", 0.0)
    app.answer = say(503)
    service = Watched(log=["one"])
    later(0.3, lambda: service.log.extend(["two", "three"]))
    told: list[str] = []
    with pytest.raises(HealthFailed):
        wait_healthy(replace(QUICK, url=(app.url,)), [service], on_line=told.append)
    assert told == ["otrs-web.service: one", "otrs-web.service: two", "otrs-web.service: three"]


def test_a_unit_that_has_failed_is_not_waited_for(app: App) -> None:
    service = Watched(given_up="otrs-web.service has failed (exit code 1).")
    begun = time.monotonic()
    with pytest.raises(HealthFailed, match=r"^otrs-web.service has failed \(exit code 1\)\.$"):
        wait_healthy(replace(QUICK, url=(app.url,), timeout=60.0, start_period=30.0), [service])
    assert time.monotonic() - begun < 3


def test_a_crash_loop_is_not_waited_for_though_it_answers_in_between(app: App) -> None:
    class Crashing(Watched):
        def restarts(self) -> int:
            self.count = (self.count or 0) + 1
            return self.count

    with pytest.raises(HealthFailed, match=r"otrs-web\.service crashes again and again"):
        wait_healthy(replace(QUICK, url=(app.url,), timeout=30.0), [Crashing()])


def test_a_crash_between_two_good_answers_counts_from_the_start_again(app: App) -> None:
    service = Watched(count=0)

    def crash_after_the_first(handler: BaseHTTPRequestHandler) -> None:
        if len(app.asked) == 1:
            service.count = 1
        say()(handler)

    app.answer = crash_after_the_first
    wait_healthy(replace(QUICK, url=(app.url,), successes=2), [service])
    assert len(app.asked) == 3


def test_nothing_is_asked_in_the_start_period(app: App) -> None:
    begun = time.monotonic()
    wait_healthy(replace(QUICK, url=(app.url,), start_period=0.4), ())
    assert time.monotonic() - begun >= 0.4


def test_a_service_alone_is_enough_of_a_check() -> None:
    assert wait_healthy(QUICK, [Watched()]).summary == "otrs-web.service: up, twice"
    with pytest.raises(HealthFailed, match=r"otrs-web\.service is still starting for 1\.0 s"):
        wait_healthy(QUICK, [Watched(up="otrs-web.service is still starting.")])


def test_ctrl_c_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "pending", lambda: 2)
    with pytest.raises(Interrupted):
        wait_healthy(replace(QUICK, tcp=(f"127.0.0.1:{free_port()}",), timeout=60.0), ())


# ---- the proof of new code ----


def test_a_process_from_before_the_switch_has_the_old_code(app: App) -> None:
    service = Watched(found=(Identity.own(),))
    config = replace(QUICK, url=(app.url,))
    with pytest.raises(HealthFailed, match=rf"process {os.getpid()} .* started before the switch and has the old code"):
        wait_healthy(config, [service], started_after=time.time())
    assert wait_healthy(config, [service], started_after=time.time() - 86400 * 365).ok


def test_a_process_of_another_venv_is_found_and_named(app: App, tmp_path: Path) -> None:
    old = tmp_path / "venvs" / "20250101-old"
    (old / "bin").mkdir(parents=True)
    python = old / "bin" / "python"
    python.symlink_to(sys.executable)
    child = subprocess.Popen([python, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert other_generation(child.pid, old) is None
        new = tmp_path / "venvs" / "20250117-new"
        assert other_generation(child.pid, new) == "20250101-old"
        service = Watched(found=(Identity(child.pid, start_ticks(child.pid) or 0, boot_id()),))
        with pytest.raises(HealthFailed, match=r"uses packages of the venv 20250101-old, not of 20250117-new"):
            wait_healthy(replace(QUICK, url=(app.url,)), [service], generation=new)
    finally:
        child.kill()
        child.communicate()


def test_the_exception_is_said_though_the_server_said_a_hundred_lines_after_it(app: App) -> None:
    app.answer = say(500)
    service = Watched(log=["ModuleNotFoundError: No module named 'x'", *(f"  frame {n}" for n in range(100))])
    with pytest.raises(HealthFailed) as failed:
        wait_healthy(replace(QUICK, url=(app.url,), timeout=0.3), [service])
    assert failed.value.details[0].endswith("said: ModuleNotFoundError: No module named 'x'")


# ---- watching on ----


def test_a_soak_ends_well_when_nothing_happens(app: App) -> None:
    assert soak(replace(QUICK, url=(app.url,), soak=0.3), [Watched()]).summary == "healthy for 0.3 s more"
    assert soak(replace(QUICK, url=(app.url,)), [Watched()]).ok


def test_one_bad_answer_while_watching_is_a_hiccup_three_are_not(app: App) -> None:
    answers = iter([say(), say(500), *(say() for _ in range(1000))])
    app.answer = in_turn(answers)
    assert soak(replace(QUICK, url=(app.url,), soak=0.4), ()).ok
    app.answer = say(500)
    with pytest.raises(HealthFailed, match=r"500 instead of 200 .* after it had been healthy"):
        soak(replace(QUICK, url=(app.url,), soak=30.0), ())


def test_a_crash_while_watching_is_seen_though_the_service_is_up_again(app: App) -> None:
    service = Watched()
    later(0.2, lambda: setattr(service, "count", 1))
    with pytest.raises(HealthFailed, match=r"otrs-web\.service crashed and was started again"):
        soak(replace(QUICK, url=(app.url,), soak=30.0), [service])


def test_a_crash_is_called_one_while_the_service_is_only_starting_again(app: App) -> None:
    service = Watched()

    def crash() -> None:
        service.up = "otrs-web.service is still starting."
        service.count = 1

    later(0.2, crash)
    with pytest.raises(
        HealthFailed, match=r"otrs-web\.service crashed and was started again .* after it had been healthy"
    ):
        soak(replace(QUICK, url=(app.url,), soak=30.0), [service])


def test_a_main_process_that_ends_while_watching_is_seen_where_nobody_counts(app: App) -> None:
    child = subprocess.Popen(["sleep", "60"])
    service = Watched(count=None, found=(Identity(child.pid, start_ticks(child.pid) or 0, boot_id()),))
    timer = later(0.2, child.kill)
    try:
        with pytest.raises(HealthFailed, match=rf"its process {child.pid} ended"):
            soak(replace(QUICK, url=(app.url,), soak=30.0), [service])
    finally:
        timer.join()
        child.kill()
        child.wait()


def test_a_crash_is_called_one_where_its_manager_counts_it_only_while_it_is_asked(app: App) -> None:
    class Late(Watched):
        asked = 0

        def is_up(self) -> str:
            self.asked += 1
            self.count = int(self.asked == BAD_IN_A_ROW)
            return "otrs-web.service is still starting."

    with pytest.raises(HealthFailed, match=r"otrs-web\.service crashed and was started again"):
        soak(replace(QUICK, url=(app.url,), soak=30.0), [Late()])
