"""`gitdeploy fleet`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from gitdeploy import fleet
from gitdeploy.cli.fleet_screen import Shown, log_text, outcome_text, plan_text, rollouts_text, status_text
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, wait_option, yes_option
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import Declined, DeploymentFailed, NotFound, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.caller import performer
from gitdeploy.system import interruption
from gitdeploy.text import count

if TYPE_CHECKING:
    from gitdeploy.fleet.journal import Rollout
    from gitdeploy.fleet.session import Outcome, Session
    from gitdeploy.fleet.settings import Fleet
    from gitdeploy.fleet.survey import Survey

F = TypeVar("F", bound=Callable[..., Any])
_RELEASE = ("unhealthy", "allow_downgrade", "accept_moved_tag", "accept_config")


def fleet_options(command: F) -> F:
    """Which fleet it is."""
    for option in (
        click.option("-b", "--become", is_flag=True, help="Become root on the hosts, as ansible-playbook -b does."),
        click.option("--hosts", metavar="PATTERN", help="The app's hosts, as a pattern of Ansible's."),
        click.option("-f", "--file", metavar="FILE", help="fleet.yaml, where it isn't in this folder."),
        click.option("-i", "--inventory", multiple=True, metavar="FILE", help="Ansible's inventory; repeatable."),
    ):
        command = option(command)
    return command


def rollout_options(command: F) -> F:
    """How a rollout goes: keys of fleet.yaml."""
    for option in (
        click.option("--now", is_flag=True, help="Outside the fleet's window too."),
        click.option(
            "--on-failure",
            type=click.Choice(("halt", "rollback-batch", "rollback-all")),
            help="What happens to the other hosts when a batch fails.",
        ),
        click.option("--soak", metavar="TIME", help="How long the canary hosts are watched (10m)."),
        click.option("--canary", metavar="PATTERN", help="Hosts that go first."),
        click.option("--max-fail-percentage", metavar="N", help="Share of a batch that may fail."),
        click.option("--serial", multiple=True, metavar="SIZE", help="Size of the batches (1, 25%); repeatable."),
    ):
        command = option(command)
    return command


def release_options(command: F) -> F:
    """What each host's upgrade is allowed."""
    for option in (
        click.option("--unhealthy", is_flag=True, help="Also hosts that are unhealthy now."),
        click.option("--allow-downgrade", is_flag=True, help="Install an older release than the live one."),
        click.option("--accept-moved-tag", is_flag=True, help="Take a tag's new commit."),
        click.option("--accept-config", multiple=True, metavar="KEY", help="Let the release change a pinned setting."),
        click.option("--skip-unreachable", is_flag=True, help="Leave out hosts that can't be reached."),
    ):
        command = option(command)
    return command


@click.group("fleet", context_settings=EXAMPLE)
def command() -> None:
    """Many servers: upgrade them batch by batch.

    Reaches the hosts by Ansible, with any inventory of Ansible's (the extra `fleet`). How a rollout goes is set in
    fleet.yaml in this folder; the journal of rollouts is kept beside it.

    \b
    Example:
      gitdeploy fleet status -i inventory.ini
      gitdeploy fleet prepare v1.4.0
      gitdeploy fleet upgrade v1.4.0
      gitdeploy fleet rollback
    """


@command.command("status", context_settings=EXAMPLE)
@fleet_options
@global_options
@pass_screen
def status(screen: Screen, /, **values: Any) -> None:
    """What each host runs, and what differs between them.

    Also how the last rollout ended. Changes nothing.

    \b
    Example:
      gitdeploy fleet status
      gitdeploy fleet status --json
    """
    asked = _fleet(screen, values)
    interruption.install()
    with fleet.ansible.Ansible(asked) as ansible, Shown(screen) as shown:
        found = fleet.survey.survey(ansible, gather=("health", "packages", "settings"), on_result=shown.asked)
    with fleet.journal.Journal.open(asked.state) as journal:
        last = fleet.session.as_it_is(asked, journal.rollouts(1))
    document, text = status_text(screen, found, last[0] if last else None)
    screen.result(document, text)


