"""Signatures of tags and commits, checked by git itself before anything of a release is executed or checked out."""

from __future__ import annotations

import os
from pathlib import Path

from gitdeploy.checkout.git import INCOMING_REFS, Repository
from gitdeploy.errors import ConfigError, PolicyError
from gitdeploy.system import environment
from gitdeploy.system.durable import is_file
from gitdeploy.text import clean, path_text


def verify(repository: Repository, tag: str, commit: str, kind: str, signers: Path | None) -> None:
    """The tag (or, of a lightweight one, the commit) has a good signature of KIND (`ssh` or `gpg`).

    Raises `PolicyError` for an unsigned tag, an unknown, expired or wrong key, or a signature over another content.
    """
    options = [f"gpg.format={'ssh' if kind == 'ssh' else 'openpgp'}", *_programs(kind)]
    if kind == "ssh":
        if signers is None or not is_file(signers):
            raise ConfigError(
                f"git.verify is ssh, but there is no {path_text(str(signers or 'git.allowed_signers'))}.",
                "List the keys that may sign releases there (ssh-keygen(1), ALLOWED SIGNERS).",
            )
        options.append(f"gpg.ssh.allowedSignersFile={signers}")
    name = f"{INCOMING_REFS}{tag}" if repository.refs(f"{INCOMING_REFS}{tag}") else f"refs/tags/{tag}"
    object_id = repository.output("rev-parse", "--verify", name).decode().strip()
    words = ("verify-tag", object_id) if object_id != commit else ("verify-commit", commit)
    if object_id != commit:
        _same_name(repository, object_id, tag)
    extra = {
        "HOME": os.environ.get("HOME", "/nonexistent"),
        **{k: os.environ[k] for k in ("GNUPGHOME",) if k in os.environ},
    }
    done = repository.run(*words, options=options, extra=extra)
    if not done.ok:
        said = clean(done.error_text, limit=300) or "it is not signed"
        raise PolicyError(
            f"The signature of {tag} can't be trusted: {said}",
            "Only releases signed by a known key are installed (git.verify in deploy.yaml).",
        )


def _programs(kind: str) -> list[str]:
    """The programs that check, named absolutely: one that the repository's own settings name could say yes to all."""
    package, name = ("openssh-client", "ssh-keygen") if kind == "ssh" else ("gnupg", "gpg")
    program = environment.which(name)
    if program is None:
        raise ConfigError(
            f"git.verify is {kind}, but {name} is not installed, so no signature can be checked.",
            f"Install it: apt-get install {package}",
        )
    names = ("gpg.ssh.program",) if kind == "ssh" else ("gpg.program", "gpg.openpgp.program")
    return [f"{setting}={program}" for setting in names]


def _same_name(repository: Repository, object_id: str, tag: str) -> None:
    """A signed tag object must be this tag's: one of another release at this name would be an old release passed off."""
    text = repository.output("cat-file", "tag", object_id).decode("utf-8", "replace")
    named = next((line[4:] for line in text.splitlines() if line.startswith("tag ")), "")
    if named != tag:
        raise PolicyError(
            f"Tag {tag} holds a tag object made for `{clean(named, limit=80)}`.", "It is not what its name says."
        )
