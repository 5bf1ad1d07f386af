"""Queries as the scan reads them: token vectors side by side in the lanes of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from retrievers.types import TokenMatrix

LINE = 64  # bytes of a cache line


@dataclass(frozen=True)
class Packed:
    """Queries for one pass.

    Attributes:
        data: float32, (groups, steps, lanes); or int8 as `vectors` lays them out.
        excess: int32, (groups * lanes,): minus what the offset of stored rows adds to a product.
        scales: float32, (groups * lanes,); 0 in a lane without a token.
        offsets: int64, (queries + 1,): first lane of each query; a query's lanes lie side by side.
        groups: vectors that the lanes fill.
    """

    data: NDArray[Any]
    excess: NDArray[np.int32]
    scales: NDArray[np.float32]
    offsets: NDArray[np.int64]
    groups: int


def pack(
    queries: Sequence[TokenMatrix], *, row_bytes: int, lanes: int, step: int, limit: int, offset: int
) -> Packed:
    """Lay queries out for the scan.

    Args:
        queries: matrices, float32, (query_tokens_i, dim), dim at most row_bytes.
        row_bytes: bytes of a stored row.
        lanes: query tokens in a vector.
        step: elements of a row that one instruction takes.
        limit: the largest magnitude of a rounded element; 0 keeps float32.
        offset: what stored rows add to an element.
    """
    tokens = queries[0] if len(queries) == 1 else np.concatenate(queries)  # (all query tokens, dim)
    count, dim = tokens.shape
    groups = -(-count // lanes)
    width = groups * lanes
    offsets = np.zeros(len(queries) + 1, np.int64)
    np.cumsum([len(query) for query in queries], out=offsets[1:])
    scales = np.zeros(width, np.float32)
    excess = np.zeros(width, np.int32)
    if limit:
        magnitude = np.maximum(tokens.max(axis=1), -tokens.min(axis=1))
        scales[:count] = np.maximum(magnitude, 1e-12) / limit
        elements = np.zeros((width, row_bytes), np.int8)
        np.rint(tokens / scales[:count, None], out=elements[:count, :dim], casting="unsafe")
        if offset:
            np.multiply(elements.sum(axis=1, dtype=np.int32), -offset, out=excess)
        return Packed(vectors(elements, lanes, step), excess, scales, offsets, groups)
    scales[:count] = 1
    floats = np.zeros((width, row_bytes), np.float32)
    floats[:count, :dim] = tokens
    data = aligned((groups, row_bytes, lanes), np.float32)
    data[:] = floats.reshape(groups, lanes, row_bytes).transpose(0, 2, 1)
    return Packed(data, excess, scales, offsets, groups)


def vectors(elements: NDArray[np.int8], lanes: int, step: int) -> NDArray[Any]:
    """Lay rounded tokens out in vectors of `step` bytes of a token each.

    Args:
        elements: int8, (tokens, row_bytes), tokens a multiple of lanes.
        lanes: int32 of a vector.
        step: bytes of a token that one instruction takes, 4 or 8; 0 fill up the last of them.
    Returns:
        int32 or int64, (vectors, steps, tokens of a vector): the bytes of a step in one number.
    """
    tokens, row_bytes = elements.shape
    if row_bytes % step:
        elements = np.pad(elements, ((0, 0), (0, -row_bytes % step)))
    words = elements.view(f"i{step}")  # (tokens, steps)
    data = aligned((tokens // lanes, words.shape[1], lanes), words.dtype)
    data[:] = words.reshape(-1, lanes, words.shape[1]).transpose(0, 2, 1)
    return data


def aligned(shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
    """An array that begins where a cache line does: a vector that lies across two lines takes two reads."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    space = np.empty(size + LINE, np.uint8)
    first = -space.ctypes.data % LINE
    return space[first : first + size].view(kind).reshape(shape)
