"""The sources' view of the checkout: what they need of git."""

from __future__ import annotations
