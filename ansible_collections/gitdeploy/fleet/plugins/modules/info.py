#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: info
short_description: Tell what an app is running and what is going on
version_added: "0.1.0"
description:
  - Asks gitdeploy about the app in O(dir). Nothing is changed.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  gather:
    description:
      - What else to return beside RV(status). V(health) asks the service and the health check once. V(packages) lists the
        venv's distributions. V(settings) lists the settings in effect, secrets masked.
    type: list
    elements: str
    choices: [health, packages, settings, backups, deployments]
    default: [health]
  requests:
    description: Runs to look for in the host's journal, by the digits that they were started with.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gitdeploy.fleet.host
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: It never changes anything.
"""

EXAMPLES = r"""
- name: What runs here?
  gitdeploy.fleet.info:
    dir: /srv/shop
    gather: [health, packages]
  register: shop

- name: Only the servers that are behind
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }} still runs {{ shop.version }}"
  when: shop.version != 'v1.4.0'
"""

RETURN = r"""
version:
  description: What is live, as its tag, version or commit.
  returned: success
  type: str
  sample: v1.4.0
status:
  description: As C(gitdeploy status --json) prints it. With V(health) in O(gather), C(health) is null or says what is wrong.
  returned: success
  type: dict
packages:
  description: Name to version of what is installed in the venv.
  returned: with V(packages) in O(gather)
  type: dict
settings:
  description: Key to value of each setting in effect.
  returned: with V(settings) in O(gather)
  type: dict
backups:
  description: As C(gitdeploy backups --json) prints them.
  returned: with V(backups) in O(gather)
  type: list
  elements: dict
deployments:
  description: As C(gitdeploy log --json) prints them.
  returned: with V(deployments) in O(gather)
  type: list
  elements: dict
requests:
  description: Digits to what C(gitdeploy log --request --json) prints.
  returned: with O(requests)
  type: dict
"""

import glob
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gitdeploy.fleet.plugins.module_utils.host import ARGUMENTS, Host, release_of, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def packages(venv: str) -> dict[str, str]:
    """Name -> version of the distributions in VENV, read from the names of their folders."""
    found = {}
    for folder in glob.glob(os.path.join(glob.escape(venv), "lib*", "python*", "site-packages", "*.dist-info")):
        name, dash, version = os.path.basename(folder)[: -len(".dist-info")].partition("-")
        if dash:
            found[name.lower().replace("_", "-").replace(".", "-")] = version
    return found


def run(host: Host, request: str) -> dict[str, Any]:
    found: dict[str, Any] = host.ask("log", "--request", request)
    return dict(found, document=shortened(found["document"])) if found.get("document") else found


def main() -> None:
    arguments: dict[str, Any] = {
        "gather": {
            "type": "list",
            "elements": "str",
            "choices": ["health", "packages", "settings", "backups", "deployments"],
            "default": ["health"],
        },
        "requests": {"type": "list", "elements": "str", "default": []},
    }
    arguments.update(ARGUMENTS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    host, wanted = Host(module), module.params["gather"]
    status = host.ask("status", *(["--health"] if "health" in wanted else []))
    found: dict[str, Any] = {"changed": False, "status": status, "version": release_of(status)}
    if "packages" in wanted:
        venv = (status.get("venv") or {}).get("path")
        found["packages"] = packages(venv) if venv else {}
    if "settings" in wanted:
        found["settings"] = {each["key"]: each["value"] for each in host.ask("config", "show")}
    if "backups" in wanted:
        found["backups"] = host.ask("backups")
    if "deployments" in wanted:
        found["deployments"] = host.ask("log")
    if module.params["requests"]:
        found["requests"] = {each: run(host, each) for each in module.params["requests"]}
    module.exit_json(**found)


if __name__ == "__main__":
    main()
