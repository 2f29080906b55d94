"""The draft as a whole: what was seen, what a recipe knows, and which of it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.checkout.facts import ObjectsUnreadable
from gitdeploy.config import HooksConfig, parse
from gitdeploy.errors import ConfigError, GitDeployError
from gitdeploy.hooks.programs import program_of
from gitdeploy.messages import tr
from gitdeploy.site.site import Site, head_of
from gitdeploy.system.environment import which
from gitdeploy.text import clean, listing, path_text
from gitdeploy.upkeep.drafting.commands import hook_lines
from gitdeploy.upkeep.drafting.data import database_lines, keep_lines, upload_lines
from gitdeploy.upkeep.drafting.lines import Line, written
from gitdeploy.upkeep.drafting.packages import venv_lines
from gitdeploy.upkeep.drafting.recipes import Recipe, recipe_for
from gitdeploy.upkeep.drafting.rehearsing import rehearse_lines
from gitdeploy.upkeep.drafting.seen import Seen, look, tracked
from gitdeploy.upkeep.drafting.serving import health_lines, service_lines
from gitdeploy.upkeep.drafting.source import source_lines
from gitdeploy.venvs.described import says_needs

_STAGES = tuple(name for name in HooksConfig.__settings__ if name not in ("dir", "timeout"))


class Draft(Struct, frozen=True):
    """A drafted deploy.yaml. recipe: the application that it was recognised as. tracked: whether the release has one."""

    text: str
    lines: tuple[Line, ...]
    recipe: str | None


def draft(site: Site) -> Draft:
    """A commented deploy.yaml for this checkout. Changes nothing and executes nothing of the app's; starts git and uv's
    exporter, and asks the app's own address."""
    recipe = recipe_for(site.root, tracked(site.repository))
    seen = look(site, recipe.settings if recipe is not None else ())
    lines = _loadable(site, [_tried_programs(seen, line) for line in _lines(seen, recipe)])
    return Draft(written(lines, _notes(seen, recipe)), lines, recipe.name if recipe is not None else None)


def _lines(seen: Seen, recipe: Recipe | None) -> list[Line]:
    """All lines in the order of the file. What a recipe says of a key takes the place of what was found for it."""
    known = recipe.drafted(seen.root, seen.environment) if recipe is not None else []
    decided = {line.key for line in known if line.sure}

    def of(key: str) -> list[str]:
        return [each for line in known if line.key == key and line.sure for each in line.value]

    found = [
        Line("app.name", seen.site.name),
        *source_lines(seen.site),
        Line("git.local_changes", "refuse", tr("tracked files changed by hand: refuse | merge | discard")),
        *keep_lines(seen, tuple(of("git.keep"))),
        *_submodules(seen),
        *venv_lines(seen, of("venv.requirements")),
        Line("backup.keep", 5),
        *(database_lines(seen) if "backup.databases" not in decided else ()),
        *upload_lines(seen),
        *hook_lines(seen),
        *service_lines(seen),
        *health_lines(seen, recipe.health if recipe is not None else (), _version(seen.site)),
        *rehearse_lines(seen),
    ]
    return _ordered(_merged(found, known))


def _merged(found: Sequence[Line], known: Sequence[Line]) -> list[Line]:
    """FOUND with what a recipe has KNOWN: its lines stand in the place of those of the same key, its questions where none is
    sure. What stays of this server's own is never the recipe's to decide."""
    lines: list[Line] = []
    sure = {line.key for line in found if line.sure}
    for line in found:
        mine = [] if line.key == "git.keep" else [other for other in known if other.key == line.key]
        if not any(other.sure for other in mine) and line.key in sure:
            mine = []
        lines += [each for each in mine or [line] if each not in lines]
    there = {line.key for line in lines}
    return [*lines, *(line for line in known if line.key not in there)]


def _ordered(lines: Sequence[Line]) -> list[Line]:
    """What is sure before what asks, within each key; keys in their first order."""
    order = {key: number for number, key in enumerate(dict.fromkeys(line.key for line in lines))}
    return sorted(lines, key=lambda line: (order[line.key], not line.sure))


