"""What is asked outside a deployment: doctor, drafts, pruning, looking for releases."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.upkeep import carrying as carrying
    from gitdeploy.upkeep import differing as differing
    from gitdeploy.upkeep import doctor as doctor
    from gitdeploy.upkeep import doctor_data as doctor_data
    from gitdeploy.upkeep import doctor_git as doctor_git
    from gitdeploy.upkeep import doctor_venv as doctor_venv
    from gitdeploy.upkeep import drafting as drafting
    from gitdeploy.upkeep import finding as finding
    from gitdeploy.upkeep import prune as prune
    from gitdeploy.upkeep import sizes as sizes
    from gitdeploy.upkeep import updates as updates
    from gitdeploy.upkeep import watch as watch
else:
    __getattr__ = rooms(
        __name__,
        frozenset(
            "carrying differing doctor doctor_data doctor_git doctor_venv drafting finding prune sizes updates watch".split()
        ),
    )
