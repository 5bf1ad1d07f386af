"""The few patterns of LLVM IR that the kernels are written in, each with the assembler that it comes out as.

`b` is llvmlite's IRBuilder: calling its methods does not compute anything, it writes instructions into the function
that is being generated. An ir.Value stands for what an instruction will give when that function runs. Assembler is
in the syntax of LLVM, in which what is written stands last: see README.md of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

I8, I16, I32, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
F32, VOID = ir.FloatType(), ir.VoidType()
POINTER = ir.PointerType()


def vector(kind: ir.Type, lanes: int) -> ir.VectorType:
    """The type of a vector: as many numbers of one type, side by side in a register."""
    return ir.VectorType(kind, lanes)


def i64(value: int) -> ir.Constant:
    """A number that is known while the function is generated; it becomes part of an instruction."""
    return ir.Constant(I64, value)


def at(b: ir.IRBuilder, pointer: ir.Value, kind: ir.Type, index: ir.Value | int) -> ir.Value:
    """Address of element `index` of an array of `kind`.

    Mostly no instruction of its own: a load or store computes it. Otherwise one (avx2)::

        leaq    (%rdx,%rbp,4), %r8          # address of float32 number rbp of the array at rdx
    """
    return b.gep(pointer, [i64(index) if isinstance(index, int) else index], source_etype=kind)


def load(
    b: ir.IRBuilder, pointer: ir.Value, unit: ir.Type, index: ir.Value | int = 0, kind: ir.Type | None = None
) -> ir.Value:
    """The value of `kind` (of `unit` if not given) that begins `index` units after the pointer, at any address.

    One load (avx2)::

        movq    (%rbx,%r10,8), %rsi         # int64 number r10 of the array at rbx
    """
    return b.load(at(b, pointer, unit, index), align=1, typ=kind or unit)


def store(
    b: ir.IRBuilder,
    value: ir.Value,
    pointer: ir.Value,
    index: ir.Value | int = 0,
    unit: ir.Type | None = None,
) -> None:
    """Write a value `index` units (of its own type if not given) after the pointer, at any address.

    One store (avx2)::

        vmovss  %xmm0, (%rdx,%rsi,4)        # float32 number rsi of the array at rdx
    """
    b.store(value, at(b, pointer, unit or value.type, index), align=1)


def splat(b: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector with `scalar` in every lane.

    Where the scalar was just loaded, load and splat are one instruction (avx2)::

        vpbroadcastd    (%rax,%rdx), %ymm0  # the same 4 bytes in each of 8 lanes
    """
    undefined = ir.Constant(vector(scalar.type, lanes), ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(vector(I32, lanes), [0] * lanes))


def spread(b: ir.IRBuilder, values: ir.Value, lane: int) -> ir.Value:
    """A vector with one lane of `values` in every lane.

    An Arm processor multiplies by a lane without spreading it first (portable, aarch64)::

        fmla    v21.4s, v24.4s, v23.s[0]    // v21 += v24 * lane 0 of v23
    """
    lanes = values.type.count
    undefined = ir.Constant(values.type, ir.Undefined)
    return b.shuffle_vector(values, undefined, ir.Constant(vector(I32, lanes), [lane] * lanes))


def shuffled(b: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: tuple[int, ...]) -> ir.Value:
    """A vector of some lanes of two; those of `other` are counted on from those of `one`.

    The first lanes of both, side by side (smmla)::

        zip1    v29.2d, v6.2d, v2.2d
    """
    return b.shuffle_vector(one, other, ir.Constant(vector(I32, len(lanes)), list(lanes)))


def constant(kind: ir.Type, value: float, lanes: int) -> ir.Constant:
    """A vector constant with `value` in every lane.

    Its bytes lie beside the code, and are loaded once; zeros need no memory (avx2)::

        movabsq $.LCPI0_1, %rsi             # where LLVM put the constant
        vmovdqa (%rsi), %ymm13
        vxorps  %xmm0, %xmm0, %xmm0         # zeros
    """
    return ir.Constant(vector(kind, lanes), [value] * lanes)


