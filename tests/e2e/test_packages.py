"""What an app says of its packages, in whatever file, is installed with the release, or it is said that nothing installs it."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from support import needs
from support.modules import ModularSample, part
from support.sample import PROJECT, Sample, Tree, differences
from uv import find_uv_bin

pytestmark = pytest.mark.xdist_group(__name__)

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"
# A build backend (PEP 517, PEP 660) beside its project, which writes into the tree as compilers do in place.
BACKEND = """\
import os, subprocess, zipfile

VERSION = "{version}"

def get_requires_for_build_wheel(config_settings=None):
    return []

get_requires_for_build_editable = get_requires_for_build_wheel

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    tag = subprocess.run(["git", "describe", "--tags", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    with open("shop/_built.py", "w") as out:
        out.write(f"BUILT = {version!r}\\nTAG = {{tag!r}}\\nHERE = {{os.getcwd()!r}}\\nFLAG = {{os.environ.get('SHOP_FLAG')!r}}\\n")
    os.makedirs("build/temp.linux", exist_ok=True)
    open("build/temp.linux/shop.o", "w").close()
    info = f"shop-{{VERSION}}.dist-info"
    files = {{
        "__editable___shop_finder.py": f"PLACE = {{os.getcwd()!r}}\\n",
        "__editable__.shop.pth": os.getcwd() + "\\n",
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: shop\\nVersion: {{VERSION}}\\n"
        + "".join(f"Requires-Dist: {{line}}\\n" for line in {needs!r}),
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: here\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{{info}}/entry_points.txt": "[console_scripts]\\nshop=shop:main\\n",
    }}
    name = f"shop-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{{info}}/RECORD", "".join(f"{{path}},,\\n" for path in [*files, f"{{info}}/RECORD"]))
    return name
"""
IGNORED = "/venv\n__pycache__/\n_built.py\n/build/\n"


def project(version: str, *needs: str) -> Tree:
    """A release that is described by its pyproject.toml alone, and whose build writes `shop/_built.py`."""
    listed = ", ".join(f'"{need}"' for need in needs)
    return {
        "deploy.yaml": SETTINGS,
        ".gitignore": IGNORED,
        "pyproject.toml": f'[project]\nname = "shop"\nversion = "{version}"\ndependencies = [{listed}]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[tool.x]\ncmdclass = 1\n',
        "backend.py": BACKEND.format(version=version, needs=list(needs)),
        "shop/__init__.py": "def main():\n    from shop import _built\n    print(_built.BUILT, _built.TAG, _built.HERE, _built.FLAG)\n",
    }


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    made = Sample(tmp_path)
    for name, version in (("greeting", "1.0"), ("greeting", "2.0"), ("extra", "1.0")):
        made.wheel(name, version)
    return made


def pip(sample: Sample, *words: str) -> None:
    """As an operator installs by hand."""
    argv = [str(sample.app / "venv/bin/python"), "-m", "pip", "install", "-q", *words]
    subprocess.run(argv, cwd=sample.app, env=sample.environment, check=True)


def with_pip(sample: Sample, tag: str, *options: str) -> None:
    """A checkout of TAG with a venv as `python -m venv` makes it."""
    sample.venv = False
    sample.install(tag)
    sample.venv = True
    subprocess.run([sys.executable, "-m", "venv", *options, sample.app / "venv"], check=True)


def shop(sample: Sample) -> list[str]:
    return subprocess.check_output([sample.app / "venv/bin/shop"], text=True).split()


def test_the_app_installed_by_hand_is_renewed_and_what_its_build_writes_comes_and_goes_with_it(sample: Sample) -> None:
    sample.release("v1.0.0", project("1.0.0", "greeting==1.0"))
    sample.release("v2.0.0", project("2.0.0", "greeting==2.0", "extra"))
    with_pip(sample, "v1.0.0")
    pip(sample, "-e", ".")
    root = str(sample.app)
    assert shop(sample)[0] == "1.0.0"
    before, built = sample.state(), (sample.app / "shop/_built.py").read_text()
    planned = sample.gitdeploy("plan", "v2.0.0").out
    assert "the app itself" in planned
    sample.gitdeploy("upgrade", "v2.0.0")
    assert {"shop==2.0.0", "greeting==2.0", "extra==1.0"} <= set(sample.packages())
    assert shop(sample) == ["2.0.0", "v2.0.0", root, "None"], "built as a checkout at its tag, and nothing names where"
    kept = (sample.app / "venv").resolve() / ".gitdeploy-built"
    assert [path.name for path in kept.rglob("*") if path.is_file()] == ["_built.py"], "the result, not what led to it"
    assert sample.git("status", "--porcelain") == ""
    assert "venv            unchanged" in sample.gitdeploy("plan", "v2.0.0").out
    after = (sample.app / "shop/_built.py").read_text()
    sample.gitdeploy("rollback", "--yes")
    assert (sample.app / "shop/_built.py").read_text() == built
    assert differences(before["files"], sample.state()["files"]) == []
    assert sample.packages() == before["packages"]
    sample.gitdeploy("rollback", "v2.0.0", "--yes")
    assert (sample.app / "shop/_built.py").read_text() == after


def test_a_package_in_a_submodule_is_built_at_its_commit_and_its_requirements_count(tmp_path: Path) -> None:
    sample = ModularSample(tmp_path)
    sample.commits = {}
    for name, version in (("greeting", "1.0"), ("greeting", "2.0"), ("extra", "1.0")):
        sample.wheel(name, version)
    for number in (1, 2):
        made = {**project(f"{number}.0.0", f"greeting=={number}.0"), "requirements.txt": "extra\n" * (number - 1)}
        sample.library_commit("lib", made, number)
        tree = {"deploy.yaml": SETTINGS + "venv: {requirements: [lib/requirements.txt]}\n", ".gitignore": "/venv\n"}
        sample.modular_release(f"v{number}.0.0", tree, [part("lib", "lib", number)])
    with_pip(sample, "v1.0.0")
    sample.initialise()
    pip(sample, "-e", "./lib")
    before = sample.packages()
    assert "extra (new)" in sample.gitdeploy("plan", "v2.0.0").out
    sample.gitdeploy("upgrade", "v2.0.0")
    assert {"shop==2.0.0", "greeting==2.0", "extra==1.0"} <= set(sample.packages())
    said = shop(sample)
    assert (said[0], said[2]) == ("2.0.0", str(sample.app / "lib"))
    assert said[1] == sample.git("rev-parse", "--short", "HEAD", cwd=sample.app / "lib"), "as a checkout of that commit"
    assert sample.git("status", "--porcelain") == ""
    sample.gitdeploy("rollback", "--yes")
    assert shop(sample)[0] == "1.0.0"
    assert sample.packages() == before
    assert sample.git("status", "--porcelain") == ""


def test_no_generation_names_another(sample: Sample) -> None:
    for number in ("1", "2", "3"):
        sample.release(
            f"v{number}.0.0",
            {
                "deploy.yaml": SETTINGS,
                ".gitignore": "/venv\n",
                "requirements.txt": f"greeting=={min(int(number), 2)}.0\n# {number}\n",
            },
        )
    with_pip(sample, "v1.0.0")
    sample.gitdeploy("upgrade", "v2.0.0")
    # By hand, as `pip install -e git+...` does: into the venv's own src, with a finder.
    live = (sample.app / "venv").resolve()
    (live / "src/plugin").mkdir(parents=True)
    (live / "src/plugin/plugin.py").write_text("WHERE = __file__\n")
    (site,) = live.glob("lib/python*/site-packages")
    (site / "plugin-1.dist-info").mkdir()
    names = {
        "__editable__.plugin-1.pth": f"{live}/src/plugin\n",
        "__editable___plugin_1_finder.py": f"MAPPING = {{'plugin': '{live}/src/plugin/plugin'}}\n",
        "plugin-1.dist-info/direct_url.json": f'{{"url": "file://{live}/src/plugin", "dir_info": {{"editable": true}}}}',
    }
    for name, text in names.items():
        (site / name).write_text(text)
    record = "".join(f"{name},,{len(text)}\n" for name, text in names.items())
    (site / "plugin-1.dist-info/RECORD").write_text(record)
    sample.gitdeploy("upgrade", "v3.0.0")
    new = (sample.app / "venv").resolve()
    assert new != live
    asked = subprocess.check_output(
        [sample.app / "venv/bin/python", "-c", "import plugin; print(plugin.WHERE)"], text=True
    )
    assert asked.strip() == f"{new}/src/plugin/plugin.py"
    for generation, other in ((live, new), (new, live)):
        texts = [path for path in generation.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert [str(path) for path in texts if os.fsencode(other) in path.read_bytes()] == []


LOCKED = """\
version = 1
requires-python = ">=3.9"
[[package]]
name = "shop"
version = "1"
source = {{ virtual = "." }}
dependencies = [{{ name = "greeting" }}]
[package.metadata]
requires-dist = [{{ name = "greeting" }}]
[[package]]
name = "greeting"
version = "{version}"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [{{ url = "https://x/greeting-{version}-py3-none-any.whl", hash = "sha256:{digest}" }}]
"""


def locked(sample: Sample, version: str, settings: str = SETTINGS) -> Tree:
    (wheel,) = sample.wheels.glob(f"greeting-{version}-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {
        "deploy.yaml": settings,
        ".gitignore": "/venv\n",
        "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["greeting"]\n',
        "uv.lock": LOCKED.format(version=version, digest=digest),
    }


def test_a_lock_that_nothing_installs_is_said_and_one_that_is_named_is_installed(sample: Sample) -> None:
    installs = SETTINGS + "venv: {requirements: [uv.lock]}\n"
    sample.release("v1.0.0", locked(sample, "1.0"))
    sample.release("v2.0.0", locked(sample, "2.0"))
    sample.release("v3.0.0", locked(sample, "2.0", installs))
    with_pip(sample, "v1.0.0")
    pip(sample, "greeting==1.0")
    said = "uv.lock changes in this release. Nothing installs it: venv: {requirements: [uv.lock]} in deploy.yaml"
    planned = sample.gitdeploy("plan", "v2.0.0").out
    assert said in planned
    assert "no package" not in planned
    assert said in sample.gitdeploy("upgrade", "v2.0.0").text
    doctor = sample.gitdeploy("doctor", code=None).text
    assert "uv.lock, pyproject.toml say what the app needs, and nothing installs it." in doctor
    assert re.search(r"  requirements: \[uv\.lock\] +# because of uv\.lock", sample.gitdeploy("init", "--print").out)
    assert "greeting 1.0 -> 2.0" in sample.gitdeploy("plan", "v3.0.0").out
    sample.gitdeploy("upgrade", "v3.0.0")
    assert "greeting==2.0" in sample.packages()
    assert "nothing installs it" not in sample.gitdeploy("doctor", code=None).text


PYLOCK = """\
lock-version = "1.0"
created-by = "a person"
[[packages]]
name = "greeting"
version = "2.0"
wheels = [{{ name = "greeting-2.0-py3-none-any.whl", url = "file://{wheel}", hashes = {{ sha256 = "{digest}" }} }}]
"""
POETRY = """\
[[package]]
name = "greeting"
version = "2.0"
groups = ["main"]
files = [{{ file = "greeting-2.0-py3-none-any.whl", hash = "sha256:{digest}" }}]
[metadata]
lock-version = "2.1"
"""
PIPFILE = """\
{{"_meta": {{}}, "default": {{"greeting": {{"version": "==2.0", "hashes": ["sha256:{digest}"]}}}}}}
"""


def wheel_that_needs(sample: Sample, name: str, version: str, need: str) -> Path:
    info, wheel = f"{name}-{version}.dist-info", sample.wheels / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {need}\n"
        )
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: here\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [
        ("pylock.toml", PYLOCK, ""),
        ("poetry.lock", POETRY, ""),
        ("poetry.lock", POETRY, ", installer: pip"),
        ("Pipfile.lock", PIPFILE, ""),
        (
            "pyproject.toml",
            '[project]\nname = "shop"\nversion = "1"\ndependencies = ["greeting==2.0"]\n',
            ", installer: pip",
        ),
    ],
)
def test_a_lock_is_installed_as_it_says(sample: Sample, name: str, text: str, more: str) -> None:
    (wheel,) = sample.wheels.glob("greeting-2.0-*.whl")
    if name != "pyproject.toml":  # what a lock leaves out was decided when it was written: an extra, an override
        wheel = wheel_that_needs(sample, "greeting", "2.0", "absent[more]>=1")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    settings = SETTINGS + f"venv: {{requirements: [{name}]{more}}}\n"
    (sample.folder / "constraints.txt").write_text("something-else<9\n")  # of this server, for all of its installs
    sample.extra_environment["PIP_CONSTRAINT"] = str(sample.folder / "constraints.txt")
    sample.release("v1.0.0", {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n"})
    locked = text if name == "pyproject.toml" else text.format(wheel=wheel, digest=digest)
    sample.release("v2.0.0", {"deploy.yaml": settings, ".gitignore": "/venv\n", name: locked})
    sample.install("v1.0.0")
    assert "greeting 1.0 -> 2.0" in sample.gitdeploy("plan", "v2.0.0").out
    sample.gitdeploy("upgrade", "v2.0.0")
    assert sample.packages() == ["greeting==2.0"]
    assert "Trying with pip" not in sample.gitdeploy("log", "1").out, "uv installs a lock beside constraints"
    wrong = locked.replace(digest, "0" * 64)
    if wrong != locked:
        sample.release("v3.0.0", {"deploy.yaml": settings + "# anew\n", ".gitignore": "/venv\n", name: wrong})
        failed = sample.gitdeploy("upgrade", "v3.0.0", "--rebuild-venv", code=1)
        assert "hash" in failed.text.lower(), "a package with another hash than the lock's is refused"


def test_where_uv_refuses_pip_does_it(sample: Sample) -> None:
    plain = {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n"}
    sample.release("v1.0.0", {**plain, "requirements.txt": "greeting==1.0\n"})
    # A dependency by address of a dependency: pip takes it, uv doesn't.
    (greeting,) = sample.wheels.glob("greeting-2.0-*.whl")
    wheel_that_needs(sample, "needs", "1.0", f"greeting @ file://{greeting}")
    sample.release("v2.0.0", {**plain, "requirements.txt": "needs==1.0\n"})
    sample.install("v1.0.0")
    done = sample.gitdeploy("-v", "upgrade", "v2.0.0", code=None)
    assert done.code == 0, done.text
    assert {"greeting==2.0", "needs==1.0"} <= set(sample.packages())
    log = sample.gitdeploy("log", "1").out
    assert "Trying with pip, which takes what uv doesn't." in log


def test_a_venv_that_sees_the_systems_packages_goes_on_seeing_them(sample: Sample, tmp_path: Path) -> None:
    if not list(Path(sys.base_prefix).glob("lib/python*/site-packages")):
        pytest.skip("not here: a Python of its own, which is copied (a distribution's keeps its packages elsewhere)")
    plain = {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n"}
    sample.release("v1.0.0", {**plain, "requirements.txt": "greeting==1.0\nmsgspec\n"})
    sample.release("v2.0.0", {**plain, "requirements.txt": "greeting==2.0\nmsgspec\n"})
    base = tmp_path / "base"
    subprocess.run(["cp", "-r", os.path.realpath(sys.base_prefix), base], check=True)
    python = base / "bin" / os.path.basename(os.path.realpath(sys.executable))
    (site,) = base.glob("lib/python*/site-packages")
    (site / "msgspec-1.dist-info").mkdir()
    (site / "msgspec-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: msgspec\nVersion: 1\n")
    sample.venv = False
    sample.install("v1.0.0")
    sample.venv = True
    subprocess.run([python, "-m", "venv", "--system-site-packages", sample.app / "venv"], check=True)
    pip(sample, "greeting==1.0")
    assert "msgspec (new)" not in sample.gitdeploy("plan", "v2.0.0").out
    sample.gitdeploy("upgrade", "v2.0.0")
    assert "greeting==2.0" in sample.packages()
    sample.gitdeploy("upgrade", "v2.0.0", "--rebuild-venv")
    assert "include-system-site-packages = true" in (sample.app / "venv/pyvenv.cfg").read_text()
    sees = [
        str(sample.app / "venv/bin/python"),
        "-c",
        "from importlib.metadata import version; print(version('msgspec'))",
    ]
    assert subprocess.check_output(sees, text=True).strip() == "1"


@pytest.mark.parametrize("settings", ["exact: true, installer: pip", "exact: true"])
def test_a_venv_that_is_built_anew_has_pip_as_python_makes_it(sample: Sample, settings: str) -> None:
    sample.release("v1.0.0", {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n"})
    new = SETTINGS + f"venv: {{{settings}}}\nhooks: {{build: ['venv/bin/pip --version']}}\n"
    lines = "--pre\ngreeting==2.0\n" if "pip" not in settings else "greeting==2.0\n"
    sample.release("v2.0.0", {"deploy.yaml": new, ".gitignore": "/venv\n", "requirements.txt": lines})
    sample.install("v1.0.0")  # as uv makes it: without pip
    sample.wheel("gunicorn", "1.0")
    uv = ["--no-config", "--no-index", "-f", str(sample.wheels), "-p", str(sample.app / "venv/bin/python"), "gunicorn"]
    subprocess.run([find_uv_bin(), "pip", "install", "-q", *uv], check=True)
    assert "without gunicorn, which nothing asks for" in sample.gitdeploy("plan", "v2.0.0").out
    sample.gitdeploy("upgrade", "v2.0.0")
    assert {"greeting==2.0", "pip"} <= {name if not name.startswith("pip=") else "pip" for name in sample.packages()}


def test_variables_and_tools_of_builds(sample: Sample) -> None:
    sample.release("v1.0.0", project("1.0.0", "greeting==1.0"))
    settings = SETTINGS + "venv: {env: {SHOP_FLAG: -I/opt/lib}, self: editable}\n"
    sample.release("v2.0.0", {**project("2.0.0", "greeting==2.0"), "deploy.yaml": settings})
    with_pip(sample, "v1.0.0")
    sample.gitdeploy("upgrade", "v2.0.0", "--accept-config", "venv.env", env={"SHOP_FLAG": "not this"})
    assert shop(sample)[-1] == "-I/opt/lib"


def other_python() -> str | None:
    """An interpreter of another version than the one that runs the tests, where this machine has one."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    for minor in (14, 13, 12, 10, 9):
        named = shutil.which(f"python3.{minor}", path="/usr/local/bin:/usr/bin")
        for found in filter(None, [named, *map(str, home.glob(f".pyenv/versions/3.{minor}.*/bin/python3"))]):
            if minor != sys.version_info[1]:
                return found
    return None


def test_another_interpreter_is_a_new_venv_and_the_same_one_by_another_name_is_not(sample: Sample) -> None:
    python = other_python()
    if python is None:
        pytest.skip("not here: no second Python")
    plain = {".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n"}
    sample.release("v1.0.0", {**plain, "deploy.yaml": SETTINGS})
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for number, named in (
        ("2", f"'{own}'"),
        ("3", f"python{own}"),
        ("4", os.path.realpath(sys.executable)),
        ("5", python),
        ("6", "'3.99'"),
    ):
        sample.release(f"v{number}.0.0", {**plain, "deploy.yaml": SETTINGS + f"venv: {{python: {named}}}\n"})
    sample.install("v1.0.0")
    for tag in ("v2.0.0", "v3.0.0", "v4.0.0"):
        assert "built from nothing" not in sample.gitdeploy("plan", tag).out
    planned = sample.gitdeploy("plan", "v5.0.0").out
    assert f"built from nothing with Python {version_of(python)} (the live one has {own}." in planned
    assert (
        "There is no interpreter 3.99 (venv.python) on this server, or it doesn't start."
        in sample.gitdeploy("plan", "v6.0.0", code=None).text
    )
    sample.gitdeploy("upgrade", "v5.0.0")
    assert version_of(str(sample.app / "venv/bin/python")) == version_of(python)
    assert "greeting==1.0" in sample.packages()
    assert "venv            unchanged" in sample.gitdeploy("plan", "v5.0.0").out


def published(python: str, folder: Path) -> str:
    """What uv's list of downloads would be, with PYTHON as its only one; its address."""
    version = version_of(python)
    short = ".".join(version.split(".")[:2])
    tree = folder / "python"
    (tree / "bin").mkdir(parents=True)
    (tree / f"bin/python{short}").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    (tree / f"bin/python{short}").chmod(0o755)
    (tree / "bin/python3").symlink_to(f"python{short}")
    (tree / f"lib/python{short}").mkdir(parents=True)
    (tree / f"lib/python{short}/_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(
        "# system configuration generated and used by the sysconfig module\nbuild_time_vars = {}\n"
    )
    archive = folder / "cpython.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", folder, "python"], check=True)
    major, minor, patch = map(int, version.split("."))
    about = {
        "name": "cpython", "arch": {"family": os.uname().machine, "variant": None}, "os": "linux", "libc": "gnu", "major": major,
        "minor": minor, "patch": patch, "prerelease": "", "url": archive.as_uri(), "sha256": None, "variant": None, "build": "20240101",
    }  # fmt: skip
    listed = folder / "downloads.json"
    listed.write_text(json.dumps({f"cpython-{version}-linux-{os.uname().machine}-gnu": about}))
    return listed.as_uri()


