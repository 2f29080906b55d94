"""Many servers: a rollout of one release to all of them, reached by Ansible.

On each host gitdeploy itself does what it does on a single one; the collection `gitdeploy.fleet` starts it there and reads
its JSON. Here is only what no host can know: the order, when to go on, when to stop, and who goes back.

settings   fleet.yaml          ansible    one playbook at a time, by ansible-runner (the only place that knows it)
batches    the order           survey     which hosts there are, what each runs, what differs between them
journal    what was decided    settled    how the hosts stand, by their own journals
session    one command         rollout    upgrade, top to bottom        back    a rollback
"""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.fleet import ansible as ansible
    from gitdeploy.fleet import back as back
    from gitdeploy.fleet import journal as journal
    from gitdeploy.fleet import rollout as rollout
    from gitdeploy.fleet import session as session
    from gitdeploy.fleet import settings as settings
    from gitdeploy.fleet import survey as survey
else:
    __getattr__ = rooms(__name__, frozenset(("ansible", "back", "journal", "rollout", "session", "settings", "survey")))
