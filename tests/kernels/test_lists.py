"""Lists of windows by centroid hold what the codes say, and walking them gives what the scan of codes gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.kernels import codes as scan
from retrievers.kernels import lists, targets

ragged = st.lists(st.integers(0, 40), max_size=40)
drawn = {"seed": st.integers(0, 2**32 - 1), "lengths": ragged, "count": st.sampled_from([1, 7, 300, 65_536])}


def different_codes(rng, lengths, count):
    """Different codes of windows of the given lengths, as the kernel takes them, and where they begin."""
    ends = np.cumsum(np.array(lengths, np.int64), dtype=np.int64)
    starts = ends - np.array(lengths, np.int64)
    found, counts = scan.distinct(rng.integers(0, count, sum(lengths)).astype(np.uint16), starts, ends)
    return found, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(**drawn)
@pytest.mark.parametrize("target", targets.available_targets())
def test_a_list_has_the_windows_of_its_code_ascending(target, seed, lengths, count):
    codes, offsets = different_codes(np.random.default_rng(seed), lengths, count)
    with targets.force_target(target):
        found = lists.invert(codes, offsets, count)
    sets = [set(codes[first:last].tolist()) for first, last in pairwise(offsets)]
    for code in sorted(set(codes.tolist()) | {0, count - 1}):
        expected = [window for window, some in enumerate(sets) if code in some]
        expected += expected[-1:] * (-len(expected) % lists.UNROLL)
        assert found.members[found.ends[code] : found.ends[code + 1]].tolist() == expected
    assert found.ends[0] == 0
    assert found.ends[-1] == len(found.members)


def agrees(codes, offsets, table, totals):
    """Whether walking adds what the scan adds, when only near centroids have bytes; centroids are the table's."""
    near, windows = np.flatnonzero(table.any(axis=1)), len(totals)
    blocks = [
        lists.invert(codes, offsets[first : min(first + lists.BLOCK, windows) + 1], len(table))
        for first in range(0, windows, lists.BLOCK)
    ]
    expected, found = totals.copy(), totals.copy()
    scan.add_maxima(codes, offsets, np.arange(windows), table, expected)
    lists.walk(blocks, near, table[near], found)
    return np.array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(**drawn, share=st.sampled_from([0.0, 0.1, 1.0]))
@pytest.mark.parametrize("width", scan.WIDTHS)
@pytest.mark.parametrize("target", targets.available_targets())
def test_walking_gives_the_sums_of_the_scan(target, width, seed, lengths, count, share):
    rng = np.random.default_rng(seed)
    codes, offsets = different_codes(rng, lengths, count)
    table = rng.integers(0, 256, (count, width)).astype(np.uint8)
    table[rng.random(count) >= share] = 0
    with targets.force_target(target):
        assert agrees(codes, offsets, table, np.full(len(lengths), 5, np.uint32))


@pytest.mark.parametrize("width", scan.WIDTHS)
@pytest.mark.parametrize("target", targets.available_targets())
def test_blocks_follow_each_other_and_leave_nothing_to_the_next(target, width):
    rng = np.random.default_rng(0)
    windows = 5 * lists.BLOCK + 77  # more blocks than threads
    codes, offsets = different_codes(rng, rng.integers(0, 6, windows), 500)
    table = rng.integers(0, 256, (500, width)).astype(np.uint8)
    table[::3] = 0
    with targets.force_target(target):
        assert agrees(codes, offsets, table, np.arange(windows, dtype=np.uint32))


@pytest.mark.parametrize("width", scan.WIDTHS)
@pytest.mark.parametrize("target", targets.available_targets())
def test_each_byte_of_a_column_has_the_weight_of_its_rows(target, width):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (96, width)).astype(np.uint8)
    weights = rng.integers(0, 1000, 70).astype(np.uint32)  # rows beyond count for nothing
    with targets.force_target(target):
        sums = lists.weigh(table, weights)
    for column in range(width):
        expected = np.bincount(table[:70, column], weights, minlength=256)
        assert sums[column].tolist() == expected.tolist()
