"""Tables for a terminal and for the documentation, the goals, and everything as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.measure import Figures
from bench.window import Seen

Results = Mapping[str, Mapping[str, Figures]]


def table(title: str, found: Mapping[str, Figures]) -> str:
    """One scenario in Markdown."""
    lines = [
        f"### {title}",
        "",
        "| way | median s | min-max | CPU s | MB | x floor | today / it | steps |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name, figures in found.items():
        steps = ", ".join(
            f"{step} {seconds:.2f}" for step, seconds in figures.step_medians().items() if seconds >= 0.005
        )
        over = f"{figures.middle / found['floor'].middle:.2f}" if "floor" in found else ""
        under = f"{found['today'].middle / figures.middle:.1f}" if "today" in found else ""
        lines.append(
            f"| {name} | {figures.middle:.3f} | {min(figures.wall):.3f}-{max(figures.wall):.3f} | {median(figures.cpu):.2f} | "
            f"{max(figures.own_memory):.0f} | {over} | {under} | {steps} |"
        )
    return "\n".join([*lines, ""])


def window_table(seen: Mapping[str, Mapping[str, list[Seen]]]) -> str:
    lines = [
        "### The live window, seen by a reader",
        "",
        "| what | way | window ms (median, min-max) | looks with a missing or cut file | the journal's record ms |",
        "|---|---|--:|--:|--:|",
    ]
    for title, ways in seen.items():
        for name, looks in ways.items():
            times = [look.window * 1000 for look in looks]
            told = [look.told * 1000 for look in looks if look.told is not None]
            lines.append(
                f"| {title} | {name} | {median(times):.1f} ({min(times):.1f}-{max(times):.1f}) | "
                f"{sum(look.broken for look in looks)} of {sum(look.looks for look in looks)} | {f'{median(told):.1f}' if told else ''} |"
            )
    return "\n".join([*lines, ""])


def goals(results: Results, seen: Mapping[str, Mapping[str, list[Seen]]]) -> list[str]:
    """Each goal with its figure and its limit, in a sentence that says whether it was reached."""
    middle = {title: {name: figures.middle for name, figures in found.items()} for title, found in results.items()}
    said = []

    def goal(what: str, figure: float | None, limit: float | None) -> None:
        if figure is not None and limit is not None:
            said.append(f"{'reached' if figure <= limit else 'MISSED '}  {what}: {figure:.3f} s, limit {limit:.3f} s")

    for title, factor, more in (
        ("upgrade, two packages bumped", 1.25, 0.5),
        ("upgrade, requirements unchanged", 1.5, 0.5),
        ("rollback of two bumped packages", 2.0, 0.3),
        ("upgrade after prepare", 1.5, 0.4),
    ):
        if found := middle.get(title):
            goal(f"{title} (<= {factor} x floor + {more} s)", found["gitdeploy"], factor * found["floor"] + more)
    if found := middle.get("upgrade, two packages bumped"):
        goal("the same (<= a fifth of today's way)", found["gitdeploy"], found["today"] / 5)
    if found := middle.get("commands that only look"):
        goal("--version (<= bare python3 + 60 ms)", found["gitdeploy --version"], found["python3 -c pass"] + 0.06)
        goal("status (<= 0.4 s)", found["gitdeploy status"], 0.4)
    for title, ways in seen.items():
        if "git checkout" in ways:
            own, bare = (median(look.window for look in ways[name]) for name in ("gitdeploy", "git checkout"))
            goal(f"live window, {title} (<= a quarter of git checkout's)", own, bare / 4)
    peak = max(
        (max(f.own_memory) for found in results.values() for name, f in found.items() if name.startswith("gitdeploy")),
        default=0,
    )
    said.append(
        f"{'reached' if peak < 120 else 'MISSED '}  memory of the gitdeploy process: {peak:.0f} MB, limit 120 MB"
    )
    return said


def machine() -> dict[str, str | int]:
    """What it ran on."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return {
        "cpu": cpu, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "python": sys.version.split()[0],
        "git": git.removeprefix("git version "), "uv": version("uv"), "gitdeploy": version("gitdeploy"),
        "load": f"{os.getloadavg()[0]:.1f} at the end",
    }  # fmt: skip


def write_json(path: Path, results: Results, seen: Mapping[str, Mapping[str, list[Seen]]], said: list[str]) -> None:
    document = {
        "machine": machine(),
        "goals": said,
        "results": {
            title: {name: asdict(figures) for name, figures in found.items()} for title, found in results.items()
        },
        "windows": {
            title: {name: [asdict(look) for look in looks] for name, looks in ways.items()}
            for title, ways in seen.items()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
