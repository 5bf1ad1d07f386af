"""A choice of windows by lists: those near a query are found by centroid, and the others are not looked at.

A query token is followed to its most similar centroids, until their lists together hold a share of the windows. What
the next centroid's similarity is, no window that stands in none of those lists has more of: this is the token's floor.
A window's total is what the scan of codes gives where each token's similarity is raised to its floor, less the floors,
which all windows have in common. It orders windows more coarsely than the scan, so that many more are chosen than are
wanted, and the scan of their codes goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.lists import BLOCK, Lists, invert, walk, weigh
from retrievers.kernels.threads import cores
from retrievers.search.parallel import map_ranges, ranges

SHARE = 0.1  # of all windows that the lists of one query token may hold together
WIDE = 8  # times as many windows are chosen as pruned.default_candidates says
# What an entry of a list, a window, and a walk as such cost, in codes that the scan takes in the meantime.
ENTRY, WINDOW, WALK = 1.5, 1.5, 1_000_000  # see benchmarks/inverted.py


@dataclass(frozen=True)
class Inverted:
    """The windows of one commit by centroid: two bytes for each different code of a window.

    Attributes:
        blocks: lists of BLOCK windows each; the last has those that are left.
        windows: of all blocks.
        sizes: uint32, (K,): length of each centroid's lists together.
    """

    blocks: Sequence[Lists]
    windows: int
    sizes: NDArray[np.uint32]


def build(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    centroids: int,
    previous: Inverted | None = None,
    known: int = 0,
) -> Inverted:
    """Make the lists of all windows.

    Args:
        codes: uint16: different codes of all windows, as retrievers.kernels.codes.distinct gives them.
        offsets: int64, (windows + 1,): where each window's codes begin.
        centroids: K.
        previous: lists of an earlier commit: those of full blocks of its windows are taken from there.
        known: so many of its first windows are the first ones here, too.
    """
    windows = len(offsets) - 1
    kept = [] if previous is None else list(previous.blocks[: known // BLOCK])
    first = len(kept) * BLOCK

    def part(begin: int, end: int) -> list[Lists]:
        return [
            invert(codes, offsets[here : min(here + BLOCK, first + end) + 1], centroids)
            for here in range(first + begin, first + end, BLOCK)
        ]

    made = map_ranges(part, ranges(windows - first, 4 * cores(), BLOCK)) if windows > first else []
    blocks = kept + [lists for some in made for lists in some]
    sizes = np.zeros(centroids, np.uint32)
    for lists in blocks:
        sizes += np.diff(lists.ends)
    return Inverted(blocks, windows, sizes)


def totals(inverted: Inverted, tables: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint32]:
    """Totals of all windows: uint32, (windows,); 0 where a window is in no list that is walked.

    Args:
        tables: of a query's parts, uint8, (at least K, width), see retrievers.kernels.centroids.table.
    """
    found = np.zeros(inverted.windows, np.uint32)
    for table in tables:
        numbers, rows = near(table, inverted.sizes, round(SHARE * inverted.windows))
        walk(inverted.blocks, numbers, rows, found)
    return found


def near(
    table: NDArray[np.uint8], sizes: NDArray[np.uint32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The centroids that are near some query token, and how much nearer than the token's floor.

    Args:
        table: uint8, (at least K, width).
        sizes: uint32, (K,): length of each centroid's list.
        most: entries that the lists of one token may have together.
    Returns:
        numbers: int64, (near,), ascending.
        rows: uint8, (near, width): similarities less the floors, 0 where a centroid is not near the token.
    """
    sums = weigh(table, sizes).astype(np.int64)  # (width, 256)
    above = sums[:, ::-1].cumsum(axis=1)[:, ::-1] - sums  # entries of centroids with a larger byte
    floors = (above <= most).argmax(axis=1).astype(np.uint8)
    rows = np.maximum(table[: len(sizes)], floors) - floors
    words = rows.view(np.uint64)  # eight bytes each: any(axis=1) takes five times as long
    filled = words[:, 0]
    for column in range(1, words.shape[1]):
        filled = filled | words[:, column]
    numbers = np.flatnonzero(filled)
    return numbers, rows[numbers]


def pays(windows: int, codes: int, selected: int, tokens: int, count: int) -> bool:
    """Whether choosing windows by lists, and scanning their codes, costs less than scanning those of all selected.

    Args:
        windows: of all lists.
        codes: different codes of all windows.
        selected: windows to search.
        tokens: of the query.
        count: windows to choose.
    """
    each = codes / max(windows, 1)  # codes of a window
    return WALK + windows * (WINDOW + ENTRY * SHARE * tokens) + count * each < selected * each
