import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers import Collection, filters
from retrievers.kernels import codes as kernel
from retrievers.kernels import targets
from retrievers.kernels.rows import dequantize, quantize
from retrievers.search import candidates, centroids, exact, inverted, pruned, rank
from retrievers.testing import HashingEncoder


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def make_view(lengths, matrix, documents=None, n_centroids=64, bits=8):
    """A view of windows of the given lengths, optimised."""
    rows, scales = quantize(matrix, bits)
    ends = np.cumsum(lengths, dtype=np.int64)
    found = centroids.train(rows, scales, matrix.shape[1], n_centroids=n_centroids, bits=bits)
    return SimpleNamespace(
        dim=matrix.shape[1],
        bits=bits,
        rows=rows,
        scales=scales,
        starts=ends - lengths,
        ends=ends,
        documents=np.arange(len(lengths)) if documents is None else np.array(documents),
        codes=centroids.assign(rows, scales, found, bits),
        centroids=found,
    )


@pytest.fixture(scope="module", params=[8, 4], ids=["8 bits", "4 bits"])
def clustered(request):
    """2 000 windows of 3 to 30 tokens around 500 topics, and 40 queries made of tokens of one window each."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 31, 2000)
    topics = unit(rng.standard_normal((500, 32)))
    matrix = unit(
        topics[rng.integers(0, 500, lengths.sum())] + 0.1 * rng.standard_normal((lengths.sum(), 32))
    )
    view = make_view(lengths, matrix, n_centroids=1024, bits=request.param)
    asked = rng.choice(2000, 40, replace=False)
    queries = [
        unit(
            matrix[view.starts[n] : view.ends[n]][:14] + 0.1 * rng.standard_normal((min(14, lengths[n]), 32))
        )
        for n in asked
    ]
    return view, queries


ragged = st.lists(st.integers(0, 40), max_size=30)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), lengths=ragged, count=st.sampled_from([1, 7, 300, 65_536]))
@pytest.mark.parametrize("target", targets.available_targets())
def test_distinct_keeps_each_code_of_a_window_once(target, seed, lengths, count):
    rng = np.random.default_rng(seed)
    ends = np.cumsum(np.array(lengths, np.int64), dtype=np.int64)
    starts = ends - np.array(lengths, np.int64)
    codes = rng.integers(0, count, sum(lengths)).astype(np.uint16)
    order = rng.permutation(len(lengths))  # windows lie in the file in any order
    with targets.force_target(target):
        different, counts = kernel.distinct(codes, starts[order], ends[order])
    expected = [list(dict.fromkeys(codes[starts[n] : ends[n]].tolist())) for n in order]
    expected = [line + line[:1] * (-len(line) % kernel.UNROLL) for line in expected]
    assert counts.tolist() == [len(line) for line in expected]
    assert different.tolist() == [code for line in expected for code in line]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), lengths=ragged, count=st.sampled_from([1, 7, 300, 65_536]))
@pytest.mark.parametrize("width", kernel.WIDTHS)
@pytest.mark.parametrize("target", targets.available_targets())
def test_maxima_are_summed_over_the_codes_of_the_chosen_windows(target, width, seed, lengths, count):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64) * kernel.UNROLL
    codes = rng.integers(0, count, offsets[-1]).astype(np.uint16)
    table = rng.integers(0, 256, (count, width)).astype(np.uint8)
    positions = rng.permutation(len(lengths))[: len(lengths) // 2 + 1].astype(np.int64)
    totals = np.full(len(positions), 5, np.uint32)
    with targets.force_target(target):
        kernel.add_maxima(codes, offsets, positions, table, totals)
    expected = [
        5 + int(table[codes[offsets[n] : offsets[n + 1]]].max(axis=0, initial=0).astype(int).sum())
        for n in positions
    ]
    assert totals.tolist() == expected


def test_parts_of_a_long_question_are_added_on_one_scale_whatever_their_weights(clustered):
    view, queries = clustered
    query = np.concatenate(queries[:5])[:60]  # two tables: of 32 rows, and of the rest
    weights = np.where(np.arange(len(query)) < 32, 0.1, 3.0).astype(np.float32)
    weighted = query * weights[:, None]
    index = pruned._index(view)
    found = pruned.approximate(index, pruned.tables(index, weighted), index.everything).astype(np.float64)
    products = weighted @ index.centroids.floats[: len(view.centroids), :32].T  # (query_tokens, centroids)
    wanted = [
        np.maximum(products[:, np.unique(view.codes[first:last])].max(axis=1), 0).sum()
        for first, last in zip(view.starts, view.ends, strict=True)
    ]
    assert np.corrcoef(found, wanted)[0, 1] > 0.97  # they are sums of bytes
    # The engines agree: what the exact scan ranks first, the pruned one does.
    exactly = exact.rank(view, [weighted], None, 5)
    assert pruned.rank(view, [weighted], None, 5, candidates=len(view.starts)) == exactly


def test_enough_candidates_give_what_the_exact_scan_gives(clustered):
    view, queries = clustered
    assert pruned.rank(view, queries, None, 10, candidates=2000) == exact.rank(view, queries, None, 10)


def test_an_eighth_of_the_windows_has_nearly_all_the_best(clustered):
    view, queries = clustered
    found = pruned.rank(view, queries, None, 10, candidates=250)
    best = exact.rank(view, queries, None, 10)
    common = [len(dict(a).keys() & dict(b).keys()) for a, b in zip(found, best, strict=True)]
    assert sum(common) >= 0.98 * 10 * len(queries)


def test_the_score_is_that_of_the_exact_scan(clustered):
    view, queries = clustered
    every = [dict(ranking) for ranking in exact.rank(view, queries, None, 2000)]
    for ranking, scores in zip(pruned.rank(view, queries, None, 5, candidates=100), every, strict=True):
        assert [score for _, score in ranking] == [scores[position] for position, _ in ranking]


def test_only_selected_windows_are_found(clustered):
    view, queries = clustered
    selected = np.arange(3, 2000, 7)
    found = pruned.rank(view, queries, selected, 10, candidates=len(selected))
    assert found == exact.rank(view, queries, selected, 10)
    assert {position for ranking in found for position, _ in ranking} <= set(selected.tolist())


def test_a_query_of_any_length_is_answered(clustered):
    view, _ = clustered
    for tokens in (1, 16, 17, 32, 33, 64, 70):
        start = view.starts[77]
        line = (np.arange(tokens) % (view.ends[77] - start)) + start
        query = unit(dequantize(view.rows[line], view.scales[line], view.dim, view.bits))
        [ranking] = pruned.rank(view, [query], None, 1, candidates=20)
        assert ranking[0][0] == 77


def test_approximate_scores_add_up_over_the_parts_of_a_long_query(clustered):
    view, queries = clustered
    index = pruned.build(view)
    long = np.concatenate(queries)[:70]
    parts = [long[:32], long[32:64], long[64:]]
    totals = [pruned.approximate(index, pruned.tables(index, part), index.everything) for part in parts]
    assert (
        pruned.approximate(index, pruned.tables(index, long), index.everything).tolist()
        == sum(totals).tolist()
    )


def test_documents_are_found_although_the_best_windows_are_all_of_one():
    rng = np.random.default_rng(0)
    near = unit(np.eye(1, 16) + 0.01 * rng.standard_normal((60, 16)))
    far = unit(rng.standard_normal((40, 16)))
    view = make_view(np.full(50, 2), np.concatenate([near, far]), documents=[0] * 30 + list(range(1, 21)))
    [ranking] = pruned.rank(view, [np.eye(1, 16, dtype=np.float32)], None, 5, candidates=10)
    assert len(ranking) == 5
    assert len({view.documents[position] for position, _ in ranking}) == 5
    assert ranking[0][0] < 30


def test_equal_scores_rank_by_the_smaller_document():
    same = np.repeat(np.eye(1, 16, dtype=np.float32), 40, axis=0)
    view = make_view(np.full(20, 2), same, documents=list(range(20)))
    [ranking] = pruned.rank(view, [same[:1]], None, 3, candidates=6)
    assert [position for position, _ in ranking] == [0, 1, 2]


def test_windows_without_tokens_are_never_found():
    rng = np.random.default_rng(0)
    view = make_view(np.array([0, 3, 0, 4, 0]), unit(rng.standard_normal((7, 16))))
    [ranking] = pruned.rank(view, [unit(rng.standard_normal((3, 16)))], None, 5, candidates=1)
    assert sorted(position for position, _ in ranking) == [1, 3]


def test_no_window_gives_no_hit(clustered):
    view, queries = clustered
    assert pruned.rank(view, queries[:1], np.zeros(0, np.int64), 5) == [[]]


@pytest.mark.parametrize(
    ("k", "tokens", "count", "expected"),
    [
        (10, 1_700_000, 16_384, 161),
        (1, 1_700_000, 16_384, 51),
        (10, 1_700_000, 4096, 322),
        (500, 1000, 1000, 1000),
    ],
)
def test_candidates_grow_with_k_and_with_the_tokens_of_a_centroid(k, tokens, count, expected):
    assert pruned.default_candidates(k, tokens, count) == expected


def scored(totals, scores, windows=0):
    """The first windows of some, with the scores given, and of so many in the collection."""
    view = SimpleNamespace(starts=np.zeros(windows or len(totals), np.int64))
    found = candidates.Scored(view, None, None, np.array(totals, np.uint32))
    found.places, found.scores = np.arange(len(scores)), np.array(scores, np.float32)
    return found


def test_windows_that_cannot_be_better_than_the_worst_hit_are_not_promising():
    # Scores follow from the totals without a doubt: the window of 70 would score 7.
    found = scored([100, 90, 80, 70, 60], [10, 9, 8])
    assert found.promising(6.5) == 4
    assert found.promising(7.5) == 3


def test_the_less_the_totals_say_the_more_windows_are_promising():
    # 100 to 80 by tens, and a half up or down: the standard deviation is 0.47, and 3.5 of those 1.65.
    found = scored([100, 90, 80, 70, 60, 50, 40], [10.33, 8.33, 8.33])
    assert found.promising(7.5) == 5
    assert scored([100, 90, 80, 70], [8, 9, 10]).promising(9) == 4  # the wrong way round: they say nothing


def test_the_more_windows_there_are_the_more_of_them_are_promising():
    # 64 times as many windows as the spread is for: 5.7 standard deviations, 2.7, and the window of 50 may score 7.7.
    found = scored([100, 90, 80, 70, 60, 50, 40], [10.33, 8.33, 8.33], windows=1 << 20)
    assert found.promising(7.5) == 6


def test_a_sample_has_the_best_and_some_of_the_others(clustered, monkeypatch):
    monkeypatch.setattr(candidates, "FEW", 80)
    view, queries = clustered
    index = pruned._index(view)
    totals = pruned.approximate(index, pruned.tables(index, queries[0]), index.everything)
    found, whole = (candidates.Scored(view, queries[0], index.everything, totals) for _ in range(2))
    found.sample(80)
    best, most = (set(candidates.highest(totals, count).tolist()) for count in (20, 80))
    assert best <= set(found.places.tolist()) <= most
    assert len(found.places) <= 30
    for count in (80, 120):
        found.take(count)
        whole.take(count)
        assert found.places.tolist() == whole.places.tolist() == candidates.highest(totals, count).tolist()
        assert found.scores.tolist() == whole.scores.tolist()


def test_a_window_without_tokens_says_nothing_about_the_others():
    assert scored([100, 90, 80, 0, 70], [10, 9, 8, -np.inf]).promising(7.5) == 3


def test_a_query_takes_as_many_windows_as_it_needs(clustered, monkeypatch):
    view, queries = clustered
    monkeypatch.setattr(pruned, "default_candidates", lambda k, tokens, centroids: 12)
    few = pruned.rank(view, queries, None, 10, candidates=12)
    found, best = pruned.rank(view, queries, None, 10), exact.rank(view, queries, None, 10)

    def common(answers):
        return sum(len(dict(a).keys() & dict(b).keys()) for a, b in zip(answers, best, strict=True))

    assert common(found) > common(few)
    assert all(
        [score for _, score in a] <= [score for _, score in b] for a, b in zip(few, found, strict=True)
    )


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7])
def test_highest_keeps_the_first_of_equal_totals(count):
    totals = np.array([5, 9, 5, 7, 5, 9, 1], np.uint32)
    expected = sorted(sorted(range(7), key=lambda n: (-int(totals[n]), n))[:count])
    assert candidates.highest(totals, count).tolist() == expected


@pytest.mark.parametrize("spread", [2, 1000, 1 << 20])
@pytest.mark.parametrize("count", [1, 40, 3000])
def test_highest_of_many_totals_are_those_of_the_whole_order(count, spread):
    rng = np.random.default_rng(0)
    totals = rng.integers(0, spread, 50_000, np.uint32)
    totals[::64] = 0  # the part that is looked at says nothing
    expected = np.sort(np.argsort(-totals.astype(np.int64), kind="stable")[:count])
    assert candidates.highest(totals, count).tolist() == expected.tolist()
    totals[::64] = spread - 1  # now it says too much
    expected = np.sort(np.argsort(-totals.astype(np.int64), kind="stable")[:count])
    assert candidates.highest(totals, count).tolist() == expected.tolist()
    totals[rng.random(50_000) < 0.97] = 0  # 1 500 are left
    expected = np.sort(np.argsort(-totals.astype(np.int64), kind="stable")[:count])
    assert candidates.highest(totals, count).tolist() == expected.tolist()


def test_pruning_is_worthwhile_for_many_windows_of_an_optimised_store_only(clustered):
    view, _ = clustered
    fields = dict(vars(view))
    many = SimpleNamespace(**{**fields, "starts": np.zeros(100_000, np.int64)})
    assert pruned.worthwhile(many, None, 10)
    assert not pruned.worthwhile(many, np.arange(500), 10)
    assert not pruned.worthwhile(many, None, 50_000)
    assert not pruned.worthwhile(
        SimpleNamespace(**{**vars(many), "codes": None, "centroids": None}), None, 10
    )


def test_a_commit_is_indexed_once_and_forgotten_with_its_centroids(monkeypatch):
    rng = np.random.default_rng(0)
    view = make_view(np.full(10, 3), unit(rng.standard_normal((30, 16))))
    built = []
    original = pruned.build
    monkeypatch.setattr(pruned, "build", lambda *given: built.append(1) or original(*given))
    query = unit(rng.standard_normal((3, 16)))
    for _ in range(3):
        pruned.rank(view, [query], None, 2)
    assert len(built) == 1
    index = weakref.ref(pruned._index(view))
    del view
    gc.collect()
    assert index() is None


@pytest.mark.parametrize("kept", [slice(0, 12), slice(0, 7), slice(3, 12), slice(0, 0), slice(0, 12, 2)])
def test_the_next_commit_is_indexed_like_a_new_one(kept):
    rng = np.random.default_rng(0)
    view = make_view(rng.integers(0, 9, 12), unit(rng.standard_normal((100, 16))))
    fields = vars(view)
    earlier = SimpleNamespace(
        **{**fields, "starts": view.starts[kept].copy(), "ends": view.ends[kept].copy()}
    )
    previous = pruned.build(earlier)
    found, expected = pruned.build(view, previous), pruned.build(view)
    assert found.codes.tolist() == expected.codes.tolist()
    assert found.offsets.tolist() == expected.offsets.tolist()
    for one, other in zip(found.lists.blocks, expected.lists.blocks, strict=True):
        assert one.members.tolist() == other.members.tolist()
        assert one.ends.tolist() == other.ends.tolist()


def test_an_empty_window_in_the_place_of_another_is_not_taken_for_it():
    rng = np.random.default_rng(0)
    view = make_view(np.array([4, 0, 3]), unit(rng.standard_normal((7, 16))))
    some = [
        SimpleNamespace(**{**vars(view), "starts": view.starts[n], "ends": view.ends[n]})
        for n in ([0, 1], [0, 2])
    ]
    assert pruned.build(some[1], pruned.build(some[0])).codes.tolist() == pruned.build(some[1]).codes.tolist()


def test_an_index_of_windows_that_were_only_added_to_is_not_derived_anew(monkeypatch):
    rng = np.random.default_rng(0)
    view = make_view(np.full(12, 5), unit(rng.standard_normal((60, 16))))
    earlier = SimpleNamespace(
        **{**vars(view), "starts": view.starts[:11].copy(), "ends": view.ends[:11].copy()}
    )
    previous = pruned.build(earlier)
    looked_at = []
    monkeypatch.setattr(
        pruned, "distinct", lambda *given: looked_at.append(len(given[1])) or kernel.distinct(*given)
    )
    pruned.build(view, previous)
    assert looked_at == [1]


def test_lists_of_full_blocks_are_kept_when_windows_follow_and_those_behind_a_change_are_made_anew(
    monkeypatch,
):
    monkeypatch.setattr(inverted, "BLOCK", 4)
    rng = np.random.default_rng(0)
    view = make_view(np.full(14, 5), unit(rng.standard_normal((70, 16))))

    def of(places):
        return SimpleNamespace(
            **{**vars(view), "starts": view.starts[places].copy(), "ends": view.ends[places].copy()}
        )

    first = pruned.build(of(slice(0, 10)))
    more = pruned.build(view, first)
    assert len(more.lists.blocks) == 4
    assert [one is other for one, other in zip(first.lists.blocks, more.lists.blocks, strict=False)] == [
        True,
        True,
        False,
    ]
    without = pruned.build(of([0, 1, 2, 3, 4, 6, 7, 8, 9]), more)  # one of the second block was deleted
    kept = [one is other for one, other in zip(more.lists.blocks, without.lists.blocks, strict=False)]
    assert kept == [True, False, False]
    assert without.lists.sizes.sum() == sum(len(lists.members) for lists in without.lists.blocks)


@pytest.fixture
def by_lists(monkeypatch):
    """Windows are chosen by lists, however few there are; how often is counted."""
    walks = []
    original = inverted.totals
    monkeypatch.setattr(inverted, "pays", lambda windows, codes, selected, tokens, count: count < selected)
    monkeypatch.setattr(inverted, "totals", lambda *given: walks.append(1) or original(*given))
    return walks


def test_lists_choose_nearly_all_that_the_scan_of_codes_finds(clustered, by_lists):
    view, queries = clustered
    found = pruned.rank(view, queries, None, 10, candidates=50)
    best = exact.rank(view, queries, None, 10)
    assert len(by_lists) == len(queries)

    def common(answers):
        return sum(len(dict(a).keys() & dict(b).keys()) for a, b in zip(answers, best, strict=True))

    by_lists.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted, "pays", lambda *given: False)
        scanned = pruned.rank(view, queries, None, 10, candidates=50)
    assert by_lists == []
    assert common(found) >= 0.98 * common(scanned)
    assert common(pruned.rank(view, queries, None, 10)) >= 0.98 * 10 * len(queries)


def test_lists_of_every_centroid_order_windows_as_the_scan_does(clustered, monkeypatch):
    view, queries = clustered
    monkeypatch.setattr(inverted, "SHARE", 1000.0)
    index = pruned.build(view)
    for query in [queries[0], np.concatenate(queries)[:70]]:
        parts = pruned.tables(index, query)
        expected = pruned.approximate(index, parts, index.everything)
        assert inverted.totals(index.lists, parts).tolist() == expected.tolist()


def test_a_window_counts_for_a_token_by_what_it_has_more_than_the_floor():
    table = np.zeros((32, 16), np.uint8)
    table[:5, 0] = [10, 90, 50, 70, 30]
    table[:5, 1] = [7, 7, 7, 8, 7]
    sizes = np.array([3, 1, 2, 2, 9], np.uint32)
    numbers, rows = inverted.near(table, sizes, 5)
    # Of the first token the lists of 90, 70 and 50 have five entries; of the second one all but that of 8 tie.
    assert numbers.tolist() == [1, 2, 3]
    assert rows[:, 0].tolist() == [60, 20, 40]
    assert rows[:, 1].tolist() == [0, 0, 1]
    assert not rows[:, 2:].any()


def test_only_selected_windows_are_found_by_lists(clustered, by_lists):
    view, queries = clustered
    selected = np.arange(3, 2000, 3)
    found = pruned.rank(view, queries, selected, 5, candidates=30)
    assert len(by_lists) == len(queries)
    assert {position for ranking in found for position, _ in ranking} <= set(selected.tolist())
    best = exact.rank(view, queries, selected, 5)
    common = sum(len(dict(a).keys() & dict(b).keys()) for a, b in zip(found, best, strict=True))
    assert common >= 0.95 * 5 * len(queries)


def test_documents_are_found_although_lists_chose_windows_of_one(by_lists, monkeypatch):
    monkeypatch.setattr(inverted, "WIDE", 1)
    rng = np.random.default_rng(0)
    near = unit(np.eye(1, 16) + 0.01 * rng.standard_normal((60, 16)))
    far = unit(rng.standard_normal((40, 16)))
    view = make_view(np.full(50, 2), np.concatenate([near, far]), documents=[0] * 30 + list(range(1, 21)))
    [ranking] = pruned.rank(view, [np.eye(1, 16, dtype=np.float32)], None, 5, candidates=10)
    assert by_lists == [1]
    assert len({view.documents[position] for position, _ in ranking}) == 5


def test_all_codes_are_scanned_where_the_lists_of_a_question_are_too_long(clustered, by_lists, monkeypatch):
    view, queries = clustered
    monkeypatch.setattr(inverted, "SHARE", 0.0)
    found = pruned.rank(view, queries, None, 10, candidates=50)
    assert len(by_lists) == len(queries)
    monkeypatch.setattr(inverted, "pays", lambda *given: False)
    assert found == pruned.rank(view, queries, None, 10, candidates=50)


def test_lists_pay_in_a_large_collection_unless_few_windows_are_selected():
    assert not inverted.pays(8000, 8000 * 40, 8000, 15, 2700)
    assert inverted.pays(200_000, 200_000 * 40, 200_000, 15, 8000)
    assert not inverted.pays(200_000, 200_000 * 40, 9000, 15, 8000)
    assert not inverted.pays(0, 0, 0, 15, 100)


def test_threads_that_search_at_once_get_the_same_answers(clustered):
    view, queries = clustered
    expected = [pruned.rank(view, [query], None, 5)[0] for query in queries]
    fresh = SimpleNamespace(**{**vars(view), "starts": view.starts.copy()})  # so that they also build at once
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda query: pruned.rank(fresh, [query], None, 5)[0], queries))
    assert found == expected


def test_an_optimised_collection_follows_adds_deletes_and_filters():
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(60)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(300)]
    with Collection(None, HashingEncoder()) as collection:
        collection.add(
            texts, ids=[str(n) for n in range(300)], metadatas=[{"even": n % 2 == 0} for n in range(300)]
        )
        collection.optimize()
        collection.delete([str(n) for n in range(0, 300, 5)])
        collection.add(["word1 word2 word3 word2 word1"], ids=["new"], metadatas=[{"even": True}])
        [query] = collection.encoder.encode_queries(["word1 word2 word3"])
        with collection.store.read() as view:
            for condition in (None, filters.parse({"even": True})):
                selected = view.select(condition)
                found = pruned.rank(view, [query], selected, 10, candidates=60)
                assert found == exact.rank(view, [query], selected, 10)
                keys = [int(view.documents[position]) for position, _ in found[0]]
                ids = [view.fetch(keys)[key].id for key in keys]
                assert ids[0] == "new"
                assert not {key for key in ids if key != "new" and int(key) % 5 == 0}


def test_search_prunes_where_it_pays_and_is_exact_on_request(clustered, monkeypatch):
    view, queries = clustered
    asked = []
    original = pruned.rank
    monkeypatch.setattr(pruned, "rank", lambda *given: asked.append(len(given[1])) or original(*given))
    rank(view, queries, None, 10)
    assert asked == []  # 2 000 windows are too few
    monkeypatch.setattr(pruned, "PAYS", 1)
    rank(view, queries, None, 10)
    assert asked == [40]
    assert rank(view, queries, None, 10, exact=True) == exact.rank(view, queries, None, 10)
    assert asked == [40]
