"""The centroid of each token row, for the search that prunes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.rows import dequantize

Assign = Callable[[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], int], NDArray[np.uint16]]
"""Rows uint8 (n, row_bytes), scales float32 (n,), centroids float32 (K, dim), bits to codes uint16 (n,)."""

BLOCK = 4096  # rows of one matrix product: (4096, K) float32 is 256 MB at the greatest K


def nearest(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: NDArray[np.float32], bits: int
) -> NDArray[np.uint16]:
    """The centroid with the largest dot product with each row; the smaller number where two are equal.

    Args:
        rows: uint8, (n, row_bytes(dim, bits)).
        scales: float32, (n,).
        centroids: float32, (K, dim), K at most 65 536.
        bits: of a number of the rows.
    Returns:
        uint16, (n,).
    """
    codes = np.zeros(len(rows), np.uint16)
    for first in range(0, len(rows), BLOCK):
        part = slice(first, first + BLOCK)
        matrix = dequantize(rows[part], scales[part], centroids.shape[1], bits)
        codes[part] = (matrix @ centroids.T).argmax(axis=1)  # (block, K)
    return codes
