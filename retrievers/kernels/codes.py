"""Windows as sets of centroid numbers: which different ones each has, and the sums of byte maxima over them.

A query is a table with a row for each centroid and a byte for each query token. A window's score is the sum over
query tokens of the largest byte among the rows of its codes: for each code one load of a row and one maximum byte by
byte. Every processor has both instructions, so that one generator without special cases serves all.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels.centroid_scan import WIDTHS
from retrievers.kernels.compile import Functions, functions
from retrievers.kernels.ir import (
    I8,
    I16,
    I32,
    I64,
    POINTER,
    Variable,
    at,
    constant,
    i64,
    intrinsic,
    load,
    portions,
    prefetch,
    repeat,
    splat,
    store,
    vector,
)
from retrievers.kernels.pack import LINE
from retrievers.kernels.targets import chosen_target
from retrievers.kernels.task import Array, Count, Layout
from retrievers.kernels.threads import cores, share

UNROLL = 8  # codes that one trip of the loop takes
PORTION = 512  # windows that a thread takes at once
AHEAD = 8  # windows: so far ahead memory is asked for the codes of one, and twice as far for where they begin
ASKED = 4  # cache lines of a window's codes, of 32 each, that memory is asked for
MOST_CENTROIDS = 1 << 16

DISTINCT = Layout(
    codes=Array("uint16, (tokens,)"),
    starts=Array("int64, (windows,): first token of each window"),
    ends=Array("int64, (windows,): one past the last token of each window"),
    windows=Count("windows to look at"),
    seen=Array("int32, (MOST_CENTROIDS,): for each code the last window that had it; -1 at first"),
    different=Array("uint16: the different codes of all windows"),
    counts=Array("int64, (windows,): how many each window has"),
)
MAXIMA = Layout(
    codes=Array("uint16: the different codes of all windows"),
    offsets=Array("int64, (all windows + 1,): where each window's codes begin"),
    positions=Array("int64, (windows,): which windows to score"),
    table=Array("uint8, (K, width)"),
    totals=Array("uint32, (windows,): what is added to"),
    counter=Array("int64, (1,): windows that are taken already"),
    windows=Count("windows to score"),
)


def distinct(
    codes: NDArray[np.uint16], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The different codes of each window, in the order in which they first appear.

    Copies of the first one fill a window's codes up to a multiple of UNROLL. A maximum does not mind a code that
    stands twice, and the scan needs no loop over remainders, whose number no processor can guess.

    Args:
        codes: uint16, (tokens,).
        starts, ends: int64, (windows,): token span of each window.
    Returns:
        different: uint16, (sum of counts,), window after window.
        counts: int64, (windows,), multiples of UNROLL.
    """
    codes = np.ascontiguousarray(codes, np.uint16)
    starts, ends = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(ends, np.int64)
    # Room for each window's codes filled up, and for UNROLL more: a code is written before it is known to be new.
    different = np.empty(int((ends - starts).sum()) + UNROLL * (len(starts) + 1), np.uint16)
    counts = np.empty(len(starts), np.int64)
    # For each code the last window that had it, so that nothing is cleared between windows.
    seen = np.full(MOST_CENTROIDS, -1, np.int32)
    _functions()["distinct"](
        *DISTINCT.values(
            codes=codes,
            starts=starts,
            ends=ends,
            windows=len(starts),
            seen=seen,
            different=different,
            counts=counts,
        )
    )
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
    task = MAXIMA.values(
        codes=codes,
        offsets=offsets,
        positions=positions,
        table=table,
        totals=totals,
        counter=counter,
        windows=len(positions),
    )
    others = min(cores(), -(-len(positions) // (4 * PORTION))) - 1
    # A task has addresses only: the function below keeps the arrays alive for as long as a helper may run it.
    arrays = (codes, offsets, positions, table, totals, counter)
    share(lambda: (kernel(*task), arrays), others)


def module(triple: str) -> ir.Module:
    """The functions distinct and maxima16, maxima32 in LLVM IR."""
    unit = ir.Module("codes")
    unit.triple = triple
    _distinct(DISTINCT.function(unit, "distinct"))
    for width in WIDTHS:
        _maxima(MAXIMA.function(unit, f"maxima{width}"), width)
    return unit


def _functions() -> Functions:
    target = chosen_target()
    arguments = [("distinct", len(DISTINCT)), *((f"maxima{width}", len(MAXIMA)) for width in WIDTHS)]
    return functions(("codes",), target, module, arguments)


def _distinct(b: ir.IRBuilder) -> None:
    """Write distinct. For each code of a window (avx2)::

    movzwl  (%rdi,%rbx,2), %eax         # the code
    xorl    %r15d, %r15d
    cmpl    %r11d, (%r8,%rax,4)         # was it seen in this window?
    setne   %r15b                       # 1 if not
    movl    %r11d, (%r8,%rax,4)         # now it was
    movw    %ax, (%r9,%rbp,2)           # written in either case
    addq    %rbp, %r15                  # but the next one is written over it unless it was new
    """
    task = DISTINCT.arguments(b)
    different = task["different"]
    end = Variable(b, I64)  # of the different codes so far
    end.set(i64(0))
    with repeat(b, i64(0), task["windows"]) as window:
        before, stamp = end.get(), b.trunc(window, I32)
        first, last = (load(b, task[name], I64, window) for name in ("starts", "ends"))
        with repeat(b, first, last) as token:
            code = load(b, task["codes"], I16, token)
            place = at(b, task["seen"], I32, b.zext(code, I64))
            new = b.icmp_unsigned("!=", load(b, place, I32), stamp)
            store(b, stamp, place)
            # Written whether it is new or not: a branch on something so random costs more than the store.
            store(b, code, different, end.get())
            end.set(b.add(end.get(), b.zext(new, I64)))
        first = b.load(at(b, different, I16, before), align=2, typ=I16)
        store(b, splat(b, first, UNROLL), different, end.get(), unit=I16)
        filled = b.and_(b.add(b.sub(end.get(), before), i64(UNROLL - 1)), i64(-UNROLL))
        store(b, filled, task["counts"], window)
        end.set(b.add(before, filled))
    b.ret_void()


def _maxima(b: ir.IRBuilder, width: int) -> None:
    """Write maxima16 or maxima32. Eight codes of a window take one trip (avx2)::

        movq    (%rdi,%rbx,2), %r12         # four codes at once
        movq    %r12, %rbp
        shrq    $28, %rbp                   # the third, times the 16 bytes of a row of the table
        andl    $1048560, %ebp
        vmovdqu (%rbp,%rcx), %xmm3          # its row
        vpmaxub %xmm3, %xmm2, %xmm2         # the larger byte in each column

    and the bytes of a window are added up without a loop (avx2)::

        vpsadbw %xmm0, %xmm1, %xmm1
        vmovd   %xmm1, %ebx

    Before that, memory is asked for windows that come later: those that lists chose lie far from each other.
    """
    task = MAXIMA.arguments(b)
    row, wide = vector(I8, width), vector(I16, width)  # 32 * 255 fits in 16 bits
    best = Variable(b, row)

    def table_row(code: ir.Value) -> ir.Value:
        # A sum of integers: LLVM folds it into the shift that cuts out the code, but not an index.
        place = b.add(b.ptrtoint(task["table"], I64), b.mul(code, i64(width)))
        return load(b, b.inttoptr(place, POINTER), row)

    def raise_by(rows: list[ir.Value]) -> None:
        while len(rows) > 1:
            rows = [larger(b, x, y) for x, y in zip(rows[::2], rows[1::2], strict=True)]
        best.set(larger(b, best.get(), rows[0]))

    def ask(number: ir.Value) -> None:
        following = []
        for distance in (AHEAD, 2 * AHEAD):
            ahead = b.add(number, i64(distance))
            beyond = b.icmp_signed(">=", ahead, task["windows"])
            place = b.select(beyond, number, ahead)
            following.append(at(b, task["offsets"], I64, load(b, task["positions"], I64, place)))
        prefetch(b, following[1])
        codes = at(b, task["codes"], I16, b.load(following[0], align=8, typ=I64))
        for line in range(ASKED):
            prefetch(b, at(b, codes, I8, line * LINE))

    parts = portions(b, task["counter"], i64(PORTION), task["windows"])
    with parts as (first, last), repeat(b, first, last) as number:
        ask(number)
        window = load(b, task["positions"], I64, number)
        best.set(constant(I8, 0, width))
        start, end = (load(b, task["offsets"], I64, b.add(window, i64(n))) for n in (0, 1))
        with repeat(b, start, end, UNROLL) as place:
            rows = []
            for four in range(0, UNROLL, 4):  # one load of 64 bits for 4 codes
                packed = load(b, task["codes"], I16, b.add(place, i64(four)), I64)
                shifted = [b.lshr(packed, i64(16 * n)) for n in range(4)]
                rows += [table_row(b.and_(code, i64(0xFFFF))) for code in shifted]
            raise_by(rows)
        total = intrinsic(b, f"llvm.vector.reduce.add.v{width}i16", I16, b.zext(best.get(), wide))
        total = b.add(load(b, task["totals"], I32, number), b.zext(total, I32))
        store(b, total, task["totals"], number)
    b.ret_void()


def larger(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The larger byte in each lane (avx2)::

    vpmaxub %xmm3, %xmm2, %xmm2
    """
    return b.select(b.icmp_unsigned(">", x, y), x, y)
