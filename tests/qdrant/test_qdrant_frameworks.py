"""LangChain's and our LlamaIndex suites over a collection on Qdrant, none of their tests overridden."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
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


async def test_evidence_of_a_search_encodes_the_question_once_and_no_document(either, monkeypatch):
    either.add(["planet number 4", "the red planet"], ids=["four", "red"], metadatas=[{"n": 4}, {"n": 0}])
    asked = []
    encode = either.encoder.encode_queries
    monkeypatch.setattr(either.encoder, "encode_queries", lambda texts: asked.append(texts) or encode(texts))
    before = either.encoder.encoded_documents
    retriever = langchain.LateInteractionRetriever(collection=either, k=1, evidence_key="why")
    [found] = retriever.invoke("red planet")
    assert await retriever.ainvoke("red planet") == [found]
    marks = [one["text"] for one in found.metadata["why"]["highlights"]]
    assert (marks, found.metadata["n"]) == (["red", "planet"], 0)
    assert found.metadata["why"]["score"] == pytest.approx(2, abs=0.02)
    assert (len(asked), either.encoder.encoded_documents) == (2, before)
    node = llama_index.LateInteractionRetriever(either, similarity_top_k=1, evidence_key="why").retrieve(
        "red planet"
    )[0]
    assert node.node.metadata["why"] == found.metadata["why"]
    reranker = langchain.LateInteractionReranker(collection=either, evidence_key="why")
    foreign = Document(page_content="a planet like no other", id="four")
    reranked = await reranker.acompress_documents([found, foreign], "red planet")
    assert [one.metadata["why"]["highlights"][-1]["text"] for one in reranked] == ["planet", "planet"]
    assert reranked[0].metadata["why"] == found.metadata["why"]
    # Only the text that is not stored was encoded: once to score it, once more for its evidence.
    assert either.encoder.encoded_documents == before + 2
