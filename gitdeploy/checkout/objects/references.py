"""References, remotes and the index as GitPython has them: git is asked, whatever their names are made of, and what GitPython
would write to files by itself is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, cast

from gitdeploy.checkout.objects.command import Command
from gitdeploy.checkout.objects.library import git
from gitdeploy.errors import UsageError
from gitdeploy.messages import tr

if TYPE_CHECKING:
    from gitdeploy.checkout.objects.repo import Objects


def refuse(what: str, instead: str) -> NoReturn:
    raise UsageError(
        tr("{what} is not written here: it would not be synced to disk.", what=what),
        tr("Let git do it: {instead}", instead=instead),
    )


class _Named:
    """A reference that git is asked for."""

    @classmethod
    def _get_ref_info_helper(cls, repo: Objects, ref_path: str | None) -> tuple[str | None, str | None]:
        path = os.fspath(ref_path or "")
        if path.rpartition("/")[2] == "HEAD":
            leads_to: str = repo.git.symbolic_ref("-q", path, with_exceptions=False)
            if leads_to:
                return None, leads_to
        return cast(Command, repo.git).facts(path).oid, None

    @classmethod
    def from_path(cls, repo: Objects, path: str) -> Any:
        return reference(repo, path)

    def _written(self, *what: object, **how: object) -> NoReturn:
        refuse(tr("A reference"), tr("repo.git.update_ref(NAME, COMMIT)"))

    set_object = set_reference = set_commit = log_append = create = delete = rename = _written

    @property
    def reference(self) -> Any:
        return cast(Any, self)._get_reference()

    @reference.setter
    def reference(self, to: object) -> None:
        self._written(to)

    ref = reference


class Head(_Named, git.HEAD):  # type: ignore[misc]  # what reads is the same, what writes is refused
    pass


class _Branch(_Named, git.Head):  # type: ignore[misc]
    pass


class Tag(_Named, git.TagReference):  # type: ignore[misc]
    pass


class _RemoteBranch(_Named, git.RemoteReference):  # type: ignore[misc]
    pass


class _Reference(_Named, git.Reference):  # type: ignore[misc]
    pass


def reference(repo: Objects, name: str) -> Any:
    kinds = {"heads": _Branch, "tags": Tag, "remotes": _RemoteBranch}
    return kinds.get(name.split("/")[1], _Reference)(repo, name)


class Remote(git.Remote):
    @property
    def refs(self) -> Any:
        return cast("Objects", self.repo).references_in(f"refs/remotes/{self.name}/")


class Index(git.IndexFile):
    """GitPython takes the names in it for UTF-8."""

    def _set_cache_(self, attr: str) -> None:
        raise UsageError(tr("The index is not read here."), tr("Ask git: repo.git.ls_files('-z')"))

    def write(self, *what: object, **how: object) -> NoReturn:
        refuse(tr("The index"), "repo.git.add(PATH)")
