"""The vector store: ids, replacing, deleting, metadata, scores, and the ways to make one."""

from __future__ import annotations

import copy

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.example_selectors import SemanticSimilarityExampleSelector

from retrievers import Collection
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.langchain import (
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionVectorStore,
)
from retrievers.testing import HashingEncoder


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_the_best_document_comes_back_as_it_was_added(store):
    [found] = store.similarity_search("the red planet with two moons", k=1)
    assert found == Document(
        id="mars",
        page_content="Mars is the red planet with two small moons",
        metadata={"kind": "rock", "moons": 2},
    )


def test_an_id_argument_beats_the_id_of_the_document(empty_store):
    added = empty_store.add_documents([Document(id="own", page_content="a moon")], ids=["given"])
    assert added == ["given"]
    assert ids(empty_store.get_by_ids(["own", "given"])) == ["given"]


def test_an_id_of_none_falls_back_on_the_document_and_then_on_a_new_one(empty_store):
    documents = [Document(id="own", page_content="a moon"), Document(page_content="a comet")]
    first, second = empty_store.add_documents(documents, ids=[None, None])
    assert first == "own"
    assert second
    assert ids(empty_store.similarity_search("comet", k=1)) == [second]


def test_the_same_id_replaces_text_and_metadata(store):
    store.add_texts(["Mars has a thin atmosphere"], [{"kind": "dust"}], ids=["mars"])
    assert len(store.collection) == 6
    [found] = store.get_by_ids(["mars"])
    assert (found.page_content, found.metadata) == ("Mars has a thin atmosphere", {"kind": "dust"})


def test_a_document_that_did_not_change_is_not_encoded_again(store, planets, encoder):
    before = encoder.encoded_documents
    store.add_documents(planets)
    assert encoder.encoded_documents == before


def test_adding_leaves_the_documents_of_the_caller_as_they_are(empty_store):
    given = [Document(page_content="a moon", metadata={"list": [1, {"deep": 2}]})]
    before = copy.deepcopy(given)
    empty_store.add_documents(given)
    [found] = empty_store.similarity_search("moon", k=1)
    found.metadata["list"][1]["deep"] = 3
    assert given == before
    assert empty_store.similarity_search("moon", k=1)[0].metadata == {"list": [1, {"deep": 2}]}


def test_the_batch_size_of_the_indexing_api_is_accepted(empty_store):
    assert empty_store.add_documents([Document(id="a", page_content="a moon")], batch_size=100) == ["a"]
    assert empty_store.add_texts(iter(["a comet"]), ids=["b"], batch_size=100) == ["b"]


def test_a_misspelt_argument_is_an_error(store):
    with pytest.raises(TypeError, match="filters"):
        store.similarity_search("moon", filters={"kind": "gas"})


@pytest.mark.parametrize(
    ("texts", "metadatas", "given"),
    [
        (["a", "b"], None, ["1"]),
        (["a", "b"], [{}], None),
        (["a", "b"], None, ["1", "1"]),
        (["a", "b"], None, []),
    ],
)
def test_lists_that_do_not_fit_are_refused_before_anything_is_stored(empty_store, texts, metadatas, given):
    with pytest.raises(InvalidInputError):
        empty_store.add_texts(texts, metadatas, ids=given)
    assert len(empty_store.collection) == 0


def test_deleting_by_id_by_filter_and_an_unknown_id(store):
    assert store.delete(["mars", "nobody"]) is True
    assert store.delete(filter={"kind": "gas"}) is True
    assert store.delete(filter=lambda document: document.page_content.startswith("Venus")) is True
    assert ids(store.similarity_search("planet", k=10)) == ["mercury", "earth"]


def test_deleting_nothing_in_particular_is_refused(store):
    with pytest.raises(InvalidInputError):
        store.delete(None)
    with pytest.raises(InvalidInputError):
        store.delete()
    assert store.delete([]) is True
    assert len(store.collection) == 6


def test_get_by_ids_keeps_the_order_asked_and_leaves_unknown_ids_out(store):
    assert ids(store.get_by_ids(["venus", "nobody", "earth"])) == ["venus", "earth"]


