"""An app with everything in it, and the scenarios in which it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from support.modules import ModularSample, part
from support.sample import Link, Program, Tree, folder_files, write_tree

from gitdeploy.cli import run as run_gitdeploy
from gitdeploy.system import faultpoints

SETTINGS = """\
app: {name: crash}
source: {type: git}
git: {keep: [.env, conf/local.ini], local_changes: merge}
backup: {keep: 20, include: [uploads], databases: ["sqlite:///instance/app.db"]}
service: {command: ./restart.sh}
maintenance: {file: run/maintenance}
health: {command: ./health.sh, successes: 1, timeout: 1, interval: 0.05}
hooks: {dir: hooks, timeout: 20}
"""

# What the restarted service would run: code and packages together, written down so that a mixture would be seen.
RESTART = """\
#!/bin/sh
mkdir -p run
cat VERSION venv/lib/python3*/site-packages/greeting.py > run/service.tmp
mv run/service.tmp run/service
"""
HEALTH = """\
#!/bin/sh
grep -q "$(cat VERSION)" run/service && [ ! -e unwell ]
"""
MIGRATE = """\
#!/bin/sh
set -eu
echo migrate >> run/hooks.log
venv/bin/python - <<'END'
import sqlite3, pathlib
database = sqlite3.connect("instance/app.db")
names = {row[1] for row in database.execute("PRAGMA table_info(notes)")}
for column in ("colour", "size"):
    if column not in names and column in pathlib.Path("columns").read_text():
        database.execute(f"ALTER TABLE notes ADD COLUMN {column} TEXT DEFAULT 'none'")
database.commit()
database.close()
END
"""
BUILD = '#!/bin/sh\necho "$GITDEPLOY_STAGE" >> run/hooks.log\nmkdir -p assets\ncat VERSION > assets/built\n'
SECOND = "#!/bin/sh\necho begun > run/second\necho done >> run/second\n"
HOOK = '#!/bin/sh\necho "$GITDEPLOY_STAGE" >> run/hooks.log\n'

BASE: Tree = {
    "deploy.yaml": SETTINGS,
    ".gitignore": "/instance/\n/run/\n/assets/\n/uploads/\n*.log\n__pycache__/\n",
    "restart.sh": Program(RESTART),
    "health.sh": Program(HEALTH),
    "hooks/check": Program("#!/bin/sh\nexec venv/bin/python -c 'import greeting; open(\"VERSION\").read()'\n"),
    "hooks/pre-deploy": Program(HOOK),
    "hooks/build": Program(BUILD),
    "hooks/migrate": Program(MIGRATE),
    "hooks/post-deploy": Program(HOOK),
    "hooks/post-restore": Program(HOOK),
    "bin/tool": Program("#!/bin/sh\n"),
    "static/a.bin": bytes(range(256)),
    "名字/文件.txt": "你好\n",
    b"odd\xfename": "odd\n",
    "merged.txt": "".join(f"line {number}\n" for number in range(20)),
    "conf/local.ini": "shipped\n",
}


def release(version: str, greeting: str, columns: str, more: Tree) -> Tree:
    return {
        **BASE,
        "VERSION": version + "\n",
        "columns": columns + "\n",
        "requirements.txt": f"greeting=={greeting}\n",
        **more,
    }


RELEASES: dict[str, Tree] = {
    "v1.0.0": release("1.0.0", "1.0", "text", {"cache.dat": "shipped\n", "data/a": "a", "thing": "file", "link": Link("thing")}),
    "v1.1.0": release("1.1.0", "1.1", "text colour", {
        "data": "now a file\n", "thing/in/it": "now a folder\n", "link": Link("data"), "bin/tool": "#!/bin/sh\nnot executable\n",
        ".gitignore": str(BASE[".gitignore"]) + "/cache.dat\n", "conf/local.ini": "shipped anew\n", "new/deep/file": "x\n",
        "merged.txt": str(BASE["merged.txt"]).replace("line 3\n", "line three\n"),
    }),
    "v1.1.5": release("1.1.5", "1.1", "text colour", {"hooks/migrate-after": Program(SECOND)}),
    "v1.1.6": release("1.1.6", "1.1", "text colour", {
        "hooks/migrate-after": Program(SECOND), "deploy.yaml": SETTINGS.replace("timeout: 20", "timeout: 20, contract: later"),
    }),
    "v1.2.0": release("1.2.0", "1.2", "text colour size", {"data/a": "again a folder\n", "thing": "a file again\n", "link": "no link\n"}),
    "v1.3.0": release("1.3.0", "1.2", "text colour size", {"unwell": "its health check fails\n"}),
}  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A command that is killed, on an app in the state BEFORE (a name of `CrashApp.HISTORY`)."""

    name: str
    words: tuple[str, ...]
    before: str
    first: tuple[str, ...] = ()  # run before each trial
    code: int = 0
    only_old: bool = False  # whether the command changes nothing live, or fails and goes back