def _submodules(seen: Seen) -> Iterator[Line]:
    if ".gitmodules" in seen.names:
        done = seen.site.repository.run("config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$")
        paths = [line.partition(" ")[2] for line in done.text.splitlines()]
        here = [path for path in paths if seen.has(f"{path}/.git")]
        shown = tr("initialised here: {here}", here=listing([path_text(path) for path in here], 4) or "none") + (
            tr("; not: {paths}", paths=listing([path_text(path) for path in paths if path not in here], 4))
            if len(here) < len(paths)
            else ""
        )
        yield Line("git.submodules", "auto", tr("as they are, and new ones; {shown}", shown=shown))
        needs = [
            path
            for path in here
            for name in ("requirements.txt", "pyproject.toml", "setup.py")
            if seen.has(f"{path}/{name}")
        ]
        if needs:
            said = tr(
                "{fromkeys} may have packages of its own: are they to be installed?",
                fromkeys=listing([path_text(path) for path in dict.fromkeys(needs)], 3),
            )
            names = [
                f"{path}/requirements.txt" for path in dict.fromkeys(needs) if seen.has(f"{path}/requirements.txt")
            ]
            if names:
                yield Line("venv.requirements", ["requirements.txt", *names], question=said)


def _version(site: Site) -> str | None:
    """The version that is live, as far as a tag says it."""
    try:
        return site.release_at(head_of(site)).version
    except (GitDeployError, ObjectsUnreadable):
        return None


# ---- what doesn't hold ----


def _loadable(site: Site, lines: Sequence[Line]) -> tuple[Line, ...]:
    """LINES; with a question instead where deploy.yaml can't have one, as a name that the app uses and no key admits."""
    if _refusal(site, lines) is None:
        return tuple(lines)
    good: list[Line] = []
    for line in lines:
        refused = _refusal(site, [*good, line])
        good.append(
            line
            if refused is None
            else replace(line, question=tr("{why}; but {refused}", why=line.why, refused=clean(refused, limit=200)))
        )
    return tuple(good)


def _refusal(site: Site, lines: Sequence[Line]) -> str | None:
    try:
        parse(written(lines, {}).encode(), root=site.root)
    except ConfigError as error:
        return error.message
    return None


def _tried_programs(seen: Seen, line: Line) -> Line:
    """LINE; with a question instead where it is a command whose program isn't there."""
    stage = line.key.removeprefix("hooks.")
    if not line.sure or line.key == stage or stage not in _STAGES:
        return line
    for command in line.value:
        name = program_of(command)
        if name is not None and not _is_there(seen, name):
            return replace(
                line,
                question=tr(
                    "{why}; but there is no program {name}: what runs it?", why=line.why, name=clean(name, limit=60)
                ),
            )
    return line


def _is_there(seen: Seen, name: str) -> bool:
    return seen.has(name) if "/" in name else seen.has_program(name) or which(name) is not None


def _notes(seen: Seen, recipe: Recipe | None) -> dict[str, list[str]]:
    notes = [
        tr(
            "deploy.yaml: how gitdeploy deploys this app. Drafted by `gitdeploy init` from what it found; every key is optional, and a line "
            "that stands commented with a question is for you to decide."
        ),
        tr("All keys with their meaning: deploy.yaml.example of gitdeploy, or: gitdeploy config schema"),
    ]
    if recipe is not None:
        notes.append(
            tr("Recognised: {recipe} ({home}); {tried}.", recipe=recipe.name, home=recipe.home, tried=_tried(recipe))
        )
        notes += recipe.notes
    if not any(says_needs(name) for name in seen.names):
        notes.append(
            tr("Nothing in the checkout says which packages the app needs, so none is installed with a release.")
        )
    return {"": notes}


def _tried(recipe: Recipe) -> str:
    if not recipe.tried:
        return tr("what is known of it is from its documents and was not tried")
    return tr("what is known of it was tried with {tried}", tried=listing(list(recipe.tried), 3))
