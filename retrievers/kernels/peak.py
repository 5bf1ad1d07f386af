"""The processor's limit: how fast it multiplies when nothing has to be read."""

from __future__ import annotations

import time
from threading import Thread

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from retrievers.kernels.build import Native, link, optimised, target_machine
from retrievers.kernels.emit import I64, POINTER, VOID, Variable, at, i64, load, repeat, splat, store
from retrievers.kernels.paths import Path

_SUMS = 12  # in flight at once: more than an instruction takes cycles on any processor, times two a cycle
_UNROLL = 4


def peak(path: Path, threads: int, *, seconds: float = 0.2, repeats: int = 5) -> float:
    """Measure the throughput of a path's multiply instruction, in registers only, on some threads at once.

    Args:
        path: whose instruction.
        threads: that run at once.
        seconds: about how long one measurement takes.
        repeats: measurements, of which the best counts.
    Returns:
        operations a second, a multiplication and an addition being two.
    """
    kernel = _build(path)
    trips = 1000
    while (taken := _run(kernel, trips, threads)) < seconds / 2:
        trips = int(trips * max(2.0, seconds / max(taken, 1e-4) / 2))
    taken = min(_run(kernel, trips, threads) for _ in range(repeats))
    return threads * trips * _UNROLL * _SUMS * path.lanes * path.arithmetic.step * 2 / taken


def _run(kernel: Native, trips: int, threads: int) -> float:
    tasks = [np.full(256, trips, np.int64) for _ in range(threads)]  # each its own cache lines
    workers = [Thread(target=kernel.call, args=(task.ctypes.data,) * 3) for task in tasks]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def _build(path: Path) -> Native:
    """peak(task, task, task): task[0] trips; what comes out is written behind it, so that it must be made."""
    triple = llvm.get_process_triple()
    unit = ir.Module("peak")
    unit.triple = triple
    function = ir.Function(unit, ir.FunctionType(VOID, [POINTER] * 3), "scan")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    task = function.args[0]
    kind = path.arithmetic.accumulator(path.lanes)
    query, document = load(b, task, kind), load(b, task, kind)
    sums = [Variable(b, kind) for _ in range(_SUMS)]
    for n, total in enumerate(sums):
        total.set(splat(b, load(b, task, kind.element, n), path.lanes))
    with repeat(b, i64(0), load(b, task, I64)):
        for _ in range(_UNROLL):
            for total in sums:
                document = _opaque(b, document, path)
                total.set(path.arithmetic.multiply(b, total.get(), document, query))
    for n, total in enumerate(sums):
        store(b, total.get(), at(b, task, I64, 8), n)
    b.ret_void()
    machine = target_machine(path, triple)
    return link(machine.emit_object(optimised(unit, machine)), machine)


def _opaque(b: ir.IRBuilder, value: ir.Value, path: Path) -> ir.Value:
    """The same value, of which LLVM must not know it: else it multiplies once and adds the product often."""
    register = "x" if path.machine == "x86_64" else "w"
    kind = ir.FunctionType(value.type, [value.type])
    return b.asm(kind, "", f"={register},0", [value], side_effect=True)
