"""Files encrypted for recipients that the server names, and decrypted with an identity that the operator has: by the age or
the gpg that is installed. Nothing of ours is cryptography; what passes through here is piped, and never lies on disk twice.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from gitdeploy.errors import CommandFailed, ConfigError
from gitdeploy.messages import tr
from gitdeploy.system import environment, process, progress
from gitdeploy.system.completed import Completed
from gitdeploy.text import path_text

LIMIT = 12 * 3600.0  # seconds for one backup
ASKING_LIMIT = 60.0
PACKAGES = {"age": "age", "gpg": "gnupg"}
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_OWN_NAME = re.compile(r"^(?:age|gpg): (?:error: )?")
_BLOCK = 1 << 20


def program_for(recipients: Sequence[str]) -> str:
    """`age` or `gpg`, by what the first of RECIPIENTS is: a fingerprint is of an OpenPGP key."""
    return "gpg" if _FINGERPRINT.fullmatch(recipients[0]) else "age"


def encrypt(write: Callable[[IO[bytes]], object], into: Path, recipients: Sequence[str]) -> None:
    """What WRITE writes, encrypted for RECIPIENTS, in the new file INTO (mode 0600). Raises `GitDeployError`, `OSError`."""
    name = program_for(recipients)
    words = [_path_of(name), *_encrypting(name, recipients)]
    descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    reading, writing = os.pipe()
    feeder = _Thread(writing, "wb", write)
    try:
        with progress.of_files(None, into):
            done = _run(words, into.parent, stdin=reading, stdout=descriptor)
        os.fsync(descriptor)
    finally:
        os.close(reading)  # where the program has ended early, the feeder learns it by this
        feeder.join()
        os.close(descriptor)
    _encrypted(name, done)
    feeder.check()


def try_encrypting(recipients: Sequence[str], folder: Path) -> None:
    """Encrypt nothing for RECIPIENTS, to see that it can be done. Raises `GitDeployError`."""
    name = program_for(recipients)
    words = [_path_of(name), *_encrypting(name, recipients)]
    _encrypted(name, _run(words, folder, stdin=b"", timeout=ASKING_LIMIT))


def try_both_ways(recipients: Sequence[str], identity: Path | None, folder: Path) -> None:
    """Encrypt a word for RECIPIENTS and decrypt it again with IDENTITY. Raises `GitDeployError`."""
    name = program_for(recipients)
    words = [_path_of(name), *_encrypting(name, recipients)]
    made = _run(words, folder, stdin=b"gitdeploy", timeout=ASKING_LIMIT)
    _encrypted(name, made)
    back = _run([_path_of(name), *_decrypting(name, identity)], folder, stdin=made.stdout, timeout=ASKING_LIMIT)
    _decrypted(name, back)


def decrypt(file: Path, identity: Path | None, read: Callable[[IO[bytes]], object]) -> None:
    """FILE's content to READ, which must believe none of it before this has returned. IDENTITY: the file of age's. Raises
    `GitDeployError`; what READ raises."""
    name = program_of(file)
    words = [_path_of(name), *_decrypting(name, identity)]
    reading, writing = os.pipe()
    reader = _Thread(reading, "rb", read)
    try:
        with file.open("rb") as source, progress.of_files(file, None):
            done = _run(words, file.parent, stdin=source.fileno(), stdout=writing)
    finally:
        os.close(writing)
        reader.join()
    _decrypted(name, done)
    reader.check()


def program_of(file: Path) -> str:
    """The program that FILE was encrypted with, by its ending."""
    return file.suffix.removeprefix(".")


def cannot_decrypt(file: Path, identity: Path | None) -> tuple[str, str] | None:
    """What is missing to decrypt FILE, and what to do; None where it can be tried."""
    name = program_of(file)
    try:
        _path_of(name)
    except ConfigError as error:
        return error.message, error.hint
    if name == "gpg":
        return None
    if identity is None:
        return (
            tr("It is encrypted for age, and no identity is named to decrypt it with."),
            tr("Name the identity's file: add --identity FILE, or set backup.identity in deploy.yaml."),
        )
    try:
        with identity.open("rb"):
            return None
    except OSError as error:
        return (
            tr("The identity {path} can't be read: {why}.", path=path_text(str(identity)), why=error.strerror),
            tr("Name a file that the checkout's owner can read: --identity FILE"),
        )


def by_hand(file: Path) -> str:
    """The command that decrypts FILE into the folder that it is typed in."""
    way = "age --decrypt -i IDENTITY" if program_of(file) == "age" else "gpg --decrypt"
    return f"{way} {shlex.quote(str(file))} | tar -x"


def _path_of(name: str) -> str:
    """The program NAME, absolute. Raises `ConfigError` where it isn't installed."""
    path = environment.which(name)
    if path is None:
        raise ConfigError(
            tr("Backups are encrypted with {name} (backup.encrypt), and it is not installed.", name=name),
            tr("Install it: apt-get install {package}", package=PACKAGES[name]),
        )
    return path


