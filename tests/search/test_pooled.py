"""The pooled similarity: the cosine of two means of rows, from the rows as they are stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.kernels.rows import dequantize, quantize, sums
from retrievers.search import pooled


def stored(rng, lengths, dim, bits):
    """Stored rows of windows, their spans, and the same rows as float32."""
    matrix = rng.standard_normal((sum(lengths), dim)).astype(np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    rows, scales = quantize(matrix, bits)
    ends = np.cumsum(lengths)
    return rows, scales, ends - lengths, ends, dequantize(rows, scales, dim, bits)


def cosine(one, other):
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths > 1e-12 else 0.0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    dim=st.sampled_from([8, 13, 96, 100]),
    bits=st.sampled_from([8, 4]),
    block=st.integers(1, 5),
)
def test_it_is_the_cosine_of_the_means_of_dequantised_rows(seed, lengths, dim, bits, block):
    rng = np.random.default_rng(seed)
    rows, scales, starts, ends, matrix = stored(rng, lengths, dim, bits)
    query = rng.standard_normal((int(rng.integers(1, 6)), dim)).astype(np.float32)  # rows with weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled, "WINDOWS", block)
        found = pooled.similarities(rows, scales, starts, ends, query, bits)
    for value, start, end in zip(found, starts, ends, strict=True):
        expected = cosine(
            matrix[start:end].astype(np.float64).mean(axis=0) if end > start else np.zeros(dim),
            query.astype(np.float64).mean(axis=0),
        )
        assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
def test_equal_windows_have_equal_similarities_wherever_they_lie(bits):
    rng = np.random.default_rng(0)
    one = rng.standard_normal((7, 50)).astype(np.float32)
    parts = [
        one if place % 3 == 0 else rng.standard_normal((place, 50)).astype(np.float32) for place in range(20)
    ]
    rows, scales = quantize(np.concatenate(parts), bits)
    ends = np.cumsum([len(part) for part in parts])
    starts = ends - [len(part) for part in parts]
    query = rng.standard_normal((4, 50)).astype(np.float32)
    found = pooled.similarities(rows, scales, starts, ends, query, bits)
    assert len(set(found[::3].tolist())) == 1
    alone = pooled.similarities(rows, scales, starts[3:4], ends[3:4], query, bits)
    assert alone[0] == found[3]


def test_what_has_no_rows_or_adds_up_to_nothing_is_like_nothing():
    rows, scales = quantize(np.array([[1, 0], [-1, 0], [0, 1]], np.float32))
    starts, ends = np.array([0, 0, 2]), np.array([2, 0, 3])
    query = np.array([[0, 2]], np.float32)
    assert pooled.similarities(rows, scales, starts, ends, query).tolist() == pytest.approx([0, 0, 1])
    assert (
        pooled.similarities(rows, scales, starts, ends, np.array([[0, 1], [0, -1]], np.float32)).tolist()
        == [0] * 3
    )
    assert pooled.similarities(rows, scales, starts[:0], ends[:0], query).shape == (0,)


def test_sums_are_those_of_the_rows_as_they_are_searched():
    rng = np.random.default_rng(1)
    for bits in (8, 4):
        rows, scales, starts, ends, matrix = stored(rng, [3, 0, 40], 37, bits)
        found = sums(rows, scales, starts, ends, 37, bits)
        assert found.shape == (3, 37)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], matrix[:3].sum(axis=0), atol=1e-4)
        np.testing.assert_allclose(found[2], matrix[3:].sum(axis=0), atol=1e-4)
        assert not found[1].any()
