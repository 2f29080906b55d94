"""The list of the apps on this server: what it may say, who may have written it, and how it is changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click import Context, Option
from support import needs

from gitdeploy.cli import cli, completing, run
from gitdeploy.config.apps_list import RESERVED
from gitdeploy.errors import ConfigError, GitDeployError
from gitdeploy.several.listed import add, read_list, remove
from gitdeploy.web.serving.together import ALL_ROUTES

pytestmark = pytest.mark.quick


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "apps.yaml"
    monkeypatch.setenv("GITDEPLOY_APPS", str(file))
    for name in ("shop", "otrs.web", "new line"):
        (tmp_path / "srv" / name / ".git").mkdir(parents=True)
        (tmp_path / "srv" / name / "inside").mkdir()
    return file


REFUSED = [
    ("apps: [/srv/shop]", "line 1: `apps` must be a mapping of names to folders; found a list."),
    ("apps: {shop: srv/shop}", "line 1: `apps.shop` must be the whole path of a folder; found `srv/shop`."),
    ("apps:\n  shop: {path: /srv/shop}", "line 2: `apps.shop` must be the whole path of a folder; found a mapping."),
    ("apps:\n  a b: /srv/shop", "line 2: `a b` can't be an app's name"),
    ("apps:\n  ../x: /srv/shop", "line 2: `../x` can't be an app's name"),
    ("apps:\n  api: /srv/shop", "line 2: `api` can't be an app's name: the page of all apps has that address itself."),
    ("apps:\n  a: /srv/shop\n  b: /srv/./shop", "line 3: `apps.b` is a folder that is listed above."),
    ("apps:\n  a: /x\n  a: /y", "line 3: `a` stands here again"),
    ("app: {}", "line 1: `app` is not known; there are `apps` and `web`."),
    ("web: {prot: 1}", "line 1: `web.prot` is not known. Did you mean `web.port`?"),
    ("web: {port: many}", "line 1: `web.port` must be"),
    ("apps: *x", "line 1: The alias `*x` is not read"),
    ("apps: {", "This is not valid YAML"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_a_list_may_not_say_is_named_with_its_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_list()
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_everything_wrong_is_said_at_once(file: Path) -> None:
    file.write_text("apps:\n  a b: /x\n  c: y\nweb: {port: 0}\n")
    with pytest.raises(ConfigError) as refused:
        read_list()
    assert [line.split(": ")[0].rpartition(" ")[2] for line in refused.value.details] == ["2", "3", "4"]


def test_a_list_is_what_was_added_and_removed(file: Path) -> None:
    srv = file.parent / "srv"
    assert read_list().apps == ()
    assert add(srv / "shop")[0].name == "shop"
    assert add(srv / "otrs.web" / "inside")[0].name == "otrs-web", "the checkout that a folder is in, by a name of ours"
    assert add(srv / "new line", "third")[0].folder == srv / "new line"
    assert [add(srv / "shop")[1], add(srv / "shop", "shop")[1]] == [False, False], "listed already"
    assert [app.name for app in read_list().apps] == ["shop", "otrs-web", "third"]
    assert file.stat().st_mode & 0o777 == 0o644
    remove("otrs-web")
    assert [app.name for app in read_list().apps] == ["shop", "third"]
    remove("shop")
    remove("third")
    assert read_list().apps == ()
    assert add(srv / "shop")[1]
    assert [each.name for each in file.parent.iterdir() if each.is_file()] == ["apps.yaml"]


COMMENTED = """\
# ours
web:
  port: 15005  # the firewall knows it
apps:
    first: /srv/first   # the old one

    # since spring
    second: "/srv/second"
