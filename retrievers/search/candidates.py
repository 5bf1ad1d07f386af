"""The candidates of one search: which windows are scored exactly, and how many more may be worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.targets import chosen_target
from retrievers.search.ranking import best_documents
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

SPREADS = 3.5  # standard deviations by which a window may score better than the approximation says
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
        if count <= len(self.places):
            return
        places = highest(self.totals, count)
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


def highest(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals, ascending. Where not all of several equal totals are taken, the first are."""
    if count >= len(totals):
        return np.arange(len(totals), dtype=np.int64)
    places = _high(totals, count)
    if len(places) <= count:  # only zeros are left to fill up with
        zeros = np.flatnonzero(totals == 0)[: count - len(places)]
        return np.sort(np.concatenate([places, zeros]))
    some = totals[places]
    edge = np.partition(some, len(some) - count)[len(some) - count]
    above = places[some > edge]
    level = places[some == edge][: count - len(above)]
    return np.sort(np.concatenate([above, level]))


def _high(totals: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Places of the largest totals and of some more, ascending: at least `count` and all that equal the last of them,
    or all that are not 0.

    A part of the totals says where to draw the line, so that not all of them are ordered. Zeros are left out also
    because numpy's partition takes ten times as long where most numbers are equal.
    """
    part = totals[::EVERY]
    mean = count / EVERY
    rank = round(mean + 5 * mean**0.5 + 5)  # too few would be above the line once in millions of searches
    if rank < len(part) // 4:
        places = np.flatnonzero(totals >= max(np.partition(part, len(part) - rank)[len(part) - rank], 1))
        if len(places) >= count:
            return places
    return np.flatnonzero(totals)
