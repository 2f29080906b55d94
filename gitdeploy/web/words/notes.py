"""Release notes as HTML that can do no harm, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape
from typing import Any

import nh3

from gitdeploy.text import clean

LIMIT = 64 * 1024  # characters; parsing time grows faster than length
MOST_MARKS = 8000  # that Markdown may mean something by; a text with more is shown as it was written
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SHIFT = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


@lru_cache(maxsize=128)
def to_html(notes: str) -> str:
    """Markdown as HTML: no HTML of its own, links only to absolute http(s) addresses, images as links. Headings begin at
    h3, below those of the page. Cut at 64 KB, and no more than a fraction of a second's work whatever it holds."""
    cut = len(notes) > LIMIT
    text = clean(notes[:LIMIT], lines=True)
    plain = sum(map(text.count, "[!*_~`|<")) > MOST_MARKS
    html = f"<pre>{escape(text)}</pre>" if plain else _parser().render(text)
    safe = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=_attribute,
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return safe + ("<p>…</p>" if cut else "")


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable(
        ["table", "strikethrough"]
    )
    parser.core.ruler.push("gitdeploy", _quiet)
    return parser


def _quiet(state: Any) -> None:
    """Headings two steps down; a picture, which would call a stranger's server, becomes a link to it."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = _SHIFT[token.tag]
        if any(child.type == "image" for child in token.children or ()):
            token.children = list(_with_links(token.children))


def _with_links(children: Iterable[Any]) -> Iterator[Any]:
    """CHILDREN with a link in place of each image; inside a link, which can hold none, only its words."""
    depth = 0
    for child in children:
        depth += (child.type == "link_open") - (child.type == "link_close")
        if child.type != "image":
            yield child
            continue
        address = str(child.attrGet("src") or "")
        text = type(child)("text", "", 0, content=child.content or address)
        if depth:
            yield text
        else:
            yield type(child)("link_open", "a", 1, attrs={"href": address})
            yield text
            yield type(child)("link_close", "a", -1)


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if value.lower().startswith(("https://", "http://")) else None
    if name == "rel":
        return value
    return value if value.isascii() and value.isdigit() and len(value) < 7 else None
