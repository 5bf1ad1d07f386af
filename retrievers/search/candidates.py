"""The candidates of one search: which windows are scored exactly, and how many more may be worth it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.targets import chosen_target
from retrievers.search.ranking import best_documents, shortlist
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

# Standard deviations by which a window may score better than the approximation says: the more windows there are, the
# luckier the luckiest of them is, by so much more with every doubling beyond the size that the first number is for.
SPREADS, DOUBLING, SIZE = 3.5, 0.37, 1 << 14
PART, STEP, FEW = 4, 8, 512  # see Scored.sample
EVERY = 64  # of so many totals one is looked at to see how large the best are


class Scored:
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
        self._score(highest(self.totals, count))

    def sample(self, count: int) -> None:
        """Score a part of the `count` windows that look best: the first PART-th of them, and every STEP-th other one.

        That is enough to see how scores follow from totals, and what the best score at least. Where the totals tell
        much, fewer than `count` windows are promising then. Of a few windows all are scored.
        """
        if count < FEW:
            self.take(count)
            return
        places = highest(self.totals, count)
        best = highest(self.totals[places], -(-len(places) // PART))
        taken = np.zeros(len(places), np.bool_)
        taken[::STEP] = taken[best] = True
        self._score(places[taken])

    def _score(self, places: NDArray[np.int64]) -> None:
        """Score windows besides those that are scored already; `places` are ascending."""
        places = np.setdiff1d(places, self.places, assume_unique=True)
        if not len(places):
            return
        view, windows = self.view, self.positions[places]
        starts, ends = view.starts[windows], view.ends[windows]
        [scores] = maxsim(view.rows, view.scales, starts, ends, [self.query], chosen_target(), view.bits)
        together = np.concatenate([self.places, places])
        order = np.argsort(together, kind="stable")  # two runs that ascend
        self.places, self.scores = together[order], np.concatenate([self.scores, scores])[order]

    def worst(self, k: int) -> float | None:
        """The lowest score among the k best documents; None while there are fewer."""
        documents = self.view.documents[self.positions[self.places]]
        near = shortlist(self.scores, documents, k)
        best = best_documents(self.scores[near], near, documents[near], k)
        return best[-1][1] if len(best) == k else None

    def promising(self, worst: float) -> int:
        """How many windows may score more than `worst`, by how their scores follow from the approximate ones.

        That is a line through the windows scored so far, by least squares. A window may be better than the line
        says by some standard deviations of those, see SPREADS.
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
        most = SPREADS + DOUBLING * max(0.0, math.log2(len(self.view.starts) / SIZE))
        edge = middle + (worst - level - most * spread) / slope
        return int(np.count_nonzero(self.totals > edge))


def highest(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals, ascending. Where not all of several equal totals are taken, the first are."""
    if count >= len(totals):
        return np.arange(len(totals), dtype=np.int64)
    places = _high(totals, count)
    if len(places) <= count:  # only zeros are left to fill up with
        zeros = np.flatnonzero(totals == 0)[: count - len(places)]
        return np.sort(np.concatenate([places, zeros]))
    some = totals[places]
    edge = _edge(some, count)
    taken = some > edge
    level = np.flatnonzero(some == edge)
    taken[level[: count - np.count_nonzero(taken)]] = True
    return places[taken]


def _high(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals and of some more, ascending: at least `count` and all that equal the last of them,
    or all that are not 0.

    A part of the totals says where to draw the line, so that not all of them are looked at twice.
    """
    mean = count / EVERY
    rank = round(mean + 5 * mean**0.5 + 5)  # too few would be above the line once in millions of searches
    part = totals[::EVERY]
    if rank < len(part) // 4:
        places = np.flatnonzero(totals >= max(_edge(part, rank), 1))
        if len(places) >= count:
            return places
    return np.flatnonzero(totals)


def _edge(totals: NDArray[np.uint32], count: int) -> int:
    """The last of the `count` largest totals, by counting how often each number stands there.

    They are sums of bytes, so that there are few numbers. Ordering them, as numpy's partition does, takes ten times as
    long where many are equal.
    """
    above = np.bincount(totals)[::-1].cumsum()
    return len(above) - 1 - int(np.searchsorted(above, count))
