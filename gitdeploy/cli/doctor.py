"""`gitdeploy doctor`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen, row
from gitdeploy.cli.units import unit_name
from gitdeploy.errors import UsageError
from gitdeploy.messages import joined, render, tr
from gitdeploy.services.rights import polkit, sudoers
from gitdeploy.services.systemd import systemctl
from gitdeploy.services.systemd import unit_name as unit_file
from gitdeploy.system.owner import user_name
from gitdeploy.text import count, padded

_MARKS = {"ok": "✓", "warning": "!", "problem": "✗", "mended": "+"}
_STATUS = {"ok": "done", "warning": "undone", "problem": "failed", "mended": "done"}


@click.command("doctor", context_settings=EXAMPLE)
@click.option(
    "--repair", is_flag=True, help="Repair what can be repaired safely: interrupted deployments, stale locks, refs."
)
@click.option("--notify", is_flag=True, help="Send a test message to every receiver of `notify`.")
@click.option(
    "--print-sudoers", is_flag=True, help="Print the rule by which sudo lets the owner restart the app's units."
)
@click.option("--print-polkit", is_flag=True, help="Print the rule by which polkit lets the owner do so.")
@global_options
@pass_screen
def command(screen: Screen, /, repair: bool, notify: bool, print_sudoers: bool, print_polkit: bool) -> None:
    """Look for what an upgrade would trip over, and say what to do.

    Exits with 1 where something is wrong.

    \b
    Example:
      gitdeploy doctor
      gitdeploy doctor --repair
      gitdeploy doctor --notify
      gitdeploy doctor --print-polkit
    """
    if print_sudoers or print_polkit:
        _print_rule(screen, sudo=print_sudoers)
        return
    app = screen.app()
    found = app.doctor(repair=repair, notify=notify, caller=screen.caller("doctor --repair") if repair else None)
    problems = sum(finding.level == "problem" for finding in found)
    lines = []
    for finding in found:
        lines.append(
            row(
                f"{screen.coloured(_STATUS[finding.level], _MARKS[finding.level])} {padded(finding.about, 10)}",
                finding.message,
                0,
            )
        )
        lines += [row("", line, 12) for line in render(finding.hint).splitlines()]
    if place := screen.elsewhere(joined("\n", (finding.hint for finding in found))):
        lines.append(f"  {render(place)}")
    ending = tr("{count}.", count=count(problems, "problem")) if problems else tr("Nothing blocks an upgrade.")
    screen.result([finding.as_dict() for finding in found], joined("\n", [*lines, ending]))
    screen.exit_code = 1 if problems else 0


def _print_rule(screen: Screen, *, sudo: bool) -> None:
    """The rule for the app's units, under the name of its file and with how it is put there."""
    site = screen.app().site
    units = [unit_file(unit) for unit in site.config.service.systemd]
    if not units:
        raise UsageError(
            tr("No systemd unit is configured, so there is nothing to give a right for."),
            tr("Name it in deploy.yaml:  service: {{systemd: NAME}}"),
        )
    user, name = user_name(site.root.stat().st_uid), unit_name(site)
    if sudo:
        place, rule = f"/etc/sudoers.d/{name.replace('.', '_')}", sudoers(user, units, systemctl())
        how = tr("mode 0440; check it: visudo -cf {place}", place=place)
    else:
        place, rule = f"/etc/polkit-1/rules.d/50-{name}.rules", polkit(user, units)
        how = tr("polkit reads it at once")
    mark = "#" if sudo else "//"
    screen.result({"file": place, "text": rule}, f"{mark} {place}    {render(tr('({how})', how=how))}\n{rule}".rstrip())
