"""`backup.encrypt`: nothing of a backup's files lies about plain once its deployment has ended, and all of it comes back with
the key; whatever is killed in between. An automatic rollback needs no key."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import needs
from support.sample import Program, Sample, Tree

from gitdeploy.backups import encryption
from gitdeploy.errors import ConfigError
from gitdeploy.system import environment, faultpoints

pytestmark = pytest.mark.xdist_group("encrypted")

KILLED = -9
SECRET = "hunter2-in-env"
CUSTOMER = "a-customer-of-ours"
SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
git: {keep: [.env, instance], local_changes: discard}
hooks: {dir: hooks}
service: {command: "true"}
health: {command: "true", successes: 1, interval: 0.1}
backup:
  databases: ["sqlite:///instance/app.db"]
  include: [uploads]
"""
MIGRATE = f"""#!/usr/bin/env python3
import os, sqlite3
db = sqlite3.connect("instance/app.db")
db.executescript("ALTER TABLE customer RENAME COLUMN name TO full_name; INSERT INTO customer VALUES ('{CUSTOMER} of 2');")
os.unlink("uploads/note")
open("uploads/note", "w").write("{CUSTOMER}, changed")
"""
OWN_DUMP = f'#!/bin/sh\necho {CUSTOMER} >"$GITDEPLOY_BACKUP_DIR/by-hook"\n'
EXPORT = '#!/bin/sh\n"$EXPORTER" -m gitdeploy backups export "$GITDEPLOY_BACKUP" "$EXPORT_TO"\n'


def tree(version: str, **hooks: str) -> Tree:
    return {
        ".gitignore": "/instance/\n/uploads/\n/.env\n/deploy.yaml\n",
        "VERSION": version,
        **{f"hooks/{name.replace('_', '-')}": Program(text) for name, text in hooks.items()},
    }


class Shop(Sample):
    key: Path
    settings: str

    @property
    def backups(self) -> Path:
        return self.app / ".gitdeploy/backups"

    def newest(self) -> Path:
        return max(self.backups.iterdir())

    def tell(self, *lines: str) -> None:
        """deploy.yaml as the operator has it on this server: with LINES below `backup`."""
        (self.app / "deploy.yaml").write_text(SETTINGS + "".join(f"  {line}\n" for line in lines))

    def names(self) -> list[str]:
        with closing(sqlite3.connect(self.app / "instance/app.db")) as database:
            return [row[0] for row in database.execute("SELECT * FROM customer")]

    def add(self, name: str) -> None:
        with closing(sqlite3.connect(self.app / "instance/app.db")) as database, database:
            database.execute("INSERT INTO customer VALUES (?)", (name,))

    def killed(self, point: str, *words: str) -> None:
        plan = self.folder / "plan"
        plan.write_text(f"{faultpoints.MAGIC}\nkill-at {point}\n")
        self.gitdeploy(*words, code=KILLED, env={faultpoints.VARIABLE: str(plan)})

    def nothing_plain(self) -> None:
        """No file of a backup tells what .env, the database, the uploads or a hook's dump hold."""
        secrets = [text.encode() for text in (SECRET, CUSTOMER)]
        files = [path for path in self.backups.rglob("*") if path.is_file()]
        telling = [str(path) for path in files if any(secret in path.read_bytes() for secret in secrets)]
        assert telling == []
        assert not list(self.backups.rglob("*.new"))


def age_key(folder: Path) -> tuple[Path, str]:
    """A file with a new identity, and its recipient."""
    needs.program("age")
    file = folder / "key.txt"
    made = subprocess.run(["age-keygen", "-o", str(file)], capture_output=True, text=True, check=True)
    return file, made.stderr.split()[-1]


