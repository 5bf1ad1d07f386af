"""The few patterns of LLVM IR that the kernels are written in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

I8, I16, I32, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
F32, VOID = ir.FloatType(), ir.VoidType()
POINTER = ir.PointerType()


def vector(kind: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def at(b: ir.IRBuilder, pointer: ir.Value, kind: ir.Type, index: ir.Value | int) -> ir.Value:
    """Address of element `index` of an array of `kind`."""
    return b.gep(pointer, [i64(index) if isinstance(index, int) else index], source_etype=kind)


def load(
    b: ir.IRBuilder, pointer: ir.Value, unit: ir.Type, index: ir.Value | int = 0, kind: ir.Type | None = None
) -> ir.Value:
    """A value of `kind` (of `unit` if not given), `index` units behind the pointer, at any address."""
    return b.load(at(b, pointer, unit, index), align=1, typ=kind or unit)


def store(
    b: ir.IRBuilder,
    value: ir.Value,
    pointer: ir.Value,
    index: ir.Value | int = 0,
    unit: ir.Type | None = None,
) -> None:
    """Put a value `index` units (of its own type if not given) behind the pointer, at any address."""
    b.store(value, at(b, pointer, unit or value.type, index), align=1)


def splat(b: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector with `scalar` in every lane."""
    undefined = ir.Constant(vector(scalar.type, lanes), ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(vector(I32, lanes), [0] * lanes))


def spread(b: ir.IRBuilder, values: ir.Value, lane: int) -> ir.Value:
    """A vector with one lane of `values` in every lane."""
    lanes = values.type.count
    undefined = ir.Constant(values.type, ir.Undefined)
    return b.shuffle_vector(values, undefined, ir.Constant(vector(I32, lanes), [lane] * lanes))


def constant(kind: ir.Type, value: float, lanes: int) -> ir.Constant:
    """A vector constant with `value` in every lane."""
    return ir.Constant(vector(kind, lanes), [value] * lanes)


def intrinsic(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic by its full name."""
    declared = b.module.globals.get(name)
    if declared is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        declared = ir.Function(b.module, kind, name)
    return b.call(declared, arguments)


def prefetch(b: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the cache line at an address, which may lie behind the end of what there is."""
    reading, nearest, of_data = (ir.Constant(I32, value) for value in (0, 3, 1))
    intrinsic(b, "llvm.prefetch.p0", VOID, address, reading, nearest, of_data)


class Variable:
    """A mutable value: memory in the function's entry block, which LLVM turns into a register."""

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
    """for i in range(start, stop, step): the block runs with i, an i64."""
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
    """while True: the block runs with the block to branch to in order to leave."""
    body, done = b.append_basic_block("loop"), b.append_basic_block("left")
    b.branch(body)
    b.position_at_end(body)
    yield done
    b.branch(body)
    b.position_at_end(done)


def leave_if(b: ir.IRBuilder, condition: ir.Value, done: ir.Block) -> None:
    """if condition: break."""
    on = b.append_basic_block("on")
    b.cbranch(condition, done, on)
    b.position_at_end(on)


@contextmanager
def portions(
    b: ir.IRBuilder, counter: ir.Value, size: ir.Value, total: ir.Value
) -> Iterator[tuple[ir.Value, ir.Value]]:
    """The block runs with (first, last) of the next `size` of `total` pieces, taken from a counter that threads
    share, until none is left."""
    with forever(b) as done:
        first = b.atomic_rmw("add", counter, size, "monotonic")
        leave_if(b, b.icmp_signed(">=", first, total), done)
        behind = b.add(first, size)
        yield first, b.select(b.icmp_signed("<", behind, total), behind, total)
