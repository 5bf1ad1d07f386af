"""Every target that this processor can run gives what numpy gives."""

import numpy as np
import pytest
from hypothesis import given, settings

from retrievers.errors import ShapeError
from retrievers.kernels import reference, targets
from retrievers.kernels.maxsim import maxsim
from tests.kernels.cases import cases, make_case, unit


@pytest.mark.parametrize("name", targets.available_targets())
@given(case=cases)
@settings(max_examples=60, deadline=None)
def test_every_target_equals_the_reference(name, case):
    target = targets.TARGETS[name]
    rounded = [reference.rounded(query, target.arithmetic.limit) for query in case.queries]
    expected = reference.maxsim(case.rows, case.scales, case.starts, case.ends, rounded)
    np.testing.assert_allclose(maxsim(*case, target), expected, rtol=1e-5, atol=1e-5)


def test_rounding_changes_a_score_by_less_than_a_hundredth_a_query_token(target):
    case = make_case(seed=0, dim=128, lengths=[150] * 20, query_lengths=[14])
    exact = reference.maxsim(*case)
    assert np.abs(maxsim(*case, target) - exact).max() < 0.14


@pytest.mark.parametrize(("row", "sign"), [(255, 1), (255, -1), (1, 1), (1, -1)])
def test_the_largest_elements_of_all_do_not_saturate(target, row, sign):
    rows = np.full((5, 128), row, np.uint8)
    scales, query = np.ones(5, np.float32), np.full((3, 128), sign, np.float32)
    spans = np.array([0], np.int64), np.array([5], np.int64)
    assert maxsim(rows, scales, *spans, [query], target)[0, 0] == pytest.approx(3 * 128 * sign * (row - 128))


def test_a_window_without_tokens_scores_minus_infinity(target):
    case = make_case(seed=1, dim=16, lengths=[0, 3, 0], query_lengths=[2, 5])
    empty = case.starts == case.ends
    scores = maxsim(*case, target)
    assert empty.sum() == 2
    assert (scores[:, empty] == -np.inf).all()
    assert np.isfinite(scores[:, ~empty]).all()


def test_a_query_without_tokens_scores_zero_beside_others(target):
    rows, scales, starts, ends, (first, second) = make_case(2, 16, [3, 9], [4, 17])
    nothing = first[:0]
    with_it = maxsim(rows, scales, starts, ends, [first, nothing, second], target)
    without = maxsim(rows, scales, starts, ends, [first, second], target)
    assert (with_it[1] == 0).all()
    assert (with_it[[0, 2]] == without).all()


def test_nothing_to_score_gives_empty_arrays(target):
    rows, scales, starts, ends, queries = make_case(3, 16, [3, 9], [4])
    assert maxsim(rows, scales, starts[:0], ends[:0], queries, target).shape == (1, 0)
    assert maxsim(rows, scales, starts, ends, [], target).shape == (0, 2)


def test_a_score_is_the_same_to_the_last_bit_alone_and_among_others(target):
    rows, scales, starts, ends, queries = make_case(4, 48, range(1, 60), [14, 3, 33, 16, 1], gaps=2)
    together = maxsim(rows, scales, starts, ends, queries, target)
    for number, query in enumerate(queries):
        for window in (0, 7, 31, 58):
            part = slice(window, window + 1)
            alone = maxsim(rows, scales, starts[part], ends[part], [query], target)
            assert alone[0, 0] == together[number, window]


def test_the_same_window_twice_has_one_score(target):
    rows, scales, starts, ends, queries = make_case(5, 64, [40, 7], [20])
    again = np.concatenate([rows, rows]), np.concatenate([scales, scales])
    shift = len(rows)
    scores = maxsim(*again, np.append(starts, starts + shift), np.append(ends, ends + shift), queries, target)
    assert (scores[:, :2] == scores[:, 2:]).all()


def test_rows_before_and_after_a_window_are_not_read_into_its_score(target):
    rng = np.random.default_rng(6)
    query = unit(rng.standard_normal((5, 32)))
    for length in range(1, 30):
        rows = np.full((length + 40, 32), 255, np.uint8)
        rows[20 : 20 + length] = 129
        scales = np.full(len(rows), 0.01, np.float32)
        span = np.array([20], np.int64), np.array([20 + length], np.int64)
        expected = reference.maxsim(rows, scales, *span, [reference.rounded(query, target.arithmetic.limit)])
        np.testing.assert_allclose(maxsim(rows, scales, *span, [query], target), expected, atol=1e-5)


def test_rows_are_read_where_they_lie(target, tmp_path):
    rows, scales, starts, ends, queries = make_case(7, 128, [150] * 50, [14])
    expected = maxsim(rows, scales, starts, ends, queries, target)
    rows.tofile(tmp_path / "tokens.u8")
    mapped = np.memmap(tmp_path / "tokens.u8", np.uint8, "r", shape=rows.shape)
    assert (maxsim(mapped, scales, starts, ends, queries, target) == expected).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": np.zeros((9, 16), np.int8)}, "rows is int8"),
        ({"rows": np.zeros((9, 32), np.uint8)[:, ::2]}, "contiguous"),
        ({"rows": np.zeros((9, 14), np.uint8)}, "multiple of 4"),
        ({"scales": np.zeros(8, np.float32)}, "one scale a row"),
        ({"starts": np.array([-1])}, "from -1 to 9"),
        ({"ends": np.array([10])}, "from 0 to 10: tokens 0 to 9"),
        ({"queries": [np.zeros((2, 17), np.float32)]}, r"\(2, 17\)"),
        ({"queries": [np.zeros((2, 12), np.float32)]}, "dim 13 to 16"),
        ({"queries": [np.zeros(16, np.float32)]}, r"\(16,\)"),
    ],
)
def test_what_native_code_must_not_see_is_refused(changes, words):
    given = {
        "rows": np.zeros((9, 16), np.uint8),
        "scales": np.zeros(9, np.float32),
        "starts": np.array([0]),
        "ends": np.array([9]),
        "queries": [np.zeros((2, 16), np.float32)],
    }
    with pytest.raises(ShapeError, match=words):
        maxsim(**{**given, **changes}, target=targets.chosen_target())
