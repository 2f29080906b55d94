"""A rehearsal from the page: the button beside Upgrade, and what it came to."""

from __future__ import annotations

import re

from support.sample import differences
from web.conftest import Web


def _last(web: Web) -> str:
    """Which deployment the page calls the last one."""
    (found,) = re.findall('data-last="([^"]*)"', web.get("/part/now").text)
    return str(found)


def test_it_is_begun_and_shown(web: Web) -> None:
    before, last = web.shop.state(), _last(web)
    asked = web.get("/part/update?force=true").text
    assert 'data-do="rehearse" data-tag="v1.2.0"' in asked
    assert "data-rehearsal" not in asked
    said = web.post("/api/rehearse", {"tag": "v1.2.0"}).json
    assert said["success"], said
    assert differences(before, web.shop.state()) == []
    assert "v1.2.0 passed its rehearsal: no migration, not started (rehearse.command)" in said["message"]
    for part in ("update", "plan?tag=v1.2.0"):
        shown = web.get(f"/part/{part}").text
        assert "Rehearsed " in shown
        assert "not started (rehearse.command)" in shown
    told = web.get("/api/plan?tag=v1.2.0").json["data"]["rehearsal"]
    assert (told["passed"], told["back"], told["stale"]) == (True, "not_tried", "")
    assert web.get("/api/plan?tag=v1.1.0").json["data"]["rehearsal"] is None
    # It changed nothing, so that it is not what the page says of the last deployment.
    assert _last(web) == last
    assert web.post("/api/rehearse", {"tag": "-x"}).status_code == 400
