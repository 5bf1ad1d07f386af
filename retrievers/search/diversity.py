"""Maximal marginal relevance over token matrices: results that answer and do not repeat each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from retrievers.errors import InvalidInputError
from retrievers.types import DocumentFilter, Hits, SearchableCollection, TokenMatrix, row_weights

BLOCK = 1 << 22  # similarities held at once: 16 MiB of float32, whatever the lengths of two documents


def maximal_marginal_relevance(
    query: TokenMatrix, matrices: Sequence[TokenMatrix], k: int, lambda_mult: float = 0.5
) -> list[int]:
    """Choose documents one by one, each for its relevance less its likeness to those already chosen.

    Relevance is the mean MaxSim of the query, weighted if its rows are; the likeness of two documents is the mean of
    the mean MaxSim in both directions, so that neither a short nor a long one is favoured. Both are averaged cosines,
    so lambda_mult weighs them on one scale. Only pairs with a chosen document are compared: k * len(matrices)
    of them at most.

    Args:
        query: float32, (query_tokens, dim), rows of length 1, or of the length of their weights.
        matrices: candidates, float32, (tokens_i, dim), best first; equal values keep this order.
        k: how many to choose; all of them where k exceeds len(matrices).
        lambda_mult: 1 looks at relevance alone, 0 at diversity alone.
    Returns:
        Places in matrices, in the order chosen.
    Raises:
        InvalidInputError: k < 1, or lambda_mult is outside [0, 1].
    References:
        Carbonell and Goldstein, The Use of MMR, SIGIR 1998, section 2.
    """
    if k < 1:
        raise InvalidInputError(f"k is {k}; it must be at least 1.")
    if not 0 <= lambda_mult <= 1:
        raise InvalidInputError(f"lambda_mult is {lambda_mult}; it must lie in [0, 1].")
    relevance = np.array([mean_maxsim(query, matrix) for matrix in matrices], np.float32)
    likeness = np.full(len(matrices), -1, np.float32)  # to the chosen document that is most alike
    chosen: list[int] = []
    left = np.ones(len(matrices), bool)
    for _ in range(min(k, len(matrices))):
        # The first choice has nothing to differ from: it is the most relevant one for every lambda_mult.
        value = lambda_mult * relevance - (1 - lambda_mult) * likeness if chosen else relevance
        best = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        if len(chosen) < k:
            for other in np.flatnonzero(left).tolist():
                likeness[other] = max(likeness[other], symmetric_maxsim(matrices[best], matrices[other]))
    return chosen


def search_diverse(
    collection: SearchableCollection,
    query: str,
    *,
    k: int = 4,
    fetch_k: int = 20,
    lambda_mult: float = 0.5,
    filter: DocumentFilter | None = None,
    ids: Iterable[str] | None = None,
    score_threshold: float | None = None,
    **options: Any,
) -> Hits:
    """The hits of a collection by maximal marginal relevance, in the order chosen.

    Two documents are as alike as their passages are: what the question found in a long document is compared,
    not all of it, which keeps the work within fetch_k windows whatever the documents' lengths.

    Args:
        collection: what is searched.
        query: the question; without tokens it finds nothing.
        k: the most hits to return.
        fetch_k: how many of the best hits to choose from; k where it is smaller.
        lambda_mult, filter, ids, score_threshold: as maximal_marginal_relevance and Collection.search.
        options: `words`, `pooled`, `passages`, `group_by` and `group_size`, as Collection.search.
    Raises:
        InvalidInputError, FilterError: as both of them.
    """
    found = collection.search(
        query, k=max(k, fetch_k), filter=filter, ids=ids, score_threshold=score_threshold, **options
    )
    return diversified(collection, found, k=k, lambda_mult=lambda_mult)


def diversified(
    collection: SearchableCollection, found: Hits, *, k: int = 4, lambda_mult: float = 0.5
) -> Hits:
    """k of the hits of a search, by maximal marginal relevance, in the order chosen: the second half of search_diverse.

    Args:
        collection: what was searched.
        found: its hits, best first.
        k, lambda_mult: as maximal_marginal_relevance.
    """
    if not found:
        return found
    chosen = maximal_marginal_relevance(found.matrix, collection.matrices(found), k, lambda_mult)
    return Hits(
        (found[place] for place in chosen), query=found.query, matrix=found.matrix, explain=found._explain
    )


def mean_maxsim(query: TokenMatrix, document: TokenMatrix) -> float:
    """MaxSim divided by the number of query tokens, or the sum of their weights; 0 where either has no tokens."""
    weight = float(row_weights(query).sum())
    return _both_means(query, document)[0] * len(query) / weight if weight else 0.0


def symmetric_maxsim(left: TokenMatrix, right: TokenMatrix) -> float:
    """The mean of the mean MaxSim of left in right and of right in left; 0 where either has no tokens."""
    forward, backward = _both_means(left, right)
    return (forward + backward) / 2


def _both_means(left: TokenMatrix, right: TokenMatrix) -> tuple[float, float]:
    """Mean over the rows of left, and over those of right, of each row's best match in the other."""
    if not len(left) or not len(right):
        return 0.0, 0.0
    step = max(1, BLOCK // len(right))
    total = 0.0
    columns = np.full(len(right), -np.inf, np.float32)
    for start in range(0, len(left), step):
        similarity = left[start : start + step] @ right.T  # (step, right_tokens)
        total += float(similarity.max(axis=1).sum(dtype=np.float64))
        np.maximum(columns, similarity.max(axis=0), out=columns)
    return total / len(left), float(columns.mean(dtype=np.float64))
