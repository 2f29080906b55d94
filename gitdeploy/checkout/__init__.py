"""The working tree and git: what is there, what a switch would change, and the switch itself, by renames."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.checkout import promised as promised
    from gitdeploy.checkout import remote as remote
    from gitdeploy.checkout import tag_texts as tag_texts
else:
    __getattr__ = rooms(__name__, frozenset("promised remote tag_texts".split()))
