"""A tag that a remote doesn't have: where it is instead, or what it is."""

from __future__ import annotations

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout import remote_names
from gitdeploy.checkout.remote_access import Credentials
from gitdeploy.errors import GitDeployError, NotFound, SourceError
from gitdeploy.messages import tr
from gitdeploy.site.remotes import checkout_git
from gitdeploy.site.site import Site
from gitdeploy.text import clean


def missing_tag(
    site: Site, remote: str, credentials: Credentials | None, tag: str, error: SourceError | NotFound
) -> SourceError | NotFound:
    """ERROR of fetching TAG from REMOTE with a better hint, where TAG is missing there: a branch is not a release, and another
    remote may have it."""
    if not isinstance(error, (NotFound, remotes.NoTags)):
        return error
    try:
        is_branch = remotes.has_branch(site.repository, remote, tag, credentials)
    except GitDeployError:
        is_branch = False
    if is_branch:
        name = clean(tag, limit=80)
        return NotFound(
            tr(
                "{name} is a branch of {shown_remote}, and branches aren't followed.",
                name=name,
                shown_remote=remote_names.shown_remote(remote),
            ),
            tr("A release is a tag. They are listed by: gitdeploy releases"),
        )
    having = [name for name, tags in checkout_git(site).remotes_with_tags(remote).items() if tag in tags]
    if not having:
        return error
    return type(error)(
        error.message,
        tr("The remote {having} has it: set source.remote: {having} in deploy.yaml.", having=clean(having[0])),
        details=error.details,
    )
