"""The collection for those who write playbooks: modules that change nothing twice, show what they would do, and say why not."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.local_fleet import LocalFleet
from support.sample import PROJECT

pytestmark = pytest.mark.xdist_group("fleet-collection")
COLLECTION = PROJECT / "ansible_collections/gitdeploy/fleet"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))

PLAY = """\
- hosts: web1
  gather_facts: false
  module_defaults:
    group/gitdeploy.fleet.fleet: {dir: "{{ gitdeploy_dir }}", executable: "{{ gitdeploy_executable }}", performer: li}
  tasks:
TASKS
    - copy: {content: "{{ vars | dict2items | selectattr('key', 'match', '^t[0-9]') | items2dict | to_json }}", dest: out.json}
"""
TASKS = [
    ("backup", "{label: audit}", ""),
    ("backup", "{label: audit}", ""),
    ("release", "{tag: v1.1.0}", "check_mode: true, diff: true"),
    ("release", "{tag: v1.1.0, state: prepared}", ""),
    ("release", "{tag: v1.1.0, state: prepared}", ""),
    ("release", "{tag: v1.1.0}", ""),
    ("release", "{tag: v1.1.0}", ""),
    ("release", "{tag: v9}", "ignore_errors: true"),
    ("restore", "{only_from: v1.1.0}", "check_mode: true"),
    ("restore", "{only_from: v1.1.0}", ""),
    ("restore", "{only_from: v1.1.0}", ""),
    ("pause", "{reason: closing}", ""),
    ("pause", "{reason: closing}", ""),
    ("release", "{tag: v1.1.0}", "ignore_errors: true"),
    ("pause", "{state: resumed}", ""),
    ("info", "{gather: [health, packages, settings, backups, deployments]}", ""),
    ("backup", "{label: audit, state: absent}", ""),
]


def test_modules_change_nothing_twice(fleet: LocalFleet) -> None:
    lines = []
    for number, (module, arguments, more) in enumerate(TASKS):
        extra = "".join(f", {each}" for each in [more] if each)
        lines.append(f"    - {{gitdeploy.fleet.{module}: {arguments}, register: t{number}{extra}}}")
    (fleet.folder / "play.yml").write_text(PLAY.replace("TASKS", "\n".join(lines)))
    done = fleet.ansible("ansible-playbook", "-i", "hosts.ini", "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((fleet.folder / "out.json").read_text())
    results = [found[f"t{number}"] for number in range(len(TASKS))]
    assert [result["changed"] for result in results] == [
        True, False,  # a backup with a label
        True, True, False, True, False,  # what it would do; prepared; live
        False,  # no such release
        True, True, False,  # rolled back once
        True, False, False, True,  # paused; refused meanwhile; resumed
        False, True,
    ]  # fmt: skip
    planned, live, missing, refused = results[2], results[5], results[7], results[13]
    assert "file hooks/post-deploy (added)" in planned["diff"]["after"]
    assert "migration shop.0002_mood" in planned["diff"]["after"]
    assert (live["version_before"], live["version"], live["ended"]) == ("v1.0.0", "v1.1.0", True)
    assert live["deployment"]["backup"] == live["backup"]
    assert missing["failed"]
    assert missing["exit_code"] == 2
    assert (refused["exit_code"], refused["kind"]) == (5, "locked")
    assert "Deployments are paused by li" in refused["msg"]
    info = results[15]
    assert (info["version"], info["settings"]["app.name"], info["status"]["held"]) == ("v1.0.0", "shop", None)
    assert [each["performer"] for each in info["deployments"]][:1] == ["li"]


def test_the_collection_is_built_and_documented(fleet: LocalFleet, tmp_path: Path) -> None:
    built = fleet.ansible("ansible-galaxy", "collection", "build", COLLECTION, "--output-path", tmp_path)
    assert built.returncode == 0, built.stderr
    with tarfile.open(next(tmp_path.glob("gitdeploy-fleet-*.tar.gz"))) as archive:
        names = archive.getnames()
    assert {f"plugins/modules/{module}.py" for module in MODULES} <= set(names)
    assert "roles/install/tasks/main.yml" in names
    shown = fleet.ansible("ansible-doc", "-t", "module", "--json", *(f"gitdeploy.fleet.{module}" for module in MODULES))
    documents = json.loads(shown.stdout)
    for module in MODULES:
        document = documents[f"gitdeploy.fleet.{module}"]
        assert document["examples"].strip()
        assert document["return"]
        source = (COLLECTION / f"plugins/modules/{module}.py").read_text()
        own = source[source.index("arguments: dict[str, Any] = {") : source.index("arguments.update(ARGUMENTS)")]
        accepted = set(re.findall(r'^        "(\w+)": \{', own, re.MULTILINE))
        assert accepted <= document["doc"]["options"].keys(), f"{module} takes what it doesn't document"
