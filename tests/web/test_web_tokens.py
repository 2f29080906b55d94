"""Tokens, login codes and wrong tries: what ends when, and who is never kept out."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter

import pytest
from web.conftest import Shop, Web

from gitdeploy.web.access.access import CODE_LASTS, LONGEST, TRIES
from gitdeploy.web.access.store import Store

DAY = 86400.0


class Clock:
    def __init__(self, store: Store) -> None:
        self.now = 1_000_000.0
        store._clock = lambda: self.now


@pytest.fixture
def clock(web: Web) -> Clock:
    return Clock(web.panel.store)


def form(web: Web, given: str, address: str = "127.0.0.1") -> int:
    answer = web.client().post("/upgrade/login", data={"token": given}, environ_base={"REMOTE_ADDR": address})
    return answer.status_code


def test_wrong_tokens_are_slowed_down_and_a_right_one_is_never_kept_out(web: Web, clock: Clock) -> None:
    assert [form(web, "guess") for _ in range(TRIES)] == [401] * TRIES
    client = web.log_in()
    for _ in range(2):
        answer = web.client().post("/upgrade/login", data={"token": "guess"})
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 200
        assert web.get("/api/status", token="guess").status_code == 429, "a token in a header is a guess too"
        assert web.get("/api/status").status_code == 200
        assert form(web, web.token) == 303
        assert client.get("/upgrade/api/status").status_code == 200
        assert form(web, "guess", "198.51.100.7") == 401, "other addresses have tries of their own"
    clock.now += 301
    assert form(web, "guess") == 401


def test_tries_at_the_same_time_are_counted_one_by_one(web: Web) -> None:
    """So many at once get no more of them in than one after the other."""
    seen: Counter[int] = Counter()
    together = threading.Barrier(24)

    def guess(number: int) -> None:
        together.wait()
        seen[web.get("/api/status", token=f"wrong-{number}").status_code] += 1

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {401: TRIES, 429: 24 - TRIES}


# (seconds after it was made, whether the token still counts)
@pytest.mark.parametrize(("later", "lives"), [(0, True), (DAY - 1, True), (DAY, False), (40 * DAY, False)])
def test_a_token_ends_when_it_was_said_to(web: Web, clock: Clock, later: float, lives: bool) -> None:
    store = web.panel.store
    token = store.add_token("guest", read_only=True, lasts=DAY)
    clock.now += later
    assert (web.get("/api/status", token=token).status_code == 200) is lives
    assert (form(web, token) == 303) is lives
    assert web.get("/api/status").status_code == 200, "those without an end go on"
    store.add_token("guest" if not lives else "other", read_only=False)
    listed = {row.name: row for row in store.tokens()}
    assert ("other" in listed) is lives
    assert listed["guest"].expires_at == (1_000_000.0 + DAY if lives else None), "an ended one makes way"


def test_the_sessions_of_a_token_end_with_it(web: Web, clock: Clock) -> None:
    token = web.panel.store.add_token("guest", read_only=True, lasts=3600)
    client = web.log_in(token)
    clock.now += 3599
    assert client.get("/upgrade/api/status").status_code == 200
    (guest,) = (row for row in web.panel.store.tokens() if row.name == "guest")
    assert guest.used_at == clock.now, "a session of it is a use of it"
    clock.now += 1
    assert client.get("/upgrade/api/status").status_code == 401


def test_a_code_opens_one_session_in_its_time(shop: Shop, web: Web) -> None:
    store = web.panel.store
    clock = Clock(store)
    assert store.first_code(CODE_LASTS) is None, "there is a token"
    for row in store.tokens():
        store.revoke_token(row.name)
    late = store.first_code(CODE_LASTS)
    assert late is not None
    clock.now += CODE_LASTS
    assert form(web, late) == 401
    code = store.first_code(CODE_LASTS)
    assert code is not None
    assert web.get("/api/status", token=code).status_code == 401, "it is not a token"
    client = web.log_in(code)
    assert client.get("/upgrade/api/status").status_code == 200
    assert form(web, code) == 401
    assert store.first_code(CODE_LASTS) is None
    assert code.encode() not in (shop.app / ".gitdeploy/web.db").read_bytes()
    store.revoke_token("administrator")
    assert client.get("/upgrade/api/status").status_code == 401, "what it opened can be ended"
    assert store.first_code(CODE_LASTS) is None, "no second link after the first login"


def test_a_code_counts_once_however_many_try_at_once(web: Web) -> None:
    for row in web.panel.store.tokens():
        web.panel.store.revoke_token(row.name)
    code = web.panel.store.first_code(CODE_LASTS)
    assert code is not None
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(web.panel.store.redeem(code))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in found) == 1


def test_what_a_code_opened_ends_by_itself(web: Web) -> None:
    clock = Clock(web.panel.store)
    for row in web.panel.store.tokens():
        web.panel.store.revoke_token(row.name)
    code = web.panel.store.first_code(CODE_LASTS)
    assert code is not None
    client = web.log_in(code)
    for _ in range(int(LONGEST // 3600) - 1):
        clock.now += 3600
        assert client.get("/upgrade/api/status").status_code == 200
    clock.now += 3601
    assert client.get("/upgrade/api/status").status_code == 401


def test_a_file_of_the_version_before_goes_on(web: Web) -> None:
    """web.db as it was when tokens had no end: its tokens still count, and new ones may end."""
    with sqlite3.connect(web.panel.store.path) as database:
        database.execute("ALTER TABLE token DROP COLUMN expires_at")
        database.execute("DROP TABLE code")
        database.execute("PRAGMA user_version=1")
    database.close()
    assert web.get("/api/status").status_code == 200
    web.panel.store.add_token("guest", read_only=True, lasts=60)
    assert [row.expires_at is None for row in web.panel.store.tokens()] == [True, True, False]
