"""`gitdeploy web --all`: the page of all apps, its unit and its tokens."""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitdeploy.cli.installed_units import install_units
from gitdeploy.cli.page_port import free_port, nginx_block, shown_host
from gitdeploy.cli.screen import Screen
from gitdeploy.cli.units import all_unit
from gitdeploy.cli.web_parts import imported, say_code
from gitdeploy.config.apps_list import AppsList
from gitdeploy.errors import ConfigError, DeploymentFailed, GitDeployError, UsageError
from gitdeploy.messages import heard, said, tr
from gitdeploy.several.listed import USUAL, read_list
from gitdeploy.system import owner as owners
from gitdeploy.system.ourselves import refuse_changeable
from gitdeploy.text import path_text, shell_word

if TYPE_CHECKING:
    from gitdeploy.web.access.store import Store

UNIT = "gitdeploy-page.service"
USER = "gitdeploy"  # whom root serves it as, unless somebody else is named
_STATE = Path("/var/lib/gitdeploy/page")  # of the machine's own list; of another list in a folder beside it


def unit(screen: Screen, user: str, *, install: bool) -> None:
    """Print the unit, or install it."""
    text = all_unit(user)
    if install:
        _page_user(user)
        install_units(screen, {UNIT: text}, "web", "--all")
    else:
        screen.result({"unit": text}, text)


def proxy(screen: Screen, host: str | None, port: int | None) -> None:
    """Print what nginx needs."""
    web = read_list().web
    number = port or web.port
    text = nginx_block(host or web.host, number, web.hosts, setting="apps.yaml")
    screen.result({"port": number, "nginx": text}, text)


def serve(screen: Screen, host: str | None, port: int | None, user: str | None) -> None:
    """Serve until SIGTERM or SIGINT; USER as it was asked for."""
    if user is not None and os.geteuid() != 0 and user != (own := owners.user_name(os.geteuid())):
        raise UsageError(
            tr("Only root serves the page as another user; you are {own}, not {user}.", own=own, user=user)
        )
    family = imported("serving.family")
    server = imported("serving.server")
    if os.geteuid() == 0:
        refuse_changeable(Path("/"))
    listed = read_list()
    page_user = _page_user(user or USER)
    where = host or listed.web.host
    found = free_port(where, port or listed.web.port, chosen=port is not None, command="gitdeploy web --all")
    logging.basicConfig(level=logging.WARNING, format="[%(asctime)s] [%(levelname)s] %(message)s")
    for warning in server.warnings(listed.web, where, file="apps.yaml"):
        screen.write_error(tr("Warning: {warning}\n", warning=warning))
    if os.environ.get("GITDEPLOY_WEB_TOKEN"):
        screen.write_error(tr("Warning: GITDEPLOY_WEB_TOKEN does not open the page of all apps.\n"))
    if found.why:
        screen.message(found.why)
    if page_user is not None:
        _refuse_user(listed, page_user[0])
    store = _store_of(listed, page_user)
    link = f"http://{shown_host(where)}:{found.number}/upgrade/"

    def ready() -> None:
        screen.result({"url": link}, "")
        screen.message(tr("All apps: the page is at {link}  (Ctrl-C ends it)", link=link))
        if (code := _first_code(store, page_user)) is not None:
            say_code(screen, link, code, "gitdeploy web --all token add NAME")
        else:
            screen.message(tr("Log in with a token.  Make one: gitdeploy web --all token add NAME"))

    try:
        sockets = _bound(where, found.number)
    except OSError as error:
        raise ConfigError(
            tr(
                "The page can't be served at {host}:{port}: {strerror}.",
                host=where,
                port=found.number,
                strerror=error.strerror,
            ),
            tr("Stop what uses that port, or choose another: {command} --port N", command="gitdeploy web --all"),
        ) from error
    family.Family(listed, sockets, store, page_user and family.User(*page_user)).serve(ready)
    screen.message(tr("The page is no longer served. A running deployment goes on."))


