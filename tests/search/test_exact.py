"""Exact search over a view: the answers of numpy, whatever is selected and however many ask."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.kernels import reference, targets
from retrievers.kernels.rows import quantize
from retrievers.search import exact, rank, score


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def make_view(lengths, documents=None, dim=32, seed=0, bits=8):
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths, np.int64)
    rows, scales = quantize(unit(rng.standard_normal((int(lengths.sum()) + 1, dim))), bits)
    ends = np.cumsum(lengths)
    return SimpleNamespace(
        dim=dim,
        bits=bits,
        rows=rows,
        scales=scales,
        starts=ends - lengths,
        ends=ends,
        documents=np.arange(len(lengths)) if documents is None else np.array(documents, np.int64),
        codes=None,
        centroids=None,
    )


def make_queries(*lengths, dim=32, seed=1):
    rng = np.random.default_rng(seed)
    return [unit(rng.standard_normal((n, dim))) for n in lengths]


def assert_right(found, view, query, selected, k):
    """What plain numpy and sorting give; windows whose scores differ by rounding may change places."""
    [scores] = reference.maxsim(view.rows, view.scales, view.starts, view.ends, [query], view.bits)
    best = {}
    for position in range(len(view.starts)) if selected is None else selected:
        document = view.documents[position]
        best[document] = max(scores[position], best.get(document, -np.inf))
    expected = sorted((value for value in best.values() if value > -np.inf), reverse=True)[:k]
    assert [value for _, value in found] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert [scores[position] for position, _ in found] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert len({view.documents[position] for position, _ in found}) == len(found)
    assert selected is None or {position for position, _ in found} <= set(selected.tolist())


@pytest.mark.parametrize("name", targets.available_targets())
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=60),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([8, 4]),
)
@settings(max_examples=40, deadline=None)
def test_rank_equals_sorting_numpy_scores(name, windows, k, seed, bits):
    view = make_view([n for n, _ in windows], [document for _, document in windows], seed=seed, bits=bits)
    query = make_queries(11, seed=seed)[0]
    with targets.force_target(name):
        assert_right(rank(view, [query], None, k)[0], view, query, None, k)


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_of_queries_does_not_decide_the_ranking(bits):
    """2 000 windows that differ by less than the rounding: the best ten are those of float32."""
    rng = np.random.default_rng(3)
    base = unit(rng.standard_normal((1, 64)))
    rows, scales = quantize(unit(base + 0.02 * rng.standard_normal((2000, 64))), bits)
    view = make_view([1] * 2000, dim=64, bits=bits)
    view.rows, view.scales = rows, scales
    query = unit(base + 0.02 * rng.standard_normal((8, 64)))
    assert_right(rank(view, [query], None, 10)[0], view, query, None, 10)


def test_only_selected_windows_are_found():
    view, [query] = make_view([4] * 50), make_queries(6)
    selected = np.array([3, 17, 40])
    assert_right(rank(view, [query], selected, 10)[0], view, query, selected, 10)


def test_several_queries_are_answered_as_each_alone():
    view, queries = make_view(range(80)), make_queries(3, 16, 33, 1)
    assert rank(view, queries, None, 7) == [rank(view, [query], None, 7)[0] for query in queries]


def test_queries_beyond_one_pass_are_answered_too(monkeypatch):
    view, queries = make_view([5] * 20), make_queries(3, 16, 33, 1, 8)
    together = rank(view, queries, None, 4)
    monkeypatch.setattr(exact, "SCORES_A_PASS", 45)  # two queries a pass
    assert rank(view, queries, None, 4) == together


@pytest.mark.parametrize("bits", [8, 4])
def test_a_score_is_the_same_in_a_search_in_a_batch_and_in_a_rerank(bits):
    view, queries = make_view(range(1, 60), dim=48, bits=bits), make_queries(14, 20, dim=48)
    batch = rank(view, queries, None, 20)
    for query, ranking in zip(queries, batch, strict=True):
        positions = np.array([position for position, _ in ranking[::-1]])
        bounds = view.starts[positions], view.ends[positions]
        [reranked] = score(view.rows, view.scales, *bounds, [query], bits)
        assert reranked.tolist()[::-1] == [value for _, value in ranking]
        assert rank(view, [query], np.sort(positions), 20)[0] == ranking


def test_equal_documents_come_in_order_of_insertion():
    view, [query] = make_view([3] * 100), make_queries(4)
    view.starts[:], view.ends[:] = 0, 3
    assert [position for position, _ in rank(view, [query], None, 5)[0]] == [0, 1, 2, 3, 4]


def test_more_hits_than_documents_gives_them_all():
    view, [query] = make_view([3, 0, 5]), make_queries(4)
    assert sorted(position for position, _ in rank(view, [query], None, 1000)[0]) == [0, 2]


@pytest.mark.parametrize(
    ("lengths", "selected", "k"), [([], None, 5), ([4, 4], [], 5), ([0, 0], None, 5), ([4, 4], None, 0)]
)
def test_where_nothing_can_be_found_the_ranking_is_empty(lengths, selected, k):
    chosen = None if selected is None else np.array(selected, np.int64)
    assert rank(make_view(lengths), make_queries(4, 2), chosen, k) == [[], []]


def test_a_query_without_tokens_finds_nothing_and_disturbs_no_other():
    view, (first, second) = make_view([4] * 10), make_queries(4, 2)
    answers = rank(view, [first, first[:0], second], None, 3)
    assert answers[1] == []
    assert [answers[0], answers[2]] == rank(view, [first, second], None, 3)
    assert rank(view, [], None, 3) == []


def test_stored_rows_are_neither_copied_nor_written():
    """Scanning 64 MB of rows allocates a small part of that."""
    import tracemalloc

    view = make_view([1000] * 500, dim=128)
    view.rows.flags.writeable = False
    [query] = make_queries(16, dim=128)
    rank(view, [query], None, 10)
    tracemalloc.start()
    rank(view, [query], None, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert view.rows.nbytes > 60e6
    assert peak < 1e6


def test_many_threads_search_one_view():
    view, queries = make_view([7] * 400, dim=64), make_queries(*range(1, 33), dim=64)
    expected = [rank(view, [query], None, 10)[0] for query in queries]
    answers = [[] for _ in queries]

    def search(number):
        for _ in range(20):
            answers[number].append(rank(view, [queries[number]], None, 10)[0])

    callers = [threading.Thread(target=search, args=(n,)) for n in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=120)
    assert answers == [[one] * 20 for one in expected]
