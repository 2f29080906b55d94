"""Names of refs that can't be beside each other: git keeps no ref whose name is a folder of another one's.

`release` and `release/v1.1.0` are such, whether they stand in files or in packed-refs. The remote can't have both; what is
in the way here is a tag that it has dropped.
"""

from __future__ import annotations

import os
import shlex

from gitdeploy.checkout.git import INCOMING_REFS, Repository
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import durable
from gitdeploy.text import count, listing, path_text

_TAGS = "refs/tags/"


def make_way(repository: Repository, tag: str) -> None:
    """See that the tag TAG can be fetched and kept: what an earlier fetch left in its way goes.

    Raises `DeploymentFailed` where a tag of the checkout's own is in the way, or another git is writing it.
    """
    in_the_way = [name.removeprefix(_TAGS) for name in conflicts(repository, _TAGS + tag)]
    if in_the_way:
        most = 5
        words = " ".join(shlex.quote(path_text(name)) for name in in_the_way)
        few = f"git tag -d {words}"
        many = f"git tag -l {shlex.quote(path_text(tag) + '/*')} | xargs git tag -d"
        raise DeploymentFailed(
            tr(
                "The tag {tag} can't be stored beside {count} {in_the_way}, which is here: for git one is a folder of the other."
                if len(in_the_way) == 1
                else "The tag {tag} can't be stored beside {count} {in_the_way}, which are here: for git one is a folder of the other.",
                tag=path_text(tag),
                count=tr("the tag") if len(in_the_way) == 1 else count(len(in_the_way), "tag"),
                in_the_way=listing([path_text(name) for name in in_the_way], most),
            ),
            tr("The remote has dropped it; drop it here too: {few}", few=few if len(in_the_way) <= most else many),
        )
    for name in conflicts(repository, INCOMING_REFS + tag):
        repository.delete_ref(name)


def conflicts(repository: Repository, name: str) -> list[str]:
    """Refs that are here and that can't be beside NAME. Starts no process."""
    base = repository.common_dir
    parts = name.split("/")
    above = ["/".join(parts[:length]) for length in range(3, len(parts))]
    found = {ref for ref in above if durable.is_file(base / ref)}
    if durable.is_folder(base / name):
        for folder, _, files in os.walk(base / name, onerror=_raise):
            found |= {os.path.relpath(os.path.join(folder, file), base) for file in files if not file.endswith(".lock")}
    packed = base / "packed-refs"
    if durable.is_file(packed):
        for line in packed.read_text("utf-8", "surrogateescape").splitlines():
            ref = line.partition(" ")[2]
            if ref in above or ref.startswith(name + "/"):
                found.add(ref)
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
