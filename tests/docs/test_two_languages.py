"""Each page of the documentation is there in both languages: the same headings, code blocks and tables, and no dead link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
ENGLISH_ONLY = {
    "decisions",
    "reference",
}  # why something was decided is for who works on it; the reference is made from the code
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CHINESE = re.compile("[\u4e00-\u9fff]")
LONGEST_LINE = 100

pytestmark = pytest.mark.quick


def pairs() -> list[tuple[Path, Path]]:
    pages = [page for page in sorted(DOCS.glob("*.md")) if page.parent.name not in ENGLISH_ONLY]
    return [(PROJECT / "README.md", PROJECT / "README.zh-CN.md"), *((page, DOCS / "zh" / page.name) for page in pages)]


PAIRS = pytest.mark.parametrize(("english", "chinese"), pairs(), ids=lambda path: path.name)
PAGES = pytest.mark.parametrize(
    "page", [page for pair in pairs() for page in pair], ids=lambda page: f"{page.parent.name}/{page.name}"
)


def words(page: Path) -> str:
    """The text of a page without its code blocks."""
    return CODE.sub("", page.read_text(encoding="utf-8"))


@PAIRS
def test_the_headings_are_the_same(english: Path, chinese: Path) -> None:
    levels = [[len(marks) for marks, _ in HEADING.findall(words(page))] for page in (english, chinese)]
    assert levels[0] == levels[1]


@PAIRS
def test_the_code_blocks_are_the_same(english: Path, chinese: Path) -> None:
    blocks = [[found[0] for found in CODE.finditer(page.read_text(encoding="utf-8"))] for page in (english, chinese)]
    assert blocks[0] == blocks[1]


@PAIRS
def test_the_tables_have_as_many_rows(english: Path, chinese: Path) -> None:
    rows = [len(re.findall(r"^ *\|", words(page), re.MULTILINE)) for page in (english, chinese)]
    assert rows[0] == rows[1]


@PAIRS
def test_each_is_in_its_language_and_leads_to_the_other(english: Path, chinese: Path) -> None:
    said = words(english).replace("简体中文", "")
    assert english.name == "glossary.md" or len(CHINESE.findall(said)) < 60, "but for names and quoted texts"
    assert len(CHINESE.findall(words(chinese))) > len(words(english)) / 8
    assert f"({'zh/' if english.parent == DOCS else ''}{chinese.name})" in english.read_text(encoding="utf-8")
    assert f"({'../' if english.parent == DOCS else ''}{english.name})" in chinese.read_text(encoding="utf-8")


@PAGES
def test_no_link_leads_nowhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(words(page)):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address, as GitHub and MkDocs make it."""
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text(encoding="utf-8")))
    for _, title in HEADING.findall(words(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


@PAIRS
def test_no_line_of_english_is_too_long_to_read_in_a_diff(english: Path, chinese: Path) -> None:
    long = [
        line
        for line in words(english).splitlines()
        if len(line) > LONGEST_LINE and not re.match(r" *(\||\[|!|<)", line)
    ]
    assert [line for line in long if " " in line[:LONGEST_LINE].strip()] == []
