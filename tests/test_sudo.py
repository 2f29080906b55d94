"""What is found out of sudo before a restart is needed, beside what sudo then does: real rules, a real sudo, a user without
any other right, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import needs

from gitdeploy.services import sudo
from gitdeploy.system.completed import Completed

RESTART = ["/usr/bin/echo", "restart", "shop.service"]  # in place of systemctl: whether it was run can be seen
NO_PASSWORD, PASSWORD = "nobody ALL=(root) NOPASSWD:", "nobody ALL=(root) PASSWD:"
OURS, OTHERS = "/usr/bin/echo restart shop.service", "/usr/bin/echo restart other.service"
RULES = {  # sudoers(5) -> whether the restart is done without a password
    "": False,
    f"{NO_PASSWORD} {OURS}": True,
    f"{NO_PASSWORD} {OTHERS}": False,
    f"{NO_PASSWORD} /usr/bin/echo": True,
    f"{NO_PASSWORD} /usr/bin/echo restart *": True,
    f"{NO_PASSWORD} /usr/bin/echo *": True,
    f"{NO_PASSWORD} ALL": True,
    "nobody ALL=(ALL:ALL) NOPASSWD: ALL": True,
    "nobody ALL=(root) ALL": False,
    f"{PASSWORD} {OURS}": False,
    f"{NO_PASSWORD} {OURS}, !/usr/bin/echo restart *": False,
    f"{NO_PASSWORD} ALL, !{OURS}": False,
    f"nobody ALL=(daemon) NOPASSWD: {OURS}": False,
    # `sudo -l` alone says yes to these
    f"{NO_PASSWORD} {OTHERS}\n{PASSWORD} {OURS}": False,
    f"{NO_PASSWORD} {OTHERS}, PASSWD: {OURS}": False,
    f"{NO_PASSWORD} ALL\n{PASSWORD} {OURS}": False,
    f"{NO_PASSWORD} {OURS}\nnobody ALL=(ALL:ALL) ALL": False,
    # rules of what is done as somebody else say nothing
    f"{PASSWORD} {OURS}\nnobody ALL=(daemon) NOPASSWD: ALL": False,
    f"{NO_PASSWORD} {OURS}\nnobody ALL=(daemon) PASSWD: ALL": True,
    f"{NO_PASSWORD} {OURS}\nnobody ALL=(ALL, !root) PASSWD: ALL": True,
    f"{NO_PASSWORD} {OURS}\nnobody ALL=(daemon, root) PASSWD: ALL": False,
    # an administrator's, and the rule of docs/services.md behind it
    f"nobody ALL=(ALL:ALL) ALL\n{NO_PASSWORD} {OURS}, {OTHERS}": True,
    f"{PASSWORD} {OTHERS}\n{NO_PASSWORD} {OURS}": True,
    f"Defaults:nobody !authenticate\nnobody ALL=(root) {OURS}": True,
    f"Defaults:nobody !authenticate\n{PASSWORD} {OURS}": False,
    f"Defaults requiretty\n{NO_PASSWORD} {OURS}": False,
}


class Sudo:
    """Runs commands as nobody, for whom RULES hold; remembers them."""

    def __init__(self, folder: Path, rules: str) -> None:
        self.file = folder / "sudoers"
        self.file.write_text(f"root ALL=(ALL:ALL) ALL\n{rules}\n")
        self.file.chmod(0o440)
        self.ran: list[Sequence[str]] = []

    def __call__(self, argv: Sequence[str]) -> Completed:
        self.ran.append(argv)
        drop = f"setpriv --reuid={needs.NOBODY} --regid={needs.NOBODY} --clear-groups"
        shell = f'mount --bind "$1" /etc/sudoers && shift && exec {drop} "$@"'
        words = [*needs.namespace("--mount"), "sh", "-c", shell, "sh", str(self.file), *argv]
        done = subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        )
        return Completed(tuple(argv), done.returncode, done.stdout, done.stderr, 0.0)


@needs.another_user
@pytest.mark.parametrize("rules", RULES)
def test_what_the_probe_says_is_what_sudo_does(tmp_path: Path, rules: str) -> None:
    needs.program("sudo")
    run = Sudo(tmp_path, rules)
    assert sudo.lets(RESTART, run) == RULES[rules]
    assert all("-l" in words for words in run.ran), "it asks, and does nothing"
    words = sudo.words(RESTART)
    assert words is not None
    done = run(words)
    assert (done.stdout == b"restart shop.service\n") == RULES[rules]
