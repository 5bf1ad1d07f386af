"""The scan by Intel's matrix instructions: 16 rows by 16 query tokens by 64 bytes at once.

A register of this kind ("tile") takes 16 stored rows as they lie, another the packed query as the vector
scan reads it, a third the 16 x 16 products. Blocks of fewer than 16 rows go through the vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from retrievers.kernels.compile import functions
from retrievers.kernels.ir import F32, I8, I32, VOID, Variable, at, i64, intrinsic, load, splat
from retrievers.kernels.scan import NAME, Scan, define
from retrievers.kernels.targets import Target, Tile

SIDE = 16  # rows of a tile, and int32 in one of its rows
BYTES = 64  # of a row of a tile
QUERY, ROWS = 4, 6  # numbers of the tiles behind the four of products
TILES = (Tile(2, (32, 16, 8, 4, 2, 1)), Tile(1, (64, 32, 16, 8, 4, 2, 1)))
"""Four tiles of products, as an instruction starts four times until one has ended; eight tiles there are."""


def fits(row_bytes: int) -> bool:
    """Whether rows of this width fill tiles."""
    return row_bytes % BYTES == 0


def compiled(target: Target, row_bytes: int) -> Callable[[int, int, int], None]:
    """The scan for one width of rows; its arguments are addresses: task, counter, scratch."""

    def make(triple: str) -> ir.Module:
        return module(target, row_bytes, triple)

    return functions((NAME, target.name, row_bytes), target, make, [(NAME, 3)])[NAME]


def module(target: Target, row_bytes: int, triple: str) -> ir.Module:
    """The scan in LLVM IR, like retrievers.kernels.scan.module."""
    unit, function = define(triple)
    _MatrixScan(function, target.arithmetic, target.lanes, TILES, row_bytes).emit()
    return unit


def configure(b: ir.IRBuilder) -> None:
    """Make all 8 tiles of this thread 16 rows of 64 bytes."""
    # Palette 1; the bytes of each tile's rows, 16-bit numbers from 16 on; the numbers of rows from 48 on.
    content = [1, *[0] * 15, *[BYTES, 0] * 8, *[0] * 16, *[SIDE] * 8, *[0] * 8]
    place = b.alloca(ir.ArrayType(I8, 64))
    b.store(ir.Constant(ir.ArrayType(I8, 64), content), place)
    intrinsic(b, "llvm.x86.ldtilecfg", VOID, place)


class Tiles:
    """The tiles within one function, and memory that four of products are stored to."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b = b
        self.products = b.alloca(ir.ArrayType(I32, 4 * SIDE * SIDE))
        self.products.align = BYTES
        # Other libraries of this process use tiles too, and may rely on how they left them.
        self._before = b.alloca(ir.ArrayType(I8, 64))
        intrinsic(b, "llvm.x86.sttilecfg", VOID, self._before)
        configure(b)

    def give_back(self) -> None:
        intrinsic(self.b, "llvm.x86.ldtilecfg", VOID, self._before)

    def zero(self, product: int) -> None:
        intrinsic(self.b, "llvm.x86.tilezero", VOID, ir.Constant(I8, product))

    def load(self, number: int, place: ir.Value, stride: int) -> None:
        intrinsic(self.b, "llvm.x86.tileloadd64", VOID, ir.Constant(I8, number), place, i64(stride))

    def multiply(self, product: int, rows: int, query: int) -> None:
        numbers = (ir.Constant(I8, number) for number in (product, rows, query))
        intrinsic(self.b, "llvm.x86.tdpbusd", VOID, *numbers)

    def store(self, product: int) -> None:
        place = at(self.b, self.products, I32, product * SIDE * SIDE)
        intrinsic(self.b, "llvm.x86.tilestored64", VOID, ir.Constant(I8, product), place, i64(BYTES))


class _MatrixScan(Scan):
    def emit(self) -> None:
        self.registers = Tiles(self.b)
        super().emit()

    def leave(self) -> None:
        self.registers.give_back()
        super().leave()

    def raise_maxima(
        self, tile: Tile, group: ir.Value, best: list[Variable], first: ir.Value, count: int
    ) -> None:
        if count < SIDE:
            super().raise_maxima(tile, group, best, first, count)
            return
        b = self.b
        self._multiply(tile.groups, count // SIDE, group, first)
        for n, maximum in enumerate(best):
            for m in range(count):
                scale = load(b, self.pointer["scales"], F32, b.add(first, i64(m)))
                place = (m // SIDE * tile.groups + n) * SIDE * SIDE + m % SIDE * SIDE
                number = b.sitofp(load(b, self.registers.products, I32, place, self.totals), self.floats)
                value = b.fmul(number, splat(b, scale, self.lanes))
                high = maximum.get()
                maximum.set(b.select(b.fcmp_ordered(">", value, high), value, high))

    def _multiply(self, groups: int, blocks: int, group: ir.Value, first: ir.Value) -> None:
        """Products of `blocks` times 16 rows from `first` on and `groups` groups, left in memory."""
        b, tiles = self.b, self.registers
        cells = [(m, n, m * groups + n) for m in range(blocks) for n in range(groups)]
        for _, n, product in cells:
            lanes = at(b, self.pointer["excess"], I32, b.mul(b.add(group, i64(n)), i64(self.lanes)))
            tiles.load(product, lanes, 0)  # the same row 16 times
        begin = b.mul(first, i64(self.row_bytes))
        rows = at(b, self.pointer["rows"], I8, begin)
        query = at(b, self.pointer["query"], self.totals, b.mul(group, i64(self.steps)))
        for part in range(self.row_bytes // BYTES):
            for n in range(groups):
                tiles.load(QUERY + n, at(b, query, self.totals, n * self.steps + part * SIDE), BYTES)
            for m, n, product in cells:
                taken = ROWS + m % 2
                if n == 0:
                    place = m * SIDE * self.row_bytes + part * BYTES
                    tiles.load(taken, at(b, rows, I8, place), self.row_bytes)
                    for row in range(SIDE):
                        self.prefetch(b.add(begin, i64(place + row * self.row_bytes)))
                tiles.multiply(product, taken, QUERY + n)
        for _, _, product in cells:
            tiles.store(product)
