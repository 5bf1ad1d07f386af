"""Pruned search: windows are ranked by the centroids of their tokens, and the best are scored exactly.

Each token has the number of its nearest centroid (its code). A query becomes a table of bytes, its tokens'
similarities to every centroid; a window's approximate score is the sum over query tokens of the largest byte
among its different codes, about half as many as its tokens. No lists are probed, so that nothing is missed
but by the approximation; a filter is a subset of windows, and a deletion one window less.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.centroids import WIDTHS, Centroids, prepare, table
from retrievers.kernels.codes import add_maxima, distinct
from retrievers.kernels.threads import cores
from retrievers.search import exact
from retrievers.search.parts import each, ranges
from retrievers.search.ranking import Ranking
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

PAYS = 4  # windows a candidate from which pruning is faster than scoring everything
PART = 2048  # windows that are worth a thread


def default_candidates(k: int) -> int:
    """Windows to score exactly for the best k documents."""
    return 300 + 20 * k


def worthwhile(view: View, selected: NDArray[np.int64] | None, k: int) -> bool:
    """Whether pruning is faster than scoring every selected window."""
    if view.codes is None or view.centroids is None:
        return False
    windows = len(view.starts) if selected is None else len(selected)
    return windows >= PAYS * default_candidates(k)


def rank(
    view: View,
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    k: int,
    candidates: int | None = None,
) -> list[Ranking]:
    """The k best documents of each query among the windows that look best; see retrievers.search.rank.

    Args:
        view: a view of an optimised store.
        queries: matrices, float32, (query_tokens_i, dim), each with at least one token.
        selected: int64: positions of the windows to search; None for all.
        k: the most documents a query.
        candidates: windows to score exactly; None means default_candidates(k). Where they hold fewer than k
            documents, more are taken until k are found or no window is left.
    """
    index = _index(view)
    positions = index.everything if selected is None else np.ascontiguousarray(selected, np.int64)
    count = max(k, default_candidates(k) if candidates is None else candidates)
    return [_rank(view, index, query, positions, k, count) for query in queries]


def approximate(index: Index, query: TokenMatrix, positions: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Approximate scores of windows: sums of byte maxima, uint32, (len(positions),); comparable within a query."""
    widest = WIDTHS[-1]
    tables = [table(query[first : first + widest], index.centroids) for first in range(0, len(query), widest)]
    totals = np.zeros(len(positions), np.uint32)

    def part(first: int, last: int) -> None:
        for bytes_ in tables:
            add_maxima(index.codes, index.offsets, positions[first:last], bytes_, totals[first:last])

    each(part, ranges(len(positions), min(cores(), -(-len(positions) // PART))))
    return totals


@dataclass(frozen=True)
class Index:
    """What pruning derives from one commit, in memory: about one byte a token.

    Attributes:
        codes: uint16: the different codes of each live window, window after window.
        offsets: int64, (windows + 1,): where each window's codes begin.
        everything: int64, (windows,): all positions.
        centroids: as the kernels read them.
    """

    codes: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    everything: NDArray[np.int64]
    centroids: Centroids


def build(view: View) -> Index:
    """Derive the index of a view whose store was optimised."""
    codes, centroids = view.codes, view.centroids
    assert codes is not None
    assert centroids is not None

    def part(first: int, last: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        return distinct(codes, view.starts[first:last], view.ends[first:last])

    parts = each(part, ranges(len(view.starts), cores()))
    offsets = np.zeros(len(view.starts) + 1, np.int64)
    if parts:
        np.cumsum(np.concatenate([counts for _, counts in parts]), out=offsets[1:])
    different = np.concatenate([np.zeros(0, np.uint16), *(found for found, _ in parts)])
    return Index(different, offsets, np.arange(len(view.starts), dtype=np.int64), prepare(centroids))


def _rank(
    view: View, index: Index, query: TokenMatrix, positions: NDArray[np.int64], k: int, count: int
) -> Ranking:
    totals = approximate(index, query, positions)
    while True:
        best = positions[_highest(totals, count)]
        [ranking] = exact.rank(view, [query], best, k)
        if len(ranking) >= k or count >= len(positions):
            return ranking
        count *= 4


def _highest(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals, ascending; of equal ones at the edge the first."""
    if count >= len(totals):
        return np.arange(len(totals), dtype=np.int64)
    edge = np.partition(totals, len(totals) - count)[len(totals) - count]
    above = np.flatnonzero(totals > edge)
    level = np.flatnonzero(totals == edge)[: count - len(above)]
    return np.sort(np.concatenate([above, level]))


_lock = Lock()
_indexes: dict[
    tuple[int, int], tuple[weakref.ref[NDArray[np.int64]], weakref.ref[NDArray[np.uint16]], Index]
] = {}


def _index(view: View) -> Index:
    """The index of a commit, built once: all views of a commit share their arrays, which tell it."""
    starts, codes = view.starts, view.codes
    assert codes is not None
    key = (id(starts), id(codes))
    found = _indexes.get(key)
    if found is None or found[0]() is not starts or found[1]() is not codes:
        with _lock:
            found = _indexes.get(key)
            if found is None or found[0]() is not starts or found[1]() is not codes:
                # The entry goes when the commit's arrays do.
                found = (weakref.ref(starts), weakref.ref(codes), build(view))
                weakref.finalize(starts, _indexes.pop, key, None)
                _indexes[key] = found
    return found[2]
