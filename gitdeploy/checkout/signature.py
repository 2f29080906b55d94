"""Signatures of tags, checked by git and by the program that made them, before anything of a release is read or run.

A signature counts for one name: only an annotated tag has that name in what is signed. One of a commit says nothing of which
release it is, so a lightweight tag is never a signed one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.checkout.git import INCOMING_REFS, Repository
from gitdeploy.errors import ConfigError, PolicyError
from gitdeploy.messages import tr
from gitdeploy.system import environment, process
from gitdeploy.system.completed import Completed
from gitdeploy.system.durable import is_file
from gitdeploy.text import clean, path_text

_SSH_SIGNATURE = b"-----BEGIN SSH SIGNATURE-----"
_TAGGER = re.compile(rb"^tagger .* ([0-9]{1,12}) [+-][0-9]{4}$", re.MULTILINE)
_LIMIT = 60.0  # seconds for one check


class Signed(Struct, frozen=True):
    """A good signature: when its tag says it was made (seconds since 1970), and by which keys (OpenPGP fingerprints)."""

    made: int
    keys: tuple[str, ...] = ()


def verify(repository: Repository, tag: str, kind: str, signers: Path | None) -> Signed:
    """The tag is annotated, of that name, and has a good signature of KIND (`ssh` or `gpg`) by a key that is valid now.

    SIGNERS: the file of ssh keys that count. Raises `PolicyError` for an unsigned tag, an unknown, expired or wrong key, or a
    signature over another content.
    """
    name = f"{INCOMING_REFS}{tag}" if repository.refs(f"{INCOMING_REFS}{tag}") else f"refs/tags/{tag}"
    (facts,) = repository.facts([name])
    if facts is None or facts.kind != "tag":
        raise PolicyError(
            tr(
                "Tag {tag} is not signed: it is a lightweight tag, and a signature of its commit says "
                "nothing of its name.",
                tag=tag,
            ),
            tr("Ask its author to sign the release: git tag -s"),
        )
    raw = repository.output("cat-file", "tag", facts.oid)
    _same_name(raw, tag)
    program = _program(kind)
    done = repository.run(
        "verify-tag", "--raw", facts.oid, options=_options(kind, program, signers), extra=_surroundings()
    )
    if not done.ok:
        raise _untrusted(tag, done.error_text or tr("it is not signed"))
    keys = () if kind == "ssh" else _good_keys(tag, done)
    if kind == "ssh" and signers is not None:
        _valid_now(repository, tag, raw, program, signers)
    found = _TAGGER.search(raw.partition(b"\n\n")[0])
    return Signed(int(found[1]) if found else 0, keys)


def made_at(repository: Repository, tag: str) -> int:
    """When the annotated tag TAG, which is here, says it was made (seconds since 1970); 0 where it doesn't."""
    (facts,) = repository.facts([f"refs/tags/{tag}"])
    if facts is None or facts.kind != "tag":
        return 0
    found = _TAGGER.search(repository.output("cat-file", "tag", facts.oid).partition(b"\n\n")[0])
    return int(found[1]) if found else 0


def _options(kind: str, program: str, signers: Path | None) -> list[str]:
    options = [f"gpg.format={'ssh' if kind == 'ssh' else 'openpgp'}"]
    if kind != "ssh":
        return [*options, f"gpg.program={program}", f"gpg.openpgp.program={program}"]
    if signers is None or not is_file(signers):
        raise ConfigError(
            tr(
                "git.verify is ssh, but there is no {signers}.",
                signers=path_text(str(signers or "git.allowed_signers")),
            ),
            tr("List the keys that may sign releases there (ssh-keygen(1), ALLOWED SIGNERS)."),
        )
    return [*options, f"gpg.ssh.program={program}", f"gpg.ssh.allowedSignersFile={signers}"]


def _program(kind: str) -> str:
    """The program that checks, named absolutely: one that the repository's own settings name could say yes to all."""
    package, name = ("openssh-client", "ssh-keygen") if kind == "ssh" else ("gnupg", "gpg")
    program = environment.which(name)
    if program is None:
        raise ConfigError(
            tr(
                "git.verify is {kind}, but {name} is not installed, so no signature can be checked.",
                kind=kind,
                name=name,
            ),
            tr("Install it: apt-get install {package}", package=package),
        )
    return program


def _surroundings() -> dict[str, str]:
    return {
        "HOME": os.environ.get("HOME", "/nonexistent"),
        **{name: os.environ[name] for name in ("GNUPGHOME",) if name in os.environ},
    }


def _same_name(raw: bytes, tag: str) -> None:
    """A signed tag object must be this tag's: one of another release at this name would be an old release passed off."""
    header = raw.partition(b"\n\n")[0].decode("utf-8", "replace")
    named = next((line[4:] for line in header.splitlines() if line.startswith("tag ")), "")
    if named != tag:
        raise PolicyError(
            tr("Tag {tag} holds a tag object made for `{named}`.", tag=tag, named=clean(named, limit=80)),
            tr("It is not what its name says."),
        )


def _valid_now(repository: Repository, tag: str, raw: bytes, program: str, signers: Path) -> None:
    """The key is one whose time isn't over now: git asks for the time that the tag itself names, which whoever stole an old
    key can choose."""
    start = raw.rfind(b"\n" + _SSH_SIGNATURE) + 1
    if not start:
        raise _untrusted(tag, tr("it has no ssh signature"))
    with repository.scratch() as folder:
        signature = folder / "signature"
        signature.write_bytes(raw[start:])
        asked = (program, "-Y", "find-principals", "-f", str(signers), "-s", str(signature))
        found = _run(asked, folder)
        for principal in found.stdout.decode("utf-8", "replace").splitlines() if found.ok else []:
            words = ("-Y", "verify", "-n", "git", "-f", str(signers), "-I", principal.strip(), "-s", str(signature))
            if _run((program, *words), folder, raw[:start]).ok:
                return
    raise _untrusted(
        tag, tr("the key that made it isn't valid now (valid-before and valid-after in the signers' file)")
    )


def _run(words: Sequence[str], folder: Path, stdin: bytes | None = None) -> Completed:
    surroundings = {**environment.clean_environment(_surroundings())}
    return process.run(list(words), cwd=folder, env=surroundings, stdin=stdin, timeout=_LIMIT)


def _good_keys(tag: str, done: Completed) -> tuple[str, ...]:
    """Fingerprints of the key that signed and of the one that it belongs to, by what gpg says of it now."""
    lines = [line.split() for line in done.stderr.decode("utf-8", "replace").splitlines()]
    said = {words[1]: words[2:] for words in lines if len(words) > 1 and words[0] == "[GNUPG:]"}
    valid = said.get("VALIDSIG", [])
    if "GOODSIG" not in said or not valid:
        expired = any(word in said for word in ("EXPKEYSIG", "KEYEXPIRED", "EXPSIG"))
        why = tr("the key or the signature has expired") if expired else tr("gpg doesn't call it good")
        raise _untrusted(tag, tr("the key was revoked") if "REVKEYSIG" in said else why)
    return tuple(dict.fromkeys((valid[0].upper(), valid[-1].upper())))


def _untrusted(tag: str, why: str) -> PolicyError:
    return PolicyError(
        tr("The signature of {tag} can't be trusted: {why}", tag=tag, why=clean(why, limit=300)),
        tr("Only releases signed by a known key are installed (git.verify in deploy.yaml)."),
    )
