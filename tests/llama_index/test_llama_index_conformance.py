"""The shipped conformance suite, over every kind of collection."""

from __future__ import annotations

import pytest

from retrievers import Collection
from retrievers.llama_index import LateInteractionVectorStore
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index import VectorStoreConformance


class TestOnDisk(VectorStoreConformance):
    @pytest.fixture
    def store(self, tmp_path):
        with Collection(tmp_path / "collection", HashingEncoder()) as collection:
            yield LateInteractionVectorStore(collection)


class TestInMemory(VectorStoreConformance):
    @pytest.fixture
    def store(self):
        with Collection(None, HashingEncoder()) as collection:
            yield LateInteractionVectorStore(collection)
