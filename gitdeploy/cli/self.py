"""`gitdeploy self`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
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
    source = found.source or "nothing says where from; install it anew as its README says"
    lines = [
        f"gitdeploy {facts['version']}  {clean(' '.join(program()))}",
        f"  Python       {clean(facts['python'])}",
        f"  from         {clean(source)}{' (editable)' if found.editable else ''}, kept by {found.kind}",
    ]
    states = {extra: "installed" if found.has(extra) else f"not installed:  {found.extend(extra)}" for extra in EXTRAS}
    lines += [f"  {extra:<12} {state}" for extra, state in states.items()]
    if found.upgrade is not None:
        lines.append(f"  upgrade      {clean(found.upgrade)}")
    lines.append(f"  remove       {clean(found.remove)}   (each app keeps its .gitdeploy/)")
    screen.result(facts, "\n".join(lines))
