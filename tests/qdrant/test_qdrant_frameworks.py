"""LangChain's and our LlamaIndex suites over a collection on Qdrant, none of their tests overridden."""

from __future__ import annotations

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from retrievers import langchain, llama_index
from retrievers.qdrant import QdrantCollection
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index import VectorStoreConformance


@pytest.fixture(params=["memory", "server"])
def either(request):
    """An empty collection, on the client's own engine and on the server."""
    if request.param == "server":
        return request.getfixturevalue("emptied")
    return QdrantCollection(":memory:", "papers", HashingEncoder())


class TestLangChainVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, either):
        return langchain.LateInteractionVectorStore(either)


class TestLangChainRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def filled(self, either):
        either.add([f"planet number {number}" for number in range(5)])
        self.collection = either

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return langchain.LateInteractionRetriever

    @property
    def retriever_constructor_params(self) -> dict:
        return {"collection": self.collection}

    @property
    def retriever_query_example(self) -> str:
        return "which planet?"


class TestLlamaIndexInMemory(VectorStoreConformance):
    @pytest.fixture
    def store(self):
        return llama_index.LateInteractionVectorStore(
            QdrantCollection(":memory:", "papers", HashingEncoder())
        )


class TestLlamaIndexOnServer(VectorStoreConformance):
    @pytest.fixture
    def store(self, emptied):
        return llama_index.LateInteractionVectorStore(emptied)


def test_a_store_on_a_server_has_nothing_to_persist(either):
    store = llama_index.LateInteractionVectorStore(either)
    assert store.path is None
    store.persist("anywhere")