OWN_FOLDERS = (".git", ".gitdeploy", "venv", "run")


class CrashApp(ModularSample):
    """The sample with a database, local changes, a submodule, and pristine copies to begin each trial from."""

    # Name of a state -> the state that it comes from, and the commands that lead there.
    HISTORY: ClassVar[dict[str, tuple[str, tuple[tuple[str, ...], ...]]]] = {
        "upgraded": ("plain", (("backup", "--label", "first"), ("upgrade", "v1.1.0"))),
        "twice": ("upgraded", (("upgrade", "v1.2.0"),)),
        "unsettled": ("upgraded", ()),
        "waiting": ("upgraded", (("upgrade", "v1.1.6"),)),
        "exported": (
            "upgraded",
            (("backups", "export", "latest", "../shop.backup"), ("backups", "delete", "latest", "--yes"), ("prune",)),
        ),
        "many": ("twice", (("rollback", "--yes"), ("upgrade", "v1.2.0"))),
    }
    # What must work after a kill and its recovery.
    NEXT: ClassVar[Sequence[tuple[str, ...]]] = (
        ("upgrade", "v1.2.0"),
        ("upgrade", "v1.0.0", "--allow-downgrade"),
        ("restore", "latest"),
    )

    def build(self) -> None:
        for version in ("1.0", "1.1", "1.2"):
            self.wheel("greeting", version)
        self.make_libraries()
        for number in range(len(self.releases())):
            self.library_commit("library", {"lib.py": f"NUMBER = {number}\n", f"only-{number}.txt": "x\n"}, number)
        for number, (tag, tree) in enumerate(self.releases().items()):
            files, parts = self.submodules().get(tag, ({}, []))
            self.modular_release(tag, {**tree, **files}, [part("vendor/lib", "library", number), *parts])

    def releases(self) -> dict[str, Tree]:
        return RELEASES

    def submodules(self) -> dict[str, tuple[Tree, list[dict[str, Any]]]]:
        """What each release has beside the submodule that all have."""
        return {tag: ({}, []) for tag in self.releases()}

    def install_with_data(self, tag: str) -> None:
        self.install(tag, branch="main")
        self.initialise()
        (self.app / ".env").write_text("SECRET=1\nAPP_VERSION=1.0.0\n")
        (self.app / "conf/local.ini").write_text("mine\n")
        merged = self.app / "merged.txt"
        merged.write_text(merged.read_text().replace("line 15\n", "line 15, edited here\n"))
        write_tree(self.app, {"mine.txt": "untracked\n", "some.log": "ignored\n", "uploads/u": "u\n", "run/x": ""})
        (self.app / "instance").mkdir()
        with closing(sqlite3.connect(self.app / "instance/app.db")) as database, database:
            database.execute("CREATE TABLE notes (text TEXT)")
            database.executemany("INSERT INTO notes VALUES (?)", [(f"note {number}",) for number in range(50)])
        (self.app / "some.log").chmod(0o600)
        (self.app / "static/a.bin").chmod(0o640)
        (self.app / "VERSION").chmod(0o664)
        for program in ("./restart.sh", "hooks/build"):
            subprocess.run([program], cwd=self.app, check=True)
        self.first_start()

    def pristine(self, name: str) -> Path:
        """A copy of the app in the state NAME, made on first use."""
        place = self.folder / f"pristine-{name}"
        if not place.exists():
            if name == "plain":
                self.install_with_data("v1.0.0")
            else:
                origin, commands = self.HISTORY[name]
                self.put(self.pristine(origin))
                for words in commands:
                    assert self.command(words) == 0, words
                if name == "unsettled":
                    self.leave_unsettled()
                if name == "upgraded":
                    (self.app / "new/deep").chmod(0o2750)  # a folder that the next release has no more
                if name == "twice":
                    (self.app / "conf/local.ini").write_text("mine, later\n")  # than the backups have it
            copy_tree(self.app, place)
            self.keep_service(place)
        return place

    def leave_unsettled(self) -> None:
        """An upgrade that was killed, and undone, behind its migration; nothing could be settled, since deploy.yaml had a
        mistake. Now it has none, and another health check than when the upgrade began."""
        assert self.command(("upgrade", "v1.2.0"), kill_at="apply health") == -signal.SIGKILL
        assert self.command(("recover",), kill_at="journalled undone") == -signal.SIGKILL
        file = self.app / "deploy.yaml"
        settings = file.read_text()
        file.write_text("hooks: 7\n")
        assert self.command(("recover",)) == 4
        file.write_text(settings.replace("{command: ./health.sh,", "{command: ./health.sh && true,"))

    def command(self, words: tuple[str, ...], *, kill_at: str = "") -> int:
        """Run gitdeploy in a fork of this process, killed at the point KILL_AT; its exit code."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                if kill_at:
                    faultpoints.point = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == kill_at else None
                os.chdir(self.app)
                os.environ.update(self.environment)
                self.in_child()
                with open(os.devnull, "r+b") as nothing:
                    for descriptor in (0, 1, 2):
                        os.dup2(nothing.fileno(), descriptor)
                code = run_gitdeploy(list(words))
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def put(self, pristine: Path) -> None:
        """The app as a copy of PRISTINE."""
        shutil.rmtree(self.app, ignore_errors=True)
        copy_tree(pristine, self.app)
        self.put_service(pristine)

    # ---- the service: here a file that says what it runs, which needs no care ----

    def in_child(self) -> None:
        """Called in each fork that is about to be gitdeploy."""

    def first_start(self) -> None:
        """The service starts for the first time."""

    def serving(self) -> str:
        """What the service runs."""
        file = self.app / "run/service"
        return file.read_text() if file.exists() else ""

    def keep_service(self, place: Path) -> None:
        """Note beside PLACE, a copy of the app, what runs now."""

    def put_service(self, place: Path) -> None:
        """Let run again what was noted beside PLACE."""

    def close(self) -> None:
        """End what runs."""

    # ---- looking ----

    def whole_state(self) -> dict[str, Any]:
        """What must be wholly old or wholly new, whatever the generation is called."""
        found = self.state(venv_files=False)
        # What hooks append to is not a state: it tells how often they ran.
        found["files"] = {p: f for p, f in found["files"].items() if p != b"run" and not p.startswith(b"run/")}
        found["files"] = {p: f for p, f in found["files"].items() if not p.startswith(b"instance")}
        found["database"] = dump_database(self.app / "instance/app.db")
        found["venv"] = normal_venv(self.app / "venv")
        found["service"] = self.serving()
        found["maintenance"] = (self.app / "run/maintenance").exists()
        found["rehearsals"] = [path.name for path in (self.app / ".gitdeploy/rehearsals").glob("*")]
        found["folders"] = self._folders()
        found["submodules"] = self.git("submodule", "status", "--recursive")
        found["in submodules"] = self.inside()
        return found

    def _folders(self) -> dict[bytes, str]:
        top = os.fsencode(self.app)
        found = {}
        for place, folders, _ in os.walk(top):
            if place == top:
                folders[:] = [name for name in folders if os.fsdecode(name) not in OWN_FOLDERS]
            for path in (os.path.join(place, name) for name in folders):
                if not os.path.islink(path):
                    found[path[len(top) + 1 :]] = oct(os.lstat(path).st_mode)
        return found

    def damage(self) -> str:
        """What `git fsck` says of the checkout and its submodule. Asked once of the same objects, refs and index."""
        said = ""
        for folder, place in ((self.app, self.app / ".git"), *self._modules()):
            facts: list[object] = [place, self.git("ls-files", "-s", cwd=folder)]
            for parent, _, names in os.walk(place):
                for path in (os.path.join(parent, name) for name in names if name != "index"):  # it has times in it
                    found = os.stat(path)
                    objects = "/objects/" in path
                    facts.append(
                        (path, found.st_mtime_ns, found.st_size) if objects else (path, Path(path).read_bytes())
                    )
            key = hashlib.sha256(repr(sorted(map(repr, facts))).encode()).digest()
            if key not in self._sound:
                if found_wrong := self.git("fsck", "--no-dangling", "--no-progress", cwd=folder):
                    said += found_wrong
                else:
                    self._sound.add(key)
        return said

    def _modules(self) -> list[tuple[Path, Path]]:
        """Work tree and repository of each submodule that has files."""
        listed = self.git(
            "submodule", "foreach", "--quiet", "--recursive", "git rev-parse --show-toplevel --absolute-git-dir"
        )
        lines = [Path(line) for line in listed.splitlines()]
        return list(zip(lines[::2], lines[1::2], strict=True))

    _sound: ClassVar[set[bytes]] = set()

    def refs(self) -> dict[str, str]:
        """Name -> object of every ref of the checkout."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def backup_states(self, refs: Mapping[str, str]) -> dict[str, Any]:
        """Id -> all that `restore` would need of a backup: its files, its ref (of REFS), its venv."""
        folder = self.app / ".gitdeploy/backups"
        found: dict[str, Any] = {}
        for place in sorted(folder.iterdir()) if folder.exists() else ():
            manifest = place / "manifest.json"
            if not manifest.exists():
                continue
            generation = json.loads(manifest.read_text())["generation"]
            found[place.name] = (
                folder_files(place, skip=(b"outcome", b"saved", b"replaced", b"replaced-at")),
                refs.get(f"refs/gitdeploy/backups/{place.name}"),
                folder_files(self.app / ".gitdeploy/venvs" / generation) if generation else None,
            )
        return found

    def copies(self, identity: str) -> dict[bytes, Any]:
        """What a backup holds copies of: keep paths, `backup.include`, and what its dumps hold."""
        place = self.app / ".gitdeploy/backups" / identity
        found = {
            path: facts
            for path, facts in folder_files(place).items()
            if path.startswith((b"kept/", b"include/")) and facts[0] == "file"
        }
        # Where the service is stopped first, it is dumped after the backup was made: it has what its manifest says.
        names = sorted(dump["file"] for dump in json.loads((place / "manifest.json").read_text())["dumps"])
        for number, name in enumerate(names):
            found[b"dump %d" % number] = tuple(dump_database(place / "dumps" / name))
        return found

    def generations(self) -> dict[str, list[str]]:
        """Who needs a generation -> its name; and what is there."""
        state = self.app / ".gitdeploy"
        needed = [(self.app / "venv").resolve().name]
        needed += [str(json.loads(p.read_text())["generation"]) for p in state.glob("backups/*/manifest.json")]
        needed += [str(json.loads(p.read_text())["generation"]) for p in state.glob("stage/*/prepared.json")]
        there = [p.name for p in state.glob("venvs/*") if p.is_dir() or p.name.startswith(".")]
        return {"needed": sorted(needed), "there": sorted(there)}


