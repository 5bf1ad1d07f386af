"""MaxSim in plain numpy: what every kernel is tested against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.rows import dequantize
from retrievers.types import TokenMatrix


def maxsim(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
) -> NDArray[np.float32]:
    """Score windows against queries by late interaction.

    Each query token keeps its best match in a window; the score is the sum of those matches.

    Args:
        rows: uint8, (tokens, row_bytes): int8 + 128.
        scales: float32, (tokens,): a token's vector is (row - 128) * scale.
        starts: int64, (windows,): first token of each window.
        ends: int64, (windows,): one past the last token of each window.
        queries: matrices, float32, (query_tokens_i, dim).
    Returns:
        float32, (len(queries), windows). -inf for a window without tokens, 0 for a query without tokens.
    References:
        Khattab and Zaharia, ColBERT, SIGIR 2020, section 3.3.
    """
    scores = np.full((len(queries), len(starts)), -np.inf, np.float32)
    for window, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if start == end:
            continue
        for number, query in enumerate(queries):
            tokens = dequantize(rows[start:end], scales[start:end], query.shape[1])
            similarity = query @ tokens.T  # (query_tokens, window_tokens)
            scores[number, window] = similarity.max(axis=1).sum()
    return scores


def rounded(query: TokenMatrix, limit: int) -> TokenMatrix:
    """A query as a target with integer arithmetic sees it.

    Args:
        query: float32, (query_tokens, dim).
        limit: the target's largest magnitude of an element; 0 for a target that does not round.
    Returns:
        float32, (query_tokens, dim): each row a multiple of its largest magnitude / limit.
    """
    if not limit:
        return query
    scales = np.maximum(np.abs(query).max(axis=1, keepdims=True), 1e-12) / np.float32(limit)
    rounded: NDArray[np.float32] = np.rint(query / scales) * scales
    return rounded
