"""From deploy.yaml, `.env` and the environment to one Config; everything that is wrong in the file is said at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.config.document import LARGEST, Node, Problem, Scalar, Table, Unreadable, refused, shown
from gitdeploy.config.envfile import EnvFile
from gitdeploy.config.kept import keep_document, kept_document
from gitdeploy.config.kinds import Setting, Wrong, settings_of, shown_key
from gitdeploy.config.legacy import with_variables
from gitdeploy.config.model import SECTIONS, Config
from gitdeploy.config.pins import POLICY_VARIABLES, Change, Pins, fingerprint, read_pins
from gitdeploy.config.together import check_together
from gitdeploy.errors import ConfigError
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean, listing, nearest, path_text, register_secrets

FILE_NAME = "deploy.yaml"
LARGEST_ENV_FILE = 256 * 1024
_HINT = tr("`gitdeploy config schema` and deploy.yaml.example name every key.")
PINNED = tr("pinned on this server")


class Judging(Struct, frozen=True):
    """Whose word a file is: `file` and `env` say whether a release brought the deploy.yaml (its path, its bytes) or the env
    file (its path); `accept`: pinned settings that may be changed all the same."""

    file: Callable[[Path, bytes, Pins], bool]
    env: Callable[[Path, Pins], bool]
    accept: Collection[str] = ()


_OURS = Judging(lambda *_: False, lambda *_: False)  # whoever runs this server wrote it


def load(root: Path, file: Path | None = None, judging: Judging | None = None) -> Config:
    """The configuration of the app in ROOT, from FILE (else ROOT/deploy.yaml, where there is one), with what is pinned laid
    over it where JUDGING says that a release brought it.

    Raises ConfigError (exit 2) with every problem of the file, of `.env` or of a variable.
    """
    path = file or root / FILE_NAME
    raw = read_small_file(path, LARGEST)
    if raw is None:
        if file is not None:
            raise ConfigError(
                tr("There is no file {file}.", file=path_text(str(file))), tr("Give the path of a deploy.yaml.")
            )
        return _configure(root, None, None, Table({}, 1), FILE_NAME, judging or _OURS)
    name = FILE_NAME if file is None else path_text(str(file))
    kept = kept_document(root, raw)
    table = kept or _read(raw, name)
    config = _configure(root, path, raw, table, name, judging or _OURS)
    if kept is None:  # only now: a file that was refused may hold what no file should
        keep_document(root, raw, table)
    return config


def remember(config: Config) -> None:
    """Have what CONFIG was made from at hand the next time; there is a place for it only since now."""
    if config.text is not None:
        keep_document(config.root, config.text, _read(config.text, FILE_NAME))


def parse(
    raw: bytes,
    *,
    root: Path,
    name: str = FILE_NAME,
    file: Path | None = None,
    env: bytes | None = None,
    accept: Collection[str] = (),
) -> Config:
    """The same from the bytes of a deploy.yaml of a release that isn't live yet, or was. NAME stands in errors. ENV: those of
    the env file that the release brings. ACCEPT: pinned settings that it may change."""
    judging = Judging(lambda *_: True, lambda *_: env is not None, accept)
    return _configure(root, file, raw, kept_document(root, raw) or _read(raw, name), name, judging, env)


def _read(raw: bytes, name: str) -> Table:
    from gitdeploy.config.parsing import read_document

    try:
        return read_document(raw)
    except Unreadable as error:
        raise refused(name, error.problems, _HINT) from error


class _Reading(Struct):
    """What reading a table gathers: values by section, lines by key, and problems."""

    name: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def table(self, table: Table) -> None:
        top = settings_of(Config)
        for key, (line, node) in table.entries.items():
            if key in SECTIONS:
                self.section(key, line, node)
            elif key in top:
                self._setting("", top[key], line, node)
            else:
                self._unknown("", key, line)

    def section(self, section: str, line: int, node: Node) -> None:
        if isinstance(node, Scalar) and node.nothing:
            return
        known = settings_of(SECTIONS[section])
        if not isinstance(node, Table):
            some = joined(", ", list(known)[:3])
            self.problems.append(
                Problem(
                    line,
                    tr(
                        "`{section}` must be a mapping of settings ({some} ...); found {node}.",
                        section=section,
                        some=some,
                        node=shown(node),
                    ),
                )
            )
            return
        for key, (inner_line, inner) in node.entries.items():
            if key in known:
                self._setting(section, known[key], inner_line, inner)
            else:
                self._unknown(section, key, inner_line)

    def _setting(self, section: str, setting: Setting, line: int, node: Node) -> None:
        dotted = f"{section}.{setting.key}".lstrip(".")
        if isinstance(node, Scalar) and node.nothing:
            if not setting.empty_is_none:
                return
            value = None
        else:
            try:
                value = setting.kind.read(node)
            except Wrong as error:
                self.problems += [
                    Problem(each.line, tr("`{dotted}` {each_message}", dotted=dotted, each_message=each.message))
                    for each in error.problems
                ]
                return
        self.values.setdefault(section, {})[setting.attribute] = value
        self.lines[dotted] = line

    def _unknown(self, section: str, key: str, line: int) -> None:
        dotted = shown_key(f"{section}.{key}".lstrip("."))
        nearest = _nearest(section, key)
        question = (
            tr(" Did you mean {nearest}?", nearest=joined(" or ", (f"`{each}`" for each in nearest))) if nearest else ""
        )
        self.problems.append(Problem(line, tr("`{dotted}` is not known.{question}", dotted=dotted, question=question)))


def read_section(section: str, line: int, node: Node) -> tuple[Any, list[Problem]]:
    """The SECTION of a deploy.yaml (`web`) as another file of gitdeploy's holds it in NODE, and what is wrong with it."""
    reading = _Reading("")
    reading.section(section, line, node)
    return SECTIONS[section](**reading.values.get(section, {})), reading.problems


