"""Six documents that share words, so that a hashing encoder ranks them like a model would."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document

from retrievers.langchain import LateInteractionVectorStore

PLANETS = {
    "mercury": ("Mercury is the smallest planet and the closest to the sun", "rock", 0),
    "venus": ("Venus is the hottest planet and hides under thick clouds", "rock", 0),
    "earth": ("Earth is the only planet known to bear life", "rock", 1),
    "mars": ("Mars is the red planet with two small moons", "rock", 2),
    "jupiter": ("Jupiter is the largest planet and has a great red storm", "gas", 95),
    "saturn": ("Saturn is the planet with the brightest rings", "gas", 146),
}


@pytest.fixture
def planets() -> list[Document]:
    return [
        Document(page_content=text, id=key, metadata={"kind": kind, "moons": moons})
        for key, (text, kind, moons) in PLANETS.items()
    ]


@pytest.fixture
def empty_store(collection) -> LateInteractionVectorStore:
    return LateInteractionVectorStore(collection)


@pytest.fixture
def store(empty_store, planets) -> LateInteractionVectorStore:
    """The planets, on disk and in memory."""
    empty_store.add_documents(planets)
    return empty_store
