"""LangChain's own conformance suites, none of their tests overridden, for each kind of collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from retrievers import Collection
from retrievers.langchain import LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing import HashingEncoder

KINDS: dict[str, Callable[[Path], Collection]] = {
    "disk": lambda path: Collection(path / "collection", HashingEncoder()),
    "memory": lambda path: Collection(None, HashingEncoder()),
}


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture(params=KINDS)
    def vectorstore(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
        with KINDS[request.param](tmp_path) as collection:
            yield LateInteractionVectorStore(collection)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True, params=KINDS)
    def filled(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
        with KINDS[request.param](tmp_path) as collection:
            collection.add([f"planet number {number}" for number in range(5)])
            self.collection = collection
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return LateInteractionRetriever

    @property
    def retriever_constructor_params(self) -> dict:
        return {"collection": self.collection}

    @property
    def retriever_query_example(self) -> str:
        return "which planet?"
