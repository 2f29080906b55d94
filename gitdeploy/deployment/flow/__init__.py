"""The flows, top to bottom: read these first."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.deployment.flow import contract as contract
    from gitdeploy.deployment.flow import damaged as damaged
    from gitdeploy.deployment.flow import dry_run as dry_run
    from gitdeploy.deployment.flow import manual as manual
    from gitdeploy.deployment.flow import recover as recover
    from gitdeploy.deployment.flow import rehearse as rehearse
    from gitdeploy.deployment.flow import restore as restore
    from gitdeploy.deployment.flow import rollback as rollback
    from gitdeploy.deployment.flow import session as session
    from gitdeploy.deployment.flow import through as through
    from gitdeploy.deployment.flow import upgrade as upgrade
    from gitdeploy.deployment.flow import watched as watched
else:
    __getattr__ = rooms(
        __name__,
        frozenset(
            "contract damaged dry_run manual recover rehearse restore rollback session through upgrade watched".split()
        ),
    )
