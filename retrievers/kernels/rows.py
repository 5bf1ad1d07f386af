"""Token matrices as bytes: float32 rows to uint8 rows with one scale a token, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrievers.types import TokenMatrix

ZERO = 128  # the byte that stands for 0: a row holds int8 + 128, which the kernels multiply unsigned


def row_bytes(dim: int) -> int:
    """Bytes of a row: dim rounded up to the 4 bytes that one multiply instruction takes."""
    return -(-dim // 4) * 4


def quantize(matrix: TokenMatrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round each row to 8 bits with a scale of its own.

    Args:
        matrix: float32, (tokens, dim).
    Returns:
        rows: uint8, (tokens, row_bytes(dim)): round(x / scale) + 128; padding bytes are 128.
        scales: float32, (tokens,): largest magnitude of the row / 127.
    """
    tokens, dim = matrix.shape
    scales = (np.abs(matrix).max(axis=1, initial=1e-12) / 127).astype(np.float32)
    rows = np.full((tokens, row_bytes(dim)), ZERO, np.uint8)
    rows[:, :dim] = np.rint(matrix / scales[:, None]) + ZERO
    return rows, scales


def dequantize(rows: NDArray[np.uint8], scales: NDArray[np.float32], dim: int) -> TokenMatrix:
    """The rows as they are searched: float32, (tokens, dim), within half a scale of the original."""
    return (rows[:, :dim].astype(np.float32) - ZERO) * scales[:, None]
