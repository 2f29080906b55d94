"""What a deployment will do to the venv, as far as its requirements tell before an installer has looked at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import venvs
from gitdeploy.checkout.changes import Problem
from gitdeploy.config import Config
from gitdeploy.deployment.plan.options import Options
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import withheld
from gitdeploy.site.site import Site
from gitdeploy.text import listing
from gitdeploy.versions import satisfies

_OF_UV = "PROJECT_ROOT"  # uv fills in the folder of the file itself


class VenvPlan(Struct, frozen=True):
    """What happens to the venv: `reuse` names a generation that fits as it is, else one is built."""

    live: venvs.LiveVenv
    requirements: venvs.Requirements
    reuse: str | None
    added: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]
    removed: Mapping[str, str]
    found: Mapping[str, venvs.Installed]  # what the live venv holds
    rebuild: bool = False
    python: str | None = None  # of a rebuild with another interpreter than the live one's: its version, as far as known
    downloaded: bool = False  # whether that interpreter is fetched first
    missing: tuple[str, ...] = ()  # of one that is built from nothing: packages that it won't have

    @property
    def plain(self) -> bool:
        """A working venv that isn't one of ours yet."""
        return self.live.generation is None and self.live.problem is None

    @property
    def unchanged(self) -> bool:
        return self.reuse is not None and self.reuse == self.live.generation

    @property
    def from_nothing(self) -> bool:
        """Whether it is built from the requirements alone, instead of from a copy of the live one."""
        return self.reuse is None and (self.rebuild or self.live.problem is not None)


def plan_venv(
    site: Site,
    after: Config,
    reader: venvs.TreeReader,
    generation: str | None,
    options: Options,
    problems: list[Problem],
) -> VenvPlan | None:
    """What happens to the venv; None where the app has none. Adds what speaks against it to PROBLEMS.

    AFTER: the target's configuration. reader: its files. generation: of a restore, the one that must be live.
    """
    live = site.live_venv()
    if live is None:
        problems += _without_venv(options)
        return None
    other = venvs.other_than_live(after.venv, live, site.state.pythons) if generation is None else None
    if other is not None and other.path is None and not other.downloaded:
        problems.append(
            Problem(
                tr(
                    "There is no interpreter {python} (venv.python) on this server, or it doesn't start.",
                    python=after.venv.python,
                ),
                tr("Install it, or name one that is there: venv: {{python: /usr/bin/python3}}"),
            )
        )
    requirements = venvs.read_requirements(reader, after.venv, live, root=site.root, other=other)
    problems += [Problem(text) for text in requirements.problems]
    if generation is None:  # what was live once is there already
        problems += [*_variables(site, after, requirements), *_origins(after, requirements)]
    brought = [*requirements.index_options, *_brought_arguments(site.config, after)]
    if brought and not after.venv.allow_index_options:  # which is pinned on this server
        problems.append(
            Problem(
                tr(
                    "The release's requirements bring package sources of their own: {brought}.",
                    brought=listing(brought, 5),
                ),
                tr(
                    "If you trust them: venv: {{allow_index_options: true}} in the deploy.yaml that is live now; the release's own doesn't count."
                ),
                refused=True,
            )
        )
    if generation is not None and (site.state.venvs / generation).is_dir():
        reuse: str | None = generation
    else:
        reuse = None if options.rebuild_venv or other is not None else venvs.matching(requirements, live)
    found = venvs.installed(live.real)
    installed = {**venvs.system_packages(live), **{name: package.version for name, package in found.items()}}
    added, changed, removed = _packages(site, live, requirements, reuse, installed)
    rebuild = options.rebuild_venv or after.venv.exact or other is not None
    plan = VenvPlan(
        live=live,
        requirements=requirements,
        reuse=reuse,
        added=added,
        changed=changed,
        removed=removed,
        found=found,
        rebuild=rebuild,
        python=(other.version or after.venv.python) if other is not None else None,
        downloaded=other is not None and other.downloaded,
    )
    return replace(plan, missing=_missing(plan, site.root)) if plan.from_nothing else plan