def gpg_key(home: Path) -> str:
    """The fingerprint of a new key without a passphrase, in a keyring of its own."""
    home.mkdir(mode=0o700)
    words = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*words, "--quick-generate-key", "ops@example.com", "default", "default", "never"], check=True)
    listed = subprocess.run([*words, "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("encrypted"), venv=False)
    shop.key, recipient = age_key(shop.folder)
    shop.settings = f"encrypt: {recipient}"
    shop.release("v1.0.0", tree("1.0.0"))
    shop.release("v2.0.0", tree("2.0.0", pre_deploy=OWN_DUMP, migrate=MIGRATE))
    shop.release("v2.0.1", tree("2.0.1", migrate=MIGRATE, post_deploy="#!/bin/sh\nexit 1\n"))
    shop.release("v2.0.2", tree("2.0.2", post_deploy=EXPORT))
    shop.install("v1.0.0", branch="main")
    (shop.app / "instance").mkdir()
    (shop.app / "uploads").mkdir()
    (shop.app / "uploads/note").write_text(CUSTOMER)
    (shop.app / "uploads/note").chmod(0o440)
    (shop.app / "uploads/link").symlink_to("/elsewhere")
    (shop.app / ".env").write_text(f"PASSWORD={SECRET}\nAPP_VERSION=1.0.0\n")
    with closing(sqlite3.connect(shop.app / "instance/app.db")) as database, database:
        database.execute("CREATE TABLE customer (name)")
        database.execute("INSERT INTO customer VALUES (?)", (CUSTOMER,))
    shop.tell(shop.settings)
    shop.keep()
    yield shop
    subprocess.run(["gpgconf", "--homedir", str(shop.folder / "gnupg"), "--kill", "all"], capture_output=True)


@pytest.fixture
def shop(shop_once: Shop) -> Shop:
    shop_once.reset()
    return shop_once


def is_old(shop: Shop) -> None:
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    assert shop.names() == [CUSTOMER]
    assert (shop.app / "uploads/note").read_text() == CUSTOMER
    assert (shop.app / "uploads/note").stat().st_mode & 0o777 == 0o440
    assert (shop.app / "uploads/link").readlink() == Path("/elsewhere")


def test_after_an_upgrade_all_is_encrypted_and_with_the_key_all_comes_back(shop: Shop, tmp_path: Path) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.nothing_plain()
    identity = shop.newest().name
    assert sorted(path.name for path in shop.newest().iterdir()) == [
        "encrypted-1.age", "encrypted-1.json", "manifest.json", "outcome",
    ]  # fmt: skip
    assert "encrypted" in shop.gitdeploy("backups").out
    shown = json.loads(shop.gitdeploy("backups", "show", identity, "--json").out)
    assert [f"encrypt: {each}" for each in shown["encrypted_for"]] == [shop.settings]
    differing = json.loads(shop.gitdeploy("backups", "diff", identity, "--json").out)
    assert differing["data"]["uploads"]["files"] == 1, "what differs is known without the key"

    before = shop.state()
    missing = shop.gitdeploy("restore", identity, "--with-data", "--yes", code=7).err
    assert "can't be decrypted. It is encrypted for age, and no identity is named" in missing
    gone = shop.gitdeploy("rollback", "--with-data", "--yes", "--identity", "/nowhere/key", code=7).err
    assert "The identity /nowhere/key can't be read: No such file or directory." in gone
    wrong, _ = age_key(tmp_path)
    refused = shop.gitdeploy("restore", identity, "--with-data", "--yes", "--identity", str(wrong), code=1).err
    assert "age could not decrypt" in refused
    assert "nothing live was touched" in refused
    assert shop.state() == before
    shop.nothing_plain()

    planned = shop.gitdeploy("restore", identity, "--with-data", "--dry-run", "--identity", str(shop.key)).text
    assert re.search(r"instance/app\.db holds .* now, and goes back to", planned)
    assert re.search(r"uploads holds .* 1 file otherwise", planned)
    shop.gitdeploy("rollback", "--with-data", "--yes", "--identity", str(shop.key))
    is_old(shop)
    shop.nothing_plain()
    assert shop.newest().name != identity, "the present went into a backup of its own"
    shop.gitdeploy("restore", "latest", "--with-data", "--yes", "--identity", str(shop.key))
    assert shop.names() == [CUSTOMER, f"{CUSTOMER} of 2"]


def test_without_data_no_key_is_needed(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    said = shop.gitdeploy("rollback", "--yes").err
    assert "Kept as it is now: .env" in said
    assert "is encrypted and was not compared" in said
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    shop.nothing_plain()


def test_an_automatic_rollback_needs_no_key_and_what_it_replaced_is_encrypted_too(shop: Shop, tmp_path: Path) -> None:
    said = shop.gitdeploy("upgrade", "v2.0.1", code=3).text
    is_old(shop)
    shop.nothing_plain()
    found = re.search(
        r"is kept: (files/replaced/\S+) in (\S+) \(to look at it: (age --decrypt -i) IDENTITY (.*?)\)\.", said
    )
    assert found, said
    subprocess.run(f"{found[3]} {shop.key} {found[4]}", shell=True, cwd=tmp_path, check=True)
    with closing(sqlite3.connect(tmp_path / found[1])) as database:
        assert database.execute("SELECT * FROM customer").fetchall() == [(CUSTOMER,), (f"{CUSTOMER} of 2",)]
    (uploads,) = re.findall(r"uploads was put back as it was; what it held meanwhile is kept: (\S+) in", said)[:1]
    assert (tmp_path / uploads / "note").read_text() == f"{CUSTOMER}, changed"


UPGRADE, RESTORE = ("upgrade", "v2.0.0"), ("restore", "latest", "--with-data", "--yes")
KILLS = [
    (UPGRADE, "backup beside"),  # the encrypted file is whole and has no name yet
    (UPGRADE, "backup encrypted"),  # everything is there plain and encrypted
    (UPGRADE, "applied migrate"),
    (RESTORE, "backup decrypted"),
    (RESTORE, "applied data"),
]


@pytest.mark.parametrize(("words", "point"), KILLS, ids=[f"{words[0]} {point}" for words, point in KILLS])
def test_after_a_kill_the_next_command_leaves_nothing_plain(shop: Shop, words: tuple[str, ...], point: str) -> None:
    shop.tell(shop.settings, f"identity: {shop.key}")
    if words is RESTORE:
        shop.gitdeploy("backup")
        shop.add("later")
    shop.killed(point, *words)
    shop.gitdeploy("prune")
    shop.nothing_plain()
    if words is RESTORE:
        assert shop.names() == [CUSTOMER, "later"]
        shop.gitdeploy("restore", min(shop.backups.iterdir()).name, "--with-data", "--yes")
    elif point.startswith("backup"):
        assert (shop.app / "VERSION").read_text() == "2.0.0"
        shop.gitdeploy("rollback", "--with-data", "--yes")
    is_old(shop)
    shop.nothing_plain()


def test_what_is_exported_while_it_still_is_plain_is_encrypted(shop: Shop, tmp_path: Path) -> None:
    """A hook hands each backup elsewhere: that is before the deployment has ended."""
    file = tmp_path / "shop.backup"
    shop.gitdeploy("upgrade", "v2.0.2", env={"EXPORTER": sys.executable, "EXPORT_TO": str(file)})
    with tarfile.open(file) as tar:
        names = tar.getnames()
        content = b"".join(made.read() for member in tar if (made := tar.extractfile(member)) is not None)
    assert [name for name in names if name.startswith("files/")] == ["files/encrypted-1.age", "files/encrypted-1.json"]
    assert SECRET.encode() not in content

    other = Shop(tmp_path / "there", venv=False)
    shutil.rmtree(other.remote, ignore_errors=True)
    shutil.copytree(shop.remote, other.remote)
    other.install("v2.0.0", branch="main")
    (other.app / "instance").mkdir()
    (other.app / ".env").write_text("PASSWORD=there\n")
    sqlite3.connect(other.app / "instance/app.db").execute("CREATE TABLE other (x)").connection.close()
    other.tell()
    imported = json.loads(other.gitdeploy("backups", "import", str(file), "--json").out)["id"]
    other.gitdeploy("restore", imported, "--with-data", "--yes", code=7)
    assert "look inside  age --decrypt" in other.gitdeploy("backups", "show", imported).out
    assert (other.app / ".env").read_text() == "PASSWORD=there\n"
    said = other.gitdeploy("restore", imported, "--with-data", "--yes", "--identity", str(shop.key)).err
    assert "Left out, since they are links that lead outside of the backup: uploads/link." in said
    assert (other.app / "uploads").is_dir()
    assert not (other.app / "uploads/link").is_symlink()
    assert SECRET in (other.app / ".env").read_text()
    other.nothing_plain()


def test_plain_backups_are_encrypted_once_it_is_set_and_stay_so_when_it_is_not_any_more(shop: Shop) -> None:
    shop.tell()
    shop.gitdeploy("backup")
    assert (shop.newest() / "kept/.env").exists()
    shop.tell(shop.settings, f"identity: {shop.key}")
    found = {entry["message"] for entry in doctor(shop, code=1)}
    assert any("1 backup not encrypted yet" in message for message in found)
    shop.gitdeploy("prune", "--dry-run")
    assert (shop.newest() / "kept/.env").exists()
    assert f"Encrypting backup {shop.newest().name}." in shop.gitdeploy("prune").text
    shop.nothing_plain()
    assert doctor(shop) == [
        {
            "about": "encryption",
            "level": "ok",
            "message": "Backups can be encrypted for 1 recipient (age), and decrypted with backup.identity.",
        }
    ]
    shop.add("later")
    shop.tell(f"identity: {shop.key}")
    shop.gitdeploy("restore", "latest", "--with-data", "--yes")
    assert shop.names() == [CUSTOMER]
    assert (shop.newest() / "kept/.env").exists(), "the new one is plain: nobody is named any more"
    assert not (min(shop.backups.iterdir()) / "kept").exists(), "what was decrypted for the restore is gone again"


def doctor(shop: Shop, code: int | None = None) -> list[dict[str, Any]]:
    said = json.loads(shop.gitdeploy("doctor", "--json", code=None).out)
    return [
        {name: entry[name] for name in ("about", "level", "message")}
        for entry in said
        if entry["about"] == "encryption"
    ]


def test_whom_it_can_not_be_encrypted_for_stops_an_upgrade_before_it_begins(shop: Shop, tmp_path: Path) -> None:
    recipient = shop.settings.split()[-1]
    wrong = recipient[:-1] + ("q" if recipient[-1] != "q" else "p")
    before = shop.state()
    for setting, code, said in (
        (f"encrypt: {wrong}", 1, "age could not encrypt"),
        ("encrypt: nobody@example.com", 2, "must be an age recipient"),
        (f"encrypt: [{recipient}, {'0' * 40}]", 2, "must name recipients of age or of gpg, not of both"),
        (f"encrypt: {'0' * 40}", 1, "gpg could not encrypt"),
        ("encrypt: AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQ", 2, "must be a public key; this is a secret one"),
    ):
        shop.tell(setting)
        done = shop.gitdeploy("upgrade", "v2.0.0", code=code, env={"GNUPGHOME": str(tmp_path)})
        assert said in done.err
        assert "AGE-SECRET-KEY-1QQQQ" not in done.text
    shop.tell(shop.settings)
    assert shop.state() == before


def test_a_program_that_is_not_installed_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "which", lambda name: None)  # a machine without either
    for recipient, package in (
        ("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "age"),
        ("0" * 40, "gnupg"),
    ):
        with pytest.raises(ConfigError) as refused:
            encryption.try_encrypting([recipient], tmp_path)
        assert refused.value.hint == f"Install it: apt-get install {package}"
    for ending in ("age", "gpg"):
        assert encryption.cannot_decrypt(tmp_path / f"encrypted-1.{ending}", tmp_path) is not None


def test_with_gpg_the_agent_has_the_key(shop: Shop) -> None:
    needs.program("gpg")
    home = shop.folder / "gnupg"
    key = gpg_key(home)
    agent = {"GNUPGHOME": str(home)}
    shop.tell(f"encrypt: {key}")
    shop.gitdeploy("upgrade", "v2.0.0", env=agent)
    shop.nothing_plain()
    public = shop.folder / "public"
    public.mkdir(mode=0o700)
    exported = subprocess.run(["gpg", "--homedir", str(home), "--export", key], capture_output=True, check=True).stdout
    subprocess.run(["gpg", "--homedir", str(public), "--quiet", "--batch", "--import"], input=exported, check=True)
    refused = shop.gitdeploy("rollback", "--with-data", "--yes", code=1, env={"GNUPGHOME": str(public)}).err
    assert "gpg could not decrypt" in refused
    assert "nothing live was touched" in refused
    shop.gitdeploy("rollback", "--with-data", "--yes", env=agent)
    is_old(shop)
    shop.nothing_plain()
