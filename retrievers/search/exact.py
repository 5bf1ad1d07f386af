"""Exact search: every selected window is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError
from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.targets import TARGETS, chosen_target
from retrievers.search.ranking import Ranking, best_documents, shortlist
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

SCORES_A_PASS = 1 << 24  # 64 MB of float32: the most that one pass over the rows writes


def rank(
    view: View, queries: Sequence[TokenMatrix], selected: NDArray[np.int64] | None, k: int
) -> list[Ranking]:
    """The k best documents of each query, each by its best window; see retrievers.search.rank.

    All windows are scored with rounded queries, by the processor's fastest instructions; those that may be
    among the best are scored again in float32, as score does.

    Args:
        view: a view of the store.
        queries: matrices, float32, (query_tokens_i, dim), each with at least one token.
        selected: int64: positions of the windows to search; None for all.
        k: the most documents a query.
    """
    starts, ends = view.starts, view.ends
    if selected is not None:
        starts, ends = starts[selected], ends[selected]
    step = max(1, SCORES_A_PASS // max(1, len(starts)))
    rankings = []
    for first in range(0, len(queries), step):
        some = queries[first : first + step]
        scores = maxsim(view.rows, view.scales, starts, ends, some, chosen_target(), view.bits)
        rankings += [
            settle(view, query, selected, rough, k) for query, rough in zip(some, scores, strict=True)
        ]
    return rankings


def settle(
    view: View, query: TokenMatrix, selected: NDArray[np.int64] | None, rough: NDArray[np.float32], k: int
) -> Ranking:
    """The k best documents by float32 scores, given the scores of a rounded query.

    Args:
        view: a view of the store.
        query: float32, (query_tokens, dim).
        selected: int64, ascending: positions of the windows that were scored; None for all.
        rough: float32, (windows,): their scores by the chosen target.
        k: the most documents.
    Raises:
        CorruptStoreError: a score is no finite number, which no sound rows have.
    """
    if not rough.max(initial=-np.inf) < np.inf:  # NaN is not
        raise CorruptStoreError(
            "a stored window has a score that is no finite number: its scales are damaged. `retrievers verify` names "
            "the documents; delete them, and add them again."
        )
    documents = view.documents if selected is None else view.documents[selected]
    near = shortlist(rough, documents, candidates(k))
    best = near if selected is None else selected[near]
    scores, target = rough[near], chosen_target()
    if target.final != target.name:
        [scores] = score(view.rows, view.scales, view.starts[best], view.ends[best], [query], view.bits)
    return best_documents(scores, best, documents[near], k)


def candidates(k: int) -> int:
    """Documents that are scored again in float32 to find the best k."""
    return k + 8 + k // 8


def score(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
    bits: int = 8,
) -> NDArray[np.float32]:
    """Score windows of stored rows against queries in float32: the scores that users see.

    On one processor a window and a query always have the same score, whatever else is scored with them.

    Args:
        rows: uint8, (tokens, row_bytes), see retrievers.kernels.rows.
        scales: float32, (tokens,).
        starts: int64, (windows,): first token of each window.
        ends: int64, (windows,): one past the last token of each window.
        queries: matrices, float32, (query_tokens_i, dim).
        bits: of a stored number, 8 or 4.
    Returns:
        float32, (len(queries), windows). -inf for a window without tokens, 0 for a query without tokens.
    Raises:
        ShapeError: an array has another shape or layout, or a window reaches beyond the rows.
    """
    return maxsim(rows, scales, starts, ends, queries, TARGETS[chosen_target().final], bits)
