"""The layout of a task: what Python hands to a generated function, written down once for both sides.

A task is a row of int64: addresses of arrays, and counts. Python fills it by name with `Layout.values`; the
generator reads it by the same names with `Layout.read` or `Layout.arguments`, so that the two cannot disagree
about an order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from retrievers.kernels.ir import I64, POINTER, VOID, load


@dataclass(frozen=True)
class Array:
    """A field that holds the address of an array, whose dtype, shape and content the meaning tells."""

    meaning: str


@dataclass(frozen=True)
class Count:
    """A field that holds a number."""

    meaning: str


class Layout:
    """The fields of a task, in the order in which they are given.

    Args:
        fields: what each one holds.
    """

    def __init__(self, **fields: Array | Count) -> None:
        self.fields = fields
        self._is_array = [(name, isinstance(field, Array)) for name, field in fields.items()]

    def __len__(self) -> int:
        return len(self.fields)

    def values(self, **given: NDArray[np.generic] | int) -> list[int]:
        """A task from arrays and numbers. The caller keeps the arrays for as long as the task is used.

        Raises:
            TypeError: a field is missing or unknown, or holds a number where an array is needed or the reverse.
        """
        values: list[int] = []
        for name, is_array in self._is_array:
            value = given.get(name)
            if is_array and isinstance(value, np.ndarray):
                values.append(value.ctypes.data)
            elif not is_array and isinstance(value, int):
                values.append(value)
            else:
                raise TypeError(f"field {name!r} of a task is {value!r}: {self.fields[name]} is needed.")
        if len(given) > len(values):
            raise TypeError(f"a task has no fields {', '.join(given.keys() - self.fields.keys())}.")
        return values

    def read(self, b: ir.IRBuilder, task: ir.Value) -> dict[str, ir.Value]:
        """The fields of the task at an address: pointers, and int64 for counts.

        Each field is one load; the task's address is in rdi (avx2)::

            movq    16(%rdi), %rbx      # field 2
        """
        return self._named(b, [load(b, task, I64, n) for n in range(len(self))])

    def arguments(self, b: ir.IRBuilder) -> dict[str, ir.Value]:
        """The fields of a task whose int64 are the function's arguments: pointers, and int64 for counts.

        No instruction: the arguments are in registers when the function begins.
        """
        return self._named(b, list(b.function.args))

    def function(self, unit: ir.Module, name: str) -> ir.IRBuilder:
        """Add a function to a module that takes a task's int64 as its arguments, and begin to write it."""
        function = ir.Function(unit, ir.FunctionType(VOID, [I64] * len(self)), name)
        return ir.IRBuilder(function.append_basic_block("entry"))

    def _named(self, b: ir.IRBuilder, values: list[ir.Value]) -> dict[str, ir.Value]:
        """The values of all fields by name, addresses as pointers. No instruction: only their type changes."""
        return {
            name: b.inttoptr(value, POINTER) if isinstance(field, Array) else value
            for (name, field), value in zip(self.fields.items(), values, strict=True)
        }
