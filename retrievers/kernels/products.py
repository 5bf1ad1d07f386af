"""The loop over products: a few stored rows times a few groups of query tokens, with every sum in a register.

The scan and the centroids both come down to this loop. It is written once, in `accumulate`; vector registers
(`Products`) and matrix registers (retrievers.kernels.amx) say what a step loads and multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from llvmlite import ir

from retrievers.kernels.arithmetic import Arithmetic
from retrievers.kernels.ir import Variable, constant, i64, load, repeat
from retrievers.kernels.narrow import Narrow, Run

LINE = 64  # bytes of a cache line
UNROLL = 4  # steps that one trip of the loop takes

Product = Callable[[int, int], ir.Value]
"""product(row, group): a vector, one dot product in each lane."""

Operand = TypeVar("Operand")


def accumulate(
    rows: int,
    groups: int,
    steps: int,
    *,
    row: Callable[[int, int], Operand],
    query: Callable[[int, int], Operand],
    add: Callable[[int, int, int, Operand, Operand], None],
) -> None:
    """Write some steps of all products of a block.

    One step of a block of 12 rows and 2 groups begins so; the 12 rows take turns, and then the next step comes
    (avx512vnni)::

        vmovdqu64       -192(%r8), %zmm17           # query(0, step)
        vpbroadcastd    -1420(%r10,%rdx), %zmm0     # row(0, step)
        vpdpbusd        %zmm17, %zmm0, %zmm13       # add(0, 0, ...)
        vpbroadcastd    -1292(%r10,%rdx), %zmm0     # row(1, step)
        vpdpbusd        %zmm17, %zmm0, %zmm12       # add(1, 0, ...)

    Args:
        rows: rows, or blocks of rows where a register holds several.
        groups: groups of query tokens.
        steps: how many.
        row: row(m, step) loads what a step takes of row m.
        query: query(n, step) loads what a step takes of group n.
        add: add(m, n, step, row, query) adds their product to the sum of m and n.
    """
    for step in range(steps):
        queries = [query(n, step) for n in range(groups)]
        for m in range(rows):
            loaded = row(m, step)
            for n in range(groups):
                add(m, n, step, loaded, queries[n])


class Products:
    """Products in vector registers, one query token in each lane.

    Args:
        b: writes the function.
        arithmetic: the processor's multiply.
        lanes: query tokens in a vector.
        row_bytes: bytes of a stored row.
    """

    holds_rows = False
    """Whether a step keeps the rows in registers while the query's vectors go by, and not the reverse."""

    def __init__(self, b: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, row_bytes: int) -> None:
        self.b, self.arithmetic, self.lanes, self.row_bytes = b, arithmetic, lanes, row_bytes
        self.steps = -(-row_bytes // arithmetic.step)
        self.totals = arithmetic.accumulator(lanes)

    @property
    def vectors(self) -> int:
        """Vectors of the packed query that a group has."""
        return self.steps

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
        """Write the products of `count` rows and `groups` groups.

        A loop whose trip takes 4 steps, 16 bytes of each row (avx2)::

            vpmaddubsw      128(%r14,%r13), %ymm2, %ymm2
            vpmaddwd        %ymm2, %ymm13, %ymm5
            vpaddd          %ymm4, %ymm0, %ymm4
            addq            $4, %r12                # 4 steps are done
            subq            $-128, %r13             # the query's next 4 vectors
            cmpq            $28, %r12
            jb              .LBB0_61

        Args:
            query: address of the first group's vectors, (groups, steps, lanes).
            groups: how many.
            rows: address of the first row, as the arithmetic takes them.
            count: how many.
            excess: excess(n) is the address of int32, (lanes,), that the sums of group n begin with; None begins with
                0.
            splits: sums that a product is split into, so that a small block too keeps the processor busy.
            ahead: ahead(bytes) is called once for each cache line of the rows that is multiplied, with its
                distance from the first row: the place to ask for rows that are wanted later.
            stored_bytes: of a row as `ahead` counts them, where the rows that are multiplied were unpacked.
        """
        b, arithmetic = self.b, self.arithmetic
        sums = [[self._sums(n, excess, splits) for n in range(groups)] for _ in range(count)]
        run = Run(b, arithmetic) if isinstance(arithmetic, Narrow) else None
        unroll = max(UNROLL, arithmetic.run)
        places = self._places(query, groups)

        def take(first: ir.Value, steps: int) -> None:
            documents = [
                arithmetic.documents(b, rows, m, self.row_bytes, first, steps, self.lanes)
                for m in range(count)
            ]

            def add(m: int, n: int, step: int, document: ir.Value, vector: ir.Value) -> None:
                if run is not None:
                    run.add(m, n, document, vector)
                    return
                total = sums[m][n][step % splits]
                total.set(arithmetic.multiply(b, total.get(), document, vector))

            def row(m: int, step: int) -> ir.Value:
                return documents[m](step)

            def vector(n: int, step: int) -> ir.Value:
                return self._query(*places[n], first, step)

            if self.holds_rows:
                accumulate(
                    *(groups, count, steps),
                    row=vector,
                    query=row,
                    add=lambda n, m, step, vector, document: add(m, n, step, document, vector),
                )
            else:
                accumulate(count, groups, steps, row=row, query=vector, add=add)
            if run is not None:
                run.end(sums)

        whole = self.row_bytes // arithmetic.step // unroll * unroll
        with repeat(b, i64(0), i64(whole), unroll) as step:
            # As many bytes as are multiplied meanwhile, in all rows together.
            size = count * unroll * arithmetic.step * (stored_bytes or self.row_bytes) // self.row_bytes
            if ahead:
                for line in range(0, size, LINE):
                    ahead(b.add(b.mul(step, i64(size // unroll)), i64(line)))
            take(step, unroll)
        if whole < self.steps:
            take(i64(whole), self.steps - whole)
        totals = [[self._together(parts) for parts in line] for line in sums]
        return lambda m, n: totals[m][n]

    def end(self) -> None:
        """Write what the function does last, before it returns."""

    def _places(self, query: ir.Value, groups: int) -> list[tuple[ir.Value, int]]:
        """For each group an address, and how many groups after it its vectors begin. It gives no instruction."""
        return [(query, n) for n in range(groups)]

    def _query(self, address: ir.Value, group: int, first: ir.Value, step: int) -> ir.Value:
        """The vector of a group, counted from an address, some steps after the first one.

        A load, or a part of the multiplication (avx2)::

            vpmaddubsw      128(%r14,%r13), %ymm2, %ymm2
        """
        return load(self.b, address, self.totals, self.b.add(first, i64(group * self.steps + step)))

    def _sums(self, group: int, excess: Callable[[int], ir.Value] | None, splits: int) -> list[Variable]:
        """The variables that a product is added up in, with the values that they begin with.

        A sum that begins with 0 (avx2)::

            vpxor   %xmm0, %xmm0, %xmm0
        """
        sums = [Variable(self.b, self.totals) for _ in range(splits)]
        for part, total in enumerate(sums):
            if part == 0 and excess is not None and self.arithmetic.offset:
                total.set(self._begin(excess, group))
            else:
                total.set(constant(self.totals.element, 0, self.lanes))
        return sums

    def _begin(self, excess: Callable[[int], ir.Value], group: int) -> ir.Value:
        """What the sum of a group begins with.

        A load (avx2)::

            vmovdqu (%rdx,%r8), %ymm0
        """
        return load(self.b, excess(group), self.totals)

    def _together(self, parts: list[Variable]) -> ir.Value:
        """The sum of the parts of a product. Only integers are split, so the order does not matter.

        Two parts (avx2)::

            vpaddd  %ymm10, %ymm11, %ymm1
        """
        total, *others = [part.get() for part in parts]
        for value in others:
            total = self.b.add(total, value)
        return total
