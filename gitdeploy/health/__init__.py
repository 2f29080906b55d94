"""Whether the app is well: it answers, its service is up, its processes are new, and it says the right version.

`check_once` asks one time, `wait_healthy` until it holds so many times in a row, `soak` watches on afterwards.
"""

from typing import TYPE_CHECKING

from gitdeploy.lazy import face

if TYPE_CHECKING:
    from gitdeploy.health.questions import check_once as check_once
    from gitdeploy.health.waiting import Health as Health
    from gitdeploy.health.waiting import HealthFailed as HealthFailed
    from gitdeploy.health.waiting import Watched as Watched
    from gitdeploy.health.waiting import soak as soak
    from gitdeploy.health.waiting import wait_healthy as wait_healthy
else:
    __getattr__ = face(
        __name__,
        {
            "check_once": "questions",
            **dict.fromkeys(("Health", "HealthFailed", "Watched", "soak", "wait_healthy"), "waiting"),
        },
    )
