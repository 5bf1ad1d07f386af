"""MaxSim on a GPU in one pass over stored rows: a kernel for Triton, which comes with torch's CUDA builds.

A program scores one window for one query. Rows go by in blocks, their products with the query stay in registers, and
what is written is one number: with torch's own operations each product would go through memory three times.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

LEAST = 32  # bytes that a row on the device is a multiple of: the least that a product of bytes takes at once
CHUNKS = (128, 64, 32)  # bytes of a row that are multiplied at once
TOKENS = (16, 128)  # of a query that are multiplied at once: at least, and at most


def maxsim(
    rows: torch.Tensor,
    scales: torch.Tensor,
    starts: torch.Tensor,
    ends: torch.Tensor,
    queries: torch.Tensor,
    query_scales: torch.Tensor,
    owners: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scores of windows and queries, on the device that has them.

    Args:
        rows: (tokens, width), width a multiple of LEAST: int8, the elements; or uint8, two elements of 4 bits in a
            byte, as retrievers.kernels.nibbles packs them.
        scales: float32, (tokens,).
        starts, ends: int64, (windows,): the rows of each window.
        queries: int8 or float32, (queries, query_tokens, elements of a row): query_tokens a multiple of TOKENS[1], or a
            power of two between the TOKENS. The elements of the lower halves of bytes come before those of the upper.
        query_scales: float32, (queries, query_tokens); 0 marks a row that is none.
        owners: int64, (windows,): the query that each window is scored for; None for all of them.
    Returns:
        float32, (queries, windows), or (windows,) where owners are given; -inf for a window without rows.
    """
    (count, tokens, _), width = queries.shape, rows.shape[1]
    windows = len(starts)
    out = torch.empty((count, windows) if owners is None else (windows,), device=rows.device)
    if not out.numel():
        return out
    at_once = min(tokens, TOKENS[1])
    asked = count if owners is None else 1  # a grid is long in its first direction alone
    _scan[(asked * windows,)](
        rows,
        scales,
        starts,
        ends,
        queries,
        query_scales,
        starts if owners is None else owners,
        out,
        windows,
        asked,
        tokens,
        PAIRS=owners is not None,
        EXACT=queries.dtype == torch.float32,
        PACKED=rows.dtype == torch.uint8,
        WIDTH=width,
        CHUNK=next(size for size in CHUNKS if width % size == 0),
        ROWS=64 if at_once <= 32 else 32,
        AT_ONCE=at_once,
    )
    return out


@triton.jit
def _add(products, left, right, EXACT: tl.constexpr):
    if EXACT:
        return tl.dot(left.to(tl.float32), tl.load(right), products, input_precision="ieee")
    else:
        return tl.dot(left.to(tl.int8), tl.load(right), products, out_dtype=tl.int32)


@triton.jit
def _scan(
    rows,
    scales,
    starts,
    ends,
    queries,
    query_scales,
    owners,
    out,
    windows,
    asked,
    tokens,
    PAIRS: tl.constexpr,
    EXACT: tl.constexpr,
    PACKED: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    ROWS: tl.constexpr,
    AT_ONCE: tl.constexpr,
):
    window = (tl.program_id(0) // asked).to(tl.int64)
    query = (tl.program_id(0) % asked).to(tl.int64)
    place = query * windows + window
    start = tl.load(starts + window)
    end = tl.load(ends + window)
    if PAIRS:
        query = tl.load(owners + window)
    row, element = tl.arange(0, ROWS), tl.arange(0, CHUNK)
    score = 0.0
    for first in range(0, tokens, AT_ONCE):
        token = query * tokens + first + tl.arange(0, AT_ONCE)
        best = tl.full((AT_ONCE,), float("-inf"), tl.float32)
        for begin in range(start, end, ROWS):
            here = begin + row
            there = here < end
            products = tl.zeros((ROWS, AT_ONCE), tl.float32 if EXACT else tl.int32)
            for part in tl.static_range(0, WIDTH, CHUNK):
                left = tl.load(
                    rows + here[:, None] * WIDTH + (part + element)[None, :], mask=there[:, None], other=0
                )
                if PACKED:
                    lower = queries + token[None, :] * (2 * WIDTH) + (part + element)[:, None]
                    products = _add(products, (left & 15).to(tl.int8) * 2 - 15, lower, EXACT)
                    products = _add(products, (left >> 4).to(tl.int8) * 2 - 15, lower + WIDTH, EXACT)
                else:
                    right = queries + token[None, :] * WIDTH + (part + element)[:, None]
                    products = _add(products, left, right, EXACT)
            scaled = products.to(tl.float32) * tl.load(scales + here, mask=there, other=0.0)[:, None]
            best = tl.maximum(best, tl.max(tl.where(there[:, None], scaled, float("-inf")), 0))
        scale = tl.load(query_scales + token)
        score += tl.sum(tl.where(scale > 0, best * scale, 0.0), 0)
    tl.store(out + place, score)
