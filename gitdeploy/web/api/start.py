"""Starting a deployment in a process of its own, and waiting for what the journal says of it."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flask import request

from gitdeploy.app import App
from gitdeploy.errors import GitDeployError, LockedError
from gitdeploy.messages import tr
from gitdeploy.web.answers import Answer
from gitdeploy.web.errors import BadRequest, Unprocessable, WebError
from gitdeploy.web.shared.panel import panel, performer
from gitdeploy.web.shared.progress import progress

if TYPE_CHECKING:
    from gitdeploy.deployment.outside.launch import Launched

_JOURNAL = tr("Look at the server's journal: journalctl -e")
BEGIN = 60.0  # seconds within which the process has begun a deployment or said why not
TIDYING = 30.0  # seconds that the process of an ended deployment may still take
LONGEST = 4 * 3600.0  # seconds that a request waits for the end
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class NotStarted(WebError):
    """The process that was to do it ended, or never began."""

    kind = "not_started"
    status = 503


def start(words: Sequence[str], *, wait: bool, recovering: int | None = None) -> Answer:
    """Run `gitdeploy WORDS` in a process of its own; answer when it has ended, or (not WAIT) when it has begun.

    RECOVERING: the interrupted deployment that the process goes on with, instead of one that it begins. The same
    Idempotency-Key with the same words answers for the deployment of the first time. Raises `LockedError` (409) while
    another runs, `Unprocessable` for a key that stood for something else.
    """
    here = panel()
    app = here.app()
    identity, asked = uuid.uuid4().hex, json.dumps(list(words))
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        if not _KEY.fullmatch(key):
            raise BadRequest(tr("Idempotency-Key must be up to 200 visible ASCII characters."))
        claimed, before = here.store.claim(key, identity, asked)
        if before != asked:
            raise Unprocessable(tr("This Idempotency-Key stood for something else before."), tr("Use a new one."))
        if claimed != identity:
            try:
                return _answer(app, _await_begin(app, claimed, None), wait=wait)
            except NotStarted:  # the web process was killed before it started anything: the key is free again
                here.store.forget_claim(key)
                raise
    try:
        _refuse_if_locked(app, pausable=words[0] in ("upgrade", "rehearse", "restore", "rollback", "contract"))
        launched = app.launch(words, performer=performer(), request=identity)
        if recovering is not None:
            if wait:
                launched.wait(LONGEST)
            return _answer(app, recovering, wait=wait)
        deployment = _await_begin(app, identity, launched)
        if wait and "--through" in words:  # several, one after the other: the last one answers
            launched.wait(LONGEST)
            deployment = app.deployment_of(identity) or deployment
    except GitDeployError:
        if key is not None:
            here.store.forget_claim(key)
        raise
    return _answer(app, deployment, wait=wait)


def _refuse_if_locked(app: App, *, pausable: bool) -> None:
    status = app.going_on()
    if status.holder is not None and progress(app, None)["status"] != "running":
        _await_tidied(app)
        status = app.going_on()
    if status.holder is not None:
        raise LockedError(
            tr("Another deployment is running: {sentence}.", sentence=status.holder.sentence()),
            tr("Wait for its end; the page shows it."),
        )
    if pausable and status.paused is not None:
        raise LockedError(status.paused, tr("An administrator resumes them: on the page, or with gitdeploy unlock"))


def _await_tidied(app: App) -> None:
    """The last deployment has ended, but its process still drops old backups and tells people: let it."""
    end = time.monotonic() + TIDYING
    while app.is_running() and time.monotonic() < end:
        time.sleep(0.05)


def _await_begin(app: App, identity: str, launched: Launched | None) -> int:
    """The id of the deployment that the request IDENTITY began. Raises what its process ended with instead."""
    end = time.monotonic() + BEGIN
    while time.monotonic() < end:
        ended = launched.outcome() if launched is not None else None
        if (found := app.deployment_of(identity)) is not None:
            return found
        if ended is not None:
            raise ended.error() or NotStarted(tr("The process ended without a deployment."), _JOURNAL)
        time.sleep(0.05)
    raise NotStarted(
        tr("The deployment did not begin within a minute."), tr("Send it again. {journal}", journal=_JOURNAL)
    )


def _answer(app: App, deployment: int, *, wait: bool) -> Answer:
    if not wait:
        return Answer(
            {
                "success": True,
                "deployment": deployment,
                "message": tr("Deployment {deployment} has begun.", deployment=deployment),
            },
            202,
        )
    end = time.monotonic() + LONGEST
    while True:
        state = progress(app, deployment)
        if state["status"] != "running":
            break
        if time.monotonic() > end:
            return Answer({"success": True, "deployment": deployment, "message": tr("It still runs."), "log": []}, 202)
        time.sleep(0.2)
    _await_tidied(app)
    good = state["status"] in ("succeeded", "nothing_to_do")
    words = (
        state["message"]
        if state["status"] != "interrupted"
        else (
            tr(
                "The deployment's process is gone. What it left is finished or undone by the next command: gitdeploy recover"
            )
        )
    )
    body = {"success": good, "deployment": deployment, "status": state["status"], "message": words, "log": state["log"]}
    return Answer(body if good else {**body, "error": words})
