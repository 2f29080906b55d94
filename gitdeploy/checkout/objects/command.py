"""git as GitPython runs it: by `Repository.run`, and objects by one kept child."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

from gitdeploy.checkout.facts import ObjectFacts
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.objects.library import git
from gitdeploy.checkout.objects.process import GitFailed, Process
from gitdeploy.checkout.program import SHORT, git_version, program
from gitdeploy.checkout.readers import Readers
from gitdeploy.errors import UsageError
from gitdeploy.messages import tr
from gitdeploy.system.completed import Completed

_ENCODING = re.compile(rb"\nencoding ([^\n]+)")


class Command(git.Git):
    """Runs git for an `Objects`."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(os.fspath(repository.root))
        self._repository = repository
        self._readers = Readers()
        self._ahead: dict[str, tuple[ObjectFacts, bytes]] = {}

    def execute(  # noqa: PLR0913  # GitPython's own
        self,
        command: str | Sequence[Any],
        istream: int | IO[bytes] | None = None,
        with_extended_output: bool = False,
        with_exceptions: bool = True,
        as_process: bool = False,
        output_stream: IO[bytes] | None = None,
        stdout_as_string: bool = True,
        kill_after_timeout: float | None = None,
        with_stdout: bool = True,
        universal_newlines: bool = False,
        shell: bool | None = None,
        env: Mapping[str, str] | None = None,
        max_chunk_size: int = 0,
        strip_newline_in_stdout: bool = True,
        **others: Any,
    ) -> Any:
        """As git.Git.execute. Without `kill_after_timeout` a command has a minute. The variables in `env` and in
        `custom_environment` are added to ours. Raises `GitFailed`."""
        if isinstance(command, str) or shell:
            raise UsageError(tr("git is run from a list of words here, never by a shell."))
        words = [str(word) for word in command[1:]]
        extra = {**self._environment, **(env or {})}

        def run(told: bytes | None) -> Completed:
            return self._repository.run(*words, stdin=told, extra=extra, timeout=kill_after_timeout or SHORT)

        if as_process:
            process = Process(run, words, istream, text=universal_newlines)
            return self.AutoInterrupt(cast(Any, process), command)
        done = run(None if istream is None or isinstance(istream, int) else istream.read())
        if with_exceptions and not done.ok:
            raise GitFailed(done, words)
        out: Any = done.stdout if with_stdout else b""
        if output_stream is not None:
            output_stream.write(out)
            out = output_stream
        else:
            out = out.removesuffix(b"\n") if strip_newline_in_stdout else out
            out = os.fsdecode(out) if stdout_as_string else out
        said = os.fsdecode(done.stderr.removesuffix(b"\n"))
        return (done.returncode, out, said) if with_extended_output else out

    @property
    def version_info(self) -> tuple[int, ...]:
        return git_version(program())

    # ---- objects ----

    def read_ahead(self, names: Sequence[str]) -> None:
        """Ask for all of NAMES at once: each is the answer to the next question for it."""
        with self._repository.asking(self._readers):
            read = self._repository.contents(names)
        self._ahead = {}
        for name, found in zip(names, read, strict=True):
            if _checked(name, found[0] if found else None) and found:
                self._ahead[name] = found

    def facts(self, name: str) -> ObjectFacts:
        """What NAME leads to. Raises `ValueError` where there is nothing."""
        if name in self._ahead:
            return self._ahead[name][0]
        with self._repository.asking(self._readers):
            return _checked(name, self._repository.facts([name])[0])

    def get_object_header(self, ref: str | bytes) -> Any:
        facts = self.facts(_name(ref))
        return facts.oid.encode(), facts.kind.encode(), facts.size

    def get_object_data(self, ref: str | bytes) -> Any:
        name = _name(ref)
        found = self._ahead.pop(name, None)
        if found is None:
            with self._repository.asking(self._readers):
                (found,) = self._repository.contents([name])
        facts = _checked(name, found[0] if found else None)
        data = found[1] if found else b""
        if facts.kind == "commit":
            data = _in_utf8(data)
        return facts.oid.encode(), facts.kind.encode(), len(data), data

    def stream_object_data(self, ref: str | bytes) -> Any:
        *header, data = self.get_object_data(ref)
        return *header, io.BytesIO(data)

    def clear_cache(self) -> git.Git:
        self._ahead.clear()
        self._readers.close()
        return self


def _name(ref: object) -> str:
    return ref.decode("ascii") if isinstance(ref, bytes) else str(ref)


def _checked(name: str, facts: ObjectFacts | None) -> ObjectFacts:
    if facts is None:
        raise ValueError(f"{name} could not be resolved")
    return facts


def _in_utf8(commit: bytes) -> bytes:
    """A commit's text without its encoding, which GitPython overlooks: as git shows it."""
    headers, separator, message = commit.partition(b"\n\n")
    found = _ENCODING.search(headers)
    if found is None:
        return commit
    try:
        text = (headers[: found.start()] + headers[found.end() :] + separator + message).decode(found[1].decode())
    except (LookupError, ValueError):
        return commit
    return text.encode()
