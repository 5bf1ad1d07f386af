"""Search with the pooled similarity: the blend, its parts, what it leaves as it was, and what it refuses."""

import asyncio

import numpy as np
import pytest

from retrievers import Collection
from retrievers.collection.asynchronous import asynchronous
from retrievers.errors import InvalidInputError, InvalidTypeError, NoWordsError
from retrievers.search import fusion
from retrievers.search.diversity import search_diverse
from retrievers.testing import HashingEncoder

WORDS = ["sun", "moon", "star", "sky", "sea", "river", "stone", "tree", "hill", "rain", "fog", "snow"]
QUESTIONS = ("fog and snow", "sun", "sea sea river", "nothing that is there")


def filled(encoder, **options):
    rng = np.random.default_rng(0)
    collection = Collection(None, encoder, **options)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 14))) for _ in range(120)]
    texts[5], texts[50] = "", texts[40]  # one without tokens, and two that are equal
    collection.add(
        texts,
        ids=[f"d{number}" for number in range(120)],
        metadatas=[{"n": number % 5, "even": number % 2 == 0} for number in range(120)],
        show_progress=False,
    )
    return collection


@pytest.fixture(scope="module", params=[8, 4])
def collection(request):
    with filled(HashingEncoder(document_length=5), words="unicode61", bits=request.param) as collection:
        yield collection


def scaled(values):
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else (values != 0).astype(float)


def by_hand(collection, question, words, pooled, depth, keep):
    """Each candidate with its blend and its parts, best first, computed from the answers of plain searches."""
    plain = collection.search(question, k=1000, exact=True, words=0, filter=keep)
    names = [hit.id for hit in plain[:depth]] if words < 1 else []
    bm25 = {}
    if words:
        hits = collection.search(question, k=1000, words=1, filter=keep)
        bm25 = {hit.id: hit.parts.bm25 for hit in hits}
        names = list(dict.fromkeys([*names, *[hit.id for hit in hits[:depth]]]))
    found = {hit.id: hit for hit in plain}
    hits = [found[name] for name in names]
    if not hits:
        return []
    whole = plain.matrix.astype(np.float64).mean(axis=0)
    means = [rows.astype(np.float64).mean(axis=0) for rows in collection.matrices(hits)]
    cosines = [mean @ whole / np.linalg.norm(mean) / np.linalg.norm(whole) for mean in means]
    maxsim = np.array([hit.score for hit in hits])
    total = (1 - words - pooled) * scaled(maxsim) + pooled * scaled(np.array(cosines))
    if words:
        total = total + words * scaled(np.array([bm25.get(name, 0.0) for name in names]))
    order = {document.id: place for place, document in enumerate(collection.get())}
    best = sorted(range(len(names)), key=lambda one: (-round(total[one], 9), order[names[one]]))
    return [
        (names[one], total[one], cosines[one], bm25.get(names[one], 0.0) if words else None) for one in best
    ]


@pytest.mark.parametrize(("words", "pooled"), [(0, 0.25), (0, 1), (0.3, 0.7), (0.25, 0.5), (0.5, 0.25)])
@pytest.mark.parametrize("depth", [3, 100])
def test_the_blend_is_what_its_formula_says(collection, words, pooled, depth, monkeypatch):
    monkeypatch.setattr(fusion, "DEPTH", depth)
    for question in QUESTIONS:
        for keep in (None, {"even": True}):
            found = collection.search(question, k=3, words=words, pooled=pooled, filter=keep)
            expected = by_hand(collection, question, words, pooled, depth, keep)
            assert [hit.score for hit in found] == pytest.approx(
                [total for _, total, *_ in expected[:3]], abs=1e-4
            )
            told = {name: rest for name, *rest in expected}
            for hit in found:
                total, cosine, bm25 = told[hit.id]
                assert hit.score == pytest.approx(total, abs=1e-4)
                assert hit.parts.pooled == pytest.approx(cosine, abs=1e-4)
                assert hit.parts.bm25 == (None if bm25 is None else pytest.approx(bm25, abs=1e-5))
                assert hit.parts.normalized_maxsim == hit.normalized_score


def test_without_pooled_nothing_changes(collection):
    for question in (*QUESTIONS, ""):
        for options in ({"words": 0}, {"words": 0.25}, {"words": 0, "score_threshold": 0.5}):
            expected = collection.search(question, k=20, **options)
            assert collection.search(question, k=20, pooled=0, **options) == expected
            assert collection.search(question, k=20, pooled=None, **options) == expected
            assert all(hit.parts is None or hit.parts.pooled is None for hit in expected)
    assert collection.search("", pooled=0.5) == []