def store(user: str) -> Store:
    """Its tokens and sessions. Root becomes the page's user for it, USER where nobody served it yet: the folder is that user's."""
    imported("access.store")  # before this process loses root's right to read it
    listed = read_list()
    found = _owner_of(_folder_of(listed)) if os.geteuid() == 0 else None
    page_user = found if found is not None else _page_user(user)
    made = _store_of(listed, page_user)
    if page_user is not None:
        owners.become(*page_user)
    return made


def _folder_of(listed: AppsList) -> Path:
    return _STATE if listed.file == USUAL else listed.file.parent / "gitdeploy-page"


def _owner_of(folder: Path) -> tuple[int, int] | None:
    """uid and gid of whom FOLDER is; None where there is none, or it is still root's."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _refuse_user(listed: AppsList, uid: int) -> None:
    """Raises `UsageError` where UID, whom browsers reach, owns an app, or isn't whom the page was served as before."""
    name = owners.user_name(uid)
    for app in listed.apps:
        if (found := _owner_of(app.folder)) is not None and found[0] == uid:
            raise UsageError(
                tr("The page of all apps is not served as {user}, who owns {name}.", user=name, name=app.name),
                tr("Name a user that owns nothing else: gitdeploy web --all --user NAME"),
            )
    folder = _folder_of(listed)
    if (before := _owner_of(folder)) is not None and before[0] != uid:
        raise UsageError(
            tr(
                "{folder} is {user}'s, as whom the page was served before.",
                folder=path_text(str(folder)),
                user=owners.user_name(before[0]),
            ),
            tr(
                "Serve it as before, or hand its sessions over: chown -R {user} {folder}",
                user=shell_word(name),
                folder=shell_word(str(folder)),
            ),
        )


def _store_of(listed: AppsList, page_user: tuple[int, int] | None) -> Store:
    from gitdeploy.web.access.store import Store

    folder = _folder_of(listed)
    try:
        for parent in (each for each in reversed(folder.parents) if not each.exists()):
            parent.mkdir(mode=0o755)
            parent.chmod(0o755)  # whatever the umask: the page's user passes here
        folder.mkdir(mode=0o700, exist_ok=True)
        if page_user is not None and _owner_of(folder) is None:
            os.chown(folder, *page_user, follow_symlinks=False)
    except OSError as error:
        raise DeploymentFailed(
            tr("{folder} can't be made: {strerror}.", folder=path_text(str(folder)), strerror=error.strerror),
            tr("The page of all apps keeps its sessions there: run it as root, or as whose list it is."),
        ) from error
    return Store(folder / "web.db", _nothing, command="gitdeploy web --all")


def _first_code(store: Store, page_user: tuple[int, int] | None) -> str | None:
    """The code of the first login, made as the page's user: root opens nothing in a folder of that user's."""
    from gitdeploy.web.access.access import CODE_LASTS

    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        told: dict[str, Any] = {"error": said(tr("The first code could not be made."))}
        try:
            if page_user is not None:
                owners.become(*page_user)
            told = {"code": store.first_code(CODE_LASTS)}
        except GitDeployError as error:
            told = {"error": {**said(error.message), **said(error.hint, "hint")}}
        finally:
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        heard_of = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if "error" in heard_of:
        raise DeploymentFailed(heard(heard_of["error"]), heard(heard_of["error"], "hint"))
    code: str | None = heard_of["code"]
    return code


def _page_user(name: str) -> tuple[int, int] | None:
    """uid and gid of the user NAME, whom root serves the page as; None for whoever isn't root. Raises `UsageError`."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise UsageError(
            tr("There is no user `{name}`, as whom the page would be served.", name=name),
            tr(
                "Make one, which owns nothing else: useradd --system --shell /usr/sbin/nologin {name}",
                name=shell_word(name),
            ),
        ) from error
    if found.pw_uid == 0:
        raise UsageError(
            tr("The page of all apps is not served as root."),
            tr("Name a user that owns nothing else: gitdeploy web --all --user NAME"),
        )
    return found.pw_uid, found.pw_gid


def _bound(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of HOST. Raises OSError."""
    found = []
    places = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in places:
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(1024)
        found.append(made)
    return found


def _nothing() -> None:
    """The folder of the sessions is there."""
