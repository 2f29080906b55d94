"""Logging in and out with a token."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, request, url_for

from gitdeploy.messages import tr
from gitdeploy.web.access import access
from gitdeploy.web.errors import NoSuchPage, TooManyTries
from gitdeploy.web.page import page
from gitdeploy.web.shared.panel import entrance


def form() -> Any:
    """The form."""
    if entrance().authorize is not None:
        raise NoSuchPage(tr("There is no login of its own here."), tr("Log in to the app itself."))
    return page.login_page()


def log_in() -> Any:
    """Open a session for a right token or the first login's code, under a new id; else the form again."""
    here = entrance()
    if here.authorize is not None:
        raise NoSuchPage(tr("There is no login of its own here."), tr("Log in to the app itself."))
    token = request.form.get("token", "").strip()[:500]
    try:
        proven = access.check_login(token, request.remote_addr or "", here.store, here.environment_token)
    except TooManyTries as error:
        answer = page.login_page("too-many", error.wait)
        answer.status_code = 429
        answer.headers["Retry-After"] = str(error.wait)
        return answer
    if proven is None:
        answer = page.login_page("wrong")
        answer.status_code = 401
        return answer
    old = request.cookies.get(access.COOKIE)
    if old:
        here.store.close_session(old)
    answer = make_response(redirect(url_for(f"{request.blueprint}.show"), 303))
    answer.set_cookie(
        access.COOKIE,
        here.store.open_session(proven),
        max_age=int(access.LONGEST),
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
        path=cookie_path(),
    )
    return answer


def log_out() -> Any:
    """End the session."""
    session = request.cookies.get(access.COOKIE)
    if session:
        entrance().store.close_session(session)
    answer = make_response(redirect(url_for(f"{request.blueprint}.form"), 303))
    answer.delete_cookie(access.COOKIE, path=cookie_path(), httponly=True, samesite="Strict", secure=request.is_secure)
    return answer


def cookie_path() -> str:
    """Where the page is, behind whatever prefix."""
    return url_for(f"{request.blueprint}.show").rstrip("/") or "/"