@command.command("prepare", context_settings=EXAMPLE)
@click.argument("tag")
@release_options
@fleet_options
@wait_option
@global_options
@pass_screen
def prepare(screen: Screen, /, tag: str, wait: float, **values: Any) -> None:
    """Fetch, check and build an upgrade on all hosts.

    All at once; nothing live is touched. `fleet upgrade` then needs seconds.

    \b
    Example:
      gitdeploy fleet prepare v1.4.0     # in the afternoon
      gitdeploy fleet upgrade v1.4.0     # at night
    """
    with Shown(screen) as shown, _session(screen, shown, values, f"prepare {tag}", wait) as session:
        found = _survey(session, shown)
        skip = values["skip_unreachable"]
        members = fleet.rollout.placed(session.fleet.config, found, tag, skip_unreachable=skip)
        rollout = fleet.rollout.begin(session, "prepare", tag, members, _release(values))
        shown.begin(members)
        outcome = fleet.rollout.upgrade(session, rollout, live=False)
    _end(screen, outcome)


@command.command("rehearse", context_settings=EXAMPLE)
@click.argument("tag")
@click.option("--host", metavar="HOST", help="Where. Default: the host that migrates.")
@release_options
@fleet_options
@wait_option
@global_options
@pass_screen
def rehearse(screen: Screen, /, tag: str, host: str | None, wait: float, **values: Any) -> None:
    """Try TAG on a copy of the app and its data, on one host.

    It is the host that would migrate; nothing live is touched, there or elsewhere.

    \b
    Example:
      gitdeploy fleet rehearse v1.4.0
    """
    with Shown(screen) as shown, _session(screen, shown, values, f"rehearse {tag}", wait) as session:
        found = _survey(session, shown)
        if host is not None and host not in found.names:
            raise UsageError(tr("The inventory has no host that matches `{pattern}`.", pattern=host))
        outcome = fleet.rollout.rehearse(session, found, tag, _release(values), host)
    _end(screen, outcome)


@command.command("upgrade", context_settings=EXAMPLE)
@click.argument("tag", required=False)
@click.option("--only-behind", is_flag=True, help="Bring up hosts that missed the last rollout.")
@click.option("--resume", is_flag=True, help="Go on with the rollout that was interrupted or has halted.")
@release_options
@rollout_options
@fleet_options
@wait_option
@yes_option
@global_options
@pass_screen
def upgrade(
    screen: Screen, /, tag: str | None, only_behind: bool, resume: bool, wait: float, yes: bool, **values: Any
) -> None:
    """Upgrade all hosts to TAG, batch by batch.

    It is prepared on all hosts first. A host that fails rolls itself back; the rollout then stops, and does what on_failure
    says. Interrupted or killed, it goes on with --resume: each host's own journal says how far that host is.

    Exits with 3 where all hosts are back on their old release, with 4 where the fleet is mixed.

    \b
    Example:
      gitdeploy fleet upgrade v1.4.0
      gitdeploy fleet upgrade v1.4.0 --serial 1 --serial 25% --on-failure rollback-all --yes
      gitdeploy fleet upgrade --resume
      gitdeploy fleet upgrade --only-behind
    """
    command_line = " ".join(["upgrade", *([tag] if tag else []), *(["--resume"] if resume else [])])
    with Shown(screen) as shown, _session(screen, shown, values, command_line, wait) as session:
        going_on = _to_resume(session, tag, resume)
        if going_on is not None:
            screen.message(tr("Going on with rollout {number} to {tag}.", number=going_on.id, tag=going_on.tag))
            rollout = going_on
        else:
            tag = tag or (_last_tag(session) if only_behind else _named())
            if not values["now"]:
                session.require_window()
            found = _survey(session, shown)
            members = fleet.rollout.placed(
                session.fleet.config, found, tag,
                skip_unreachable=values["skip_unreachable"], only_behind=only_behind,
            )  # fmt: skip
            if not yes:
                screen.message(plan_text(members, tag))
                if not screen.confirm(tr("Upgrade {hosts} to {tag} now?", hosts=count(len(members), "host"), tag=tag)):
                    raise Declined(tr("Not upgraded; nothing was changed."))
            rollout = fleet.rollout.begin(session, "upgrade", tag, members, _release(values))
        shown.begin(session.members(rollout))
        outcome = fleet.rollout.upgrade(session, rollout, again=going_on is not None, anytime=values["now"])
    _end(screen, outcome)


