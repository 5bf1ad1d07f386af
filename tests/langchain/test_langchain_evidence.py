"""Evidence in the metadata of LangChain's documents: asked for, as JSON, and without encoding anything again."""

from __future__ import annotations

import json
import threading

import pytest
from langchain_core.documents import Document

from retrievers import Collection
from retrievers import Document as StoredDocument
from retrievers.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing import HashingEncoder

QUERY = "small moons"
MARS = "Mars is the red planet with two small moons"
RETRIEVERS = {
    "own": lambda store, key: LateInteractionRetriever(collection=store.collection, k=1, evidence_key=key),
    "similarity": lambda store, key: store.as_retriever(search_kwargs={"k": 1, "evidence_key": key}),
    "threshold": lambda store, key: store.as_retriever(
        search_type="similarity_score_threshold",
        search_kwargs={"k": 1, "score_threshold": 0.1, "evidence_key": key},
    ),
    "mmr": lambda store, key: store.as_retriever(
        search_type="mmr", search_kwargs={"k": 1, "evidence_key": key}
    ),
}


class Counting(HashingEncoder):
    """Counts the questions that are encoded, and remembers the threads that looked for a token's characters."""

    def __init__(self):
        super().__init__()
        self.questions = 0
        self.threads = set()

    def encode_queries(self, texts):
        self.questions += len(texts)
        return super().encode_queries(texts)

    def document_tokens(self, text):
        self.threads.add(threading.get_ident())
        return super().document_tokens(text)


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_a_retriever_adds_evidence_where_it_is_asked_for(store, kind):
    [plain] = RETRIEVERS[kind](store, None).invoke(QUERY)
    retriever = RETRIEVERS[kind](store, "why")
    [told] = retriever.invoke(QUERY)
    assert await retriever.ainvoke(QUERY) == [told]
    assert plain.metadata == {"kind": "rock", "moons": 2}
    evidence = told.metadata.pop("why")
    assert told == plain
    assert json.loads(json.dumps(evidence)) == evidence
    assert evidence == {
        "score": pytest.approx(2, abs=0.02),
        "passage": {"text": MARS, "start": 0, "end": len(MARS)},
        "highlights": [
            {
                "text": "small",
                "start": 32,
                "end": 37,
                "weight": pytest.approx(1, abs=0.01),
                "query_tokens": ["small"],
            },
            {
                "text": "moons",
                "start": 38,
                "end": 43,
                "weight": pytest.approx(1, abs=0.01),
                "query_tokens": ["moons"],
            },
        ],
        "apart": 0,
        "approximate": False,
        "query_tokens": [
            {"text": word, "kind": "word", "weight": 1.0, "similarity": pytest.approx(1, abs=0.01)}
            for word in ("small", "moons")
        ],
        "parts": None,
    }


async def test_evidence_of_a_search_encodes_the_question_once_and_no_document():
    with Collection(None, Counting()) as collection:
        collection.add([MARS])
        encoder, store = collection.encoder, LateInteractionVectorStore(collection)
        before = encoder.encoded_documents
        retriever = LateInteractionRetriever(collection=collection, evidence_key="evidence")
        retriever.invoke(QUERY)
        store.similarity_search_with_score(QUERY, evidence_key="evidence")
        assert encoder.threads == {threading.get_ident()}
        encoder.threads.clear()
        await retriever.ainvoke(QUERY)
        await store.asimilarity_search_with_relevance_scores(QUERY, evidence_key="evidence")
        await store.amax_marginal_relevance_search(QUERY, evidence_key="evidence")
        await LateInteractionReranker(collection=collection, evidence_key="evidence").acompress_documents(
            [Document(page_content=MARS, id=collection.get()[0].id)], QUERY
        )
        assert (encoder.questions, encoder.encoded_documents) == (6, before)
        assert encoder.threads  # the loop's own thread did none of it
        assert threading.get_ident() not in encoder.threads


@pytest.mark.parametrize("with_collection", [True, False])
async def test_a_reranker_adds_evidence_of_stored_and_of_foreign_documents(store, planets, with_collection):
    encoder = Counting()
    source = {"collection": store.collection} if with_collection else {"encoder": encoder}
    foreign = [Document(id="saturn", page_content="a comet with small moons"), Document(page_content="small")]
    given = [*planets, *foreign]
    found = LateInteractionReranker(**source, top_n=3, evidence_key="evidence").compress_documents(
        given, QUERY
    )
    twin = LateInteractionReranker(**source, top_n=3, evidence_key="evidence")
    assert await twin.acompress_documents(given, QUERY) == found
    assert [one.page_content for one in found] == [MARS, "a comet with small moons", "small"]
    for one in found:
        evidence = one.metadata["evidence"]
        assert evidence["passage"]["text"] == one.page_content
        for mark in evidence["highlights"]:
            assert one.page_content[mark["start"] : mark["end"]] == mark["text"]
        assert evidence["highlights"][0]["text"] == "small"
    assert "evidence" not in planets[3].metadata
    [plain] = LateInteractionReranker(**source, top_n=1).compress_documents(planets, QUERY)
    assert set(plain.metadata) == {"kind", "moons", "relevance_score"}


def test_a_document_that_was_replaced_meanwhile_has_its_passage_and_no_highlights():
    with Collection(None, HashingEncoder()) as collection:
        collection.add([StoredDocument(MARS, "mars")])
        search = collection.search

        def then_replaced(*args, **options):
            found = search(*args, **options)
            collection.add([StoredDocument("another text", "mars")])
            return found

        collection.search = then_replaced
        [found] = LateInteractionRetriever(collection=collection, evidence_key="why").invoke(QUERY)
    assert found.page_content == MARS
    assert found.metadata["why"] == {
        "score": pytest.approx(2, abs=0.02),
        "passage": {"text": MARS, "start": 0, "end": len(MARS)},
        "highlights": [],
        "apart": 0,
        "approximate": True,
        "query_tokens": [],
        "parts": None,
    }
