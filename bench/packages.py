"""The packages of the app's venv: ten real ones from the package index, or made on the spot where there is none."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitdeploy.demo import build_wheel

REAL = {
    "pandas": "2.2.3", "numpy": "2.1.3", "matplotlib": "3.9.2", "Pillow": "11.0.0", "lxml": "5.3.0",
    "cryptography": "44.0.0", "Flask": "3.0.3", "requests": "2.32.3", "SQLAlchemy": "2.0.36", "gunicorn": "22.0.0",
}  # fmt: skip
REAL_BUMPED = {**REAL, "Pillow": "11.1.0", "gunicorn": "23.0.0"}
MADE = {**{f"bulk{number}": "1.0" for number in range(8)}, "pictures": "11.0", "serving": "22.0"}
MADE_BUMPED = {**MADE, "pictures": "11.1", "serving": "23.0"}


@dataclass(frozen=True)
class Packages:
    """`old` and `new`: name to version before and after the upgrade; `modules`: what an app imports first."""

    wheels: Path
    old: Mapping[str, str]
    new: Mapping[str, str]
    modules: tuple[str, ...]
    real: bool

    @staticmethod
    def lines(versions: Mapping[str, str]) -> str:
        """The text of a requirements.txt."""
        return "".join(f"{name}=={version}\n" for name, version in versions.items())


def real_packages(folder: Path) -> Packages | None:
    """Wheels from the index that pip is configured for, downloaded once; None where that fails."""
    complete = folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for versions in (REAL, REAL_BUMPED):
            words = [f"{name}=={version}" for name, version in versions.items()]
            done = subprocess.run(
                [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", folder, *words],
                check=False,
            )
            if done.returncode:
                return None
        complete.touch()
    modules = (
        "pandas",
        "matplotlib.pyplot",
        "PIL.Image",
        "lxml.etree",
        "flask",
        "requests",
        "sqlalchemy",
        "gunicorn.config",
    )
    return Packages(folder, REAL, REAL_BUMPED, modules, real=True)


def made_packages(folder: Path) -> Packages:
    """Wheels of modules that compile and import like real ones: eight that stay as they are, two that are bumped."""
    complete = folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, version in MADE.items():
            files = _modules(name, version, 80 if name.startswith("bulk") else 65)
            if name.startswith("bulk"):
                files[f"{name}/data.txt"] = f"{name} 0123456789\n" * 1_500_000
            build_wheel(folder, name, version, files)
        for name in ("pictures", "serving"):
            build_wheel(folder, name, MADE_BUMPED[name], _modules(name, MADE_BUMPED[name], 65))
        complete.touch()
    return Packages(folder, MADE, MADE_BUMPED, tuple(MADE), real=False)


def _modules(name: str, version: str, number: int) -> dict[str, str]:
    """A package of NUMBER modules of about 8 kB, half of which are the same in every version."""
    files = {f"{name}/__init__.py": "".join(f"from {name} import module_{n}\n" for n in range(40))}
    for at in range(number):
        seed = f"{name} {at} {version if at % 2 else ''}"
        source = random.Random(seed)
        lines = [
            f"def function_{n}(a, b={source.randrange(1000)}):\n    return [a * {n}, b, {source.random()!r}]\n"
            for n in range(120)
        ]
        files[f"{name}/module_{at}.py"] = f'"""{seed}"""\n' + "".join(lines)
    return files


def fill(site: Path, megabytes: int, present: int) -> None:
    """Packages that only take room, until a venv of PRESENT bytes has MEGABYTES: modules of 25 kB, a real venv's mean."""
    for number in range(max(0, megabytes * 1_000_000 - present) // 10_000_000):
        name = f"filler_{number}"
        (site / name).mkdir()
        rows = []
        for at in range(400):
            text = f"text = {at}\n" + "# filler\n" * 2770
            (site / name / f"module_{at}.py").write_text(text)
            rows.append(f"{name}/module_{at}.py,,{len(text)}\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(rows))