def _encrypting(name: str, recipients: Sequence[str]) -> list[str]:
    if name == "age":
        return ["--encrypt", *(word for each in recipients for word in ("--recipient", each))]
    # Whose key it is has been decided by its fingerprint in deploy.yaml; what gpg.conf adds would be somebody else's too.
    options = ["--trust-model", "always", "--no-encrypt-to", "--compress-algo", "none", "--output", "-"]
    named = (word for each in recipients for word in ("--recipient", each))
    return ["--batch", "--no-tty", "--quiet", *options, *named, "--encrypt"]


def _decrypting(name: str, identity: Path | None) -> list[str]:
    if name == "age":
        return ["--decrypt", "--identity", str(identity)]
    return ["--batch", "--no-tty", "--quiet", "--output", "-", "--decrypt"]


def _run(
    words: Sequence[str], folder: Path, *, stdin: bytes | int, stdout: int | None = None, timeout: float = LIMIT
) -> Completed:
    surroundings = {name: os.environ[name] for name in ("GNUPGHOME",) if name in os.environ}
    env = environment.clean_environment(surroundings)
    if stdout is None:
        return process.run(words, cwd=folder, env=env, stdin=stdin, timeout=timeout, tied=True)
    return process.run(words, cwd=folder, env=env, stdin=stdin, stdout=stdout, timeout=timeout, tied=True)


def _check(done: Completed, what: str, hint: str) -> None:
    if done.ok:
        return
    said = done.error_text.splitlines()
    told = next(
        (line for line in said if "error" in line.lower() or "failed" in line.lower()), said[-1] if said else ""
    )
    told = _OWN_NAME.sub("", told)
    raise CommandFailed(
        tr("{what}: {told}", what=what, told=told) if told else tr("{what} ({ending}).", what=what, ending=done.ending),
        hint,
    )


def _encrypted(name: str, done: Completed) -> None:
    _check(
        done, tr("{name} could not encrypt", name=name), tr("Correct backup.encrypt in deploy.yaml, or what it says.")
    )


def _decrypted(name: str, done: Completed) -> None:
    hint = (
        tr("Name the identity that it was encrypted for: --identity FILE")
        if name == "age"
        else tr("Its key must be in the keyring of the user that runs this, and unlocked: gpg --list-secret-keys")
    )
    _check(done, tr("{name} could not decrypt", name=name), hint)


class _Thread:
    """The other end of a pipe to a child, at work until it has ended."""

    def __init__(self, descriptor: int, mode: str, work: Callable[[IO[bytes]], object]) -> None:
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(descriptor, mode, work), daemon=True)
        self._thread.start()

    def _run(self, descriptor: int, mode: str, work: Callable[[IO[bytes]], object]) -> None:
        end: IO[bytes]
        with suppress(BrokenPipeError), open(descriptor, mode) as end:
            try:
                work(end)
            except BrokenPipeError:
                return  # the child has ended, and says why
            except Exception as error:  # noqa: BLE001  # raised again by `check`
                self._failed = error
            if mode == "rb":
                while end.read(_BLOCK):  # so that the child ends by itself, and its own word on it is heard
                    pass

    def join(self) -> None:
        self._thread.join()

    def check(self) -> None:
        """Raise what the work raised."""
        if self._failed is not None:
            raise self._failed