@command.command("rollback", context_settings=EXAMPLE)
@click.argument("tag", required=False)
@click.option("--with-data", is_flag=True, help="The shared database goes back too, once.")
@fleet_options
@wait_option
@yes_option
@global_options
@pass_screen
def rollback(screen: Screen, /, tag: str | None, with_data: bool, wait: float, yes: bool, **values: Any) -> None:
    """Roll the last rollout back, on every host.

    Each host that runs TAG (the last rollout's release) goes back to what it ran before, by its own journal; the others are
    left alone. The database stays as it is, unless --with-data: then the host that migrated brings back its dump, last.

    \b
    Example:
      gitdeploy fleet rollback
      gitdeploy fleet rollback v1.4.0 --with-data
    """
    with Shown(screen) as shown, _session(screen, shown, values, "rollback", wait) as session:
        tag = tag or _last_tag(session, live=True)
        found = _survey(session, shown)
        fleet.rollout.refuse(found.hosts, skip_unreachable=True)
        wanted = [host.name for host in found.hosts if host.known and host.status.get("tag") == tag]
        if not wanted:
            screen.result({"status": "nothing_to_do"}, tr("No host runs {tag}.", tag=tag))
            return
        if with_data:
            fleet.back.require_primary(session, found, wanted)
        if not yes:
            if with_data:
                screen.message(tr("With --with-data, what was written to the database since is replaced by its dump."))
            if not screen.confirm(tr("Roll {tag} back on {hosts} now?", tag=tag, hosts=count(len(wanted), "host"))):
                raise Declined(tr("Not rolled back; nothing was changed."))
        going_back = fleet.back.begin(session, found, tag)
        shown.begin(session.members(going_back))
        outcome = fleet.back.rollback(session, going_back, with_data=with_data)
    _end(screen, outcome)


@command.command("pause", context_settings=EXAMPLE)
@click.option("-m", "--message", default="", metavar="MESSAGE", help="Why; shown to whoever is refused.")
@click.option("--force", is_flag=True, help="Also in place of somebody else's pause.")
@fleet_options
@global_options
@pass_screen
def pause(screen: Screen, /, message: str, force: bool, **values: Any) -> None:
    """Pause deployments on every host.

    \b
    Example:
      gitdeploy fleet pause -m "month-end closing, ask Li"
    """
    _pause(screen, values, {"gitdeploy_state": "paused", "gitdeploy_message": message, "gitdeploy_force": force})


@command.command("resume", context_settings=EXAMPLE)
@fleet_options
@global_options
@pass_screen
def resume_(screen: Screen, /, **values: Any) -> None:
    """Resume deployments on every host.

    \b
    Example:
      gitdeploy fleet resume
    """
    _pause(screen, values, {"gitdeploy_state": "resumed"})


