"""The documents of the conformance suite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from retrievers.types import Document, Hit

PARIS, BERLIN, BREAD = (
    "Paris is the capital of France.",
    "Berlin is the capital of Germany.",
    "Bread needs flour, water and salt.",
)
METADATA: tuple[dict[str, Any], ...] = (
    {"topic": "city", "people": 2.1, "tags": ["old", "river"], "seen": True, "deep": {"a": {"b": 1}}},
    {"topic": "city", "people": 3, "tags": [], "seen": False, "note": None},
    {"topic": "food", "name": "Brötchen 🥖", "price": 10**15},
)


def names(found: Iterable[Hit | Document]) -> list[str | None]:
    """The ids, in order."""
    return [one.id for one in found]
