"""Rows against centroids: the nearest centroid of each row, and a query's table of similarities.

All centroids share one scale, so that products with them compare as integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.kernels.centroid_scan import GROUPS, NEAREST, TABLE, WIDTHS, compiled
from retrievers.kernels.pack import pack, vectors
from retrievers.kernels.rows import elements, quantize_together
from retrievers.kernels.targets import Target, chosen_target
from retrievers.types import TokenMatrix

_PADDING = 32  # so that every block of centroids is full


@dataclass(frozen=True)
class Centroids:
    """Centroids as the kernels read them.

    Attributes:
        rows: uint8, (K rounded up, row_bytes): int8 + 128; copies of the first one fill up the last block.
        scale: float: a centroid is (row - 128) * scale.
        count: K.
        longest: the largest length of a centroid.
    """

    rows: NDArray[np.uint8]
    scale: float
    count: int
    longest: float

    @property
    def floats(self) -> NDArray[np.float32]:
        """The rows less the 128, for the arithmetic that has no bytes."""
        # functools.cached_property has a lock in Python 3.11, which a forked child may find taken.
        kept = vars(self)
        if "_floats" not in kept:
            kept["_floats"] = elements(self.rows).astype(np.float32)
        floats: NDArray[np.float32] = kept["_floats"]
        return floats


def prepare(centroids: NDArray[np.float32]) -> Centroids:
    """Round centroids, float32, (K, dim), K at least 1, to 8 bits with one scale for all."""
    count = len(centroids)
    stored, scale = quantize_together(centroids)
    rows = np.empty((-(-count // _PADDING) * _PADDING, stored.shape[1]), np.uint8)
    rows[:count], rows[count:] = stored, stored[0]
    return Centroids(rows, scale, count, float(np.linalg.norm(centroids, axis=1).max()))


def nearest(rows: NDArray[np.uint8], centroids: Centroids) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The centroid with the largest product with each row; the smaller number where two are equal.

    Args:
        rows: uint8, (n, row_bytes).
    Returns:
        int32, (n,): its number.
        float32, (n,): the product in units of the row's scale; comparable between rows of one scale only.
    """
    target = chosen_target()
    arithmetic, lanes = target.arithmetic, target.lanes
    size = GROUPS * lanes
    count, width = rows.shape
    if not count:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    whole = -(-count // size) * size
    signed = np.zeros((whole, width), np.int8)
    signed[:count] = elements(rows)
    halved = 0 < arithmetic.limit < 127
    if halved:  # Avx2 adds pairs of products in 16 bits, which hold no more than half the resolution
        np.rint(signed / 2, out=signed, casting="unsafe")
    if arithmetic.limit:
        packed = vectors(signed, lanes, arithmetic.step)
    else:
        floats = signed.astype(np.float32).reshape(whole // lanes, lanes, width)
        packed = np.ascontiguousarray(floats.transpose(0, 2, 1))
    numbers, products = np.empty(whole, np.int32), np.empty(whole, np.float32)
    task = NEAREST.values(
        rows=packed,
        vectors=whole // lanes,
        centroids=_stored(target, centroids),
        count=len(centroids.rows),
        numbers=numbers,
        products=products,
    )
    compiled(target, width)["nearest"](*task)
    if arithmetic.offset:  # the 128 in a centroid's bytes added this to a product, the same for all centroids
        products -= signed.sum(axis=1, dtype=np.int32) * np.float32(arithmetic.offset)
    products *= centroids.scale * (2 if halved else 1)
    return numbers[:count], products[:count]


def table(query: TokenMatrix, centroids: Centroids, longest: float | None = None) -> NDArray[np.uint8]:
    """Similarities of query tokens and centroids as bytes.

    Args:
        query: float32, (query_tokens, dim), 1 to 32 tokens.
        longest: length of the longest token of the whole query, where this is a part of it: only the bytes of tables
            with the same one may be added up. None takes that of these tokens.
    Returns:
        uint8, (K rounded up, width), width the smallest of WIDTHS that holds the query: 255 is the product of
        the longest query token and the longest centroid, 0 is 0 and less, and columns without a token.
    """
    target = chosen_target()
    arithmetic, lanes = target.arithmetic, target.lanes
    width = next(width for width in WIDTHS if width >= len(query))
    filled = np.zeros((width, query.shape[1]), np.float32)
    filled[: len(query)] = query
    packed = pack(
        [filled],
        row_bytes=centroids.rows.shape[1],
        lanes=lanes,
        step=arithmetic.step,
        limit=arithmetic.limit,
        offset=arithmetic.offset,
    )
    if longest is None:
        longest = float(np.linalg.norm(query, axis=1).max())
    most = max(longest * centroids.longest, 1e-12)
    factors = packed.scales * np.float32(centroids.scale * 255 / most)
    out = np.empty((len(centroids.rows), width), np.uint8)
    task = TABLE.values(
        query=packed.data,
        excess=packed.excess,
        factors=factors,
        centroids=_stored(target, centroids),
        count=len(centroids.rows),
        out=out,
    )
    compiled(target, centroids.rows.shape[1])[f"table{width}"](*task)
    return out


def _stored(target: Target, centroids: Centroids) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Centroids as a target's arithmetic takes them."""
    return centroids.rows if target.arithmetic.limit else centroids.floats
