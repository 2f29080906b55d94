"""A backup as one file: off the server, into another one, back byte for byte; and files that nobody should believe."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.modules import ModularSample, part
from support.sample import Done, Sample, Tree

SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
git: {keep: [.env], local_changes: discard}
service: {command: "true"}
backup: {databases: ["sqlite:///shop.db"], include: [uploads]}
"""


def tree(version: str) -> Tree:
    return {
        "deploy.yaml": SETTINGS,
        "VERSION": version,
        ".gitignore": "shop.db*\nuploads/\n.env\n/venv\n",
        "a folder/naïve 文件.txt": f"of {version}\n",
    }


def state(app: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> kind and permissions, bytes or link; without git's and gitdeploy's own."""
    found = {}
    for base, folders, files in os.walk(app):
        folders[:] = [name for name in folders if name not in (".git", ".gitdeploy")]
        for name in files:
            path = Path(base, name)
            if name.startswith("shop.db"):
                continue
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(app))] = (stat.S_IFMT(path.lstat().st_mode), content)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """v1.0.0 with a changed file, a secret, uploads and rows; and its backup."""
    shop = Sample(tmp_path_factory.mktemp("here"), venv=False)
    shop.release("v1.0.0", tree("1.0.0"))
    shop.release("v2.0.0", tree("2.0.0"))
    shop.install("v1.0.0", branch="main")
    (shop.app / ".env").write_text("SECRET=here\n")
    (shop.app / ".env").chmod(0o600)
    (shop.app / "VERSION").write_text("1.0.0, changed by hand\n")
    (shop.app / "uploads/deep").mkdir(parents=True)
    (shop.app / "uploads/deep/scan").write_bytes(os.urandom(5000))
    (shop.app / "uploads/latest").symlink_to("deep/scan")
    with closing(sqlite3.connect(shop.app / "shop.db")) as database:
        database.execute("CREATE TABLE orders (what)")
        database.execute("INSERT INTO orders VALUES ('a book')")
        database.commit()
    shop.gitdeploy("backup", "--label", "to carry")
    return shop


@pytest.fixture(scope="module")
def exported(made: Sample) -> Path:
    file = made.folder / "shop.backup"
    said = made.gitdeploy("backups", "export", "latest", str(file)).out
    assert "On another server, in the app's checkout: gitdeploy backups import shop.backup" in said
    assert file.stat().st_mode & 0o777 == 0o600, "it holds the secrets of .env"
    return file


@pytest.fixture
def there(made: Sample, tmp_path: Path) -> Sample:
    """Another server: a fresh clone on v2.0.0, with data of its own."""
    other = Sample(tmp_path / "there", venv=False)
    shutil.rmtree(other.remote, ignore_errors=True)
    shutil.copytree(made.remote, other.remote)
    other.install("v2.0.0", branch="main")
    (other.app / ".env").write_text("SECRET=there\n")
    with closing(sqlite3.connect(other.app / "shop.db")) as database:
        database.execute("CREATE TABLE orders (what)")
        database.commit()
    return other


def test_a_backup_comes_back_on_another_server_byte_for_byte(made: Sample, exported: Path, there: Sample) -> None:
    imported = json.loads(there.gitdeploy("backups", "import", str(exported), "--json").out)
    before = state(there.app)
    assert before["VERSION"][1] == b"2.0.0", "an import changes nothing live"
    assert "data" in imported["holds"]
    there.gitdeploy("restore", imported["id"], "--with-data", "--yes")
    assert state(there.app) == state(made.app)
    with closing(sqlite3.connect(there.app / "shop.db")) as database:
        assert database.execute("SELECT what FROM orders").fetchall() == [("a book",)]
    assert there.git("rev-parse", "HEAD") == made.git("rev-parse", "HEAD")
    assert "changed by hand" in there.git("diff")
    there.gitdeploy("restore", "latest", "--with-data", "--yes")
    after = {path: what for path, what in state(there.app).items() if not path.startswith("uploads/")}
    assert after == before, "and away again, but for a folder that was not there then"


def test_through_a_pipe_and_twice_the_same(made: Sample, exported: Path, there: Sample) -> None:
    piped = made.folder / "piped"
    with piped.open("wb") as out:
        process = made.start("backups", "export", "latest", "-", stdout=out)
        assert process.wait(60) == 0
    assert gzip.decompress(piped.read_bytes()) == gzip.decompress(exported.read_bytes())
    assert there.gitdeploy("backups", "import", str(piped)).code == 0
    assert "There is a backup" in there.gitdeploy("backups", "import", str(piped), code=2).err


def test_what_is_refused_says_the_way_that_then_works(exported: Path, there: Sample) -> None:
    listing, content = members(exported)
    listing["app"] = "shop-of-before"
    for name in ("include.since", "replaced-at", "replaced/x", "outcome"):
        added(listing, content, f"files/{name}")
    file = there.folder / "renamed.backup"
    file.write_bytes(pack(listing, content))
    assert "--other-app" in there.gitdeploy("backups", "import", str(file), code=2).err
    there.gitdeploy("backups", "import", str(file), "--other-app")
    (imported,) = (there.app / ".gitdeploy/backups").iterdir()
    assert sorted(os.listdir(imported)) == ["dumps", "include", "kept", "manifest.json", "outcome"]
    assert (imported / "outcome").read_text() == "good\n"
    assert "Name a new file." in there.gitdeploy("backups", "export", "latest", str(file), code=2).err
    there.gitdeploy("backups", "export", "latest", str(file.with_name("new")))

    shutil.copytree(imported / "include/uploads", there.app / "uploads", symlinks=True)
    scan = there.app / "uploads/deep/scan"
    facts = scan.stat()
    scan.write_bytes(b"x" * facts.st_size)
    os.utime(scan, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (imported / "include.since").touch()  # as if it had stayed; it counts from a tick after the change on
    os.utime(imported / "include.since", (time.time() + 0.105,) * 2)
    made = json.loads(there.gitdeploy("backup", "--json").out)["id"]
    assert (imported.with_name(made) / "include/uploads/deep/scan").read_bytes() == scan.read_bytes()
    file = there.folder / "no/file"
    nowhere = there.gitdeploy("backups", "export", "latest", str(file), code=1)
    (way,) = re.findall(r"Make its folder: (.*)", nowhere.err)
    assert way == f"mkdir -p {file.parent}"
    subprocess.run(way.split(), check=True)  # as it is typed
    there.gitdeploy("backups", "export", "latest", str(file))
    assert "Name another place." in there.gitdeploy("backups", "export", "latest", str(file / "file"), code=1).err


def test_where_signatures_are_wanted_a_commit_from_a_file_alone_is_no_release(exported: Path, tmp_path: Path) -> None:
    """The checkout knows no commit of the file's: nobody vouches for it, however whole it is."""
    other = Sample(tmp_path / "other", venv=False)
    verify = SETTINGS.replace("git: {", "git: {verify: ssh, allowed_signers: /nowhere, ")
    other.release("v9.0.0", {**tree("9.0.0"), "deploy.yaml": verify})
    other.install("v9.0.0", branch="main")
    refused = other.gitdeploy("backups", "import", str(exported), code=7).err
    assert "is none that this checkout has" in refused
    assert "gitdeploy prepare TAG" in refused
    assert "gitdeploy/backups" not in other.git("for-each-ref")


def members(file: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with tarfile.open(file) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return json.loads(content.pop("export.json")), content


def pack(listing: dict[str, Any], content: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, data in {"export.json": json.dumps(listing).encode(), **content}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in more:
            tar.addfile(member)
    return out.getvalue()


def entry(listing: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in listing["entries"] if each["path"].startswith(path))
    return found


def added(listing: dict[str, Any], content: dict[str, bytes], path: str, data: bytes = b"x", **more: Any) -> None:
    facts = {"mode": 0o644, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    listing["entries"].append({"path": path, **facts, **more})
    if "link" not in more:
        content[path] = data


Hostile = Callable[[dict[str, Any], dict[str, bytes]], bytes | None]


def outside(path: str) -> Hostile:
    return lambda listing, content: added(listing, content, path)


def links(path: str, target: str) -> Hostile:
    return lambda listing, content: added(listing, content, path, b"", link=target, sha256="")


def through_a_link(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    added(listing, content, "files/include/uploads/out", b"", link="deep", sha256="")
    added(listing, content, "files/include/uploads/out/file")


def link_above_a_link(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    """By names it stays below `include`; where the first link ends, it does not."""
    deep = "files/include/uploads/a/b/"
    added(listing, content, f"{deep}top", b"", link="../../..", sha256="")
    added(listing, content, f"{deep}out", b"", link="top/../../..", sha256="")


def manifest(**more: Any) -> Hostile:
    return lambda listing, content: listing["manifest"].update(more)


def other_bytes(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    content["files/kept/.env"] = content["files/kept/.env"].replace(b"here", b"mine")


def longer(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    content["files/kept/.env"] += b"more"


def dropped(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    del content["files/kept/.env"]


def unlisted(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    content["files/kept/more"] = b"x"


def huge(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    entry(listing, "files/kept/.env")["size"] = 1 << 60


def setuid(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    entry(listing, "files/kept/.env")["mode"] = 0o4755


def no_bundle(listing: dict[str, Any], content: dict[str, bytes]) -> None:
    data = b"# v2 git bundle\n"
    content["objects.bundle"] = data
    entry(listing, "objects.bundle").update(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def tar_link(kind: bytes) -> Hostile:
    def made(listing: dict[str, Any], content: dict[str, bytes]) -> bytes:
        member = tarfile.TarInfo("files/kept/passwd")
        member.type, member.linkname = kind, "/etc/passwd"
        return pack(listing, content, member)

    return made


def long_header(listing: dict[str, Any], content: dict[str, bytes]) -> bytes:
    """A header of a gigabyte, which the library would read into memory."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as zipped:
        member = tarfile.TarInfo("x")
        member.type, member.size = tarfile.XHDTYPE, 1 << 30
        zipped.write(member.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(1 << 8):
            zipped.write(b"0" * (1 << 22))
    return out.getvalue()


def module(path: str, source: str, *, listed: bool = True) -> Hostile:
    """A submodule with a bundle that is none."""

    def made(listing: dict[str, Any], content: dict[str, bytes]) -> None:
        snapshot = dict(listing["manifest"]["snapshot"])
        listing["manifest"]["submodules"] = {path: {**snapshot, "source": source}}
        if listed:
            file = "modules/0.bundle"
            listing["modules"] = [{"path": path, "source": source, "file": file, "commit": snapshot["commit"]}]
            added(listing, content, file, b"# v2 git bundle\n")

    return made


CASES: dict[str, tuple[Hostile, str]] = {
    "submodule outside": (module("../sub", "modules/sub"), "leads outside"),
    "submodule of another repository": (module("sub", "modules/../../../other/.git"), "leads outside"),
    "submodule without its objects": (module("sub", "modules/sub", listed=False), "not those of its manifest"),
    "submodule that is not here": (module("sub", "modules/sub"), "git submodule update --init --recursive"),
    "above": (outside("files/../../evil"), "leads outside"),
    "absolute": (outside("/etc/evil"), "leads outside"),
    "git's own": (outside("files/kept/.git/hooks/post-checkout"), "leads outside"),
    "gitdeploy's own": (outside("files/kept/.gitdeploy/x"), "leads outside"),
    "the manifest itself": (outside("manifest.json"), "leads outside"),
    "through a link": (through_a_link, "below what is not a folder"),
    "other bytes": (other_bytes, "another hash"),
    "longer": (longer, "not what its list says"),
    "missing": (dropped, "missing in it"),
    "not listed": (unlisted, "not in its list"),
    "huge": (huge, "Make room"),
    "setuid": (setuid, "impossible size or mode"),
    "no git bundle": (no_bundle, "git refuses"),
    "hard link": (tar_link(tarfile.LNKTYPE), "can't be imported"),
    "symbolic link": (tar_link(tarfile.SYMTYPE), "can't be imported"),
    "device": (tar_link(tarfile.CHRTYPE), "can't be imported"),
    "long header": (long_header, "can't be imported"),
    "no tar": (lambda listing, content: b"nothing of the kind", "not an export of a backup"),
    "another commit": (manifest(commit="1" * 40), "not those of its manifest"),
    "kept outside": (manifest(kept=["../../etc/passwd"]), "leads outside"),
    "data outside": (manifest(included=["/etc"]), "leads outside"),
    "dump outside": (manifest(dumps=[{"name": "shop.db", "kind": "sqlite", "file": "../../x"}]), "leads outside"),
    "another id": (manifest(id="20200101-000000-other"), "not its own"),
    "no manifest": (manifest(snapshot=None), "can't be read"),
    "data of nothing": (manifest(data_release="x"), "can't be read"),
    "data of a number": (manifest(data_release={"commit": "1", "tag": 1, "version": None}), "not its own"),
    "what waits is a list": (manifest(second_halves=["x"]), "can't be read"),
    "what waits is nobody's": (manifest(second_halves={"1": {"release": None}}), "can't be read"),
    "submodules": (manifest(submodules={"a": {"commit": "1"}}), "can't be read"),
    "another app": (lambda listing, content: listing.update(app="other"), "backup of other"),
    "newer": (lambda listing, content: listing.update(format=2), "newer gitdeploy"),
    "id outside": (lambda listing, content: listing.update(backup="../../x"), "no proper id"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_refused_and_leaves_nothing(exported: Path, there: Sample, case: str) -> None:
    change, said = CASES[case]
    listing, content = members(exported)
    data = change(listing, content) or pack(listing, content)
    file = there.folder / "hostile"
    file.write_bytes(data)
    before = state(there.app), there.git("for-each-ref")
    done: Done = there.gitdeploy("backups", "import", str(file), code=None)
    assert done.code in (1, 2), done.text
    assert said in done.err, done.err
    assert (state(there.app), there.git("for-each-ref")) == before
    assert not list((there.app / ".gitdeploy/backups").glob("*"))
    assert not list((there.app / ".gitdeploy").glob(".carried*"))


def test_links_that_lead_outside_are_left_out_and_named(exported: Path, there: Sample) -> None:
    """By what is there on the next server they would lead to something else; all the rest of the backup is here."""
    listing, content = members(exported)
    links("files/include/uploads/out", "../../../../../etc")(listing, content)
    links("files/kept/out", "/etc/passwd")(listing, content)
    link_above_a_link(listing, content)
    file = there.folder / "outside"
    file.write_bytes(pack(listing, content))
    said = there.gitdeploy("backups", "import", str(file)).text
    assert "lead outside of the backup: uploads/a/b/out, uploads/out, out. Make them anew" in said
    (made,) = (there.app / ".gitdeploy/backups").glob("*")
    assert sorted(str(each.relative_to(made)) for each in made.rglob("out")) == []
    assert (made / "include/uploads/a/b/top").is_symlink()


def test_show_diff_label_and_delete(made: Sample) -> None:
    identity = made.gitdeploy("backup").out.split()[-1]
    shown = made.gitdeploy("backups", "show", identity).out
    assert "VERSION" not in shown
    assert "kept files   .env" in shown
    assert "included     uploads" in shown
    assert "Nothing is otherwise" not in made.gitdeploy("backups", "diff", identity).out
    (made.app / "VERSION").write_text("again\n")
    (made.app / "uploads/new").write_text("new")
    differing = json.loads(made.gitdeploy("backups", "diff", identity, "--json").out)
    assert differing["code"] == {"VERSION": "changed"}
    assert differing["data"]["uploads"]["files"] == 1
    made.gitdeploy("backups", "label", identity, "audit")
    assert "audit" in made.gitdeploy("backups").out
    made.gitdeploy("backups", "label", identity, "")
    assert "--yes" in made.gitdeploy("backups", "delete", identity, code=2).err
    made.gitdeploy("backups", "delete", identity, "--yes")
    assert identity not in made.gitdeploy("backups").out
    (made.app / "VERSION").write_text("1.0.0, changed by hand\n")
    (made.app / "uploads/new").unlink()


def test_what_an_export_leaves_out_is_said(made: Sample, tmp_path: Path) -> None:
    """A shallow clone has no history to give; after the hint it has."""
    other = Sample(tmp_path / "shallow", venv=False)
    shutil.rmtree(other.remote, ignore_errors=True)
    shutil.copytree(made.remote, other.remote)
    other.git("clone", "-q", "--depth", "1", "--branch", "v2.0.0", other.remote.as_uri(), str(other.app), cwd=tmp_path)
    sqlite3.connect(other.app / "shop.db").close()
    (other.app / "shop.db").touch()
    other.gitdeploy("backup")
    file = tmp_path / "file"
    assert "git fetch --unshallow" in other.gitdeploy("backups", "export", "latest", str(file), code=1).err
    other.git("fetch", "-q", "--unshallow")
    other.gitdeploy("backups", "export", "latest", str(file))
    with tarfile.open(file) as tar:
        assert "objects.bundle" in tar.getnames()


@pytest.mark.parametrize("seconds", [0.5, 0.7, 0.9, 1.1])
def test_an_import_that_is_killed_leaves_no_half_a_backup(exported: Path, there: Sample, seconds: float) -> None:
    """Whenever it dies: the backup is whole, or none, and the same command then goes through or says that it is there."""
    process = there.start("backups", "import", str(exported))
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    if not there.gitdeploy("backups").out.count("to carry"):
        there.gitdeploy("recover")
        there.gitdeploy("backups", "import", str(exported))
    assert there.gitdeploy("backups").out.count("to carry") == 1
    assert not list((there.app / ".gitdeploy").glob(".carried*"))
    there.gitdeploy("restore", "latest", "--with-data", "--yes")
    assert "changed by hand" in (there.app / "VERSION").read_text()


def test_two_backups_share_what_did_not_change_and_each_stays_whole(there: Sample) -> None:
    (there.app / "uploads").mkdir()
    (there.app / "uploads/large").write_bytes(os.urandom(1_000_000))
    (there.app / "uploads/other").write_bytes(b"before")
    first = json.loads(there.gitdeploy("--json", "backup").out)["id"]
    (there.app / "uploads/other").write_bytes(b"after!")
    second = json.loads(there.gitdeploy("--json", "backup").out)["id"]
    shown = json.loads(there.gitdeploy("--json", "backups", "show", second).out)
    assert shown["size_whole"] - shown["size"] >= 1_000_000
    said = there.gitdeploy("backups", "show", second).out
    assert re.search(r"size +\S+ kB, and 1\.\d MB that other backups hold too\n", said), said
    there.gitdeploy("backups", "delete", first, "--yes")
    shown = json.loads(there.gitdeploy("--json", "backups", "show", second).out)
    assert shown["size_whole"] == shown["size"] >= 1_000_000
    want = state(there.app)
    (there.app / "uploads/large").write_bytes(b"x" * 1_000_000)  # in place: a shared file would be lost
    (there.app / "uploads/other").unlink()
    there.gitdeploy("restore", second, "--with-data", "--yes")
    assert state(there.app) == want


class Modular(ModularSample):
    """An app with a submodule, and one inside that."""

    def server(self, folder: Path, tag: str) -> Modular:
        """Another server of the same app, with TAG live."""
        other = Modular(folder, venv=False)
        shutil.rmtree(other.remote)
        for name in ("remote", "lib", "inner", "outer"):
            shutil.copytree(self.folder / name, other.folder / name)
        other.install(tag, branch="main")
        return other


@pytest.fixture(scope="module")
def modular(tmp_path_factory: pytest.TempPathFactory) -> Modular:
    """v1.0.0 with edits in both submodules, one of them committed here."""
    made = Modular(tmp_path_factory.mktemp("modular"), venv=False)
    made.make_libraries()
    settings = "app: {name: shop}\nsource: {type: git}\nvenv: {path: null}\ngit: {local_changes: discard}\n"
    for number, version in enumerate(("1.0.0", "2.0.0")):
        parts = [part("vendor/outer", "outer", number), part("vendor/lib", "lib", number)]
        made.modular_release(f"v{version}", {"deploy.yaml": settings, "VERSION": version}, parts)
    made.install("v1.0.0", branch="main")
    made.initialise()
    outer, inner = made.app / "vendor/outer", made.app / "vendor/outer/inner"
    (outer / "outer.py").write_text("committed here\n")
    made.git("commit", "-qam", "here", cwd=outer)
    (inner / "inner.py").write_text("edited here\n")
    (inner / "staged.py").write_text("staged here\n")
    made.git("add", "staged.py", cwd=inner)
    made.gitdeploy("backup")
    return made


def test_submodules_go_along_with_what_was_changed_in_them(modular: Modular, tmp_path: Path) -> None:
    file = tmp_path / "shop.backup"
    modular.gitdeploy("backups", "export", "latest", str(file))
    there = modular.server(tmp_path / "there", "v2.0.0")
    refused = there.gitdeploy("backups", "import", str(file), code=1).err
    assert "The backup holds the submodule vendor/lib, which has no repository here." in refused
    (way,) = re.findall(r"Get the submodules first: git (.*)", refused)
    there.git(*way.split())
    imported = json.loads(there.gitdeploy("backups", "import", str(file), "--json").out)["id"]
    before = there.modular_state()
    there.gitdeploy("restore", imported)
    restored, wanted = there.modular_state(), modular.modular_state()
    for what in ("files", "submodules", "inside"):
        assert restored[what] == wanted[what]
    there.gitdeploy("restore", "latest")
    again = there.modular_state()["files"]
    again.pop(b"vendor/outer/inner/staged.py")  # no release's: it stays as the untracked file that it is here
    assert again == before["files"]


def test_a_submodule_whose_history_is_not_whole_is_not_exported_until_it_is(modular: Modular, tmp_path: Path) -> None:
    there = modular.server(tmp_path / "there", "v1.0.0")
    there.initialise()
    lib = there.app / "vendor/lib"
    shutil.rmtree(there.app / ".git/modules/vendor/lib")
    shutil.rmtree(lib)
    there.git(
        "clone", "-q", "--no-local", "--depth", "1", "--no-single-branch", (there.folder / "lib").as_uri(), str(lib)
    )
    there.git("fetch", "-q", "--depth", "1", "origin", there.git("rev-parse", "HEAD:vendor/lib"), cwd=lib)
    there.git("checkout", "-q", "FETCH_HEAD", cwd=lib)
    there.gitdeploy("backup")
    file = tmp_path / "file"
    for told, way in (
        ("is not below .git/modules", r"Move it there: git (submodule absorbgitdirs vendor/lib)"),
        ("is a shallow clone", r"Fetch the rest: git (-C vendor/lib fetch --unshallow)"),
    ):
        refused = there.gitdeploy("backups", "export", "latest", str(file), code=1).err
        assert told in refused
        (words,) = re.findall(way, refused)
        there.git(*words.split())
        there.gitdeploy("backup")
    there.gitdeploy("backups", "export", "latest", str(file))
