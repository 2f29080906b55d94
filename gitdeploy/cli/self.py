"""`gitdeploy self`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen, row
from gitdeploy.messages import joined, tr
from gitdeploy.system.installation import EXTRAS, Installation
from gitdeploy.system.ourselves import program
from gitdeploy.text import clean


@click.command("self", context_settings=EXAMPLE)
@global_options
@pass_screen
def command(screen: Screen) -> None:
    """Where this gitdeploy is from, how it is upgraded and removed.

    And the command that adds what an extra needs.

    \b
    Example:
      gitdeploy self
    """
    found = Installation()
    facts = found.as_dict()
    source = found.source or tr("nothing says where from; install it anew as its README says")
    lines = [
        f"gitdeploy {facts['version']}  {clean(joined(' ', program()))}",
        tr("  Python       {facts}", facts=clean(facts["python"])),
        tr(
            "  from         {source}{editable}, kept by {kind}",
            source=clean(source),
            editable=tr(" (editable)") if found.editable else "",
            kind=found.kind,
        ),
    ]
    states = {
        extra: tr("installed") if found.has(extra) else tr("not installed:  {extend}", extend=found.extend(extra))
        for extra in EXTRAS
    }
    lines += [row(extra, state, 12) for extra, state in states.items()]
    if found.upgrade is not None:
        lines.append(tr("  upgrade      {upgrade}", upgrade=clean(found.upgrade)))
    lines.append(tr("  remove       {remove}   (each app keeps its .gitdeploy/)", remove=clean(found.remove)))
    screen.result(facts, joined("\n", lines))
