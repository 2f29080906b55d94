""".env: read as python-dotenv reads it, one value replaced, every other byte as it was."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdeploy.config.envfile import EnvFile
from gitdeploy.errors import ConfigError


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"APP_VERSION=1.0\n", "1.0"),
        (b"export APP_VERSION = 1.0  # live\n", "1.0"),
        (b"APP_VERSION='1.0'\n", "1.0"),
        (b'APP_VERSION="1.0"\r\nB=2\r\n', "1.0"),
        (b"\xef\xbb\xbfAPP_VERSION=1.0\n", "1.0"),
        (b"APP_VERSION=0.9\nAPP_VERSION=1.0\n", "1.0"),
        (b'X="\nAPP_VERSION=evil\n"\nAPP_VERSION=1.0\n', "1.0"),
        (b"# APP_VERSION=0\nAPP_VERSION=1.0", "1.0"),
        (b"A='${SECRET}'\nAPP_VERSION=$(id)\n", "$(id)"),
        (b"A=1\n", None),
    ],
)
def test_values(raw: bytes, value: str | None) -> None:
    assert EnvFile.parse(raw).get("APP_VERSION") == value


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (
            b"A=1\r\nexport APP_VERSION=1.0  # live\r\nB='x y'\r\n",
            b"A=1\r\nexport APP_VERSION=2.0  # live\r\nB='x y'\r\n",
        ),
        (b"\xef\xbb\xbfAPP_VERSION='1.0'\n", b"\xef\xbb\xbfAPP_VERSION='2.0'\n"),
        (b"APP_VERSION=1\nAPP_VERSION=1\n", b"APP_VERSION=2.0\nAPP_VERSION=2.0\n"),
        (b'X="\nAPP_VERSION=evil\n"\nAPP_VERSION=1.0\n', b'X="\nAPP_VERSION=evil\n"\nAPP_VERSION=2.0\n'),
        (b"A=caf\xe9", b"A=caf\xe9\nAPP_VERSION=2.0\n"),
        (b"", b"APP_VERSION=2.0\n"),
    ],
)
def test_one_value_is_replaced_and_nothing_else(raw: bytes, wanted: bytes) -> None:
    assert EnvFile.parse(raw).with_value("APP_VERSION", "2.0") == wanted


@pytest.mark.parametrize("raw", [b"A: 1\n", b'A="open\n', b"A='open\n", b"=1\n", b"A=1\0\n"])
def test_what_cannot_be_read_surely_is_refused_with_its_line(raw: bytes) -> None:
    with pytest.raises(ConfigError, match=r"\.env line 1"):
        EnvFile.parse(raw)


def test_no_value_in_its_repr() -> None:
    assert "geheim" not in repr(EnvFile.parse(b"A=geheim\n"))


@given(
    st.lists(
        st.tuples(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.from_regex(r"[a-z0-9.:/ ]{0,9}", fullmatch=True))
    ),
    st.from_regex(re.compile(r"[0-9a-z.+-]{1,12}", re.ASCII), fullmatch=True),
)
def test_other_values_stay_whatever_is_written(pairs: list[tuple[str, str]], version: str) -> None:
    raw = "".join(f"{name}={value}\n" for name, value in pairs).encode()
    before = EnvFile.parse(raw)
    after = EnvFile.parse(before.with_value("APP_VERSION", version))
    assert after.get("APP_VERSION") == version
    assert {n: after.get(n) for n, _ in pairs} == {n: before.get(n) for n, _ in pairs}
