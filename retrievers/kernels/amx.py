"""Products by Intel's matrix instructions: 16 rows by 16 query tokens by 64 bytes at once.

A matrix register takes 16 stored rows as they lie, another the packed query as the vector registers read it, a
third the 16 x 16 sums of products. Blocks of fewer than 16 rows go through the vector registers.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from retrievers.kernels.arithmetic import Arithmetic
from retrievers.kernels.arm import vector_products
from retrievers.kernels.ir import I8, I32, VOID, at, i64, intrinsic, load
from retrievers.kernels.products import Product, Products, accumulate
from retrievers.kernels.targets import Target

SIDE = 16  # rows that a register holds, and int32 in one row of it
BYTES = 64  # of a row of a register
QUERY, ROWS = 4, 6  # registers 0 to 3 hold sums, 4 and 5 query tokens, 6 and 7 stored rows


def fits(row_bytes: int) -> bool:
    """Whether rows of this width fill matrix registers."""
    return row_bytes % BYTES == 0


def serves(target: Target, row_bytes: int) -> bool:
    """Whether rows of this width are multiplied by matrix registers on this target."""
    return bool(target.matrix_tiles) and fits(row_bytes)


def products(
    b: ir.IRBuilder, target: Target, row_bytes: int, arithmetic: Arithmetic | None = None
) -> Products:
    """The products of a target, in its matrix registers where it has them and the rows fill them.

    Matrix registers are set up at once: see Registers. Otherwise this gives no instruction. The arithmetic is the
    target's unless another one is given.
    """
    make = MatrixProducts if serves(target, row_bytes) else vector_products
    return make(b, arithmetic or target.arithmetic, target.lanes, row_bytes)


class MatrixProducts(Products):
    """Products in matrix registers, and in vector registers for blocks of fewer than 16 rows."""

    def __init__(self, b: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, row_bytes: int) -> None:
        super().__init__(b, arithmetic, lanes, row_bytes)
        self.registers = Registers(self.b)

    def multiply(
        self,
        query: ir.Value,
        groups: int,
        rows: ir.Value,
        count: int,
        *,
        excess: Callable[[int], ir.Value] | None = None,
        splits: int = 1,
        ahead: Callable[[ir.Value], None] | None = None,
        stored_bytes: int | None = None,
    ) -> Product:
        """See Products.multiply; count is less than 16, or a multiple of it.

        32 rows and 2 groups, the first 64 bytes of them (amx)::

            tileloadd       (%r8,%r9), %tmm0        # what a sum begins with, for each of the 4 sums
            tileloadd       (%r8,%r10), %tmm4       # 64 bytes of 16 query tokens
            tileloadd       (%rsi,%r14), %tmm6      # 64 bytes of 16 rows; r14 is the distance between rows
            tdpbusd         %tmm4, %tmm6, %tmm0     # 16 x 16 x 64 products are added to the first sum
            tilestored      %tmm0, 1792(%rsp,%r10)  # at the end, where vector registers can read it
        """
        if count < SIDE:
            return super().multiply(
                query,
                groups,
                rows,
                count,
                excess=excess,
                splits=splits,
                ahead=ahead,
                stored_bytes=stored_bytes,
            )
        b, registers, blocks = self.b, self.registers, count // SIDE
        sums = [(m, n, m * groups + n) for m in range(blocks) for n in range(groups)]
        for _, n, number in sums:
            if excess is None:
                registers.zero(number)
            else:  # a distance of 0 between rows: the same row 16 times
                registers.load(number, excess(n), 0)

        def take_rows(m: int, step: int) -> int:
            number, first = ROWS + m % 2, m * SIDE * self.row_bytes + step * BYTES
            registers.load(number, at(b, rows, I8, first), self.row_bytes)
            if ahead:
                for row in range(SIDE):
                    place = first + row * self.row_bytes
                    ahead(i64(place * (stored_bytes or self.row_bytes) // self.row_bytes))
            return number

        def take_query(n: int, step: int) -> int:
            place = at(b, query, self.totals, n * self.steps + step * SIDE)
            registers.load(QUERY + n, place, BYTES)
            return QUERY + n

        accumulate(
            blocks,
            groups,
            self.row_bytes // BYTES,
            row=take_rows,
            query=take_query,
            add=lambda m, n, step, row, query: registers.multiply(m * groups + n, row, query),
        )
        for _, _, number in sums:
            registers.store(number)

        def product(m: int, n: int) -> ir.Value:
            place = (m // SIDE * groups + n) * SIDE * SIDE + m % SIDE * SIDE
            return load(b, registers.sums, I32, place, self.totals)

        return product

    def end(self) -> None:
        self.registers.give_back()


class Registers:
    """The matrix registers within one function, and memory that four of them, the sums, are stored to.

    Each method is one instruction (amx)::

        sttilecfg       5896(%rsp)              # at the beginning: how others left the registers
        tilezero        %tmm0                   # zero
        tileloadd       (%rsi,%r14), %tmm6      # load
        tdpbusd         %tmm4, %tmm6, %tmm0     # multiply
        tilestored      %tmm0, 1792(%rsp,%r10)  # store
        ldtilecfg       5896(%rsp)              # give_back
    """

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b = b
        self.sums = b.alloca(ir.ArrayType(I32, 4 * SIDE * SIDE))
        self.sums.align = BYTES
        # Other libraries of this process use these registers too, and may rely on how they left them.
        self._before = b.alloca(ir.ArrayType(I8, 64))
        intrinsic(b, "llvm.x86.sttilecfg", VOID, self._before)
        configure(b)

    def give_back(self) -> None:
        intrinsic(self.b, "llvm.x86.ldtilecfg", VOID, self._before)

    def zero(self, number: int) -> None:
        intrinsic(self.b, "llvm.x86.tilezero", VOID, ir.Constant(I8, number))

    def load(self, number: int, place: ir.Value, stride: int) -> None:
        intrinsic(self.b, "llvm.x86.tileloadd64", VOID, ir.Constant(I8, number), place, i64(stride))

    def multiply(self, total: int, rows: int, query: int) -> None:
        numbers = (ir.Constant(I8, number) for number in (total, rows, query))
        intrinsic(self.b, "llvm.x86.tdpbusd", VOID, *numbers)

    def store(self, number: int) -> None:
        place = at(self.b, self.sums, I32, number * SIDE * SIDE)
        intrinsic(self.b, "llvm.x86.tilestored64", VOID, ir.Constant(I8, number), place, i64(BYTES))


def configure(b: ir.IRBuilder) -> None:
    """Make all 8 matrix registers of this thread 16 rows of 64 bytes.

    The description is written to memory, and loaded by one instruction (amx)::

        ldtilecfg       1344(%rsp)
    """
    # Palette 1; the bytes of each register's rows, 16-bit numbers from 16 on; the numbers of rows from 48 on.
    content = [1, *[0] * 15, *[BYTES, 0] * 8, *[0] * 16, *[SIDE] * 8, *[0] * 8]
    place = b.alloca(ir.ArrayType(I8, 64))
    b.store(ir.Constant(ir.ArrayType(I8, 64), content), place)
    intrinsic(b, "llvm.x86.ldtilecfg", VOID, place)
