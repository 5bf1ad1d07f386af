"""Rows of 4 bits: their form, and that every target that this processor can run gives what numpy gives."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from retrievers.errors import ShapeError
from retrievers.kernels import compile, nibbles, reference, rows, scan, targets
from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.narrow import of_nibbles
from tests.kernels.cases import cases_of_4_bits, make_case, unit


def rounded(queries, target):
    return [reference.rounded(query, of_nibbles(target.arithmetic).limit, 4) for query in queries]


@pytest.mark.parametrize("name", targets.available_targets())
@given(case=cases_of_4_bits)
@settings(max_examples=40, deadline=None)
def test_every_target_equals_the_reference(name, case):
    target = targets.TARGETS[name]
    expected = reference.maxsim(
        case.rows, case.scales, case.starts, case.ends, rounded(case.queries, target), 4
    )
    np.testing.assert_allclose(maxsim(*case, target, 4), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x0F])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_elements_of_all_do_not_saturate(target, byte, sign):
    stored, scales = np.full((6, 192), byte, np.uint8), np.ones(6, np.float32)
    query = nibbles.turned_back(np.full((3, 384), sign, np.float32), 384)
    spans = np.array([0], np.int64), np.array([6], np.int64)
    levels = {0x00: -15, 0xFF: 15, 0x0F: 0}[byte]  # of the last, half are 15 and half -15
    found = maxsim(stored, scales, *spans, [query], target, 4)
    assert found[0, 0] == pytest.approx(3 * 384 * sign * levels, abs=1e-2)


def test_a_score_is_the_same_to_the_last_bit_alone_and_among_others(target):
    rows, scales, starts, ends, queries = make_case(4, 48, range(1, 60), [14, 3, 33, 16, 1], gaps=2, bits=4)
    together = maxsim(rows, scales, starts, ends, queries, target, 4)
    for number, query in enumerate(queries):
        for window in (0, 7, 31, 58):
            part = slice(window, window + 1)
            alone = maxsim(rows, scales, starts[part], ends[part], [query], target, 4)
            assert alone[0, 0] == together[number, window]


def test_a_window_without_tokens_scores_minus_infinity_and_a_query_without_tokens_zero(target):
    case = make_case(seed=1, dim=16, lengths=[0, 3, 0], query_lengths=[2, 0, 5], bits=4)
    empty, scores = case.starts == case.ends, maxsim(*case, target, 4)
    assert (scores[:, empty] == -np.inf).all()
    assert (scores[1, ~empty] == 0).all()
    assert np.isfinite(scores[:, ~empty]).all()


@pytest.mark.parametrize("dim", [1, 5, 8, 30, 96, 100, 128, 384])
def test_turning_keeps_lengths_and_products_and_can_be_undone(dim):
    matrix = np.random.default_rng(dim).standard_normal((20, dim)).astype(np.float32)
    turned = nibbles.turned(matrix)
    assert turned.shape == (20, nibbles.width(dim))
    np.testing.assert_allclose(turned @ turned.T, matrix @ matrix.T, atol=1e-3)
    np.testing.assert_allclose(nibbles.turned_back(turned, dim), matrix, atol=1e-5)


def test_the_error_is_a_hundredth_of_the_length_whatever_dimensions_hold_it():
    even = np.random.default_rng(0).standard_normal((300, 128))
    few = even * np.linspace(1, 0, 128) ** 4  # as after principal components
    for matrix in (unit(even), unit(few)):
        found = rows.dequantize(*rows.quantize(matrix, 4), 128, 4)
        assert ((found - matrix) ** 2).sum(axis=1).mean() < 0.0115


@pytest.mark.parametrize("place", [0, 1, 77, 127])
def test_a_row_of_one_number_survives(place):
    matrix = np.zeros((2, 128), np.float32)
    matrix[0, place], matrix[1, place] = 1, -1
    np.testing.assert_allclose(rows.dequantize(*rows.quantize(matrix, 4), 128, 4), matrix, atol=1e-6)


def test_rows_have_the_bytes_that_are_documented():
    stored, scales = rows.quantize(np.array([[1.0, 0, 0, 0, 0, 0, 0, 0]], np.float32), 4)
    # Turned: 1 / sqrt(8) in every place; the best scale makes that the outermost level, 15, stored as n = 15.
    assert stored.tolist() == [[0xFF] * 4]
    assert scales[0] * 15 == pytest.approx(8**-0.5)


def test_rows_of_zeros_and_of_the_largest_numbers_are_possible():
    for value in (0.0, 1e12, -1e12):
        stored, scales = rows.quantize(np.full((3, 128), value, np.float32), 4)
        assert rows.possible(stored, scales, 4)
        assert np.isfinite(rows.dequantize(stored, scales, 128, 4)).all()
    assert not rows.possible(stored, np.array([np.nan, 1, 1], np.float32), 4)
    assert not rows.possible(stored, np.array([0, 1, 1], np.float32), 4)


@pytest.mark.parametrize(("dim", "stored"), [(1, 4), (8, 4), (9, 8), (100, 52), (128, 64), (384, 192)])
def test_a_row_takes_half_of_what_8_bits_take(dim, stored):
    assert rows.row_bytes(dim, 4) == stored == rows.quantize(np.zeros((1, dim), np.float32), 4)[0].shape[1]


def test_a_query_of_another_width_is_refused():
    stored, scales, starts, ends, _ = make_case(0, 128, [5], [2], bits=4)
    with pytest.raises(ShapeError, match="dim 121 to 128"):
        maxsim(
            stored, scales, starts, ends, [np.zeros((2, 64), np.float32)], targets.TARGETS["portable"], bits=4
        )


def test_avx2_widens_once_in_eight_steps_and_keeps_its_sums_in_registers():
    target = targets.TARGETS["avx2"]
    text = compile.assembler(partial(scan.module, target, 64, bits=4), target, "x86_64-unknown-linux-gnu")
    parts = re.split(r"^\.L\w+:", text, flags=re.MULTILINE)
    block = max(parts, key=lambda part: part.count("vpmaddubsw"))
    assert block.count("vpmaddubsw") == 80  # 5 rows, 2 groups, 8 steps
    assert block.count("vpmaddwd") == 10
    # The sums in 32 bits may wait on the stack; a sum in 16 bits that left its register would do so in every step.
    assert block.count("(%rsp)") <= 40
