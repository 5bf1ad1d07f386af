"""No keyword is dropped in silence: each is used, or refused with the nearest one that is known."""

from __future__ import annotations

from uuid import uuid4

import pytest
from langchain_core.documents import Document

from retrievers import Collection
from retrievers.errors import (
    InvalidInputError,
    InvalidTypeError,
    StoreError,
    UnknownOptionError,
    UnsupportedError,
)
from retrievers.langchain import (
    LateInteractionCrossEncoder,
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionVectorStore,
    PassageCompressor,
)
from retrievers.testing import HashingEncoder

QUERY = "the red planet with two small moons"
MADE = {
    "retriever": (LateInteractionRetriever, "filters", "filter"),
    "retriever top_k": (LateInteractionRetriever, "search_kwargs", "give k="),
    "reranker": (LateInteractionReranker, "top_k", "top_n"),
    "passages": (PassageCompressor, "spankey", "span_key"),
}
RETRIEVERS = {
    "own": lambda store: LateInteractionRetriever(collection=store.collection),
    "as_retriever": lambda store: store.as_retriever(),
    "as_retriever mmr": lambda store: store.as_retriever(search_type="mmr"),
    "as_retriever threshold": lambda store: store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.1}
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_an_unknown_option_of_an_object_is_refused_with_the_nearest(store, kind):
    make, wrong, nearest = MADE[kind]
    with pytest.raises(UnknownOptionError, match=f"{make.__name__} does not take {wrong}.*{nearest}"):
        make(collection=store.collection, **{wrong: {"kind": "gas"}})


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_an_unknown_option_of_a_call_is_refused_with_the_nearest(store, kind):
    retriever = RETRIEVERS[kind](store)
    with pytest.raises(UnknownOptionError, match=r"invoke.* does not take filters: did you mean filter\?"):
        retriever.invoke(QUERY, filters={"kind": "gas"})
    with pytest.raises(UnknownOptionError, match=r"ainvoke.* does not take filters: did you mean filter\?"):
        await retriever.ainvoke(QUERY, filters={"kind": "gas"})
    with pytest.raises(UnknownOptionError, match="filters"):
        retriever.batch([QUERY], filters={"kind": "gas"})


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_what_langchain_itself_passes_with_a_call_is_used(store, kind, capsys):
    retriever = RETRIEVERS[kind](store)
    expected = retriever.invoke(QUERY)
    assert expected
    assert retriever.invoke(QUERY, run_id=uuid4(), verbose=False) == expected
    assert await retriever.ainvoke(QUERY, run_id=uuid4(), verbose=False) == expected


def test_an_access_filter_in_the_wrong_place_is_an_error_that_says_where_it_goes(store):
    with pytest.raises(UnknownOptionError, match=r"does not take filter: give search_kwargs=\{'filter': …\}"):
        store.as_retriever(filter={"kind": "gas"})
    with pytest.raises(UnknownOptionError, match=r"search_kwargs .* filters: did you mean filter\?"):
        store.as_retriever(search_kwargs={"filters": {"kind": "gas"}})
    with pytest.raises(UnknownOptionError, match="fetch_k: search_type='mmr' takes it"):
        store.as_retriever(search_kwargs={"fetch_k": 20})
    with pytest.raises(UnknownOptionError, match="did you mean search_kwargs"):
        store.as_retriever(search_kwarg={"k": 1})


def test_search_kwargs_that_were_changed_later_are_looked_at_again(store):
    retriever = store.as_retriever()
    retriever.search_kwargs["filters"] = {"kind": "gas"}
    with pytest.raises(UnknownOptionError, match="filters"):
        retriever.invoke(QUERY)


def test_a_search_by_a_vector_explains_itself(store):
    with pytest.raises(UnsupportedError, match=r"call similarity_search\(question\)"):
        store.similarity_search_by_vector([0.0])
    with pytest.raises(NotImplementedError):
        store.max_marginal_relevance_search_by_vector([0.0])


async def test_a_search_by_a_matrix_finds_what_the_question_finds(store):
    [matrix] = store.collection.encoder.encode_queries([QUERY])
    expected = [document.id for document in store.similarity_search(QUERY, k=3)]
    for given in (matrix, matrix.tolist()):
        assert [document.id for document in store.similarity_search_by_vector(given, k=3)] == expected
    found = await store.asimilarity_search_by_vector(matrix, k=3)
    assert [document.id for document in found] == expected
    diverse = store.max_marginal_relevance_search(QUERY, k=2, fetch_k=4)
    assert store.max_marginal_relevance_search_by_vector(matrix, k=2, fetch_k=4) == diverse
    assert await store.amax_marginal_relevance_search_by_vector(matrix, k=2, fetch_k=4) == diverse


def test_a_path_makes_a_store_and_opens_a_retriever(tmp_path, planets, encoder):
    path = tmp_path / "index"
    for given in ({"path": path}, {"path": path, "encoder": encoder}):
        with pytest.raises(StoreError, match="no collection"):
            LateInteractionRetriever(**given)
    assert not path.exists()
    LateInteractionVectorStore(path=path, encoder=encoder).add_documents(planets)
    retriever = LateInteractionRetriever(path=path, encoder=encoder, k=1)
    assert [one.id for one in retriever.invoke(QUERY)] == ["mars"]
    with pytest.raises(InvalidInputError, match="both came"):
        LateInteractionRetriever(collection=retriever.collection, path=path)


def test_every_door_asks_for_a_collection(store):
    for make in (LateInteractionReranker, PassageCompressor, LateInteractionCrossEncoder):
        with pytest.raises(InvalidTypeError, match="give a Collection"):
            make(collection=store)


class Networked(Collection):
    """A collection with coroutines, as one on a server has."""

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


async def test_the_async_methods_of_a_collection_are_awaited_where_it_has_them(planets):
    collection = Networked()
    store = LateInteractionVectorStore(collection)
    await store.aadd_documents(planets)
    await store.aadd_texts(["Pluto is no planet"], ids=["pluto"])
    await store.adelete(["pluto"])
    assert collection.awaited == ["aadd", "aadd", "adelete"]
    collection.awaited.clear()
    for found in (
        await store.asimilarity_search(QUERY, k=1),
        [one for one, _ in await store.asimilarity_search_with_score(QUERY, k=1)],
        [one for one, _ in await store.asimilarity_search_with_relevance_scores(QUERY, k=1)],
        await store.amax_marginal_relevance_search(QUERY, k=1),
        await store.as_retriever(search_kwargs={"k": 1}).ainvoke(QUERY),
        await LateInteractionRetriever(collection=collection, k=1).ainvoke(QUERY),
    ):
        assert [one.id for one in found] == ["mars"]
    assert collection.awaited == ["asearch"] * 6
    documents = [Document(page_content="red planet")]
    await LateInteractionReranker(collection=collection).acompress_documents(documents, QUERY)
    await PassageCompressor(collection=collection).acompress_documents(documents, QUERY)
    assert collection.awaited[6:] == ["arerank", "arerank"]
