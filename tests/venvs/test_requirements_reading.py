"""Requirements files read as plain text: what they want, what they may not, and when two of them want the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gitdeploy.config import VenvConfig
from gitdeploy.venvs.reading import LARGEST
from gitdeploy.venvs.requirements import Requirements, index_options_in, read_requirements

CONFIG = VenvConfig(path="venv", requirements=("requirements.txt",))


@dataclass(frozen=True)
class Files:
    """A release as far as its requirements go."""

    files: Mapping[str, bytes | str]

    def read(self, path: str) -> bytes | None:
        found = self.files.get(path)
        return found.encode() if isinstance(found, str) else found

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        raise AssertionError("reading writes nothing")


def read(text: bytes | str, config: VenvConfig = CONFIG, /, **more: bytes | str) -> Requirements:
    files = {name.replace("__", "/"): content for name, content in more.items()}
    return read_requirements(Files({"requirements.txt": text, **files}), config, None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {"pins": {}, "names": {}, "problems": ()}),
        ("Flask_Login==1.0\n", {"pins": {"flask-login": "1.0"}}),
        ("a === 1.0\nb[x,y] == 2 # why\n", {"pins": {"a": "1.0", "b": "2"}}),
        ("a==1.*\nb>=2\nc\n", {"pins": {}, "unpinned": {"a": "==1.*", "b": ">=2", "c": ""}}),
        ("a==1 ; python_version > '3'\nb==1 ; python_version < '3'\n", {"pins": {"a": "1"}}),
        ("a==1\na==2\n", {"pins": {"a": "2"}}),
        ("a \\\n ==1\n# b==2\\\nc==3\n", {"pins": {"a": "1", "c": "3"}}),
        ("a==1 --hash=sha256:00\n", {"hashed": True, "pins": {"a": "1"}}),
        ("--require-hashes\n", {"hashed": True}),
        ("-i https://x/simple\n--extra-index-url=https://y\n", {"index_options": ("-i https://x/simple", "--extra-index-url https://y")}),
        ("-fhttps://x\n--find https://y\n", {"index_options": ("-f https://x", "--find-links https://y")}),
        ("--trusted-h evil\n", {"index_options": ("--trusted-host evil",)}),
        ("-e .\n", {"needs_tree": True}),
        ("./lib\n", {"needs_tree": True}),
        ("wheels/a-1.whl\n", {"needs_tree": True}),
        ("a @ file:lib\n", {"needs_tree": True, "names": {"a": True}}),
        ("a @ https://x/a.whl\n", {"needs_tree": False, "names": {"a": True}}),
        ("git+https://x/a.git\n", {"needs_tree": False}),
        ("-e git+https://x/a.git#egg=a\n", {"needs_tree": False}),
        ("-e ../other\n", {"problems": ("requirements.txt, line 1 installs ../other, which is outside of the checkout.",)}),
        ("\n\n-r more\n", {"problems": ("requirements.txt, line 3 names more, which this release doesn't have.",)}),
        ("-r /etc/passwd\n", {"problems": ("requirements.txt, line 1 includes /etc/passwd, which is outside of the checkout.",)}),
        ("-r https://x/r.txt\n", {"problems": ("requirements.txt, line 1 includes https://x/r.txt; only files of the release are read.",)}),
        ("-c ../limits\n", {"problems": ("requirements.txt, line 1 includes ../limits, which is outside of the checkout.",)}),
        ("-r 'unclosed\n", {"problems": ("requirements.txt, line 1 can't be read: -r 'unclosed",)}),
        ("a==${VERSION}\n", {"variables": ("VERSION",)}),
        ("-i https://${TOKEN}@x\n", {"variables": ("TOKEN",)}),
        ("\ufeffa==1\n", {"pins": {"a": "1"}}),
    ],
)  # fmt: skip
def test_a_line_means(text: str, wanted: dict[str, Any]) -> None:
    found = read(text)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert found.problems == wanted.get("problems", ())


def test_includes_are_followed_from_their_own_folder_and_once() -> None:
    found = read(
        "-r more/a.txt\n-c limits.txt\n",
        more__a_txt="",  # not this one
        **{"more/a.txt": "-r b.txt\nx==1\n", "more/b.txt": "-r ../requirements.txt\ny==1\n", "limits.txt": "z==1\n"},
    )
    assert set(found.files) == {"requirements.txt", "more/a.txt", "more/b.txt", "limits.txt"}
    assert found.pins == {"x": "1", "y": "1", "z": "1"}
    assert found.names == {"x": True, "y": True}, "a constraint asks for nothing"
    assert found.roots == ("requirements.txt",)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("# -*- coding: latin-1 -*-\n# \xe9\na==1\n".encode("latin-1"), None),
        ("a==1\n".encode("utf-16"), None),
        (b"# \xe9\na==1\n", "requirements.txt is not UTF-8; save it as UTF-8."),
        (b"# coding: no-such-thing\n# \xe9\na==1\n", "requirements.txt is not UTF-8; save it as UTF-8."),
    ],
)
def test_other_encodings(data: bytes, says: str | None) -> None:
    found = read(data)
    assert found.problems == (() if says is None else (says,))
    assert found.pins == {"a": "1"}


@pytest.mark.parametrize("line", ["--pre", "--prefer-binary", "a --config-settings=x", "-e git+https://x/a", "a==${V}"])
def test_what_only_pip_can_do_is_said(line: str) -> None:
    (why,) = read(line + "\n").pip_only
    assert why.startswith("requirements.txt, line 1 ")


def test_the_files_together_have_a_limit() -> None:
    assert "larger than 1 MB" in read("#" * (LARGEST + 1)).problems[0]
    many = {f"r{number}.txt": f"-r r{number + 1}.txt\n" for number in range(300)}
    assert "larger than 1 MB" in read("-r r0.txt\n", **many).problems[0]


def test_requirements_txt_need_not_be_there_but_what_is_named_must() -> None:
    none = read_requirements(Files({}), CONFIG, None)
    assert (none.problems, none.roots) == ((), ())
    named = replace(CONFIG, requirements=("prod.txt",), constraints=("limits.txt",))
    assert read_requirements(Files({}), named, None).problems == (
        "the configuration names prod.txt, which this release doesn't have.",
        "the configuration names limits.txt, which this release doesn't have.",
    )


def test_a_project_file_is_for_uv() -> None:
    config = replace(CONFIG, requirements=("pyproject.toml",))
    files = Files({"pyproject.toml": "[project]\n"})
    assert read_requirements(files, config, None).problems == ()
    (problem,) = read_requirements(files, replace(config, installer="pip"), None).problems
    assert problem == "pyproject.toml can only be installed from with uv, and venv.installer is pip."


def test_equal_keys_mean_an_equal_venv(monkeypatch: pytest.MonkeyPatch) -> None:
    same = read("a==1\n").key
    assert read("a==1\n").key == same
    others = {
        read("a==2\n").key,
        read("a==1 # why\n").key,
        read("a==1\n", replace(CONFIG, installer="pip")).key,
        read("a==1\n", replace(CONFIG, exact=True)).key,
        read("a==1\n", replace(CONFIG, python="python3.12")).key,
        read("a==1\n", replace(CONFIG, extra_args=("--no-deps",))).key,
    }
    monkeypatch.setenv("PIP_NO_BINARY", "a")
    others.add(read("a==1\n").key)
    assert same not in others
    assert len(others) == 7


def test_what_stands_at_a_local_path_belongs_to_the_key() -> None:
    one = read("-e .\n", **{"pyproject.toml": "1"})
    assert one.key == read("-e .\n", **{"pyproject.toml": "1"}).key
    assert one.key != read("-e .\n", **{"pyproject.toml": "2"}).key
    assert read("./lib\n").key != read("./lib\n").key, "of an unknown folder nothing is known to be equal"


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_upsets_the_reader(text: bytes | str) -> None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    found = read(data)
    assert not any("Traceback" in problem or os.linesep in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], []),
        (["--no-deps", "--index-url", "https://x"], ["--index-url https://x"]),
        (["--index-url=https://x", "-fhttps://y", "--index", "https://z"],
         ["--index-url https://x", "-f https://y", "--index https://z"]),
        (["--extra-i", "https://x"], ["--extra-index-url https://x"]),
        (["-i"], ["-i"]),
    ],
)  # fmt: skip
def test_package_sources_among_an_installers_arguments(words: list[str], found: list[str]) -> None:
    assert index_options_in(words) == found


PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["a==1", "b>=2", "c; python_version < \'3\'"]\n'
EXTRAS = '[project.optional-dependencies]\npg = ["d"]\n'


@pytest.mark.parametrize(
    ("project", "config", "line", "asked", "pins"),
    [
        (PROJECT, {}, "-e .", {"b": ">=2"}, {"a": "1"}),
        (PROJECT + EXTRAS, {"extras": ("pg",)}, "-e .[pg]", {"b": ">=2", "d": ""}, {"a": "1"}),
        ("[build-system]\n", {}, "-e .", {}, {}),
        ('[project]\nname = "shop"\ndynamic = ["version", "dependencies"]\n', {}, "-e .", {}, {}),
    ],
)  # fmt: skip
def test_what_the_app_itself_asks_for_is_known_and_left_to_its_install(
    project: str, config: dict[str, Any], line: str, asked: dict[str, str], pins: dict[str, str]
) -> None:
    wanted = read_requirements(
        Files({"pyproject.toml": project}), VenvConfig(path="venv", itself="editable", **config), None
    )
    assert wanted.files[".gitdeploy-itself.txt"].decode() == f"{line}\n"
    assert (wanted.unpinned, wanted.pins, wanted.problems) == (asked, pins, ())
    assert not any(wanted.names.values()), "whether all of it is there is the installer's to say"