def _without_venv(options: Options) -> list[Problem]:
    """What was asked for by name is not left undone without a word."""
    if not options.rebuild_venv:
        return []
    way = tr("Make one: python3 -m venv venv\nOr leave --rebuild-venv out.")
    return [Problem(tr("--rebuild-venv was given, and the app has no venv."), way)]


def _packages(
    site: Site, live: venvs.LiveVenv, requirements: venvs.Requirements, reuse: str | None, installed: dict[str, str]
) -> tuple[dict[str, str], dict[str, tuple[str, str]], dict[str, str]]:
    """(added, changed, removed) beside what is INSTALLED in the live venv, as far as it can be told without installing:
    by the requirements, or by the generation that is used again."""
    added: dict[str, str] = {}
    changed: dict[str, tuple[str, str]] = {}
    removed: dict[str, str] = {}
    if reuse is None:
        for name, version in requirements.pins.items():
            if name in installed and installed[name] != version and not satisfies(installed[name], f"=={version}"):
                changed[name] = (installed[name], version)
            elif name not in installed and name in requirements.names:  # else a constraint, for whoever needs it
                added[name] = version
        for name, wanted in requirements.unpinned.items():
            if name not in installed:
                added[name] = wanted
            elif not satisfies(installed[name], wanted):
                changed[name] = (installed[name], wanted)
    elif reuse != live.generation:
        then = venvs.packages(site.state.venvs / reuse)
        added = {name: version for name, version in then.items() if name not in installed}
        removed = {name: version for name, version in installed.items() if name not in then}
        changed = {
            name: (installed[name], version)
            for name, version in then.items()
            if name in installed and installed[name] != version
        }
    return added, changed, removed


def _missing(plan: VenvPlan, root: Path) -> tuple[str, ...]:
    """Packages of the live venv that nothing asks for, neither a requirement nor another package: they are not in a venv
    that is built from the requirements."""
    asked = {*plan.requirements.names, *venvs.needed_by_others(plan.live.real)}
    own = {one.name for one in venvs.own_installs(plan.live.real, root)} if plan.requirements.needs_tree else set()
    return tuple(name for name in plan.found if name not in {*asked, *own, "pip", "setuptools", "wheel"})


def _origins(after: Config, requirements: venvs.Requirements) -> list[Problem]:
    """Packages that come from elsewhere than this server's indexes."""
    if after.venv.allow_index_options or not requirements.origins:
        return []
    places = listing([origin.shown for origin in requirements.origins], 5)
    hosts = dict.fromkeys([*after.venv.allow_sources, *(one.host for one in requirements.origins)])
    way = tr(
        "If you trust those hosts: venv: {{allow_sources: [{hosts}]}} in deploy.yaml on this server.",
        hosts=", ".join(hosts),
    )
    if "" in hosts:
        way = tr("If you trust them: venv: {{allow_index_options: true}} in deploy.yaml on this server.")
    said = tr("The release takes packages from elsewhere than this server's indexes: {places}.", places=places)
    return [Problem(said, way, refused=True)]


def _variables(site: Site, after: Config, requirements: venvs.Requirements) -> list[Problem]:
    """What the requirements ask of the environment and may not have: a line of a release could send it anywhere."""
    never = withheld(site, after)
    given = {*after.venv.env, _OF_UV, *(name for name in after.venv.pass_env if name not in never)}
    asked = [name for name in requirements.variables if name not in given]
    if not asked:
        return []
    own = [name for name in asked if name in never or name.startswith(("APP_UPDATE_", "GITDEPLOY_"))]
    hint = tr(
        "If they may read it: venv: {{pass_env: [{names}]}} in deploy.yaml on this server.",
        names=", ".join([*after.venv.pass_env, *asked]),
    )
    return [
        Problem(
            tr(
                "The release's requirements ask for variables that venv.pass_env doesn't list: {asked}.",
                asked=listing(asked, 5),
            ),
            tr("They are gitdeploy's own secrets: ask the release's author.") if own else hint,
            refused=True,
        )
    ]


def _brought_arguments(before: Config, after: Config) -> list[str]:
    """Package sources among the installer's arguments of AFTER's deploy.yaml, where that isn't the live one."""
    live = venvs.index_options_in(before.venv.extra_args)
    return [option for option in venvs.index_options_in(after.venv.extra_args) if option not in live]