def _nearest(section: str, key: str) -> list[str]:
    """The known keys that KEY in SECTION may have been meant for: a likely misspelling beside it, else its namesakes."""
    top = [*SECTIONS, *settings_of(Config)]
    beside = list(settings_of(SECTIONS[section])) if section else top
    word = key.lower()
    for variant in (word, word.replace("_", "-"), word.replace("-", "_")):
        if close := nearest(variant, beside, likeness=0.65):
            return [f"{section}.{close[0]}".lstrip(".")]
    elsewhere = [f"{name}.{inner}" for name, cls in SECTIONS.items() for inner in settings_of(cls)] + top
    namesakes = [each for each in elsewhere if each.rpartition(".")[2] == word]
    if namesakes:
        return namesakes[:3]
    dotted = f"{section}.{word}".lstrip(".").replace("_", ".")
    return nearest(dotted, elsewhere, likeness=0.7)


def _configure(
    root: Path,
    file: Path | None,
    raw: bytes | None,
    table: Table,
    name: str,
    judging: Judging,
    env: bytes | None = None,
) -> Config:
    pins = read_pins(root)
    changes: tuple[Change, ...] = ()
    reading = _Reading(name)
    if pins is not None and pins.agrees != fingerprint(raw or b""):
        reading.table(table)  # what a file has wrong is said of the file as it is
        if not reading.problems:
            from gitdeploy.config.overlay import laid_over

            path, known = file or root / FILE_NAME, pins
            table, changes = laid_over(
                table, pins, name, theirs=lambda: judging.file(path, raw or b"", known), accept=judging.accept
            )
            reading = _Reading(name)
    if not reading.problems:
        reading.table(table)
    where = {key: tr("{name} line {line}", name=name, line=line) for key, line in reading.lines.items()}
    where |= {change.key: PINNED for change in changes if change.overruled}
    sections = {key: cls(**reading.values.get(key, {})) for key, cls in SECTIONS.items()}
    config = Config(
        root=root, file=file, text=raw, pins=pins, changes=changes,
        **sections, **reading.values.get("", {}),
    )  # fmt: skip
    if table.entries and not any(
        key in SECTIONS or key in settings_of(Config) or _nearest("", key) for key in table.entries
    ):
        raise ConfigError(
            tr(
                "{name} is another program's: none of its keys is a setting of gitdeploy's ({entries}).",
                name=name,
                entries=listing([clean(key, limit=40) for key in table.entries], 3),
            ),
            tr(
                "Leave it, write gitdeploy's own settings into a file elsewhere, and name that: gitdeploy --config FILE ..."
            ),
        )
    reading.problems += check_together(config, reading.lines)
    if reading.problems:
        raise refused(name, reading.problems, _HINT)
    config = _with_env_file(config, judging, env)
    # First of all, before any of them can stand in a message.
    register_secrets((*os.environ.items(), *((each.name, each.value or "") for each in config.env.bindings)))
    config = with_variables(config, where)
    config = _with_what_is_found(config, where)
    return replace(config, where=_complete(where))


