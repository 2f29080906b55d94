"""A first deploy.yaml, drafted from what the checkout shows: remote, tags, venv, requirements, local files, units, frameworks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gitdeploy.checkout.git import Repository
from gitdeploy.hooks.running import FOLDER, stage_of
from gitdeploy.services.units import discover
from gitdeploy.site import unnamed_hooks
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.dependencies import best_described
from gitdeploy.site.remotes import checkout_git
from gitdeploy.site.site import Site
from gitdeploy.sources.finding import find
from gitdeploy.system import proc
from gitdeploy.text import clean, listing, path_text
from gitdeploy.venvs.described import LOCKS
from gitdeploy.versions import glob_of_scheme, matches, newest, read_version, scheme_prefix

# Files that an operator edits on the server, or that the app writes: tracked ones block every upgrade, or are overwritten.
_LOCAL_NAMES = frozenset(".env config.ini local.cfg local_settings.py settings.ini settings.local.py".split())
_LOCAL_ENDINGS = (".db", ".sqlite", ".sqlite3")
_RESTARTERS = ("restart", "restart.sh", "bin/restart", "bin/restart.sh", "scripts/restart", "scripts/restart.sh")
_HOOK_FOLDERS = (FOLDER, "deploy/hooks", ".gitdeploy-hooks")
_PID_FOLDERS = (".", "run", "tmp", "var", "var/run")


def draft(site: Site) -> str:
    """The text of a commented deploy.yaml for this checkout. Reads only; starts no process but git."""
    return "\n".join(_lines(site)) + "\n"


def _lines(site: Site) -> Iterator[str]:
    yield "# deploy.yaml: how gitdeploy deploys this app. Drafted by `gitdeploy init` from what it found; every key is optional."
    yield "# All keys with their meaning: deploy.yaml.example of gitdeploy, or: gitdeploy config schema"
    yield ""
    yield "app:"
    yield f"  name: {_quoted(site.name)}"
    yield ""
    yield from _source(site)
    yield from _git(site)
    yield from _venv(site)
    yield from _backup(site)
    yield from _hooks(site.root)
    yield from _service(site)


def _source(site: Site) -> Iterator[str]:
    found = find(site.config.source, checkout_git(site))
    tags = list(site.repository.tag_commits())
    versions = [tag for tag in tags if read_version(tag)]
    yield "source:"
    yield f"  type: {found.kind}"
    if found.repo and found.kind != "git":
        yield f"  repo: {_quoted(found.repo)}"
    yield f"  remote: {_quoted(site.config.source.remote)}"
    yield from _tags(site, tags, versions)
    if found.kind != "git":
        yield "  # token_env: MY_TOKEN           # for a private repository: the variable, never the token itself"
        yield "  # type: git                     # instead: by tags alone, without asking the host about drafts and prereleases"
    yield ""


def _tags(site: Site, tags: list[str], versions: list[str]) -> Iterator[str]:
    """Which tags are releases: those that are named like the one that is live, where there are two schemes."""
    if not versions:
        if (prefix := scheme_prefix(tags)) is not None:
            yield f"  tag_prefix: {_quoted(prefix)}       # what stands before the version, as in {_example(tags, prefix)}"
        return
    live = _live_tag(site, versions)
    if (glob := glob_of_scheme(versions, live)) is not None:
        others = next(tag for tag in versions if not matches(tag, glob))
        yield f"  tags: {json.dumps(glob)}       # like {live}: {others} and its like count as versions too, by another scheme"
    elif all(tag.startswith("v") for tag in versions):
        yield f'  tags: "v*"                      # as here: the newest that was fetched is {newest(versions) or versions[-1]}'


def _example(tags: list[str], prefix: str) -> str:
    return clean(next(tag for tag in tags if tag.startswith(prefix)), limit=60)


def _live_tag(site: Site, versions: list[str]) -> str:
    """The version tag that HEAD is, else the one that it was made after, else the one that was made last."""
    repository = site.repository
    for words in (("--merged=HEAD",), ()):
        done = repository.run(
            "for-each-ref", "--sort=-creatordate", *words, "--format=%(refname:strip=2)", "refs/tags/"
        )
        here = repository.tags_at(head) if words and (head := repository.resolve("HEAD")) else []
        known = set(versions)
        for tag in (*here, *done.stdout.decode("utf-8", "replace").splitlines()):
            if tag in known:
                return tag
    return versions[-1]


def _git(site: Site) -> Iterator[str]:
    names = tracked(site.repository)
    tracked_local = [name for name in names if os.path.basename(name) in _LOCAL_NAMES or name.endswith(_LOCAL_ENDINGS)]
    keep = [".env", *(name for name in tracked_local if name != ".env")]
    yield "git:"
    yield "  local_changes: refuse           # tracked files changed by hand: refuse | merge | discard"
    yield f"  keep: [{', '.join(map(_quoted, keep))}]"
    if tracked_local:
        yield f"  # Tracked, but local by the look of it: {listing([path_text(name) for name in tracked_local], 5)}"
    yield ""


def tracked(repository: Repository) -> list[str]:
    """The names of all tracked files."""
    return [os.fsdecode(name) for name in repository.output("ls-files", "-z").split(b"\0") if name]


def _venv(site: Site) -> Iterator[str]:
    venv = site.config.venv
    yield "venv:"
    if venv.path is None:
        yield "  path:                           # none was found (venv, .venv)"
    else:
        yield f"  path: {_quoted(venv.path)}"
    if venv.requirements:
        yield f"  requirements: [{', '.join(map(_quoted, venv.requirements))}]"
    elif found := best_described(site.root):
        # One lock says it all; of several requirements files only a person knows which are the server's.
        sure = os.path.basename(found) in LOCKS
        comment = f"because of {path_text(found)}" if sure else "installed at each upgrade; nothing is without it"
        yield f"  {'' if sure else '# '}requirements: [{_quoted(found)}]       # {comment}"
    yield ""


def _backup(site: Site) -> Iterator[str]:
    found = [
        str(path.relative_to(site.root))
        for folder in (site.root, site.root / "instance", site.root / "data")
        for path in sorted(folder.glob("*"))
        if path.name.endswith(_LOCAL_ENDINGS) and path.is_file()
    ]
    yield "backup:"
    yield "  keep: 5"
    if app_environment(site).get("DATABASE_URL"):
        yield "  databases: [{env: DATABASE_URL}]         # as the service, the environment or .env has it"
    elif found:
        yield f"  databases: [{', '.join(_quoted(f'sqlite:///{name}') for name in found)}]"
    else:
        yield "  # databases: [{env: DATABASE_URL}]       # dumped before each upgrade; postgresql, mysql, sqlite"
    yield ""


def _hooks(root: Path) -> Iterator[str]:
    commands = {
        "manage.py": "venv/bin/python manage.py migrate --noinput",
        "alembic.ini": "venv/bin/alembic upgrade head",
        "migrations/env.py": "venv/bin/flask db upgrade",
    }
    folder, why = _hook_folder(root)
    yield "hooks:"
    yield f"  dir: {folder:<26} # {why}"
    for name, command in commands.items():
        if (root / name).exists():
            yield f"  migrate: [{_quoted(command)}]       # because of {name}"
            break
    else:
        yield '  # migrate: ["venv/bin/python manage.py migrate"]       # or an executable; gitdeploy hooks library'
    yield ""


def _hook_folder(root: Path) -> tuple[str, str]:
    """A folder for hooks that isn't the app's own for something else, and a word on it."""
    found = unnamed_hooks.named_like_hooks(root)
    ours = [name for name in found if _is_ours(root / name, stage_of(FOLDER, name) or "")]
    if ours:
        return FOLDER, f"because of {listing([path_text(name) for name in ours], 3)}"
    free = next((name for name in _HOOK_FOLDERS if not os.path.lexists(root / name)), _HOOK_FOLDERS[-1])
    if free == FOLDER:
        return free, f"executables {free}/migrate, {free}/post-deploy.d/*: docs/hooks.md"
    return free, f"executables {free}/migrate; what is in {FOLDER}/ looks like the app's own and isn't run"


def _is_ours(path: Path, stage: str) -> bool:
    """Whether a file named like a hook is one of gitdeploy's: `build` alone is Docker Hub's word too."""
    if stage != "build" or path.parent.name == "build.d":
        return True
    try:
        return "GITDEPLOY_" in path.read_text("utf-8", "replace")
    except OSError:
        return False


def _service(site: Site) -> Iterator[str]:
    units = discover(site.root, site.venv_link)
    if units:
        name = units[0].removesuffix(".service")
        yield "service:"
        yield f"  systemd: {_quoted(name)}"
        if len(units) > 1:
            yield f"  # These name this checkout too: {listing([clean(unit) for unit in units[1:]], 5)}"
    elif script := next(filter(partial(_is_program, site.root), _RESTARTERS), None):
        yield "service:"
        yield f"  command: {_quoted(f'./{script}')}       # because of {script}: it must restart the app, and end"
    elif running := next(_pid_files(site), None):
        file, words = running
        yield "service:"
        yield f"  pidfile: {_quoted(file)}       # because of the process in it: {words}"
        yield "  signal: HUP                     # reloads it (gunicorn, uWSGI); USR2: a second gunicorn; TERM: another starts it"
    else:
        yield "# service:                        # no systemd unit, restart script or pid file of this checkout was found"
        yield "#   systemd: my-app               # or supervisor: NAME, compose: SERVICE, pidfile: FILE, command: ..."
    yield ""
    yield "# health:                         # without it a release that starts and fails stays live"
    yield "#   url: http://127.0.0.1:8000/health"
    yield "#   version: {json: version}      # where the app says its version"


def _is_program(root: Path, name: str) -> bool:
    return (root / name).is_file() and os.access(root / name, os.X_OK)


def _pid_files(site: Site) -> Iterator[tuple[str, str]]:
    """(path, its process's command line) of each pid file whose process runs from this checkout."""
    for folder in _PID_FOLDERS:
        for path in sorted((site.root / folder).glob("*.pid")):
            try:
                text = path.read_text() if path.is_file() and path.stat().st_size < 64 else ""
            except (OSError, UnicodeDecodeError):
                continue
            pid = int(text) if text.strip().isascii() and text.strip().isdigit() else 0
            places = [site.root] if site.venv_link is None else [site.root, site.venv_link]
            if pid > 1 and any(proc.runs_from(pid, place) for place in places):
                yield str(path.relative_to(site.root)), clean(" ".join(proc.command_line(pid)), limit=60)


def _quoted(text: str) -> str:
    """TEXT as a YAML scalar: plain where that is safe, else a JSON string, which is a YAML one."""
    plain = text.isascii() and text[:1].isalnum() and all(c.isalnum() or c in "._/-" for c in text)
    return (
        text if plain and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off") else json.dumps(text)
    )