def intrinsic(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic by its full name: a function in IR that is one instruction of the processor.

    For example llvm.x86.avx2.pmadd.wd (avx2)::

        vpmaddwd        %ymm0, %ymm13, %ymm0
    """
    declared = b.module.globals.get(name)
    if declared is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        declared = ir.Function(b.module, kind, name)
    return b.call(declared, arguments)


def prefetch(b: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the cache line at an address, which need not be one that may be read.

    One instruction, which waits for nothing and never fails (avx2)::

        prefetcht0      (%r11,%rbx)
    """
    reading, nearest, of_data = (ir.Constant(I32, value) for value in (0, 3, 1))
    intrinsic(b, "llvm.prefetch.p0", VOID, address, reading, nearest, of_data)


class Variable:
    """A value that changes while the function runs.

    In IR it is memory of the function's own, which LLVM turns into a register: `get` and `set` give no instruction,
    unless there are more variables than registers. Then one of them lies on the stack for a while (avx2)::

        vmovdqu %ymm9, 32(%rsp)
    """

    def __init__(self, b: ir.IRBuilder, kind: ir.Type) -> None:
        with b.goto_entry_block():
            self._place = b.alloca(kind)
        self._b, self._kind = b, kind

    def get(self) -> ir.Value:
        return self._b.load(self._place, typ=self._kind)

    def set(self, value: ir.Value) -> None:
        self._b.store(value, self._place)


@contextmanager
def repeat(b: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
    """for i in range(start, stop, step): what is written in the `with` block runs with i, an i64.

    Around the block stand three instructions (avx2)::

        addq    $8, %r8                     # i += 8
        cmpq    %r9, %r8                    # i < r9?
        jl      .LBB0_38                    # then once more from the label on
    """
    head, body, done = (b.append_basic_block(name) for name in ("for", "body", "done"))
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(start, before)
    b.cbranch(b.icmp_signed("<", index, stop), body, done)
    b.position_at_end(body)
    yield index
    index.add_incoming(b.add(index, i64(step)), b.block)
    b.branch(head)
    b.position_at_end(done)


@contextmanager
def forever(b: ir.IRBuilder) -> Iterator[ir.Block]:
    """while True: what is written in the `with` block runs again and again, until it leaves for the block given.

    One instruction at the end (avx2)::

        jmp     .LBB0_27                    # back to the label at the beginning
    """
    body, done = b.append_basic_block("loop"), b.append_basic_block("left")
    b.branch(body)
    b.position_at_end(body)
    yield done
    b.branch(body)
    b.position_at_end(done)


def leave_if(b: ir.IRBuilder, condition: ir.Value, done: ir.Block) -> None:
    """if condition: break.

    A comparison and a jump (avx2)::

        cmpq    %r15, %rbp
        jge     .LBB0_76                    # leave if rbp >= r15
    """
    on = b.append_basic_block("on")
    b.cbranch(condition, done, on)
    b.position_at_end(on)


@contextmanager
def portions(
    b: ir.IRBuilder, counter: ir.Value, size: ir.Value, total: ir.Value
) -> Iterator[tuple[ir.Value, ir.Value]]:
    """What is written in the `with` block runs with (first, last) of the next `size` of `total` pieces, until none
    is left. Threads share the counter that the pieces are taken from, and so divide them among each other.

    Taking a portion is one instruction that no other thread can come between (avx2)::

        lock    xaddq   %rbp, (%rsi)        # first = counter; counter += size
        cmpq    %r15, %rbp
        jge     .LBB0_76                    # leave if first >= total
        leaq    (%r8,%rbp), %rsi            # last = first + size
        cmpq    %r15, %rsi
        cmovgeq %r15, %rsi                  # or total, if that is less
    """
    with forever(b) as done:
        first = b.atomic_rmw("add", counter, size, "monotonic")
        leave_if(b, b.icmp_signed(">=", first, total), done)
        last = b.add(first, size)
        yield first, b.select(b.icmp_signed("<", last, total), last, total)
