"""Products on Arm processors, by sdot, and by smmla: pairs of rows by pairs of query tokens.

A register of smmla holds 2 x 2 sums, and one instruction adds 2 x 2 x 8 products to them, twice as many as sdot. To the
loop over products a pair of rows is a row, and a pair of query tokens a group; the sums are put in order at the end.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from retrievers.kernels.arithmetic import Arithmetic, Sdot, Smmla
from retrievers.kernels.ir import I32, at, i64, load, shuffled, vector
from retrievers.kernels.products import Product, Products


def vector_products(b: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, row_bytes: int) -> Products:
    """The products of any arithmetic, Arm's or not, in vector registers. It gives no instruction."""
    if isinstance(arithmetic, Smmla):
        return PairProducts(b, arithmetic, lanes, row_bytes)
    kind = ArmProducts if isinstance(arithmetic, Sdot) else Products
    return kind(b, arithmetic, lanes, row_bytes)


class ArmProducts(Products):
    """Products whose query is loaded by two vectors at once, by an instruction that reaches 1008 bytes far."""

    def _places(self, query: ir.Value, groups: int) -> list[tuple[ir.Value, int]]:
        """Two addresses, for halves of the groups: 4 groups of 128 dimensions have 2048 bytes.

        An instruction, and one in each trip of the loop (sdot)::

            add     x5, x27, #1024
            add     x5, x5, #64
        """
        b, half = self.b, groups // 4 * 2  # even, as two pairs of query tokens lie together
        if not half:
            return super()._places(query, groups)
        middle = at(b, query, self.totals, half * self.steps)
        # Written in assembler, as LLVM would replace it by a distance from the first address.
        middle = b.asm(ir.FunctionType(middle.type, [middle.type]), "", "=r,0", [middle], False)
        return [(middle, n - half) if n >= half else (query, n) for n in range(groups)]


class PairProducts(Products):
    """Products of pairs of rows. A row that is alone is multiplied twice, which takes as long as by sdot."""

    def __init__(self, b: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, row_bytes: int) -> None:
        super().__init__(b, arithmetic, lanes, row_bytes)
        self._pairs = _Pairs(b, arithmetic, lanes, row_bytes)
        self._alone = _Pairs(b, Smmla(alone=True), lanes, row_bytes)

    @property
    def vectors(self) -> int:
        return 2 * self.steps

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
        """See Products.multiply; count is 1 or even.

        At the end the sums of a row with four query tokens come together (smmla)::

            mov     v5.d[1], v20.d[0]           // those of the first row of a pair
            zip2    v6.2d, v6.2d, v19.2d        // those of the second one
        """
        block, together = (self._alone, 1) if count == 1 else (self._pairs, 2)
        product = block.multiply(
            query,
            2 * groups,
            rows,
            count // together,
            excess=excess,
            splits=splits,
            ahead=ahead,
            stored_bytes=together * (stored_bytes or self.row_bytes),
        )

        def ordered(m: int, n: int) -> ir.Value:
            low, high = (product(m // 2, 2 * n + pair) for pair in (0, 1))
            return shuffled(self.b, low, high, (2, 3, 6, 7) if m % 2 else (0, 1, 4, 5))

        return ordered


class _Pairs(ArmProducts):
    """The loop over products, in which a row is a pair of rows, and a group a pair of query tokens."""

    # There are few pairs of rows and many of query tokens, and no registers for the latter.
    holds_rows = True

    def _query(self, address: ir.Value, group: int, first: ir.Value, step: int) -> ir.Value:
        """The vector of a pair of query tokens. Those of two pairs lie side by side in each step.

        Half an instruction (smmla)::

            ldp     q8, q11, [x6, #544]
        """
        b = self.b
        place = 2 * (group // 2 * self.steps + step) + group % 2
        return load(b, address, self.totals, b.add(b.mul(first, i64(2)), i64(place)))

    def _begin(self, excess: Callable[[int], ir.Value], group: int) -> ir.Value:
        """What the sums of a pair begin with: the same for both rows.

        Half a load, and an instruction (smmla)::

            ldp     d5, d20, [x23]
            mov     v5.d[1], v5.d[0]
        """
        two = load(self.b, excess(group // 2), I32, 2 * (group % 2), vector(I32, 2))
        return shuffled(self.b, two, two, (0, 1, 0, 1))
