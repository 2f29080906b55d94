"""Which release is live, without a child process where nothing has changed since it was last asked."""

from __future__ import annotations

import json
import os

from gitdeploy.site.site import Site, head_of
from gitdeploy.state import Database
from gitdeploy.versions import CodeState, prefix_of

_KEY = "live"


def live_release(site: Site, database: Database) -> CodeState:
    """The live release; cached under the facts that it depends on (HEAD, its branch, tags, settings)."""
    facts = live_facts(site)
    text = database.meta_get(_KEY)
    if text:
        known = json.loads(text)
        if known["facts"] == facts:
            return CodeState.from_dict(known["release"])
    release = site.release_at(head_of(site))
    database.meta_put(_KEY, json.dumps({"facts": facts, "release": release.as_dict()}))
    return release


def live_facts(site: Site) -> list[object]:
    """What the live release depends on: HEAD's text, the files that hold its branch and the tags (by time and size), settings."""
    repository = site.repository
    head = (repository.git_dir / "HEAD").read_text()
    places = [repository.common_dir / "packed-refs", repository.common_dir / "refs" / "tags"]
    if "/" in (prefix := site.config.source.tag_prefix or prefix_of(site.config.source.tags)):
        places.append(repository.common_dir / "refs" / "tags" / prefix.rpartition("/")[0])  # a folder of its own
    if head.startswith("ref: "):
        places.append(repository.common_dir / head[5:].strip())
    found: list[object] = [head, site.config.source.tags, site.config.source.tag_prefix, site.told_version()]
    for place in places:
        try:
            facts = os.stat(place)
            found.append([facts.st_mtime_ns, facts.st_size, facts.st_ino])
        except OSError:
            found.append(None)
    return found
