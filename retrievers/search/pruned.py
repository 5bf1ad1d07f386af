"""Pruned search: windows are ranked by the centroids of their tokens, and the best are scored exactly.

Each token has the number of its nearest centroid (its code). A query becomes a table of bytes, its tokens'
similarities to every centroid; a window's approximate score is the sum over query tokens of the largest byte
among its different codes, about half as many as its tokens. Every selected window gets an approximate
score, so that nothing is missed but by the approximation; a filter selects fewer windows, and so does a deletion.
In a large collection that scan would take longest of all: there, windows near the query are chosen by lists first
(retrievers.search.inverted), and those alone get an approximate score.

How many windows are scored exactly depends on the query. The first few hundred show how exact and approximate
scores go together for it, and so which of the others may still be among the best: for most queries none.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.centroid_scan import WIDTHS
from retrievers.kernels.centroids import Centroids, prepare, table
from retrievers.kernels.codes import add_maxima, distinct
from retrievers.kernels.fork import Guard, per_process
from retrievers.kernels.threads import cores
from retrievers.search import exact, inverted
from retrievers.search.candidates import Scored, highest
from retrievers.search.inverted import Inverted
from retrievers.search.parallel import map_ranges, ranges
from retrievers.search.ranking import Ranking
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

PAYS = 48  # windows for each candidate from which on pruning saves enough to be worth an approximation
MOST = 12  # a query scores at most so many times its first candidates exactly


def default_candidates(k: int, tokens: int, centroids: int) -> int:
    """Windows to score exactly at first for the best k documents: 5 * sqrt(k * tokens / centroids).

    Of many, a sample is scored, see Scored.sample. The more tokens share a centroid, the less their order says, and
    the further down a true hit may be.
    """
    windows: int = max(2 * k, round(5 * (k * tokens / max(centroids, 1)) ** 0.5))
    return windows


def worthwhile(view: View, selected: NDArray[np.int64] | None, k: int) -> bool:
    """Whether pruning answers so much faster than scoring every selected window that it should."""
    if view.codes is None or view.centroids is None:
        return False
    windows = len(view.starts) if selected is None else len(selected)
    return windows >= PAYS * default_candidates(k, len(view.codes), len(view.centroids))


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
        candidates: windows to score exactly; None means default_candidates, and then those that may still be
            among the best. Where they hold fewer than k documents, more are taken until k are found or no
            window is left.
    """
    index = _index(view)
    positions = index.everything if selected is None else np.ascontiguousarray(selected, np.int64)
    return [_rank(view, index, query, positions, k, candidates) for query in queries]


def tables(index: Index, query: TokenMatrix) -> list[NDArray[np.uint8]]:
    """Similarities of a query's tokens to all centroids: a table for each part of it, see kernels.centroids.table."""
    widest, longest = WIDTHS[-1], float(np.linalg.norm(query, axis=1).max(initial=0))
    parts = [query[first : first + widest] for first in range(0, len(query), widest)]
    return [table(part, index.centroids, longest) for part in parts]


