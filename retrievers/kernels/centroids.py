"""Rows against centroids: the nearest centroid of each row, and a query's table of similarities.

Both use the multiply of the exact scan. For `nearest`, rows take the place of query tokens: a group of them
stays in the lanes while all centroids go by, and each lane keeps the largest product and whose it was. All
centroids share one scale, so that products compare as integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels import amx
from retrievers.kernels.compile import Functions, functions
from retrievers.kernels.ir import (
    F32,
    I8,
    I32,
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
from retrievers.kernels.products import Products
from retrievers.kernels.rows import elements, quantize_together
from retrievers.kernels.targets import Target, chosen_target
from retrievers.kernels.task import Array, Count, Layout
from retrievers.types import TokenMatrix

WIDTHS = (16, 32)
GROUPS = 4  # vectors of rows that nearest keeps beside each other
_ROWS = {16: 4, 8: 2, 4: 4}  # centroids in a block, by lanes: with GROUPS, as many sums as registers hold
_TABLE_ROWS = {1: 8, 2: 4, 4: 2}  # the same for table, by vectors of query tokens: 8 sums in flight
_PADDING = 32  # every block of centroids is full
_LEAST = -(1 << 31)

NEAREST = Layout(
    rows=Array("(vectors, steps, lanes): the rows in the place of query tokens"),
    vectors=Count("vectors of rows, a multiple of GROUPS"),
    centroids=Array("(count, row_bytes): uint8, or float32 in the arithmetic that has no bytes"),
    count=Count("centroids, a multiple of every block"),
    numbers=Array("int32, (vectors, lanes): the nearest centroid of each row"),
    products=Array("float32, (vectors, lanes): its product"),
)
TABLE = Layout(
    query=Array("(groups, steps, lanes), see retrievers.kernels.pack"),
    excess=Array("int32, (groups, lanes)"),
    factors=Array("float32, (groups, lanes): what makes bytes of products"),
    centroids=Array("(count, row_bytes): uint8, or float32 in the arithmetic that has no bytes"),
    count=Count("centroids, a multiple of every block"),
    out=Array("uint8, (count, groups * lanes)"),
)


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

    @property
    def floats(self) -> NDArray[np.float32]:
        """The rows less the 128, for the arithmetic that has no bytes."""
        # functools.cached_property has a lock in Python 3.11, which a forked child may find taken.
        kept = vars(self)
        if "_floats" not in kept:
            kept["_floats"] = elements(self.rows).astype(np.float32)
        return kept["_floats"]


def prepare(centroids: NDArray[np.float32]) -> Centroids:
    """Round centroids, float32, (K, dim), K at least 1, to 8 bits with one scale for all."""
    count = len(centroids)
    stored, scale = quantize_together(centroids)
    rows = np.empty((-(-count // _PADDING) * _PADDING, stored.shape[1]), np.uint8)
    rows[:count], rows[count:] = stored, stored[0]
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
    signed = np.zeros((whole, width), np.int8)
    signed[:count] = elements(rows)
    halved = 0 < arithmetic.limit < 127
    if halved:  # what Avx2 can add without saturation: half the resolution
        np.rint(signed / 2, out=signed, casting="unsafe")
    units = signed.astype(np.float32) if arithmetic.limit == 0 else signed.view(np.int32)
    packed = np.ascontiguousarray(units.reshape(whole // lanes, lanes, -1).transpose(0, 2, 1))
    numbers, products = np.empty(whole, np.int32), np.empty(whole, np.float32)
    task = NEAREST.values(
        rows=packed,
        vectors=whole // lanes,
        centroids=_stored(target, centroids),
        count=len(centroids.rows),
        numbers=numbers,
        products=products,
    )
    _functions(target, width)["nearest"](*task)
    if arithmetic.offset:  # what the 128 of a centroid's bytes added, the same for all centroids
        products -= signed.sum(axis=1, dtype=np.int32) * np.float32(arithmetic.offset)
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
    task = TABLE.values(
        query=packed.data,
        excess=packed.excess,
        factors=factors,
        centroids=_stored(target, centroids),
        count=len(centroids.rows),
        out=out,
    )
    _functions(target, centroids.rows.shape[1])[f"table{width}"](*task)
    return out


def _stored(target: Target, centroids: Centroids) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Centroids as a target's arithmetic takes them."""
    return centroids.rows if target.arithmetic.limit else centroids.floats


def _functions(target: Target, width: int) -> Functions:
    def make(triple: str) -> ir.Module:
        return module(target, width, triple)

    arguments = [("nearest", len(NEAREST)), *((f"table{size}", len(TABLE)) for size in WIDTHS)]
    return functions(("centroids", width), target, make, arguments)


def module(target: Target, width: int, triple: str) -> ir.Module:
    """The functions nearest and table16, table32 for one width of rows in LLVM IR."""
    unit = ir.Module("centroids")
    unit.triple = triple
    b = NEAREST.function(unit, "nearest")
    _Nearest(b, amx.products(b, target, width), amx.serves(target, width)).emit()
    for size in WIDTHS:
        b = TABLE.function(unit, f"table{size}")
        _Table(b, Products(b, target.arithmetic, target.lanes, width)).emit(size)
    return unit


