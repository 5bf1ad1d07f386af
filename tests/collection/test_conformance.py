"""The conformance suite for collections over our own, on disk and in memory."""

from __future__ import annotations

import pytest

from retrievers import Collection
from retrievers.testing import CollectionConformance, HashingEncoder


class TestOnDisk(CollectionConformance):
    @pytest.fixture
    def collection(self, tmp_path):
        with Collection(tmp_path / "collection", HashingEncoder(), words="porter") as collection:
            yield collection


class TestOnDiskWith4Bits(CollectionConformance):
    bits = 4

    @pytest.fixture
    def collection(self, tmp_path):
        with Collection(tmp_path / "collection", HashingEncoder(), words="porter", bits=4) as collection:
            yield collection


class TestInMemory(CollectionConformance):
    @pytest.fixture
    def collection(self):
        with Collection(None, HashingEncoder(), words="unicode61") as collection:
            yield collection
