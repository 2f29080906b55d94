"""`gitdeploy watch`."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import click
from msgspec.structs import replace

from gitdeploy.cli.installed_units import install_units
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.cli.units import watch_units
from gitdeploy.errors import GitDeployError, Interrupted, LockedError, UsageError
from gitdeploy.messages import joined, render, tr
from gitdeploy.system import interruption
from gitdeploy.text import clean, duration_text
from gitdeploy.upkeep.watch import Look, failed_before

JITTER = 0.1  # of the interval, so that many servers don't ask at the same moment


@click.command("watch", context_settings=EXAMPLE)
@click.option("--once", is_flag=True, help="Look once and end: for timers.")
@click.option(
    "--print-unit",
    is_flag=False,
    flag_value="all",
    type=click.Choice(["all", "service", "timer"]),
    help="Print the systemd units that run this (with --once: a timer too), or one of them.",
)
@click.option("--install-unit", is_flag=True, help="Write those units, enable and start them (root).")
@global_options
@pass_screen
def command(screen: Screen, /, once: bool, print_unit: str | None, install_unit: bool) -> None:
    """Look for releases on an interval.

    Tells people once about a new one, and upgrades where `check` in deploy.yaml allows it.

    \b
    Example:
      gitdeploy watch --once
      gitdeploy watch --once --print-unit
      gitdeploy watch --once --print-unit timer
      sudo gitdeploy watch --once --install-unit
    """
    if print_unit or install_unit:
        _units(screen, once=once, which=print_unit, install=install_unit)
        return
    if once:
        _once(screen)
        return
    interruption.install()
    screen.goes_on = True
    screen.message(tr("{site}: looking for releases (Ctrl-C ends it)", site=screen.app().site.name))
    while True:
        wait = screen.app().site.config.check.interval
        try:
            found = _once(screen)
            if found.again is not None:
                wait = min(wait, max(1.0, (found.again - datetime.now(UTC)).total_seconds()))
        except Interrupted:
            raise
        except GitDeployError as error:
            screen.error(error)
        wait += random.uniform(0, JITTER) * wait  # noqa: S311  # spreads load, protects nothing
        screen.message(tr("The next look is in {wait}.", wait=duration_text(wait)))
        try:
            interruption.sleep(wait)
        except Interrupted:
            return


def _units(screen: Screen, *, once: bool, which: str | None, install: bool) -> None:
    """Print the units, or the WHICH of them, or install them all."""
    site = screen.app().site
    units = watch_units(site, once=once)
    if install:
        install_units(screen, units, "-C", str(site.root), "watch", *(["--once"] if once else []))
        return
    wanted = {name: text for name, text in units.items() if which == "all" or name.endswith(f".{which}")}
    if not wanted:
        raise UsageError(tr("There is a timer with --once only."), tr("gitdeploy watch --once --print-unit timer"))
    apart = tr("# ---- the next file ----")
    screen.result({"units": wanted}, f"\n{render(apart)}\n".join(wanted.values()))


def _once(screen: Screen) -> Look:
    """One look; upgrades where that is allowed. Raises what the upgrade raised."""
    app = screen.app()
    found = app.look()
    for problem in found.problems:
        screen.message(tr("Warning: {problem}", problem=problem))
    newer = tr("{latest_tag} is available.", latest_tag=found.check.latest_tag) if found.check.update_available else ""
    if found.bad is not None:
        newer = _failed(found)
    told = tr("Notifications were sent.") if found.told else ""
    if found.tag is None:
        said = joined(" ", filter(None, (newer, told, _why_nothing(found))))
        screen.result({**_document(found), "upgrade": None}, said)
        return found
    upgrading = tr("Upgrading to {tag}.", tag=found.tag)
    screen.message(joined(" ", filter(None, (newer, told, upgrading))))
    try:
        caller = replace(screen.caller(f"watch: upgrade {found.tag}", automatic=True), watching=True)
        result = app.upgrade_watched(found.tag, caller=caller)
    except LockedError as error:
        screen.result({**_document(found), "upgrade": None, "reason": error.message}, error.message)
        return found
    if isinstance(result, str):
        screen.result({**_document(found), "upgrade": None, "reason": result}, result)
    else:
        screen.result({**_document(found), "upgrade": result.as_dict()}, result.sentence)
    return found


def _failed(found: Look) -> str:
    """That the newest release failed here: why whole the first time, later in a few words."""
    assert found.bad is not None
    if not found.bad_known:
        return failed_before(found.bad)
    where = (
        tr(" (gitdeploy log {deployment})", deployment=found.bad.deployment) if found.bad.deployment is not None else ""
    )
    return tr("{bad_tag} failed here before{where}.", bad_tag=clean(found.bad.tag), where=where)


def _why_nothing(found: Look) -> str:
    return found.reason if found.bad is None else found.waits


def _document(found: Look) -> dict[str, object]:
    return {
        "check": found.check.as_dict(),
        "reason": found.reason,
        "again": found.again.isoformat() if found.again else None,
        "told": found.told,
    }
