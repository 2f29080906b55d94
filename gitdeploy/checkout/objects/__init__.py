"""The repository as GitPython knows it, read by our own git.

GitPython runs git through a class that a subclass of `git.Repo` may name (`GitCommandWrapperType`). Ours hands each
command to `Repository.run`: clean environment, a session of its own, a time limit, our `-c` values. Objects are answered
by one kept `git cat-file --batch`. Whatever GitPython would read from files itself in its own way (references, settings,
the environment of this process) is asked of git as well; what it would write to them without syncing is refused.

It is loaded when a name is asked for: GitPython takes longer than most commands.
"""

from typing import TYPE_CHECKING

from gitdeploy.lazy import face

if TYPE_CHECKING:
    from gitdeploy.checkout.objects.process import GitFailed as GitFailed
    from gitdeploy.checkout.objects.repo import Objects as Objects
else:
    __getattr__ = face(__name__, {"GitFailed": "process", "Objects": "repo"})
