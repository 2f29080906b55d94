"""What is to be installed with each release: which of the app's files the live venv was made from, by what is in it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import venvs
from gitdeploy.config import VenvConfig
from gitdeploy.messages import joined, tr
from gitdeploy.text import count, listing, path_text
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.upkeep.drafting.seen import Seen
from gitdeploy.upkeep.reading import Checkout
from gitdeploy.venvs.described import LOCKS
from gitdeploy.venvs.extras import seen_extras
from gitdeploy.versions import satisfies

_FOR_DEVELOPERS = re.compile(
    r"(?:^|[/._-])(?:dev\w*|tests?|testing|docs?|lint\w*|ci|typing|local|tox|build)(?:[/._-]|$)"
)
_MOST_FILES, _MOST_CHOICES = 25, 24  # looked into; each uv.lock costs a tenth of a second
_MOST_NAMED = 3


class _Candidate(Struct, frozen=True):
    """A file that says what is to be installed, beside what the venv holds. there: packages of it that are installed; exact:
    those in the very version that it pins."""

    path: str
    names: frozenset[str]
    there: int
    pins: int
    exact: int

    @property
    def whole(self) -> bool:
        return bool(self.names) and self.there == len(self.names)

    @property
    def rank(self) -> tuple[Any, ...]:
        """How well it explains the venv: the higher, the better."""
        share = self.exact / self.pins if self.pins else 0.5
        name = os.path.basename(self.path)
        return (
            self.whole,
            not _FOR_DEVELOPERS.search(self.path),
            name != "pyproject.toml",  # what says versions beside it decides, also where nothing has installed them yet
            round(share, 1),
            name in LOCKS,
            len(self.names),
            -self.path.count("/"),
        )


def venv_lines(seen: Seen, known: Sequence[str] = ()) -> Iterator[Line]:
    """The venv, what is installed into it, with which groups and extras. KNOWN: files that a recipe names."""
    venv = seen.site.config.venv
    if venv.path is None:
        yield Line("venv.path", "venv", question=tr("none was found (venv, .venv): where is it?"))
        return
    yield Line("venv.path", venv.path, tr("found here") if seen.packages else "")
    files = list(known)
    if files:
        yield Line("venv.requirements", files)  # a recipe's own line takes its place
    else:
        found = sorted(_candidates(seen), key=lambda one: one.rank, reverse=True)
        yield from _requirements(found)
        files = [found[0].path] if found and found[0].whole else list(venv.requirements)
    if files:
        yield from _choices(seen, files[0])
    yield from _itself(seen, described=bool(files))


def _candidates(seen: Seen) -> Iterator[_Candidate]:
    """Files near the root, and beside manage.py, from which can be installed."""
    near = os.path.dirname(seen.manage or "")
    folders = {"", "requirements", "requirements.d", "deploy", near, os.path.join(near, "requirements")}
    names = {name for name in seen.names if venvs.says_needs(name) and venvs.can_install(name)}
    names |= {name for name in seen.site.config.venv.requirements if seen.has(name)}
    here = [name for name in names if os.path.dirname(name) in folders and not name.endswith(".in")]
    for name in sorted(here, key=lambda name: (name.count("/"), name))[:_MOST_FILES]:
        if (candidate := _candidate(seen, name, seen.site.config.venv)) is not None:
            yield candidate


def _candidate(seen: Seen, name: str, config: VenvConfig) -> _Candidate | None:
    read = _read(seen, (name,), config)
    if read is None or not (read.names or read.pins):
        return None
    wanted = frozenset(package for package, always in read.names.items() if always)
    pins = {package: version for package, version in read.pins.items() if package in seen.packages}
    there = sum(package in seen.packages for package in wanted)
    return _Candidate(
        name, wanted, there, len(pins), sum(_is(seen.packages[package], pins[package]) for package in pins)
    )


def _is(installed: str, pinned: str) -> bool:
    return installed == pinned or satisfies(installed, f"=={pinned}")


def _read(
    seen: Seen,
    files: tuple[str, ...],
    config: VenvConfig,
    *,
    groups: tuple[str, ...] = (),
    extras: tuple[str, ...] = (),
) -> venvs.Requirements | None:
    """What FILES want installed; None where they can't be installed from."""
    asked = replace(config, requirements=files, groups=groups, extras=extras, itself="never", constraints=())
    read = venvs.read_requirements(Checkout(seen.root), asked, seen.site.live_venv())
    return None if read.problems else read


