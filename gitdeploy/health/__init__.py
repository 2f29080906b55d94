"""Whether the app is well: it answers, its service is up, its processes are new, and it says the right version.

`check_once` asks one time, `wait_healthy` until it holds so many times in a row, `soak` watches on afterwards.
"""

from gitdeploy.health.questions import check_once
from gitdeploy.health.waiting import Health, HealthFailed, Watched, soak, wait_healthy

__all__ = ["Health", "HealthFailed", "Watched", "check_once", "soak", "wait_healthy"]