@command.command("log", context_settings=EXAMPLE)
@click.argument("rollout", metavar="[ID]", type=int, required=False)
@click.argument("host", required=False)
@fleet_options
@global_options
@pass_screen
def log(screen: Screen, /, rollout: int | None, host: str | None, **values: Any) -> None:
    """The rollouts, newest first; with ID one of them.

    With HOST too, only what that host said.

    \b
    Example:
      gitdeploy fleet log
      gitdeploy fleet log 7
      gitdeploy fleet log 7 web3
    """
    asked = _fleet(screen, values)
    with fleet.journal.Journal.open(asked.state) as journal:
        if rollout is None:
            screen.result(*rollouts_text(screen, fleet.session.as_it_is(asked, journal.rollouts(50))))
        else:
            (found,) = fleet.session.as_it_is(asked, [journal.rollout(rollout)])
            screen.result(*log_text(journal, found, host))


# ---- shared ----


def _fleet(screen: Screen, values: dict[str, Any]) -> Fleet:
    file = values.get("file")
    folder = Path(screen.folder)
    if not folder.is_dir():
        raise UsageError(tr("There is no folder {folder}.", folder=str(folder)))
    found = fleet.settings.load(folder, Path(file) if file else None)
    return fleet.settings.with_options(found, values)


def _session(screen: Screen, shown: Shown, values: dict[str, Any], words: str, wait: float) -> Session:
    interruption.install()
    return fleet.session.Session.begin(
        _fleet(screen, values), performer=performer(), command=f"gitdeploy fleet {words}", lock_wait=wait,
        listener=shown.listen,
    )  # fmt: skip


def _survey(session: Session, shown: Shown) -> Survey:
    return fleet.survey.survey(session.ansible, on_result=shown.asked)


def _release(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(values[name]) if name == "accept_config" else values[name] for name in _RELEASE if values[name]}


def _to_resume(session: Session, tag: str | None, resume: bool) -> Rollout | None:
    """The rollout that goes on: one that was interrupted by itself, where the same release is asked for."""
    found = fleet.rollout.to_resume(session, tag)
    if found is None and resume:
        raise NotFound(tr("There is no rollout to go on with."), tr("Begin one:  gitdeploy fleet upgrade TAG"))
    interrupted = found is not None and found.status == "running" and tag is not None
    return found if resume or interrupted else None


def _last_tag(session: Session, *, live: bool = False) -> str:
    """The release of the last rollout that went live anywhere, unless it was taken back; LIVE: of that one too. (Else the one
    before it would be taken back, which nobody asked for.)"""
    for last in session.journal.rollouts():
        if last.action == "upgrade" and last.status != "failed" and last.tag is not None:
            return last.tag if live or last.status in ("succeeded", "halted", "running") else _named()
        if last.action == "rollback" and not live:
            break
    return _named()


def _named() -> NoReturn:
    """Raises `UsageError`: nobody said which release."""
    raise UsageError(tr("Name the release."), tr("For example:  gitdeploy fleet upgrade v1.4.0"))


def _pause(screen: Screen, values: dict[str, Any], variables: dict[str, Any]) -> None:
    interruption.install()
    with fleet.ansible.Ansible(_fleet(screen, values)) as ansible:
        played = ansible.play("pause", variables)
    bad = {each.host: each.message for each in played.results if each.kind in ("failed", "unreachable")}
    good = [each.host for each in played.results if each.kind == "ok"]
    paused = variables["gitdeploy_state"] == "paused"
    if bad or played.silent:
        told = [f"{host}: {why}" for host, why in bad.items()] + ([played.why] if played.silent else [])
        raise DeploymentFailed(
            tr("Not on all hosts: {hosts}", hosts="; ".join(told)),
            tr("Run the same command again once they can be reached."),
        )
    text = (
        tr("Deployments are paused on {hosts}.  Resume them: gitdeploy fleet resume", hosts=count(len(good), "host"))
        if paused
        else tr("Deployments may go on on {hosts}.", hosts=count(len(good), "host"))
    )
    screen.result({"paused": paused, "hosts": good}, text)


def _end(screen: Screen, outcome: Outcome) -> None:
    screen.result(outcome.as_dict(), outcome_text(screen, outcome))
    screen.exit_code = outcome.exit_code
