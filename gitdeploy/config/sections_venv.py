"""The section `venv` of deploy.yaml: what is installed, from what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitdeploy.config import checks
from gitdeploy.config.kinds import Choice, Flag, ListOf, Section, Text, Texts, setting

_PATH = Text("a path inside the checkout", checks.inside)


class VenvConfig(Section, frozen=True):
    path: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "The app's virtual environment. Default: venv, else .venv, where there is one; nothing: the app has none.",
        empty_is_none=True,
    )
    python: str | None = setting(
        Text("a Python interpreter", checks.interpreter),
        None,
        "Interpreter of new environments: a version, a name or a path. Default: the live one's.",
    )
    python_downloads: bool = setting(
        Flag(), False, "true: a version in `python` that this server lacks is fetched by uv, into .gitdeploy/pythons."
    )
    requirements: tuple[str, ...] = setting(
        ListOf(_PATH),
        (),
        "What is installed: requirements files, uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock, "
        "pyproject.toml. Default: requirements.txt where there is one.",
    )
    groups: tuple[str, ...] = setting(
        ListOf(Text("a dependency group", checks.package_name)), (), "Dependency groups that are installed too."
    )
    extras: tuple[str, ...] = setting(
        ListOf(Text("an extra", checks.package_name)), (), "Extras (optional dependencies) that are installed too."
    )
    itself: str = setting(
        Choice(
            ("auto", "editable", "always", "never"),
            MappingProxyType({"true": "always", "false": "never"}),
        ),
        "auto",
        "Whether the app itself is installed. auto: as the live environment has it; editable: as by pip install -e .",
        key="self",
    )
    constraints: tuple[str, ...] = setting(ListOf(_PATH), (), "Constraints files for the installation.")
    installer: str = setting(
        Choice(("auto", "uv", "pip")), "auto", "auto: uv where it can do what pip is set to do, else pip."
    )
    link_mode: str = setting(
        Choice(("auto", "reflink", "hardlink", "copy")), "auto", "How the live environment is cloned for the next one."
    )
    exact: bool = setting(
        Flag(), False, "true: built from the requirements alone; packages installed by hand do not survive."
    )
    allow_index_options: bool = setting(
        Flag(), False, "true: a release's requirements may bring their own package index (--index-url and the like)."
    )
    allow_sources: tuple[str, ...] = setting(
        ListOf(Text("a host's name", checks.host_name)),
        (),
        "Hosts that a release may install single packages from, by their address or from git, such as [github.com].",
    )
    pass_env: tuple[str, ...] = setting(
        ListOf(Text("the name of an environment variable", checks.passed_variable)),
        (),
        "Variables that a release's requirements may refer to as ${NAME}, and that the installer gets. Default: none; "
        "pip's and uv's own settings of indexes, proxies and certificates reach them anyway.",
    )
    extra_args: tuple[str, ...] = setting(
        ListOf(Text("an argument", checks.extra_argument)), (), "More arguments for the installer's install command."
    )
    env: Mapping[str, str] = setting(
        Texts("a mapping of variables to texts", checks.build_variable, checks.mask_header),
        MappingProxyType({}),
        "Variables for builds of packages (CFLAGS ...): they are given to the installer, and no others of the caller's.",
    )
    path_dirs: tuple[str, ...] = setting(
        ListOf(Text("an absolute path", checks.absolute)),
        (),
        "Folders that come first in PATH while packages are installed (cargo, pg_config ...).",
    )