def _requirements(found: Sequence[_Candidate]) -> Iterator[Line]:
    if not found:
        return
    best = found[0]
    if not best.whole:
        lacks = len(best.names) - best.there
        said = tr(
            "{count} of {best} not in the venv: what was it made from?",
            count=count(lacks, "package"),
            best=path_text(best.path),
        )
        sure = os.path.basename(best.path) in LOCKS or best.path == "requirements.txt"
        why = tr("because of {best}", best=path_text(best.path)) + (
            tr(" ({count} of it not in the venv now)", count=count(lacks, "package")) if lacks else ""
        )
        yield Line("venv.requirements", [best.path], why, "" if sure else said)
        return
    chosen, covered = [best], set(best.names)
    for other in found[1:]:
        more = other.names - covered
        if (
            other.whole
            and more
            and not _FOR_DEVELOPERS.search(other.path)
            and os.path.basename(other.path) not in LOCKS
        ):
            if os.path.basename(best.path) in LOCKS:
                continue  # the lock decides
            chosen.append(other)
            covered |= more
    why = tr("because of {best}: ", best=path_text(best.path)) if len(chosen) == 1 else ""
    yield Line(
        "venv.requirements",
        [one.path for one in chosen],
        tr("{why}all {count} of it are in the venv", why=why, count=count(len(covered), "package")),
    )
    partly = [
        other for other in found[1:]
        if not other.whole and other.there and other.names - covered and not _FOR_DEVELOPERS.search(other.path)
    ][:_MOST_NAMED]  # fmt: skip
    if partly:
        said = joined(
            ", ",
            (
                tr(
                    "{one} ({there} of {names} in the venv)",
                    one=path_text(one.path),
                    there=one.there,
                    names=len(one.names),
                )
                for one in partly
            ),
        )
        yield Line(
            "venv.requirements",
            [*(one.path for one in chosen), partly[0].path],
            question=tr("are these installed too: {said}?", said=said),
        )


# ---- groups and extras ----


def _choices(seen: Seen, file: str) -> Iterator[Line]:
    """Groups and extras whose packages are all in the venv, and which others there are."""
    config = seen.site.config.venv
    base = _read(seen, (file,), config)
    if base is None:
        return
    groups, extras = _offered(seen, file)
    for key, names, about in (("venv.groups", groups, "group"), ("venv.extras", extras, "extra")):
        inside: list[str] = []
        outside: list[str] = []
        for name in [name for name in names if not _FOR_DEVELOPERS.search(name)][:_MOST_CHOICES]:
            chosen = {"groups" if about == "group" else "extras": (name,)}
            read = _read(seen, (file,), config, **chosen)
            more = set(read.names) - set(base.names) if read is not None else set()
            (inside if more and all(package in seen.packages for package in more) else outside).append(name)
        if inside:
            yield Line(
                key,
                inside,
                tr(
                    "their packages are all in the venv; {file} offers {names}",
                    file=path_text(file),
                    names=listing(names, 6),
                ),
            )
        elif outside:
            said = tr("{file} offers {names}; does the server need one?", file=path_text(file), names=listing(names, 6))
            yield Line(key, outside[:1], question=said)


def _offered(seen: Seen, file: str) -> tuple[list[str], list[str]]:
    """(groups, extras) that can be chosen with FILE."""
    name, folder = os.path.basename(file), os.path.dirname(file)
    if name == "Pipfile.lock":
        return ["develop"], []
    if name not in ("uv.lock", "poetry.lock", "pdm.lock", "pyproject.toml"):
        return [], []
    try:
        project = tomllib.loads((seen.root / folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return [], []
    poetry = project.get("tool", {}).get("poetry", {})
    if name == "poetry.lock":
        return list(poetry.get("group", {})), [
            *poetry.get("extras", {}),
            *project.get("project", {}).get("optional-dependencies", {}),
        ]
    return list(project.get("dependency-groups", {})), list(project.get("project", {}).get("optional-dependencies", {}))


# ---- the app itself ----


def _itself(seen: Seen, *, described: bool) -> Iterator[Line]:
    live = seen.site.live_venv()
    owns = venvs.own_installs(live.real, seen.root) if live is not None else []
    if owns and live is not None:
        shown = [
            tr("{own}{editable}", own=own.name, editable=tr(" (editable)") if own.editable else "") for own in owns
        ]
        yield Line(
            "venv.self",
            "auto",
            tr("installed in the venv from here: {shown}; renewed with each release", shown=listing(shown, 3)),
        )
        extras = [extra for own in owns for extra in seen_extras(live.real, own.name, seen.packages, live.python)]
        if extras:
            said = tr(
                "installed with {extras}, by the packages in the venv; `extras` names them for good. Are they right?",
                extras=listing(extras, 5),
            )
            yield Line("venv.extras", extras, question=said)
    elif not described and any(map(seen.has, ("setup.py", "pyproject.toml"))):
        yield Line(
            "venv.self",
            "editable",
            question=tr("nothing installs what the app needs: was it installed as pip install -e . does?"),
        )
