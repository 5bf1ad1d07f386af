"""The stored form of a token's vector, defined here alone: a row of bytes, int8 + 128, and one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrievers.types import QuantizedMatrix, TokenMatrix

ZERO = 128  # the byte that stands for 0: processors multiply unsigned bytes by signed ones, so int8 is stored + 128
LARGEST = 127  # magnitude of an element, so that a stored byte is never 0
WORD = 4  # bytes that one multiply instruction takes: rows have a multiple of it
MOST = 1e12  # magnitude of an element that is taken: products of two, summed over any matrix, stay finite
LEAST = 1e-12  # the magnitude that a row of zeros is taken to have, so that no scale is 0


def form() -> tuple[int, int, int]:
    """What compiled code takes for granted about stored rows: part of the key under which it is kept."""
    return ZERO, LARGEST, WORD


def row_bytes(dim: int) -> int:
    """Bytes of a row: dim rounded up to a multiple of WORD."""
    return -(-dim // WORD) * WORD


def quantize(matrix: TokenMatrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round each row to 8 bits with a scale of its own.

    Args:
        matrix: float32, (tokens, dim).
    Returns:
        rows: uint8, (tokens, row_bytes(dim)): round(x / scale) + 128; padding bytes are 128.
        scales: float32, (tokens,): largest magnitude of the row / 127.
    """
    scales = (np.abs(matrix).max(axis=1, initial=LEAST) / LARGEST).astype(np.float32)
    return _rounded(matrix, scales[:, None]), scales


def stored_form(matrix: TokenMatrix | QuantizedMatrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales of a matrix, as quantize gives them; one that is stored so already stays byte for byte."""
    if isinstance(matrix, QuantizedMatrix):
        return matrix.rows, matrix.scales
    return quantize(matrix)


def quantize_together(matrix: TokenMatrix) -> tuple[NDArray[np.uint8], float]:
    """Round all rows to 8 bits with one scale, so that products with them compare as integers.

    Args:
        matrix: float32, (rows, dim), at least one row.
    Returns:
        rows: uint8, (rows, row_bytes(dim)), as quantize gives them.
        scale: largest magnitude of the matrix / 127.
    """
    scale = max(float(np.abs(matrix).max()), LEAST) / LARGEST
    return _rounded(matrix, scale), scale


def possible(rows: NDArray[np.uint8], scales: NDArray[np.float32]) -> bool:
    """Whether quantize can have given these rows and scales."""
    return bool(rows.all() and (scales > 0).all() and (scales <= MOST / LARGEST * 1.0001).all())


def elements(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The signed numbers that stored bytes stand for: int8, of the same shape."""
    return (rows ^ np.uint8(ZERO)).view(np.int8)  # 128 less is the highest bit turned over


def dequantize(rows: NDArray[np.uint8], scales: NDArray[np.float32], dim: int) -> TokenMatrix:
    """The rows as they are searched: float32, (tokens, dim), within half a scale of the original."""
    return (rows[:, :dim].astype(np.float32) - ZERO) * scales[:, None]


def _rounded(matrix: TokenMatrix, scales: NDArray[np.float32] | float) -> NDArray[np.uint8]:
    tokens, dim = matrix.shape
    rows = np.full((tokens, row_bytes(dim)), ZERO, np.uint8)
    rows[:, :dim] = np.rint(matrix / scales) + ZERO
    return rows
