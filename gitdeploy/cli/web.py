"""`gitdeploy web`."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gitdeploy.cli import web_all
from gitdeploy.cli.installed_units import install_units
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.page_port import choose_port, nginx_block, shown_host, usual_port
from gitdeploy.cli.screen import Screen
from gitdeploy.cli.units import unit_name, web_unit
from gitdeploy.cli.web_parts import imported, say_code
from gitdeploy.config.document import Scalar
from gitdeploy.config.kinds import Duration, Wrong
from gitdeploy.errors import ConfigError, UsageError
from gitdeploy.messages import tr
from gitdeploy.text import clean

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.web.access.store import Store, TokenRow

_ALL = "gitdeploy.cli.web.all"  # in the context: as whom the page of all apps is served, where it is meant


@click.group("web", context_settings=EXAMPLE, invoke_without_command=True)
@click.option("--all", "all_apps", is_flag=True, help="One page for all apps of `gitdeploy apps`.")
@click.option("--user", metavar="NAME", help="With --all, whom root serves the page as.")
@click.option("--host", metavar="ADDRESS", help="Serve at this address instead of web.host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Serve at this port instead of web.port.")
@click.option("--print-unit", is_flag=True, help="Print the systemd unit that runs this.")
@click.option("--install-unit", is_flag=True, help="Write that unit, enable and start it (root).")
@click.option("--print-proxy", is_flag=True, help="Print what nginx needs to reach the page.")
@global_options
@pass_screen
@click.pass_context
def command(
    context: click.Context,
    /,
    screen: Screen,
    host: str | None,
    port: int | None,
    print_unit: bool,
    install_unit: bool,
    print_proxy: bool,
    all_apps: bool,
    user: str | None,
) -> None:
    """Serve the page and the API.

    \b
    Example:
      gitdeploy web
      gitdeploy web --print-unit
      gitdeploy web --print-proxy
      gitdeploy web token add deploy-bot
      sudo gitdeploy web --all --install-unit
    """
    context.meta[_ALL] = (user or web_all.USER) if all_apps else None
    if context.invoked_subcommand is not None:
        return
    if all_apps:
        if print_unit or install_unit:
            web_all.unit(screen, user or web_all.USER, install=install_unit)
        elif print_proxy:
            web_all.proxy(screen, host, port)
        else:
            web_all.serve(screen, host, port, user)
        return
    if print_unit or install_unit:
        site = screen.app().site
        text = web_unit(site, screen.config_file)
        if install_unit:
            install_units(screen, {f"{unit_name(site)}-page.service": text}, "-C", str(site.root), "web")
        else:
            screen.result({"unit": text}, text)
        return
    app = screen.app()
    settings = app.site.config.web
    host = host or settings.host
    if print_proxy:
        number = port or usual_port(app.site.config)
        text = nginx_block(host, number, settings.hosts)
        screen.result({"port": number, "nginx": text}, text)
        return
    _serve(screen, app, host, port)


def _serve(screen: Screen, app: App, host: str, asked: int | None) -> None:
    """Serve at HOST and the port ASKED for, or another where nobody chose one and the usual one is taken."""
    server = imported("serving.server")
    app.site.require_owner()
    settings = app.site.config.web
    found = choose_port(app.site.config, host, asked)
    port = found.number
    logging.basicConfig(level=logging.WARNING, format="[%(asctime)s] [%(levelname)s] %(message)s")
    imported("serving.ending").take_over()
    application = server.make_app(app.site.root, screen.config_file)
    link = f"http://{shown_host(host)}:{port}/upgrade/"
    for warning in server.warnings(settings, host):
        screen.write_error(tr("Warning: {warning}\n", warning=warning))
    if found.why:
        block = nginx_block(host, port, settings.hosts)
        screen.write_error(
            tr(
                "{why} To keep that: web: {{port: {port}}} in deploy.yaml.\n{block}",
                why=found.why,
                port=port,
                block=block,
            )
        )

    def ready() -> None:
        screen.result({"url": link}, "")
        screen.message(tr("{site}: the page is at {link}  (Ctrl-C ends it)", site=app.site.name, link=link))
        _first_link(screen, link)

    try:
        server.serve(application, host, port, ready)
    except OSError as error:
        raise ConfigError(
            tr("The page can't be served at {host}:{port}: {strerror}.", host=host, port=port, strerror=error.strerror),
            tr("Stop what uses that port, or choose another: {command} --port N", command="gitdeploy web"),
        ) from error
    screen.message(tr("The page is no longer served. A running deployment goes on."))


def _first_link(screen: Screen, link: str) -> None:
    """At the first start a link that opens one session; later how to get in."""
    from gitdeploy.web.access.access import CODE_LASTS
    from gitdeploy.web.shared.panel import environment_token

    store = _store(screen)
    if environment_token() is not None:
        screen.message(tr("Log in with the token in GITDEPLOY_WEB_TOKEN."))
    elif (code := store.first_code(CODE_LASTS)) is not None:
        say_code(screen, link, code, "gitdeploy web token add NAME")
    elif store.tokens():
        screen.message(tr("Log in with a token.  Another one: gitdeploy web token add NAME"))
    else:
        screen.message(tr("Log in with a token.  Make one: gitdeploy web token add NAME"))


def _lasts(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """Seconds. Raises `UsageError` for what is not a length of time."""
    kind = Duration(least=60, most=3650 * 86400.0, unit_needed=True)
    try:
        return kind.read(Scalar(text, True, 1)) if text is not None else None
    except Wrong as error:
        raise UsageError(
            tr("`--expires {text}` is not {expected}.", text=clean(text or "", limit=40), expected=kind.expected),
            tr("gitdeploy web token add NAME --expires 90d"),
        ) from error


@command.group("token", context_settings=EXAMPLE)
def token() -> None:
    """Make, list and revoke tokens.

    People and scripts log in with them.

    \b
    Example:
      gitdeploy web token add deploy-bot
      gitdeploy web token add dashboard --read-only
      gitdeploy web token revoke deploy-bot
    """


@token.command("add", context_settings=EXAMPLE)
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It may look, and change nothing.")
@click.option("--expires", metavar="TIME", callback=_lasts, help="It ends after this time: 12h, 90d.")
@global_options
@pass_screen
def add(screen: Screen, /, name: str, read_only: bool, expires: float | None) -> None:
    """Make a token. It is shown this once; only its hash is kept.

    \b
    Example:
      gitdeploy web token add deploy-bot --expires 90d
    """
    made = _store(screen).add_token(name, read_only=read_only, lasts=expires)
    screen.result({"name": name, "read_only": read_only, "expires_in": expires, "token": made}, made)


@token.command("list", context_settings=EXAMPLE)
@global_options
@pass_screen
def list_tokens(screen: Screen, /) -> None:
    """List the tokens by name.

    And when each was used last and when it ends; never the tokens themselves.

    \b
    Example:
      gitdeploy web token list
    """
    store = _store(screen)
    rows = store.tokens()
    table = screen.table(
        [
            (
                row.name,
                tr("look") if row.read_only else tr("change"),
                *map(_time, (row.created_at, row.used_at)),
                _end(row),
            )
            for row in rows
        ],
        ("NAME", "MAY", "MADE", "LAST USED", "ENDS"),
    )
    screen.result(
        [
            {
                "name": row.name,
                "read_only": row.read_only,
                "created_at": _iso(row.created_at),
                "used_at": _iso(row.used_at),
                "expires_at": _iso(row.expires_at),
            }
            for row in rows
        ],
        table if rows else tr("There is no token yet.  Make one: {command} token add NAME", command=store.command),
    )


@token.command("revoke", context_settings=EXAMPLE)
@click.argument("name")
@global_options
@pass_screen
def revoke(screen: Screen, /, name: str) -> None:
    """End a token, and every session that was opened with it.

    \b
    Example:
      gitdeploy web token revoke deploy-bot
    """
    _store(screen).revoke_token(name)
    screen.result({"name": name, "revoked": True}, tr("{name} can no longer log in.", name=name))


def _store(screen: Screen) -> Store:
    if (user := click.get_current_context().meta.get(_ALL)) is not None:
        return web_all.store(user)
    site = screen.app().site
    site.require_owner()
    store: Store = imported("access.store").Store(site.state.path / "web.db", site.make_state)
    return store


def _iso(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at is not None else None


def _end(row: TokenRow) -> str:
    ended = row.expires_at is not None and row.expires_at <= time.time()
    return _time(row.expires_at) + (tr(" (ended)") if ended else "")


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M") if at is not None else tr("never")
