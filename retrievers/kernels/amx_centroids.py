"""The nearest centroids by Intel's matrix instructions: 16 centroids by 16 rows by 64 bytes at once."""

from __future__ import annotations

from llvmlite import ir

from retrievers.kernels.amx import BYTES, QUERY, ROWS, SIDE, Tiles
from retrievers.kernels.centroids import Emitter
from retrievers.kernels.ir import I8, I32, at, load


class MatrixEmitter(Emitter):
    """nearest with 2 by 2 tiles of products: 32 centroids and 32 rows."""

    def nearest(self) -> None:
        self.groups, self.block = 2, 2 * SIDE
        self.tiles = Tiles(self.b)
        super().nearest()

    def leave(self) -> None:
        self.tiles.give_back()
        super().leave()

    def products(
        self, query: ir.Value, groups: int, rows: ir.Value, count: int, excess: ir.Value | None
    ) -> list[list[ir.Value]]:
        b, tiles = self.b, self.tiles
        cells = [(m, n, m * groups + n) for m in range(count // SIDE) for n in range(groups)]
        for _, _, product in cells:
            tiles.zero(product)
        for part in range(self.width // BYTES):
            for n in range(groups):
                tiles.load(QUERY + n, at(b, query, self.totals, n * self.steps + part * SIDE), BYTES)
            for m in range(count // SIDE):
                place = m * SIDE * self.width + part * BYTES
                tiles.load(ROWS + m, at(b, rows, I8, place), self.width)
            for m, n, product in cells:
                tiles.multiply(product, ROWS + m, QUERY + n)
        for _, _, product in cells:
            tiles.store(product)
        return [[self._product(m, n, groups) for n in range(groups)] for m in range(count)]

    def _product(self, m: int, n: int, groups: int) -> ir.Value:
        place = (m // SIDE * groups + n) * SIDE * SIDE + m % SIDE * SIDE
        return load(self.b, self.tiles.products, I32, place, self.totals)
