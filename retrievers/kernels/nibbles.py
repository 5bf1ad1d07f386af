"""The stored form of 4 bits: a row is turned, and each of its numbers becomes one of 16 levels, two in a byte.

Before it is rounded, a row is multiplied by an orthogonal matrix, which leaves lengths and products as they are and
makes all numbers of a row about equally large: one scale then fits all of them. Without it the error is three times as
large where a few dimensions hold most of a row, as after principal components. The scale is the one of least squares.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from retrievers.types import TokenMatrix

BITS = 4
WORD = 4  # bytes that a row is a multiple of
LARGEST = 15  # magnitude of an element: the levels are the odd numbers from -15 to 15
BLOCK = 128  # numbers that are turned together, at most
LEAST = 1e-12  # the magnitude that a row of zeros is taken to have, so that no scale is 0
ROUNDS = (
    3  # of rounding and of the best scale for what was rounded: a fourth gains less than 1 % of the error
)
_FIRST = 0.85  # of the largest magnitude: where the outermost level is put at first


def row_bytes(dim: int) -> int:
    """Bytes of a row: half of dim, rounded up to a multiple of WORD."""
    return -(-dim // (2 * WORD)) * WORD


def width(dim: int) -> int:
    """Numbers that a row of bytes holds: dim, and 0 to 7 more, which are 0 before the row is turned."""
    return 2 * row_bytes(dim)


def turned(matrix: TokenMatrix) -> NDArray[np.float32]:
    """Rows as they are rounded, and queries as they are multiplied by such rows.

    With B the greatest power of two that divides the width, 128 at most, numbers i, i + width / B, i + 2 * width / B …
    are a block. The signs of a block's numbers are turned where `_signs` says so, and the block is multiplied by the
    Hadamard matrix of B / sqrt(B) in butterflies: additions alone, so that a row has the same bits in any company.

    Args:
        matrix: float32, (tokens, dim).
    Returns:
        float32, (tokens, width(dim)).
    """
    tokens, dim = matrix.shape
    filled = np.zeros((tokens, width(dim)), np.float32)
    filled[:, :dim] = matrix
    blocks = _blocks(filled)
    return _rows(_hadamard(blocks * _signs(len(blocks))[:, None, None]))


def turned_back(matrix: NDArray[np.float32], dim: int) -> TokenMatrix:
    """The rows that `turned` made a matrix of: float32, (tokens, dim)."""
    blocks = _hadamard(_blocks(matrix))
    return np.ascontiguousarray(_rows(blocks * _signs(len(blocks))[:, None, None])[:, :dim])


def quantize(matrix: TokenMatrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn each row, and round it to 4 bits with a scale of its own.

    Args:
        matrix: float32, (tokens, dim).
    Returns:
        rows: uint8, (tokens, row_bytes(dim)): byte j holds number j in its lower half and number j + row_bytes in its
            upper one, each as n from 0 to 15, which stands for 2 n - 15.
        scales: float32, (tokens,): what multiplies the levels so that the squared error is least.
    """
    numbers = turned(matrix)
    steps = np.abs(numbers).max(axis=1, initial=LEAST) * np.float32(2 * _FIRST / LARGEST)
    for _ in range(ROUNDS):
        levels = np.clip(np.floor(numbers / steps[:, None]), -8, 7)
        middles = levels + np.float32(0.5)
        fit = np.einsum("ij,ij->i", numbers, middles) / np.einsum("ij,ij->i", middles, middles)
        steps = np.maximum(fit, np.float32(LEAST))
    return _packed(levels), (steps / 2).astype(np.float32)


def nearest(matrix: TokenMatrix, scales: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rows with scales that are known: of what dequantize gave, the rows that it was made of.

    That is so where dim is a multiple of 8, also after a loss of small parts of a level. With other dimensions, numbers
    of the turned rows are lost with those that dequantize leaves out.

    Args:
        matrix: float32, (tokens, dim).
        scales: float32, (tokens,).
    Returns:
        uint8, (tokens, row_bytes(dim)).
    """
    with np.errstate(invalid="ignore"):
        return _packed(np.clip(np.floor(turned(matrix) / (2 * scales[:, None])), -8, 7))


def elements(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The odd numbers that stored bytes stand for: int8, (tokens, 2 * row_bytes), of the turned rows."""
    numbers = np.concatenate([rows & 15, rows >> 4], axis=1).view(np.int8)
    return 2 * numbers - np.int8(LARGEST)


def in_bytes(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same levels in rows of 8 bits, each as 16 n + 8, which stands for 8 (2 n - 15): eight times as much.

    Args:
        rows: uint8, (tokens, row_bytes).
    Returns:
        uint8, (tokens, 2 * row_bytes), of the turned rows.
    """
    return np.concatenate([rows << np.uint8(4), rows & np.uint8(0xF0)], axis=1) | np.uint8(8)


def dequantize(rows: NDArray[np.uint8], scales: NDArray[np.float32], dim: int) -> TokenMatrix:
    """The rows as they are searched, turned back: float32, (tokens, dim)."""
    return turned_back(elements(rows).astype(np.float32) * scales[:, None], dim)


def _packed(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Levels from -8 to 7 as n from 0 to 15, two in a byte."""
    stored = (levels + 8).astype(np.uint8)
    half = stored.shape[1] // 2
    return stored[:, :half] | stored[:, half:] << np.uint8(4)


def _blocks(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The blocks of each row, (B, tokens, width / B): a place of all blocks together, which are added up at once."""
    tokens, numbers = matrix.shape
    size = min(BLOCK, numbers & -numbers)
    return np.ascontiguousarray(matrix.reshape(tokens, size, numbers // size).transpose(1, 0, 2))


def _rows(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows that _blocks made blocks of: (tokens, width)."""
    size, tokens, count = blocks.shape
    return np.ascontiguousarray(blocks.transpose(1, 0, 2)).reshape(tokens, size * count)


@cache
def _signs(size: int) -> NDArray[np.float32]:
    """-1 where the number of a place has an odd number of neighbouring pairs of 1 among its bits, else 1.

    These are the Rudin-Shapiro signs: equal numbers in a block, which the Hadamard matrix alone would put into one
    place, are spread over all places.
    """
    pairs = [(place & place >> 1).bit_count() for place in range(size)]
    return np.array([-1.0 if count % 2 else 1.0 for count in pairs], np.float32)


def _hadamard(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each block times the Hadamard matrix in Sylvester's order, over its length: float32, (B, tokens, blocks)."""
    size, half = len(blocks), 1
    while half < size:
        pairs = blocks.reshape(size // (2 * half), 2, half, *blocks.shape[1:])
        sums = np.empty_like(pairs)
        np.add(pairs[:, 0], pairs[:, 1], out=sums[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=sums[:, 1])
        blocks = sums.reshape(blocks.shape)
        half *= 2
    return blocks * np.float32(size**-0.5)
