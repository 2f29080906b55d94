"""Hints about submodules, followed; their paths hold blanks and other letters, hold what a shell reads, or lie inside each other."""

from __future__ import annotations

import shutil

import pytest
from support import needs
from support.modules import ModularSample, part

from hints.following import App, command_in, matches, typed, written

PATHS = ("two parts", "a & b $c", "部件", "it's", "deep/in/part")


class Modular(App, ModularSample):
    """The app with submodules, and who follows what it is told."""


@pytest.fixture(scope="module")
def modular_once(tmp_path_factory: pytest.TempPathFactory) -> Modular:
    app = Modular(tmp_path_factory.mktemp("modular"), venv=False)
    app.make_libraries()
    app.library_commit("lib", {"code.py": "three\n"}, 2)
    names = [f"part{number}" for number in range(len(PATHS))]
    parts = [part(path, "lib", 1, name=name) for path, name in zip(PATHS, names, strict=True)]
    files = {".gitignore": "", "VERSION": "1"}
    app.modular_release("v1.0.0", files, [*parts, part("above", "outer")])
    newer = [{**each, "number": 2} for each in parts]
    app.modular_release("v2.0.0", {**files, "VERSION": "2"}, [*newer, part("above", "outer", 1)])
    app.modular_release("v3.0.0", {**files, "VERSION": "3"}, [])
    app.install("v1.0.0")
    app.initialise()
    app.write_settings("source: {type: git}\n")
    with (app.app / ".git/info/exclude").open("a") as exclude:
        exclude.write("/deploy.yaml\n")
    app.keep(remote=True)
    return app


@pytest.fixture
def modular(modular_once: Modular) -> Modular:
    modular_once.reset()
    modular_once.git("submodule", "sync", "-q", "--recursive")
    return modular_once


def hints_for(app: Modular, template: str, words: str = "plan v2.0.0") -> list[str]:
    """All hints of TEMPLATE that WORDS finds."""
    found = [hint for _, hint in app.said(words) if matches(template, hint)]
    assert found, app.gitdeploy(*words.split(), code=None).text
    return found


def edited(app: Modular) -> None:
    for path in PATHS:
        with (app.app / path / "code.py").open("a") as file:
            file.write("mine\n")


def other_modes(app: Modular) -> None:
    for path in PATHS:
        (app.app / path / "code.py").chmod(0o755)


def moved_on(app: Modular) -> None:
    for path in PATHS:
        app.git("checkout", "-q", app.commits["lib", 0], cwd=app.app / path)


def staged(app: Modular) -> None:
    moved_on(app)
    app.git("add", *PATHS)
    for path in PATHS:
        app.git("checkout", "-q", app.commits["lib", 1], cwd=app.app / path)


def deleted(app: Modular) -> None:
    for path in (*PATHS, "above/inner"):
        shutil.rmtree(app.app / path)


def in_a_bisect(app: Modular) -> None:
    for path in PATHS:
        app.git("bisect", "start", cwd=app.app / path)


def added(app: Modular) -> None:
    app.git("clone", "-q", str(app.folder / "lib"), str(app.app / "-new part"))
    app.git("-c", "advice.addEmbeddedRepo=false", "add", "./-new part")


MODES = "{}To keep modes set by hand, have git overlook them: {}"
PUT_BACK = "Put it back: {}; or go on: --discard-local-changes (the backup holds it)."
CASES = {
    "edited, kept": ("{}keep them for good in deploy.yaml:  {}", edited, written),
    "modes, put back": (MODES, other_modes, typed("chmod")),
    "modes, overlooked": (MODES, other_modes, typed("git -C")),
    "added here": (
        "Take it out of the index: git {}reset -q -- {}; or go on, its files stay: --discard-local-changes", added, typed("git reset"),
    ),
    "moved on": (PUT_BACK, moved_on, typed("git ")),
    "staged": (PUT_BACK, staged, typed("git ")),
    "deleted": (
        "Bring it back: git {}submodule update {}; or go on without, which brings the release's: --discard-local-changes",
        deleted, typed("git "),
    ),
    "in a bisect": ("Finish it, or stop it: {}", in_a_bisect, typed("git ")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_hint_solves_it(modular: Modular, name: str) -> None:
    template, make, follow = CASES[name]
    make(modular)
    for hint in hints_for(modular, template):
        follow(modular, hint)
    assert not [hint for _, hint in modular.said("plan v2.0.0")]


def test_repositories_inside_are_moved_below_git(modular: Modular) -> None:
    for path in PATHS:
        place = modular.app / path
        source = modular.git("rev-parse", "--absolute-git-dir", cwd=place)
        modular.git("config", "--file", f"{source}/config", "--unset", "core.worktree")
        (place / ".git").unlink()
        shutil.move(source, place / ".git")
    template = "Move it below .git/modules first: git {}submodule absorbgitdirs {}"
    for hint in hints_for(modular, template, "plan v3.0.0"):
        typed("git ")(modular, hint)
    assert not modular.said("plan v3.0.0")


def test_a_repository_of_ones_own_in_the_way_is_moved(modular: Modular) -> None:
    modular.gitdeploy("upgrade", "v3.0.0")
    modular.git("clone", "-q", str(modular.folder / "lib"), str(modular.app / "a & b $c"))
    (hint,) = hints_for(modular, "Move it away first: mv {} ELSEWHERE", "plan v2.0.0 --allow-downgrade")
    modular.type(command_in(hint, "mv ").replace("ELSEWHERE", "../elsewhere"))
    shutil.rmtree(modular.folder / "elsewhere")
    assert not modular.said("plan v2.0.0 --allow-downgrade")


@pytest.mark.parametrize("here", [True, False], ids=["it is here", "it comes"])
def test_large_files_of_a_submodule_from_another_host(modular: Modular, here: bool) -> None:
    needs.program("git-lfs")
    large = {".gitattributes": "*.bin filter=lfs\n", ".lfsconfig": "[lfs]\n\turl = https://large.example.org/a&b\n"}
    modular.library_commit("lib", {"code.py": "four\n", **large}, 3)
    name = "two parts" if here else "new part"
    parts = [part("two parts", "lib", 3, name="part0")] if here else [part(name, "lib", 3, name="new")]
    modular.modular_release("v2.5.0", {".gitignore": "", "VERSION": "2.5"}, parts)
    if here:
        (hint,) = hints_for(modular, "If you trust it: git {}config lfs.url {}", "plan v2.5.0")
        typed("git ")(modular, hint)
        assert modular.git("config", "lfs.url", cwd=modular.app / "two parts") == "https://large.example.org/a&b"
    else:
        modular.write_settings("source: {type: git}\ngit: {submodules: always}\n")
        (hint,) = hints_for(
            modular,
            "See to the submodules yourself, and say so in deploy.yaml:  git: {submodules: never}",
            "plan v2.5.0",
        )
        written(modular, hint)
    assert not [message for message, _ in modular.said("plan v2.5.0") if "lfsconfig" in message]
