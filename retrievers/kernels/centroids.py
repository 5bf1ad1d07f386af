"""Rows against centroids: the nearest centroid of each row, and a query's table of similarities.

Both use the multiply of the exact scan. For `nearest`, rows take the place of query tokens: a group of them
stays in the lanes while all centroids go by, and each lane keeps the largest product and whose it was. All
centroids share one scale, so that products compare as integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels import amx
from retrievers.kernels.arithmetic import Arithmetic
from retrievers.kernels.compile import Functions, functions
from retrievers.kernels.ir import (
    F32,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Variable,
    at,
    constant,
    i64,
    load,
    repeat,
    splat,
    store,
    vector,
)
from retrievers.kernels.pack import pack
from retrievers.kernels.rows import ZERO, row_bytes
from retrievers.kernels.targets import Target, chosen_target
from retrievers.types import TokenMatrix

WIDTHS = (16, 32)
GROUPS = 4  # vectors of rows that nearest keeps beside each other
_ROWS = {16: 4, 8: 2, 4: 4}  # centroids in a block, by lanes: with GROUPS, as many sums as registers hold
_TABLE_ROWS = {1: 8, 2: 4, 4: 2}  # the same for table, by vectors of query tokens: 8 sums in flight
_PADDING = 32  # every block of centroids is full
_LEAST = -(1 << 31)


@dataclass(frozen=True)
class Centroids:
    """Centroids as the kernels read them.

    Attributes:
        rows: uint8, (K rounded up, row_bytes): int8 + 128; the first one again fills up the last block.
        scale: float: a centroid is (row - 128) * scale.
        count: K.
        longest: the largest length of a centroid.
    """

    rows: NDArray[np.uint8]
    scale: float
    count: int
    longest: float

    @cached_property
    def floats(self) -> NDArray[np.float32]:
        """The rows less the 128, for the arithmetic that has no bytes."""
        return self.rows.astype(np.float32) - ZERO


def prepare(centroids: NDArray[np.float32]) -> Centroids:
    """Round centroids, float32, (K, dim), K at least 1, to 8 bits with one scale for all."""
    count, dim = centroids.shape
    scale = max(float(np.abs(centroids).max()), 1e-12) / 127
    rows = np.full((-(-count // _PADDING) * _PADDING, row_bytes(dim)), ZERO, np.uint8)
    rows[:count, :dim] = np.rint(centroids / scale) + ZERO
    rows[count:] = rows[0]
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
    elements = np.zeros((whole, width), np.int8)
    elements[:count] = (rows ^ np.uint8(ZERO)).view(np.int8)
    halved = 0 < arithmetic.limit < 127
    if halved:  # what Avx2 can add without saturation: half the resolution
        np.rint(elements / 2, out=elements, casting="unsafe")
    units = elements.astype(np.float32) if arithmetic.limit == 0 else elements.view(np.int32)
    packed = np.ascontiguousarray(units.reshape(whole // lanes, lanes, -1).transpose(0, 2, 1))
    numbers, products = np.empty(whole, np.int32), np.empty(whole, np.float32)
    _functions(target, width)["nearest"](
        _place(packed), whole // lanes, _place(_stored(target, centroids)), len(centroids.rows),
        _place(numbers), _place(products),
    )  # fmt: skip
    if arithmetic.offset:  # what the 128 of a centroid's bytes added, the same for all centroids
        products -= elements.sum(axis=1, dtype=np.int32) * np.float32(arithmetic.offset)
    products *= centroids.scale * (2 if halved else 1)
    return numbers[:count], products[:count]


def table(query: TokenMatrix, centroids: Centroids) -> NDArray[np.uint8]:
    """Similarities of query tokens and centroids as bytes.

    Args:
        query: float32, (query_tokens, dim), 1 to 32 tokens.
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
    most = max(float(np.linalg.norm(query, axis=1).max()) * centroids.longest, 1e-12)
    factors = packed.scales * np.float32(centroids.scale * 255 / most)
    out = np.empty((len(centroids.rows), width), np.uint8)
    _functions(target, centroids.rows.shape[1])[f"table{width}"](
        _place(packed.data), _place(packed.excess), _place(factors),
        _place(_stored(target, centroids)), len(centroids.rows), _place(out),
    )  # fmt: skip
    return out


def _stored(target: Target, centroids: Centroids) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Centroids as a target's arithmetic takes them."""
    return centroids.rows if target.arithmetic.limit else centroids.floats


def _place(array: NDArray[np.generic]) -> int:
    return array.ctypes.data


def _functions(target: Target, width: int) -> Functions:
    def make(triple: str) -> ir.Module:
        from retrievers.kernels.amx_centroids import MatrixEmitter  # which builds on this file

        kind = MatrixEmitter if target.name == "amx" and amx.fits(width) else Emitter
        return module(target.arithmetic, target.lanes, width, triple, kind)

    arguments = [("nearest", 6), *((f"table{size}", 6) for size in WIDTHS)]
    return functions(("centroids", target.name, width), target, make, arguments)


def module(
    arithmetic: Arithmetic, lanes: int, width: int, triple: str, kind: type[Emitter] | None = None
) -> ir.Module:
    """The functions nearest, by a kind of emitter, and table16, table32 for one width of rows in LLVM IR."""
    unit = ir.Module("centroids")
    unit.triple = triple
    (kind or Emitter)(unit, "nearest", arithmetic, lanes, width).nearest()
    for size in WIDTHS:
        Emitter(unit, f"table{size}", arithmetic, lanes, width).table(size)
    return unit