def _with_env_file(config: Config, judging: Judging, raw: bytes | None) -> Config:
    """CONFIG with its env file, or with RAW in its place."""
    if config.env_file is None:
        return config
    path, pins = config.root / config.env_file, config.pins
    if raw is None:
        raw = read_small_file(path, LARGEST_ENV_FILE, links=True)
    env = EnvFile(name=config.env_file) if raw is None else EnvFile.parse(raw, config.env_file)
    if pins is None or all((env.get(name) or "") == pins.env.get(name, "") for name in POLICY_VARIABLES):
        return replace(config, env=env)
    from gitdeploy.config.overlay import env_laid_over

    env, changes = env_laid_over(env, pins, theirs=lambda: judging.env(path, pins), accept=judging.accept)
    return replace(config, env=env, changes=(*config.changes, *changes))


def _with_what_is_found(config: Config, where: dict[str, str]) -> Config:
    """Defaults that depend on the checkout: the app's name, its venv, its requirements."""
    root = config.root
    if not config.app.name:
        config = replace(config, app=replace(config.app, name=path_text(root.absolute().name) or "app"))
        where["app.name"] = tr("found: the folder's name")
    if "venv.path" not in where:
        path = next((name for name in ("venv", ".venv") if _is_venv(root / name)), None) or _lost_link(root)
        config = replace(config, venv=replace(config.venv, path=path))
        where["venv.path"] = tr("found: {path}/", path=path) if path else tr("found: neither venv nor .venv")
    if "venv.requirements" not in where and (root / "requirements.txt").is_file():
        config = replace(config, venv=replace(config.venv, requirements=("requirements.txt",)))
        where["venv.requirements"] = tr("found: requirements.txt")
    return config


def _is_venv(path: Path) -> bool:
    """A virtual environment, or gitdeploy's own link to one, which counts even where its target is damaged."""
    if (path / "pyvenv.cfg").is_file():
        return True
    return path.is_symlink() and ".gitdeploy/venvs/" in os.readlink(path)


def _lost_link(root: Path) -> str | None:
    """Where the link to the live generation was, if somebody deleted it: there are generations, so the app has a venv."""
    generations = root / ".gitdeploy" / "venvs"
    try:
        if not any(path.is_dir() for path in generations.iterdir()):
            return None
        excluded = (root / ".git" / "info" / "exclude").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return ".venv" if "/.venv" in excluded and "/venv" not in excluded else "venv"


def _complete(where: Mapping[str, str]) -> Mapping[str, str]:
    keys = [f"{name}.{key}" for name, cls in SECTIONS.items() for key in settings_of(cls)]
    return MappingProxyType({key: where.get(key, "default") for key in [*keys, *settings_of(Config)]})


def read_small_file(path: Path, most: int, *, links: bool = False) -> bytes | None:
    """The bytes of a regular file; None where there is none.

    links: a symlink is followed if its target belongs to whoever made the link, or root made it: else root could be
    led to read somebody's secret.
    """
    name = path_text(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink() and not links:
            raise ConfigError(
                tr("{name} is a symbolic link, which is not followed.", name=name), tr("Use --config with its target.")
            ) from error
        raise ConfigError(
            tr("{name} can't be read: {strerror}.", name=name, strerror=error.strerror),
            tr("See who owns it and its mode (ls -l)."),
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ConfigError(
            tr("{name} is not a regular file.", name=name), tr("A folder, pipe or device can't be a settings file.")
        )
    with os.fdopen(descriptor, "rb") as file:
        if links and os.lstat(path).st_uid not in (0, found.st_uid):
            raise ConfigError(
                tr("{name} is a symbolic link to a file of another user, which is not followed.", name=name)
            )
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ConfigError(
            tr("{name} has more than {most} KB, which no settings file needs.", name=name, most=most // 1024)
        )
    return raw
