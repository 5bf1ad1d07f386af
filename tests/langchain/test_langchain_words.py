"""Words, passages and groups through LangChain's store and retriever."""

import pytest

from retrievers import Collection
from retrievers.errors import InvalidInputError, NoWordsError, UnknownOptionError
from retrievers.langchain import LateInteractionRetriever, LateInteractionVectorStore
from retrievers.testing import HashingEncoder


@pytest.fixture
def worded(planets):
    with Collection(None, HashingEncoder(document_length=4), words="porter") as collection:
        store = LateInteractionVectorStore(collection)
        store.add_documents(planets)
        yield store


QUESTION = "which planets have rings and storms"


def ids(documents):
    return [document.id for document in documents]


def test_the_store_passes_words_passages_and_groups_on(worded):
    hits = worded.collection.search(QUESTION, k=3, words=0.5, group_by="kind", passages=2)
    options = {"words": 0.5, "group_by": "kind", "passages": 2}
    found = worded.similarity_search_with_score(QUESTION, k=3, **options)
    assert [(document.id, score) for document, score in found] == [(hit.id, hit.score) for hit in hits]
    assert len(found) == 2
    document = worded.similarity_search(QUESTION, k=1, passages=2)[0]
    assert [part["text"] for part in document.metadata["passages"]] == [
        document.page_content[part["start"] : part["end"]] for part in document.metadata["passages"]
    ]
    assert len(document.metadata["passages"]) == 2
    relevant = worded.similarity_search_with_relevance_scores(QUESTION, k=3, words=0.5)
    assert [score for _, score in relevant] == [
        hit.normalized_score for hit in worded.collection.search(QUESTION, k=3, words=0.5)
    ]
    assert len(worded.max_marginal_relevance_search(QUESTION, k=2, words=0.5, group_by="kind")) == 2
    assert "passages" not in worded.similarity_search(QUESTION, k=1)[0].metadata


async def test_async_calls_take_them_too(worded):
    options = {"k": 3, "words": 0.9, "passages": 1}
    assert await worded.asimilarity_search(QUESTION, **options) == worded.similarity_search(
        QUESTION, **options
    )
    assert await worded.amax_marginal_relevance_search(QUESTION, k=2, words=0.9) == (
        worded.max_marginal_relevance_search(QUESTION, k=2, words=0.9)
    )
    retriever = LateInteractionRetriever(collection=worded.collection, k=3, words=0.9, group_by="kind")
    assert await retriever.ainvoke(QUESTION) == retriever.invoke(QUESTION)


def test_the_retriever_has_them_as_fields_and_for_a_call(worded):
    words_alone = worded.collection.search("storms", words=1)
    assert [hit.id for hit in words_alone] == ["jupiter"]
    retriever = LateInteractionRetriever(collection=worded.collection, words=1.0)
    assert ids(retriever.invoke("storms")) == ["jupiter"]
    assert len(retriever.invoke("storms", words=0.25)) == 4
    assert len(retriever.invoke("storms", words=0.0, group_by="kind")) == 2
    assert len(retriever.invoke("storms", words=0.0, group_by="kind", group_size=2, passages=1)) == 4
    theirs = worded.as_retriever(search_kwargs={"k": 4, "words": 1.0})
    assert ids(theirs.invoke("storms")) == ["jupiter"]
    assert len(theirs.invoke("storms", words=0.25)) == 4
    diverse = worded.as_retriever(search_type="mmr", search_kwargs={"k": 2, "words": 0.5, "group_by": "kind"})
    assert len(diverse.invoke(QUESTION)) == 2
    with pytest.raises(ValueError, match="less than or equal to 1"):
        LateInteractionRetriever(collection=worded.collection, words=1.5)


async def test_the_pooled_similarity_is_an_option_of_store_retriever_and_call(worded):
    def told(hits):
        return [(hit.id, hit.score) for hit in hits]

    options = {"pooled": 0.75, "words": 0}
    hits = worded.collection.search(QUESTION, k=3, **options)
    assert told(hits) != told(worded.collection.search(QUESTION, k=3))
    found = worded.similarity_search_with_score(QUESTION, k=3, **options)
    assert [(document.id, score) for document, score in found] == told(hits)
    assert ids(await worded.asimilarity_search(QUESTION, k=3, **options)) == [hit.id for hit in hits]
    expected = [hit.id for hit in worded.collection.search(QUESTION, k=3, pooled=0.75)]
    retriever = LateInteractionRetriever(collection=worded.collection, k=3, pooled=0.75, evidence_key="why")
    documents = retriever.invoke(QUESTION)
    assert ids(documents) == expected
    assert documents[0].metadata["why"]["parts"]["pooled"] == pytest.approx(
        worded.collection.search(QUESTION, k=1, pooled=0.75)[0].parts.pooled
    )
    assert ids(await retriever.ainvoke(QUESTION)) == expected
    told_apart = ids(retriever.invoke(QUESTION, pooled=0.0))
    assert told_apart == [hit.id for hit in worded.collection.search(QUESTION, k=3)]
    theirs = worded.as_retriever(search_kwargs={"k": 3, "pooled": 0.75})
    assert ids(theirs.invoke(QUESTION)) == expected
    with pytest.raises(ValueError, match="less than or equal to 1"):
        LateInteractionRetriever(collection=worded.collection, pooled=1.5)
    with pytest.raises(InvalidInputError, match="pooled"):
        retriever.invoke(QUESTION, words=0.5)


def test_their_ensemble_fuses_the_store_with_their_bm25(worded, planets):
    bm25 = pytest.importorskip("langchain_community.retrievers", reason="needs langchain-community")
    pytest.importorskip("rank_bm25", reason="needs rank_bm25")
    from langchain_classic.retrievers import EnsembleRetriever

    ours = worded.as_retriever(search_kwargs={"k": 2})
    theirs = bm25.BM25Retriever.from_documents(planets, k=2)
    both = EnsembleRetriever(retrievers=[ours, theirs], weights=[0.5, 0.5])
    found = both.invoke(QUESTION)
    assert set(ids(found)) == {*ids(ours.invoke(QUESTION)), *ids(theirs.invoke(QUESTION))}
    assert len(ids(found)) == len(set(ids(found)))  # what both find is one document
    words = EnsembleRetriever(
        retrievers=[ours, worded.as_retriever(search_kwargs={"k": 2, "words": 1.0})], weights=[0.2, 0.8]
    )
    assert ids(words.invoke("storms"))[0] == "jupiter"


def test_unknown_options_and_missing_words_are_named(worded, store):
    for call in (
        worded.similarity_search,
        worded.similarity_search_with_score,
        worded.max_marginal_relevance_search,
    ):
        with pytest.raises(UnknownOptionError, match="words"):
            call(QUESTION, word=0.5)
    with pytest.raises(NoWordsError, match="index_words"):
        store.similarity_search(QUESTION, words=0.5)
