"""The generator of what rows, or a query, are compared with all centroids by, in LLVM IR.

Both functions use the loop over products of the exact scan. For `nearest`, rows take the place of query tokens: a
group of them stays in the lanes while all centroids go by, and each lane keeps the largest product and the number of
the centroid that it belongs to. For `table16` and `table32` each product becomes a byte.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from retrievers.kernels import amx
from retrievers.kernels.arm import vector_products
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
from retrievers.kernels.products import Products
from retrievers.kernels.targets import Target
from retrievers.kernels.task import Array, Count, Layout

WIDTHS = (16, 32)  # query tokens that a table has room for: a short query needs half the cache
GROUPS = 4  # vectors of rows that nearest takes at once
_ROWS = {16: 4, 8: 2, 4: 4}  # centroids in a block for each number of lanes: their sums fill the registers
_TABLE_ROWS = {1: 8, 2: 4, 4: 2}  # centroids in a block of a table, by vectors of query tokens: 8 sums
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


def compiled(target: Target, width: int) -> Functions:
    """The functions of a target for one width of rows."""

    def make(triple: str) -> ir.Module:
        return module(target, width, triple)

    arguments = [("nearest", len(NEAREST)), *((f"table{size}", len(TABLE)) for size in WIDTHS)]
    return functions(("centroids", width), target, make, arguments)


def module(target: Target, width: int, triple: str) -> ir.Module:
    """The functions nearest and table16, table32 for one width of rows in LLVM IR.

    Each begins with its arguments in registers: no instruction besides those that the classes below show.
    """
    unit = ir.Module("centroids")
    unit.triple = triple
    b = NEAREST.function(unit, "nearest")
    _Nearest(b, amx.products(b, target, width), amx.serves(target, width)).emit()
    for size in WIDTHS:
        b = TABLE.function(unit, f"table{size}")
        _Table(b, vector_products(b, target.arithmetic, target.lanes, width)).emit(size)
    return unit


class _Emitter:
    """What the writers of both functions share: the products, and the types that they come in."""

    def __init__(self, b: ir.IRBuilder, products: Products) -> None:
        self.b, self.products = b, products
        self.arithmetic, self.lanes, self.totals = products.arithmetic, products.lanes, products.totals
        self.floats = vector(F32, self.lanes)

    def rows(self, centroids: ir.Value, first: ir.Value) -> ir.Value:
        """Address of a centroid, which is bytes, or float32 in the arithmetic that has no bytes.

        A part of the loads that follow, no instruction of its own.
        """
        unit = I8 if self.arithmetic.limit else F32
        return at(self.b, centroids, unit, self.b.mul(first, i64(self.products.row_bytes)))

    def number(self, value: ir.Value) -> ir.Value:
        """Products as float32.

        One instruction (avx2)::

            vcvtdq2ps       %ymm12, %ymm1
        """
        return value if self.totals == self.floats else self.b.sitofp(value, self.floats)


class _Nearest(_Emitter):
    """Writes nearest: blocks of centroids go by, and each lane keeps the largest product and its centroid.

    Args:
        matrices: whether the products are made in matrix registers, which hold 2 by 2 blocks of 16.
    """

    def __init__(self, b: ir.IRBuilder, products: Products, matrices: bool) -> None:
        super().__init__(b, products)
        self.groups, self.block = (2, 2 * amx.SIDE) if matrices else (GROUPS, _ROWS[self.lanes])

    def emit(self) -> None:
        """The whole function: for each few vectors of rows, all centroids, a block at a time.

        The products, as Products.multiply writes them, and the end of a trip over their steps (avx2)::

            vpbroadcastd    4(%r10,%rbx,4), %ymm0       # 4 bytes of a centroid in every lane
            vpmaddubsw      %ymm10, %ymm0, %ymm3        # times those of 8 rows
            vpmaddwd        %ymm1, %ymm3, %ymm3
            vpaddd          %ymm3, %ymm14, %ymm3
            addq            $4, %rbx
            jb              .LBB0_7
        """
        b, vectors, task = self.b, range(self.groups), NEAREST.arguments(self.b)
        best = [Variable(b, self.totals) for _ in vectors]
        whose = [Variable(b, vector(I32, self.lanes)) for _ in vectors]
        with repeat(b, i64(0), task["vectors"], self.groups) as group:
            query = at(b, task["rows"], self.totals, b.mul(group, i64(self.products.vectors)))
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
        """Raise the largest products to those of a block, whose centroids' numbers count up from `first`.

        For each centroid and vector of rows, without a branch (avx2)::

            vpcmpgtd        %ymm4, %ymm0, %ymm5         # in which lanes is the product larger?
            vblendvps       %ymm5, %ymm2, %ymm6, %ymm5  # there the number is this centroid's
            vpmaxsd         32(%rsp), %ymm3, %ymm3      # and the product is this one
        """
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
    """Writes table16 or table32: one row of bytes for each centroid."""

    def emit(self, size: int) -> None:
        """The whole function, for queries of `size` tokens: a few centroids at a time, all groups of the query.

        A byte for each lane is stored at once: 8 of them (avx2)::

            vmulps  (%rdx), %ymm1, %ymm1        # products times the factors that make bytes of them
            vmovq   %xmm1, (%r9,%r10)
        """
        b, groups, task = self.b, size // self.lanes, TABLE.arguments(self.b)
        at_once = min(groups, GROUPS)
        count = _TABLE_ROWS[at_once]
        with repeat(b, i64(0), task["count"], count) as first:
            rows = self.rows(task["centroids"], first)
            for group in range(0, groups, at_once):
                product = self.products.multiply(
                    at(b, task["query"], self.totals, group * self.products.vectors),
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
        """Where the excess of a group lies: a part of the load that follows, no instruction of its own."""
        return at(self.b, task["excess"], vector(I32, self.lanes), first + n)

    def _byte(self, value: ir.Value) -> ir.Value:
        """Round to the nearest of 0 to 255.

        Half is added, as what follows is cut off, and both ends are held (avx2)::

            vaddps          %ymm4, %ymm1, %ymm1         # + 0.5
            vcmpnltps       %ymm4, %ymm1, %ymm2         # less than 0.5
            vandps          %ymm1, %ymm2, %ymm1         # becomes 0
            vminps          %ymm1, %ymm12, %ymm1        # at most 255.5
            vcvttps2dq      %ymm1, %ymm2                # cut off to an integer
            vpshufb         %xmm14, %xmm2, %xmm2        # its lowest byte
        """
        b = self.b
        low, high = constant(F32, 0.5, self.lanes), constant(F32, 255.5, self.lanes)
        value = b.fadd(value, low)
        value = b.select(b.fcmp_ordered("<", value, low), constant(F32, 0, self.lanes), value)
        value = b.select(b.fcmp_ordered(">", value, high), high, value)
        return b.trunc(b.fptoui(value, vector(I32, self.lanes)), vector(I8, self.lanes))
