"""What the deployment says, on a page in another language: known sentences are translated, the original stays."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from web.conftest import Web

from gitdeploy.web.words.messages import catalogue, translated

SOURCES = Path(__file__).resolve().parents[2] / "gitdeploy"
GAP = re.compile(r"\{(\w+)(?::([a-z][a-z ]*))?\}")
CHINESE = re.compile("[\u4e00-\u9fff]")


def said_in_the_sources() -> set[str]:
    """Every text of the sources, `{}` where an f-string fills something in."""
    found = set()
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_each_sentence_is_still_said_somewhere() -> None:
    sources = said_in_the_sources()
    assert len(catalogue()) > 40
    for english, chinese in catalogue().items():
        assert GAP.sub("{}", english) in sources, english
        assert {noun for _, noun in GAP.findall(english) if noun} <= sources, english
        names = [name for name, _ in GAP.findall(english)]
        assert len(names) == len(set(names)), english
        assert sorted(names) == sorted(name for name, _ in GAP.findall(chinese)), english
        assert CHINESE.search(chinese), english


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("1 tracked file changed locally: a.py.", "1 个受跟踪的文件在本地有改动：a.py。"),
        ("12 tracked files changed locally: a.py, b {x}.py.", "12 个受跟踪的文件在本地有改动：a.py, b {x}.py。"),
        (
            "The disk is full: the release's objects can't be stored. shop runs v1.0.0 as before; nothing live was touched.",
            "磁盘已满：无法存储新版本的对象。shop 仍运行 v1.0.0；没有改动任何正在运行的内容。",
        ),
        ("Move them away first. Somebody said something new.", None),
        ("many tracked files changed locally: a.py.", None),
        ("", None),
        ("Another deployment runs: " + "x" * 5000 + ".", None),
    ],
)
def test_a_sentence_in_chinese(english: str, chinese: str | None) -> None:
    assert translated(english, "zh") == chinese
    assert translated(english, "en") is None


def test_what_stands_in_the_way_is_said_in_chinese_and_can_be_searched_for_in_english(web: Web) -> None:
    (web.shop.app / "requirements.txt").unlink()
    (web.shop.app / "requirements.txt").symlink_to("elsewhere")
    (web.shop.app / ".git" / "MERGE_HEAD").write_text(web.shop.git("rev-parse", "HEAD", cwd=web.shop.app) + "\n")
    client = web.log_in()
    chinese = client.get("/upgrade/part/plan?tag=v1.1.0&lang=zh").text
    assert "请完成它，或中止它：git merge --abort" in chinese
    assert "个受跟踪的文件在本地有改动：requirements.txt" in chinese
    assert "英文原文" in chinese
    assert "git is in the middle of a merge." in chinese
    english = client.get("/upgrade/part/plan?tag=v1.1.0&lang=en").text
    assert "git is in the middle of a merge." in english
    assert not CHINESE.search(english)
    assert "In English" not in english


def test_a_refusal_says_it_in_the_language_of_who_asks(web: Web) -> None:
    body = {"backup": "20990101-000000-x"}
    chinese = web.post("/api/delete-backup", body, headers={"Accept-Language": "zh-CN"}).json
    assert chinese["error"] == "There is no backup `20990101-000000-x`."
    assert chinese["translated"] == {
        "error": "没有备份 `20990101-000000-x`。",
        "hint": "备份列表中有各备份的编号。",
    }
    assert "translated" not in web.post("/api/delete-backup", body).json
    unknown = web.get("/api/version-history?limit=x", headers={"Accept-Language": "zh-CN"})
    assert unknown.status_code == 400
    assert "translated" not in unknown.json, "what is not known stays English"


@pytest.mark.timeout(60)  # all of them together took minutes before ends of sentences were counted
def test_a_name_that_looks_like_a_thousand_sentences_is_not_searched_for_long() -> None:
    for english in catalogue():
        told = GAP.sub("x. " * 60, english)
        said = translated(f"{told} {'q. ' * 400}", "zh")
        assert said is None or "q. q." in said  # where the template ends with a name
