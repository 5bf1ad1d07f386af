"""Pruned search: windows are ranked by the centroids of their tokens, and the best are scored exactly.

Each token has the number of its nearest centroid (its code). A query becomes a table of bytes, its tokens'
similarities to every centroid; a window's approximate score is the sum over query tokens of the largest byte
among its different codes, about half as many as its tokens. Every selected window gets an approximate
score, so that nothing is missed but by the approximation; a filter selects fewer windows, and so does a deletion.

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
from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.targets import chosen_target
from retrievers.kernels.threads import cores
from retrievers.search import exact
from retrievers.search.parallel import map_ranges, ranges
from retrievers.search.ranking import Ranking, best_documents
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

PAYS = 48  # windows for each candidate from which on pruning saves enough to be worth an approximation
SPREADS = 3.5  # standard deviations by which a window may score better than the approximation says
MOST = 12  # a query scores at most so many times its first candidates exactly


def default_candidates(k: int, tokens: int, centroids: int) -> int:
    """Windows to score exactly at first for the best k documents: 5 * sqrt(k * tokens / centroids).

    The more tokens share a centroid, the less their order says, and the further down a true hit may be.
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


def approximate(index: Index, query: TokenMatrix, positions: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Approximate scores of windows: sums of byte maxima, uint32, (len(positions),); comparable within a query."""
    widest, longest = WIDTHS[-1], float(np.linalg.norm(query, axis=1).max(initial=0))
    parts = [query[first : first + widest] for first in range(0, len(query), widest)]
    tables = [table(part, index.centroids, longest) for part in parts]
    totals = np.zeros(len(positions), np.uint32)
    for bytes_ in tables:
        add_maxima(index.codes, index.offsets, positions, bytes_, totals)
    return totals


@dataclass(frozen=True)
class Index:
    """What pruning derives from one commit, in memory: less than two bytes for each token.

    Attributes:
        starts, ends: int64, (windows,): the commit's, not copied.
        codes: uint16: the different codes of each live window, as the kernel takes them.
        offsets: int64, (windows + 1,): where each window's codes begin.
        everything: int64, (windows,): all positions.
        centroids: as the kernels read them.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    codes: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    everything: NDArray[np.int64]
    centroids: Centroids


def build(view: View, previous: Index | None = None) -> Index:
    """Derive the index of a view whose store was optimised.

    Args:
        view: codes and centroids are not None.
        previous: the index of an earlier commit with the same centroids: where windows were only added
            since, the rest is taken from there.
    """
    codes, centroids = view.codes, view.centroids
    assert codes is not None
    assert centroids is not None
    if previous is not None and not _begins_with(view, previous):
        previous = None
    known = 0 if previous is None else len(previous.starts)

    def part(first: int, last: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        window = slice(known + first, known + last)
        return distinct(codes, view.starts[window], view.ends[window])

    parts = map_ranges(part, ranges(len(view.starts) - known, cores()))
    offsets = np.zeros(len(view.starts) + 1, np.int64)
    different = [found for found, _ in parts]
    if previous is not None:
        offsets[: known + 1] = previous.offsets
        different.insert(0, previous.codes)
    if parts:
        counts = np.concatenate([counts for _, counts in parts])
        offsets[known + 1 :] = offsets[known] + np.cumsum(counts)
    return Index(
        view.starts,
        view.ends,
        np.concatenate(different) if different else np.zeros(0, np.uint16),
        offsets,
        np.arange(len(view.starts), dtype=np.int64),
        prepare(centroids) if previous is None else previous.centroids,
    )


def _begins_with(view: View, index: Index) -> bool:
    """Whether a view's first windows are those of an index."""
    known = len(index.starts)
    return np.array_equal(view.starts[:known], index.starts) and np.array_equal(view.ends[:known], index.ends)


def _rank(
    view: View,
    index: Index,
    query: TokenMatrix,
    positions: NDArray[np.int64],
    k: int,
    candidates: int | None,
) -> Ranking:
    count = max(k, candidates or default_candidates(k, len(view.rows), index.centroids.count))
    scored = _Scored(view, query, positions, approximate(index, query, positions))
    scored.take(count)
    while (worst := scored.worst(k)) is None and count < len(positions):
        count *= 4
        scored.take(count)
    if candidates is None and worst is not None:
        scored.take(min(scored.promising(worst), MOST * count))
    return exact.settle(view, query, positions[scored.places], scored.scores, k)


class _Scored:
    """The windows of one search that are scored exactly so far: those with the highest approximate scores.

    Attributes:
        places: int64, ascending: which of the positions.
        scores: float32, (len(places),): of the rounded query, by the chosen target's instructions.
    """

    def __init__(
        self, view: View, query: TokenMatrix, positions: NDArray[np.int64], totals: NDArray[np.uint32]
    ) -> None:
        self.view, self.query, self.positions, self.totals = view, query, positions, totals
        self.places, self.scores = np.zeros(0, np.int64), np.zeros(0, np.float32)

    def take(self, count: int) -> None:
        """Score the `count` windows that look best, as far as they are not scored yet."""
        if count <= len(self.places):
            return
        places = _highest(self.totals, count)
        new = np.ones(len(places), np.bool_)
        new[np.searchsorted(places, self.places)] = (
            False  # windows that were scored before are among the best now, too
        )
        view, windows = self.view, self.positions[places[new]]
        starts, ends = view.starts[windows], view.ends[windows]
        scores = np.empty(len(places), np.float32)
        scores[~new] = self.scores
        target = chosen_target()
        [scores[new]] = maxsim(view.rows, view.scales, starts, ends, [self.query], target, view.bits)
        self.places, self.scores = places, scores

    def worst(self, k: int) -> float | None:
        """The lowest score among the k best documents; None while there are fewer."""
        documents = self.view.documents[self.positions[self.places]]
        best = best_documents(self.scores, self.places, documents, k)
        return best[-1][1] if len(best) == k else None

    def promising(self, worst: float) -> int:
        """How many windows may score more than `worst`, by how their scores follow from the approximate ones.

        That is a line through the windows scored so far, by least squares. A window may be better than the line
        says by SPREADS standard deviations of those.
        """
        filled = self.scores > -np.inf
        seen = self.totals[self.places[filled]].astype(np.float64)
        scores = self.scores[filled].astype(np.float64)
        middle, level = seen.sum() / len(seen), scores.sum() / len(seen)
        seen -= middle
        scores -= level
        slope = float(seen @ scores) / max(float(seen @ seen), 1.0)
        if slope <= 0:
            return len(self.totals)  # the approximate scores say nothing about this query
        scores -= slope * seen
        spread = (float(scores @ scores) / len(scores)) ** 0.5
        edge = middle + (worst - level - SPREADS * spread) / slope
        return int(np.count_nonzero(self.totals > edge))


def _highest(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals, ascending. Where not all of several equal totals are taken, the first are."""
    if count >= len(totals):
        return np.arange(len(totals), dtype=np.int64)
    edge = np.partition(totals, len(totals) - count)[len(totals) - count]
    above = np.flatnonzero(totals > edge)
    level = np.flatnonzero(totals == edge)[: count - len(above)]
    return np.sort(np.concatenate([above, level]))


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
