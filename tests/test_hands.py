"""What makes work at a terminal easy: completion, tables that fit, units and rules that are ready."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import needs
from support.sample import Sample

from gitdeploy.cli.tables import table_text
from gitdeploy.services.rights import VERBS, polkit, sudoers
from gitdeploy.text import width_of

WORDS = st.text(alphabet="ab 备份é", max_size=60).map(lambda text: " ".join(text.split()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Sample(tmp_path_factory.mktemp("hands"), venv=False)
    tree = {"deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: null}\n", "a": "1\n"}
    made.release("v1.0.0", tree)
    made.release("v2.0.0", {**tree, "a": "2\n"})
    made.install("v1.0.0", branch="main")
    made.gitdeploy("upgrade", "v2.0.0")
    made.gitdeploy("skip", "v2.0.0", "--reason", "slow")
    return made


def offered(shop: Sample, *words: str) -> list[str]:
    """What bash would offer for the last of WORDS."""
    line = ["gitdeploy", "-C", str(shop.app), *words]
    environment = {
        **os.environ, **shop.environment,
        "_GITDEPLOY_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1),
    }  # fmt: skip
    argv = [os.path.join(os.path.dirname(sys.executable), "gitdeploy")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return [entry.partition(",")[2] for entry in done.stdout.splitlines() if entry]


def test_completion_offers_what_is_there(shop: Sample) -> None:
    backup = json.loads(shop.gitdeploy("backups", "--json").out)[0]["id"]
    assert {"v1.0.0", "v2.0.0"} <= set(offered(shop, "upgrade", "v"))
    assert offered(shop, "plan", "v1") == ["v1.0.0"]
    assert offered(shop, "restore", "") == ["latest", backup]
    assert offered(shop, "backups", "show", backup[:4]) == [backup]
    assert offered(shop, "log", "") == ["1"]
    assert offered(shop, "unskip", "") == ["v2.0.0"]
    assert "v1.0.0" in offered(shop, "rollback", "")
    assert "django-migrate" in offered(shop, "hooks", "install", "dj")
    assert "migrate" in offered(shop, "hooks", "run", "mi")


def test_where_nothing_can_be_read_nothing_is_offered(shop: Sample) -> None:
    settings = (shop.app / "deploy.yaml").read_text()
    (shop.app / "deploy.yaml").write_text("app: [\n")
    assert offered(shop, "upgrade", "v") == []
    (shop.app / "deploy.yaml").write_text(settings)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5), st.integers(20, 100))
def test_a_table_keeps_every_word_whole_and_fits_where_words_let_it(
    rows: Sequence[tuple[str, str, str]], most: int
) -> None:
    text = table_text([("ID", "WHAT", "WHY"), *rows], most)
    widest_word = max(width_of(word) for row in rows for cell in row for word in ["備", *cell.split()])
    if 3 * max(widest_word, 10) + 4 <= most:
        assert all(width_of(line) <= most for line in text.splitlines())
    pieces = "".join(text.split())
    assert sorted(pieces) == sorted("".join(c for row in (("ID", "WHAT", "WHY"), *rows) for c in "".join(row).split()))
    for cell in (cell for row in rows for cell in row):
        for word in cell.split():
            assert not word.isascii() or word in text


def test_in_a_pipe_a_row_is_a_line() -> None:
    row = ("1", "word " * 60)
    assert table_text([("ID", "WHAT"), row], 0).count("\n") == 1


def test_the_rules_are_whole_and_for_the_apps_units_alone(shop: Sample) -> None:
    settings = (shop.app / "deploy.yaml").read_text()
    assert "No systemd unit" in shop.gitdeploy("doctor", "--print-sudoers", code=2).err
    (shop.app / "deploy.yaml").write_text(settings + "service: {systemd: [shop, 'shop-worker@1']}\n")
    rule = shop.gitdeploy("doctor", "--print-sudoers").out
    assert "/etc/sudoers.d/shop" in rule
    assert all(f"systemctl {verb} shop-worker@1.service" in rule for verb in VERBS)
    assert '"shop.service", "shop-worker@1.service"' in shop.gitdeploy("doctor", "--print-polkit").out
    (shop.app / "deploy.yaml").write_text(settings)


def test_visudo_takes_the_rule_whatever_a_unit_is_called(tmp_path: os.PathLike[str]) -> None:
    visudo = needs.program("visudo")
    file = os.path.join(tmp_path, "rule")
    with open(file, "w") as out:
        out.write(sudoers("app.user", ["srv-a\\x2db.service", "a:b@1.service"], "/usr/bin/systemctl"))
    os.chmod(file, 0o440)
    done = subprocess.run([visudo, "-cf", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_polkits_rule_is_javascript_that_lets_only_that(tmp_path: os.PathLike[str]) -> None:
    node = shutil.which("node") or pytest.skip("not here: node, which runs the rule as polkit would")
    rule = polkit('o"trs', ["a.service"])
    asked = "[['a.service','restart'],['b.service','restart'],['a.service','enable']]"
    script = (
        "let made; const polkit = {addRule: f => { made = f; }, Result: {YES: 'yes'}};" + rule +
        f"console.log({asked}.map(([unit, verb]) => made({{id: 'org.freedesktop.systemd1.manage-units', "
        "lookup: n => ({unit, verb})[n]}, {user: 'o\"trs'}) || 'no').join())"
    )  # fmt: skip
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "yes,no,no", done.stderr


def test_units_are_printed_apart_and_installed_by_root_alone(shop: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    timer = shop.gitdeploy("watch", "--once", "--print-unit", "timer").out
    assert timer.startswith("# /etc/systemd/system/shop-watch.timer")
    assert "[Service]" not in timer
    both = shop.gitdeploy("watch", "--once", "--print-unit").out
    assert both.count("# ---- the next file ----") == 1
    assert "There is a timer with --once only." in shop.gitdeploy("watch", "--print-unit", "timer", code=2).err