def test_equal_documents_keep_their_order_and_one_without_tokens_is_no_hit(collection):
    found = collection.search("fog and snow", k=120, pooled=0.6)
    names = [hit.id for hit in found]
    assert names.index("d50") == names.index("d40") + 1
    assert found[names.index("d40")].score == found[names.index("d50")].score
    assert len(names) == 119
    assert "d5" not in names


def test_it_needs_no_words_and_takes_a_matrix():
    encoder = HashingEncoder(document_length=5)
    with filled(encoder) as collection:
        rows = encoder.encode_queries(["fog and snow"])[0]
        found = collection.search("fog and snow", k=7, pooled=0.5)
        by_rows = collection.search(rows, k=7, pooled=0.5)
        assert [(hit.id, hit.score, hit.parts) for hit in found] == [
            (hit.id, hit.score, hit.parts) for hit in by_rows
        ]
        assert found != collection.search("fog and snow", k=7)
        with pytest.raises(NoWordsError):
            collection.search("fog", words=0.1, pooled=0.5)
        with pytest.raises(InvalidInputError, match="whose words nobody knows"):
            collection.search(rows, words=0.1, pooled=0.5)
        weighted = collection.search(2 * rows, k=7, pooled=0.5)
        assert [hit.id for hit in weighted] == [hit.id for hit in found]
        assert weighted[0].parts.pooled == pytest.approx(found[0].parts.pooled, abs=1e-6)


def test_a_threshold_is_about_maxsim_and_does_not_change_the_scale(collection):
    every = collection.search("fog snow rain", k=100, pooled=0.7, words=0)
    found = collection.search("fog snow rain", k=5, pooled=0.7, words=0, score_threshold=0.4)
    assert found == [hit for hit in every if hit.normalized_score >= 0.4][:5]
    assert len(found) > 0
    assert any(hit.normalized_score < 0.4 for hit in every)


def test_it_goes_with_every_option_of_a_search(collection):
    options = {"k": 6, "pooled": 0.5, "words": 0.25}
    alone = [collection.search(question, **options) for question in QUESTIONS]
    assert collection.search_many(QUESTIONS, **options) == alone
    assert asyncio.run(asynchronous(collection).asearch(QUESTIONS[0], **options)) == alone[0]
    hit = collection.search("fog snow rain", k=1, pooled=0.5, words=0, passages=2)[0]
    assert hit.passages[0].score == pytest.approx(hit.parts.maxsim, abs=1e-5)
    evidence = collection.explain("fog snow rain", hit)
    assert evidence.parts == hit.parts
    assert evidence.as_json()["parts"]["pooled"] == hit.parts.pooled
    grouped = collection.search("fog snow", k=9, pooled=0.5, words=0, group_by="n")
    assert sorted(hit.metadata["n"] for hit in grouped) == [0, 1, 2, 3, 4]
    ids = [f"d{number}" for number in range(0, 120, 7)]
    among = collection.search("fog snow", k=5, pooled=0.5, ids=ids, filter={"even": True})
    assert {one.id for one in among} <= set(ids)
    assert all(one.metadata["even"] for one in among)
    assert collection.search("fog", pooled=0.5, ids=[]) == []
    assert len(search_diverse(collection, "fog snow", k=3, pooled=0.5)) == 3


@pytest.mark.parametrize("value", [-0.1, 1.1, float("inf")])
def test_a_share_that_is_none_is_refused(collection, value):
    with pytest.raises(InvalidInputError, match="pooled"):
        collection.search("fog", pooled=value)
    with pytest.raises(InvalidTypeError, match="pooled"):
        collection.search("fog", pooled="half")


def test_shares_of_more_than_everything_are_refused(collection):
    for words, pooled in ((0.8, 0.3), (1, 0.01), (0.5, 1)):
        with pytest.raises(InvalidInputError, match=rf"words is {words:g} and pooled {pooled:g}"):
            collection.search("fog", words=words, pooled=pooled)
    assert collection.search("fog", words=1 - 0.7, pooled=0.7)
    with filled(HashingEncoder(document_length=5), words="unicode61", words_weight=0.6) as stored:
        assert stored.search("fog", k=1, pooled=0.4)[0].parts.bm25 > 0
        with pytest.raises(InvalidInputError, match=r"own share of words is 0\.6 and pooled 0\.5"):
            stored.search("fog", pooled=0.5)
        assert stored.search("fog", k=1, words=0, pooled=0.5)[0].parts.bm25 is None
        rows = HashingEncoder().encode_queries(["fog"])[0]
        assert stored.search(rows, k=1, pooled=0.9)[0].parts.bm25 is None