def copy_tree(origin: Path, place: Path) -> None:
    # Beside the command that is to be killed its installer may be at work, and what it has just renamed fails cp.
    for _ in range(20):
        done = subprocess.run(["cp", "-a", str(origin), str(place)], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        shutil.rmtree(place, ignore_errors=True)
    raise AssertionError(f"no copy of {origin} could be made: {done.stderr}")


def dump_database(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return list(database.iterdump())


_OWN_NAME = re.compile(rb"[0-9]{8}-[0-9]{6}-[A-Za-z0-9._-]+")


def normal_venv(venv: Path) -> dict[bytes, bytes]:
    """Path -> content of each file of the live venv, without the name of its generation and what depends on it."""
    real = venv.resolve()
    names = {os.fsencode(real), os.fsencode(venv)}
    found: dict[bytes, bytes] = {}
    for folder, folders, files in os.walk(os.fsencode(real)):
        folders[:] = [name for name in folders if name != b"__pycache__"]
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[path[len(os.fsencode(real)) :]] = os.readlink(path)
                continue
            mode = b"%o " % os.stat(path).st_mode
            content = Path(os.fsdecode(path)).read_bytes()
            for own in names:
                content = content.replace(own, b"VENV")
            if name == b"RECORD":
                content = b"\n".join(sorted(line for line in content.splitlines() if not line.startswith(b"../")))
            found[path[len(os.fsencode(real)) :]] = mode + _OWN_NAME.sub(b"GENERATION", content)
    # Our own notes about a generation tell when it was made.
    return {path: content for path, content in found.items() if not path.startswith(b"/.gitdeploy")}


class CrashModules(CrashApp):
    """The same with submodules that come, go, move, are nested, and become folders and links."""

    def submodules(self) -> dict[str, tuple[Tree, list[dict[str, Any]]]]:
        return {
            "v1.0.0": ({}, [part("part", "lib"), part("goes", "inner")]),
            "v1.1.0": ({"goes": Link("static")}, [part("moved/to", "lib", name="part"), part("nested", "outer")]),
            "v1.2.0": (
                {"moved/to/code.py": "vendored\n"},
                [part("deep/er", "outer", 1, name="nested"), part("goes", "lib", 1, name="part")],
            ),
            "v1.3.0": (
                {"nested": "a file\n"},
                [part("moved/to", "lib", 1, name="renamed"), part("part", "outer", name="nested")],
            ),
        }


# ---- the scenarios ----

MODULE_SCENARIOS = (
    Scenario("modules move, come and go", ("upgrade", "v1.1.0"), "plain"),
    Scenario("modules become folders", ("upgrade", "v1.2.0"), "upgraded"),
    Scenario("modules, and it fails", ("upgrade", "v1.3.0"), "upgraded", code=3, only_old=True),
    Scenario("modules come back", ("rollback", "v1.0.0"), "twice"),
)
SCENARIOS = (
    Scenario("adopt", ("upgrade", "v1.1.0"), "plain"),
    Scenario("upgrade", ("upgrade", "v1.2.0"), "upgraded"),
    Scenario("prepared", ("upgrade", "v1.2.0"), "upgraded", first=("prepare", "v1.2.0")),
    Scenario("fails", ("upgrade", "v1.3.0"), "upgraded", code=3, only_old=True),
    Scenario("restore", ("restore", "latest", "--with-data", "--yes", "--no-hooks"), "twice"),
    Scenario("rollback", ("rollback", "v1.0.0"), "twice"),
    Scenario("settle", ("recover",), "unsettled", only_old=True),
    Scenario("settle, upgrade", ("upgrade", "v1.2.0"), "unsettled"),
    Scenario("prepare", ("prepare", "v1.2.0"), "upgraded", only_old=True),
    Scenario("rehearse", ("rehearse", "v1.2.0"), "upgraded", only_old=True),
    Scenario("prune", ("prune", "--keep", "1"), "many", only_old=True),
    Scenario("backup", ("backup", "--label", "another"), "upgraded", only_old=True),
    Scenario("import", ("backups", "import", "../shop.backup"), "exported", only_old=True),
)
# The second half of the migrations, which runs once the release is final: never undone, and never said to be done before it is.
HALVES = (
    Scenario("two halves", ("upgrade", "v1.1.5"), "upgraded"),
    Scenario("contract", ("contract",), "waiting", only_old=True),
)
# Where the power is cut: without hooks nothing but the switch itself sees to it that the switch is on disk.
POWER_SCENARIOS = (
    *(each for each in SCENARIOS if each.name != "rehearse"),  # nothing that it writes has to last
    Scenario("without hooks", ("upgrade", "v1.2.0", "--no-hooks"), "upgraded"),
)
