"""The plan of an upgrade between two small releases, made in this process: what it says beside the files."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace
from support.checkouts import Checkout
from support.sample import Content, Program, Tree

from gitdeploy.cli.plan_text import plan_text
from gitdeploy.cli.screen import Screen
from gitdeploy.deployment.flow.upgrade import plan_upgrade, preflight_summary
from gitdeploy.deployment.plan.copies import copies_ahead
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.deployment.plan.took import _done, reused
from gitdeploy.deployment.prepare.release import Chosen, moved_tag
from gitdeploy.deployment.record.journal import StepTime
from gitdeploy.errors import ConfigError, PolicyError, UsageError
from gitdeploy.site.site import Site
from gitdeploy.site.tags import check_tag
from gitdeploy.state import Database
from gitdeploy.venvs.linked import Linked
from gitdeploy.versions import CodeState

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


def base(version: str, **more: Content) -> dict[str, Content]:
    return {"deploy.yaml": SETTINGS, ".gitignore": "/.env\n", "VERSION": version, **more}


def plan(
    checkout: Checkout,
    then: Tree,
    options: Options | None = None,
    tag: str = "v2.0.0",
    database: Database | None = None,
) -> Plan:
    """From what is checked out to THEN."""
    commit = checkout.commit(then, after=checkout.git("rev-parse", "HEAD"), tag=tag)
    site = Site.open(checkout.root)
    return plan_upgrade(site, database, Chosen(CodeState(tag[1:], tag, commit)), options or Options())


@pytest.fixture
def live(checkout: Checkout) -> Checkout:
    checkout.go(checkout.commit(base("1.0.0"), tag="v1.0.0"))
    return checkout


def test_the_headline_and_the_document(live: Checkout) -> None:
    made = plan(live, base("2.0.0", **{"new/a": "1"}))
    commits = [made.origin.commit[:7], made.target.commit[:7]]
    assert made.headline() == "shop  v1.0.0 ({}) -> v2.0.0 ({})    1 commit, 2 files".format(*commits)
    said = made.as_dict()
    assert said["files"] == {"added": ["new/a"], "changed": ["VERSION"], "deleted": []}
    assert [commit["subject"] for commit in said["commits"]] == ["x"]
    assert said["problems"] == []
    assert said["disk_needed"] > 0
    assert not made.nothing_to_do
    assert preflight_summary(made) == "nothing blocks it"
    assert set(os.listdir(live.root)) == {".git", ".gitignore", "VERSION", "deploy.yaml"}, "nothing is touched"


def test_unexpectedly_much_for_the_backup_is_said_with_figure_paths_and_way_out(live: Checkout) -> None:
    settings = SETTINGS + "backup: {include: [media, notes.db], databases: [sqlite:///notes.db], ask_above: 1 MB}\n"
    for name, size in (
        ("media/video/a", 900_000),
        ("media/photos/b", 90_000),
        ("media/c", 9_000),
        ("notes.db", 1 << 20),
    ):
        (live.root / name).parent.mkdir(parents=True, exist_ok=True)
        with (live.root / name).open("wb") as out:
            out.truncate(size)
    (live.root / "deploy.yaml").write_text(settings)
    ahead = copies_ahead(Site.open(live.root))
    assert (ahead.size, ahead.new, ahead.asks, ahead.warnings) == (999_000 + (1 << 20), 999_000, False, []), (
        "a database is dumped, not copied"
    )
    (live.root / "media/photos/b").write_bytes(b"x" * 100_000)
    made = plan(live, base("2.0.0", **{"deploy.yaml": settings}), Options(local_changes="discard"))
    (warning,) = [warning for warning in made.warnings if "backup.ask_above" in warning]
    assert warning == (
        "The backup copies 1.0 MB that the one before it doesn't have, more than 1 MB (backup.ask_above); most of it: "
        "media/video 900.0 kB, media/photos 100.0 kB, media 9.0 kB. Where that is meant, set backup.ask_above higher; "
        "else name less in backup.include."
    )
    assert made.as_dict()["copies"] == {
        "size": 1_009_000 + (1 << 20),
        "new": 1_009_000,
        "asks": True,
        "biggest": [
            {"path": "media/video", "new": 900_000},
            {"path": "media/photos", "new": 100_000},
            {"path": "media", "new": 9_000},
        ],
    }
    assert not made.problems or "sqlite" in str(made.problems).lower(), "it never speaks against the upgrade"


HISTORY: tuple[tuple[str, tuple[StepTime, ...]], ...] = (  # oldest first
    ("upgrade", (StepTime("build", "done", 90.0), StepTime("switch", "done", 0.1), StepTime("build", "done", 70.0))),
    ("upgrade", (StepTime("dump", "done", 241.0), StepTime("switch", "done", 0.1), StepTime("migrate", "failed", 900.0))),
    ("rehearse", (StepTime("migrate", "done", 800.0),)),
    ("upgrade", (StepTime("backup", "done", 4.9), StepTime("switch", "done", 0.1), StepTime("build", "skipped", 9.0), StepTime("migrate", "done", 12.0))),
    ("backup", (StepTime("backup", "done", 300.0),)),
    ("restore", (StepTime("build", "done", 8.0, reused("1")), StepTime("switch", "done", 0.1))),
)  # fmt: skip


def test_what_took_long_the_last_time_is_told_of_what_there_is_to_do(live: Checkout) -> None:
    hooks = SETTINGS + "hooks: {build: ['true'], migrate: ['true']}\nbackup: {include: [media]}\n"
    (live.root / "deploy.yaml").write_text(hooks)
    new = {"deploy.yaml": hooks, "a": "1"}
    with Database.open(live.root.parent / "state.db") as database:
        for action, steps in HISTORY:
            number = database.begin_deployment(action, "somebody", {}, {})
            database.update_deployment(number, status="succeeded", steps=[step.as_dict() for step in steps])
        discard = Options(local_changes="discard")
        made = plan(live, base("2.0.0", **new), discard, database=database)
        told = [("dump", 241.0, 2), ("build-hooks", 70.0, 1), ("migrate", 12.0, 4)]
        assert [(each["step"], each["seconds"], each["deployment"]) for each in made.as_dict()["last_took"]] == told
        (line,) = [line for line in plan_text(Screen(), made).splitlines() if "last time" in line]
        assert line.split(maxsplit=2)[2] == (
            "dump 4 min 1 s (deployment 2), build hooks 70 s (deployment 1), migrate hooks 12 s (deployment 4)"
        )
        venvs = [[step.as_dict() for step in HISTORY[at][1]] for at in (0, -1)]
        assert [("build", 90.0) in _done(steps) for steps in venvs] == [True, False]
        assert "build" not in dict(_done(venvs[1])), "a venv that was there was not made"
        (live.root / "deploy.yaml").write_text(SETTINGS)
        bare = plan(live, base("2.0.1", a="1"), replace(discard, hooks=False), "v2.0.1", database)
        assert bare.took == (), "what this upgrade doesn't do is not told"
        assert "last time" not in plan_text(Screen(), bare)


def test_the_release_that_is_live_leaves_nothing_to_do(live: Checkout) -> None:
    site = Site.open(live.root)
    commit = live.git("rev-parse", "HEAD")
    assert plan_upgrade(site, None, Chosen(CodeState("1.0.0", "v1.0.0", commit)), Options()).nothing_to_do


def test_hooks_are_those_of_the_release_after_the_switch_and_those_on_disk_before_it(checkout: Checkout) -> None:
    hook = Program("#!/bin/sh\n")
    old = base("1", **{"hooks/pre-deploy": hook, "hooks/post-deploy": hook, "hooks/migrate.d/10-a": hook})
    new = base("2", **{"hooks/pre-deploy.d/1": hook, "hooks/migrate.d/10-a": hook, "hooks/migrate.d/20-b": hook,
                       "hooks/migrate.d/30-c.sample": hook, "hooks/build": hook})  # fmt: skip
    old["deploy.yaml"] = new["deploy.yaml"] = SETTINGS + "hooks: {dir: hooks}\n"
    checkout.go(checkout.commit(old, tag="v1.0.0"))
    made = plan(checkout, new)
    assert {stage: [hook.name for hook in hooks] for stage, hooks in made.hooks.items()} == {
        "pre-deploy": ["hooks/pre-deploy"],
        "build": ["hooks/build"],
        "migrate": ["hooks/migrate.d/10-a", "hooks/migrate.d/20-b"],
    }
    assert made.hook_changes == {
        "hooks/pre-deploy": "deleted",
        "hooks/pre-deploy.d/1": "added",
        "hooks/post-deploy": "deleted",
        "hooks/migrate.d/20-b": "added",
        "hooks/build": "added",
    }
    assert plan(checkout, new, Options(hooks=False), "v2.0.1").hooks == {}


def test_a_hook_that_the_release_brings_without_its_bit_is_a_problem(live: Checkout) -> None:
    (problem,) = plan(
        live, base("2", **{"deploy.yaml": SETTINGS + "hooks: {dir: hooks}\n", "hooks/migrate": "#!/bin/sh\n"})
    ).problems
    assert "hooks/migrate" in problem.message
    assert "execut" in problem.message


def test_the_settings_of_the_release_hold_after_it(live: Checkout) -> None:
    made = plan(live, base("2", **{"deploy.yaml": SETTINGS + "hooks: {timeout: 7}\n"}))
    assert (made.before.hooks.timeout, made.after.hooks.timeout) != (7, 7)
    assert made.after.hooks.timeout == 7
    gone = plan(live, {"VERSION": "2"}, tag="v2.0.1")
    assert gone.after.app.name == live.root.name, "without a deploy.yaml defaults hold"
    with pytest.raises(ConfigError, match=r"deploy\.yaml of the release"):
        plan(live, base("2", **{"deploy.yaml": "no: such\n"}), tag="v2.0.2")


def test_the_version_in_the_env_file_follows_and_nothing_else_of_it(live: Checkout) -> None:
    env = live.root / ".env"
    env.write_text("# mine\nAPP_VERSION='1.0.0'  # live\nTOKEN=x\n")
    made = plan(live, base("2"))
    (change,) = [change for change in made.changes if change.path == b".env"]
    assert change.content == b"# mine\nAPP_VERSION='2.0.0'  # live\nTOKEN=x\n"
    assert made.version_file == ".env"
    assert made.kept == [".env"]
    assert made.files("changed") == [".env", "VERSION"]
    env.write_text("TOKEN=x\n")
    assert plan(live, base("2"), tag="v2.0.1").version_file is None
    env.unlink()
    (live.root / "other").write_text("APP_VERSION=1.0.0\n")
    env.symlink_to("other")
    linked = plan(live, base("2"), tag="v2.0.2")
    assert linked.version_file is None
    assert ".env is a symbolic link: APP_VERSION in it is not changed." in linked.warnings


def test_local_changes_are_dealt_with_as_the_caller_or_the_settings_say(live: Checkout) -> None:
    (live.root / "VERSION").write_text("mine")
    refused = plan(live, base("2"))
    assert "changed locally: VERSION." in refused.problems[0].message
    discarded = plan(live, base("2"), Options(local_changes="discard"), "v2.0.1")
    assert discarded.problems == ()
    assert discarded.as_dict()["local_changes"] == ["VERSION"]
    (live.root / "deploy.yaml").write_text(SETTINGS + "git: {local_changes: discard}\n")
    assert plan(live, base("2"), tag="v2.0.2").problems == ()


def test_files_as_they_will_be(live: Checkout) -> None:
    """What stays on disk beside the release is read there, never through a link, wherever that leads."""
    for name, target in (("own", None), ("out", "/etc/passwd"), ("in", "own")):
        place = live.root / name
        place.symlink_to(target) if target else place.write_text("mine")
    made = plan(live, base("2", **{"sub/new": "n"}))
    site = Site.open(live.root)
    files = TargetFiles(site.repository, site.root, made.goal, made.checkout)
    wanted = {"VERSION": b"2", "sub/new": b"n", "own": b"mine", "none": None}
    assert {name: files.read(name) for name in wanted} == wanted
    for name in ("out", "in"):
        with pytest.raises(Linked, match=f"{name} is a symbolic link"):
            files.read(name)
    files.export(live.root.parent / "out", None)
    out = live.root.parent / "out"
    assert (out / ".git").exists(), "a build that reads its version from git finds the release as a checkout"
    exported = sorted(
        path.name for path in out.rglob("*") if path.is_file() and ".git" not in path.relative_to(out).parts
    )
    assert exported == [".gitignore", "VERSION", "deploy.yaml", "new"]


# ---- which release ----


def test_a_tag_that_is_no_release_is_a_usage_error() -> None:
    check_tag("v1.0.0")
    for tag in ("", "-x", "../x", "HEAD", "a" * 40, "v1\n"):
        with pytest.raises(UsageError, match="can't be a release"):
            check_tag(tag)


A, B = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("known", "where"),
    [
        ([], None),
        ([(None, "here"), (A, "when it was first seen")], None),
        ([(B, "here")], "here"),
        ([(A, "here"), (B, "at the source"), (B, "elsewhere")], "at the source"),
    ],
)
def test_a_tag_that_moved_is_refused_by_the_first_who_knows_it_otherwise(
    known: list[tuple[str | None, str]], where: str | None
) -> None:
    found = moved_tag("v1", A, known)
    if where is None:
        assert found is None
        return
    assert isinstance(found, PolicyError)
    assert found.message == f"Tag v1 was moved: its commit is {A[:12]} now, {where} it is {B[:12]}."
    assert "--accept-moved-tag" in found.hint
