"""What a release's deploy.yaml says about the way to it: `requires` and `stop`, whatever else the file holds."""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.config.document import LARGEST, Scalar, Unreadable
from gitdeploy.config.kinds import Wrong, settings_of
from gitdeploy.config.model import Config
from gitdeploy.config.parsing import read_document
from gitdeploy.messages import joined, tr

_WORDS = (b"stop", b"requires")


class OnTheWay(Struct, frozen=True):
    """`requires`: a range of versions, one of which must have run before (empty: any); `stop`: it may not be skipped.
    `problem`: why the file says neither though it may mean to, in a sentence."""

    requires: str = ""
    stop: bool = False
    problem: str = ""


ANY = OnTheWay()


def read_on_the_way(raw: bytes | None) -> OnTheWay:
    """What RAW, a deploy.yaml (None: there is none), says. Never raises: it may be of any release, by any author, for a later
    gitdeploy, or another program's. Nothing but these two keys is looked at."""
    if raw is None or not any(word in raw for word in _WORDS):
        return ANY
    if len(raw) > LARGEST:
        return OnTheWay(problem=tr("it is larger than {largest} bytes", largest=LARGEST))
    try:
        entries = read_document(raw).entries
    except Unreadable as error:
        return OnTheWay(problem=error.problems[0].message)
    known, values = settings_of(Config), {}
    for name in ("requires", "stop"):
        node = entries[name][1] if name in entries else None
        if node is None or (isinstance(node, Scalar) and node.nothing):
            continue
        try:
            values[name] = known[name].kind.read(node)
        except Wrong as error:
            said = joined(" ", [each.message for each in error.problems[:1]])
            return OnTheWay(problem=tr("`{name}` {said}", name=name, said=said))
    return OnTheWay(**values)
