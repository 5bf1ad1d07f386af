"""Rows of 4 bits as the kernels multiply them: each level in a byte of its own.

The rows of a window are unpacked into memory that stays in the first- or second-level cache, once for all tiles of the
queries, and multiplied from there.
"""

from __future__ import annotations

from llvmlite import ir

from retrievers.kernels import nibbles
from retrievers.kernels.ir import I8, constant, i64, load, repeat, store, vector
from retrievers.kernels.rows import ZERO


def unpack(
    b: ir.IRBuilder,
    rows: ir.Value,
    count: ir.Value,
    row_bytes: int,
    place: ir.Value,
    *,
    levels: bool,
) -> None:
    """Write `count` rows, two bytes for each of theirs, from `place` on.

    32 bytes of a row become 64 (avx2)::

        vpand   %ymm1, %ymm0, %ymm2         # the lower halves of the bytes
        vpsrlw  $4, %ymm0, %ymm0            # the upper halves: LLVM has shifts of 16 bits alone
        vpand   %ymm1, %ymm0, %ymm0

    Args:
        rows: address of the first row.
        count: an i64, at least 1.
        row_bytes: bytes of a row.
        place: where room for them is.
        levels: whether n is written for a level n, or 2 n - 15 + 128, which is how a row of 8 bits holds it.
    """
    size = next(size for size in (64, 32, 16, 8, 4) if row_bytes % size == 0)
    octets = vector(I8, size)
    mask, four, one = (constant(I8, value, size) for value in (15, 4, 1))
    zero = constant(I8, ZERO - nibbles.LARGEST, size)

    def written(values: ir.Value, at_place: ir.Value) -> None:
        if not levels:
            values = b.add(b.shl(values, one), zero)
        store(b, values, place, at_place, I8)

    with repeat(b, i64(0), count) as row:
        packed, unpacked = (b.mul(row, i64(width)) for width in (row_bytes, 2 * row_bytes))
        with repeat(b, i64(0), i64(row_bytes), size) as byte:
            first = b.add(packed, byte)
            both = load(b, rows, I8, first, octets)
            written(b.and_(both, mask), b.add(unpacked, byte))
            written(b.lshr(both, four), b.add(b.add(unpacked, byte), i64(row_bytes)))
