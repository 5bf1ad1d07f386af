"""Windows as sets of centroid numbers: which different ones each has, and the sums of byte maxima over them.

A query is a table of one row a centroid and one byte a query token. A window's score is the sum over query
tokens of the largest byte among the rows of its codes: one row load and one byte-wise maximum a code. Every
processor has both instructions, so that one generator without special cases serves all.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels.compile import Functions, functions
from retrievers.kernels.ir import (
    I8,
    I16,
    I32,
    I64,
    POINTER,
    VOID,
    Variable,
    at,
    constant,
    i64,
    intrinsic,
    load,
    portions,
    repeat,
    splat,
    store,
    vector,
)
from retrievers.kernels.targets import chosen_target
from retrievers.kernels.threads import cores, share

WIDTHS = (16, 32)  # query tokens of a table: a short query needs half the cache
UNROLL = 8  # codes that one turn of the loop takes
PORTION = 512  # windows that a thread takes at once
MOST_CENTROIDS = 1 << 16


def distinct(
    codes: NDArray[np.uint16], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The different codes of each window, in the order in which they first appear.

    The first one fills a window's codes up to a multiple of UNROLL: maxima do not mind one that stands twice, and
    the scan has no remainders, whose number no processor can guess.

    Args:
        codes: uint16, (tokens,).
        starts, ends: int64, (windows,): token span of each window.
    Returns:
        different: uint16, (sum of counts,), window after window.
        counts: int64, (windows,), multiples of UNROLL.
    """
    codes = np.ascontiguousarray(codes, np.uint16)
    starts, ends = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(ends, np.int64)
    # Room for each window filled up, and once more: what is written may only then turn out not to count.
    different = np.empty(int((ends - starts).sum()) + UNROLL * (len(starts) + 1), np.uint16)
    counts = np.empty(len(starts), np.int64)
    # For each code the last window that had it, so that nothing is cleared between windows.
    seen = np.full(MOST_CENTROIDS, -1, np.int32)
    _functions()["distinct"](*_places(codes, starts, ends), len(starts), *_places(seen, different, counts))
    return different[: int(counts.sum())].copy(), counts


def add_maxima(
    codes: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    positions: NDArray[np.int64],
    table: NDArray[np.uint8],
    totals: NDArray[np.uint32],
) -> None:
    """Add to each total its window's sum of byte maxima, on all cores.

    Args:
        codes: uint16, different codes of all windows, as distinct gives them, each less than len(table).
        offsets: int64, (all windows + 1,): where each window's codes begin.
        positions: int64, (windows,): which windows to score.
        table: uint8, (K, width), width one of WIDTHS; 0 in the columns that are not used.
        totals: uint32, (windows,), changed in place. A window without codes adds 0.
    """
    kernel, counter = _functions()[f"maxima{table.shape[1]}"], np.zeros(1, np.int64)
    arrays = (codes, offsets, positions, table, totals, counter)
    others = min(cores(), -(-len(positions) // (4 * PORTION))) - 1
    share(lambda: kernel(*_places(*arrays), len(positions)), others)


def module(triple: str) -> ir.Module:
    """The functions distinct and maxima16, maxima32 in LLVM IR."""
    unit = ir.Module("codes")
    unit.triple = triple
    _distinct(_begin(unit, "distinct", 7))
    for width in WIDTHS:
        _maxima(_begin(unit, f"maxima{width}", 7), width)
    return unit


def _functions() -> Functions:
    target = chosen_target()
    arguments = [("distinct", 7), *((f"maxima{width}", 7) for width in WIDTHS)]
    return functions(("codes", target.name), target, module, arguments)


def _places(*arrays: NDArray[np.generic]) -> list[int]:
    return [array.ctypes.data for array in arrays]


def _begin(unit: ir.Module, name: str, arguments: int) -> ir.IRBuilder:
    function = ir.Function(unit, ir.FunctionType(VOID, [I64] * arguments), name)
    return ir.IRBuilder(function.append_basic_block("entry"))


def _distinct(b: ir.IRBuilder) -> None:
    values = b.function.args
    codes, starts, ends = (b.inttoptr(value, POINTER) for value in values[:3])
    seen, different, counts = (b.inttoptr(value, POINTER) for value in values[4:])
    behind = Variable(b, I64)
    behind.set(i64(0))
    with repeat(b, i64(0), values[3]) as window:
        before, stamp = behind.get(), b.trunc(window, I32)
        with repeat(b, load(b, starts, I64, window), load(b, ends, I64, window)) as token:
            code = load(b, codes, I16, token)
            place = at(b, seen, I32, b.zext(code, I64))
            new = b.icmp_unsigned("!=", load(b, place, I32), stamp)
            store(b, stamp, place)
            # Written either way: a branch on something so random costs more than the store.
            store(b, code, different, behind.get())
            behind.set(b.add(behind.get(), b.zext(new, I64)))
        first = b.load(at(b, different, I16, before), align=2, typ=I16)
        store(b, splat(b, first, UNROLL), different, behind.get(), unit=I16)
        filled = b.and_(b.add(b.sub(behind.get(), before), i64(UNROLL - 1)), i64(-UNROLL))
        store(b, filled, counts, window)
        behind.set(b.add(before, filled))
    b.ret_void()


def _maxima(b: ir.IRBuilder, width: int) -> None:
    values = b.function.args
    codes, offsets, positions = (b.inttoptr(value, POINTER) for value in values[:3])
    totals, counter = (b.inttoptr(value, POINTER) for value in values[4:6])
    row, wide = vector(I8, width), vector(I16, width)  # 32 * 255 fits in 16 bits
    best = Variable(b, row)

    def table_row(code: ir.Value) -> ir.Value:
        place = b.add(values[3], b.mul(code, i64(width)))
        return b.load(b.inttoptr(place, POINTER), align=1, typ=row)

    def raise_by(rows: list[ir.Value]) -> None:
        while len(rows) > 1:
            rows = [_larger(b, x, y) for x, y in zip(rows[::2], rows[1::2], strict=True)]
        best.set(_larger(b, best.get(), rows[0]))

    with portions(b, counter, i64(PORTION), values[6]) as (first, last), repeat(b, first, last) as number:
        window = load(b, positions, I64, number)
        best.set(constant(I8, 0, width))
        start, end = (load(b, offsets, I64, b.add(window, i64(n))) for n in (0, 1))
        with repeat(b, start, end, UNROLL) as place:
            rows = []
            for four in range(0, UNROLL, 4):  # one load of 64 bits for 4 codes
                packed = b.load(at(b, codes, I16, b.add(place, i64(four))), align=1, typ=I64)
                shifted = [b.lshr(packed, i64(16 * n)) for n in range(4)]
                rows += [table_row(b.and_(code, i64(0xFFFF))) for code in shifted]
            raise_by(rows)
        total = intrinsic(b, f"llvm.vector.reduce.add.v{width}i16", I16, b.zext(best.get(), wide))
        store(b, b.add(load(b, totals, I32, number), b.zext(total, I32)), totals, number)
    b.ret_void()


def _larger(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    return b.select(b.icmp_unsigned(">", x, y), x, y)
