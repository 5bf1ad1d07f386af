"""Matrix registers are shared with other libraries of the process: what they set up must stay."""

import numpy as np
import pytest
from llvmlite import ir

from retrievers.kernels import amx, compile, maxsim, targets
from retrievers.kernels.ir import POINTER, VOID, intrinsic
from tests.kernels.cases import make_case

pytestmark = pytest.mark.skipif("amx" not in targets.available_targets(), reason="this processor has no AMX")
TARGET = targets.TARGETS["amx"]


@pytest.fixture
def tiles():
    """set(address) and get(address) of this thread's 64 bytes of configuration."""

    def make(triple):
        unit = ir.Module("tiles")
        unit.triple = triple
        for name, instruction in (("set", "llvm.x86.ldtilecfg"), ("get", "llvm.x86.sttilecfg")):
            function = ir.Function(unit, ir.FunctionType(VOID, [POINTER]), name)
            b = ir.IRBuilder(function.append_basic_block())
            intrinsic(b, instruction, VOID, function.args[0])
            b.ret_void()
        return unit

    functions = compile.functions(("tiles of a test",), TARGET, make, [("set", 1), ("get", 1)])
    yield functions
    functions["set"](np.zeros(64, np.uint8).ctypes.data)


def test_a_scan_leaves_the_tiles_as_another_library_configured_them(tiles, monkeypatch):
    monkeypatch.setattr(maxsim, "helpers", lambda multiplications: 0)
    theirs, after = np.zeros(64, np.uint8), np.zeros(64, np.uint8)
    theirs[0], theirs[16], theirs[48] = 1, 32, 8  # tile 0: 8 rows of 32 bytes
    tiles["set"](theirs.ctypes.data)
    maxsim.maxsim(*make_case(0, 128, [70], [20]), TARGET)
    tiles["get"](after.ctypes.data)
    np.testing.assert_array_equal(after, theirs)


def test_a_scan_leaves_no_tiles_in_use(tiles, monkeypatch):
    monkeypatch.setattr(maxsim, "helpers", lambda multiplications: 0)
    after = np.ones(64, np.uint8)
    maxsim.maxsim(*make_case(0, 128, [70], [20]), TARGET)
    tiles["get"](after.ctypes.data)
    assert not after.any()


@pytest.mark.parametrize("row_bytes", [64, 128, 384, 768])
def test_models_of_usual_width_fill_tiles(row_bytes):
    assert amx.fits(row_bytes)


def test_other_widths_go_through_vectors():
    assert not amx.fits(96)
    scores = maxsim.maxsim(*make_case(0, 96, [70], [20]), TARGET)
    vectors = maxsim.maxsim(*make_case(0, 96, [70], [20]), targets.TARGETS["avx512vnni"])
    np.testing.assert_array_equal(scores, vectors)


def test_tiles_and_vectors_agree_to_the_last_bit():
    case = make_case(1, 128, range(1, 100), [14, 33, 5])
    vectors = maxsim.maxsim(*case, targets.TARGETS["avx512vnni"])
    np.testing.assert_array_equal(maxsim.maxsim(*case, TARGET), vectors)
