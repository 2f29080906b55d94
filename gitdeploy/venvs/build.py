"""Building a generation beside the live one: clone, install, verify, seal. A half-made one is thrown away, never resumed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import environment, faultpoints, process, progress
from gitdeploy.system.durable import write_below
from gitdeploy.text import listing, path_text
from gitdeploy.venvs import bundled, interpreters, uv
from gitdeploy.venvs import install as installing
from gitdeploy.venvs.built import keep_built, tree_files
from gitdeploy.venvs.bytecode import compiled_beside, told_apart
from gitdeploy.venvs.clone import clone, clone_size, prefixes_of, read_record
from gitdeploy.venvs.durable import sync_filesystem, sync_folder
from gitdeploy.venvs.generations import remove
from gitdeploy.venvs.install import Installer
from gitdeploy.venvs.live import LiveVenv, asked, canonical, interpreter_identity, packages, site_folders
from gitdeploy.venvs.reading import TreeReader
from gitdeploy.venvs.requirements import Requirements
from gitdeploy.venvs.scripts import name_link, path_files, rewrite, strays
from gitdeploy.venvs.seal import Facts, File, figures, listed, partial_path, seal, walk
from gitdeploy.venvs.settings import InstallerSettings, VenvConfig, read_settings
from gitdeploy.venvs.system import seen_by, sees_system

_COPIES = (
    3  # of a package while it is installed: as a wheel in the cache, unpacked there, in the venv with its bytecode
)
_UNKNOWN_PACKAGE = 3 << 20  # bytes for one that isn't installed yet: nothing tells its size before it is fetched
_EMPTY_VENV = 16 << 20  # bytes of a new venv with pip in it
_INTERPRETER = 200 << 20  # bytes of a downloaded interpreter and its archive


class Changes(Struct, frozen=True):
    """Packages by name: added with their version, changed from one version to another, removed with the version they had."""

    added: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]
    removed: Mapping[str, str]


class Built(Struct, frozen=True):
    """A generation that is ready to go live."""

    generation: str
    path: Path
    changes: Changes
    warnings: tuple[str, ...]
    installer: str


class Builder:
    """Builds generations below `STATE/venvs` for the app at ROOT."""

    def __init__(self, root: Path, state: Path, config: VenvConfig) -> None:
        self.root = root
        self.venvs = state / "venvs"
        self.cache = state / "cache"
        self.pythons = state / "pythons"
        self.config = config

    def disk_needed(
        self,
        live: LiveVenv | None,
        changed: Collection[str],
        added: Collection[str],
        *,
        rebuild: bool = False,
        downloaded: bool = False,
    ) -> int:
        """Bytes on disk that a build will need, as far as can be told before an installer has looked: a clone of the live
        venv, and each package to be installed once in the cache, once unpacked there and once in the venv."""
        anew = live is None or live.problem is not None or rebuild or self.config.exact
        sizes: dict[str, int] = {}
        if live is not None and live.real.is_dir():
            sizes = _package_sizes(live.real, None if anew else changed)
        new = len(added) * _UNKNOWN_PACKAGE + (_INTERPRETER if downloaded else 0)
        if live is None or anew:
            return new + _EMPTY_VENV + _COPIES * sum(sizes.values())
        clone = clone_size(live.real, self.venvs / ".new", link_mode=self.config.link_mode)
        return new + clone + _COPIES * sum(sizes.get(name, _UNKNOWN_PACKAGE // _COPIES) for name in changed)

    def build(
        self,
        name: str,
        live: LiveVenv | None,
        requirements: Requirements,
        reader: TreeReader,
        *,
        on_line: Callable[[str], object],
        on_progress: Callable[[str], object],
        rebuild: bool = False,
    ) -> Built:
        """Make the generation NAME. Raises `DeploymentFailed`; what was half-made is gone then."""
        target = self.venvs / name
        mark = partial_path(target)
        mark.touch()
        sync_folder(self.venvs)
        faultpoints.point("venv build begun")
        try:
            return self._build(target, live, requirements, reader, on_line, on_progress, rebuild)
        except OSError as error:
            self.discard(name)
            raise DeploymentFailed(
                tr(
                    "The new venv can't be written: {filename}: {strerror}.",
                    filename=path_text(str(error.filename or target)),
                    strerror=error.strerror,
                ),
                tr("The live venv was not touched."),
            ) from error
        except BaseException:
            self.discard(name)
            raise

    def discard(self, name: str) -> None:
        """Throw a generation away, half-made or not."""
        shutil.rmtree(self._folder(name), ignore_errors=True)
        with suppress(GitDeployError):
            remove(self.venvs / name)

    # ---- inside ----

    def _folder(self, name: str) -> Path:
        return self.venvs / f".source-{name}"

    def _build(
        self,
        target: Path,
        live: LiveVenv | None,
        requirements: Requirements,
        reader: TreeReader,
        on_line: Callable[[str], object],
        on_progress: Callable[[str], object],
        rebuild: bool,
    ) -> Built:
        warnings: list[str] = []
        linked: Mapping[str, File] = {}
        cloned = not (live is None or live.problem is not None or rebuild or self.config.exact)
        before = packages(live.real) if live is not None and live.real.is_dir() else {}
        settings = read_settings(live.real if live is not None else None)
        with ExitStack() as beside:
            if live is None or not cloned:
                if live is not None and live.problem is not None:
                    warnings.append(
                        tr(
                            "{problem} The venv is built anew; packages installed by hand are not in it.",
                            problem=live.problem,
                        )
                    )
                on_progress(tr("making a new venv"))
                self._make(target, live, on_line)
                start: dict[str, str] = packages(target)
                installer = installing.choose(self.config, requirements, settings, target)
                prefix = beside.enter_context(_prefix_asked(target))
            else:
                on_progress(tr("cloning the live venv"))
                installer = installing.choose(self.config, requirements, settings, live.real)
                linked, prefix = self._clone(live, target, installer, settings, beside)
                start = before
            faultpoints.point("venv cloned")
            python = target / "bin" / "python"
            interpreter = os.path.realpath(python)
            tag = prefix()
        if installer.name == "pip":
            on_line(tr("Installing with pip: {reason}.", reason=installer.reason))
        on_progress(tr("installing with {installer}", installer=installer.name))
        installer = self._install(
            target, requirements, reader, installer, settings, on_line, compiling=not (cloned and tag)
        )
        name_link(target, live.link if live is not None else self.root / (self.config.path or "venv"))
        on_progress(tr("compiling and checking"))
        now = packages(target)
        changes = _changes(start, now)
        with ExitStack() as beside:
            prefix = beside.enter_context(_prefix_asked(target))
            conflicts = (
                beside.enter_context(installing.conflicts(target, settings, self.cache)) if start != now else list
            )
            files, modules = _files(target, live, linked)
            beside.enter_context(compiled_beside(live.real if live else None, target, modules if cloned else (), tag))
            self._verify(target, interpreter, requirements, changes, now)
            body = listed(files.items())
            sync_filesystem(self.venvs)  # most of it, while the compilers work: less is left for the one that counts
            prefix()
            warnings += conflicts()
        faultpoints.point("venv compiled")
        self._seal(
            target, Facts(requirements.key_with(interpreter_identity(target)), installer.name, time.time(), now), body
        )
        return Built(target.name, target, _changes(before, now), tuple(warnings), installer.name)

    def _seal(self, target: Path, facts: Facts, body: bytes) -> None:
        """From the removal of the mark on, the generation is whole."""
        seal(target, facts, body)
        sync_filesystem(self.venvs)
        partial_path(target).unlink()
        sync_folder(self.venvs)
        faultpoints.point("venv sealed")

    def _install(
        self,
        target: Path,
        requirements: Requirements,
        reader: TreeReader,
        installer: Installer,
        settings: InstallerSettings,
        on_line: Callable[[str], object],
        *,
        compiling: bool,
    ) -> Installer:
        """What REQUIREMENTS name into TARGET; by which installer at last. What builds wrote into the release's tree is kept."""
        folder = self._folder(target.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        self._materialise(folder, requirements, reader)
        released = tree_files(folder) if requirements.needs_tree else {}
        installer = installing.install(
            installer, target, folder, requirements, self.config, settings, self.cache, on_line, compiling=compiling
        )
        faultpoints.point("venv installed")
        if requirements.needs_tree:
            _point_to_checkout(target, folder, self.root)
            if built := keep_built(folder, released, target, self.root):
                shown = listing([path_text(path) for path in built], 5)
                on_line(tr("Builds wrote {shown}: it goes live with the release.", shown=shown))
        shutil.rmtree(folder, ignore_errors=True)
        return installer

    def _clone(
        self, live: LiveVenv, target: Path, installer: Installer, settings: InstallerSettings, beside: ExitStack
    ) -> tuple[Mapping[str, File], Callable[[], str]]:
        """The live venv at TARGET; all that names its place names TARGET before anything of it runs. Returns the figures
        of what was linked, and a function that waits for what `_prefix_asked` does."""
        asked: list[Callable[[], str]] = []

        def start() -> None:
            prefixes = prefixes_of(live.real, live.link)
            rewrite(target, prefixes, live.real)
            if left := strays(target, prefixes):
                raise DeploymentFailed(
                    tr("Scripts of the new venv still name the live one: {left}.", left=listing(left, 5))
                )
            asked.append(beside.enter_context(_prefix_asked(target)))
            beside.enter_context(installing.introduced(installer, target, settings, self.cache))

        with progress.of(tr("cloning the live venv"), "files"):
            linked = clone(live.real, target, link_mode=self.config.link_mode, on_start=start).files
        return linked, asked[0]

    def _make(self, target: Path, live: LiveVenv | None, on_line: Callable[[str], object]) -> None:
        """A fresh, empty venv of the configured interpreter, else of the live one's, else of its version from PATH."""
        base = interpreters.base_python(self.config, live, self.pythons, on_line)
        system = ["--system-site-packages"] if live is not None and sees_system(live.real) else []
        made = process.run(
            [uv.uv_program(), "venv", "--no-config", "--no-project", "-q", *system, "--python", base, str(target)],
            cwd="/",
            env=environment.clean_environment({"UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}),
            timeout=120,
            tied=True,
        )  # fmt: skip
        if not made.ok:
            shutil.rmtree(target, ignore_errors=True)
            process.run(
                [base, "-I", "-m", "venv", "--without-pip", *system, str(target)],
                cwd="/",
                env=environment.clean_environment(),
                timeout=120,
                tied=True,
            ).check(tr("Making a new venv"))
        self._seed(target)

    def _seed(self, target: Path) -> None:
        """pip (and setuptools, before Python 3.12) as `python -m venv` puts them in, from what the interpreter brings
        along. A Python that brings none makes a venv without, as it would by hand."""
        if brought := bundled.wheels(target / "bin" / "python"):
            process.run(
                [uv.uv_program(), "pip", "install", "-q", "--no-config", "--offline", "--no-index", "--no-deps",
                 "--link-mode", "copy", "--no-cache", "--python", str(target / "bin" / "python"), *brought.values()],
                cwd="/",
                env=environment.clean_environment(),
                timeout=120,
                tied=True,
                umask=installing.UMASK,
            ).check(tr("Installing pip into the new venv"))  # fmt: skip

    def _materialise(self, folder: Path, requirements: Requirements, reader: TreeReader) -> None:
        if requirements.needs_tree:
            shutil.rmtree(folder)
            reader.export(folder, None)
        for name, data in requirements.files.items():
            write_below(folder, name, data)

    def _verify(
        self, target: Path, interpreter: str, requirements: Requirements, changes: Changes, now: Mapping[str, str]
    ) -> None:
        """What the installer says it did is there. Raises `DeploymentFailed`."""
        if os.path.realpath(target / "bin" / "python") != interpreter:
            raise DeploymentFailed(
                tr("A package replaced the venv's own bin/python."), tr("Such a package can't be installed.")
            )
        touched = {*changes.added, *changes.changed}
        for site in site_folders(target):
            for entry in os.listdir(site):
                if not entry.endswith(".dist-info"):
                    continue
                name = canonical(entry.removesuffix(".dist-info").rpartition("-")[0])
                record = site / entry / "RECORD"
                if not record.exists():
                    if name in touched:
                        raise DeploymentFailed(
                            tr("{entry} in the new venv has no RECORD: it was cut off.", entry=path_text(entry))
                        )
                    continue
                if name in touched:
                    missing = [
                        path for path, _ in read_record(record)
                        if not path.endswith(".pyc") and not os.path.lexists(os.path.join(site, path))
                    ]  # fmt: skip
                    if missing:
                        raise DeploymentFailed(
                            tr(
                                "{entry} in the new venv lacks {missing}.",
                                entry=path_text(entry),
                                missing=listing([path_text(p) for p in missing], 3),
                            )
                        )
        absent = sorted(name for name, always in requirements.names.items() if always and name not in now)
        # The system's packages may do (--system-site-packages), or what a path file adds: the interpreter knows.
        if absent and (absent := sorted(set(absent) - set(seen_by(target)))):
            raise DeploymentFailed(
                tr("The installer reported success, but {absent} is not in the new venv.", absent=listing(absent, 5))
            )


def _files(target: Path, live: LiveVenv | None, linked: Mapping[str, File]) -> tuple[dict[str, File], list[str]]:
    """(each file of TARGET, the modules among them that are not the live one's): those get a time of their own where the
    live venv's bytecode could be taken for theirs."""
    files = dict(walk(target, linked))
    modules = [
        name
        for name, file in files.items()
        if name.endswith(".py") and "/site-packages/" in name and linked.get(name) != file
    ]
    for name in told_apart(live.real, target, modules) if live is not None else ():
        files[name] = figures(target / name)
    return files, modules


@contextmanager
def _prefix_asked(target: Path) -> Iterator[Callable[[], str]]:
    """An install goes where the interpreter says its prefix is: it must be the new generation. It is asked while the block
    does something else; yields a function that waits for the answer and returns the tag in the names of the interpreter's
    bytecode, empty where it has none."""

    def answered() -> str:
        said = answer()
        if os.path.realpath(said.prefix) != os.path.realpath(target):
            raise DeploymentFailed(
                tr(
                    "The new venv's interpreter says that its prefix is {prefix}, not the new venv.",
                    prefix=path_text(said.prefix),
                ),
                tr("Its pyvenv.cfg is missing or damaged. Build it anew: gitdeploy upgrade --rebuild-venv"),
            )
        return said.tag

    with asked(target / "bin" / "python") as answer:
        yield answered


def _package_sizes(venv: Path, wanted: Collection[str] | None) -> dict[str, int]:
    """Bytes of each package's files, by its canonical name, as its RECORD says. WANTED: only of these (None: of all)."""
    sizes = {}
    for site in site_folders(venv):
        for entry in os.listdir(site):
            if entry.endswith(".dist-info"):
                name = canonical(entry.removesuffix(".dist-info").rpartition("-")[0])
                if wanted is None or name in wanted:
                    sizes[name] = sum(max(size, 0) for _, size in read_record(site / entry / "RECORD"))
    return sizes


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> Changes:
    return Changes(
        {name: version for name, version in now.items() if name not in before},
        {name: (before[name], version) for name, version in now.items() if name in before and before[name] != version},
        {name: version for name, version in before.items() if name not in now},
    )


def _point_to_checkout(venv: Path, exported: Path, root: Path) -> None:
    """Editable installs were made from the exported tree: make them name the checkout itself."""
    old, new = os.path.realpath(exported), os.fspath(root)
    names = {os.fspath(exported): new, old: new, quote(os.fspath(exported)): quote(new), quote(old): quote(new)}
    for site in site_folders(venv):
        for file in path_files(site):
            data = changed = file.read_bytes()
            for name, place in names.items():
                changed = changed.replace(os.fsencode(name), os.fsencode(place))
            if changed != data:
                file.unlink()
                file.write_bytes(changed)
