"""The nearest centroids by Intel's matrix instructions: 16 centroids by 16 rows by 64 bytes at once."""

from __future__ import annotations

from llvmlite import ir

from retrievers.kernels.amx import BYTES, QUERY, ROWS, SIDE, configure
from retrievers.kernels.centroids import Emitter
from retrievers.kernels.emit import I8, I32, VOID, at, i64, intrinsic, load


class MatrixEmitter(Emitter):
    """nearest with 2 by 2 tiles of products: 32 centroids and 32 rows."""

    def nearest(self) -> None:
        b = self.b
        self.groups, self.block = 2, 2 * SIDE
        self.memory = b.alloca(ir.ArrayType(I32, 4 * SIDE * SIDE))
        self.memory.align = BYTES
        # Other libraries of this process use tiles too, and may rely on how they left them.
        self.before = b.alloca(ir.ArrayType(I8, 64))
        intrinsic(b, "llvm.x86.sttilecfg", VOID, self.before)
        configure(b)
        super().nearest()

    def leave(self) -> None:
        intrinsic(self.b, "llvm.x86.ldtilecfg", VOID, self.before)
        super().leave()

    def products(
        self, query: ir.Value, groups: int, rows: ir.Value, count: int, excess: ir.Value | None
    ) -> list[list[ir.Value]]:
        b = self.b
        cells = [(m, n, m * groups + n) for m in range(count // SIDE) for n in range(groups)]
        for _, _, product in cells:
            intrinsic(b, "llvm.x86.tilezero", VOID, _number(product))
        for part in range(self.width // BYTES):
            for n in range(groups):
                self._load(QUERY + n, at(b, query, self.totals, n * self.steps + part * SIDE), BYTES)
            for m in range(count // SIDE):
                place = m * SIDE * self.width + part * BYTES
                self._load(ROWS + m, at(b, rows, I8, place), self.width)
            for m, n, product in cells:
                numbers = (_number(product), _number(ROWS + m), _number(QUERY + n))
                intrinsic(b, "llvm.x86.tdpbusd", VOID, *numbers)
        for _, _, product in cells:
            place = at(b, self.memory, I32, product * SIDE * SIDE)
            intrinsic(b, "llvm.x86.tilestored64", VOID, _number(product), place, i64(BYTES))
        return [[self._product(m, n, groups) for n in range(groups)] for m in range(count)]

    def _product(self, m: int, n: int, groups: int) -> ir.Value:
        place = (m // SIDE * groups + n) * SIDE * SIDE + m % SIDE * SIDE
        return load(self.b, self.memory, I32, place, self.totals)

    def _load(self, number: int, place: ir.Value, stride: int) -> None:
        intrinsic(self.b, "llvm.x86.tileloadd64", VOID, _number(number), place, i64(stride))


def _number(tile: int) -> ir.Constant:
    return ir.Constant(I8, tile)
