"""Server-sent events: a deployment's log and steps, live.

Each stream takes a thread of the server, so there are only so many; whoever gets none polls upgrade-log. All streams wait
for one follower, which looks at the journal four times a second while anybody listens (once a second for a crowd).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flask import Response, request

from gitdeploy.errors import GitDeployError
from gitdeploy.web.shared.asking import chosen_language, number
from gitdeploy.web.shared.panel import Panel, panel

BEAT = 15.0  # seconds between signs of life on an idle stream
LONGEST = 3600.0  # seconds that one stream lasts; browsers connect again by themselves
LONGEST_BY_APP = 300.0  # the same where the app's own login can be asked again only by a new request


def stream() -> Response:
    """GET /upgrade/api/events: `data:` is what upgrade-log answers; `event: end` follows the last one of a deployment
    that was asked for by its number. Without a number the stream goes on with whatever runs."""
    here = panel()
    deployment = number("deployment", 0, 1, 10**12) if "deployment" in request.args else None
    since = number("since", 0, 0, 10**12)
    last = request.headers.get("Last-Event-ID", "")
    if last.isascii() and last.isdecimal() and len(last) < 13:
        since = int(last)
    language = chosen_language()
    gone = request.environ.get("waitress.client_disconnected")
    here.follower.join()
    try:
        here.follower.look(deployment, since, language)  # 404 before there is a stream
    except GitDeployError:
        here.follower.leave()
        raise
    answer = Response(_events(here, deployment, since, language, gone, here.still_in()), mimetype="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    answer.call_on_close(here.follower.leave)
    return answer


def _events(
    here: Panel,
    deployment: int | None,
    since: int,
    language: str,
    gone: Callable[[], bool] | None,
    still_in: Callable[[], bool] | None,
) -> Iterator[str]:
    follower = here.follower
    end, shown = time.monotonic() + (LONGEST if still_in is not None else LONGEST_BY_APP), None
    asked = time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < end and not (gone is not None and gone()):
        if still_in is not None and time.monotonic() - asked > BEAT:
            if not still_in():
                return
            asked = time.monotonic()
        try:
            version, state, event = follower.look(deployment, since, language)
        except GitDeployError:  # a release that is just going live may bring a deploy.yaml that can't be read
            yield ": nothing can be read now\n\n"
            time.sleep(1)
            continue
        facts = (state["deployment"], state["status"], state["since"], state["steps"])
        if facts != shown or state["log"]:
            shown, since = facts, state["since"]
            yield event
        if deployment is not None and state["status"] not in ("running", "interrupted") and not state["more"]:
            yield "event: end\ndata: {}\n\n"
            return
        if not state["more"] and not follower.wait(version, BEAT):
            yield ": still here\n\n"