# the end
"""


def test_what_else_stands_in_it_stays(file: Path) -> None:
    file.write_text(COMMENTED)
    made, _ = add(file.parent / "srv/shop")
    second = '    second: "/srv/second"\n'
    assert file.read_text() == COMMENTED.replace(second, f"{second}    shop: {made.folder}\n")
    remove("shop")
    assert file.read_text() == COMMENTED
    remove("first")
    assert file.read_text() == COMMENTED.replace("    first: /srv/first   # the old one\n", "")
    assert read_list().web.port == 15005


def test_a_list_that_cannot_be_changed_by_lines_is_left_alone(file: Path) -> None:
    file.write_text("apps: {first: /srv/first}\n")
    with pytest.raises(ConfigError, match="written in a way") as refused:
        add(file.parent / "srv/shop")
    assert "below `apps`, one line `name: /folder`" in refused.value.hint
    assert file.read_text() == "apps: {first: /srv/first}\n"
    file.write_text("apps:\n  first:\n    /srv/first\n  second: /b")
    add(file.parent / "srv/shop")
    remove("first")
    assert [app.name for app in read_list().apps] == ["second", "shop"]


TAKEN = [
    (("shop", "other"), "lists"),
    (("otrs.web", "shop"), "lists"),
    (("otrs.web", "log in"), "can't be an app's name"),
    (("otrs.web", "login"), "can't be an app's name"),
    (("nowhere", None), "is not a folder"),
]


@pytest.mark.parametrize(("asked", "said"), TAKEN)
def test_a_name_or_folder_that_cannot_be_listed(file: Path, asked: tuple[str, str | None], said: str) -> None:
    add(file.parent / "srv/shop")
    before = file.read_text()
    with pytest.raises(GitDeployError, match=said) as refused:
        add(file.parent / "srv" / asked[0], asked[1])
    assert refused.value.exit_code == 2
    assert file.read_text() == before


def test_what_the_refusals_say_to_type_works(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, other = file.parent / "srv/shop", file.parent / "srv/otrs.web"
    assert run(["apps", "add", str(shop), "--name", "log in"]) == 2
    assert "apps add DIR --name NAME" in capsys.readouterr().err
    assert run(["apps", "add", str(shop), "--name", "shop"]) == 0
    assert run(["apps", "add", str(other), "--name", "shop"]) == 2
    assert "Choose another name: gitdeploy apps add DIR --name NAME" in capsys.readouterr().err
    assert run(["apps", "add", str(other), "--name", "other"]) == 0
    assert run(["apps", "add", str(other), "--name", "third"]) == 2
    assert "To rename it, remove it first: gitdeploy apps remove other" in capsys.readouterr().err
    assert run(["apps", "remove", "other"]) == 0
    assert run(["apps", "add", str(other), "--name", "third"]) == 0
    assert run(["apps", "remove", "other"]) == 2
    assert "The list: gitdeploy apps" in capsys.readouterr().err
    assert run(["apps", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["error"] is None) for row in rows] == [("shop", False), ("third", False)]


def test_whoever_may_not_write_it_keeps_one_of_his_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITDEPLOY_APPS", "/proc/nowhere/apps.yaml")
    with pytest.raises(GitDeployError, match="can't be written") as refused:
        add(file.parent / "srv/shop")
    assert 'export GITDEPLOY_APPS="$HOME/apps.yaml"' in refused.value.hint
    monkeypatch.setenv("GITDEPLOY_APPS", str(file))
    assert add(file.parent / "srv/shop")[1]


def test_two_who_add_at_once_both_do(file: Path) -> None:
    srv = file.parent / "srv"
    for number in range(12):
        (srv / f"app{number}/.git").mkdir(parents=True)
    children = []
    for number in range(12):
        if (pid := os.fork()) == 0:
            try:
                add(srv / f"app{number}")
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert {app.name for app in read_list().apps} == {f"app{number}" for number in range(12)}


# ---- who may have written it ----


@pytest.mark.parametrize("weak", ["the file", "its folder"])
def test_a_list_that_others_may_write_is_refused(file: Path, weak: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(file.parent / "srv/shop")
    place = file if weak == "the file" else file.parent
    place.chmod(place.stat().st_mode | 0o002)
    for words in (["apps"], ["-A", "shop", "status"], ["apps", "remove", "shop"], ["status", "-A", "shop"]):
        assert run(words) == 2
        said = capsys.readouterr().err
        assert f"The list of apps {file} is not read: everybody can change {place}" in said
        assert f"chmod go-w {place}" in said
    assert completing.app_names(Context(cli), Option(["-A"]), "") == []
    place.chmod(place.stat().st_mode & ~0o002)
    assert [app.name for app in read_list().apps] == ["shop"]


@needs.another_user
def test_root_reads_no_list_of_somebody_elses(file: Path) -> None:
    add(file.parent / "srv/shop")
    os.chown(file, needs.NOBODY, needs.NOBODY)
    with pytest.raises(ConfigError, match=f"nobody can change {file}") as refused:
        read_list()
    assert f"chown root {file}" in refused.value.hint
    os.chown(file, 0, needs.NOBODY)
    file.chmod(0o664)
    with pytest.raises(ConfigError, match="the group "):
        read_list()


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("apps: {}\n")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
        read_list()


# ---- by its name ----


def test_an_app_is_named_where_a_folder_could_be(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(file.parent / "srv/shop")
    for words in (["-A", "shop", "lock"], ["unlock", "-A", "shop"]):
        assert run(words) == 0, capsys.readouterr().err
    assert (file.parent / "srv/shop/.gitdeploy/state.db").exists()
    assert run(["-A", "shup", "status"]) == 2
    assert "names no app `shup`. Did you mean `shop`?" in capsys.readouterr().err
    assert run(["-A", "shop", "-C", "/", "status"]) == 2
    assert "-A and -C exclude each other" in capsys.readouterr().err


def test_the_shell_offers_the_names(file: Path) -> None:
    for name in ("shop", "otrs.web"):
        add(file.parent / "srv" / name)
    option = next(each for each in cli.params if each.name == "app_name")
    offered = option.shell_complete(Context(cli), "")
    assert [each.value for each in offered] == ["shop", "otrs-web"]
    assert all(str(each.help).startswith(str(file.parent)[:70]) for each in offered)
    assert [each.value for each in option.shell_complete(Context(cli), "o")] == ["otrs-web"]


def test_reserved_names_are_the_pages_own_addresses() -> None:
    own = {route.path.split("/")[1] for route in ALL_ROUTES} - {"", "<app>"}
    assert own | {"static"} == RESERVED
