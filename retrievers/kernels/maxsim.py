"""MaxSim through the native scan: arrays in, scores out, on all cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import ShapeError
from retrievers.kernels import nibbles
from retrievers.kernels.narrow import of_nibbles
from retrievers.kernels.pack import Packed, aligned, pack
from retrievers.kernels.rows import WORD, row_bytes
from retrievers.kernels.scan import TASK, compiled, scratch_floats
from retrievers.kernels.targets import Target
from retrievers.kernels.threads import helpers, share
from retrievers.types import TokenMatrix

PORTIONS = (
    16  # chunks for each thread, so that all end at nearly the same time although windows differ in length
)


def maxsim(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
    target: Target,
    bits: int = 8,
) -> NDArray[np.float32]:
    """Score windows against queries in one pass over the rows, which are not copied.

    A score depends on its window and query alone, not on what else is in the pass.

    Args:
        rows: uint8, (tokens, row_bytes), see retrievers.kernels.rows.
        scales: float32, (tokens,).
        starts: int64, (windows,): first token of each window.
        ends: int64, (windows,): one past the last token of each window.
        queries: matrices, float32, (query_tokens_i, dim).
        target: the kind of processor whose kernel runs; one with integer arithmetic rounds the queries too.
        bits: of a stored number, 8 or 4.
    Returns:
        float32, (len(queries), windows). -inf for a window without tokens, 0 for a query without tokens.
    Raises:
        ShapeError: an array has another shape or layout, or a window reaches beyond the rows.
    """
    _check(rows, scales, starts, ends, queries, bits)
    if bits == nibbles.BITS:
        queries = _turned(queries)
    scores = np.empty((len(queries), len(starts)), np.float32)
    if scores.size:
        _Scan(rows, scales, starts, ends, queries, target, scores, bits).run()
    return scores


def _turned(queries: Sequence[TokenMatrix]) -> list[TokenMatrix]:
    """Queries as rows of 4 bits are multiplied by them: turned together, which takes little longer than one."""
    if len(queries) < 2:
        return [nibbles.turned(query) for query in queries]
    ends = np.cumsum([len(query) for query in queries])
    return np.split(nibbles.turned(np.concatenate(queries)), ends[:-1])


class _Scan:
    """One pass. It holds every array that the native code reads or writes for as long as a thread runs it."""

    def __init__(
        self,
        rows: NDArray[np.uint8],
        scales: NDArray[np.float32],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        queries: Sequence[TokenMatrix],
        target: Target,
        scores: NDArray[np.float32],
        bits: int,
    ) -> None:
        stored = rows.shape[1]
        arithmetic = of_nibbles(target.arithmetic) if bits == nibbles.BITS else target.arithmetic
        row_bytes = stored * 8 // bits
        self.packed = packed = pack(
            queries,
            row_bytes=row_bytes,
            lanes=target.lanes,
            step=arithmetic.step,
            limit=arithmetic.limit,
            offset=arithmetic.offset,
        )
        self.helpers, chunk = _split(starts, ends, packed, row_bytes * target.lanes)
        self.call = compiled(target, stored, bits)
        longest = int((ends - starts).max(initial=0))
        self.floats = scratch_floats(target, stored, packed.groups, bits, longest)
        self.arrays = (rows, scales, starts, ends, scores)
        task = TASK.values(
            rows=rows,
            scales=scales,
            starts=starts,
            ends=ends,
            windows=len(starts),
            chunk=chunk,
            query=packed.data,
            excess=packed.excess,
            query_scales=packed.scales,
            groups=packed.groups,
            offsets=packed.offsets,
            queries=len(queries),
            out=scores,
        )
        self.task = np.array(task, np.int64)
        self.counter = np.zeros(1, np.int64)

    def run(self) -> None:
        share(self._work, self.helpers)

    def _work(self) -> None:
        scratch = aligned((self.floats,), np.float32)
        self.call(self.task.ctypes.data, self.counter.ctypes.data, scratch.ctypes.data)


def _split(
    starts: NDArray[np.int64], ends: NDArray[np.int64], packed: Packed, products: int
) -> tuple[int, int]:
    """Threads that help, and windows in a chunk; `products` are the multiplications for one token and group."""
    work = int(ends.sum() - starts.sum()) * packed.groups * products
    others = helpers(work)
    return others, max(1, len(starts) // ((1 + others) * PORTIONS))


def _check(
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    queries: Sequence[TokenMatrix],
    bits: int = 8,
) -> None:
    """Native code trusts its task, so nothing wrong may reach it."""
    for name, array, kind in (
        ("rows", rows, np.uint8),
        ("scales", scales, np.float32),
        ("starts", starts, np.int64),
        ("ends", ends, np.int64),
    ):
        dimensions = 2 if name == "rows" else 1
        if array.dtype != kind or array.ndim != dimensions or not array.flags.c_contiguous:
            raise ShapeError(
                f"{name} is {array.dtype} {array.shape}: a contiguous array of {np.dtype(kind)} with "
                f"{dimensions} dimension(s) is needed."
            )
    if len(scales) != len(rows) or len(starts) != len(ends) or rows.shape[1] % WORD:
        raise ShapeError(
            f"rows {rows.shape}, scales {scales.shape}, starts {starts.shape} and ends {ends.shape} do not "
            f"fit together: one scale a row, one end a start, and rows of a multiple of {WORD} bytes are needed."
        )
    if len(starts) and (starts.min() < 0 or ends.max() > len(rows)):
        raise ShapeError(
            f"windows reach from {starts.min()} to {ends.max()}: tokens 0 to {len(rows)} are stored."
        )
    for query in queries:
        if query.ndim != 2 or row_bytes(query.shape[1], bits) != rows.shape[1]:
            numbers, unit = rows.shape[1] * 8 // bits, WORD * 8 // bits
            raise ShapeError(
                f"a query has the shape {query.shape}: the rows have {rows.shape[1]} bytes, so (tokens, dim) "
                f"with dim {numbers - unit + 1} to {numbers} is needed."
            )
