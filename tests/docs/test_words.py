"""What people read speaks the trade's words: none of those that readers stumbled over, in no sentence and on no page."""

from __future__ import annotations

import re

import pytest
from language.catalogue import sentences

from docs.test_two_languages import pairs, words

pytestmark = pytest.mark.quick

INSTEAD = {
    r"\b(?:is|not|answers?) well\b": "healthy, unhealthy; passes its health check",
    r"\btaken back\b|\b(?:goes|go|went) back by itself\b|\bthe way back\b": "rolled back, rolls back automatically, rollback",
    r"\bmend(?:s|ed|ing)?\b": "fix, repair",
    r"\ba person is needed\b": "manual intervention required",
    r"\bholds? deployments\b|\blet (?:them|deployments) go on\b": "pause, resume deployments",
    r"\bwhoever looks\b|\bnobody is there to be asked\b": "anyone who runs it; not a terminal: pass --yes",
    r"\bis not installed by itself\b|\binstalled by itself\b": "won't be retried automatically, installed automatically",
    r"\b(?:stands?|is|are) in (?:the|its) way\b": "blocks, conflicts with",
    r"\ban update that waits\b": "update available",
    r"\bat the most\b": "up to",
}


@pytest.mark.parametrize("word", INSTEAD, ids=lambda word: INSTEAD[word])
def test_no_sentence_has_it(word: str) -> None:
    assert [each.template for each in sentences() if re.search(word, each.template, re.IGNORECASE)] == []


@pytest.mark.parametrize("page", [english for english, _ in pairs()], ids=lambda page: page.name)
def test_no_page_has_it(page: object) -> None:
    text = words(page)  # type: ignore[arg-type]
    found = [
        (match[0], instead) for word, instead in INSTEAD.items() for match in re.finditer(word, text, re.IGNORECASE)
    ]
    assert found == []
