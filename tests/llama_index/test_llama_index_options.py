"""No keyword is dropped in silence: each is used, or refused with the nearest one that is known."""

from __future__ import annotations

import pytest
from llama_index.core import StorageContext
from llama_index.core.chat_engine import CondenseQuestionChatEngine, ContextChatEngine
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore

from retrievers import Collection
from retrievers.collection.arguments import MEMBERS
from retrievers.errors import InvalidInputError, InvalidTypeError, StoreError, UnknownOptionError
from retrievers.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
    LateInteractionTransform,
    LateInteractionVectorStore,
    PassagePostprocessor,
)
from retrievers.testing import HashingEncoder
from retrievers.testing.llama_index.cases import ANIMALS, F, ask, where

FOUR_LEGS = where("legs", F.EQ, 4)


@pytest.fixture
def animals(collection):
    LateInteractionVectorStore(collection).add(list(ANIMALS))
    return collection


@pytest.fixture
def index(animals):
    return LateInteractionIndex(collection=animals)


ENTRIES = {
    "store": (lambda c, **o: LateInteractionVectorStore(c, **o), "pathh", "path"),
    "retriever": (lambda c, **o: LateInteractionRetriever(c, **o), "filter", "filters"),
    "retriever top k": (lambda c, **o: LateInteractionRetriever(c, **o), "k", "similarity_top_k"),
    "rerank": (lambda c, **o: LateInteractionRerank(c, **o), "top_k", "top_n"),
    "passages": (lambda c, **o: PassagePostprocessor(c, **o), "modell", "model"),
    "transform": (lambda c, **o: LateInteractionTransform(**o), "collection", ""),
    "index": (lambda c, **o: LateInteractionIndex(collection=c, **o), "embed_model", "encoder="),
    "from_documents": (
        lambda c, **o: LateInteractionIndex.from_documents([Document(text="a")], collection=c, **o),
        "insert_batchsize",
        "insert_batch_size",
    ),
    "from_vector_store": (
        lambda c, **o: LateInteractionIndex.from_vector_store(LateInteractionVectorStore(c), **o),
        "show_progres",
        "show_progress",
    ),
    "as_retriever": (
        lambda c, **o: LateInteractionIndex(collection=c).as_retriever(**o),
        "filter",
        "filters",
    ),
    "as_query_engine": (
        lambda c, **o: LateInteractionIndex(collection=c).as_query_engine(llm=MockLLM(), **o),
        "filter",
        "filters",
    ),
    "as_query_engine mode": (
        lambda c, **o: LateInteractionIndex(collection=c).as_query_engine(llm=MockLLM(), **o),
        "respons_mode",
        "response_mode",
    ),
    **{
        f"as_chat_engine {mode.value}": (
            lambda c, mode=mode, **o: LateInteractionIndex(collection=c).as_chat_engine(
                mode, llm=MockLLM(), **o
            ),
            "system_promt",
            "system_prompt",
        )
        for mode in ChatMode
        if mode not in (ChatMode.REACT, ChatMode.OPENAI)
    },
    "add": (
        lambda c, **o: LateInteractionVectorStore(c).add([TextNode(text="x")], **o),
        "progress",
        "show_progress",
    ),
    "query": (
        lambda c, **o: LateInteractionVectorStore(c).query(ask("x"), **o),
        "filters",
        "VectorStoreQuery",
    ),
    "delete": (lambda c, **o: LateInteractionVectorStore(c).delete("house", **o), "filters", ""),
    "delete_nodes": (lambda c, **o: LateInteractionVectorStore(c).delete_nodes(["cat"], **o), "filter", ""),
    "delete_ref_doc": (
        lambda c, **o: LateInteractionIndex(collection=c).delete_ref_doc("house", **o),
        "filter",
        "",
    ),
    "refresh": (
        lambda c, **o: LateInteractionIndex(collection=c).refresh_ref_docs([Document(text="x")], **o),
        "update_kwargs",
        "insert_kwargs",
    ),
    "insert": (
        lambda c, **o: LateInteractionIndex(collection=c).insert_nodes([TextNode(text="x")], **o),
        "progress",
        "show_progress",
    ),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_unknown_keyword_is_refused_with_the_nearest_before_anything_changes(animals, entry):
    call, wrong, nearest = ENTRIES[entry]
    with pytest.raises(UnknownOptionError, match=f"does not take {wrong}.*{nearest}"):
        call(animals, **{wrong: 3})
    assert len(animals) == 4


async def test_the_async_twins_refuse_the_same(animals):
    store, index = LateInteractionVectorStore(animals), LateInteractionIndex(collection=animals)
    for coroutine in (
        store.async_add([TextNode(text="x")], progress=True),
        store.aquery(ask("x"), filters=FOUR_LEGS),
        store.adelete("house", filter=1),
        store.adelete_nodes(["cat"], filter=1),
        index.arefresh_ref_docs([Document(text="x")], update_kwargs={}),
    ):
        with pytest.raises(UnknownOptionError, match="does not take"):
            await coroutine
    assert len(animals) == 4


def test_a_query_engine_hands_each_keyword_to_whom_it_belongs(index):
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=9,
        filters=FOUR_LEGS,
        response_mode="tree_summarize",
        node_postprocessors=[LateInteractionRerank(index.collection, top_n=1)],
        use_async=False,
        verbose=True,
    )
    response = engine.query("The hen and the dog")
    assert [node.node_id for node in response.source_nodes] == ["dog"]
    assert isinstance(engine._response_synthesizer, TreeSummarize)


