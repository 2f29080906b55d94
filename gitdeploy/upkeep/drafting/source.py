"""Where releases are announced, and which tags are releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitdeploy.messages import tr
from gitdeploy.site.remotes import checkout_git
from gitdeploy.site.site import Site
from gitdeploy.sources.finding import find
from gitdeploy.text import clean
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.versions import glob_of_scheme, matches, newest, read_version, scheme_prefix


def source_lines(site: Site) -> Iterator[Line]:
    """The kind of host, the repository, the scheme of the tags."""
    found = find(site.config.source, checkout_git(site))
    tags = list(site.repository.tag_commits())
    yield Line("source.type", found.kind, tr("the remote {remote} is there", remote=clean(site.config.source.remote)))
    if found.repo and found.kind != "git":
        yield Line("source.repo", found.repo)
    yield Line("source.remote", site.config.source.remote)
    yield from _tags(site, tags, [tag for tag in tags if read_version(tag)])
    if found.kind != "git":
        yield Line(
            "source.token_env",
            "MY_TOKEN",
            question=tr("is the repository private? The variable, never the token itself"),
        )


def _tags(site: Site, tags: list[str], versions: list[str]) -> Iterator[Line]:
    """Which tags are releases: those that are named like the one that is live, where there are two schemes."""
    if not versions:
        if (prefix := scheme_prefix(tags)) is not None:
            example = clean(next(tag for tag in tags if tag.startswith(prefix)), limit=60)
            yield Line(
                "source.tag_prefix", prefix, tr("what stands before the version, as in {example}", example=example)
            )
        return
    live = live_tag(site, versions)
    if (glob := glob_of_scheme(versions, live)) is not None:
        others = next(tag for tag in versions if not matches(tag, glob))
        yield Line(
            "source.tags",
            glob,
            tr("like {live}: {others} and its like count as versions too, by another scheme", live=live, others=others),
        )
    elif all(tag.startswith("v") for tag in versions):
        yield Line(
            "source.tags",
            "v*",
            tr("as here: the newest that was fetched is {newest}", newest=newest(versions) or versions[-1]),
        )


def live_tag(site: Site, versions: Sequence[str]) -> str:
    """The version tag that HEAD is, else the one that it was made after, else the one that was made last."""
    repository = site.repository
    for words in (("--merged=HEAD",), ()):
        done = repository.run(
            "for-each-ref", "--sort=-creatordate", *words, "--format=%(refname:strip=2)", "refs/tags/"
        )
        here = repository.tags_at(head) if words and (head := repository.resolve("HEAD")) else []
        known = set(versions)
        for tag in (*here, *done.stdout.decode("utf-8", "replace").splitlines()):
            if tag in known:
                return tag
    return versions[-1]
