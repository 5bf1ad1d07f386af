"""How each kind of processor multiplies stored rows by packed queries: the inner step of a kernel.

A kernel holds one query token in each lane of a vector. A step takes the next 4 bytes of a stored row (1 in
the float32 arithmetic), puts them into every lane, and adds the product with the query's vector to the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from llvmlite import ir

from retrievers.kernels.ir import (
    F32,
    I8,
    I16,
    I32,
    I64,
    constant,
    i64,
    intrinsic,
    load,
    repeat,
    shuffled,
    splat,
    spread,
    store,
    vector,
)
from retrievers.kernels.rows import WORD, ZERO


class Arithmetic(Protocol):
    """The instructions of one kind of processor.

    Attributes:
        step: bytes of a row that one step takes.
        limit: the largest magnitude of a quantised query's element; 0 where queries stay float32.
        offset: what is added to a stored element before it is multiplied; the kernel takes the excess of
            offset * sum(query) off again.
        run: steps whose products are added up before they are added to the total; 1 where each product is added to it
            at once, by `multiply`. Where it is more, retrievers.kernels.narrow has the arithmetic.
    """

    step: int
    limit: int
    offset: int
    run: int

    def accumulator(self, lanes: int) -> ir.VectorType:
        """The type that products are added up in."""
        ...

    def prepare(
        self, b: ir.IRBuilder, rows: ir.Value, count: int, row_bytes: int, scratch: ir.Value
    ) -> ir.Value:
        """Make `count` rows ready for `documents`; returns where they lie."""
        ...

    def documents(
        self,
        b: ir.IRBuilder,
        rows: ir.Value,
        row: int,
        row_bytes: int,
        step: ir.Value,
        count: int,
        lanes: int,
    ) -> Callable[[int], ir.Value]:
        """The operands of `count` steps of one row from `step` on: call it with 0 to count - 1."""
        ...

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        """total + document * query, lane by lane."""
        ...


class _Integers:
    """Rows are multiplied as they are stored, 4 bytes a step, into int32 lanes.

    A row's 4 bytes are loaded into every lane by one instruction (avx2)::

        vpbroadcastd    16(%rax,%rdx), %ymm2
    """

    step = WORD
    limit = 127
    offset = ZERO
    run = 1

    def accumulator(self, lanes: int) -> ir.VectorType:
        return vector(I32, lanes)

    def prepare(
        self, b: ir.IRBuilder, rows: ir.Value, count: int, row_bytes: int, scratch: ir.Value
    ) -> ir.Value:
        return rows

    def documents(
        self,
        b: ir.IRBuilder,
        rows: ir.Value,
        row: int,
        row_bytes: int,
        step: ir.Value,
        count: int,
        lanes: int,
    ) -> Callable[[int], ir.Value]:
        first = b.add(b.mul(step, i64(WORD)), i64(row * row_bytes))
        # Loaded where it is used: LLVM keeps the order, and values that wait would leave the registers.
        return lambda n: splat(b, load(b, rows, I8, b.add(first, i64(WORD * n)), I32), lanes)


class Vnni(_Integers):
    """vpdpbusd: 4 unsigned by 4 signed bytes into each int32 lane, exactly.

    One row's step with 16 query tokens is two instructions and 64 products (avx512vnni)::

        vpbroadcastd    -1420(%r10,%rdx), %zmm0     # 4 bytes of the row, 16 times
        vpdpbusd        %zmm17, %zmm0, %zmm13       # zmm13 += products with the query's vector in zmm17
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        return intrinsic(b, self._name, total.type, total, document, query)


class Avx2(_Integers):
    """vpmaddubsw, then vpmaddwd by ones.

    vpmaddubsw adds two products into 16 bits and saturates there, so queries keep to 64: twice 255 * 64 is
    32 640. That bit of the query costs nothing in the end, as the best windows are scored again in float32;
    widening both sides to 16 bits instead, which keeps it, takes a third more instructions.

    One row's step with 8 query tokens (avx2)::

        vpbroadcastd    16(%rax,%rdx), %ymm2        # 4 bytes of the row, 8 times
        vpmaddubsw      128(%r14,%r13), %ymm2, %ymm2        # products with the query, in pairs: 16 x 16 bits
        vpmaddwd        %ymm2, %ymm13, %ymm5        # the pairs in pairs: 8 x 32 bits; ymm13 holds ones
        vpaddd          %ymm4, %ymm0, %ymm4         # added to the sum
    """

    limit = 64

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        lanes = total.type.count
        octets, pairs = vector(I8, 4 * lanes), vector(I16, 2 * lanes)
        products = intrinsic(
            b, "llvm.x86.avx2.pmadd.ub.sw", pairs, b.bitcast(document, octets), b.bitcast(query, octets)
        )
        sums = intrinsic(b, "llvm.x86.avx2.pmadd.wd", total.type, products, constant(I16, 1, 2 * lanes))
        return b.add(total, sums)