class Emitter:
    def __init__(self, unit: ir.Module, name: str, arithmetic: Arithmetic, lanes: int, width: int) -> None:
        function = ir.Function(unit, ir.FunctionType(VOID, [I64] * 6), name)
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        self.values = function.args
        self.pointers = [b.inttoptr(value, POINTER) for value in function.args]
        self.arithmetic, self.lanes, self.width = arithmetic, lanes, width
        self.steps = width // arithmetic.step
        self.totals = arithmetic.accumulator(lanes)
        self.floats = vector(F32, lanes)
        self.unit = I8 if arithmetic.limit else F32
        self.groups, self.block = GROUPS, _ROWS[lanes]  # of nearest: vectors of rows, and centroids

    def nearest(self) -> None:
        """nearest(rows, vectors, centroids, K, numbers, products); vectors is a multiple of GROUPS."""
        b, size, vectors = self.b, self.block, range(self.groups)
        rows, _, centroids, _, numbers, products = self.pointers
        best = [Variable(b, self.totals) for _ in vectors]
        whose = [Variable(b, vector(I32, self.lanes)) for _ in vectors]
        with repeat(b, i64(0), self.values[1], self.groups) as group:
            query = at(b, rows, self.totals, b.mul(group, i64(self.steps)))
            for n in vectors:
                least = float("-inf") if self.totals == self.floats else _LEAST
                best[n].set(constant(self.totals.element, least, self.lanes))
                whose[n].set(constant(I32, 0, self.lanes))
            with repeat(b, i64(0), self.values[3], size) as first:
                sums = self.products(query, self.groups, self._rows(centroids, first), size, None)
                for n in vectors:
                    high, number = best[n].get(), whose[n].get()
                    for m in range(size):
                        name = splat(b, b.trunc(b.add(first, i64(m)), I32), self.lanes)
                        larger = self._compare(sums[m][n], high)
                        high, number = b.select(larger, sums[m][n], high), b.select(larger, name, number)
                    best[n].set(high)
                    whose[n].set(number)
            for n in vectors:
                place = b.add(group, i64(n))
                store(b, whose[n].get(), numbers, place)
                store(b, self._float(best[n].get()), products, place)
        self.leave()

    def leave(self) -> None:
        self.b.ret_void()

    def table(self, size: int) -> None:
        """table(query, excess, factors, centroids, K, out)."""
        b, groups = self.b, size // self.lanes
        query, excess, factors, centroids, _, out = self.pointers
        at_once = min(groups, GROUPS)
        count = _TABLE_ROWS[at_once]
        with repeat(b, i64(0), self.values[4], count) as first:
            rows = self._rows(centroids, first)
            for group in range(0, groups, at_once):
                part = at(b, query, self.totals, group * self.steps)
                sums = self.products(
                    part, at_once, rows, count, at(b, excess, vector(I32, self.lanes), group)
                )
                for m in range(count):
                    for n in range(at_once):
                        factor = load(b, factors, self.floats, group + n)
                        place = b.add(b.mul(b.add(first, i64(m)), i64(groups)), i64(group + n))
                        store(b, self._byte(b.fmul(self._float(sums[m][n]), factor)), out, place)
        b.ret_void()

    def _rows(self, centroids: ir.Value, first: ir.Value) -> ir.Value:
        return at(self.b, centroids, self.unit, self.b.mul(first, i64(self.width)))

    def products(
        self, query: ir.Value, groups: int, rows: ir.Value, count: int, excess: ir.Value | None
    ) -> list[list[ir.Value]]:
        """Dot products of `count` centroids and `groups` vectors of lanes: [centroid][group]."""
        b = self.b
        sums = [[Variable(b, self.totals) for _ in range(groups)] for _ in range(count)]
        for line in sums:
            for n, total in enumerate(line):
                start = constant(self.totals.element, 0, self.lanes)
                if excess is not None and self.arithmetic.offset:
                    start = load(b, excess, self.totals, n)
                total.set(start)

        def take(step: ir.Value, size: int) -> None:
            documents = [
                self.arithmetic.documents(b, rows, m, self.width, step, size, self.lanes)
                for m in range(count)
            ]
            for s in range(size):
                vectors = [
                    load(b, query, self.totals, b.add(step, i64(n * self.steps + s))) for n in range(groups)
                ]
                for m in range(count):
                    document = documents[m](s)
                    for n in range(groups):
                        sums[m][n].set(self.arithmetic.multiply(b, sums[m][n].get(), document, vectors[n]))

        whole = self.steps // 4 * 4
        with repeat(b, i64(0), i64(whole), 4) as step:
            take(step, 4)
        if whole < self.steps:
            take(i64(whole), self.steps - whole)
        return [[total.get() for total in line] for line in sums]

    def _compare(self, x: ir.Value, y: ir.Value) -> ir.Value:
        compare: Callable[..., ir.Value] = self.b.icmp_signed
        if self.totals == self.floats:
            compare = self.b.fcmp_ordered
        return compare(">", x, y)

    def _float(self, value: ir.Value) -> ir.Value:
        return value if self.totals == self.floats else self.b.sitofp(value, self.floats)

    def _byte(self, value: ir.Value) -> ir.Value:
        """Round to the nearest of 0 to 255."""
        b = self.b
        low, high = constant(F32, 0.5, self.lanes), constant(F32, 255.5, self.lanes)
        value = b.fadd(value, low)
        value = b.select(b.fcmp_ordered("<", value, low), constant(F32, 0, self.lanes), value)
        value = b.select(b.fcmp_ordered(">", value, high), high, value)
        return b.trunc(b.fptoui(value, vector(I32, self.lanes)), vector(I8, self.lanes))