def test_scores_are_maxsim_and_relevance_is_in_0_to_1(store):
    query = "saturn rings comet"  # two of three words match exactly
    [(document, score)] = store.similarity_search_with_score(query, k=1)
    [(same, relevance)] = store.similarity_search_with_relevance_scores(query, k=1)
    assert document == same
    assert score > 2
    assert relevance == pytest.approx(score / 3)
    everything = store.similarity_search_with_relevance_scores("nothing matches here at all", k=6)
    assert len(everything) == 6
    assert all(0 <= relevance <= 1 for _, relevance in everything)


def test_a_perfect_match_has_relevance_1(store):
    [(_, relevance)] = store.similarity_search_with_relevance_scores("Saturn rings", k=1)
    assert relevance == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("threshold", [0.9, 0.5])
def test_thresholds_drop_what_is_off_topic(store, threshold):
    found = store.similarity_search_with_relevance_scores("red storm", k=6, score_threshold=threshold)
    expected = ["jupiter"] if threshold == 0.9 else ["jupiter", "mars"]
    assert ids([document for document, _ in found]) == expected
    assert ids(store.similarity_search("red storm", k=6, score_threshold=threshold)) == expected


def test_an_embedding_is_not_pretended(store):
    assert store.embeddings is None
    with pytest.raises(NotImplementedError):
        store.similarity_search_by_vector([0.0] * 64)


def test_a_store_from_documents_lies_in_its_directory(tmp_path, planets, encoder):
    store = LateInteractionVectorStore.from_documents(planets, path=tmp_path / "index", encoder=encoder)
    assert ids(store.similarity_search("brightest rings", k=1)) == ["saturn"]
    with Collection(tmp_path / "index", HashingEncoder()) as again:
        assert len(again) == 6


def test_a_store_from_texts_in_a_collection_that_is_open(collection):
    store = LateInteractionVectorStore.from_texts(
        ["a moon", "a comet"], metadatas=[{"n": 1}, {"n": 2}], ids=["m", "c"], collection=collection
    )
    assert store.collection is collection
    assert store.similarity_search("comet", k=1) == [
        Document(id="c", page_content="a comet", metadata={"n": 2})
    ]


async def test_the_async_makers_make_the_same(tmp_path, planets, encoder):
    first = await LateInteractionVectorStore.afrom_documents(planets, path=tmp_path / "a", encoder=encoder)
    second = await LateInteractionVectorStore.afrom_texts(
        [planet.page_content for planet in planets],
        metadatas=[planet.metadata for planet in planets],
        ids=[planet.id for planet in planets],
        path=tmp_path / "b",
        encoder=encoder,
    )
    query = "the largest planet"
    assert first.similarity_search_with_score(query) == second.similarity_search_with_score(query)


def test_single_vector_embeddings_are_refused_with_the_way_out():
    with pytest.raises(InvalidTypeError, match="encoder=LateInteractionEncoder"):
        LateInteractionVectorStore.from_texts(["a"], DeterministicFakeEmbedding(size=8))


def test_a_collection_beside_a_path_or_two_encoders_are_refused(collection, encoder):
    with pytest.raises(InvalidInputError, match="open already"):
        LateInteractionVectorStore.from_texts(["a"], collection=collection, encoder=encoder)
    with pytest.raises(InvalidInputError, match="encoder alone"):
        LateInteractionVectorStore.from_texts(["a"], HashingEncoder(), encoder=encoder)
    assert len(collection) == 0


def test_what_is_no_collection_is_refused_with_the_way_out(store):
    for wrong in ("index", None, store):
        with pytest.raises(InvalidTypeError, match="give a Collection"):
            LateInteractionVectorStore(wrong)
        with pytest.raises(InvalidTypeError, match="give a Collection"):
            LateInteractionRetriever(collection=wrong)
    with pytest.raises(InvalidTypeError, match="give a Collection"):
        LateInteractionReranker(collection="index")
    with pytest.raises(InvalidTypeError, match=r"LateInteractionEncoder\('offline/minilm'\)"):
        LateInteractionReranker(encoder="offline/minilm")


def test_langchain_helpers_that_pass_the_model_in_second_place_work(encoder):
    selector = SemanticSimilarityExampleSelector.from_examples(
        [{"input": "small moon", "output": "1"}, {"input": "big storm", "output": "2"}],
        encoder,
        LateInteractionVectorStore,
        k=1,
        input_keys=["input"],
    )
    assert selector.select_examples({"input": "a storm"}) == [{"input": "big storm", "output": "2"}]