class Sdot(_Integers):
    """Arm's sdot: 4 signed by 4 signed bytes into each int32 lane, the row's 4 taken from a register's lane.

    The row's bytes become signed by turning over their highest bits. One load serves four steps (sdot)::

        ldur    q10, [x1, #-256]                    // 16 bytes of the row
        eor     v14.16b, v10.16b, v0.16b            // less 128; v0 holds the bits to turn over
        sdot    v31.4s, v3.16b, v14.4b[0]           // v31 += products of the query in v3 with bytes 0 to 3
        sdot    v9.4s, v15.16b, v14.4b[1]           // the next step: bytes 4 to 7
    """

    offset = 0

    def documents(
        self,
        b: ir.IRBuilder,
        rows: ir.Value,
        row: int,
        row_bytes: int,
        step: ir.Value,
        count: int,
        lanes: int,
    ) -> Callable[[int], ir.Value]:
        first = b.add(b.mul(step, i64(WORD)), i64(row * row_bytes))
        if count != lanes:  # the last steps of a row that is not a multiple of 16 bytes
            sign = ir.Constant(I32, ZERO * 0x01010101)
            return lambda n: splat(b, b.xor(load(b, rows, I8, b.add(first, i64(WORD * n)), I32), sign), lanes)
        # One load of 16 bytes serves 4 steps: sdot multiplies by a lane of it without spreading it first.
        octets = b.xor(load(b, rows, I8, first, vector(I8, 4 * lanes)), constant(I8, ZERO, 4 * lanes))
        words = b.bitcast(octets, vector(I32, lanes))
        return lambda n: spread(b, words, n)

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        octets = vector(I8, 4 * total.type.count)
        return intrinsic(
            b,
            "llvm.aarch64.neon.sdot.v4i32.v16i8",
            total.type,
            total,
            b.bitcast(query, octets),
            b.bitcast(document, octets),
        )


class Smmla(_Integers):
    """Arm's usmmla: 2 rows by 2 query tokens by 8 bytes, added to 2 x 2 sums. It is smmla with one side unsigned.

    A step takes 8 bytes of each of two rows, of which one load has those of two steps (smmla)::

        ldp     q6, q0, [x26]                       // 32 bytes of a row
        zip1    v29.2d, v6.2d, v2.2d                // 8 bytes of it, and 8 of the next row
        usmmla  v25.4s, v29.16b, v4.16b             // v25 += products with 8 bytes of two query tokens

    Args:
        alone: whether a row takes both places, which is as fast as sdot.
    """

    step = 8

    def __init__(self, alone: bool = False) -> None:
        self._alone = alone

    def documents(
        self,
        b: ir.IRBuilder,
        rows: ir.Value,
        row: int,
        row_bytes: int,
        step: ir.Value,
        count: int,
        lanes: int,
    ) -> Callable[[int], ir.Value]:
        """See Arithmetic; `row` is the number of a pair. The last step of a row may have 4 bytes."""
        first = b.mul(step, i64(self.step))
        # Only what stands after the loop comes to the end of a row, and its step is known while the code is written.
        whole = row_bytes // self.step - step.constant if isinstance(step, ir.Constant) else count
        loaded: dict[int, ir.Value] = {}  # for the step after the last one

        def two(n: int, kind: ir.Type) -> list[ir.Value]:
            numbers = [0] if self._alone else [0, 1]
            places = [(len(numbers) * row + m) * row_bytes + n * self.step for m in numbers]
            values = [load(b, rows, I8, b.add(first, i64(place)), kind) for place in places]
            return [values[0], values[-1]]

        def operand(n: int) -> ir.Value:
            if n in loaded:
                return loaded.pop(n)
            if n + 1 < whole:
                one, other = two(n, vector(I64, 2))
                loaded[n + 1] = shuffled(b, one, other, (1, 3))
            else:
                values = two(n, I64 if n < whole else I32)
                one, other = (splat(b, b.zext(value, I64), 2) for value in values)
            return shuffled(b, one, other, (0, 2))

        return operand

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        octets = vector(I8, 4 * total.type.count)
        return intrinsic(
            b,
            "llvm.aarch64.neon.usmmla.v4i32.v16i8",
            total.type,
            total,
            b.bitcast(document, octets),
            b.bitcast(query, octets),
        )


class Float:
    """float32 on any processor: rows are turned into float32 first, and queries are not rounded.

    One row's step with 8 query tokens, one element of the row (avx2float)::

        vbroadcastss    16(%rdx,%rdi,4), %ymm4      # the element, 8 times
        vfmadd231ps     %ymm0, %ymm4, %ymm14        # ymm14 += ymm0 * ymm4; ymm0 holds the query's elements
    """

    step = 1
    limit = 0
    offset = 0
    run = 1

    def accumulator(self, lanes: int) -> ir.VectorType:
        return vector(F32, lanes)

    def prepare(
        self, b: ir.IRBuilder, rows: ir.Value, count: int, row_bytes: int, scratch: ir.Value
    ) -> ir.Value:
        """Write the rows' numbers into the scratch: 16 of them in a trip of the loop (avx2float)::

        vpmovzxbd       -32(%r8,%r14), %ymm0    # 8 bytes to 8 integers
        vcvtdq2ps       %ymm0, %ymm0            # to float32
        vaddps          %ymm0, %ymm12, %ymm0    # less 128
        vmovups         %ymm0, 64(%rdx,%r14,4)
        """
        width = 16 if row_bytes % 16 == 0 else 4
        with repeat(b, i64(0), i64(count * row_bytes), width) as place:
            octets = load(b, rows, I8, place, vector(I8, width))
            numbers = b.uitofp(octets, vector(F32, width))
            store(b, b.fsub(numbers, constant(F32, ZERO, width)), scratch, place, F32)
        return scratch

    def documents(
        self,
        b: ir.IRBuilder,
        rows: ir.Value,
        row: int,
        row_bytes: int,
        step: ir.Value,
        count: int,
        lanes: int,
    ) -> Callable[[int], ir.Value]:
        first = b.add(step, i64(row * row_bytes))
        if count != lanes:
            return lambda n: splat(b, load(b, rows, F32, b.add(first, i64(n))), lanes)
        values = load(b, rows, F32, first, vector(F32, lanes))
        return lambda n: spread(b, values, n)

    def multiply(self, b: ir.IRBuilder, total: ir.Value, document: ir.Value, query: ir.Value) -> ir.Value:
        name = f"llvm.fmuladd.v{total.type.count}f32"
        return intrinsic(b, name, total.type, document, query, total)
