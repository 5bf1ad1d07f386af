"""Exact search: every selected window is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels import reference
from retrievers.search.ranking import Ranking, best_documents
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View


def rank(
    view: View, queries: Sequence[TokenMatrix], selected: NDArray[np.int64] | None, k: int
) -> list[Ranking]:
    """The k best documents of each query, each by its best window; see retrievers.search.rank."""
    if selected is None:
        selected = np.arange(len(view.starts))
    scores = score(view.rows, view.scales, view.starts[selected], view.ends[selected], queries)
    documents = view.documents[selected]
    return [best_documents(line, selected, documents, k) for line in scores]


def score(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
) -> NDArray[np.float32]:
    """Score windows of stored rows against queries: the scores that users see.

    Args:
        rows: uint8, (tokens, row_bytes): int8 + 128.
        scales: float32, (tokens,).
        starts: int64, (windows,): first token of each window.
        ends: int64, (windows,): the token behind the last one.
        queries: matrices, float32, (query_tokens_i, dim).
    Returns:
        float32, (len(queries), windows). -inf for a window without tokens, 0 for a query without tokens.
    """
    return reference.maxsim(rows, scales, starts, ends, queries)
