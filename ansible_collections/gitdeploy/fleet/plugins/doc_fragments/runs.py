# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  lock_wait:
    description: Seconds to wait for another deployment on the host to end.
    type: int
    default: 0
  request:
    description:
      - 32 hexadecimal digits that name this run. A call with the digits of an earlier call starts nothing. It follows what
        that call started, or returns how it ended.
    type: str
  follow:
    description:
      - Return after so many seconds, or as soon as it is at another step, and say so in C(ended). With C(until) this
        shows what a host is doing. Default is to return when it has ended.
    type: int
"""
