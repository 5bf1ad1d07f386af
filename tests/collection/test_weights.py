"""Weights on a question's rows: scores, thresholds, evidence and diversity hold one rule, and idf is the snapshot's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrievers import Collection
from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.search.diversity import mean_maxsim, search_diverse
from retrievers.store import token_counts
from retrievers.testing import HashingEncoder

TEXTS = {
    "a": "sun moon star sun",
    "b": "sun sea",
    "c": "sun river sea stone tree hill",
    "d": "sun",
    "e": "",
}
QUESTION = "sun stone tree"


def encoder(*weights):
    return HashingEncoder(dim=32, document_length=4, query_weights=weights)


@pytest.fixture(params=[None, "directory"])
def collection(request, tmp_path):
    made = Collection(None if request.param is None else tmp_path / "c", encoder("length", "idf"))
    made.add(list(TEXTS.values()), ids=list(TEXTS))
    yield made
    made.close()


def weights_of(texts, question=QUESTION, letters=True):
    """By the formulas of the documentation."""
    documents = [set(text.split()) for text in texts]
    found = []
    for word in question.split():
        count = sum(word in one for one in documents)
        idf = math.log(1 + (len(documents) - count + 0.5) / (count + 0.5))
        found.append(math.sqrt(idf) * (len(word) if letters else 1))
    return np.array(found) / np.mean(found)


def rows_of(collection, name):
    [hit] = collection.search(TEXTS[name], k=1, ids=[name])
    return collection.matrices([hit])[0]


def test_the_score_is_the_weighted_sum_and_the_normalized_one_the_weighted_mean(collection):
    weights = weights_of(TEXTS.values())
    [query] = encoder().encode_queries([QUESTION])
    hits = collection.search(QUESTION, k=9)
    for hit in hits:
        [rows] = collection.matrices([hit])
        best = (query @ rows.T).max(axis=1)
        assert hit.score == pytest.approx(float(weights @ best), abs=1e-3)
        mean = float(weights @ best) / weights.sum()
        assert hit.normalized_score == pytest.approx(min(max(mean, 0), 1), abs=1e-3)
    assert hits[0].id == "c"
    assert np.linalg.norm(hits.matrix, axis=1) == pytest.approx(weights, rel=1e-4)


def test_a_text_that_has_all_tokens_has_the_normalized_score_one(collection):
    [hit] = collection.search(TEXTS["a"], k=1)
    assert hit.normalized_score == pytest.approx(1, abs=0.01)
    assert collection.search(TEXTS["a"], k=9, score_threshold=0.97) == [hit]


def test_evidence_shows_the_weights_and_adds_up_to_the_score(collection):
    [hit, *_] = collection.search(QUESTION)
    found = collection.explain(QUESTION, hit)
    assert [one.weight for one in found.matches] == pytest.approx(list(weights_of(TEXTS.values())), rel=1e-4)
    assert sum(one.similarity for one in found.matches) == pytest.approx(hit.score, abs=1e-4)
    stone = found.matches[1]
    assert stone.text == "stone"
    assert stone.similarity == pytest.approx(stone.weight, abs=0.01)


def test_reranking_weighs_as_search_does(collection):
    searched = {hit.id: hit.score for hit in collection.search(QUESTION, k=9)}
    ranked = collection.rerank(QUESTION, ids=list(searched))
    assert {hit.id: hit.score for hit in ranked} == pytest.approx(searched, abs=1e-5)
    [loose] = collection.rerank(QUESTION, [TEXTS["b"]])
    assert loose.score == pytest.approx(searched["b"], abs=1e-4)


def test_what_is_replaced_or_deleted_counts_no_longer(collection):
    collection.add(["stone moon"], ids=["d"])
    collection.delete(["c", "b"])
    texts = [TEXTS["a"], "stone moon", ""]
    collection.compact()
    matrix = collection.search(QUESTION).matrix
    assert np.linalg.norm(matrix, axis=1) == pytest.approx(weights_of(texts), rel=1e-4)
    assert collection.verify() == []


def test_a_reader_of_an_earlier_commit_has_its_counts(collection):
    if collection.path is None:
        pytest.skip("in memory a reader keeps writers out")
    sun = encoder().query_ids("sun")
    with collection.store.read() as view:
        with Collection(collection.path, encoder("idf")) as other:
            other.delete(["a", "b"])
        assert view.token_counts(sun) == {sun[0]: 4}
    with collection.store.read() as view:
        assert view.token_counts(sun) == {sun[0]: 2}


def test_the_bytes_of_the_tokens_are_shown(collection):
    info = collection.info()
    assert info.counts_tokens
    assert info.token_ids_bytes == sum(
        len(token_counts.packed(some)) for some in encoder().document_ids(TEXTS.values())
    )


def test_a_collection_without_counts_is_weighted_by_length_alone_until_it_counts(tmp_path):
    with Collection(tmp_path / "c", encoder()) as plain:
        plain.add(list(TEXTS.values()), ids=list(TEXTS))
        before = plain.search(QUESTION)
        assert [hit.normalized_score for hit in before] == [hit.score / 3 for hit in before]
    with Collection(tmp_path / "c", encoder("length", "idf")) as collection:
        assert not collection.info().counts_tokens
        lengths = np.linalg.norm(collection.search(QUESTION).matrix, axis=1)
        assert lengths == pytest.approx([3 / 4, 5 / 4, 4 / 4], rel=1e-5)
        collection.count_tokens(show_progress=False)
        assert collection.info().counts_tokens
        lengths = np.linalg.norm(collection.search(QUESTION).matrix, axis=1)
        assert lengths == pytest.approx(weights_of(TEXTS.values()), rel=1e-4)
        collection.add(["stone"], ids=["f"])
        collection.count_tokens(show_progress=False)  # what was counted already is counted once
        assert collection.verify() == []
    with Collection(tmp_path / "c", encoder()) as plain:
        plain.add(["hill"], ids=["g"])  # counted all the same: the collection says so
        assert plain.verify() == []
        plain.delete(["f", "g"])
        assert plain.search(QUESTION) == before


def test_an_encoder_that_does_not_number_its_tokens_counts_none(tmp_path):
    class Silent(HashingEncoder):
        query_ids = document_ids = None
        query_weights = property(lambda self: (), lambda self, value: None)

    with Collection(tmp_path / "c", Silent()) as collection:
        collection.add(["sun"])
        with pytest.raises((InvalidInputError, TypeError)):
            collection.count_tokens(show_progress=False)
        assert not collection.info().counts_tokens


def test_damaged_counts_are_said(tmp_path):
    import sqlite3

    with Collection(tmp_path / "c", encoder("idf")) as collection:
        collection.add(list(TEXTS.values()), ids=list(TEXTS))
    with sqlite3.connect(tmp_path / "c" / "catalog.sqlite") as sql:
        sql.execute("UPDATE token_ids SET ids = x'00' WHERE key = 2")
        sql.execute("UPDATE token_counts SET documents = 0 WHERE documents = 4")
    sql.close()
    with Collection(tmp_path / "c", encoder("idf")) as collection:
        problems = {damage.problem.split(".")[0]: damage.ids for damage in collection.verify()}
        assert problems["the tokens of the document do not fit their checksum"] == ("b",)
        assert "the counts of tokens are not those of the documents" in problems
        with pytest.raises(CorruptStoreError, match="counted in 0 of 5 documents"):
            collection.search(QUESTION)
        with sqlite3.connect(tmp_path / "c" / "catalog.sqlite") as sql:
            sql.execute("UPDATE token_counts SET documents = 6")
        sql.close()
        with pytest.raises(CorruptStoreError, match="counted in 6 of 5 documents"):
            collection.search(QUESTION)
        assert collection.delete(["b"]) == 1
        collection.count_tokens(show_progress=False)
        assert collection.verify() == []
        assert collection.search(QUESTION)[0].id == "c"


def test_diversity_looks_at_the_weighted_mean(collection):
    hits = collection.search(QUESTION, k=9)
    for hit in hits:
        [rows] = collection.matrices([hit])
        assert (
            mean_maxsim(hits.matrix, rows) == pytest.approx(hit.normalized_score, abs=1e-3) or hit.score < 0
        )
    assert [hit.id for hit in search_diverse(collection, QUESTION, k=4, lambda_mult=1)] == [
        hit.id for hit in hits
    ]


def test_numbers_are_packed_as_differences():
    numbers = {0, 1, 127, 128, 129, 40_000, (1 << 31) - 1}
    data = token_counts.packed(numbers)
    assert token_counts.unpacked(data) == sorted(numbers)
    assert len(data) == 1 + 1 + 1 + 1 + 1 + 3 + 5
    for damaged in (b"\x80", b"\xff" * 9, b"\xff\xff\xff\xff\x7f"):
        with pytest.raises(CorruptStoreError):
            token_counts.unpacked(damaged)
    for number in (-1, 1 << 31):
        with pytest.raises(InvalidInputError):
            token_counts.packed([number])
