"""Reranker, cross-encoder and passage compressor."""

from __future__ import annotations

import copy

import pytest
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document

from retrievers.langchain import LateInteractionCrossEncoder, LateInteractionReranker, PassageCompressor
from retrievers.testing import HashingEncoder

QUERY = "the largest planet with a red storm"


def ids(documents) -> list[str | None]:
    return [document.id for document in documents]


def test_the_best_documents_come_first_with_their_relevance(planets, encoder):
    found = LateInteractionReranker(encoder=encoder, top_n=2).compress_documents(planets, QUERY)
    assert ids(found) == ["jupiter", "mars"]
    scores = [document.metadata["relevance_score"] for document in found]
    assert 1 >= scores[0] > scores[1] >= 0
    assert found[0].page_content == planets[4].page_content


def test_the_originals_stay_as_they_are(encoder):
    class Sheet(Document):
        page: int = 0

    given = [Sheet(page_content="a red storm", id="s", page=7, metadata={"deep": {"list": [1]}})]
    before = copy.deepcopy(given)
    [found] = LateInteractionReranker(encoder=encoder).compress_documents(given, "storm")
    found.metadata["deep"]["list"].append(2)
    assert given == before
    assert (type(found), found.page, found.id) == (Sheet, 7, "s")


def test_metadata_need_not_be_json_to_be_reranked(encoder):
    marker = object
    [found] = LateInteractionReranker(encoder=encoder).compress_documents(
        [Document(page_content="a storm", metadata={1: marker})], "storm"
    )
    assert found.metadata[1] is marker


def test_equal_scores_keep_the_order_given(encoder):
    given = [Document(page_content="a storm", id=str(number)) for number in range(5)]
    found = LateInteractionReranker(encoder=encoder, top_n=None).compress_documents(given, "storm")
    assert ids(found) == ["0", "1", "2", "3", "4"]


def test_a_threshold_drops_what_is_off_topic(planets, encoder):
    reranker = LateInteractionReranker(encoder=encoder, top_n=None, score_threshold=0.8)
    assert ids(reranker.compress_documents(planets, QUERY)) == ["jupiter"]
    assert reranker.compress_documents(planets, "comets only") == []
    assert reranker.compress_documents([], QUERY) == []


def test_a_stored_document_is_not_encoded_again(store, planets, encoder):
    reranker = LateInteractionReranker(collection=store.collection, top_n=6)
    before = encoder.encoded_documents
    stored = reranker.compress_documents(planets, QUERY)
    assert encoder.encoded_documents == before
    changed = [planets[0].model_copy(update={"page_content": "a red storm"}), *planets[1:]]
    found = reranker.compress_documents(changed, "a red storm")
    assert encoder.encoded_documents == before + 1
    assert found[0].id == "mercury"
    fresh = LateInteractionReranker(encoder=HashingEncoder(), top_n=6).compress_documents(planets, QUERY)
    assert [d.metadata["relevance_score"] for d in stored] == pytest.approx(
        [d.metadata["relevance_score"] for d in fresh]
    )


async def test_the_async_twin_agrees(planets, encoder):
    reranker = LateInteractionReranker(encoder=encoder)
    assert await reranker.acompress_documents(planets, QUERY) == reranker.compress_documents(planets, QUERY)


@pytest.mark.parametrize("kind", [LateInteractionReranker, PassageCompressor, LateInteractionCrossEncoder])
def test_one_of_collection_and_encoder_is_needed(kind, store, encoder):
    with pytest.raises(ValueError, match="neither"):
        kind()
    with pytest.raises(ValueError, match="both"):
        kind(collection=store.collection, encoder=encoder)


def test_a_misspelt_option_is_an_error(encoder):
    with pytest.raises(ValueError, match="top_k"):
        LateInteractionReranker(encoder=encoder, top_k=3)


def test_pairs_are_scored_in_the_order_given(encoder):
    model = LateInteractionCrossEncoder(encoder=encoder)
    pairs = [
        ("red storm", "a red storm"),
        ("rings", "a red storm"),
        ("red storm", "a storm"),
        ("rings", "Saturn has rings"),
        ("rings", " "),
        (" ", "Saturn has rings"),
    ]
    scores = model.score(pairs)
    assert scores[0] == pytest.approx(1, abs=0.01)
    assert scores[3] == pytest.approx(1, abs=0.01)
    assert scores[0] > scores[2] > scores[1]
    assert scores[4:] == [0, 0]
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in scores)
    assert model.score([]) == []


def test_the_cross_encoder_reranker_of_langchain_takes_the_model(planets, encoder):
    reranker = CrossEncoderReranker(model=LateInteractionCrossEncoder(encoder=encoder), top_n=2)
    assert ids(reranker.compress_documents(planets, QUERY)) == ["jupiter", "mars"]


LONG = "one two three four five six seven eight red storm over nine ten eleven twelve thirteen fourteen"


def test_a_long_document_is_cut_to_its_best_passage_with_its_place():
    encoder = HashingEncoder(document_length=4)
    given = [
        Document(page_content=LONG, id="long", metadata={"kind": "gas"}),
        Document(page_content="a storm"),
    ]
    before = copy.deepcopy(given)
    long, short = PassageCompressor(encoder=encoder).compress_documents(given, "red storm")
    assert long.page_content == "red storm over nine"
    start, end = long.metadata["passage_span"]
    assert LONG[start:end] == long.page_content
    assert (long.id, long.metadata["kind"]) == ("long", "gas")
    assert (short.page_content, short.metadata) == ("a storm", {"passage_span": [0, 7]})
    assert given == before


async def test_passages_keep_the_order_given_and_blank_texts():
    given = [Document(page_content=" "), Document(page_content="rings"), Document(page_content="a storm")]
    compressor = PassageCompressor(encoder=HashingEncoder(), span_key="at")
    found = await compressor.acompress_documents(given, "storm")
    assert [document.page_content for document in found] == [" ", "rings", "a storm"]
    assert [document.metadata for document in found] == [{}, {"at": [0, 5]}, {"at": [0, 7]}]


def test_a_stored_document_is_cut_without_being_encoded_again(encoder):
    from retrievers import Collection

    with Collection(None, encoder) as collection:
        collection.add([LONG * 20], ids=["long"])
        before = encoder.encoded_documents
        [found] = PassageCompressor(collection=collection).compress_documents(
            [Document(page_content=LONG * 20, id="long")], "red storm"
        )
        assert len(found.page_content) < len(LONG * 20)
        assert encoder.encoded_documents == before
