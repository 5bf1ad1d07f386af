"""Which nodes a question is asked of: by node id, by document, and by an empty list of either."""

from __future__ import annotations

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode

from retrievers.errors import InvalidTypeError
from retrievers.llama_index import LateInteractionIndex, LateInteractionRetriever, LateInteractionVectorStore
from retrievers.llama_index.embedding import NoEmbedding
from retrievers.testing.llama_index.cases import ANIMALS, F, ask, where


@pytest.fixture
def animals(collection):
    LateInteractionVectorStore(collection).add(list(ANIMALS))
    return collection


def ids(nodes):
    return [node.node_id for node in nodes]


async def test_an_empty_list_of_ids_means_none_to_our_retriever_and_index(animals):
    index = LateInteractionIndex(collection=animals)
    for empty in ({"node_ids": []}, {"doc_ids": []}, {"node_ids": [], "filters": where("legs", F.EQ, 4)}):
        for retriever in (LateInteractionRetriever(animals, **empty), index.as_retriever(**empty)):
            assert retriever.retrieve("The cat") == []
            assert await retriever.aretrieve("The cat") == []
            assert retriever.retrieve("") == []


async def test_an_empty_list_of_documents_means_none_to_the_store(animals):
    store = LateInteractionVectorStore(animals)
    assert store.query(ask("The cat", doc_ids=[])).ids == []
    assert (await store.aquery(ask("The cat", doc_ids=[]))).ids == []


async def test_llama_indexs_own_index_sends_an_empty_list_of_node_ids_and_means_all(animals):
    context = StorageContext.from_defaults(vector_store=LateInteractionVectorStore(animals))
    stock = VectorStoreIndex(nodes=[], storage_context=context, embed_model=NoEmbedding())
    retriever = stock.as_retriever(similarity_top_k=4)
    assert retriever._node_ids == []
    assert set(ids(retriever.retrieve("The cat"))) == {"cat", "dog", "hen", "eel"}
    assert set(ids(await retriever.aretrieve("The cat"))) == {"cat", "dog", "hen", "eel"}


def test_node_ids_are_looked_up_and_no_other_document_is_read(animals, monkeypatch):
    from retrievers.store.view import View

    def refuse(self):
        raise AssertionError("every document was read")

    monkeypatch.setattr("retrievers.store.documents.every", refuse)
    monkeypatch.setattr(View, "matching", refuse)
    found = LateInteractionRetriever(
        animals, node_ids=["hen", "eel", "unknown"], filters=where("legs", F.LT, 2)
    )
    assert ids(found.retrieve("The hen")) == ["eel"]


async def test_ids_and_documents_hold_together(animals):
    retriever = LateInteractionRetriever(
        animals, node_ids=["cat", "hen"], doc_ids=["house"], similarity_top_k=9
    )
    assert ids(retriever.retrieve("The")) == ["cat"]
    mmr = LateInteractionRetriever(animals, node_ids=["cat", "hen"], vector_store_query_mode="mmr")
    assert set(ids(mmr.retrieve("The"))) == {"cat", "hen"}
    assert ids(await mmr.aretrieve("The")) == ids(mmr.retrieve("The"))


@pytest.mark.parametrize("wrong", [{"doc_ids": "bread"}, {"node_ids": "bread"}, {"node_ids": [3]}])
def test_a_text_is_no_list_of_ids(animals, wrong):
    with pytest.raises(InvalidTypeError):
        LateInteractionRetriever(animals, **wrong)
    if "doc_ids" in wrong:
        with pytest.raises(InvalidTypeError, match="give a list"):
            LateInteractionVectorStore(animals).query(ask("The", **wrong))


async def test_a_document_that_another_framework_wrote_is_its_own_source(animals):
    animals.add(["The owl sleeps by day."], ids=["owl"])
    retriever = LateInteractionRetriever(animals, doc_ids=["owl", "farm"], similarity_top_k=9)
    assert set(ids(retriever.retrieve("The"))) == {"owl", "hen"}
    both = LateInteractionRetriever(animals, doc_ids=["owl", "farm"], node_ids=["owl", "cat"])
    assert ids(both.retrieve("The")) == ["owl"]
    assert ids(await both.aretrieve("The")) == ["owl"]


def test_a_node_that_was_cut_from_nothing_is_its_own_source(animals):
    LateInteractionVectorStore(animals).add([TextNode(id_="alone", text="The bee alone.")])
    assert ids(LateInteractionRetriever(animals, doc_ids=["alone"]).retrieve("The")) == ["alone"]
