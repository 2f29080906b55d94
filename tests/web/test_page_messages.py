"""What the deployment says, on a page in another language: known sentences are translated, the original stays."""

from __future__ import annotations

import re

from web.conftest import Web

from gitdeploy.deployment.record.events import ignore
from gitdeploy.deployment.record.journal import Journal, StepTime
from gitdeploy.messages import tr
from gitdeploy.state import Database, DeploymentLock
from gitdeploy.state.sqlite import now
from gitdeploy.system.progress import HowFar

CHINESE = re.compile("[\u4e00-\u9fff]")


def test_what_stands_in_the_way_is_said_in_chinese_and_can_be_searched_for_in_english(web: Web) -> None:
    (web.shop.app / "requirements.txt").unlink()
    (web.shop.app / "requirements.txt").symlink_to("elsewhere")
    (web.shop.app / ".git" / "MERGE_HEAD").write_text(web.shop.git("rev-parse", "HEAD", cwd=web.shop.app) + "\n")
    with Database.open(web.shop.app / ".gitdeploy" / "state.db") as database:
        number = database.begin_deployment("upgrade", "somebody", {}, {})
        copied = StepTime("backup", "done", 41.0).as_dict()
        database.update_deployment(number, status="succeeded", ended_at=now(), duration=50.0, steps=[copied])
    client = web.log_in()
    chinese = client.get("/upgrade/part/plan?tag=v1.1.0&lang=zh").text
    assert re.search("上次用时: [\u4e00-\u9fff]+ 41 秒<", chinese)
    assert "请完成它，或中止它：git merge --abort" in chinese
    assert "个受跟踪的文件在本地有改动：requirements.txt" in chinese
    assert "英文原文" in chinese
    assert "git is in the middle of a merge." in chinese
    english = client.get("/upgrade/part/plan?tag=v1.1.0&lang=en").text
    assert "git is in the middle of a merge." in english
    assert "Took the last time: Back up 41 s<" in english
    assert not CHINESE.search(english)
    assert "In English" not in english


def test_how_far_long_work_has_come(web: Web) -> None:
    """In the running step, by page, API and stream; what a database is called is nobody's markup."""
    state = web.shop.app / ".gitdeploy"
    client = web.log_in()
    with (
        Database.open(state / "state.db") as database,
        DeploymentLock(state / "lock").acquire(who="x", command="upgrade"),
    ):
        live = {"version": "1.0.0", "tag": "v1.0.0", "commit": "0" * 40}
        journal = Journal(database, database.begin_deployment("upgrade", "somebody", live, live), ignore)
        with journal.step("dump"):
            what = tr("dump of {database}", database="<i>shop")
            journal.how_far(HowFar(what, 412_000_000, 1_200_000_000, "bytes", 0.0, 11.0, 38e6, about=True))
            page = client.get("/upgrade/?lang=zh").text
            assert "转储 &lt;i&gt;shop：412.0 MB / 约 1.2 GB，38.0 MB/s，剩余约 21 秒" in page
            assert "<i>shop" not in page
            (step,) = web.get("/api/upgrade-log?lang=zh").json["steps"]
            assert step["progress"]["what"] == "转储 <i>shop"
            (step,) = web.get("/api/upgrade-log").json["steps"]
            told = {name: step["progress"][name] for name in ("what", "done", "total", "about", "unit", "rate", "left")}
    assert told == {
        "what": "dump of <i>shop", "done": 412_000_000, "total": 1_200_000_000, "about": True, "unit": "bytes",
        "rate": 38e6, "left": 20.7,
    }  # fmt: skip


def test_a_refusal_says_it_in_the_language_of_who_asks(web: Web) -> None:
    body = {"backup": "20990101-000000-x"}
    chinese = web.post("/api/delete-backup", body, headers={"Accept-Language": "zh-CN"}).json
    assert chinese["error"] == "There is no backup `20990101-000000-x`."
    assert chinese["translated"] == {
        "error": "没有备份 `20990101-000000-x`。",
        "hint": "备份列表中有各备份的编号。",
    }
    assert "translated" not in web.post("/api/delete-backup", body).json
    assert chinese["error_code"] == "There is no backup `{identity}`."
    assert chinese["error_params"] == {"identity": "20990101-000000-x"}


def test_the_log_reads_in_the_language_of_who_asks_also_long_after(web: Web) -> None:
    web.post("/api/backup", {})
    english = web.get("/api/upgrade-log?deployment=1").json
    chinese = web.get("/api/upgrade-log?deployment=1&lang=zh").json
    assert not CHINESE.search("".join(english["log"]))
    assert CHINESE.search("".join(chinese["log"]))
    assert [line["seq"] for line in english["lines"]] == [line["seq"] for line in chinese["lines"]]
    assert [step["summary_code"] for step in english["steps"]] == [step["summary_code"] for step in chinese["steps"]]
    assert web.get("/api/upgrade-log?lang=fr").status_code == 400
