"""The benchmark of candidates runs on a handful of windows, and its figures are those of a case that one can see."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.qdrant.__main__ import by_windows, in_dim
from benchmarks.qdrant.data import Set, pool
from benchmarks.qdrant.ends import compared
from benchmarks.qdrant.ranks import best, ndcg
from benchmarks.search.data import unit
from retrievers import Document


@pytest.fixture(scope="module")
def tiny() -> Set:
    """30 documents of one or two windows; each of four questions is rows of a document that is relevant to it."""
    draw = np.random.default_rng(0)
    documents = [Document(f"document number {place}", str(place)) for place in range(30)]
    spans = [[(0, 8), (9, 16)] if place % 2 else [(0, 16)] for place in range(30)]
    windows = np.cumsum([0] + [len(one) for one in spans])
    offsets = np.append(0, np.cumsum(draw.integers(2, 6, windows[-1])))
    rows = unit(draw.standard_normal((offsets[-1], 16))).astype(np.float16)
    about = {f"q{place}": documents[3 * place] for place in range(4)}
    queries = [unit(rows[offsets[windows[3 * place]] :][:2]) for place in range(4)]
    qrels = {key: {str(one.id): 1} for key, one in about.items()}
    texts = [one.text for one in about.values()]
    return Set("tiny", documents, spans, windows, offsets, rows, list(about), texts, queries, qrels)


@pytest.mark.parametrize("words", [False, True])
def test_a_server_and_a_directory_are_compared(tiny, words):
    found = compared(tiny, (10, 100), words=words)
    assert found.same + found.swapped == found.questions == 4
    assert 0 < found.rounding < 1e-2
    assert found.exact > 0.9
    assert found.rows[-1] == (100, 1.0, found.exact)
    assert found.rows[0][1] < 1


def test_all_candidates_find_all(tiny):
    made = by_windows([tiny], 100)
    assert made["windows"] == 100
    assert made["rows"][0][0] == 50
    assert made["rows"][0][1] < 1
    assert made["rows"][-1][1:3] == (1.0, 1.0)
    assert made["rows"][-1][-1] == made["exact"]


def test_a_pool_has_the_relevant_windows_first_and_noisy_copies_last(tiny):
    chosen = pool([tiny], 100)
    assert len(chosen) == 100
    assert chosen.copies[:45].tolist() == [0] * 45
    assert chosen.copies[45:].min() == 1
    matrices = list(chosen.matrices())
    place = int(np.flatnonzero(chosen.order[45:] == chosen.order[0])[0]) + 45
    likeness = (matrices[0] * matrices[place]).sum(axis=1)
    assert likeness.max() < 0.999
    assert likeness.mean() == pytest.approx(0.87, abs=0.1)


def test_fewer_dimensions_keep_rows_at_length_1(tiny):
    [made] = in_dim([tiny], 8)
    assert made.dim == 8
    assert np.linalg.norm(made.matrix(3), axis=1) == pytest.approx(1, abs=1e-3)


def test_documents_rank_by_their_best_window():
    scores, owners = np.array([1.0, 5.0, 3.0, 4.0]), np.array([0, 0, 1, 2])
    assert best(scores, owners, None) == [0, 2, 1]
    assert best(scores, owners, np.array([0, 2, 3])) == [2, 1, 0]
    assert ndcg([2, 1, 0], {2}) == 1
    assert ndcg([1, 2], {2}) == pytest.approx(0.6309, abs=1e-4)
