"""Lists of windows by centroid: made from the windows' codes, and walked for the centroids near a query alone.

The scan of codes.py looks at every window. This one looks at the lists of the centroids that are near some token of
the query: a window in none of them has no token near the query. Windows stand in blocks, so that one fits a list's
entry in 16 bits, and so that what a thread adds to lies in the cache that is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels.centroid_scan import WIDTHS
from retrievers.kernels.codes import larger
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
    store,
    vector,
)
from retrievers.kernels.targets import chosen_target
from retrievers.kernels.task import Array, Count, Layout
from retrievers.kernels.threads import cores, share

BLOCK = 1 << 14  # windows: the bytes of a thread's block, 16 or 32 for each, stay in its second-level cache
UNROLL = 4  # windows that one trip of the loop takes
AHEAD = 4  # lists: so far ahead memory is asked for the first windows of one

INVERT = Layout(
    codes=Array("uint16: the different codes of all windows"),
    offsets=Array("int64, (windows + 1,): where the codes of each window of the block begin"),
    windows=Count("windows of the block"),
    counts=Array("int64, (K,): zeros"),
    centroids=Count("K"),
    ends=Array("uint32, (K + 1,): where each list begins, and the last one ends"),
    members=Array("uint16: the lists"),
)
WEIGH = Layout(
    table=Array("uint8, (K, width)"),
    weights=Array("uint32, (K,)"),
    centroids=Count("K"),
    width=Count("columns of the table"),
    sums=Array("uint32, (width, 256): what is added to"),
)
WALK = Layout(
    members=Array("uint64, (blocks,): address of each block's lists"),
    ends=Array("uint64, (blocks,): address of where they begin"),
    numbers=Array("int64, (near + AHEAD,): the centroids whose lists are walked, and any others"),
    rows=Array("uint8, (near, width): their rows of the table"),
    near=Count("centroids whose lists are walked"),
    best=Array("uint8, (threads, BLOCK, width): zeros, and zeros again at the end"),
    totals=Array("uint32, (windows,): what is added to"),
    counters=Array("int64, (2,): blocks that are taken already; threads that have begun"),
    blocks=Count("blocks to walk"),
    windows=Count("windows of all blocks"),
)


@dataclass(frozen=True)
class Lists:
    """The windows of one block by centroid.

    Attributes:
        members: uint16, list after list, each ascending: places of windows in the block. Copies of its last one fill a
            list up to a multiple of UNROLL.
        ends: uint32, (K + 1,): where each list begins, and the last one ends.
    """

    members: NDArray[np.uint16]
    ends: NDArray[np.uint32]


def invert(codes: NDArray[np.uint16], offsets: NDArray[np.int64], centroids: int) -> Lists:
    """The lists of one block of windows.

    Args:
        codes: uint16, different codes of all windows, as codes.distinct gives them, each less than `centroids`.
        offsets: int64, (windows + 1,): where the codes of each window of the block begin; BLOCK windows at most.
        centroids: K.
    """
    codes, offsets = np.ascontiguousarray(codes, np.uint16), np.ascontiguousarray(offsets, np.int64)
    room = int(offsets[-1] - offsets[0]) + UNROLL * centroids
    members, ends = np.empty(room, np.uint16), np.empty(centroids + 1, np.uint32)
    counts = np.zeros(centroids, np.int64)
    _functions()["invert"](
        *INVERT.values(
            codes=codes,
            offsets=offsets,
            windows=len(offsets) - 1,
            counts=counts,
            centroids=centroids,
            ends=ends,
            members=members,
        )
    )
    return Lists(members[: int(ends[-1])].copy(), ends)


def weigh(table: NDArray[np.uint8], weights: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """How much weight each byte has in each column of a table.

    Args:
        table: uint8, (at least K, width).
        weights: uint32, (K,).
    Returns:
        uint32, (width, 256): the sum of the weights of the rows that have that byte in that column.
    """
    table, weights = np.ascontiguousarray(table), np.ascontiguousarray(weights, np.uint32)
    sums = np.zeros((table.shape[1], 256), np.uint32)
    task = WEIGH.values(table=table, weights=weights, centroids=len(weights), width=table.shape[1], sums=sums)
    _functions()["weigh"](*task)
    return sums


def walk(
    blocks: Sequence[Lists],
    numbers: NDArray[np.int64],
    rows: NDArray[np.uint8],
    totals: NDArray[np.uint32],
) -> None:
    """Add to each total the sum of its window's byte maxima over some centroids, on all cores.

    Args:
        blocks: of BLOCK windows each, the last of those that are left.
        numbers: int64, (near,): the centroids; each less than K.
        rows: uint8, (near, width): their rows of the query's table, width one of WIDTHS.
        totals: uint32, (windows,), changed in place. A window in none of the lists adds 0.
    """
    kernel, width = _functions()[f"walk{rows.shape[1]}"], rows.shape[1]
    threads = min(cores(), len(blocks))
    ahead = np.zeros(len(numbers) + AHEAD, np.int64)
    ahead[: len(numbers)] = numbers
    arrays = (
        np.array([block.members.ctypes.data for block in blocks], np.uint64),
        np.array([block.ends.ctypes.data for block in blocks], np.uint64),
        ahead,
        np.ascontiguousarray(rows),
        np.zeros((threads, BLOCK, width), np.uint8),
        totals,
        np.zeros(2, np.int64),
    )
    members, ends, ahead, rows, best, totals, counters = arrays
    task = WALK.values(
        members=members,
        ends=ends,
        numbers=ahead,
        rows=rows,
        near=len(numbers),
        best=best,
        totals=totals,
        counters=counters,
        blocks=len(blocks),
        windows=len(totals),
    )
    # A task has addresses only: the function below keeps the arrays alive for as long as a helper may run it.
    share(lambda: (kernel(*task), arrays, blocks), threads - 1)


def module(triple: str) -> ir.Module:
    """The functions invert, weigh, walk16 and walk32 in LLVM IR."""
    unit = ir.Module("lists")
    unit.triple = triple
    _invert(INVERT.function(unit, "invert"))
    _weigh(WEIGH.function(unit, "weigh"))
    for width in WIDTHS:
        _walk(WALK.function(unit, f"walk{width}"), width)
    return unit


def _functions() -> Functions:
    arguments = [("invert", len(INVERT)), ("weigh", len(WEIGH))]
    arguments += [(f"walk{width}", len(WALK)) for width in WIDTHS]
    return functions(("lists",), chosen_target(), module, arguments)


def _invert(b: ir.IRBuilder) -> None:
    """Write invert: the lengths of the lists, where each begins, and then the windows into them. For each code (avx2)::

    movw    %r10w, (%r12)               # the window, behind those that its list has
    xorb    $1, %bl                     # 1, but 0 for a copy
    movzbl  %bl, %ebx
    addq    %r15, %rbx
    movq    %rbx, (%rcx,%r8,8)          # where the next one of the list goes
    """
    task = INVERT.arguments(b)
    counts, ends, members = task["counts"], task["ends"], task["members"]

    def every_code(use: Callable[[ir.Value, ir.Value, ir.Value], None]) -> None:
        with repeat(b, i64(0), task["windows"]) as window:
            begin, stop = (load(b, task["offsets"], I64, b.add(window, i64(n))) for n in (0, 1))
            with repeat(b, begin, stop) as place:
                code = load(b, task["codes"], I16, place)
                # Copies of a window's first code fill its codes up.
                again = b.icmp_unsigned("==", code, load(b, task["codes"], I16, begin))
                copy = b.and_(again, b.icmp_signed(">", place, begin))
                use(window, at(b, counts, I64, b.zext(code, I64)), b.zext(copy, I64))

    def count(window: ir.Value, cell: ir.Value, copy: ir.Value) -> None:
        store(b, b.add(load(b, cell, I64), b.sub(i64(1), copy)), cell)

    def enter(window: ir.Value, cell: ir.Value, copy: ir.Value) -> None:
        place = load(b, cell, I64)  # a copy is written once more where it stands
        store(b, b.trunc(window, I16), members, b.sub(place, copy))
        store(b, b.add(place, b.sub(i64(1), copy)), cell)

    every_code(count)
    end = Variable(b, I64)
    end.set(i64(0))
    with repeat(b, i64(0), task["centroids"]) as number:
        length = load(b, counts, I64, number)
        store(b, b.trunc(end.get(), I32), ends, number)
        store(b, end.get(), counts, number)
        end.set(b.add(end.get(), b.and_(b.add(length, i64(UNROLL - 1)), i64(-UNROLL))))
    store(b, b.trunc(end.get(), I32), ends, task["centroids"])
    every_code(enter)
    with repeat(b, i64(0), task["centroids"]) as number:
        filled = load(b, counts, I64, number)
        stop = b.zext(load(b, ends, I32, b.add(number, i64(1))), I64)
        with repeat(b, filled, stop) as place:
            store(b, load(b, members, I16, b.sub(filled, i64(1))), members, place)
    b.ret_void()


def _weigh(b: ir.IRBuilder) -> None:
    """Write weigh: a sum of its own for each column and byte (avx2)::

    movzbl  (%r10,%r14), %r12d          # the byte
    addl    %ebp, 1024(%r15,%r12,4)     # its weight is added to the sum of that byte
    """
    task = WEIGH.arguments(b)
    with repeat(b, i64(0), task["centroids"]) as number:
        weight = load(b, task["weights"], I32, number)
        row = b.mul(number, task["width"])
        with repeat(b, i64(0), task["width"]) as column:
            byte = load(b, task["table"], I8, b.add(row, column))
            cell = b.add(b.mul(column, i64(256)), b.zext(byte, I64))
            store(b, b.add(load(b, task["sums"], I32, cell), weight), task["sums"], cell)
    b.ret_void()


def _walk(b: ir.IRBuilder, width: int) -> None:
    """Write walk16 or walk32. Four windows of a list take one trip (avx2)::

        movq    (%r12,%r9,2), %rbx          # four windows at once
        movq    %rbx, %rax
        shrq    $28, %rax                   # the third, times the 16 bytes that each has
        andl    $1048560, %eax
        vpmaxub (%rax,%r11), %xmm1, %xmm2   # the larger byte in each column
        vmovdqu %xmm2, (%rax,%r11)

    and then the bytes of each window of the block are added up, and cleared for the next block (avx2)::

        vpsadbw (%rbx), %xmm0, %xmm1
        vmovdqu %xmm0, (%rbx)
        vpextrw $0, %xmm1, %ebp
        addl    %ebp, -4(%r15,%r9,4)
    """
    task = WALK.arguments(b)
    row_type, wide = vector(I8, width), vector(I16, width)  # 32 * 255 fits in 16 bits
    one = b.atomic_rmw("add", at(b, task["counters"], I64, 1), i64(1), "monotonic")
    best = b.ptrtoint(at(b, task["best"], I8, b.mul(one, i64(BLOCK * width))), I64)

    def row_of(window: ir.Value) -> ir.Value:
        # A sum of integers: LLVM folds it into the shift that cuts out the window, but not an index.
        return b.inttoptr(b.add(best, b.mul(window, i64(width))), POINTER)

    with portions(b, task["counters"], i64(1), task["blocks"]) as (block, _):
        members, ends = (b.inttoptr(load(b, task[name], I64, block), POINTER) for name in ("members", "ends"))

        def bounds(number: ir.Value) -> list[ir.Value]:
            return [b.zext(load(b, ends, I32, b.add(number, i64(n))), I64) for n in (0, 1)]

        with repeat(b, i64(0), task["near"]) as near:
            ahead = load(b, task["numbers"], I64, b.add(near, i64(AHEAD)))
            prefetch(b, at(b, members, I16, bounds(ahead)[0]))
            row = load(b, task["rows"], row_type, near, row_type)
            start, end = bounds(load(b, task["numbers"], I64, near))
            with repeat(b, start, end, UNROLL) as place:
                packed = load(b, members, I16, place, I64)
                for n in range(UNROLL):
                    window = b.and_(b.lshr(packed, i64(16 * n)), i64(0xFFFF))
                    store(b, larger(b, load(b, row_of(window), row_type), row), row_of(window))
        first = b.mul(block, i64(BLOCK))
        left = b.sub(task["windows"], first)
        count = b.select(b.icmp_signed("<", left, i64(BLOCK)), left, i64(BLOCK))
        with repeat(b, i64(0), count) as window:
            row = load(b, row_of(window), row_type)
            store(b, constant(I8, 0, width), row_of(window))
            total = intrinsic(b, f"llvm.vector.reduce.add.v{width}i16", I16, b.zext(row, wide))
            place = at(b, task["totals"], I32, b.add(first, window))
            store(b, b.add(load(b, place, I32), b.zext(total, I32)), place)
    b.ret_void()
