#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Make or delete a backup of an app with gitdeploy
version_added: "0.1.0"
description:
  - Makes a backup of the app in O(dir) now, with code, venv, kept files and database dumps, or deletes one.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  state:
    description:
      - V(present) makes a backup. With O(label), only where there is none with that label.
      - V(absent) deletes O(backup), or every backup with O(label).
    type: str
    choices: [present, absent]
    default: present
  label:
    description: A name. A labelled backup is never pruned.
    type: str
    default: ""
  backup:
    description: The id of the backup to delete.
    type: str
  lock_wait:
    description: Seconds to wait for another deployment on the host to end.
    type: int
    default: 0
extends_documentation_fragment:
  - gitdeploy.fleet.host
attributes:
  check_mode:
    support: full
    description: Says whether a backup would be made or deleted.
  diff_mode:
    support: none
    description: There is nothing to compare.
seealso:
  - module: gitdeploy.fleet.restore
"""

EXAMPLES = r"""
- name: Have a backup from before the audit
  gitdeploy.fleet.backup:
    dir: /srv/shop
    label: before the audit

- name: Delete it
  gitdeploy.fleet.backup:
    dir: /srv/shop
    label: before the audit
    state: absent
"""

RETURN = r"""
backups:
  description: The backups that were made, found or deleted, as C(gitdeploy backups --json) prints them.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gitdeploy.fleet.plugins.module_utils.host import ARGUMENTS, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    arguments: dict[str, Any] = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "label": {"type": "str", "default": ""},
        "backup": {"type": "str"},
        "lock_wait": {"type": "int", "default": 0},
    }
    arguments.update(ARGUMENTS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    host, params = Host(module), module.params
    label, named = params["label"], params["backup"]
    there = host.ask("backups")
    if params["state"] == "present":
        if named:
            module.fail_json(msg="`backup` names one to delete; a new one gets its id by itself. To name it: `label`.")
        found = [each for each in there if label and each["label"] == label]
        if found or module.check_mode:
            module.exit_json(changed=not found, backups=found)
        made = host.ask("backup", "--label=%s" % label, "--wait=%d" % params["lock_wait"])
        module.exit_json(changed=True, backups=[made])
    if not named and not label:
        module.fail_json(msg="Name the backup to delete, by `backup` or by `label`.")
    gone = [each for each in there if (each["id"] == named if named else each["label"] == label)]
    for each in gone:
        if not module.check_mode:
            host.ask("backups", "delete", each["id"], "--yes")
    module.exit_json(changed=bool(gone), backups=gone)


if __name__ == "__main__":
    main()
