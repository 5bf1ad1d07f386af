"""From scores of windows to the best documents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ranking = list[tuple[int, float]]
"""(window position, score) of the best documents of one query, best first."""


def best_documents(
    scores: NDArray[np.float32], positions: NDArray[np.int64], documents: NDArray[np.int64], k: int
) -> Ranking:
    """Keep the best window of each document, and of those the k best.

    Args:
        scores: float32, (windows,); -inf marks a window that is never returned.
        positions: int64, (windows,): what to return for each window.
        documents: int64, (windows,): document key of each window; equal scores rank by it, smaller first,
            and windows of one document by their place here.
        k: the most documents to return.
    Returns:
        at most k pairs (position, score), best first.
    """
    order = np.lexsort((documents, -scores))  # stable: windows of one document keep their places
    order = order[scores[order] > -np.inf]
    _, first = np.unique(documents[order], return_index=True)
    best = order[np.sort(first)[:k]]
    return list(zip(positions[best].tolist(), scores[best].tolist(), strict=True))


def shortlist(scores: NDArray[np.float32], documents: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The best windows, as many as it takes to have `count` documents among them, or all.

    Windows with the score of the last one are taken with it, so that no tie is decided here.

    Args:
        scores: float32, (windows,).
        documents: int64, (windows,): document key of each window.
        count: documents to have.
    Returns:
        int64: places in `scores`, ascending.
    """
    windows = count
    while windows < len(scores):
        edge = np.partition(scores, len(scores) - windows)[len(scores) - windows]
        found = np.flatnonzero(scores >= edge)
        if len(np.unique(documents[found])) >= count:
            return found
        windows *= 4
    return np.arange(len(scores))