def test_an_interpreter_that_is_not_here_is_downloaded_where_that_is_allowed(sample: Sample, tmp_path: Path) -> None:
    standard = "/usr/local/bin:/usr/bin:/bin"
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    others = [
        str(found)
        for minor in (13, 12, 14, 10)
        for found in home.glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}")
        if minor != sys.version_info[1] and shutil.which(f"python3.{minor}", path=standard) is None
    ]
    if not others:
        pytest.skip("not here: a second Python that lies on no PATH")
    short = ".".join(version_of(others[0]).split(".")[:2])
    plain = {".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n"}
    sample.release("v1.0.0", {**plain, "deploy.yaml": SETTINGS})
    sample.release("v2.0.0", {**plain, "deploy.yaml": SETTINGS + f"venv: {{python: '{short}'}}\n"})
    allowed = SETTINGS + f"venv: {{python: '{short}', python_downloads: true}}\n"
    sample.release("v3.0.0", {**plain, "deploy.yaml": allowed})
    sample.release("v4.0.0", {**plain, "deploy.yaml": allowed, "x": ""})
    sample.install("v1.0.0")
    sample.extra_environment |= {
        "PATH": standard,
        "UV_PYTHON_DOWNLOADS_JSON_URL": published(others[0], tmp_path / "published"),
    }
    assert f"There is no interpreter {short} (venv.python)" in sample.gitdeploy("plan", "v2.0.0", code=None).text
    agreed = ("--accept-config", "venv.python_downloads")
    planned = sample.gitdeploy("plan", "v3.0.0", *agreed).out
    assert f"built from nothing with Python {short}, downloaded by uv (the live one has" in planned
    assert not (sample.app / ".gitdeploy/pythons").exists(), "a plan fetches nothing"
    sample.gitdeploy("upgrade", "v3.0.0", *agreed)
    assert version_of(str(sample.app / "venv/bin/python")) == version_of(others[0])
    assert list((sample.app / ".gitdeploy/pythons").glob("cpython-*"))
    assert "venv            unchanged" in sample.gitdeploy("plan", "v4.0.0").out
    sample.gitdeploy("rollback", "--yes")
    assert version_of(str(sample.app / "venv/bin/python")).startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")


