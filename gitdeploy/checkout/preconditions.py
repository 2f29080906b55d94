"""What in git's settings and in the checkout's files themselves speaks against a deployment: found in preflight, by name.

`gitdeploy.checkout.settings` has the table; what is honoured or neutralised there needs no word here.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitdeploy.checkout.changes import LINK, Problem, TreePlan
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import Local
from gitdeploy.messages import tr
from gitdeploy.system import durable, environment
from gitdeploy.text import clean, listing, path_text, shell_word

ASKED = r"^(core\.(sparsecheckout|symlinks|attributesfile|excludesfile)|extensions\.refstorage|filter\..*)$"
_FALSE = ("false", "no", "off", "0", "")
_USED = re.compile(rb"(?:^|\s)filter=([^\s]+)", re.MULTILINE)
_SHELL = frozenset(". : ! [ { cat cd command echo eval exec export false for if printf set test true while".split())

Settings = Mapping[str, Sequence[str]]


def is_on(settings: Settings, name: str, default: str = "false") -> bool:
    """Whether a setting that is true or false is true."""
    return settings.get(name, [default])[-1].lower() not in _FALSE


def is_filtered(settings: Settings) -> bool:
    """Whether there are filters beside Git LFS."""
    return any(name.startswith("filter.") and not name.startswith("filter.lfs.") for name in settings)


def setting_problems(repository: Repository, settings: Settings) -> list[Problem]:
    """Settings that no deployment can go by. SETTINGS: those that `ASKED` names."""
    problems = []
    if settings.get("extensions.refstorage", ["files"])[-1] != "files":
        problems.append(
            Problem(
                tr(
                    "The checkout keeps its refs in another format (extensions.refStorage), which gitdeploy can't switch."
                ),
                tr("Change it: git refs migrate --ref-format=files (git 2.46 or newer)"),
            )
        )
    for name in ("core.attributesfile", "core.excludesfile"):
        value = settings.get(name, [""])[-1]
        if value and not value.startswith(("/", "~")):
            problems.append(
                Problem(
                    tr(
                        "{name} names a file by a relative path, {value}: to git that is another one in every folder.",
                        name=name,
                        value=clean(value),
                    ),
                    tr(
                        "Give it the whole path: git config {name} {root}",
                        name=name,
                        root=shlex.quote(str(repository.root / value)),
                    ),
                )
            )
    if _ignores_case(repository):
        problems.append(
            Problem(
                tr("The checkout is on a file system that takes upper and lower case for the same."),
                tr("Move the checkout to another file system (ext4, xfs, btrfs)."),
            )
        )
    return problems


def _ignores_case(repository: Repository) -> bool:
    """Whether .git is there by another name too."""
    entry = repository.root / ".GIT"
    return durable.exists(entry) and os.path.samestat(os.lstat(entry), os.lstat(repository.root / ".git"))


def link_problems(settings: Settings, local: Local, tree: TreePlan) -> list[Problem]:
    """`core.symlinks=false` writes the text of a link where the link belongs."""
    if is_on(settings, "core.symlinks", "true"):
        return []
    texts = [c.path for c in local.changes if LINK in (c.head_mode, c.index_mode) and c.disk_mode not in (0, LINK)]
    coming = [c.path for c in tree.changes if c.mode == LINK]
    if not texts and not coming:
        return []
    links = listing([path_text(path) for path in sorted({*texts, *coming})], 5)
    again = f" && git checkout -- {' '.join(shell_word(path) for path in texts)}" if texts else ""
    return [
        Problem(
            tr("core.symlinks is false, and the app has symbolic links: {links}.", links=links),
            tr("Have them as links: git config core.symlinks true{again}", again=again),
        )
    ]


def filter_problems(repository: Repository, settings: Settings, tree: str) -> list[Problem]:
    """Filters (git-crypt, git-lfs, the operator's own) that the release names and whose program isn't there."""
    drivers = {name.split(".", 1)[1].rpartition(".")[0] for name in settings if name.startswith("filter.")} - {"lfs"}
    if not drivers:
        return []
    texts = list(repository.read_many(tree, [".gitattributes"]).values())
    own = repository.common_dir / "info" / "attributes"
    if durable.is_file(own):
        texts.append(own.read_bytes())
    used = {found.decode("utf-8", "replace") for text in texts for found in _USED.findall(text)}
    problems = []
    for driver in sorted(used & drivers):
        for part in ("process", "smudge", "clean"):
            command = settings.get(f"filter.{driver}.{part}", [""])[-1]
            if (missing := _missing_program(repository.root, command)) is not None:
                setting = shell_word(f"filter.{driver}.{part}")
                problems.append(
                    Problem(
                        tr(
                            "The git filter {driver} needs the program {missing}, which isn't there.",
                            driver=clean(driver),
                            missing=clean(missing),
                        ),
                        tr(
                            "Install it, or give its whole path: git config {setting} {what}",
                            setting=setting,
                            what=shell_word(f"/PATH/TO/{command}"),
                        ),
                    )
                )
                break
    return problems


def _missing_program(root: Path, command: str) -> str | None:
    """The program that COMMAND starts with, where it is a plain word and no such program is there."""
    try:
        word = shlex.split(command)[0]
    except (ValueError, IndexError):
        return None
    if "=" in word or any(character in word for character in "$`();|&<>*?"):
        return None  # the shell's own matter
    if "/" in word:
        return None if durable.is_file(root / os.path.expanduser(word)) else word
    builtin = word in _SHELL
    return None if builtin or environment.which(word) is not None else word
