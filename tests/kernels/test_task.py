"""A task is written down once: what Python fills by name, the generated code reads by the same name."""

import numpy as np
import pytest
from llvmlite import ir

from retrievers.kernels import compile, targets
from retrievers.kernels.ir import I64, POINTER, VOID, load, store
from retrievers.kernels.task import Array, Count, Layout

LAYOUT = Layout(given=Array("int64, (1,)"), number=Count("any"), out=Array("int64, (2,)"))


def module(triple):
    """Copies the given element and the number out: one function reads a task, the other its arguments."""
    unit = ir.Module("task")
    unit.triple = triple
    reads = ir.Function(unit, ir.FunctionType(VOID, [POINTER]), "reads")
    b = ir.IRBuilder(reads.append_basic_block("entry"))
    _copy(b, LAYOUT.read(b, reads.args[0]))
    b = LAYOUT.function(unit, "takes")
    _copy(b, LAYOUT.arguments(b))
    return unit


def _copy(b, task):
    store(b, load(b, task["given"], I64), task["out"], 0)
    store(b, task["number"], task["out"], 1)
    b.ret_void()


@pytest.mark.parametrize("function", ["reads", "takes"])
def test_generated_code_finds_each_field_where_python_put_it(function):
    arguments = [("reads", 1), ("takes", len(LAYOUT))]
    call = compile.functions(("a test of tasks",), targets.TARGETS["portable"], module, arguments)[function]
    given, out = np.array([5]), np.zeros(2, np.int64)
    task = LAYOUT.values(out=out, number=7, given=given)
    row = np.array(task, np.int64)
    call(*task) if function == "takes" else call(row.ctypes.data)
    assert out.tolist() == [5, 7]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"number": 1, "out": np.zeros(1)}, "'given' of a task is None: Array.*is needed"),
        ({"given": np.zeros(1), "number": 1, "out": np.zeros(1), "more": 2}, "no fields more"),
        ({"given": 4, "number": 1, "out": np.zeros(1)}, "'given' of a task is 4: Array.*is needed"),
        ({"given": np.zeros(1), "number": np.zeros(1), "out": np.zeros(1)}, "'number' of a task is array"),
    ],
)
def test_a_task_that_does_not_fit_its_layout_never_reaches_native_code(given, words):
    with pytest.raises(TypeError, match=words):
        LAYOUT.values(**given)
