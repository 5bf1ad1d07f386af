"""MaxSim in plain numpy: what every kernel is tested against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels import nibbles
from retrievers.kernels.rows import dequantize
from retrievers.types import TokenMatrix


def maxsim(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
    bits: int = 8,
) -> NDArray[np.float32]:
    """Score windows against queries by late interaction.

    Each query token keeps its best match in a window; the score is the sum of those matches.

    Args:
        rows: uint8, (tokens, row_bytes), see retrievers.kernels.rows.
        scales: float32, (tokens,).
        starts: int64, (windows,): first token of each window.
        ends: int64, (windows,): one past the last token of each window.
        queries: matrices, float32, (query_tokens_i, dim).
        bits: of a stored number, 8 or 4.
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
            tokens = dequantize(rows[start:end], scales[start:end], query.shape[1], bits)
            similarity = query @ tokens.T  # (query_tokens, window_tokens)
            scores[number, window] = similarity.max(axis=1).sum()
    return scores


def rounded(query: TokenMatrix, limit: int, bits: int = 8) -> TokenMatrix:
    """A query as a target with integer arithmetic sees it.

    Args:
        query: float32, (query_tokens, dim).
        limit: the target's largest magnitude of an element; 0 for a target that does not round.
        bits: of the stored rows; for 4 the query is turned as they are, rounded, and turned back.
    Returns:
        float32, (query_tokens, dim), for 4 bits (query_tokens, nibbles.width(dim)): each row, turned or not, has
        multiples of its largest magnitude / limit.
    """
    if not limit:
        return query
    if bits == nibbles.BITS:
        turned = rounded(nibbles.turned(query), limit)
        return nibbles.turned_back(turned, turned.shape[1])
    scales = np.maximum(np.abs(query).max(axis=1, keepdims=True), 1e-12) / np.float32(limit)
    multiples: NDArray[np.float32] = np.rint(query / scales) * scales
    return multiples
