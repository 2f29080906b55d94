"""Becomes `ansible-playbook`, which ends when the process ends that started it. Run as a file: imports nothing of ours."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before it could be waited for
        sys.exit(1)
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    os.execv(program, [program, *sys.argv[2:]])  # noqa: S606


if __name__ == "__main__":
    main()
