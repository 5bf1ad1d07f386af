"""The conformance suite over Qdrant: the client's own engine, the loopback server, and a real server."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from retrievers.qdrant import QdrantCollection
from retrievers.testing import CollectionConformance, HashingEncoder


class TestInMemory(CollectionConformance):
    @pytest.fixture
    def collection(self):
        with QdrantCollection(":memory:", "papers", HashingEncoder()) as collection:
            yield collection


class TestInMemoryWith4Bits(CollectionConformance):
    bits = 4

    @pytest.fixture
    def collection(self):
        with QdrantCollection(":memory:", "papers", HashingEncoder(), bits=4) as collection:
            yield collection


class TestInDirectory(CollectionConformance):
    @pytest.fixture
    def collection(self, tmp_path):
        with QdrantCollection(tmp_path / "qdrant", "papers", HashingEncoder()) as collection:
            yield collection


class TestOnLoopbackServer(CollectionConformance):
    @pytest.fixture
    def collection(self, emptied):
        return emptied


@pytest.mark.skipif("QDRANT_URL" not in os.environ, reason="QDRANT_URL names no Qdrant server")
class TestOnRealServer(CollectionConformance):
    @pytest.fixture
    def collection(self):
        name, key = f"conformance-{uuid4().hex}", os.environ.get("QDRANT_API_KEY")
        with QdrantCollection(os.environ["QDRANT_URL"], name, HashingEncoder(), api_key=key) as collection:
            yield collection
            collection.drop()
