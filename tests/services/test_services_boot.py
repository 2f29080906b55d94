"""A server that lost its power in the middle of an upgrade: recovery runs at boot, before the app, as the app's user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_root import Machine

from gitdeploy.services.boot import escape_path

ROOT = "/srv/otrs-web"
UNIT = f"gitdeploy-recover@{escape_path(ROOT)}.service"
SERVICE = f"""
[Service]
User=otrs
WorkingDirectory={ROOT}
ExecStart=/bin/sh -c 'echo serving $(cat VERSION); exec sleep infinity'
[Install]
WantedBy=multi-user.target
"""
POLKIT = """
polkit.addRule(function(action, subject) {
  if (subject.user == "otrs" && action.lookup("unit") == "otrs-web.service") { return polkit.Result.YES; }
});
"""
SETTINGS = "app: {name: otrs-web}\nsource: {type: git}\nvenv: {path: null}\nhooks: {dir: hooks}\nservice: {systemd: otrs-web}\n"
RELEASES = """
set -eu
git config --global user.name Test; git config --global user.email test@localhost
git init -q -b main remote; cd remote
mkdir hooks; printf "$SETTINGS" >deploy.yaml
printf '#!/bin/sh\\nkill -9 $PPID\\n' >hooks/migrate; chmod +x hooks/migrate
for version in 1.0.0 2.0.0; do
    echo $version >VERSION; git add -A; git commit -q -m "$version"; git tag -a -m "$version" "v$version"
done
cd ..
git clone -q --branch v1.0.0 remote otrs-web 2>/dev/null
"""


@pytest.fixture
def server(base: Path, tmp_path: Path) -> Iterator[Machine]:
    """A server with an app on v1.0.0 that runs from boot, and whose v2.0.0 kills gitdeploy after the switch."""
    with Machine(base, tmp_path) as machine:
        owner = machine.add_user("otrs")
        machine.inside("install", "-d", "-o", str(owner), "/srv")
        machine.inside("sh", "-c", RELEASES, user="otrs", cwd="/srv", env={"SETTINGS": SETTINGS})
        machine.put("/etc/polkit-1/rules.d/50-otrs.rules", POLKIT)
        machine.unit("otrs-web.service", SERVICE)
        machine.inside("systemctl", "enable", "--now", "-q", "otrs-web")
        yield machine


def test_after_a_power_cut_in_an_upgrade_the_server_comes_up_on_one_entire_release(server: Machine) -> None:
    shown = server.inside("gitdeploy", "-C", ROOT, "recover", "--print-unit").stdout
    assert not (server.root / "etc/systemd/system/gitdeploy-recover@.service").exists(), "showing writes nothing"
    said = server.inside("gitdeploy", "-C", ROOT, "recover", "--install-unit").stdout
    for name in ("gitdeploy-recover@.service", f"{UNIT}.d/app.conf"):
        file = server.root / "etc/systemd/system" / name
        assert file.read_text() in shown
        assert f"/etc/systemd/system/{name}" in said
    assert "before otrs-web.service" in said
    verified = server.inside("systemd-analyze", "verify", UNIT, check=False)
    assert "gitdeploy" not in verified.stderr, verified.stderr

    done = server.in_unit("gitdeploy", "-C", ROOT, "upgrade", "v2.0.0", user="otrs", check=False)
    assert (server.root / "srv/otrs-web/VERSION").read_text() == "2.0.0\n", done.stdout + done.stderr
    server.power_cut()
    server.boot()

    log = server.inside("journalctl", "-b", "-o", "cat", "-u", UNIT).stdout
    assert server.inside("systemctl", "show", "-P", "Result", UNIT).stdout == "success\n", log
    assert (server.root / "srv/otrs-web/VERSION").read_text() == "1.0.0\n"
    started = server.inside("journalctl", "-b", "-o", "cat", "-u", "otrs-web", "-u", UNIT).stdout
    assert "serving 1.0.0" in started
    assert "serving 2.0.0" not in started, "the app never ran what was half installed"
    assert started.index("runs v1.0.0 again") < started.index("serving 1.0.0")
    assert server.inside("stat", "-c", "%U", f"{ROOT}/VERSION").stdout.strip() == "otrs"
    status = server.inside("gitdeploy", "-C", ROOT, "status", user="otrs").stdout
    assert "v1.0.0" in status
    assert "interrupted" not in status


def test_a_unit_for_boot_is_installed_by_root_only(server: Machine) -> None:
    done = server.inside("gitdeploy", "-C", ROOT, "recover", "--install-unit", user="otrs", check=False)
    assert done.returncode == 2
    assert "Only root" in done.stderr
    assert "--print-unit" in done.stderr


def test_a_unit_is_named_as_systemd_names_it(server: Machine) -> None:
    for path in ("/srv/otrs-web", "/srv/a b/名字", "/.hidden/x", "/srv/_x:1.2", "/srv//twice/"):
        said = server.inside("systemd-escape", "--path", path, env={"LC_ALL": "C.UTF-8"}).stdout.rstrip("\n")
        assert escape_path(path) == said