def version_of(python: str) -> str:
    return subprocess.check_output(
        [python, "-c", "import platform; print(platform.python_version())"], text=True
    ).strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user's")
def test_what_root_left_in_the_venv_stops_nothing() -> None:
    """One run of the app, or of pip, as root: its folders can't be deleted by the app's user."""
    python = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not os.access(python, os.X_OK):
        pytest.skip("not here: no Python of the tests' version that another user may run")
    if not needs.others_may_read_the_clone():
        pytest.skip("needs a clone that other users may read (this one lies below a folder of mode 0700)")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sample = Sample(folder)
        for version in ("1.0", "2.0"):
            sample.wheel("greeting", version)
        for number in ("1", "2", "3", "4"):
            lines = f"greeting=={min(int(number), 2)}.0\n# {number}\n"
            settings = SETTINGS + "backup: {keep: 1}\n"
            tree = {"deploy.yaml": settings, ".gitignore": "/venv\n", "requirements.txt": lines}
            sample.release(f"v{number}.0.0", tree)
        sample.venv = False
        sample.install("v1.0.0")
        subprocess.run([find_uv_bin(), "venv", "-q", "--no-config", "-p", python, sample.app / "venv"], check=True)
        (site,) = (sample.app / "venv").glob("lib/python*/site-packages")
        (folder / "home").mkdir()
        subprocess.run(["chown", "-R", "12345:12345", folder], check=True)
        (site / "byroot/inner").mkdir(parents=True)
        (site / "byroot/inner/__init__.py").write_text("")
        (site / "byroot/__pycache__").mkdir(mode=0o700)
        (site / "byroot/__pycache__/x.cpython-311.pyc").write_bytes(b"x")
        modules = next(path for path in sys.path if path.endswith("site-packages"))
        environment = {**sample.environment, "HOME": str(folder / "home"), "PYTHONPATH": f"{PROJECT}:{modules}"}

        def gitdeploy(*words: str) -> str:
            user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
            argv = [*user, python, "-m", "gitdeploy", *words]
            done = subprocess.run(argv, cwd=sample.app, env=environment, capture_output=True, text=True)
            assert done.returncode == 0 or words == ("doctor",), done.stdout + done.stderr
            return done.stdout + done.stderr

        said = "".join(gitdeploy("upgrade", tag) for tag in ("v2.0.0", "v3.0.0", "v4.0.0"))
        assert said.count("can't be deleted") == 1, "it is said once"
        assert "Delete it as root: rm -rf" in said
        for words in (["prune"], ["rollback", "--yes"], ["recover"]):
            assert "can't be deleted" not in gitdeploy(*words)
        way = re.search(r"As root: (rm -rf .*)", gitdeploy("doctor"))
        assert way is not None
        subprocess.run(["sh", "-c", way[1]], check=True)
        assert "rm -rf" not in gitdeploy("doctor")
