"""Root upgrades another user's app whose folders others work in too: setgid, group-writable, with access control lists.
Whoever could read and write there before can do so in the new release, and after a roll-back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import needs
from support.machine_app import ROOT, MachineApp
from support.sample import Content, Program, Sample
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

PLAIN = "app: {name: otrs-web}\nsource: {type: git}\nhooks: {dir: hooks}\n"


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    for program in ("setfacl", "getfacl"):
        needs.program(program)
    made = MachineApp(machine_for_app)
    made.settings = PLAIN
    both: dict[str, Content] = {
        "list/page.css": "old\n",
        "group/tool": Program("#!/bin/sh\n"),
        "group/page.css": "old\n",
    }
    new: dict[str, Content] = {
        "list/page.css": "new\n",
        "list/deep/er/new.css": "new\n",
        "list/new": Program("#!/bin/sh\n"),
        "group/tool": Program("#!/bin/sh\ntrue\n"),
        "group/page.css": "new\n",
        "group/deep/new.css": "new\n",
        "group/new": Program("#!/bin/sh\n"),
        "plain/deep/new.css": "new\n",
    }
    made.publish("v1.0.0", files={**both, "list/gone/only.css": "old\n"})
    made.publish("v2.0.0", files=new)
    made.publish("v2.1.0", files={**new, "hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")})
    machine_for_app.inside("usermod", "-aG", "www-data", "otrs")
    editor = machine_for_app.add_user("editor")
    made.checkout("v1.0.0")
    machine_for_app.inside("sh", "-c", f"cd {ROOT} && chgrp -R www-data group && chmod -R g+w group && chmod g+s group")
    for words in (
        ["-R", "-m", f"u:{editor}:rwX", "list"],
        ["-R", "-d", "-m", f"u:{editor}:rwX", "list"],
        ["-m", f"u:{editor}:r-x", "group/tool"],
    ):
        subprocess.run(["setfacl", *words], cwd=machine_for_app.root / ROOT[1:], check=True)
    return made


def permissions(app: MachineApp) -> dict[str, str]:
    """Path -> its whole list, as getfacl shows it, with owner, group and flags."""
    folder = app.machine.root / ROOT[1:]
    said = subprocess.run(
        ["getfacl", "-R", "-n", "list", "group"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    blocks = (block.partition("\n") for block in said.strip().split("\n\n"))
    return {name.removeprefix("# file: "): rest for name, _, rest in blocks}


def upgrade(app: MachineApp, tag: str, code: int) -> None:
    """As root, whose own umask lets nobody else read anything."""
    done = app.machine.inside("sh", "-c", f"umask 077; exec gitdeploy -C {ROOT} upgrade {tag}", check=False)
    assert done.returncode == code, done.stderr


def may(app: MachineApp, user: str, *words: str) -> bool:
    return app.machine.inside(*words, user=user, cwd=ROOT, check=False).returncode == 0


def test_a_failed_upgrade_leaves_every_permission_as_it_was_also_of_folders_that_were_away(app: MachineApp) -> None:
    before = permissions(app)
    assert "default:user:" in before["list/gone"]
    assert "flags: -s-" in before["group"]
    upgrade(app, "v2.1.0", 3)
    assert permissions(app) == before


def test_an_upgrade_keeps_them_and_gives_new_files_what_their_folders_ask_for(app: MachineApp) -> None:
    before = permissions(app)
    upgrade(app, "v2.0.0", 0)
    after = permissions(app)
    for path in ("list", "list/page.css", "group", "group/tool", "group/page.css"):
        assert after[path] == before[path], path

    # As the kernel would have made them there.
    program = "import os; os.close(os.open('list/program', os.O_CREAT | os.O_WRONLY, 0o777))"
    beside = app.machine.root / ROOT[1:] / "list"
    app.user("sh", "-c", f': >list/beside; mkdir list/beside.d; : >list/beside.d/file; python3 -c "{program}"')
    made = permissions(app)
    for file in (beside / "beside", beside / "program"):
        file.unlink()
    assert after["list/deep/er/new.css"] == made["list/beside"] == made["list/beside.d/file"]
    assert after["list/deep"] == after["list/deep/er"] == made["list/beside.d"]
    assert after["list/new"] == made["list/program"]
    assert may(app, "editor", "sh", "-c", "echo mine >>list/deep/er/new.css && list/new")

    www = str(int(app.machine.inside("id", "-g", "www-data").stdout))
    for path, bits in {"group/deep": "rwx", "group/deep/new.css": "rw-", "group/new": "rwx"}.items():
        assert f"# group: {www}\n" in after[path], path
        assert f"group::{bits}\n" in after[path], path
    assert may(app, "www-data", "sh", "-c", "echo ours >>group/deep/new.css && : >group/deep/another")
    assert may(app, "editor", "cat", "plain/deep/new.css"), "whatever root's umask is"
    assert not may(app, "editor", "sh", "-c", "echo x >>plain/deep/new.css")


@pytest.mark.skipif(os.geteuid() != 0, reason="SELinux's context is root's to set")
def test_selinux_contexts_of_roots_own_app_are_kept(tmp_path: Path) -> None:
    """No SELinux is needed for that: the context is an attribute of the file."""
    sample = Sample(tmp_path, venv=False)
    sample.release("v1.0.0", {"deploy.yaml": PLAIN, "static/page.css": "old\n"})
    sample.release("v2.0.0", {"deploy.yaml": PLAIN, "static/page.css": "new\n", "static/new.css": "new\n"})
    sample.install("v1.0.0")
    context = b"system_u:object_r:httpd_sys_content_t:s0\0"
    try:
        for path in (sample.app / "static", sample.app / "static/page.css"):
            os.setxattr(path, "security.selinux", context)
    except OSError:
        pytest.skip("the file system of temporary files takes no SELinux contexts")
    sample.gitdeploy("upgrade", "v2.0.0")
    for path in (sample.app / "static/page.css", sample.app / "static/new.css"):
        assert path.read_text() == "new\n"
        assert os.getxattr(path, "security.selinux") == context
