# Copyright: the gitdeploy authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  dir:
    description: The app's checkout on the host.
    type: path
    required: true
  config:
    description: deploy.yaml, where it isn't in the checkout.
    type: path
  executable:
    description:
      - The C(gitdeploy) to run. Default is the one in the PATH, else the one that the role C(gitdeploy.fleet.install)
        installs.
    type: path
  performer:
    description: Who the host's journal says asked for it. Default is the user that the module runs as.
    type: str
requirements:
  - gitdeploy on the host (see the role C(gitdeploy.fleet.install))
notes:
  - Run as root (C(become)) or as the owner of the checkout. As root, gitdeploy itself becomes the owner.
"""
