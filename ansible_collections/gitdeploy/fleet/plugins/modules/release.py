#!/usr/bin/python

# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Bring an app to a release with gitdeploy
version_added: "0.1.0"
description:
  - Has the app in O(dir) run the release O(tag), or has everything of that upgrade prepared.
  - The upgrade is gitdeploy's own, with backup, health check and automatic rollback. Where it fails, the host is on its
    old release again when the module fails.
  - The upgrade runs in a session of its own on the host. It goes on when the connection is lost, and a second call with
    the same O(request) finds it.
author:
  - The gitdeploy authors (@gitdeploy)
options:
  tag:
    description: The tag of the release.
    type: str
    required: true
  state:
    description:
      - V(present) has the release live.
      - V(prepared) fetches, checks and builds all of the upgrade ahead of time. Nothing live is touched.
      - V(rehearsed) tries the release on a copy of the app and scratch copies of its databases. It fails where the release
        does. Nothing live is touched.
    type: str
    choices: [present, prepared, rehearsed]
    default: present
  migrate:
    description:
      - V(auto) dumps and migrates the databases of C(backup.databases), as an upgrade on a single host does.
      - V(first) leaves the second half of the migrations (C(hooks.migrate-after)) to M(gitdeploy.fleet.contract), once other
        hosts that share the database run the release too.
      - V(never) is for all hosts but one that share a database. The upgrade is refused until the release's migrations are
        recorded there.
    type: str
    choices: [auto, first, never]
    default: auto
  local_changes:
    description: What becomes of tracked files that were changed by hand. Default is C(git.local_changes) of deploy.yaml.
    type: str
    choices: [discard, merge]
  allow_downgrade:
    description: Install an older release than the live one.
    type: bool
    default: false
  accept_moved_tag:
    description: Take a tag's new commit.
    type: bool
    default: false
  accept_config:
    description: Pinned settings that the release may change.
    type: list
    elements: str
    default: []
  unhealthy:
    description: Upgrade though the app is down or its health check fails now.
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
    description: Shows what the upgrade would do, as C(gitdeploy plan) does. The release's objects are fetched.
  diff_mode:
    support: full
    description: The release, its packages and its files.
seealso:
  - module: gitdeploy.fleet.restore
  - module: gitdeploy.fleet.info
"""

EXAMPLES = r"""
- name: Prepare the release in the afternoon
  gitdeploy.fleet.release:
    dir: /srv/shop
    tag: v1.4.0
    state: prepared

- name: Go live at night
  gitdeploy.fleet.release:
    dir: /srv/shop
    tag: v1.4.0

- name: One host of several that share a database migrates
  gitdeploy.fleet.release:
    dir: /srv/shop
    tag: v1.4.0
    migrate: "{{ 'first' if inventory_hostname == groups['gitdeploy_primary'][0] else 'never' }}"
"""

RETURN = r"""
version_before:
  description: What was live before, as its tag, version or commit.
  returned: success
  type: str
  sample: v1.3.2
version:
  description: What is live now.
  returned: success
  type: str
  sample: v1.4.0
backup:
  description: The id of the backup that the upgrade made.
  returned: when an upgrade went live
  type: str
  sample: 20261123-101500-v1.3.2
deployment:
  description: The deployment as C(gitdeploy upgrade --json) prints it, with the end of its log.
  returned: when it has ended
  type: dict
plan:
  description: What the upgrade would do, as C(gitdeploy plan --json) prints it.
  returned: in check mode, and with diff
  type: dict
request:
  description: By what the run is found again.
  returned: outside check mode
  type: str
ended:
  description: Whether it has ended. False only with O(follow).
  returned: always
  type: bool
step:
  description: The step that it is at, or that was its last.
  returned: outside check mode
  type: str
  sample: health
exit_code:
  description: gitdeploy's exit code.
  returned: failure
  type: int
  sample: 3
kind:
  description: A stable word for what went wrong.
  returned: failure
  type: str
  sample: rolled_back
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

FLAGS = ("allow_downgrade", "accept_moved_tag", "unhealthy")


