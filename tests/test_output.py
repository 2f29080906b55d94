"""What is kept of what children say: the beginning, the end, and how much is left out between; never more than is meant to be."""

from __future__ import annotations

import json
import re
import sys
import tracemalloc
from pathlib import Path

import pytest
from support.sample import Program, Sample

from gitdeploy.checkout.git import Repository
from gitdeploy.errors import CommandFailed
from gitdeploy.system import output, process
from gitdeploy.system.environment import clean_environment

MOST = (
    output.HEAD + output.TAIL + 8192
)  # bytes that are told of one child, the line that says what is missing among them
FLOODS = {  # how a child floods, after `first` and before `last`; Python's `w` writes bytes to its output, `e` to its error
    "lines": "for n in range(400_000): w(b'line %d\\n' % n)",
    "one letter a line": "for n in range(300): w(b'y\\n' * 20_000)",
    "empty lines": "for n in range(100): w(b'\\n' * 20_000)",
    "no line end": "for n in range(300): w(b'x' * 50_000)\nw(b'\\n')",
    "progress in place": "for n in range(400_000): w(b'\\r%d %%' % n)\nw(b'\\n')",
    "to its error": "for n in range(400_000): e(b'line %d\\n' % n)",
    "to both": "for n in range(200_000): w(b'out %d\\n' % n); e(b'err %d\\n' % n)",
    "no text": "for n in range(300): w(bytes(range(256)) * 200)",
    "wide letters": "for n in range(300): w('文件\\n'.encode() * 5_000)",
}


def flooding(tmp_path: Path, body: str) -> list[str]:
    program = tmp_path / "floods.py"
    begin = "import sys\nw, e = sys.stdout.buffer.write, sys.stderr.buffer.write\nw(b'first\\n'); sys.stdout.flush()\n"
    program.write_text(f"{begin}{body}\nsys.stdout.flush(); sys.stderr.flush(); w(b'\\nlast\\n')\n")
    return [sys.executable, "-I", str(program)]


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_told_by_its_beginning_and_its_end(tmp_path: Path, kind: str) -> None:
    told: list[str] = []
    words = flooding(tmp_path, FLOODS[kind])
    tracemalloc.start()
    try:
        done = process.run(words, cwd=tmp_path, env=clean_environment(), timeout=120, on_line=told.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.ok
    assert told[0] == "first"
    assert "last" in (told if kind == "to both" else told[-1:])
    assert sum(len(line.encode("utf-8", "replace")) for line in told) <= 3 * MOST  # what is no text is shown as escapes
    assert len(told) <= output.HEAD / 64 + 8192 + 2
    assert len(done.stdout) <= output.LOG
    assert peak < 16 << 20
    missing = [line for line in told if "left out here" in line]
    if kind == "no line end":
        assert told[1].endswith("xxx [...]"), "a line that was cut shows it"
    else:
        assert len(missing) == 1
    if kind == "lines":
        numbers = [int(line.split()[1]) for line in told if line.startswith("line ")]
        lines = int(re.fullmatch(r"\[(\d+) lines left out here, [\d.]+ MB: more than is kept\]", missing[0])[1])  # type: ignore[index]
        assert numbers == sorted(numbers)
        assert len(numbers) + lines == 400_000, "what is left out is counted"
        assert numbers[-1] == 399_999


def test_what_is_little_is_told_whole_and_at_once(tmp_path: Path) -> None:
    told: list[str] = []
    words = flooding(tmp_path, "for n in range(1000): w(b'%d\\n' % n)")
    process.run(words, cwd=tmp_path, env=clean_environment(), timeout=60, on_line=told.append)
    assert told == ["first", *map(str, range(1000)), "last"]


def test_an_answer_that_is_larger_than_what_is_kept_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a list of files, taken for all of it, would be files that are gone."""
    sample = Sample(tmp_path, venv=False)
    sample.release("v1.0.0", {f"file-{number}": "" for number in range(50)})
    sample.install("v1.0.0")
    repository = Repository.open(sample.app)
    assert repository.output("ls-files").count(b"\n") == 50
    monkeypatch.setattr(process, "ANSWER", 100)
    with pytest.raises(CommandFailed, match="git ls-files answers with more than 100 B, which is not read"):
        repository.output("ls-files")


FLOOD = "#!/bin/sh\necho first of $0\nyes 'a line of a hook that does not end' | head -c 30000000\necho last of $0\n"
SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks, check: [./flood], build: [./flood]}
service: {command: ./flood}
health: {command: ./flood, successes: 1, interval: 0.1}
"""


def test_a_release_whose_every_child_floods_grows_the_log_no_more_than_it_may(tmp_path: Path) -> None:
    shop = Sample(tmp_path, venv=False)
    shop.release("v1.0.0", {"deploy.yaml": SETTINGS, "flood": Program("#!/bin/sh\n")})
    flooding = {"flood": Program(FLOOD), "hooks/migrate": Program(FLOOD)}
    fails = {"hooks/post-deploy": Program(FLOOD + "echo ValueError: broken\nexit 1\n")}
    shop.release("v2.0.0", {"deploy.yaml": SETTINGS, **flooding, **fails})
    shop.install("v1.0.0")
    done = shop.gitdeploy("upgrade", "v2.0.0", "--json", code=3)
    result = json.loads(done.out)
    assert "ValueError: broken" in result["error"]["message"], "the end of what it said is there"
    log = shop.gitdeploy("log", "1").out
    for name in ("./flood", "hooks/migrate", "hooks/post-deploy"):
        assert re.search(rf"first of \S*{re.escape(name)}", log)
        assert re.search(rf"last of \S*{re.escape(name)}", log)
    assert len(re.findall(r"\d+ lines left out here, 2\d\.\d MB: more than is kept", log)) >= 5
    state = sum(path.stat().st_size for path in (shop.app / ".gitdeploy").glob("state.db*"))
    assert state < 20 << 20, "six children said 30 MB each"
