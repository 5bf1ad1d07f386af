"""No async method works on the event loop's own thread, and the loop stays responsive under load."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document

from retrievers import Collection
from retrievers.langchain import (
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionVectorStore,
    PassageCompressor,
)
from retrievers.testing import HashingEncoder
from tests.loops import OffLoop, Watch, WatchingEncoder, refuse_on_loop


class OffLoopEncoder(HashingEncoder):
    """An encoder that fails where an event loop runs."""

    def encode_queries(self, texts):
        refuse_on_loop()
        return super().encode_queries(texts)

    def encode_documents(self, texts):
        refuse_on_loop()
        return super().encode_documents(texts)


DOCUMENT = Document(id="new", page_content="a new moon")

CALLS = {
    "aadd_documents": lambda s: s.aadd_documents([DOCUMENT]),
    "aadd_documents with ids": lambda s: s.aadd_documents([DOCUMENT], ids=["x"], batch_size=9),
    "aadd_texts": lambda s: s.aadd_texts(["a moon"], [{"n": 1}], ids=["x"]),
    "aget_by_ids": lambda s: s.aget_by_ids(["mars"]),
    "adelete": lambda s: s.adelete(["mars"]),
    "adelete by filter": lambda s: s.adelete(filter={"kind": "gas"}),
    "asimilarity_search": lambda s: s.asimilarity_search("moon", k=2, filter={"kind": "rock"}),
    "with_score": lambda s: s.asimilarity_search_with_score("moon", k=2, score_threshold=0.1),
    "with_relevance": lambda s: s.asimilarity_search_with_relevance_scores("moon", k=2, score_threshold=0.1),
    "amax_marginal_relevance": lambda s: s.amax_marginal_relevance_search("moon", k=2, fetch_k=3),
    "asearch": lambda s: s.asearch("moon", "mmr", k=2),
    "as_retriever": lambda s: s.as_retriever().ainvoke("moon", k=2),
    "as_retriever mmr": lambda s: s.as_retriever(search_type="mmr").ainvoke("moon"),
    "as_retriever aadd": lambda s: s.as_retriever().aadd_documents([DOCUMENT]),
    "retriever": lambda s: LateInteractionRetriever(collection=s.collection).ainvoke("moon", k=2),
    "retriever abatch": lambda s: LateInteractionRetriever(collection=s.collection).abatch(["moon", "sun"]),
    "reranker": lambda s: LateInteractionReranker(collection=s.collection).acompress_documents(
        [DOCUMENT], "moon"
    ),
    "retriever with evidence": lambda s: LateInteractionRetriever(
        collection=s.collection, evidence_key="why"
    ).ainvoke("moon"),
    "as_retriever with evidence": lambda s: s.as_retriever(search_kwargs={"evidence_key": "why"}).ainvoke(
        "moon"
    ),
    "reranker with evidence": lambda s: LateInteractionReranker(
        collection=s.collection, evidence_key="why"
    ).acompress_documents([DOCUMENT], "moon"),
    "passages": lambda s: PassageCompressor(collection=s.collection).acompress_documents([DOCUMENT], "moon"),
    "afrom_documents": lambda s: LateInteractionVectorStore.afrom_documents(
        [DOCUMENT], collection=s.collection
    ),
    "afrom_texts": lambda s: LateInteractionVectorStore.afrom_texts(["a"], encoder=OffLoopEncoder()),
}


@pytest.mark.parametrize("name", CALLS)
async def test_an_async_call_leaves_the_loop_free(name, store):
    guarded = LateInteractionVectorStore(OffLoop(store.collection))
    await CALLS[name](guarded)


def test_the_guard_of_these_tests_notices_a_call_on_the_loop(store):
    async def blocking() -> None:
        OffLoop(store.collection).search("moon")

    with pytest.raises(AssertionError, match="blocks it"):
        asyncio.run(blocking())


async def test_async_twins_give_what_the_others_give(store):
    query = "the planet with moons"
    assert await store.asimilarity_search(query) == store.similarity_search(query)
    assert await store.asimilarity_search_with_score(query) == store.similarity_search_with_score(query)
    relevant = store.similarity_search_with_relevance_scores(query, k=5, score_threshold=0.3)
    assert await store.asimilarity_search_with_relevance_scores(query, k=5, score_threshold=0.3) == relevant
    diverse = store.max_marginal_relevance_search(query, k=3, lambda_mult=0.1)
    assert await store.amax_marginal_relevance_search(query, k=3, lambda_mult=0.1) == diverse
    assert await store.aget_by_ids(["mars"]) == store.get_by_ids(["mars"])
    assert await store.adelete(["mars"]) is True
    assert await store.aadd_texts(["Mars again"], ids=["mars"]) == ["mars"]
    assert store.get_by_ids(["mars"]) == [Document(id="mars", page_content="Mars again")]


async def test_fifty_concurrent_calls_leave_the_loop_free_to_answer_and_agree_with_a_sequence():
    encoder = WatchingEncoder()
    with Collection(None, encoder) as collection:
        collection.add([f"document {number} of class {number % 7}" for number in range(500)])
        retriever = LateInteractionRetriever(collection=collection, k=3)
        questions = [f"which document is number {number}" for number in range(50)]
        expected = [retriever.invoke(question) for question in questions]
        encoder.watch = Watch(asyncio.get_running_loop())
        found = await asyncio.gather(*(retriever.ainvoke(question) for question in questions))
    assert found == expected
    assert len(encoder.watch.answers) == 50
