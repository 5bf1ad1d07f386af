"""The conformance suites over Qdrant: the client's own engine in memory and in a directory."""

from __future__ import annotations

import pytest

from retrievers.qdrant import QdrantCollection
from retrievers.testing import CollectionConformance, HashingEncoder


class TestInMemory(CollectionConformance):
    @pytest.fixture
    def collection(self):
        with QdrantCollection(":memory:", "papers", HashingEncoder()) as collection:
            yield collection


class TestInDirectory(CollectionConformance):
    @pytest.fixture
    def collection(self, tmp_path):
        with QdrantCollection(tmp_path / "qdrant", "papers", HashingEncoder()) as collection:
            yield collection
