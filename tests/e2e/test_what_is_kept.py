"""Nothing of the operator's is lost: local edits, keep paths, files in the way, and what git must not run."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from support.sample import Link, Program, Sample, Tree, differences

from gitdeploy import App
from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import GitDeployError, PolicyError

SETTINGS = "app: {name: kept}\nsource: {type: git}\ngit: {keep: [.env, conf/settings.ini]}\n"


def tree(version: str, **more: Any) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        "main.py": f"first = 1\n\n\n\nversion = {version!r}\n",
        "conf/settings.ini": "[main]\nnew = yes\n" if version == "2.0.0" else "[main]\n",
        ".gitignore": "*.log\n/data.db\n",
        **{name.replace("__", "/"): content for name, content in more.items()},
    }


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    sample = Sample(tmp_path, venv=False)
    sample.release("v1.0.0", tree("1.0.0", lib__a="a\n", plain="file\n", tool=Program("#!/bin/sh\n")))
    sample.release("v2.0.0", tree("2.0.0", lib="now a file\n", plain__inner="now a folder\n", tool=Link("main.py")))
    sample.install("v1.0.0", branch="main")
    return sample


def go(sample: Sample, **options: Any) -> Any:
    return App.open(sample.app).upgrade("v2.0.0", Options(**options))


def back(sample: Sample) -> None:
    App.open(sample.app).restore("latest")


def refused(sample: Sample, *says: str) -> GitDeployError:
    before = sample.state()
    with pytest.raises(GitDeployError) as caught:
        go(sample)
    text = "\n".join((caught.value.message, caught.value.hint, *caught.value.details))
    for words in says:
        assert words in text, text
    assert differences(before, sample.state()) == []
    return caught.value


def test_local_edits_are_refused_with_the_three_ways_out(sample: Sample) -> None:
    (sample.app / "main.py").write_text("mine\n")
    error = refused(sample, "main.py", "--merge-local-changes", "--discard-local-changes", "keep")
    assert isinstance(error, PolicyError)
    assert error.exit_code == 7


def test_local_edits_are_merged_and_a_restore_has_them_alone(sample: Sample) -> None:
    mine = "first = 2\n\n\n\nversion = '1.0.0'\n"
    (sample.app / "main.py").write_text(mine)
    before = sample.state()
    go(sample, local_changes="merge")
    assert (sample.app / "main.py").read_text() == "first = 2\n\n\n\nversion = '2.0.0'\n"
    back(sample)
    assert (sample.app / "main.py").read_text() == mine
    assert differences(before, sample.state()) == []


def test_a_conflict_stops_before_anything_is_touched(sample: Sample) -> None:
    (sample.app / "main.py").write_text("first = 1\n\n\n\nversion = 'mine'\n")
    before = sample.state()
    with pytest.raises(PolicyError) as caught:
        go(sample, local_changes="merge")
    assert "main.py" in "\n".join((caught.value.message, *caught.value.details))
    assert differences(before, sample.state()) == []


def test_discarded_edits_come_back_with_the_backup(sample: Sample) -> None:
    (sample.app / "main.py").write_text("mine\n")
    (sample.app / "conf/settings.ini").write_text("mine too\n")
    sample.git("rm", "-q", "--cached", "plain")
    (sample.app / "staged").write_text("new\n")
    sample.git("add", "staged")
    (sample.app / ".env").write_text("KEY=own\nAPP_VERSION=1.0.0\n")
    for name in ("tool", "plain", ".env"):
        (sample.app / name).chmod(0o600)
    before = sample.state()
    go(sample, local_changes="discard")
    assert "2.0.0" in (sample.app / "main.py").read_text()
    assert (sample.app / "conf/settings.ini").read_text() == "mine too\n"
    back(sample)
    assert differences(before, sample.state()) == []
    for name in ("tool", "plain", ".env"):
        assert stat.S_IMODE((sample.app / name).stat().st_mode) == 0o600, name


def test_a_kept_file_stays_and_what_the_release_changed_in_it_is_shown(sample: Sample) -> None:
    (sample.app / "conf/settings.ini").write_text("[main]\nmine = yes\n")
    result = go(sample)
    assert (sample.app / "conf/settings.ini").read_text() == "[main]\nmine = yes\n"
    said = "\n".join(result.log)
    assert "conf/settings.ini is kept as it is here; the release changed its own version of it:" in said
    assert "+new = yes" in said
    back(sample)
    assert (sample.app / "conf/settings.ini").read_text() == "[main]\nmine = yes\n"


def test_an_ignored_file_that_the_release_tracks_is_not_overwritten(sample: Sample) -> None:
    (sample.app / "data.db").write_text("years of data\n")
    sample.release("v3.0.0", {**tree("3.0.0"), "data.db": "a default\n"})
    before = sample.state()
    with pytest.raises(GitDeployError) as caught:
        App.open(sample.app).upgrade("v3.0.0")
    text = "\n".join((caught.value.message, caught.value.hint, *caught.value.details))
    assert "data.db" in text
    assert "keep: [" in text, "the line of deploy.yaml that would settle it"
    assert differences(before, sample.state()) == []


def test_data_that_the_release_no_longer_tracks_but_ignores_stays(sample: Sample) -> None:
    sample.release("v1.5.0", {**tree("1.5.0"), "data.db": "a default\n"})
    App.open(sample.app).upgrade("v1.5.0")
    (sample.app / "data.db").write_text("years of data\n")
    App.open(sample.app).upgrade("v2.0.0", Options(local_changes="discard"))
    assert (sample.app / "data.db").read_text() == "years of data\n"
    assert (sample.app / "data.db").exists()


def test_an_untracked_folder_in_the_way_is_refused(sample: Sample) -> None:
    (sample.app / "lib/mine").write_text("mine\n")
    refused(sample, "lib")


def test_hooks_and_programs_of_the_repository_never_run(sample: Sample) -> None:
    trap = sample.app / ".git" / "trap"
    program = f"#!/bin/sh\ntouch {trap}\n"
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "post-merge"):
        hook = sample.app / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(program)
        hook.chmod(0o755)
    monitor = sample.app / ".git" / "monitor"
    monitor.write_text(program)
    monitor.chmod(0o755)
    sample.git("config", "core.fsmonitor", str(monitor))
    sample.git("config", "alias.status", f"!touch {trap}")
    sample.git("config", "diff.external", str(monitor))
    trap.unlink(missing_ok=True)
    go(sample)
    back(sample)
    assert not trap.exists()


def test_the_branch_is_not_moved_and_head_comes_back_to_it(sample: Sample) -> None:
    before = sample.git("rev-parse", "main")
    go(sample)
    assert sample.git("rev-parse", "main") == before
    assert len((sample.app / ".git/HEAD").read_text().strip()) == 40
    back(sample)
    assert (sample.app / ".git/HEAD").read_text() == "ref: refs/heads/main\n"


def test_commits_made_on_the_server_are_refused(sample: Sample) -> None:
    sample.git("commit", "-q", "--allow-empty", "-m", "a quick fix at 2 a.m.")
    refused(sample, "a quick fix at 2 a.m.", "--discard-local-changes")


def test_a_merge_under_way_is_refused(sample: Sample) -> None:
    (sample.app / ".git/MERGE_HEAD").write_text(sample.git("rev-parse", "HEAD") + "\n")
    refused(sample, "merge")


def test_a_linked_worktree(sample: Sample) -> None:
    linked = sample.folder / "linked"
    sample.git("worktree", "add", "-q", "--detach", str(linked), "v1.0.0")
    main, sample.app = sample.app, linked
    result = App.open(linked).upgrade("v2.0.0")
    assert "2.0.0" in (linked / "main.py").read_text()
    assert "1.0.0" in (main / "main.py").read_text()
    assert result.backup is not None
    App.open(linked).restore(result.backup)
    assert sample.git("status", "--porcelain") == ""
    assert "1.0.0" in (linked / "main.py").read_text()


def test_a_shallow_clone(sample: Sample) -> None:
    shallow = sample.folder / "shallow"
    sample.git(
        "clone", "-q", "--depth", "1", "--branch", "v1.0.0", f"file://{sample.remote}", str(shallow), cwd=sample.folder
    )
    sample.app = shallow
    before = sample.state()
    result = App.open(shallow).upgrade("v2.0.0")
    assert "2.0.0" in (shallow / "main.py").read_text()
    assert result.backup is not None
    App.open(shallow).restore(result.backup)
    assert differences(before, sample.state()) == []