@pytest.mark.parametrize(
    ("mode", "own"),
    [
        (ChatMode.CONTEXT, {"context_template": "Context: {context_str}"}),
        ("context", {"prefix_messages": []}),
        (ChatMode.CONDENSE_PLUS_CONTEXT, {"skip_condense": True}),
        (ChatMode.BEST, {"system_prompt": "You know animals."}),
        (ChatMode.CONDENSE_QUESTION, {"response_mode": "compact", "verbose": False}),
    ],
)
def test_a_chat_engine_hands_each_keyword_to_whom_it_belongs(index, mode, own):
    engine = index.as_chat_engine(mode, llm=MockLLM(), similarity_top_k=9, filters=FOUR_LEGS, **own)
    response = engine.chat("The hen and the dog")
    assert {node.node_id for node in response.source_nodes} == {"cat", "dog"}


def test_the_modes_have_llama_indexs_engines(index):
    assert isinstance(index.as_chat_engine(ChatMode.CONTEXT, llm=MockLLM()), ContextChatEngine)
    engine = index.as_chat_engine(ChatMode.CONDENSE_QUESTION, llm=MockLLM())
    assert isinstance(engine, CondenseQuestionChatEngine)
    with pytest.raises(InvalidInputError, match=r"'react'.*ReActAgent"):
        index.as_chat_engine(ChatMode.REACT, llm=MockLLM())


def test_an_engine_without_retrieval_takes_no_filter(index):
    with pytest.raises(UnknownOptionError, match="filters"):
        index.as_chat_engine(ChatMode.SIMPLE, llm=MockLLM(), filters=FOUR_LEGS)
    assert index.as_chat_engine(ChatMode.SIMPLE, llm=MockLLM(), system_prompt="Hello").chat("Hello")


def test_llama_indexs_engines_that_call_as_retriever_are_refused_a_misspelt_filter_too(index):
    with pytest.raises(UnknownOptionError, match="filters="):
        CitationQueryEngine.from_args(index, llm=MockLLM(), filter=FOUR_LEGS)


def test_filters_are_llama_indexs_and_no_dictionary(animals):
    with pytest.raises(InvalidTypeError, match=r"filters is \{'legs': 4\}.*MetadataFilters"):
        LateInteractionRetriever(animals, filters={"legs": 4})


