"""Submodules in every form: releases that have them, and what git says of a checkout with them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from support.sample import Link, Sample, Tree, write_tree

# Of each library, commit after commit.
LIBRARIES: dict[str, list[Tree]] = {
    "lib": [{"code.py": "one\n", "deep/data.txt": "data\n"}, {"code.py": "two\n", "deep": "a file now\n", "new.txt": "new\n"}],
    "inner": [{"inner.py": "inner one\n"}, {"inner.py": "inner two\n"}],
}  # fmt: skip


def part(
    path: str, library: str, number: int = 0, *, name: str | None = None, url: str | None = None
) -> dict[str, Any]:
    """A submodule of a release at PATH: LIBRARY's commit NUMBER."""
    return {"path": path, "library": library, "number": number, "name": name or path, "url": url or f"../{library}"}


class ModularSample(Sample):
    """The sample with libraries that its releases have as submodules."""

    def make_libraries(self) -> None:
        self.commits: dict[tuple[str, int], str] = {}
        for name, versions in LIBRARIES.items():
            for number, tree in enumerate(versions):
                self.library_commit(name, tree, number)
        nested = part("inner", "inner")
        for number in (0, 1):
            self.library_commit("outer", {"outer.py": f"outer {number}\n"}, number, [{**nested, "number": number}])

    def library_commit(self, name: str, tree: Tree, number: int, parts: list[dict[str, Any]] | None = None) -> str:
        place = self.folder / name
        if not place.exists():
            self.git("init", "-q", "-b", "main", str(place), cwd=self.folder)
            self.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=place)
        self._commit(place, tree, parts or [], f"{name} {number}")
        self.commits[name, number] = self.git("rev-parse", "HEAD", cwd=place)
        return self.commits[name, number]

    def modular_release(self, tag: str, tree: Tree, parts: list[dict[str, Any]]) -> str:
        """A release with TREE and those submodules."""
        commit = self._commit(self.remote, tree, parts, f"Release {tag}")
        self.git("tag", "-a", tag, "-m", f"Release {tag}", cwd=self.remote)
        return commit

    def _commit(self, place: Path, tree: Tree, parts: list[dict[str, Any]], message: str) -> str:
        for entry in place.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        text = "".join(
            f'[submodule "{p["name"]}"]\n\tpath = {p["path"]}\n\turl = {p["url"]}\n' + p.get("more", "") for p in parts
        )
        write_tree(place, {**tree, **({".gitmodules": text} if text else {})})
        self.git("read-tree", "--empty", cwd=place)
        self.git("add", "-A", "-f", cwd=place)
        for p in parts:
            gitlink = f"160000,{self.commits[p['library'], p['number']]},{p['path']}"
            self.git("update-index", "--add", "--cacheinfo", gitlink, cwd=place)
        self.git("commit", "-q", "--allow-empty", "-m", message, cwd=place)
        return self.git("rev-parse", "HEAD", cwd=place)

    def initialise(self) -> None:
        self.git("submodule", "update", "-q", "--init", "--recursive")

    def modular_state(self) -> dict[str, Any]:
        """Everything that a user could miss, submodules' own states too."""
        return {**self.state(), "submodules": self.git("submodule", "status", "--recursive"), "inside": self.inside()}

    def inside(self) -> str:
        """What git says in each submodule: changes, branch, staged files."""
        return self.git(
            "submodule", "foreach", "--quiet", "--recursive",
            "echo $displaypath; git status --porcelain=v2 --branch --untracked-files=all; git ls-files -s",
        )  # fmt: skip

    def damage(self) -> str:
        """What `git fsck` says of the checkout and its submodules."""
        words = ("fsck", "--no-dangling", "--no-progress")
        return self.git(*words) + self.git("submodule", "foreach", "--quiet", "--recursive", f"git {' '.join(words)}")


def commits_of(status: str) -> list[str]:
    """The lines of `git submodule status` without what git calls the commits: that depends on the refs that are here."""
    return sorted(
        " ".join(line[:1].strip("\n") + line[1:].split(" (")[0] for line in [line]) for line in status.splitlines()
    )


FORMS: dict[str, tuple[Tree, list[dict[str, Any]]]] = {
    "nothing": ({}, []),
    "submodule": ({}, [part("part", "lib")]),
    "later": ({}, [part("part", "lib", 1)]),
    "renamed": ({}, [part("part", "lib", name="other")]),
    "moved": ({}, [part("moved/to", "lib", name="part")]),
    "swapped": ({}, [part("part", "lib", 1, name="moved"), part("moved/to", "lib", name="part")]),
    "nested": ({}, [part("part", "outer")]),
    "nested moved": ({}, [part("moved", "outer", 1, name="part")]),
    "same folder": (
        {f"part/{name}": text for name, text in LIBRARIES["lib"][0].items() if isinstance(name, str)}, []
    ),
    "other folder": ({"part/code.py": "vendored\n", "part/deep/other.txt": "x\n"}, []),
    "file": ({"part": "a file\n"}, []),
    "link": ({"part": Link("elsewhere"), "elsewhere/code.py": "behind a link\n"}, []),
}  # fmt: skip
