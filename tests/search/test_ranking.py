"""Windows to documents: one hit a document, ties by insertion, no tie lost on the way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrievers.search.ranking import best_documents, shortlist


def best(scores, documents, k):
    scores = np.array(scores, np.float32)
    return best_documents(scores, np.arange(len(scores)) + 100, np.array(documents, np.int64), k)


def test_higher_scores_come_first():
    assert best([1, 3, 2], [0, 1, 2], 2) == [(101, 3.0), (102, 2.0)]


def test_a_document_has_one_hit_its_best_window():
    assert best([1, 3, 2, 5], [7, 7, 8, 7], 10) == [(103, 5.0), (102, 2.0)]


def test_equal_scores_rank_by_document_key():
    assert best([2, 2, 2], [9, 3, 5], 10) == [(101, 2.0), (102, 2.0), (100, 2.0)]


def test_equal_windows_of_a_document_give_the_first():
    assert best([2, 2], [4, 4], 1) == [(100, 2.0)]


def test_windows_without_tokens_are_no_hits():
    assert best([-np.inf, -1, -np.inf], [0, 1, 2], 3) == [(101, -1.0)]


def test_nothing_gives_nothing():
    assert best([], [], 3) == []


def test_positions_and_scores_are_plain_numbers():
    [(position, score)] = best([1.5], [0], 1)
    assert (type(position), type(score)) == (int, float)


def test_shortlist_takes_every_window_of_the_last_score():
    scores = np.array([5, 1, 3, 3, 3, 0], np.float32)
    assert shortlist(scores, np.arange(6), 2).tolist() == [0, 2, 3, 4]


def test_shortlist_goes_on_until_it_has_enough_documents():
    scores = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], np.float32)
    documents = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 3])
    found = shortlist(scores, documents, 2)
    assert {0, 5} <= set(found.tolist())
    assert len(set(documents[found])) >= 2


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), max_size=40),
    st.integers(1, 12),
)
def test_ranking_a_shortlist_equals_ranking_everything(windows, k):
    scores = np.array([score for score, _ in windows], np.float32)
    documents = np.array([document for _, document in windows], np.int64)
    near = shortlist(scores, documents, k)
    everything = best_documents(scores, np.arange(len(scores)), documents, k)
    assert best_documents(scores[near], near, documents[near], k) == everything
