#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Bring back an earlier state of an app with gitdeploy
version_added: "0.1.0"
description:
  - Restores a backup of the app in O(dir), or rolls back its last deployment.
  - It runs in a session of its own on the host. It goes on when the connection is lost, and a second call with the same
    O(request) finds it.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  backup:
    description: The backup, by its id, a unique prefix of it, or V(latest). Without it the last deployment is rolled back.
    type: str
  only_from:
    description:
      - Do nothing unless this release (its tag) is live. Without O(backup), it then goes back to what ran before the
        upgrade to that release. This makes a rollback idempotent.
    type: str
  with_data:
    description: Bring back database dumps, C(backup.include) and the content of keep paths too.
    type: bool
    default: false
  restart:
    description: Restart the service.
    type: bool
    default: true
  hooks:
    description: Run the app's hooks.
    type: bool
    default: true
extends_documentation_fragment:
  - gitdeploy.fleet.host
  - gitdeploy.fleet.runs
attributes:
  check_mode:
    support: full
    description: Shows what would be brought back.
  diff_mode:
    support: none
    description: See C(plan) in check mode.
seealso:
  - module: gitdeploy.fleet.backup
  - module: gitdeploy.fleet.release
"""

EXAMPLES = r"""
- name: Roll back the release, where it is live
  gitdeploy.fleet.restore:
    dir: /srv/shop
    only_from: v1.4.0

- name: Restore a backup with its data
  gitdeploy.fleet.restore:
    dir: /srv/shop
    backup: 20261123-101500-v1.3.2
    with_data: true
"""

RETURN = r"""
version_before:
  description: What was live before.
  returned: success
  type: str
  sample: v1.4.0
version:
  description: What is live now.
  returned: success
  type: str
  sample: v1.3.2
deployment:
  description: The deployment as C(gitdeploy restore --json) prints it, with the end of its log.
  returned: when it has ended
  type: dict
plan:
  description: What would be brought back.
  returned: in check mode
  type: dict
request:
  description: By what the run is found again.
  returned: outside check mode, when something was to be done
  type: str
ended:
  description: Whether it has ended. False only with O(follow).
  returned: always
  type: bool
step:
  description: The step that it is at, or that was its last.
  returned: outside check mode, when something was to be done
  type: str
exit_code:
  description: gitdeploy's exit code.
  returned: failure
  type: int
kind:
  description: A stable word for what went wrong.
  returned: failure
  type: str
hint:
  description: What to do about it.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gitdeploy.fleet.plugins.module_utils.host import ARGUMENTS, RUNS, Host, release_of, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


EVERY = "1000000"  # deployments: the upgrade may lie behind many backups, prepares and looks


def undone(host: Host, tag: str | None) -> str:
    """The backup that the newest successful upgrade (to TAG) made, by the host's own journal: what ran before it."""
    for each in host.ask("log", "--limit", EVERY):
        upgraded = each["action"] == "upgrade" and each["status"] == "succeeded" and each["backup"]
        if upgraded and tag in (None, each["to"]["tag"], each["to"]["version"]):
            return str(each["backup"])
    host.module.fail_json(
        msg="The journal has no upgrade to %s to roll back." % (tag or "anything"), exit_code=2, kind="not_found"
    )
    raise AssertionError


def main() -> None:
    arguments: dict[str, Any] = {
        "backup": {"type": "str"},
        "only_from": {"type": "str"},
        "with_data": {"type": "bool", "default": False},
        "restart": {"type": "bool", "default": True},
        "hooks": {"type": "bool", "default": True},
    }
    arguments.update(ARGUMENTS)
    arguments.update(RUNS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, required_by={"follow": ["request"]})
    host, params = Host(module), module.params
    words = ["--no-%s" % name for name in ("restart", "hooks") if not params[name]]
    if params["with_data"]:
        words.append("--with-data")
    begun = params["request"] and host.ask("log", "--request", params["request"])["state"] != "unknown"
    backup = params["backup"]
    if not begun and params["only_from"]:
        status = host.ask("status")
        if params["only_from"] not in (status["tag"], status["version"]):
            live = release_of(status)
            module.exit_json(changed=False, ended=True, version_before=live, version=live)
        backup = backup or undone(host, params["only_from"])
    if module.check_mode:
        code, plan = host.look("restore", backup or undone(host, None), "--dry-run", *words)
        if code != 0:
            host.fail(code, plan)
        before, after = release_of(plan["from"]), release_of(plan["to"])
        module.exit_json(changed=True, ended=True, plan=plan, version_before=before, version=after)
    words += ["--yes", "--wait=%d" % params["lock_wait"]]
    run = host.run(*(["restore", backup] if backup else ["rollback"]), *words)
    document = run.pop("document", None)
    result = dict(run, changed=False)
    if document is not None:
        result.update(
            changed=document.get("status") == "succeeded",
            version_before=release_of(document.get("from")),
            version=release_of(document.get("to")),
            deployment=shortened(document),
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
