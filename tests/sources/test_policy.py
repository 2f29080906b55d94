"""The policy by which a release is judged comes from no release: whole releases with a deploy.yaml of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import ALL
from support.sample import Content, Link, Program, differences

from gitdeploy import App
from gitdeploy.config.pins import read_pins
from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import PolicyError, RolledBack, UsageError
from gitdeploy.site.policy import signers_in_force
from sources.conftest import Shop, make_shop, tree

FIRST = "app: {name: shop}\nsource: {type: git}\nvenv: {path: }\nhooks: {dir: hooks}\n"
MOVED = FIRST.replace("{type: git}", "{type: git, remote: 'https://evil.example/x.git'}")


@pytest.fixture
def tracked(template: Path, tmp_path: Path) -> Iterator[Shop]:
    """v2.0.0 is live, whose deploy.yaml is tracked."""
    shop = make_shop(template, tmp_path, ALL["git"])
    (shop.sample.app / "deploy.yaml").write_text(FIRST)
    bring(shop, "v2.0.0", FIRST)
    (shop.sample.app / "deploy.yaml").unlink()
    shop.sample.git("fetch", "-q", "origin", "tag", "v2.0.0")
    shop.sample.git("checkout", "-q", "--detach", "v2.0.0")
    yield shop
    shop.host.close()


def bring(shop: Shop, tag: str, settings: str, **more: Content) -> None:
    files: dict[str | bytes, Content] = {**tree(tag), ".gitignore": "", "deploy.yaml": settings}
    files |= {name.replace("__", "/"): content for name, content in more.items()}
    shop.sample.release(tag, files)


def pinned_remote(app: App) -> str:
    return app.site.config.source.remote


def test_a_release_that_moves_the_source_is_refused_by_name_until_it_is_accepted(tracked: Shop) -> None:
    bring(tracked, "v2.1.0", MOVED + "check: {upgrade: all}\n")
    before = tracked.sample.state()
    plan = json.loads(tracked.run("plan", "v2.1.0", "--json", code=7).out)
    assert [(each["key"], each["from"], each["to"]) for each in plan["config_changes"]] == [
        ("source.remote", '"origin"', '"https://evil.example/x.git"'),
        ("check.upgrade", '"never"', '"all"'),
    ]
    assert len(plan["problems"]) == 2
    said = tracked.run("upgrade", "v2.1.0", code=7).err
    for text in (
        'v2.1.0 changes `source.remote`, which is pinned on this server: "https://evil.example/x.git" instead of "origin"',
        "gitdeploy upgrade v2.1.0 --accept-config source.remote --accept-config check.upgrade",
    ):
        assert text in said, said
    assert differences(before, tracked.sample.state()) == []
    assert (
        "is pinned on this server" in tracked.run("upgrade", "v2.1.0", "--accept-config", "source.remote", code=7).err
    )
    with pytest.raises(PolicyError, match=r"source\.remote"):  # no automatic upgrade goes on either
        tracked.app.upgrade("v2.1.0", caller=tracked.app._caller("watch"))
    accept = Options(accept_config=("source.remote", "check.upgrade"))
    tracked.app.upgrade("v2.1.0", accept)
    assert pinned_remote(tracked.app) == "https://evil.example/x.git"
    shown = {row["key"]: row for row in json.loads(tracked.run("config", "show", "--json").out)}
    assert shown["source.remote"]["pinned"]
    assert shown["source.remote"]["from"] == "deploy.yaml line 2, pinned"
    # Files go back, what was agreed to stays.
    tracked.app.rollback()
    assert (tracked.sample.app / "deploy.yaml").read_text() == FIRST
    assert pinned_remote(tracked.app) == "https://evil.example/x.git"
    assert "deploy.yaml says" in tracked.run("config", "show").out
    warned = next(each for each in tracked.app.doctor() if each.about == "pinned" and "source.remote" in each.message)
    assert "pinned on this server" in warned.message
    assert warned.hint.endswith("gitdeploy config accept source.remote")
    tracked.run(*warned.hint.partition("gitdeploy ")[2].split())
    assert pinned_remote(tracked.app) == "origin"


def test_accepted_in_advance_for_just_that_value(tracked: Shop) -> None:
    bring(tracked, "v2.1.0", MOVED)
    with pytest.raises(UsageError, match="nothing to accept"):
        tracked.app.accept_config(["source.remote"])
    with pytest.raises(UsageError, match="doesn't change"):
        tracked.app.accept_config(["source.repo"], "v2.1.0")
    with pytest.raises(UsageError, match="not a pinned setting"):
        tracked.app.accept_config(["hooks.build"], "v2.1.0")
    tracked.run("config", "accept", "source.remote", "--release", "v2.1.0")
    assert pinned_remote(tracked.app) == "origin", "not before it is live"
    bring(tracked, "v2.2.0", MOVED.replace("x.git", "y.git"))
    with pytest.raises(PolicyError, match=r"y\.git"):
        tracked.app.upgrade("v2.2.0")
    tracked.app.upgrade("v2.1.0")
    assert pinned_remote(tracked.app) == "https://evil.example/x.git"


def test_what_is_edited_on_the_server_is_the_operators_and_what_git_puts_there_is_a_releases(tracked: Shop) -> None:
    file, git = tracked.sample.app / "deploy.yaml", tracked.sample.git
    tracked.app.check()  # pins what is live
    bring(tracked, "v2.1.0", MOVED)
    git("fetch", "-q", "origin", "tag", "v2.1.0")
    git("checkout", "-q", "v2.1.0")  # by hand
    assert pinned_remote(tracked.app) == "origin"
    git("checkout", "-q", "v2.0.0")
    mine = f"file://{tracked.sample.remote}"
    file.write_text(MOVED.replace("https://evil.example/x.git", mine))
    assert pinned_remote(tracked.app) == mine
    tracked.app.pause()
    git("checkout", "-q", "deploy.yaml")
    assert pinned_remote(tracked.app) == mine, "it was pinned anew"
    # A release that goes on saying what the live one says changes nothing: what is pinned stays, and that is said.
    bring(tracked, "v2.2.0", FIRST)
    plan = tracked.app.plan("v2.2.0")
    assert plan is not None
    assert plan.problems == ()
    assert any("`source.remote` stays" in warning for warning in plan.warnings)


def test_a_killed_or_failed_release_leaves_the_pins_as_they_were(tracked: Shop) -> None:
    bring(tracked, "v2.1.0", MOVED, hooks__post_deploy=Program("#!/bin/sh\nexit 3\n"))
    tracked.sample.git("mv", "hooks/post_deploy", "hooks/post-deploy", cwd=tracked.sample.remote)
    tracked.sample.git("commit", "-q", "-m", "hook", cwd=tracked.sample.remote)
    tracked.sample.git("tag", "v2.1.1", cwd=tracked.sample.remote)
    with pytest.raises(RolledBack):
        tracked.app.upgrade("v2.1.1", Options(accept_config=("source.remote",)))
    assert pinned_remote(tracked.app) == "origin"
    (tracked.sample.app / "deploy.yaml").write_text(MOVED)  # as a kill in the middle leaves it
    assert pinned_remote(tracked.app) == "origin"


def test_a_deploy_yaml_that_is_a_link_is_refused(tracked: Shop) -> None:
    tracked.sample.release("v2.1.0", {**tree("v2.1.0"), ".gitignore": "", "deploy.yaml": Link("{}")})
    with pytest.raises(PolicyError, match="a symbolic link, which is not followed"):
        tracked.app.upgrade("v2.1.0")


def test_another_process_that_pinned_meanwhile_is_not_overruled(tracked: Shop) -> None:
    """A page that was opened before anything was pinned, say."""
    old = tracked.app
    bring(tracked, "v2.1.0", MOVED)
    tracked.app.upgrade("v2.1.0", Options(accept_config=("source.remote",)))
    old.resume()
    assert pinned_remote(tracked.app) == "https://evil.example/x.git"
    read = read_pins(tracked.sample.app)
    assert read is not None
    assert read.brought != ()


def test_hooks_get_no_token_of_any_configuration(tracked: Shop) -> None:
    seen = tracked.sample.folder / "seen"
    hook = Program(f'#!/bin/sh\necho "$GITDEPLOY_STAGE $A_TOKEN$B_TOKEN$C_URL$PLAIN" >> {seen}\n')
    first = FIRST.replace("{type: git}", "{type: git, token_env: A_TOKEN}") + "notify: ['${C_URL}']\n"
    later = FIRST.replace("{type: git}", "{type: git, token_env: B_TOKEN}")
    hooks = {f"hooks__{stage}": hook for stage in ("pre-deploy", "build", "post-deploy", "on-failure")}
    bring(tracked, "v2.1.0", first, **hooks)
    bring(tracked, "v2.2.0", later, **hooks)
    tracked.sample.extra_environment |= {name: f"{name}-value-0123456789" for name in ("A_TOKEN", "PLAIN")}
    tracked.sample.extra_environment["C_URL"] = "json://127.0.0.1:9/C_URL-value"
    keys = [word for key in ("source.token_env", "notify") for word in ("--accept-config", key)]
    tracked.run("upgrade", "v2.1.0", *keys)
    tracked.run("upgrade", "v2.2.0", *keys, env={"B_TOKEN": "B_TOKEN-value-0123456789"})
    lines = seen.read_text().splitlines()
    assert len(lines) == 5, "pre-deploy of the second only: it is the live release's"
    assert {line.split(" ", 1)[1] for line in lines} == {"PLAIN-value-0123456789"}


def test_signers_in_the_checkout_are_pinned_by_what_they_say(tracked: Shop) -> None:
    settings = FIRST + "git: {verify: ssh, allowed_signers: signers}\n"
    bring(tracked, "v2.1.0", settings, signers="a@b ssh-ed25519 AAAA\n")
    keys = ("git.verify", "git.allowed_signers")
    tracked.app.upgrade("v2.1.0", Options(accept_config=keys))
    bring(tracked, "v2.2.0", settings, signers="a@b ssh-ed25519 AAAA\nevil@b ssh-ed25519 BBBB\n")
    tracked.sample.git("fetch", "-q", "origin", "tag", "v2.2.0")
    tracked.sample.git("checkout", "-q", "v2.2.0")
    place = signers_in_force(tracked.app.site)
    assert place is not None
    assert place.read_text() == "a@b ssh-ed25519 AAAA\n"
    (tracked.sample.app / "signers").write_text("mine@b ssh-ed25519 CCCC\n")
    place = signers_in_force(tracked.app.site)
    assert place is not None
    assert place.read_text() == "mine@b ssh-ed25519 CCCC\n"


def with_requirements(shop: Shop, lines: str) -> str:
    """v2.1.0, whose requirements are LINES; the deploy.yaml of the server, which has a venv."""
    venv = FIRST.replace("venv: {path: }", "venv: {path: venv, requirements: [requirements.txt]}")
    (shop.sample.app / "deploy.yaml").write_text(venv)
    shop.sample.make_venv()
    shop.sample.release("v2.1.0", {**tree("v2.1.0"), ".gitignore": "", "deploy.yaml": FIRST, "requirements.txt": lines})
    return venv


def problems(shop: Shop, naming: str, tag: str = "v2.1.0") -> list[tuple[str, str]]:
    plan = shop.app.plan(tag, Options(local_changes="merge"))
    assert plan is not None
    return [(problem.message, problem.hint) for problem in plan.problems if naming in problem.hint + problem.message]


def test_requirements_get_only_the_variables_that_this_server_lists(tracked: Shop) -> None:
    lines = (
        "--index-url https://${A_KEY}@127.0.0.1:9/simple\nfoo==${GITDEPLOY_WEBHOOK_SECRET}${APP_UPDATE_GITHUB_TOKEN}\n"
    )
    venv = with_requirements(tracked, lines)
    asked = "The release's requirements ask for variables that venv.pass_env doesn't list: "
    ((said, hint),) = problems(tracked, "pass_env")
    assert said == asked + "APP_UPDATE_GITHUB_TOKEN, A_KEY, GITDEPLOY_WEBHOOK_SECRET."
    assert "ask the release's author" in hint
    (tracked.sample.app / "deploy.yaml").write_text(venv.replace("venv: {", "venv: {pass_env: [A_KEY], "))
    ((said, hint),) = problems(tracked, "pass_env")
    assert said == asked + "APP_UPDATE_GITHUB_TOKEN, GITDEPLOY_WEBHOOK_SECRET."
    later = {**tree("v2.2.0"), ".gitignore": "", "deploy.yaml": FIRST, "requirements.txt": "foo==${A_KEY}\n"}
    tracked.sample.release("v2.2.0", later)
    assert problems(tracked, "pass_env", "v2.2.0") == []
    (tracked.sample.app / "deploy.yaml").write_text(venv)
    ((said, hint),) = problems(tracked, "pass_env", "v2.2.0")
    assert hint == "If they may read it: venv: {pass_env: [A_KEY]} in deploy.yaml on this server."


def test_a_package_by_its_address_wants_its_host_listed(tracked: Shop) -> None:
    venv = with_requirements(tracked, "foo @ https://files.example/foo-1.0-py3-none-any.whl\n")
    ((said, hint),) = problems(tracked, "allow_sources")
    assert "elsewhere than this server's indexes: foo @ https://files.example/foo" in said
    assert "venv: {allow_sources: [files.example]}" in hint
    for allowed in ("allow_sources: [files.example]", "allow_index_options: true"):
        (tracked.sample.app / "deploy.yaml").write_text(venv.replace("venv: {", f"venv: {{{allowed}, "))
        assert problems(tracked, "allow_sources") == []
