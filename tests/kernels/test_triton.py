"""Triton makes the kernel machine code for GPUs that need not be there; tests/search/test_gpu.py runs it."""

from itertools import product

import pytest

pytest.importorskip("triton", reason="Triton is published for Linux on x86-64: pip install triton")


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("pairs", "exact", "packed"), product((False, True), repeat=3))
def test_it_compiles(capability, pairs, exact, packed, monkeypatch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from retrievers.kernels import triton_maxsim

    if not isinstance(triton_maxsim._scan, triton.runtime.jit.JITFunction):
        pytest.skip("TRITON_INTERPRET is set: nothing is compiled")
    constants = {"PAIRS": pairs, "EXACT": exact, "PACKED": packed}
    constants |= {"WIDTH": 96, "CHUNK": 32, "ROWS": 64, "AT_ONCE": 32}
    signature = dict.fromkeys(["starts", "ends", "owners"], "*i64")
    signature |= dict.fromkeys(["scales", "query_scales", "out"], "*fp32")
    signature |= dict.fromkeys(["windows", "asked", "tokens"], "i32")
    signature |= {"rows": "*u8" if packed else "*i8", "queries": "*fp32" if exact else "*i8"}
    signature |= dict.fromkeys(constants, "constexpr")
    names = triton_maxsim._scan.arg_names
    source = ASTSource(
        triton_maxsim._scan,
        {name: signature[name] for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    assert ("mma" in compiled.asm["ptx"]) is not exact
