"""Submodules: from every form to every other, up, back, and back by itself; what is made inside them; where they come from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.bounds import share
from support.modules import FORMS, ModularSample, commits_of, part
from support.sample import Link, Tree, differences, folder_files

from gitdeploy import App
from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import GitDeployError, PolicyError, RolledBack

SETTINGS = 'source: {type: git}\nhealth: {command: "! test -e unhealthy", successes: 1, timeout: 1, interval: 0.1}\n'


def tree(version: str, more: Tree | None = None) -> Tree:
    return {"deploy.yaml": SETTINGS, "VERSION": f"{version}\n", **(more or {})}


@pytest.fixture
def sample(tmp_path: Path) -> ModularSample:
    made = ModularSample(tmp_path, venv=False)
    made.make_libraries()
    return made


@pytest.fixture(scope="module")
def every_form(tmp_path_factory: pytest.TempPathFactory) -> ModularSample:
    """A release v1.N.0 of each form, and v2.N.0, whose health check fails."""
    made = ModularSample(tmp_path_factory.mktemp("forms"), venv=False)
    made.make_libraries()
    for number, (files, parts) in enumerate(FORMS.values()):
        made.modular_release(f"v1.{number}.0", tree(f"1.{number}", files), parts)
        made.modular_release(f"v2.{number}.0", tree(f"2.{number}", {**files, "unhealthy": "x\n"}), parts)
    return made


def fresh(sample: ModularSample, tag: str) -> tuple[dict[bytes, object], list[str]]:
    """Files and submodules of a fresh clone of a release."""
    place = sample.folder / f"fresh-{tag}"
    if not place.exists():
        sample.git("clone", "-q", f"file://{sample.remote}", str(place), cwd=sample.folder)
        sample.git("checkout", "-q", "--detach", tag, cwd=place)
        sample.git("submodule", "update", "-q", "--init", "--recursive", cwd=place)
    files = folder_files(place, skip=(b".git",))
    return dict(files), commits_of(sample.git("submodule", "status", "--recursive", cwd=place))


def live(sample: ModularSample) -> tuple[dict[bytes, object], list[str]]:
    files = folder_files(sample.app, skip=(b".git", b".gitdeploy"))
    return dict(files), commits_of(sample.git("submodule", "status", "--recursive"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("before", FORMS)
def test_from_every_form_to_every_other(every_form: ModularSample, before: str) -> None:
    sample = every_form
    """To three of them, other ones from each, and to all in a thorough run."""
    numbers = {name: number for number, name in enumerate(FORMS)}
    sample.app = sample.folder / f"app-{numbers[before]}"
    sample.install(f"v1.{numbers[before]}.0", branch="main")
    sample.initialise()
    start = sample.modular_state()
    app = App.open(sample.app)
    options = Options(allow_downgrade=True)
    for after in share([name for name in FORMS if name != before], 3, numbers[before]):
        number = numbers[after]
        done = app.upgrade(f"v1.{number}.0", options)
        assert live(sample) == fresh(sample, f"v1.{number}.0"), after
        assert sample.git("status", "--porcelain") == "", after
        assert sample.damage() == ""
        assert done.backup is not None
        app.restore(done.backup)
        assert differences(start, sample.modular_state()) == [], after
        with pytest.raises(RolledBack):
            app.upgrade(f"v2.{number}.0", options)
        assert differences(start, sample.modular_state()) == [], after
    assert sample.damage() == ""
    assert not list((sample.app / ".git").rglob("gitdeploy.*"))


# ---- what is made here stays what it was ----


def install(sample: ModularSample, *forms: str, initialise: bool = True) -> App:
    """The app at v1.0.0 of the first of FORMS; v1.1.0, v1.2.0 ... are the others."""
    for number, form in enumerate(forms):
        files, parts = FORMS[form]
        sample.modular_release(f"v1.{number}.0", tree(f"1.{number}", files), parts)
    sample.install("v1.0.0", branch="main")
    if initialise:
        sample.initialise()
    return App.open(sample.app)


def there_and_back(sample: ModularSample, app: App, tag: str, **options: Any) -> None:
    """Upgrade to TAG and bring the backup back: all is as it was."""
    before = sample.modular_state()
    done = app.upgrade(tag, Options(**options))
    assert sample.damage() == ""
    assert done.backup is not None
    app.restore(done.backup)
    assert differences(before, sample.modular_state()) == []


@pytest.mark.parametrize(
    "after", ["later", "moved", "renamed", "nested", "same folder", "other folder", "file", "link", "nothing"]
)
def test_one_that_was_never_initialised_here_stays_so(sample: ModularSample, after: str) -> None:
    app = install(sample, "submodule", after, initialise=False)
    before = sample.modular_state()
    done = app.upgrade("v1.1.0")
    assert sample.git("status", "--porcelain") == ""
    assert all(line.startswith("-") for line in sample.git("submodule", "status", "--recursive").splitlines())
    assert done.backup is not None
    app.restore(done.backup)
    assert differences(before, sample.modular_state()) == []
    assert not (sample.app / ".git/modules").exists()


def test_every_submodule_where_all_are_wanted(sample: ModularSample) -> None:
    install(sample, "submodule", "nested", initialise=False)
    (sample.app / "deploy.yaml").write_text(f"{SETTINGS}git: {{submodules: always, keep: [.env, deploy.yaml]}}\n")
    App.open(sample.app).upgrade("v1.1.0")
    assert commits_of(sample.git("submodule", "status", "--recursive")) == fresh(sample, "v1.1.0")[1]
    App.open(sample.app).restore("latest")
    assert sample.git("submodule", "status").startswith("-")
    assert sample.git("status", "--porcelain") == "M deploy.yaml"


@pytest.mark.parametrize("after", ["later", "submodule", "moved", "same folder", "nothing"])
def test_a_commit_made_inside_is_refused_like_one_of_the_checkout(sample: ModularSample, after: str) -> None:
    app = install(sample, "submodule", after)
    sample.git("checkout", "-q", "-b", "mine", cwd=sample.app / "part")
    (sample.app / "part/code.py").write_text("urgent\n")
    sample.git("commit", "-q", "-am", "an urgent fix", cwd=sample.app / "part")
    before = sample.modular_state()
    with pytest.raises(PolicyError, match=r"made on this server in submodule part.*an urgent fix"):
        app.upgrade("v1.1.0")
    assert differences(before, sample.modular_state()) == []
    there_and_back(sample, app, "v1.1.0", local_changes="discard")
    assert (sample.app / "part/.git").is_file()
    assert sample.git("branch", "--show-current", cwd=sample.app / "part") == "mine"


def test_an_older_commit_inside_is_named_and_put_back_as_said(sample: ModularSample) -> None:
    app = install(sample, "later", "other folder")
    sample.git("checkout", "-q", "--detach", "HEAD~1", cwd=sample.app / "part")
    with pytest.raises(PolicyError, match=r"Submodule part is at .*, the live release has it at") as refused:
        app.upgrade("v1.1.0")
    assert "git submodule update part;" in refused.value.hint
    sample.git("submodule", "update", "part")
    there_and_back(sample, app, "v1.1.0")


@pytest.mark.parametrize("after", ["later", "submodule", "moved", "renamed", "same folder", "other folder", "nothing"])
def test_an_edit_inside_is_a_local_change_with_its_whole_path(sample: ModularSample, after: str) -> None:
    app = install(sample, "submodule", after)
    (sample.app / "part/code.py").write_text("one\nmine\n")
    (sample.app / "part/deep/data.txt").chmod(0o600)
    (sample.app / "part/mine.txt").write_text("untracked\n")
    sample.git("add", "-N", "mine.txt", cwd=sample.app / "part")
    sample.git("reset", "-q", cwd=sample.app / "part")
    before = sample.modular_state()
    with pytest.raises(PolicyError, match=r"changed locally: part/code\.py") as refused:
        app.upgrade("v1.1.0")
    assert "keep: [.env, part/code.py]" in refused.value.hint
    assert differences(before, sample.modular_state()) == []
    there_and_back(sample, app, "v1.1.0", local_changes="discard")


def test_keep_paths_reach_into_submodules(sample: ModularSample) -> None:
    for number, form in enumerate(("submodule", "later", "nothing")):
        more = {"deploy.yaml": f"{SETTINGS}git: {{keep: [.env, part/code.py]}}\n"}
        sample.modular_release(f"v1.{number}.0", {**tree(f"1.{number}"), **more}, FORMS[form][1])
    sample.install("v1.0.0")
    sample.initialise()
    (sample.app / "part/code.py").write_text("mine\n")
    app = App.open(sample.app)
    for tag in ("v1.1.0", "v1.2.0"):
        app.upgrade(tag)
        assert (sample.app / "part/code.py").read_text() == "mine\n"
    assert not (sample.app / "part/.git").exists()


def test_an_edit_inside_is_merged(sample: ModularSample) -> None:
    lines = "".join(f"{number}\n" for number in range(9))
    for number, text in enumerate((lines, lines.replace("1\n", "one\n"))):
        sample.library_commit("big", {"big.txt": text}, number)
        sample.modular_release(f"v1.{number}.0", tree(f"1.{number}"), [part("part", "big", number)])
    sample.modular_release("v1.2.0", tree("1.2", {"part/big.txt": lines.replace("1\n", "uno\n")}), [])
    sample.install("v1.0.0")
    sample.initialise()
    (sample.app / "part/big.txt").write_text(lines.replace("7\n", "mine\n"))
    app = App.open(sample.app)
    start = sample.modular_state()
    for tag, changed in (("v1.1.0", "one"), ("v1.2.0", "uno")):
        done = app.upgrade(tag, Options(local_changes="merge"))
        wanted = lines.replace("1\n", f"{changed}\n").replace("7\n", "mine\n")
        assert (sample.app / "part/big.txt").read_text() == wanted
        assert done.backup is not None
        app.restore(done.backup)
        assert differences(start, sample.modular_state()) == []


def test_untracked_and_ignored_files_inside(sample: ModularSample) -> None:
    app = install(sample, "submodule", "later", "file")
    (sample.app / "part/new.txt").write_text("mine\n")
    (sample.app / "part/other.txt").write_text("mine too\n")
    with pytest.raises(PolicyError, match=r"would overwrite: part/new\.txt"):
        app.upgrade("v1.1.0")
    with pytest.raises(PolicyError, match=r"stand where the release has a file or folder: .*part/other\.txt"):
        app.upgrade("v1.2.0")
    there_and_back(sample, app, "v1.1.0", local_changes="discard")
    assert (sample.app / "part/new.txt").read_text() == "mine\n"


def without_git(state: dict[str, Any]) -> dict[str, Any]:
    """STATE without the files of a repository inside the work tree: times in its index, reflogs."""
    files = {path: facts for path, facts in state["files"].items() if b"/.git/" not in path}
    return {**state, "files": files}


def test_one_with_its_repository_inside(sample: ModularSample) -> None:
    app = install(sample, "submodule", "later", "moved")
    inner = sample.app / "part"
    (inner / ".git").unlink()
    shutil.move(sample.app / ".git/modules/part", inner / ".git")
    config = inner / ".git/config"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if "worktree" not in line))
    before = without_git(sample.modular_state())
    app.upgrade("v1.1.0")
    assert live(sample)[1] == fresh(sample, "v1.1.0")[1]
    app.restore("latest")
    assert differences(before, without_git(sample.modular_state())) == []
    with pytest.raises(GitDeployError, match="its repository is inside it") as refused:
        app.upgrade("v1.2.0")
    assert differences(before, without_git(sample.modular_state())) == []
    assert refused.value.hint.endswith("git submodule absorbgitdirs part")
    sample.git("submodule", "absorbgitdirs", "part")
    there_and_back(sample, app, "v1.2.0")


# ---- what git and deploy.yaml say of them ----


@pytest.mark.parametrize("how", ["never", "update", "active", "keep"])
def test_one_that_is_left_alone(sample: ModularSample, how: str) -> None:
    install(sample, "submodule", "later", "same folder")
    (sample.app / "deploy.yaml").write_text(
        {
            "never": f"{SETTINGS}git: {{submodules: never, keep: [deploy.yaml]}}\n",
            "keep": f"{SETTINGS}git: {{keep: [deploy.yaml, part]}}\n",
        }.get(how, f"{SETTINGS}git: {{keep: [deploy.yaml]}}\n")
    )
    if how == "update":
        sample.git("config", "submodule.part.update", "none")
    if how == "active":
        sample.git("config", "submodule.part.active", "false")
    (sample.app / "part/code.py").write_text("mine\n")
    inside = sample.git("rev-parse", "HEAD", cwd=sample.app / "part")
    app = App.open(sample.app)
    app.upgrade("v1.1.0")
    assert (sample.app / "part/code.py").read_text() == "mine\n"
    assert sample.git("rev-parse", "HEAD", cwd=sample.app / "part") == inside
    if how != "keep":
        with pytest.raises(PolicyError, match=r"Submodule part, which is left alone here|would overwrite: part"):
            app.upgrade("v1.2.0")
        assert (sample.app / "part/code.py").read_text() == "mine\n"


def test_what_the_release_says_is_not_to_be_checked_out_is_not(sample: ModularSample) -> None:
    sample.modular_release("v1.0.0", tree("1.0"), [])
    sample.modular_release("v1.1.0", tree("1.1"), [{**part("part", "lib"), "more": "\tupdate = none\n"}])
    sample.install("v1.0.0")
    App.open(sample.app).upgrade("v1.1.0")
    assert list((sample.app / "part").iterdir()) == []
    assert sample.git("status", "--porcelain") == ""


def test_a_plan_makes_no_repository_and_sets_nothing(sample: ModularSample) -> None:
    app = install(sample, "nothing", "nested", "moved")
    config = (sample.app / ".git/config").read_bytes()
    before = sample.modular_state()
    for tag in ("v1.1.0", "v1.2.0"):
        plan = app.plan(tag)
        assert plan is not None
        assert not plan.problems
        assert (sample.app / ".git/config").read_bytes() == config
        assert not (sample.app / ".git/modules").exists()
    assert differences(before, sample.modular_state()) == []
    app.upgrade("v1.1.0")
    assert sample.git("config", "submodule.part.url") == f"file://{sample.folder}/outer"
    assert sample.git("-C", "part", "config", "submodule.inner.url") == f"file://{sample.folder}/inner"


# ---- where their objects come from ----


def test_the_url_changes_with_the_release(sample: ModularSample) -> None:
    sample.library_commit("elsewhere", {"code.py": "from elsewhere\n"}, 0)
    sample.modular_release("v1.0.0", tree("1.0"), [part("part", "lib")])
    sample.modular_release("v1.1.0", tree("1.1"), [part("part", "elsewhere")])
    sample.install("v1.0.0")
    sample.initialise()
    said = sample.gitdeploy("upgrade", "v1.1.0").text
    assert (sample.app / "part/code.py").read_text() == "from elsewhere\n"
    assert f"goes on asking file://{sample.folder}/lib" in said
    assert said.count("git submodule sync part") == 1
    sample.git("submodule", "sync", "part")
    assert sample.git("-C", "part", "config", "remote.origin.url") == f"file://{sample.folder}/elsewhere"
    assert sample.git("status", "--porcelain") == ""


def test_a_url_that_is_not_trusted_is_named_with_the_command_that_trusts_it(sample: ModularSample) -> None:
    sample.library_commit("elsewhere", {"code.py": "from elsewhere\n"}, 0)
    other = f"/{sample.folder}/elsewhere"  # another way of naming it: a path, not where file:// URLs are
    sample.modular_release("v1.0.0", tree("1.0"), [part("part", "lib")])
    sample.modular_release("v1.1.0", tree("1.1"), [part("part", "elsewhere", url="https://other.example/elsewhere")])
    sample.install("v1.0.0")
    sample.initialise()
    app = App.open(sample.app)
    before = sample.modular_state()
    with pytest.raises(GitDeployError) as refused:
        app.upgrade("v1.1.0")
    assert f"file://{sample.folder}/lib doesn't have the commit" in refused.value.message
    assert "https://other.example/elsewhere" in refused.value.message
    trust, _, after = refused.value.hint.removeprefix("If you trust it: ").partition("  (and after the upgrade: ")
    assert trust == "git config submodule.part.url https://other.example/elsewhere"
    assert after == "git submodule sync part)"
    assert differences(before, sample.modular_state()) == []
    sample.git(*trust.split(" ")[1:-1], other)
    app.upgrade("v1.1.0")
    assert (sample.app / "part/code.py").read_text() == "from elsewhere\n"


@pytest.mark.parametrize("url", ["../../../other.example/lib", "https://other.example/lib", "/etc"])
def test_a_url_that_climbs_to_another_host(sample: ModularSample, url: str) -> None:
    sample.modular_release("v1.0.0", tree("1.0"), [])
    sample.modular_release("v1.1.0", tree("1.1"), [part("part", "lib", url=url)])
    sample.install("v1.0.0")
    sample.git("fetch", "-q", "origin", "tag", "v1.1.0")
    sample.git("remote", "set-url", "origin", "https://host.example/app")
    sample.git("config", f"url.file://{sample.remote}.insteadOf", "https://host.example/app")
    with pytest.raises(GitDeployError, match="which is not where this app comes from"):
        App.open(sample.app).upgrade("v1.1.0")


@pytest.mark.parametrize("path", ["venv", ".gitdeploy", "venv/lib"])
def test_no_submodule_stands_where_this_servers_own_things_are(sample: ModularSample, path: str) -> None:
    settings = {"deploy.yaml": f"{SETTINGS}venv: {{path: venv}}\n"}
    sample.modular_release("v1.0.0", tree("1.0"), [])
    sample.modular_release("v1.1.0", {**tree("1.1"), **settings}, [part(path, "lib", name="part")])
    sample.install("v1.0.0")
    (sample.app / "deploy.yaml").write_text(settings["deploy.yaml"])
    sample.git("update-index", "--assume-unchanged", "deploy.yaml")
    sample.make_venv()
    with pytest.raises(GitDeployError, match="belongs to this server"):
        App.open(sample.app).upgrade("v1.1.0", Options(local_changes="discard"))


def test_names_that_lie_inside_each_other(sample: ModularSample) -> None:
    sample.modular_release("v1.0.0", tree("1.0"), [part("one", "lib", name="a")])
    sample.modular_release("v1.1.0", tree("1.1"), [part("one", "lib", name="a"), part("two", "inner", name="a/b")])
    sample.install("v1.0.0")
    sample.initialise()
    with pytest.raises(GitDeployError, match="would lie inside another submodule's"):
        App.open(sample.app).upgrade("v1.1.0")


def test_a_backup_holds_every_submodule_as_it_is(sample: ModularSample) -> None:
    app = install(sample, "nested", "later")
    (sample.app / "part/inner/inner.py").write_text("mine\n")
    (sample.app / "part/outer.py").write_text("mine, staged\n")
    sample.git("add", "outer.py", cwd=sample.app / "part")
    before = sample.modular_state()
    identity = app.backup().backup.id
    app.upgrade("v1.1.0", Options(local_changes="discard"))
    app.upgrade("v1.0.0", Options(allow_downgrade=True))
    app.restore(identity)
    assert differences(before, sample.modular_state()) == []
    refs = sample.git("for-each-ref", "refs/gitdeploy", cwd=sample.app / ".git/modules/part")
    assert identity in refs
    App.open(sample.app).prune(keep=1)
    assert identity not in sample.git("for-each-ref", "refs/gitdeploy", cwd=sample.app / ".git/modules/part")


def test_in_a_second_worktree(sample: ModularSample) -> None:
    install(sample, "nothing", "nested", "moved")
    main = sample.app
    sample.git("worktree", "add", "-q", "--detach", str(sample.folder / "second"), "v1.0.0")
    sample.app = sample.folder / "second"
    app = App.open(sample.app)
    for tag in ("v1.1.0", "v1.2.0"):
        app.upgrade(tag)
        assert live(sample)[1] == fresh(sample, tag)[1]
        assert sample.git("status", "--porcelain") == ""
    assert not (main / ".git/modules").exists()
    assert sample.git("status", "--porcelain", cwd=main) == ""


def test_a_prepared_upgrade_asks_nobody_for_its_submodules(sample: ModularSample) -> None:
    app = install(sample, "submodule", "nested moved")
    before = sample.modular_state()
    app.prepare("v1.1.0")
    assert differences(before, sample.modular_state()) == []
    assert not (sample.app / ".git/modules/part/modules").exists()
    for name in ("outer", "inner", "lib"):
        (sample.folder / name).rename(sample.folder / f"{name}.gone")
    app.upgrade("v1.1.0")
    assert sample.git("status", "--porcelain") == ""
    assert (sample.app / "moved/inner/inner.py").read_text() == "inner two\n"
    assert not list((sample.app / ".git").glob("gitdeploy*"))


def test_a_backup_whose_submodule_lost_its_repository_says_so(sample: ModularSample) -> None:
    app = install(sample, "submodule", "nothing")
    (sample.app / "part/code.py").write_text("mine\n")
    app.upgrade("v1.1.0", Options(local_changes="discard"))
    shutil.rmtree(sample.app / ".git/modules/part")
    before = sample.modular_state()
    with pytest.raises(GitDeployError, match="what the backup holds of it was in its repository, and that is gone"):
        app.restore("latest")
    assert differences(before, sample.modular_state()) == []


def test_a_tracked_env_file_that_is_no_keep_path(sample: ModularSample) -> None:
    keep = {"deploy.yaml": f"{SETTINGS}git: {{keep: []}}\n"}
    lines = "".join(f"# line {number}\n" for number in range(9))
    for number, timeout in enumerate((10, 30, 60)):
        env = f"TIMEOUT={timeout}\n{lines}APP_VERSION=0\n{lines}LAST=1\n"
        sample.modular_release(f"v1.{number}.0", {**tree(f"1.{number}"), **keep, ".env": env}, [])
    sample.install("v1.0.0")
    env_file = sample.app / ".env"
    env_file.write_text(env_file.read_text().replace("APP_VERSION=0", "APP_VERSION=1.0.0"))
    app = App.open(sample.app)
    app.upgrade("v1.1.0")
    assert env_file.read_text() == f"TIMEOUT=30\n{lines}APP_VERSION=1.1.0\n{lines}LAST=1\n"
    app.upgrade("v1.2.0")  # what gitdeploy wrote is not a local change
    assert env_file.read_text() == f"TIMEOUT=60\n{lines}APP_VERSION=1.2.0\n{lines}LAST=1\n"
    app.restore("latest")
    assert env_file.read_text() == f"TIMEOUT=30\n{lines}APP_VERSION=1.1.0\n{lines}LAST=1\n"
    env_file.write_text(env_file.read_text() + "MINE=1\n")
    with pytest.raises(PolicyError, match=r"changed locally: \.env"):
        app.upgrade("v1.2.0")
    for policy, mine in (("merge", "MINE=1\n"), ("discard", "")):
        there = sample.state()
        done = app.upgrade("v1.2.0", Options(local_changes=policy))  # type: ignore[arg-type]
        assert env_file.read_text() == f"TIMEOUT=60\n{lines}APP_VERSION=1.2.0\n{lines}LAST=1\n{mine}"
        assert done.backup is not None
        app.restore(done.backup)
        assert differences(there, sample.state()) == []


def test_a_link_that_leads_in_a_circle_becomes_a_folder(sample: ModularSample) -> None:
    sample.modular_release("v1.0.0", tree("1.0", {"d": Link("d/x")}), [])
    sample.modular_release("v1.1.0", tree("1.1", {"d/file": "x\n"}), [part("d/part", "lib")])
    sample.install("v1.0.0")
    there_and_back(sample, App.open(sample.app), "v1.1.0")


def test_a_folder_that_was_replaced_by_a_link_is_not_followed(sample: ModularSample) -> None:
    elsewhere = sample.folder / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    sample.modular_release("v1.0.0", tree("1.0", {"d/deep/file": "one\n"}), [])
    sample.modular_release("v1.1.0", tree("1.1", {"d/deep/file": "two\n", "d/deep/new": "x\n"}), [])
    sample.install("v1.0.0")
    shutil.rmtree(sample.app / "d")
    (sample.app / "d").symlink_to(elsewhere)
    with pytest.raises(PolicyError, match="A symbolic link stands where the release has a folder: d"):
        App.open(sample.app).upgrade("v1.1.0", Options(local_changes="discard"))
    assert list((elsewhere / "deep").iterdir()) == []