class _Emitter:
    """What writes one function: products, and what follows from the vectors that they come in."""

    def __init__(self, b: ir.IRBuilder, products: Products) -> None:
        self.b, self.products = b, products
        self.arithmetic, self.lanes, self.totals = products.arithmetic, products.lanes, products.totals
        self.floats = vector(F32, self.lanes)

    def rows(self, centroids: ir.Value, first: ir.Value) -> ir.Value:
        """Address of a centroid, which is bytes, or float32 in the arithmetic that has no bytes."""
        unit = I8 if self.arithmetic.limit else F32
        return at(self.b, centroids, unit, self.b.mul(first, i64(self.products.row_bytes)))

    def number(self, value: ir.Value) -> ir.Value:
        """Products as float32."""
        return value if self.totals == self.floats else self.b.sitofp(value, self.floats)


class _Nearest(_Emitter):
    """Writes nearest: blocks of centroids go by, and each lane keeps the best and whose it was.

    Args:
        matrices: whether the products are made in matrix registers, which hold 2 by 2 blocks of 16.
    """

    def __init__(self, b: ir.IRBuilder, products: Products, matrices: bool) -> None:
        super().__init__(b, products)
        self.groups, self.block = (2, 2 * amx.SIDE) if matrices else (GROUPS, _ROWS[self.lanes])

    def emit(self) -> None:
        b, vectors, task = self.b, range(self.groups), NEAREST.arguments(self.b)
        best = [Variable(b, self.totals) for _ in vectors]
        whose = [Variable(b, vector(I32, self.lanes)) for _ in vectors]
        with repeat(b, i64(0), task["vectors"], self.groups) as group:
            query = at(b, task["rows"], self.totals, b.mul(group, i64(self.products.steps)))
            for n in vectors:
                least = float("-inf") if self.totals == self.floats else _LEAST
                best[n].set(constant(self.totals.element, least, self.lanes))
                whose[n].set(constant(I32, 0, self.lanes))
            with repeat(b, i64(0), task["count"], self.block) as first:
                rows = self.rows(task["centroids"], first)
                product = self.products.multiply(query, self.groups, rows, self.block)
                sums = [[product(m, n) for n in vectors] for m in range(self.block)]
                for n in vectors:
                    self._keep_larger(best[n], whose[n], [line[n] for line in sums], first)
            for n in vectors:
                place = b.add(group, i64(n))
                store(b, whose[n].get(), task["numbers"], place)
                store(b, self.number(best[n].get()), task["products"], place)
        self.products.end()
        b.ret_void()

    def _keep_larger(
        self, best: Variable, whose: Variable, products: list[ir.Value], first: ir.Value
    ) -> None:
        """Raise the largest products, and the numbers of their centroids, which count up from `first`."""
        b = self.b
        compare = b.fcmp_ordered if self.totals == self.floats else b.icmp_signed
        high, number = best.get(), whose.get()
        for m, product in enumerate(products):
            name = splat(b, b.trunc(b.add(first, i64(m)), I32), self.lanes)
            larger = compare(">", product, high)
            high, number = b.select(larger, product, high), b.select(larger, name, number)
        best.set(high)
        whose.set(number)


class _Table(_Emitter):
    """Writes table16 or table32: one row of bytes a centroid."""

    def emit(self, size: int) -> None:
        b, groups, task = self.b, size // self.lanes, TABLE.arguments(self.b)
        at_once = min(groups, GROUPS)
        count = _TABLE_ROWS[at_once]
        with repeat(b, i64(0), task["count"], count) as first:
            rows = self.rows(task["centroids"], first)
            for group in range(0, groups, at_once):
                product = self.products.multiply(
                    at(b, task["query"], self.totals, group * self.products.steps),
                    at_once,
                    rows,
                    count,
                    excess=partial(self._excess, task, group),
                )
                for m in range(count):
                    for n in range(at_once):
                        factor = load(b, task["factors"], self.floats, group + n)
                        place = b.add(b.mul(b.add(first, i64(m)), i64(groups)), i64(group + n))
                        value = b.fmul(self.number(product(m, n)), factor)
                        store(b, self._byte(value), task["out"], place)
        b.ret_void()

    def _excess(self, task: dict[str, ir.Value], first: int, n: int) -> ir.Value:
        return at(self.b, task["excess"], vector(I32, self.lanes), first + n)

    def _byte(self, value: ir.Value) -> ir.Value:
        """Round to the nearest of 0 to 255."""
        b = self.b
        low, high = constant(F32, 0.5, self.lanes), constant(F32, 255.5, self.lanes)
        value = b.fadd(value, low)
        value = b.select(b.fcmp_ordered("<", value, low), constant(F32, 0, self.lanes), value)
        value = b.select(b.fcmp_ordered(">", value, high), high, value)
        return b.trunc(b.fptoui(value, vector(I32, self.lanes)), vector(I8, self.lanes))
