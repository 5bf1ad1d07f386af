"""The stored form of a token's vector, a row of bytes and one scale: 8 bits a number, int8 + 128, or 4 bits.

Rows of 4 bits are those of retrievers.kernels.nibbles. `bits` says which of the two an array of rows has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels import nibbles
from retrievers.types import QuantizedMatrix, TokenMatrix

ZERO = 128  # the byte that stands for 0: processors multiply unsigned bytes by signed ones, so int8 is stored + 128
LARGEST = 127  # magnitude of an element, so that a stored byte is never 0
BITS = (8, nibbles.BITS)  # that a number of a row may have
WORD = 4  # bytes that one multiply instruction takes: rows have a multiple of it
MOST = 1e12  # magnitude of an element that is taken: products of two, summed over any matrix, stay finite
LEAST = 1e-12  # the magnitude that a row of zeros is taken to have, so that no scale is 0


@dataclass(frozen=True, slots=True)
class RowForm:
    """What the rows of one array have in common.

    Attributes:
        dim: numbers of a row.
        bits: of a number, 8 or 4.
    """

    dim: int
    bits: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return row_bytes(self.dim, self.bits)


def form() -> tuple[int, int, int]:
    """What compiled code takes for granted about stored rows: part of the key under which it is kept."""
    return ZERO, LARGEST, WORD


def row_bytes(dim: int, bits: int = 8) -> int:
    """Bytes of a row: those of dim numbers, rounded up to a multiple of WORD."""
    return nibbles.row_bytes(dim) if bits == nibbles.BITS else -(-dim // WORD) * WORD


def quantize(matrix: TokenMatrix, bits: int = 8) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round each row to 8 or 4 bits with a scale of its own.

    Args:
        matrix: float32, (tokens, dim).
        bits: of a number; what follows is the form of 8 bits, nibbles.quantize describes that of 4.
    Returns:
        rows: uint8, (tokens, row_bytes(dim)): round(x / scale) + 128; padding bytes are 128.
        scales: float32, (tokens,): largest magnitude of the row / 127.
    """
    if bits == nibbles.BITS:
        return nibbles.quantize(matrix)
    scales = (np.abs(matrix).max(axis=1, initial=LEAST) / LARGEST).astype(np.float32)
    return _rounded(matrix, scales[:, None]), scales


def stored_form(
    matrix: TokenMatrix | QuantizedMatrix, bits: int = 8
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales of a matrix, as quantize gives them; one that is stored so already stays byte for byte."""
    if isinstance(matrix, QuantizedMatrix):
        return matrix.rows, matrix.scales
    return quantize(matrix, bits)


def in_8_bits(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales as rows of 8 bits, without loss, for arithmetic that has no other.

    Those of 8 bits stay as they are; those of 4 bits are turned, and so must be what they are multiplied by.
    """
    return (rows, scales) if bits == 8 else (nibbles.in_bytes(rows), scales / np.float32(8))


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


def possible(rows: NDArray[np.uint8], scales: NDArray[np.float32], bits: int = 8) -> bool:
    """Whether quantize can have given these rows and scales. Of 4 bits, every byte is possible."""
    sound = bits == nibbles.BITS or bool(rows.all())
    return bool(sound and (scales > 0).all() and (scales <= largest_scale(bits)).all())


def largest_scale(bits: int = 8) -> float:
    """A bound on the scales that quantize gives."""
    # A number of a turned row is at most sqrt(BLOCK) times as large as the largest of the row, and the scale that fits
    # levels of magnitude 1 and more best is not larger than the largest number.
    return MOST * nibbles.BLOCK**0.5 * 1.0001 if bits == nibbles.BITS else MOST / LARGEST * 1.0001


def elements(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The signed numbers that stored bytes stand for: int8, of the same shape."""
    return (rows ^ np.uint8(ZERO)).view(np.int8)  # 128 less is the highest bit turned over


def dequantize(rows: NDArray[np.uint8], scales: NDArray[np.float32], dim: int, bits: int = 8) -> TokenMatrix:
    """The rows as they are searched: float32, (tokens, dim); of 8 bits, within half a scale of the original."""
    if bits == nibbles.BITS:
        return nibbles.dequantize(rows, scales, dim)
    return (rows[:, :dim].astype(np.float32) - ZERO) * scales[:, None]


def sums(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    dim: int,
    bits: int = 8,
) -> TokenMatrix:
    """The sum of the rows of each window, as they are searched: float32, (windows, dim); 0 where there are none.

    One window at a time becomes numbers of 32 bits. Of 4 bits the sum is turned back, not the rows: turning is linear.

    Args:
        rows: uint8, (tokens, row_bytes(dim, bits)).
        scales: float32, (tokens,).
        starts, ends: int64, (windows,): row spans.
    """
    narrow = bits == nibbles.BITS
    levels = nibbles.elements if narrow else elements
    made = np.zeros((len(starts), nibbles.width(dim) if narrow else rows.shape[1]), np.float32)
    for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        made[place] = scales[start:end] @ levels(rows[start:end]).astype(np.float32)
    return nibbles.turned_back(made, dim) if narrow else made[:, :dim]


def _rounded(matrix: TokenMatrix, scales: NDArray[np.float32] | float) -> NDArray[np.uint8]:
    tokens, dim = matrix.shape
    rows = np.full((tokens, row_bytes(dim)), ZERO, np.uint8)
    rows[:, :dim] = np.rint(matrix / scales) + ZERO
    return rows
