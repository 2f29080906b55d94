"""Who did it, and where a setting comes from, in the reader's language; JSON stays English."""

from __future__ import annotations

import json
from pathlib import Path

from support.sample import Sample

from gitdeploy.messages import Message, render
from gitdeploy.state.rows import acting_for, who_said


def test_who_acts_for_whom_and_what_nobody_set(tmp_path: Path) -> None:
    sample = Sample(tmp_path, venv=False)
    sample.release("v1.0.0", {"deploy.yaml": "app: {name: hello}\nsource: {type: git}\n"})
    sample.install("v1.0.0")
    by = {"GITDEPLOY_PERFORMER": "alice (as root) (as hello)"}
    sample.gitdeploy("backup", env=by)
    sample.gitdeploy("lock", env=by)
    for words in (("log",), ("status",), ("upgrade", "v1.0.0")):
        said = sample.gitdeploy("--lang", "zh", *words, code=None).text
        assert "alice（以 root 身份）（以 hello 身份）" in said
        assert "(as hello)" in sample.gitdeploy("--lang", "en", *words, code=None).text
    assert (
        json.loads(sample.gitdeploy("--lang", "zh", "log", "--json").out)[0]["performer"] == by["GITDEPLOY_PERFORMER"]
    )
    shown = sample.gitdeploy("--lang", "zh", "config", "show").out
    assert "默认" in shown
    assert "default" not in shown
    document = json.loads(sample.gitdeploy("--lang", "zh", "config", "show", "--json").out)
    assert "default" in {each["from"] for each in document}


def test_only_what_was_written_so_is_a_sentence() -> None:
    assert isinstance(who_said("root (as shop)"), Message)
    assert who_said("root (as shop)") == acting_for("root", "shop") == "root (as shop)"
    for name in ("root", "someone (a b)", "(as x)", "web"):
        assert not isinstance(who_said(name), Message)
        assert render(who_said(name)) == name
