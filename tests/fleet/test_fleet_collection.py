"""The collection for those who write playbooks: modules that change nothing twice, show what they would do, and say why not."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.local_fleet import LocalFleet
from support.sample import PROJECT

from gitdeploy import __version__

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


# A gitdeploy that was started, and of which its journal then says STATE.
FAKE = """#!/bin/sh
echo "$*" >> "$0.asked"
case "$*" in
  *" log "*) cat "$0.says";;
  *" status"*) cat "$0.status";;
  *" config "*) echo "[]";;
  *" upgrade "*) [ ! -e "$0.refuses" ] || { cat "$0.refuses"; exit 7; };;
esac
"""
ENDED = '{"state": "ended", "exit_code": %d, "document": {"error": {"message": "x"}}}'
STATES = {
    "killed": ('{"state": "killed"}', False),
    "broken": (ENDED % 4, False),
    "rolled-back": (ENDED % 3, True),
    "locked": (ENDED % 5, True),
    "upgraded": ('{"state": "ended", "exit_code": 0, "document": {"status": "succeeded"}}', True),
    "unknown": ("Traceback", False),
    "refused": ('{"state": "unknown"}', True),
}


def fakes(folder: Path, hosts: dict[str, str]) -> None:
    """HOSTS (name -> what the journal says) in an inventory in FOLDER."""
    for name, said in hosts.items():
        (folder / f"{name}.says").write_text(said)
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    lines = [f"{name} gitdeploy_executable={folder / name}" for name in hosts]
    variables = f"ansible_connection=local\nansible_python_interpreter={sys.executable}\ngitdeploy_dir={folder}\n"
    (folder / "hosts.ini").write_text("\n".join([*lines, "[all:vars]", variables]))


@pytest.mark.parametrize("other", ["v1", "v2"])
def test_the_second_half_runs_only_where_all_hosts_run_the_release(
    fleet: LocalFleet, tmp_path: Path, other: str
) -> None:
    fakes(tmp_path, dict.fromkeys(("web1", "web2"), STATES["upgraded"][0]))
    for name, tag in (("web1", "v2"), ("web2", other)):
        (tmp_path / f"{name}.status").write_text(json.dumps({"tag": tag, "second_half": True}))
    more = ["-e", "gitdeploy_tag=v2", "-e", "gitdeploy_serial=100%"]
    done = fleet.ansible("ansible-playbook", "-i", tmp_path / "hosts.ini", "gitdeploy.fleet.upgrade", *more)
    ran = " contract " in (tmp_path / "web1.asked").read_text()
    assert (done.returncode == 0, ran) == (other == "v2", other == "v2"), done.stdout
    if other == "v1":
        assert "or are not known to: web2" in done.stdout


def test_a_host_is_put_back_into_the_balancer_only_where_it_runs_one_release_whole(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    fakes(tmp_path, {name: said for name, (said, _) in STATES.items()})
    (tmp_path / "refused.refuses").write_text('{"error": {"message": "It is outside the window."}}')
    (tmp_path / "undrain.yml").write_text('- file: {path: "{{ gitdeploy_executable }}.back", state: touch}\n')
    more = ["-e", "gitdeploy_tag=v2", "-e", f"gitdeploy_undrain={tmp_path}/undrain.yml", "-e", "gitdeploy_serial=100%"]
    done = fleet.ansible("ansible-playbook", "-i", tmp_path / "hosts.ini", "gitdeploy.fleet.go_live", *more)
    back = {name for name in STATES if (tmp_path / f"{name}.back").exists()}
    assert back == {name for name, (_, whole) in STATES.items() if whole}, done.stdout
    assert "It is outside the window." in done.stdout, "what gitdeploy said before it began"


def test_the_collection_is_built_and_documented(fleet: LocalFleet, tmp_path: Path) -> None:
    built = fleet.ansible("ansible-galaxy", "collection", "build", COLLECTION, "--output-path", tmp_path)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / f"gitdeploy-fleet-{__version__}.tar.gz").exists(), "the version of what it is made for"
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
        assert not re.search(r"^\s+assert\b", source, re.MULTILINE), "ansible-test sanity refuses it"
        own = source[source.index("arguments: dict[str, Any] = {") : source.index("arguments.update(ARGUMENTS)")]
        accepted = set(re.findall(r'^        "(\w+)": \{', own, re.MULTILINE))
        assert accepted <= document["doc"]["options"].keys(), f"{module} takes what it doesn't document"
