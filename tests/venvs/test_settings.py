"""What an operator's pip settings mean for uv: as pip itself means them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdeploy.venvs.settings import read_settings


@pytest.mark.parametrize(
    ("lines", "uv"),
    [
        ("find-links = ~/wheels", {"UV_FIND_LINKS": "HOME/wheels"}),
        ("find-links =\n    ~/wheels\n    /nonexistent", {"UV_FIND_LINKS": "HOME/wheels"}),
        ("find-links = wheels", {"UV_FIND_LINKS": "HOME/app/wheels"}),
        ("find_links = https://x/links", {"UV_FIND_LINKS": "https://x/links"}),
        ("timeout = 15.5", {"UV_HTTP_TIMEOUT": "16"}),
        ("timeout = 0.1", {"UV_HTTP_TIMEOUT": "1"}),
        ("retries = 3", {"UV_HTTP_RETRIES": "3"}),
        ("proxy = 127.0.0.1:3128", {"HTTPS_PROXY": "http://127.0.0.1:3128"}),
        ("proxy = socks5://127.0.0.1:3128", {"HTTPS_PROXY": "socks5://127.0.0.1:3128"}),
        ("cert = ~/ca.pem", {"SSL_CERT_FILE": "HOME/ca.pem"}),
        ("index-url = https://x/simple", {"UV_DEFAULT_INDEX": "https://x/simple"}),
        ("no-index = 1\nindex-url = https://x/simple # the company's", {}),
    ],
)
def test_a_setting_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, uv: dict[str, str]
) -> None:
    home = str(tmp_path)
    monkeypatch.setenv("HOME", home)
    for folder in ("wheels", "app/wheels", "app/.gitdeploy/venvs/one"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pip.conf").write_text(f"[global]\n{lines}\n")
    environment = {"HOME": home, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "XDG_CONFIG_DIRS": home}
    for venv in ("app/venv", "app/.gitdeploy/venvs/one"):
        found = read_settings(tmp_path / venv, environment).uv_environment
        assert {name: found.get(name) for name in uv} == {
            name: value.replace("HOME", home) for name, value in uv.items()
        }
        if not uv:
            assert "UV_DEFAULT_INDEX" not in found


@pytest.mark.parametrize(
    "lines", ["index-url = https://x/simple # why", "timeout = soon", "retries = many", "prefer-binary = true"]
)
def test_what_uv_has_no_word_for_is_left_to_pip(tmp_path: Path, lines: str) -> None:
    (tmp_path / "pip.conf").write_text(f"[global]\n{lines}\n")
    environment = {
        "HOME": "/nonexistent",
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "XDG_CONFIG_DIRS": "/nonexistent",
    }
    assert read_settings(None, environment).cannot_pass == (lines.partition(" ")[0],)
