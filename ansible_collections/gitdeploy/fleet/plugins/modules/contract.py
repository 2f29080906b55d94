#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: contract
short_description: Run the second half of an app's migrations with gitdeploy
version_added: "0.1.0"
description:
  - Runs C(hooks.migrate-after) of the live release of the app in O(dir), where it waits. Its data are backed up first.
  - Where several hosts share a database, run it on the one that migrated, once all of them run the release.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  later_too:
    description: Also where deploy.yaml leaves it to a person (C(hooks.contract) is C(later)).
    type: bool
    default: false
extends_documentation_fragment:
  - gitdeploy.fleet.host
  - gitdeploy.fleet.runs
attributes:
  check_mode:
    support: full
    description: Says whether it waits.
  diff_mode:
    support: none
    description: There is nothing to compare.
seealso:
  - module: gitdeploy.fleet.release
"""

EXAMPLES = r"""
- name: All hosts run the release now
  gitdeploy.fleet.contract:
    dir: /srv/shop
"""

RETURN = r"""
deployment:
  description: As C(gitdeploy contract --json) prints it, with the end of its log.
  returned: when it has run
  type: dict
ended:
  description: Whether it has ended. False only with O(follow).
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gitdeploy.fleet.plugins.module_utils.host import ARGUMENTS, RUNS, Host, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def waits(host: Host, later_too: bool) -> bool:
    """Whether a second half waits that is to run now."""
    if not host.ask("status").get("second_half"):
        return False
    settings = {each["key"]: each["value"] for each in host.ask("config", "show")}
    return later_too or settings.get("hooks.contract") != "later"


def main() -> None:
    arguments: dict[str, Any] = {"later_too": {"type": "bool", "default": False}}
    arguments.update(ARGUMENTS)
    arguments.update(RUNS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, required_by={"follow": ["request"]})
    host, params = Host(module), module.params
    begun = params["request"] and host.ask("log", "--request", params["request"])["state"] != "unknown"
    if not begun and not waits(host, params["later_too"]):
        module.exit_json(changed=False, ended=True)
    if module.check_mode:
        module.exit_json(changed=True, ended=True)
    run = host.run("contract", "--wait=%d" % params["lock_wait"])
    document = run.pop("document", None)
    if document is not None:
        run.update(deployment=shortened(document))
    module.exit_json(changed=document is not None and document.get("status") == "succeeded", **run)


if __name__ == "__main__":
    main()
