"""All cases of all hints."""

from __future__ import annotations

from hints import cases_checkout, cases_commands, cases_repository

CASES = {**cases_checkout.CASES, **cases_repository.CASES, **cases_commands.CASES}