def options(params: dict[str, Any]) -> list[str]:
    """The options of gitdeploy's upgrade, plan and prepare that PARAMS ask for."""
    words = ["--%s" % name.replace("_", "-") for name in FLAGS if params[name]]
    words += ["--no-%s" % name for name in ("restart", "hooks") if not params[name]]
    words += ["--accept-config=%s" % key for key in params["accept_config"]]
    if params["local_changes"]:
        words.append("--%s-local-changes" % params["local_changes"])
    if params["migrate"] != "auto":
        words.append("--migrate=%s" % params["migrate"])
    return words


def changes(plan: dict[str, Any]) -> bool:
    """Whether PLAN changes anything."""
    if "to" not in plan:
        return False
    files = any(plan["files"].values())
    return bool(files or not plan["requirements"]["unchanged"] or plan["from"]["commit"] != plan["to"]["commit"])


def difference(plan: dict[str, Any]) -> dict[str, str]:
    """PLAN as Ansible's diff shows it: release, packages, files."""
    before, after = [], []
    if "to" in plan:
        before.append("release %s" % release_of(plan["from"]))
        after.append("release %s" % release_of(plan["to"]))
        packages = plan["requirements"]
        for name, (old, new) in sorted(packages["changed"].items()):
            before.append("package %s %s" % (name, old))
            after.append("package %s %s" % (name, new))
        before += ["package %s %s" % each for each in sorted(packages["removed"].items())]
        after += ["package %s %s" % each for each in sorted(packages["added"].items())]
        before += ["file %s" % path for path in plan["files"]["deleted"]]
        after += ["file %s (%s)" % (path, kind) for kind in ("added", "changed") for path in plan["files"][kind]]
        after += ["migration %s" % each["name"] for change in plan["migrations"] for each in change["new"]]
    return {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n"}


def main() -> None:
    arguments: dict[str, Any] = {
        "tag": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "prepared", "rehearsed"], "default": "present"},
        "migrate": {"type": "str", "choices": ["auto", "first", "never"], "default": "auto"},
        "local_changes": {"type": "str", "choices": ["discard", "merge"]},
        "allow_downgrade": {"type": "bool", "default": False},
        "accept_moved_tag": {"type": "bool", "default": False},
        "accept_config": {"type": "list", "elements": "str", "default": []},
        "unhealthy": {"type": "bool", "default": False},
        "restart": {"type": "bool", "default": True},
        "hooks": {"type": "bool", "default": True},
    }
    arguments.update(ARGUMENTS)
    arguments.update(RUNS)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, required_by={"follow": ["request"]})
    host, params = Host(module), module.params
    result: dict[str, Any] = {"changed": False, "ended": True}
    if module.check_mode or module._diff:
        code, plan = host.look("plan", params["tag"], *options(params))
        if module.check_mode and code != 0 and "problems" not in plan:
            host.fail(code, plan)
        result.update(plan=plan, diff=difference(plan))
    if module.check_mode:
        if code != 0:
            told = [each["message"] for each in plan["problems"]]
            hints = [each["hint"] for each in plan["problems"] if each["hint"]]
            host.fail(
                code, {"error": {"message": "\n".join(told), "hint": "\n".join(hints), "kind": "refused"}}, **result
            )
        result.update(
            changed=changes(plan), version_before=release_of(plan.get("from")), version=release_of(plan.get("to"))
        )
        module.exit_json(**result)
    verb = {"present": "upgrade", "prepared": "prepare", "rehearsed": "rehearse"}[params["state"]]
    run = host.run(verb, params["tag"], "--wait=%d" % params["lock_wait"], *options(params))
    document = run.pop("document", None)
    result.update(run)
    if document is not None:
        live = document.get("to") if verb == "upgrade" else document.get("from")
        result.update(
            changed=document.get("status") == "succeeded" and verb != "rehearse",
            version_before=release_of(document.get("from")),
            version=release_of(live),
            backup=document.get("backup"),
            deployment=shortened(document),
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
