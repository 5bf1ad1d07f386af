"""AVX2's arithmetic for rows of 4 bits: products are added up in 16 bits for eight steps before they are widened.

A level is stored as n from 0 to 15, and a query's element has a magnitude of 127 at most: two products are at most
3810, and eight such pairs 30 480, which 16 bits hold. Rows of 8 bits must be widened after each step.
"""

from __future__ import annotations

from llvmlite import ir

from retrievers.kernels import nibbles
from retrievers.kernels.arithmetic import Arithmetic, Avx2
from retrievers.kernels.ir import I8, I16, Variable, constant, intrinsic, vector

RUN = 8


class Narrow(Avx2):
    """vpmaddubsw, then a 16-bit addition; vpmaddwd by twos once in RUN steps, as n stands for 2 n - 15.

    One row's step with 8 query tokens (avx2)::

        vpbroadcastd    20(%rdx,%rbp,4), %ymm2      # 4 levels of the row, 8 times
        vpmaddubsw      %ymm0, %ymm2, %ymm3         # products with the query, in pairs: 16 x 16 bits
        vpaddw          %ymm3, %ymm12, %ymm12       # added to the run
    """

    limit = 127
    offset = nibbles.LARGEST
    run = RUN

    def pairs(self, b: ir.IRBuilder, document: ir.Value, query: ir.Value) -> ir.Value:
        """document * query, added up in pairs.

        One instruction (avx2)::

            vpmaddubsw      %ymm0, %ymm2, %ymm3
        """
        lanes = query.type.count
        octets, pairs = vector(I8, 4 * lanes), vector(I16, 2 * lanes)
        return intrinsic(
            b, "llvm.x86.avx2.pmadd.ub.sw", pairs, b.bitcast(document, octets), b.bitcast(query, octets)
        )

    def widen(self, b: ir.IRBuilder, total: ir.Value, run: ir.Value) -> ir.Value:
        """The total with twice a run added (avx2)::

        vpmaddwd        %ymm0, %ymm15, %ymm0        # the run in pairs, doubled; ymm15 holds twos
        vpaddd          %ymm0, %ymm12, %ymm12
        """
        doubled = constant(I16, 2, run.type.count)
        sums = intrinsic(b, "llvm.x86.avx2.pmadd.wd", total.type, run, doubled)
        return b.add(total, sums)


class Run:
    """The sums in 16 bits of one block, for as many steps as they hold.

    A step of a row and a group, and of the last step what `Narrow.widen` shows (avx2)::

        vpmaddubsw      %ymm2, %ymm13, %ymm6
        vpaddw          %ymm6, %ymm8, %ymm8
    """

    def __init__(self, b: ir.IRBuilder, arithmetic: Narrow) -> None:
        self._b, self._arithmetic = b, arithmetic
        self._sums: dict[tuple[int, int], ir.Value] = {}

    def add(self, row: int, group: int, document: ir.Value, query: ir.Value) -> None:
        """Add one step's products of a row and a group."""
        pairs = self._arithmetic.pairs(self._b, document, query)
        before = self._sums.get((row, group))
        self._sums[row, group] = pairs if before is None else kept(self._b, self._b.add(before, pairs))

    def end(self, totals: list[list[list[Variable]]]) -> None:
        """Add the sums to the totals, of each row and group, and begin a new run."""
        for (row, group), run in self._sums.items():
            total = totals[row][group][0]
            total.set(self._arithmetic.widen(self._b, total.get(), run))
        self._sums.clear()


def kept(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same value, computed as it is written here; no instruction.

    LLVM would add up the products of several steps first, among themselves, and move the sums, for which no registers
    are left then, to the stack.
    """
    kind = value.type
    return b.asm(ir.FunctionType(kind, [kind]), "", "=x,0", [value], False)


def of_nibbles(arithmetic: Arithmetic) -> Arithmetic:
    """The arithmetic that multiplies rows of 4 bits where `arithmetic` multiplies rows of 8 bits."""
    return Narrow() if type(arithmetic) is Avx2 else arithmetic
