"""Queries as the scan reads them: token vectors side by side in the lanes of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrievers.types import TokenMatrix


@dataclass(frozen=True)
class Packed:
    """Queries for one pass.

    Attributes:
        data: (groups, steps, lanes): int8 in fours, or float32.
        excess: int32, (groups * lanes,): minus what the offset of stored rows adds to a product.
        scales: float32, (groups * lanes,); 0 in a lane without a token.
        offsets: int64, (queries + 1,): first lane of each query; a query's lanes lie side by side.
        groups: vectors that the lanes fill.
    """

    data: NDArray[np.int8] | NDArray[np.float32]
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
        words = elements.view(np.int32).reshape(groups, lanes, row_bytes // step)
        data = np.ascontiguousarray(words.transpose(0, 2, 1)).view(np.int8)
        return Packed(data, excess, scales, offsets, groups)
    scales[:count] = 1
    floats = np.zeros((width, row_bytes), np.float32)
    floats[:count, :dim] = tokens
    data32 = np.ascontiguousarray(floats.reshape(groups, lanes, row_bytes).transpose(0, 2, 1))
    return Packed(data32, excess, scales, offsets, groups)
