"""The processor's limits: how fast it multiplies while nothing is read, and reads while nothing is multiplied."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels import amx
from retrievers.kernels.compile import functions
from retrievers.kernels.ir import (
    I8,
    I64,
    POINTER,
    VOID,
    Variable,
    at,
    constant,
    i64,
    intrinsic,
    load,
    prefetch,
    repeat,
    store,
    vector,
)
from retrievers.kernels.look_ahead import PREFETCH
from retrievers.kernels.products import LINE
from retrievers.kernels.targets import Target

NAME, READING = "peak", "reading"
_SUMS = 12  # multiplications under way at once: two may begin in a cycle, and each takes a few cycles
_UNROLL = 4
_LINES = 16  # cache lines that are read in a trip


def peak(target: Target, threads: int, *, seconds: float = 0.2, repeats: int = 5) -> float:
    """Measure the throughput of a target's multiply instruction, in registers only, on some threads at once.

    Args:
        target: whose instruction.
        threads: that run at once.
        seconds: about how long one measurement takes.
        repeats: measurements, of which the best counts.
    Returns:
        operations a second, a multiplication and an addition being two.
    """
    kernel = functions((NAME,), target, partial(_module, target), [(NAME, 1)])[NAME]
    trips = 1000
    while (taken := _run(kernel, trips, threads)) < seconds / 2:
        trips = int(trips * max(2.0, seconds / max(taken, 1e-4) / 2))
    taken = min(_run(kernel, trips, threads) for _ in range(repeats))
    products = (
        amx.SIDE * amx.SIDE * amx.BYTES if target.matrix_tiles else target.lanes * target.arithmetic.step
    )
    return threads * trips * _UNROLL * _SUMS * products * 2 / taken


def reading(target: Target, rows: NDArray[np.uint8], threads: int) -> float:
    """Measure once how fast some threads read an array together, each a part of it: bytes a second."""
    kernel = functions((READING,), target, _reading, [(READING, 1)])[READING]
    tasks, trips = [], 0
    for part in np.array_split(rows.reshape(-1), threads):
        task = np.zeros(256, np.int64)
        task[:2] = len(part) // (_LINES * LINE), part.ctypes.data
        trips += int(task[0])
        tasks.append(task)
    return trips * _LINES * LINE / _together(kernel, tasks)


def _run(kernel: Callable[[int], None], trips: int, threads: int) -> float:
    tasks = [np.full(256, trips, np.int64) for _ in range(threads)]  # each its own cache lines
    return _together(kernel, tasks)


def _together(kernel: Callable[[int], None], tasks: Sequence[NDArray[np.int64]]) -> float:
    """Seconds of a kernel in as many threads as there are tasks."""
    workers = [Thread(target=kernel, args=(task.ctypes.data,)) for task in tasks]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def _module(target: Target, triple: str) -> ir.Module:
    """peak(task): task[0] is the number of trips; what comes out is written after it, so that it is computed."""
    unit = ir.Module(NAME)
    unit.triple = triple
    function = ir.Function(unit, ir.FunctionType(VOID, [POINTER]), NAME)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    task = function.args[0]
    if target.matrix_tiles:
        _matrices(b, load(b, task, I64))
        return unit
    kind = target.arithmetic.accumulator(target.lanes)
    query, document = (_opaque(b, constant(kind.element, 1, target.lanes)) for _ in range(2))
    sums = [Variable(b, kind) for _ in range(_SUMS)]
    for total in sums:
        total.set(query)
    with repeat(b, i64(0), load(b, task, I64)):
        for _ in range(_UNROLL):
            for total in sums:
                document = _opaque(b, document)
                total.set(target.arithmetic.multiply(b, total.get(), document, query))
    for n, total in enumerate(sums):
        store(b, total.get(), at(b, task, I64, 8), n)
    b.ret_void()
    return unit


def _reading(triple: str) -> ir.Module:
    """reading(task): task[0] trips, from the address task[1] on; what was read is put together and written after it."""
    unit = ir.Module(READING)
    unit.triple = triple
    function = ir.Function(unit, ir.FunctionType(VOID, [POINTER]), READING)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    task = function.args[0]
    place, kind = b.inttoptr(load(b, task, I64, 1), POINTER), vector(I64, LINE // 8)
    sums = [Variable(b, kind) for _ in range(_LINES)]
    for total in sums:
        total.set(constant(I64, 0, LINE // 8))
    with repeat(b, i64(0), load(b, task, I64)) as trip:
        first = at(b, place, kind, b.mul(trip, i64(_LINES)))
        for n, total in enumerate(sums):
            prefetch(b, at(b, first, kind, n + PREFETCH // LINE))
            total.set(b.xor(total.get(), load(b, first, kind, n)))
    for n, total in enumerate(sums):
        store(b, total.get(), at(b, task, I64, 8), n)
    b.ret_void()
    return unit


def _matrices(b: ir.IRBuilder, trips: ir.Value) -> None:
    """The same in matrix registers: sums in 0 to 3, rows and queries where the scan has them."""
    amx.configure(b)
    for number in range(8):
        intrinsic(b, "llvm.x86.tilezero", VOID, ir.Constant(I8, number))
    with repeat(b, i64(0), trips):
        for n in range(_UNROLL * _SUMS):
            numbers = (n % 4, amx.ROWS + n // 2 % 2, amx.QUERY + n % 2)
            intrinsic(b, "llvm.x86.tdpbusd", VOID, *(ir.Constant(I8, number) for number in numbers))
    intrinsic(b, "llvm.x86.tilerelease", VOID)
    b.ret_void()


def _opaque(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same value, but LLVM does not know so: otherwise it would multiply once and add the product many times."""
    register = "x" if b.module.triple.startswith("x86") else "w"
    kind = ir.FunctionType(value.type, [value.type])
    return b.asm(kind, "", f"={register},0", [value], side_effect=True)
