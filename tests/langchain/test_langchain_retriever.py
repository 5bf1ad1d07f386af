"""Retrievers: options per object, per call and per configuration; scores; traces."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers import BaseTracer

from retrievers.langchain import LateInteractionRetriever

QUERY = "the red planet with two small moons"


@pytest.fixture
def retriever(store) -> LateInteractionRetriever:
    return LateInteractionRetriever(collection=store.collection, k=3)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


async def test_k_of_one_call_is_honoured_with_and_without_async(retriever):
    assert len(retriever.invoke(QUERY)) == 3
    assert ids(retriever.invoke(QUERY, k=1)) == ["mars"]
    assert await retriever.ainvoke(QUERY, k=1) == retriever.invoke(QUERY, k=1)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 2},
        {"filter": {"kind": "gas"}},
        {"score_threshold": 0.5},
        {"k": 1, "filter": {"moons": {"$lt": 2}}},
    ],
)
async def test_every_option_means_the_same_in_the_object_and_in_a_call(store, options):
    built = LateInteractionRetriever(collection=store.collection, **options)
    called = LateInteractionRetriever(collection=store.collection)
    expected = built.invoke(QUERY)
    assert expected != called.invoke(QUERY)
    assert called.invoke(QUERY, **options) == expected
    assert await called.ainvoke(QUERY, **options) == expected
    assert await built.ainvoke(QUERY) == expected
    assert called.batch([QUERY], **options) == [expected]


def test_a_batch_over_threads_gives_what_a_sequence_gives(retriever):
    questions = [f"{QUERY} {number}" for number in range(40)]
    assert retriever.batch(questions) == [retriever.invoke(question) for question in questions]


def test_a_misspelt_option_of_a_call_is_an_error(retriever):
    with pytest.raises(TypeError, match="top_k"):
        retriever.invoke(QUERY, top_k=1)


def test_a_filter_is_applied_before_k(store):
    # "mars" and "jupiter" match far better; a filter after the search would leave nothing of k=1.
    retriever = LateInteractionRetriever(collection=store.collection, k=1, filter={"moons": 0})
    assert ids(retriever.invoke("red planet two moons venus")) == ["venus"]


def test_an_empty_filter_of_a_call_lifts_that_of_the_object(store):
    retriever = LateInteractionRetriever(collection=store.collection, k=1, filter={"kind": "gas"})
    assert ids(retriever.invoke(QUERY, filter={})) == ["mars"]


def test_options_are_configurable_fields(retriever):
    configurable = retriever.configurable_fields(
        k=ConfigurableField(id="k"),
        filter=ConfigurableField(id="filter"),
        score_threshold=ConfigurableField(id="score_threshold"),
    )
    assert len(configurable.invoke(QUERY)) == 3
    config = {"configurable": {"k": 1, "filter": {"kind": "gas"}}}
    assert ids(configurable.invoke(QUERY, config)) == ["jupiter"]
    assert configurable.invoke(QUERY, {"configurable": {"score_threshold": 1.0}}) == []


@pytest.mark.parametrize("options", [{"k": 0}, {"score_threshold": 1.5}])
def test_options_without_meaning_are_refused_when_the_retriever_is_made(store, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LateInteractionRetriever(collection=store.collection, **options)


def test_a_score_is_written_only_where_a_key_for_it_is_given(store):
    plain = LateInteractionRetriever(collection=store.collection, k=1)
    scored = LateInteractionRetriever(collection=store.collection, k=1, score_key="score")
    assert plain.invoke("saturn rings")[0].metadata == {"kind": "gas", "moons": 146}
    metadata = scored.invoke("saturn rings")[0].metadata
    assert metadata.pop("score") == pytest.approx(1, abs=0.01)
    assert metadata == {"kind": "gas", "moons": 146}
    assert store.get_by_ids(["saturn"])[0].metadata == {"kind": "gas", "moons": 146}


def test_a_query_without_words_finds_nothing(retriever):
    assert retriever.invoke("  ") == []


def test_as_retriever_by_similarity(store):
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": {"kind": "gas"}})
    assert ids(retriever.invoke(QUERY)) == ["jupiter", "saturn"]
    assert ids(retriever.invoke(QUERY, k=1)) == ["jupiter"]
    lenient = store.as_retriever(search_kwargs={"k": 6, "score_threshold": 0.9})
    assert ids(lenient.invoke(QUERY)) == ["mars"]


async def test_as_retriever_by_score_threshold(store):
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 6, "score_threshold": 0.9}
    )
    assert ids(retriever.invoke("red storm")) == ["jupiter"]
    assert ids(await retriever.ainvoke("red storm")) == ["jupiter"]
    assert retriever.invoke("comets and asteroids") == []
    with pytest.raises(ValueError, match="float"):
        store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 1})


async def test_as_retriever_by_marginal_relevance(store):
    retriever = store.as_retriever(
        search_type="mmr", search_kwargs={"k": 2, "fetch_k": 3, "lambda_mult": 1.0}
    )
    assert retriever.invoke(QUERY) == store.similarity_search(QUERY, k=2)
    assert await retriever.ainvoke(QUERY) == retriever.invoke(QUERY)


class Metadata(BaseTracer):
    """Keeps what LangSmith would be told of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict = {}

    def _persist_run(self, run) -> None:
        self.seen = run.extra["metadata"]


@pytest.mark.parametrize("kind", ["own", "as_retriever"])
def test_traces_name_the_store_and_the_model(store, kind):
    tracer = Metadata()
    retriever = (
        store.as_retriever()
        if kind == "as_retriever"
        else LateInteractionRetriever(collection=store.collection)
    )
    retriever.invoke(QUERY, {"callbacks": [tracer]})
    assert tracer.seen["ls_vector_store_provider"] == "Collection"
    assert tracer.seen["ls_embedding_model"] == "testing/hashing"
    assert tracer.seen["ls_retriever_name"]
