#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: pause
short_description: Pause or resume an app's deployments with gitdeploy
version_added: "0.1.0"
description:
  - Pauses the deployments of the app in O(dir), or resumes them. While they are paused, every upgrade, restore and rollback
    on the host is refused with the reason.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  state:
    description: Whether deployments are paused.
    type: str
    choices: [paused, resumed]
    default: paused
  reason:
    description: Why. It is shown to anyone who is refused.
    type: str
    default: ""
  force:
    description: Replace a pause of somebody else.
    type: bool
    default: false
extends_documentation_fragment:
  - gitdeploy.fleet.host
attributes:
  check_mode:
    support: full
    description: Says whether it would change anything.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: Pause deployments
  gitdeploy.fleet.pause:
    dir: /srv/shop
    reason: month-end closing, ask Li

- name: Resume them
  gitdeploy.fleet.pause:
    dir: /srv/shop
    state: resumed
"""

RETURN = r"""
paused:
  description: Who paused deployments, since when and why. Null where they are not paused.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gitdeploy.fleet.plugins.module_utils.host import ARGUMENTS, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    arguments: dict[str, Any] = {
        "state": {"type": "str", "choices": ["paused", "resumed"], "default": "paused"},
        "reason": {"type": "str", "default": ""},
        "force": {"type": "bool", "default": False},
    }
    arguments.update(ARGUMENTS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    host, params = Host(module), module.params
    held = host.ask("status")["held"]
    wanted = params["state"] == "paused"
    same = held is not None and held["message"] == params["reason"] and not params["force"]
    changed = not same if wanted else held is not None
    if changed and not module.check_mode:
        words = ["lock", "--message=%s" % params["reason"]] if wanted else ["unlock"]
        host.ask(*words, *(["--force"] if wanted and params["force"] else []))
        held = host.ask("status")["held"]
    module.exit_json(changed=changed, paused=held)


if __name__ == "__main__":
    main()
