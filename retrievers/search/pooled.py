"""How alike the whole of a question and the whole of a window are: the cosine of the means of their rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.rows import sums
from retrievers.types import TokenMatrix

WINDOWS = 256  # whose sums are held at once
LEAST = 1e-12  # the length that a sum of zeros is taken to have


def similarities(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    query: TokenMatrix,
    bits: int = 8,
) -> NDArray[np.float64]:
    """The cosine of the mean of a question's rows and the mean of each window's rows.

    A window's similarity does not depend on its neighbours in the call.

    Args:
        rows: uint8, (tokens, row_bytes(dim, bits)), as they are stored.
        scales: float32, (tokens,).
        starts, ends: int64, (windows,): row spans.
        query: float32, (query_tokens, dim), weights included.
        bits: of a number of the rows, 8 or 4.
    Returns:
        float64, (windows,), in [-1, 1]; 0 where one of the two has no rows, or its rows add up to nothing.
    """
    question = query.sum(axis=0, dtype=np.float64)
    question /= max(float(np.linalg.norm(question)), LEAST)
    made = np.empty(len(starts), np.float64)
    for first in range(0, len(starts), WINDOWS):
        part = slice(first, first + WINDOWS)
        whole = sums(rows, scales, starts[part], ends[part], query.shape[1], bits).astype(np.float64)
        lengths = np.maximum(np.sqrt((whole * whole).sum(axis=1)), LEAST)
        # No matrix product: it may round a row differently at another place, and equal windows must tie.
        made[part] = (whole * question).sum(axis=1) / lengths
    return made
