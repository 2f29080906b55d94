"""Release notes as HTML that can do no harm, whoever wrote them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import nh3

from gitdeploy.text import clean

LIMIT = 64 * 1024  # characters; parsing time grows faster than length
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SHIFT = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


@lru_cache(maxsize=128)
def to_html(notes: str) -> str:
    """Markdown as HTML: no HTML of its own, links only to absolute http(s) addresses, images as links. Headings begin at
    h3, below those of the page. Cut at 64 KB."""
    cut = len(notes) > LIMIT
    text = clean(notes[:LIMIT], lines=True)
    html = _parser().render(text)
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
        for child in list(token.children or ()):
            if child.type == "image":
                _make_link(token, child)


def _make_link(parent: Any, image: Any) -> None:
    address = str(image.attrGet("src") or "")
    words = image.content or address
    text = type(image)("text", "", 0, content=words)
    at = parent.children.index(image)
    inside = any(t.type == "link_open" for t in parent.children[:at]) and not any(
        t.type == "link_close" for t in parent.children[:at]
    )
    if inside:
        parent.children[at : at + 1] = [text]
        return
    opening = type(image)("link_open", "a", 1, attrs={"href": address})
    parent.children[at : at + 1] = [opening, text, type(image)("link_close", "a", -1)]


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if value.lower().startswith(("https://", "http://")) else None
    if name == "rel":
        return value
    return value if value.isascii() and value.isdigit() and len(value) < 7 else None
