"""As a bare server starts it: from cron, from a unit, from a shell with another umask, locale, time zone or limit."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Shop, tree
from support import needs
from support.sample import Done, Program, Tree, differences, installed

NAMES = {"文档/说明.txt": "你好\n", "für alle.txt": "grüezi\n", b"not utf-8 \xff": "bytes\n"}
MANY = {f"many/{number}.txt": f"{number}\n" for number in range(600)}
HOOK = Program("#!/bin/sh\necho 钩子 ran\n")
KEPT = "设置.txt"
KEEPS = f"app: {{name: shop}}\nsource: {{type: git}}\nhooks: {{dir: hooks}}\ngit: {{keep: [{KEPT}]}}\n"
RELEASE: Tree = {
    **tree("3.0.0", "2.0", **{"hooks/post-deploy": HOOK, "deploy.yaml": KEEPS, KEPT: "release's\n"}),
    **MANY,
    **NAMES,
}
NEEDED = ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PYTHONPATH", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")

CHINESE = {"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "zh_CN:zh", "TZ": "Asia/Shanghai"}
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

SERVERS: dict[str, dict[str, Any]] = {
    "no variables, umask 077": {"empty": True, "umask": 0o077},
    "the C locale, umask 002, 256 files": {"env": {"LC_ALL": "C"}, "umask": 0o002, "files": 256},
    "the C locale, Python not in UTF-8": {"env": NO_UTF8},
    "a Chinese locale, umask 000": {"env": CHINESE, "umask": 0},
    "a Chinese locale in GBK": {"env": {"LC_ALL": "zh_CN.GBK"}},
    "Turkish, where I is not an i, a time zone that does not exist, 64 files": {
        "env": {"LC_ALL": "tr_TR.UTF-8", "TZ": "Mars/Olympus"},
        "files": 64,
    },
    "Python as on a developer's machine": {"env": {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}},
}


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The locales of the table, made where the machine can make them (its own, or none, where it can't)."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None:
        return None
    for name, charset in (("zh_CN", "UTF-8"), ("zh_CN", "GBK"), ("tr_TR", "UTF-8")):
        made = subprocess.run(
            ["localedef", "-i", name, "-f", charset, folder / f"{name}.{charset}"], capture_output=True
        )
        if made.returncode > 1:  # 1: with warnings
            return None
    return folder


def run(shop: Shop, server: Mapping[str, Any], locales: Path | None, *words: str) -> Done:
    environment = dict(shop.environment)
    if server.get("empty"):
        environment = {name: environment[name] for name in NEEDED}
    for name, value in server.get("env", {}).items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    if locales is not None:
        environment["LOCPATH"] = str(locales)
    needs.this_python(environment)

    def enter() -> None:
        os.umask(server.get("umask", 0o022))
        if "files" in server:
            resource.setrlimit(resource.RLIMIT_NOFILE, (server["files"], server["files"]))

    done = subprocess.run(
        [sys.executable, "-m", "gitdeploy", *words],
        cwd=shop.app,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=enter,  # two system calls
        timeout=120,
    )
    out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    assert done.returncode == 0, out + err
    return Done(done.returncode, out, err)


def live(shop: Shop) -> dict[str, Any]:
    """What must be the same on every server: all but the ids of commits and generations."""
    state = shop.state()
    modes = {path: facts[:2] for path, facts in state["venv"].items() if facts[0] == "file"}
    return {**{name: state[name] for name in ("files", "status", "index", "packages", "locks")}, "venv": modes}


@pytest.fixture(scope="module")
def expected(shop_once: Shop) -> dict[str, Any]:
    """The release as it is live where nothing is special."""
    shop_once.reset()
    shop_once.release("v3.0.0", RELEASE)
    shop_once.gitdeploy("upgrade", "v3.0.0", "--accept-config", "git.keep")
    return live(shop_once)


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_the_same_on_every_server(
    shop: Shop, expected: dict[str, Any], server: dict[str, Any], locales: Path | None
) -> None:
    shop.release("v3.0.0", RELEASE)
    shop.release("v3.0.1", {**RELEASE, KEPT: "release's again\n", "VERSION": "3.0.1"})
    before = live(shop)
    run(shop, server, locales, "upgrade", "v3.0.0", "--accept-config", "git.keep")
    assert differences(expected, live(shop)) == []
    (shop.app / KEPT).write_text("ours\n")
    run(shop, server, locales, "upgrade", "v3.0.1")
    assert ((shop.app / KEPT).read_text(), (shop.app / "VERSION").read_text()) == ("ours\n", "3.0.1")
    for words in ("status", "log 2", "doctor"):
        done = run(shop, server, locales, *words.split())
        assert "did not foresee" not in done.text
    run(shop, server, locales, "restore", "latest", "--yes")
    (shop.app / KEPT).unlink()
    run(shop, server, locales, "rollback", "v1.0.0", "--yes")
    assert differences(before, live(shop)) == []
    assert installed(shop.app / "venv") == ["greeting==1.0"]


def test_times_are_those_of_the_server(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0", env={"TZ": "UTC"})
    shown = {
        zone: shop.gitdeploy("log", env={"TZ": zone}).out.splitlines()[1].split()[1:3] for zone in ("UTC-3", "UTC+4")
    }
    hours = {zone: int(words[1][:2]) for zone, words in shown.items()}
    assert (hours["UTC-3"] - hours["UTC+4"]) % 24 == 7