# ---- what a face is given


@pytest.mark.parametrize(
    "make",
    [
        LateInteractionVectorStore,
        LateInteractionRetriever,
        LateInteractionRerank,
        PassagePostprocessor,
        lambda wrong: LateInteractionIndex(collection=wrong),
    ],
)
def test_what_is_no_collection_is_refused_with_the_way_out(make, collection):
    for wrong in ("index", LateInteractionVectorStore(collection), SimpleVectorStore(), 3):
        with pytest.raises(InvalidTypeError, match=r"give a Collection.*path='index'.*\.collection"):
            make(wrong)


def test_a_store_of_nothing_is_refused(encoder):
    with pytest.raises(InvalidTypeError, match="collection is None"):
        LateInteractionVectorStore()
    assert len(LateInteractionVectorStore(encoder=encoder).collection) == 0


def test_an_unfinished_collection_is_told_what_it_lacks():
    members = {name: None for name in MEMBERS if name not in ("matrices", "rerank")}
    with pytest.raises(InvalidTypeError, match="which lacks rerank, matrices: give"):
        LateInteractionVectorStore(type("Unfinished", (), members)())


def test_a_collection_is_looked_at_without_loading_its_model(tmp_path, encoder):
    class Broken(Collection):
        @property
        def encoder(self):
            raise AssertionError("the model was loaded")

    Collection(tmp_path / "index", encoder).close()
    with Broken(tmp_path / "index") as collection:
        assert LateInteractionVectorStore(collection).model == "testing/hashing"


def test_a_retriever_and_the_postprocessors_open_a_directory_and_never_create_one(tmp_path, encoder):
    path = tmp_path / "index"
    for make in (LateInteractionRetriever, LateInteractionRerank, PassagePostprocessor):
        for given in ({"path": path}, {"path": path, "encoder": encoder}):
            with pytest.raises(StoreError, match="no collection"):
                make(**given)
    assert not path.exists()
    LateInteractionVectorStore(path=path, encoder=encoder).add(list(ANIMALS))
    [found] = LateInteractionRetriever(path=path, encoder=encoder, similarity_top_k=1).retrieve("postman")
    assert found.node_id == "dog"
    with pytest.raises(InvalidInputError, match="both came"):
        LateInteractionRetriever(LateInteractionVectorStore(encoder=encoder).collection, path=path)


def test_a_storage_context_needs_our_store():
    with pytest.raises(InvalidInputError, match="SimpleVectorStore"):
        LateInteractionIndex(storage_context=StorageContext.from_defaults())


# ---- a collection with async methods of its own


class Networked(Collection):
    """A collection with coroutines, as one on a server has; whatever else blocks is counted."""

    def __init__(self):
        super().__init__(None, HashingEncoder())
        self.awaited = []

    async def aadd(self, documents, **options):
        self.awaited.append("aadd")
        return self.add(documents, **options)

    async def adelete(self, ids=None, *, filter=None):
        self.awaited.append("adelete")
        return self.delete(ids, filter=filter)

    async def asearch(self, query, **options):
        self.awaited.append("asearch")
        return self.search(query, **options)

    async def arerank(self, query, documents=None, **options):
        self.awaited.append("arerank")
        return self.rerank(query, documents, **options)


async def test_the_async_methods_of_a_collection_are_awaited_where_it_has_them():
    collection = Networked()
    store = LateInteractionVectorStore(collection)
    await store.async_add(list(ANIMALS))
    found = await LateInteractionRetriever(vector_store=store).aretrieve("postman")
    await store.aquery(ask("postman", mode="mmr"))
    await LateInteractionRerank(collection).apostprocess_nodes(found, query_str="postman")
    await PassagePostprocessor(collection).apostprocess_nodes(found, query_str="postman")
    assert collection.awaited == ["aadd", "asearch", "asearch", "arerank", "arerank"]
    assert found[0].node_id == "dog"
