"""`python -m bench`: measure, print tables, write JSON and plots."""

from __future__ import annotations

import argparse
import compileall
import os
import sys
import tempfile
import time
from pathlib import Path

from bench import ways, web_load
from bench.app import NEW, NEXT, App, Shape
from bench.measure import Figures, rounds
from bench.packages import made_packages, real_packages
from bench.plots import lines, stacked_bars
from bench.report import goals, machine, table, window_table, write_json
from bench.scenarios import Scenarios
from bench.window import Seen, watch

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Ends with 0 whether the goals were reached or not: a figure of a busy machine is not a failure."""
    if sys.argv[1:2] == ["way"]:
        ways.perform(sys.argv[2], *sys.argv[3:])
        return
    if sys.argv[1:2] == ["fleet"]:
        from bench import fleet  # noqa: PLC0415  # it needs the tests' folder and Ansible

        fleet.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["web"]:
        web_load.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="What a deployment costs, beside other ways to do it."
    )
    parser.add_argument(
        "--quick", action="store_true", help="a look in under three minutes: packages made here, few rounds"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=40, help="no new round after so long (40)")
    parser.add_argument(
        "--made", action="store_true", help="packages made here instead of ten real ones from the index"
    )
    parser.add_argument(
        "--cache", type=Path, help="where the app is kept between runs (BENCH_CACHE, or below the temporary folder)"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "bench" / "results", help="folder of results.json and the plots"
    )
    Run(parser.parse_args()).run()


def _number(name: str, default: int) -> int:
    """What the environment has, as a number."""
    return int(os.environ.get(name) or default)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Run:
    """One run: FILES, TAGS and VENV_MB in the environment shape the app."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.cache = asked.cache or Path(
            os.environ.get("BENCH_CACHE") or Path(tempfile.gettempdir()) / "gitdeploy-bench-own"
        )
        self.number = 1 if asked.quick else asked.rounds
        self.deadline = time.monotonic() + 60 * (1.5 if asked.quick else asked.minutes)
        self.results: dict[str, dict[str, Figures]] = {}
        self.seen: dict[str, dict[str, list[Seen]]] = {}
        # As pip leaves it: a checkout's own bytecode may be switched off by PYTHONDONTWRITEBYTECODE.
        compileall.compile_dir(ROOT / "gitdeploy", quiet=1)

    def run(self) -> None:
        say(f"filling {self.cache}")
        packages = None if self.asked.quick or self.asked.made else real_packages(self.cache / "wheels")
        packages = packages or made_packages(self.cache / "wheels-made")
        shape = Shape(_number("FILES", 2000), _number("TAGS", 300), 100, _number("VENV_MB", 0))
        scenarios = Scenarios(App(self.cache, shape, packages))
        for title, found in scenarios.all().items():
            self._measure(title, scenarios.app, found)
        self._measure("commands that only look", scenarios.app, scenarios.small())
        self._measure("first import of the packages", scenarios.app, scenarios.first_import())
        self._windows(scenarios)
        sizes: dict[str, dict[str, list[tuple[float, float]]]] = {}
        if not self.asked.quick:
            few = Shape(changed=1000, files=20000, tags=300)
            self._windows(Scenarios(App(self.cache, few, packages)))
            for axis, shapes in (
                ("MB of venv", [Shape(megabytes=size) for size in (300, 600, 900)]),
                ("tracked files", [Shape(files=files, tags=files * 3 // 20) for files in (2000, 20000)]),
            ):
                sizes[axis] = self._scale(axis, shapes, packages)
        self._report(sizes)

    def _measure(self, title: str, app: App, found: list) -> None:  # type: ignore[type-arg]
        if self.results and time.monotonic() > self.deadline:
            say(f"left out, for want of time: {title}")
            return
        say(f"{title} ({app.shape.name})")
        self.results[title] = rounds(app, found, self.number, self.deadline, say)
        print(table(title, self.results[title]), flush=True)

    def _windows(self, scenarios: Scenarios) -> None:
        app, shape = scenarios.app, scenarios.app.shape
        old, new = app.packages.old, app.packages.new
        bumped = next(name for name in new if old[name] != new[name])
        site = f"venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        package = f"{site}/{bumped.lower()}-{new[bumped]}.dist-info"
        found = scenarios.all()
        code, whole = f"{shape.changed} files", f"{shape.changed} files and two packages"
        pip = "venv/bin/python -m pip install -q -r requirements.txt"
        fetch = "git fetch -q --no-tags origin refs/tags/{0}:refs/tags/{0} && git checkout -q -f {0}"
        first, second = found["upgrade, two packages bumped"], found["upgrade, requirements unchanged"]
        bare_code = ["sh", "-c", fetch.format(NEXT)]
        bare_both = ["sh", "-c", f"{fetch.format(NEW)} && {pip}"]
        for title, name, way, words, tag, wanted in (
            (code, "gitdeploy", second[1], second[1].words, NEXT, None),
            (code, "git checkout", second[2], bare_code, NEXT, None),
            (whole, "gitdeploy", first[1], first[1].words, NEW, package),
            (whole, "git checkout + pip", first[2], bare_both, NEW, package),
        ):
            for _ in range(self.number):
                if time.monotonic() > self.deadline:
                    say(f"left out, for want of time: the live window of {title}, {name}")
                    break
                assert way.make is not None
                app.restore(way.state, way.make)
                if name == "git checkout":  # today's way knows no git: bring the checkout to where its files are
                    app.call("sh", "-c", fetch.format(NEW))
                sample = self._sample(app, tag)
                look = watch(app, list(words), sample, tag, wanted)
                self.seen.setdefault(title, {}).setdefault(name, []).append(look)
                say(f"  window, {title}: {name} {look.window * 1000:.1f} ms")

    @staticmethod
    def _sample(app: App, tag: str) -> list[str]:
        """Forty of the files that TAG changes, the first and the last among them."""
        listed = app.call("git", "diff-tree", "-r", "--name-only", "--diff-filter=M", f"{tag}^", tag, cwd=app.remote)
        names = sorted(line for line in listed.decode().splitlines() if line.startswith("app/"))
        return [*names[:: max(1, len(names) // 39)], names[-1]]

    def _scale(self, axis: str, shapes: list[Shape], packages: object) -> dict[str, list[tuple[float, float]]]:
        series: dict[str, list[tuple[float, float]]] = {}
        for shape in shapes:
            app = App(self.cache, shape, packages)  # type: ignore[arg-type]
            for title, found in Scenarios(app).scaled().items():
                full = f"{title}, {shape.megabytes or 'the packages'} MB, {shape.files} files"
                self._measure(full, app, found)
                for name, figures in self.results.get(full, {}).items():
                    size = shape.megabytes if axis == "MB of venv" else shape.files
                    what = title.split(",")[0].split(" of")[0]
                    series.setdefault(f"{what}: {name}", []).append((size, figures.middle))
        return series

    def _report(self, sizes: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
        if self.seen:
            print(window_table(self.seen))
        said = goals(self.results, self.seen)
        print(
            "\n".join(["### Goals", "", *said, "", ", ".join(f"{name} {value}" for name, value in machine().items())])
        )
        folder: Path = self.asked.results
        folder.mkdir(parents=True, exist_ok=True)
        found = self.results["upgrade, two packages bumped"]
        stacked_bars(
            folder / "upgrade.svg", "An upgrade that bumps two packages, seconds",
            {name: figures.step_medians() for name, figures in found.items()},
            {name: figures.middle for name, figures in found.items()},
        )  # fmt: skip
        for axis, series in ((axis, series) for axis, series in sizes.items() if series):
            lines(folder / f"{axis.split(' ')[-1]}.svg", f"Cost against {axis}", axis, series)
        write_json(folder / "results.json", self.results, self.seen, said)
        say(f"written: {folder}")


if __name__ == "__main__":
    main()
