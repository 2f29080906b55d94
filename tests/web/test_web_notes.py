"""Release notes: whoever wrote them, the page that shows them is harmless."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdeploy.web.words.notes import LIMIT, to_html

TAGS = {"a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
        "table", "tbody", "td", "th", "thead", "tr", "ul"}  # fmt: skip


class Harmless(HTMLParser):
    """Fails at the first tag or attribute that could do anything."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            if tag == "a" and name == "href":
                assert re.match(r"https?://", value or "", re.IGNORECASE), value
            elif tag == "a" and name == "rel":
                assert value == "noopener noreferrer nofollow"
            else:
                assert (tag, name) == ("ol", "start"), (tag, name, value)
                assert (value or "").isdigit()


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<form action=https://evil.example><input name=token></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example>",
    '<a href="javascript:alert(1)" onclick=alert(1)>x</a>',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<style>*{display:none}</style>",
    "<details open ontoggle=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example/x)",
    "[x](/upgrade/api/start-upgrade)",
    "[x](file:///etc/passwd)",
    '[x](https://a.example/"onmouseover=alert(1))',
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "[![x](https://evil.example/pixel.png)](https://example.com)",
    "[![a](javascript:a)![b](https://b.example)](https://example.com)",
    "<https://evil.example/><javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>`",
    "# <script>alert(1)</script>",
    "a \u202e\u2066 b \x1b[31m c \x00 d \u200b",
    "|a|b|\n|-|-|\n|<script>|[x](javascript:x)|",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<a href='https://x.example' id=csrf name=csrf class=x style=x>x</a>",
]


@pytest.mark.parametrize("notes", HOSTILE)
def test_hostile_notes_are_harmless(notes: str) -> None:
    html = to_html(notes)
    Harmless().feed(html)
    assert not re.search(r"[\x00\x1b\u202e\u2066\u200b]", html)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*HOSTILE, "\n", "\n\n", "* ", "> ", "1. ", "<", ">", '"', "'", "](", "![", "`"]), max_size=8
    )
)
def test_no_mixture_of_them_gets_through(pieces: list[str]) -> None:
    Harmless().feed(to_html("".join(pieces)))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_no_text_gets_through(text: str) -> None:
    Harmless().feed(to_html(text))


def test_a_text_that_is_all_marks_is_shown_as_it_was_written() -> None:
    html = to_html("[<script>] " * 5000)
    assert html.startswith("<pre>[&lt;script&gt;] [&lt;script&gt;]")
    Harmless().feed(html)
    links = "".join(f"* **web:** faster ([#{number}](https://x.example/{number}))\n" for number in range(600))
    assert to_html(links).count("<a ") == 600, "a long list of changes is none"


def test_an_image_in_a_link_is_its_words() -> None:
    html = to_html("[a ![b](http://c) d](https://e.example) ![f](http://g.example)")
    assert html.count("<a ") == 2
    assert ">a b d</a> <a " in html


def test_good_notes_stay() -> None:
    html = to_html(
        "# New\n\n* **fast**, `code`\n* ~~old~~ [page](https://example.com/a?b=c&d=e)\n\n|a|b|\n|-|-|\n|1|2|\n"
    )
    assert "<h3>New</h3>" in html, "the page's own headings stand above"
    for part in ("<strong>fast</strong>", "<code>code</code>", "<s>old</s>", "<td>1</td>"):
        assert part in html
    assert '<a href="https://example.com/a?b=c&amp;d=e" rel="noopener noreferrer nofollow">page</a>' in html
    picture = to_html("![a picture](https://example.com/x.png)")
    assert '<a href="https://example.com/x.png" rel="noopener noreferrer nofollow">a picture</a>' in picture


@pytest.mark.parametrize(
    "notes",
    ["[" * 300_000, "![" * 100_000, "> " * 30_000, "* " * 30_000, "|" * 1_000_000, "`" * 70_000, "a\n" * 500_000,
     "[a](" * 50_000, "<" * 70_000, "*_" * 40_000, "&" * 70_000, "![](a)" * 10_900, "![](a)" * 1300, "[" * 7_900,
     "![" * 3_900, "|a|b|\n|-|-|\n" + "|\n" * 30_000, "|a|b|\n|-|-|\n" + "|\n" * 7_900, "*a_ " * 3_900,
     "[a]: b\n" + "[a]" * 7_900, "a  \n" * 16_000],
    ids=lambda notes: notes[:4],
)  # fmt: skip
def test_huge_and_deep_notes_are_cut(notes: str) -> None:
    """Each visitor of the page would pay for it. Far below a second on a machine that has nothing else to do."""
    begun = time.process_time()
    html = to_html(notes)
    assert time.process_time() - begun < 2
    assert len(html) < 40 * LIMIT
    if len(notes) > LIMIT:
        assert html.endswith("<p>…</p>")
    Harmless().feed(html)
