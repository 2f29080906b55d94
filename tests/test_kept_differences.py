"""What is shown of a release's own version of a kept file: new settings, never a secret, never a binary file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sample import Sample, Tree

from gitdeploy.deployment.plan.kept_diff import masked

SECRET = "s3cr3t-Value"

SPELLINGS = [
    f"PASSWORD={SECRET}",
    f"export DB_PASSWORD='{SECRET}'",
    f"db_password = {SECRET}  # the old one",
    f"password: {SECRET}",
    f'  "api_key": "{SECRET}",',
    f"'secret' => '{SECRET}',",
    f"<token>{SECRET}</token>",
    f"SECRET_KEY := {SECRET}",
    f"app.config['SECRET_KEY'] = '{SECRET}'",
    f"DATABASE_URL=postgresql://shop:{SECRET}@db/shop",
    f"url: redis://:{SECRET}@cache:6379/0",
    f"machine h login u password {SECRET}",
    f"SENTRY_DSN=https://{SECRET}@sentry.example.com/1",
    f"Authorization: Bearer {SECRET}",
    "session: " + "Zm9vYmFy" * 5 + "1",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
    f"password: |\n  first\n  {SECRET}\nport: 1",
    f"secrets:\n  smtp: {SECRET}\n  deep:\n    er: {SECRET}\nport: 1",
    f'PRIVATE_KEY="first\n{SECRET}\nlast"\nPORT=1',
    f"TOKEN=first\\\n{SECRET}\nPORT=1",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_secret_is_masked_however_it_is_written(text: str) -> None:
    shown = "\n".join(masked(text.splitlines()))
    assert SECRET not in shown
    assert "Zm9vYmFyZm9v" not in shown
    assert "***" in shown


@pytest.mark.parametrize("line", ["PORT=8000", "debug: false", "# set the port", "[server]", "workers = 4", ""])
def test_what_is_no_secret_is_shown_as_it_is(line: str) -> None:
    assert masked([line]) == [line]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=6, max_size=40))
def test_whatever_stands_behind_a_name_that_says_so_is_masked(value: str) -> None:
    for line in (f"API_TOKEN={value}", f"password: {value}"):
        (shown,) = masked([line])
        assert value not in shown.partition("***")[0]
        assert shown.endswith("***")


def test_the_log_of_an_upgrade_has_the_new_setting_and_no_secret_and_no_bytes(tmp_path: Path) -> None:
    sample = Sample(tmp_path / "sample", venv=False)
    settings = "source: {type: git}\nvenv: {path: null}\ngit: {keep: [.env, conf.ini, logo.bin, big.key]}\n"
    tree: Tree = {
        "deploy.yaml": settings,
        "conf.ini": "port=1\npassword=old-one\n",
        "logo.bin": b"\x00\x01old",
        "big.key": "a\n",
    }
    sample.release("v1.0.0", tree)
    after: Tree = {
        "conf.ini": "port=1\nworkers=4\npassword=new-one\n",
        "logo.bin": b"\x89PNG\x00\x1b]0;x\x07new",
        "big.key": "bbb\n",
    }
    sample.release("v2.0.0", {**tree, **after})
    sample.install("v1.0.0", branch="main")
    for name in ("conf.ini", "logo.bin", "big.key"):
        (sample.app / name).write_text("mine\n")
    said = sample.gitdeploy("upgrade", "v2.0.0").text
    said += sample.gitdeploy("log", "1").text
    assert "+workers=4" in said
    assert "+password=***" in said, "that it changed is said"
    for secret in ("old-one", "new-one", "bbb", "PNG", "\x1b]0"):
        assert secret not in said
    assert "logo.bin is kept as it is here; the release changed its own version of it (14 B, no text)." in said
    assert (
        "big.key is kept as it is here; the release changed its own version of it (4 B, its content is not shown)."
        in said
    )