def approximate(
    index: Index, parts: Sequence[NDArray[np.uint8]], positions: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Approximate scores of windows: sums of byte maxima, uint32, (len(positions),); comparable within a query.

    Args:
        parts: the query's tables.
    """
    totals = np.zeros(len(positions), np.uint32)
    for part in parts:
        add_maxima(index.codes, index.offsets, positions, part, totals)
    return totals


@dataclass(frozen=True)
class Index:
    """What pruning derives from one commit, in memory: less than four bytes for each token.

    Attributes:
        starts, ends: int64, (windows,): the commit's, not copied.
        codes: uint16: the different codes of each live window, as the kernel takes them.
        offsets: int64, (windows + 1,): where each window's codes begin.
        lists: the windows of each code.
        everything: int64, (windows,): all positions.
        centroids: as the kernels read them.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    codes: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    lists: Inverted
    everything: NDArray[np.int64]
    centroids: Centroids


def build(view: View, previous: Index | None = None) -> Index:
    """Derive the index of a view whose store was optimised.

    Args:
        view: codes and centroids are not None.
        previous: the index of an earlier commit with the same centroids: what concerns the windows before the first
            that changed is taken from there.
    """
    codes, centroids = view.codes, view.centroids
    assert codes is not None
    assert centroids is not None
    known = 0 if previous is None else _common(view, previous)

    def part(first: int, last: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        window = slice(known + first, known + last)
        return distinct(codes, view.starts[window], view.ends[window])

    parts = map_ranges(part, ranges(len(view.starts) - known, cores()))
    offsets = np.zeros(len(view.starts) + 1, np.int64)
    found = [some for some, _ in parts]
    if previous is not None:
        offsets[: known + 1] = previous.offsets[: known + 1]
        found.insert(0, previous.codes[: offsets[known]])
    if parts:
        counts = np.concatenate([counts for _, counts in parts])
        offsets[known + 1 :] = offsets[known] + np.cumsum(counts)
    different = np.concatenate(found) if found else np.zeros(0, np.uint16)
    earlier = None if previous is None else previous.lists
    return Index(
        view.starts,
        view.ends,
        different,
        offsets,
        inverted.build(different, offsets, len(centroids), earlier, known),
        np.arange(len(view.starts), dtype=np.int64),
        prepare(centroids) if previous is None else previous.centroids,
    )


def _common(view: View, index: Index) -> int:
    """How many of a view's first windows are those of an index."""
    most = min(len(view.starts), len(index.starts))
    same = (view.starts[:most] == index.starts[:most]) & (view.ends[:most] == index.ends[:most])
    return most if same.all() else int(same.argmin())


def _rank(
    view: View,
    index: Index,
    query: TokenMatrix,
    positions: NDArray[np.int64],
    k: int,
    candidates: int | None,
) -> Ranking:
    count = max(k, candidates or default_candidates(k, len(view.rows), index.centroids.count))
    parts = tables(index, query)
    chosen = _chosen(index, parts, positions, len(query), count)
    scored, worst = _first(view, index, query, parts, chosen, k, count, candidates is None)
    if worst is None and len(scored.positions) < len(positions):
        scored, worst = _first(view, index, query, parts, positions, k, count, candidates is None)
    if candidates is None and worst is not None:
        scored.take(min(scored.promising(worst), MOST * count))
    return exact.settle(view, query, scored.positions[scored.places], scored.scores, k)


def _chosen(
    index: Index, parts: Sequence[NDArray[np.uint8]], positions: NDArray[np.int64], tokens: int, count: int
) -> NDArray[np.int64]:
    """The positions whose codes are scanned: those that lists choose, or all where that costs less."""
    wide = inverted.WIDE * count
    if not inverted.pays(index.lists.windows, len(index.codes), len(positions), tokens, wide):
        return positions
    totals = inverted.totals(index.lists, parts)
    if positions is not index.everything:
        totals = totals[positions]
    if np.count_nonzero(totals) < wide:
        return positions  # the centroids of this query have such long lists that none was walked, or next to none
    return positions[highest(totals, wide)]


def _first(
    view: View,
    index: Index,
    query: TokenMatrix,
    parts: Sequence[NDArray[np.uint8]],
    positions: NDArray[np.int64],
    k: int,
    count: int,
    sample: bool,
) -> tuple[Scored, float | None]:
    """Score `count` windows, and more until they hold k documents; also the lowest score of the k best, if they do.

    Args:
        sample: whether a part of the `count` windows is enough.
    """
    scored = Scored(view, query, positions, approximate(index, parts, positions))
    if sample:
        scored.sample(count)
    else:
        scored.take(count)
    while (worst := scored.worst(k)) is None and count < len(positions):
        count *= 4
        scored.take(count)
    return scored, worst


_state = per_process(Guard)
_latest: dict[int, tuple[weakref.ref[NDArray[np.float32]], Index]] = {}


def _index(view: View) -> Index:
    """The index of a commit, built once: views of one commit share their starts, and commits their centroids."""
    centroids = view.centroids
    assert centroids is not None
    found = _known(centroids)
    if found is None or found.starts is not view.starts:
        with _state.lock:
            found = _known(centroids)
            if found is None or found.starts is not view.starts:
                found = build(view, found)
                key = id(centroids)
                if key not in _latest:  # the entry goes when the centroids do
                    weakref.finalize(centroids, _latest.pop, key, None).atexit = False
                _latest[key] = (weakref.ref(centroids), found)
    return found


def _known(centroids: NDArray[np.float32]) -> Index | None:
    """The index of the latest commit with these centroids that was searched."""
    entry = _latest.get(id(centroids))
    return entry[1] if entry is not None and entry[0]() is centroids else None
