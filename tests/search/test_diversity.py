"""Maximal marginal relevance over token matrices."""

from __future__ import annotations

import numpy as np
import pytest

from retrievers import Collection
from retrievers.errors import InvalidInputError
from retrievers.search import diversity
from retrievers.testing import HashingEncoder

TEXTS = ["red storm wind rain hail", "red storm wind rain snow", "calm sea", "blue"]
QUERY = "red storm wind hail calm sea"  # 4, 3, 2 and 0 of its words; the first two texts share 4 of 5


@pytest.fixture
def matrices() -> list[np.ndarray]:
    return list(HashingEncoder(dim=512).encode_documents(TEXTS))


@pytest.fixture
def query() -> np.ndarray:
    return HashingEncoder(dim=512).encode_queries([QUERY])[0]


def test_relevance_alone_is_the_order_of_maxsim(query, matrices):
    assert diversity.maximal_marginal_relevance(query, matrices[::-1], 4, lambda_mult=1.0) == [3, 2, 1, 0]


def test_a_near_copy_of_the_first_choice_comes_later(query, matrices):
    assert diversity.maximal_marginal_relevance(query, matrices, 3) == [0, 2, 3]
    assert diversity.maximal_marginal_relevance(query, matrices, 3, lambda_mult=0.7) == [0, 2, 1]


def test_diversity_alone_still_begins_with_the_most_relevant(query, matrices):
    assert diversity.maximal_marginal_relevance(
        query, [matrices[1], matrices[2], matrices[0]], 2, lambda_mult=0.0
    ) == [2, 1]


def test_likeness_is_the_mean_of_both_directions():
    short, long = HashingEncoder(dim=512).encode_documents(["a b", "a b c d"])
    forward, backward = 1.0, (2 + (short @ long.T).max(axis=0)[2:].sum()) / 4
    assert diversity.symmetric_maxsim(short, long) == pytest.approx((forward + backward) / 2, abs=1e-6)
    assert diversity.symmetric_maxsim(long, short) == pytest.approx((forward + backward) / 2, abs=1e-6)


def test_blocks_do_not_change_the_likeness(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, 8)).astype(np.float32) for n in (37, 23))
    whole = diversity.symmetric_maxsim(left, right)
    monkeypatch.setattr(diversity, "BLOCK", 50)
    assert diversity.symmetric_maxsim(left, right) == pytest.approx(whole, rel=1e-5)


def test_equal_values_keep_the_order_given(query, matrices):
    assert diversity.maximal_marginal_relevance(query, [matrices[0]] * 3, 3) == [0, 1, 2]


def test_documents_and_queries_without_tokens_are_no_trouble(query, matrices):
    empty = np.zeros((0, 512), np.float32)
    assert diversity.maximal_marginal_relevance(query, [empty, matrices[0]], 5) == [1, 0]
    assert diversity.maximal_marginal_relevance(empty, matrices, 1) == [0]
    assert diversity.maximal_marginal_relevance(query, [], 3) == []


@pytest.mark.parametrize(("k", "weight"), [(0, 0.5), (1, -0.1), (1, 1.1)])
def test_arguments_without_meaning_are_refused(query, matrices, k, weight):
    with pytest.raises(InvalidInputError):
        diversity.maximal_marginal_relevance(query, matrices, k, weight)


def test_a_search_chooses_among_the_best_fetch_k_only(collection):
    collection.add(TEXTS, ids=["storm", "copy", "calm", "blue"])

    def diverse(**options) -> list[str]:
        return [hit.id for hit in diversity.search_diverse(collection, QUERY, **options)]

    assert diverse(k=2) == ["storm", "calm"]
    assert diverse(k=2, fetch_k=2) == ["storm", "copy"]
    assert diverse(k=3, fetch_k=1) == ["storm", "calm", "copy"]
    assert diversity.search_diverse(collection, " ") == []


def test_long_documents_are_as_alike_as_their_passages():
    tail = " ".join(f"word{number}" for number in range(6))
    with Collection(None, HashingEncoder(dim=512, document_length=5)) as collection:
        # The rest of each text is the same; what the question finds in them is not.
        collection.add(
            [f"{TEXTS[0]} {tail}", f"{TEXTS[1]} {tail}", f"{TEXTS[2]} a b c {tail}"], ids=["0", "1", "2"]
        )
        found = collection.search(QUERY, k=3)
        assert [matrix.shape for matrix in collection.matrices(found)] == [(5, 512)] * 3
        assert [hit.id for hit in diversity.search_diverse(collection, QUERY, k=3)] == ["0", "2", "1"]


def test_a_passage_is_the_stored_rows_of_the_window_and_empty_once_it_is_gone(collection, encoder):
    collection.add(["red storm", "calm sea"], ids=["storm", "calm"])
    found = collection.search("calm red", k=2)
    [expected] = encoder.encode_documents([found[0].text])
    assert collection.matrices(found)[0] == pytest.approx(expected, abs=0.01)
    collection.add(["another text"], ids=["storm"])
    collection.delete(["calm"])
    assert [len(matrix) for matrix in collection.matrices(found)] == [0, 0]


def test_a_question_is_encoded_once(collection, encoder, monkeypatch):
    collection.add(TEXTS)
    asked = []
    encode = encoder.encode_queries
    monkeypatch.setattr(encoder, "encode_queries", lambda texts: asked.extend(texts) or encode(texts))
    assert len(diversity.search_diverse(collection, QUERY, k=2)) == 2
    assert asked == [QUERY]


def test_only_documents_of_the_given_ids_are_chosen(collection):
    collection.add(TEXTS, ids=["storm", "copy", "calm", "blue"])
    found = diversity.search_diverse(collection, QUERY, k=3, ids=["copy", "blue", "nowhere"])
    assert [hit.id for hit in found] == ["copy", "blue"]
    assert found.query == QUERY
