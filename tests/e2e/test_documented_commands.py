"""Each command line of a code block of README and docs is run, on an app that is as the page says it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from docs.commands import Command, typed
from support.sample import Sample

# What a page calls by a name of its own, and is called so here.
HERE = {
    "/srv/otrs/checkout": "{folder}/otrs", "/srv/otrs-jobs": "{app}", "/srv/shop": "{app}", "/srv/hello": "{app}", "~/shop": "{app}",
    "20261126-0710": "latest", "ID": "1", "/mnt/elsewhere/shop.backup": "{folder}/away.backup", "~/shop.backup": "{folder}/kept.backup",
}  # fmt: skip
NOT_HERE = {
    "fleet": "needs servers: fleet/test_fleet_hosts.py, fleet/test_fleet_rollout.py",  # each line that begins so
    "web": "serves until it is ended: web/test_web_command.py",
    "web --all": "serves until it is ended: web/test_web_together.py",
    "watch": "looks until it is ended: test_watch.py",
    "web --all --install-unit": "writes to /etc, under systemd: services/",
    "watch --once --install-unit": "writes to /etc, under systemd: test_hands.py, services/",
    "recover --install-unit": "writes to /etc, under systemd: services/test_services_boot.py",
    "-C /srv/otrs-web recover --install-unit": "writes to /etc, under systemd: services/test_services_boot.py",
    "restore 20261126-0710 --with-data --identity /media/usb/backup.key": "needs age and a key: e2e/test_encrypted_backups.py",
    "rehearse v1.3.0 --keep": "starts the app: e2e/test_rehearsal.py",
    "web --all token add li": "needs the user gitdeploy: web/test_web_together.py",
    "web --all token add dashboard --read-only --expires 90d": "needs the user gitdeploy: web/test_web_together.py",
    "web --all token list": "needs the user gitdeploy: web/test_web_together.py",
    "doctor --print-polkit": "needs a systemd unit to restart: services/",
}
# Those that end otherwise than with 0, as the page says or because there is nothing to do it with here.
ENDS_WITH = {
    "doctor": {0, 1},  # what it finds here
    "notify test": {0, 1, 2},  # nobody is to be told
    "init": {2},  # deploy.yaml is there
    "web token revoke li": {2},  # no such token: made by the line before, which runs on another copy
}  # fmt: skip

TESTS = Path(__file__).parents[1]


def lines() -> dict[str, Command]:
    """Each command line once."""
    return {each.line.replace("'", ""): each for each in typed() if each.words and each.words != ("--version",)}


def test_the_table_has_no_line_that_no_page_shows() -> None:
    assert NOT_HERE.keys() - {"fleet"} <= lines().keys()
    named = {name for why in NOT_HERE.values() for name in why.split(": ")[1].split(", ")}
    assert [name for name in named if not (TESTS / name).exists()] == []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """v1.0.0 was upgraded to v1.0.1; every release that a page names is newer."""
    sample = Sample(tmp_path_factory.mktemp("documented"), venv=False)
    wanted = {tag for each in lines().values() for tag in each.words if re.fullmatch(r"v\d+(\.\d+)+", tag)}
    ordered = sorted(wanted, key=lambda tag: [int(part) for part in tag[1:].split(".")])
    for tag in ["v1.0.0", "v1.0.1", *ordered]:
        sample.release(
            tag,
            {
                "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n",
                "VERSION": tag,
                "manage.py": "",
            },
        )
    sample.install("v1.0.0", branch="main")
    sample.extra_environment["GITDEPLOY_APPS"] = str(sample.folder / "apps.yaml")
    (sample.folder / "apps.yaml").write_text(f"apps:\n  shop: {sample.app}\n  otrs: {sample.folder}/otrs\n")
    sample.gitdeploy("upgrade", "v1.0.1")
    sample.gitdeploy("backup")
    sample.gitdeploy("backups", "export", "latest", str(sample.folder / "kept.backup"))
    sample.gitdeploy("backups", "delete", "latest", "--yes")
    sample.keep()
    shutil.copytree(sample.app, sample.folder / "otrs", symlinks=True)
    return sample


def here(shop: Sample, command: Command) -> list[str]:
    """Its words, with what the page calls otherwise."""
    words = [HERE.get(word, word).format(app=shop.app, folder=shop.folder) for word in command.words]
    bare = [word for word in words if not word.startswith("-")]
    asks = bare[:1] in (["upgrade"], ["rollback"]) or "--with-data" in words
    return [*words, *(["--yes"] if asks and "--yes" not in words and "--dry-run" not in words else [])]


def _left_out(line: str) -> bool:
    return line in NOT_HERE or line.startswith("fleet ")


def test_what_the_pages_show_works(shop: Sample) -> None:
    wrong = []
    for line, command in lines().items():
        if _left_out(line):
            continue
        shop.reset()
        done = shop.gitdeploy(
            *here(shop, command), code=None, env=dict(each.split("=", 1) for each in command.variables)
        )
        if done.code not in ENDS_WITH.get(line, {0}) or "did not foresee" in done.text:
            wrong.append(f"gitdeploy {line}: exit code {done.code}\n{done.text}")
    assert not wrong, "\n".join(wrong)
