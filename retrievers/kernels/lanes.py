"""A sum over the lanes that a query fills, of numbers that lie side by side in memory."""

from __future__ import annotations

from llvmlite import ir

from retrievers.kernels.ir import F32, I32, Variable, constant, load, repeat, splat, vector


def sum_of_lanes(b: ir.IRBuilder, sums: ir.Value, first: ir.Value, last: ir.Value, lanes: int) -> ir.Value:
    """The sum of lanes first to last, always in the same order, wherever in a pass the query lies.

    Vectors of lanes are added up, those of other queries taken as 0; then halves until one is left (avx2)::

        vpcmpgtd        %ymm2, %ymm1, %ymm1         # which of the 8 lanes are the query's?
        vpand           (%r11,%r8,4), %ymm1, %ymm1
        vaddps          %ymm1, %ymm0, %ymm0
        addq            $8, %r8
        vextractf128    $1, %ymm0, %xmm1            # after the loop: the upper half
        vaddps          %xmm1, %xmm0, %xmm0         # to the lower one

    Args:
        sums: address of float32, side by side.
        first, last: int64; a multiple of the lanes of a vector is readable from first on.
        lanes: of a vector.
    """
    floats = vector(F32, lanes)
    total = Variable(b, floats)
    total.set(constant(F32, 0.0, lanes))
    places = ir.Constant(vector(I32, lanes), list(range(lanes)))
    with repeat(b, first, last, lanes) as lane:
        values = load(b, sums, F32, lane, floats)
        left = splat(b, b.trunc(b.sub(last, lane), I32), lanes)
        kept = b.select(b.icmp_signed("<", places, left), values, constant(F32, 0.0, lanes))
        total.set(b.fadd(total.get(), kept))
    values, width = total.get(), lanes
    while width > 1:
        width //= 2
        low, high = (ir.Constant(vector(I32, width), list(range(n, n + width))) for n in (0, width))
        values = b.fadd(b.shuffle_vector(values, values, low), b.shuffle_vector(values, values, high))
    return b.extract_element(values, ir.Constant(I32, 0))
