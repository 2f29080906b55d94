"""Tags and versions: which tags can be releases, what version they name, which one is newest."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from packaging.version import InvalidVersion, Version

from gitdeploy.messages import tr

LONGEST = 128
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", re.ASCII)
_BEFORE = re.compile(r"(.*?[^0-9.vV]|[vV][^0-9]*?[^0-9vV])[vV]?[0-9]+\.[0-9]", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_PSEUDO_REFS = frozenset({"HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"})


def valid_tag(tag: str) -> str | None:
    """None for a tag that may be given to git and to a host's API, else why not, in a sentence.

    Stricter than git-check-ref-format(1): ASCII letters, digits and `. _ / + -` only, so that it can be no option, no
    path out of anything, and no trick of invisible characters.
    """
    if not tag:
        return tr("it is empty.")
    if len(tag) > LONGEST:
        return tr("it is longer than {longest} characters.", longest=LONGEST)
    if not _TAG.fullmatch(tag):
        return tr("a tag begins with a letter or digit and holds only ASCII letters, digits and . _ / + -")
    if ".." in tag or "//" in tag or "/." in tag or tag.endswith(("/", ".", ".lock")) or ".lock/" in tag:
        return "git allows no such name."
    if tag in _PSEUDO_REFS or tag.startswith("refs/"):
        return "git itself uses that name."
    if _OBJECT_ID.fullmatch(tag):
        return tr("it looks like an object id.")
    return None


def read_version(tag: str, prefix: str = "") -> Version | None:
    """The version that TAG names, read by packaging (PEP 440) after PREFIX and one `v`; None where it names none.

    The raw text is checked first, since packaging strips white space and takes other scripts' digits. Never raises.
    """
    text = tag
    if prefix:
        if not text.startswith(prefix):
            return None
        text = text.removeprefix(prefix)
    elif "/" in text:
        # `release/v1.2.5` is only a release where the prefix is configured, or left to a glob with a folder in it.
        return None
    if len(text) > LONGEST or not re.fullmatch(r"[vV]?[0-9][A-Za-z0-9.+!_-]*", text, re.ASCII):
        return None
    try:
        return Version(text)
    except (InvalidVersion, ValueError):
        return None


def prefix_of(glob: str) -> str:
    """The folder that a glob such as `release/v*` demands: `release/`. Empty where it demands none."""
    folder, slash, _ = glob.rpartition("/")
    return "" if not slash or any(c in folder for c in "*?[") else folder + slash


def literal_start(glob: str, prefix: str = "") -> str:
    """What every tag that GLOB and PREFIX admit begins with: hosts that can filter are asked for no others."""
    start = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    return max(start, prefix, key=len)


def version_text(tag: str, prefix: str = "") -> str | None:
    """The version of TAG as it is shown, without a leading `v`: `1.2.9.1`; None where TAG names none."""
    if read_version(tag, prefix) is None:
        return None
    text = tag.removeprefix(prefix)
    return text[1:] if text[:1] in "vV" else text


def matches(tag: str, glob: str) -> bool:
    """Whether TAG is one of those that `source.tags` admits."""
    return fnmatch.fnmatchcase(tag, glob)


def admitted(version: Version, channel: str) -> bool:
    """Whether a channel takes a version by itself: stable takes no prereleases; epochs (`1!2.0`) and local versions
    (`v3.3.12+docs`: the same release built or documented anew) are never chosen."""
    return version.epoch == 0 and version.local is None and (channel != "stable" or not version.is_prerelease)


def scheme_prefix(tags: Iterable[str]) -> str | None:
    """What stands before the version in most of TAGS (`release_` in `release_3.34.9`); None where nothing does."""
    found = Counter(match[1] for tag in tags if (match := _BEFORE.match(tag)) and read_version(tag, match[1]))
    return found.most_common(1)[0][0] if found else None


def scheme(tag: str) -> tuple[str, bool] | None:
    """How TAG names its version: (what stands before it, whether it is a date such as 2018.09); None for no version."""
    version = read_version(tag)
    if version is None:
        return None
    calendar = 1990 <= version.major < 2200 or version.major >= 1990_00_00
    return (tag[0] if tag[0] in "vV" else "", calendar)


def glob_of_scheme(tags: Iterable[str], newest_tag: str) -> str | None:
    """A pattern for the tags that are named like NEWEST_TAG and for none that are named otherwise; None where all are
    named alike, or no pattern can tell them apart."""
    wanted = scheme(newest_tag)
    named = {tag: found for tag in tags if (found := scheme(tag)) is not None}
    others = [tag for tag, found in named.items() if found != wanted]
    mine = [tag for tag, found in named.items() if found == wanted]
    if wanted is None or not others:
        return None
    start = wanted[0]
    globs = [f"{start}*" if start else "[0-9]*"]
    globs += [f"{start}[12][0-9][0-9][0-9]*"] if wanted[1] else [f"{start}[0-9].*", f"{start}[0-9][0-9].*"]
    fitting = [g for g in globs if matches(newest_tag, g) and not any(matches(tag, g) for tag in others)]
    return max(fitting, key=lambda g: sum(matches(tag, g) for tag in mine), default=None)


def newest(tags: Iterable[str], *, glob: str = "*", prefix: str = "", channel: str = "stable") -> str | None:
    """The tag of the highest version among TAGS within glob, prefix and channel."""
    found = [
        (version, tag)
        for tag in tags
        if matches(tag, glob)
        and valid_tag(tag) is None
        and (version := read_version(tag, prefix)) is not None
        and admitted(version, channel)
    ]
    return max(found, default=(None, None), key=lambda pair: order(pair[1], prefix))[1]


def order(tag: str | None, prefix: str = "") -> tuple[Version, str]:
    """A sort key: by version, equal ones (`v1.0`, `V1.0.0`) always in the same order, by their text."""
    version = read_version(tag or "", prefix)
    return (version if version is not None else Version("0.dev0"), tag or "")


def satisfies(version: str, wanted: str, *, unreadable: bool = False) -> bool:
    """Whether VERSION is what WANTED (`>=2,<3`; empty: any) asks for; UNREADABLE where one of them can't be read."""
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except ValueError:
        return unreadable


class CodeState(Struct, frozen=True):
    """A state of the code in three words: version and tag where known, commit; that is empty as long as nobody
    knows which release is meant."""

    version: str | None
    tag: str | None
    commit: str

    def as_dict(self) -> dict[str, Any]:
        return {"version": self.version, "tag": self.tag, "commit": self.commit}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CodeState:
        return cls(data.get("version"), data.get("tag"), data["commit"])

    @property
    def name(self) -> str:
        """`v1.2.9`, or the short commit where there is no tag; empty where nothing is known."""
        return self.tag or (tr("version {version}", version=self.version) if self.version else self.commit[:8])

    @property
    def full(self) -> str:
        """`v1.2.9 (8d1f2c3)`."""
        return f"{self.name} ({self.commit[:7]})" if self.tag or self.version else self.commit[:7]
