"""In which language and which colours somebody sees the page."""

from __future__ import annotations

from collections.abc import Mapping

from gitdeploy.web.words.texts import LANGUAGES, preferred

THEMES = ("auto", "light", "dark")
LANGUAGE_COOKIE, THEME_COOKIE = "gitdeploy_language", "gitdeploy_theme"


def taste(query: Mapping[str, str], cookies: Mapping[str, str], accept_language: str) -> tuple[str, str]:
    """(language, theme): what the query asks for, else what the cookies remember, else what the browser prefers."""
    language = next(
        (found for found in (query.get("lang"), cookies.get(LANGUAGE_COOKIE)) if found in LANGUAGES),
        preferred(accept_language),
    )
    theme = next((found for found in (query.get("theme"), cookies.get(THEME_COOKIE)) if found in THEMES), "auto")
    return str(language), str(theme)
