"""The generator of the scan: MaxSim of many windows and queries as one native function, in LLVM IR.

Query tokens lie in the lanes of vectors; the tokens of one vector are a group. A block multiplies a few rows (tokens
of a window) by a few groups, with every sum of products in a register, scales the sums, and raises the groups' maxima
to them. The numbers of rows and groups are the block's shape, a tile. Rows are read once for each tile, while they
are in the first-level cache, and never copied.

Threads take windows in chunks from a shared counter until none is left, and none waits for another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from retrievers.kernels import amx, nibbles
from retrievers.kernels.compile import functions
from retrievers.kernels.ir import (
    F32,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Variable,
    at,
    constant,
    forever,
    i64,
    leave_if,
    load,
    portions,
    repeat,
    splat,
    store,
    vector,
)
from retrievers.kernels.lanes import sum_of_lanes
from retrievers.kernels.look_ahead import PREFETCH, UNPACKED, LookAhead
from retrievers.kernels.narrow import of_nibbles
from retrievers.kernels.products import Product
from retrievers.kernels.targets import Target, Tile
from retrievers.kernels.task import Array, Count, Layout
from retrievers.kernels.unpack import unpack

NAME = "scan"

TASK = Layout(
    rows=Array("uint8, (tokens, row_bytes), see retrievers.kernels.rows"),
    scales=Array("float32, (tokens,)"),
    starts=Array("int64, (windows,): first token of each window"),
    ends=Array("int64, (windows,): one past the last token of each window"),
    windows=Count("windows to score"),
    chunk=Count("windows that a thread takes at once"),
    query=Array("(groups, steps, lanes), see retrievers.kernels.pack"),
    excess=Array("int32, (groups, lanes): minus what the offset of stored rows adds to a product"),
    query_scales=Array("float32, (groups, lanes)"),
    groups=Count("vectors of query tokens"),
    offsets=Array("int64, (queries + 1,): first lane of each query"),
    queries=Count("queries to score"),
    out=Array("float32, (queries, windows): the scores"),
)


def module(target: Target, row_bytes: int, triple: str, bits: int = 8) -> ir.Module:
    """The scan for one width of rows.

    Args:
        target: the kind of processor.
        row_bytes: bytes of a row.
        triple: what LLVM calls the architecture and the system.
        bits: of a stored number, 8 or 4.
    Returns:
        a module with the function scan(task: int64*, counter: int64*, scratch: float32*).
    """
    unit = ir.Module(NAME)
    unit.triple = triple
    function = ir.Function(unit, ir.FunctionType(VOID, [POINTER] * 3), NAME)
    Scan(function, target, row_bytes, bits).emit()
    return unit


def compiled(target: Target, row_bytes: int, bits: int = 8) -> Callable[[int, int, int], None]:
    """The scan of a target for one width of rows; its arguments are addresses: task, counter, scratch."""

    def make(triple: str) -> ir.Module:
        return module(target, row_bytes, triple, bits)

    return functions((NAME, row_bytes, bits), target, make, [(NAME, 3)])[NAME]


def scratch_floats(target: Target, row_bytes: int, groups: int, bits: int = 8, longest: int = 0) -> int:
    """float32 of working memory that a thread needs for queries of some groups, and the longest window's tokens."""
    unpacked = longest * row_bytes * 2 // 4 if bits == nibbles.BITS else 0
    return _copied_floats(target, row_bytes * 8 // bits) + (groups + 1) * target.lanes + unpacked


def _copied_floats(target: Target, width: int) -> int:
    """float32 of the rows of a block, which the float32 arithmetic turns into numbers before it multiplies."""
    return 0 if target.arithmetic.limit else max(tile.rows[0] for tile in target.tiles) * width


class Scan:
    """Writes the function. Each method writes a part of it, and shows the assembler that the part comes out as.

    Rows have 128 bytes in what is shown; other widths give other numbers.
    """

    def __init__(self, function: ir.Function, target: Target, row_bytes: int, bits: int = 8) -> None:
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        task, self.counter, self.scratch = function.args
        self.packed = bits == nibbles.BITS
        self.lanes, self.row_bytes, width = target.lanes, row_bytes, row_bytes * 8 // bits
        self.arithmetic = of_nibbles(target.arithmetic) if self.packed else target.arithmetic
        self.tiles = target.matrix_tiles if amx.serves(target, width) else target.tiles
        self.task = TASK.read(b, task)
        self.sums = at(b, self.scratch, F32, _copied_floats(target, width))
        lanes = b.mul(b.add(self.task["groups"], i64(1)), i64(self.lanes))
        self.rows = at(b, self.sums, F32, lanes) if self.packed else self.task["rows"]
        self.products = amx.products(b, target, width, self.arithmetic)
        ahead = UNPACKED if self.packed else PREFETCH
        self.look_ahead = LookAhead(b, self.task["rows"], row_bytes, target.arm, ahead)
        # No product is NaN: knowing that, LLVM takes a maximum by one instruction on Arm, as it does on x86 anyway.
        self.flags = ("nnan", "nsz") if target.arm else ()
        self.floats, self.totals = vector(F32, self.lanes), self.products.totals

    def emit(self) -> None:
        """The whole function: windows, in chunks that the threads take from a counter.

        The loop over the windows of a chunk (avx2)::

            incq    %rbp                        # the following window
            cmpq    %rsi, %rbp                  # is it in this chunk?
            cmovlq  %rbp, %rdx                  # if not, it stays this one
        """
        b = self.b
        chunk, windows = self.task["chunk"], self.task["windows"]
        with portions(b, self.counter, chunk, windows) as (first, last), repeat(b, first, last) as window:
            following = b.add(window, i64(1))
            self._window(window, b.select(b.icmp_signed("<", following, last), following, window))
        self.products.end()
        b.ret_void()

    def _window(self, window: ir.Value, following: ir.Value) -> None:
        """One window's score for each query; the following window is the one that is scored next.

        Its first instructions (avx2)::

            movq    (%rbx,%r10,8), %rsi         # starts[window]
            movq    (%r14,%r10,8), %r11         # ends[window]
            movq    (%rbx,%rdx,8), %r10         # starts[following]
        """
        b = self.b
        start, end = (load(b, self.task[name], I64, window) for name in ("starts", "ends"))
        self.look_ahead.begin(start, end, load(b, self.task["starts"], I64, following))
        with b.if_else(b.icmp_signed("<", start, end)) as (some, none):
            with some:
                if self.packed:
                    rows = at(b, self.task["rows"], I8, b.mul(start, i64(self.row_bytes)))
                    count, levels = b.sub(end, start), self.arithmetic.run > 1
                    unpack(b, rows, count, self.row_bytes, self.rows, levels=levels)
                group = Variable(b, I64)
                group.set(i64(0))
                for tile in self.tiles:
                    with forever(b) as done:
                        next_group = b.add(group.get(), i64(tile.groups))
                        leave_if(b, b.icmp_signed(">", next_group, self.task["groups"]), done)
                        self._tile(tile, group.get(), start, end)
                        group.set(next_group)
                with repeat(b, i64(0), self.task["queries"]) as query:
                    first = load(b, self.task["offsets"], I64, query)
                    last = load(b, self.task["offsets"], I64, b.add(query, i64(1)))
                    score = sum_of_lanes(b, self.sums, first, last, self.lanes)
                    store(b, score, self._place(query, window))
            with none, repeat(b, i64(0), self.task["queries"]) as query:
                store(b, ir.Constant(F32, float("-inf")), self._place(query, window))

    def _place(self, query: ir.Value, window: ir.Value) -> ir.Value:
        """Where a score is written: out[query, window].

        A multiplication; the additions are part of the store (avx2)::

            imulq   %r15, %rsi                  # query * windows
        """
        b = self.b
        return at(b, self.task["out"], F32, b.add(b.mul(query, self.task["windows"]), window))

    def _tile(self, tile: Tile, group: ir.Value, start: ir.Value, end: ir.Value) -> None:
        """Leave the maxima of a tile's groups over the rows start to end, scaled, in the scratch.

        A group's maxima are in a register while the window's rows go by; then (avx2)::

            vmulps  (%rdx,%r8), %ymm14, %ymm0   # times the query tokens' scales
            vmovups %ymm0, (%rdx,%r8)           # into the scratch
        """
        b = self.b
        best = [Variable(b, self.floats) for _ in range(tile.groups)]
        for maximum in best:
            maximum.set(constant(F32, float("-inf"), self.lanes))
        row = Variable(b, I64)
        row.set(start)
        length = b.sub(end, start)
        with forever(b) as done:
            here = row.get()
            left = b.sub(end, here)
            leave_if(b, b.icmp_signed("<=", left, i64(0)), done)
            # The largest block that fits into the window and is needed, because a block of the next size would
            # leave rows over. It may begin at rows that are done already, so that it ends with the window: a
            # maximum does not mind a row that is taken twice.
            body = partial(self._block, tile, group, best, start, end, row)
            self._choose(tile.rows, left, length, body)
        for n, maximum in enumerate(best):
            lane = b.mul(b.add(group, i64(n)), i64(self.lanes))
            scale = load(b, self.task["query_scales"], F32, lane, self.floats)
            store(b, b.fmul(maximum.get(), scale), self.sums, lane, F32)

    def _choose(self, sizes: tuple[int, ...], left: ir.Value, length: ir.Value, body: partial[None]) -> None:
        """Write the body for each size of blocks, and the choice between them by how many rows are left.

        Each size is written out, so that its rows have registers of their own (portable, x86_64)::

            cmpq    $8, %rdi                    # has the window 8 rows?
            jl      .LBB0_73
            cmpq    $5, %r8                     # are more than 4 left?
            jb      .LBB0_73
        """
        b = self.b
        if len(sizes) == 1:
            body(sizes[0])
            return
        fits = b.icmp_signed(">=", length, i64(sizes[0]))
        needed = b.icmp_signed(">", left, i64(sizes[1]))
        with b.if_else(b.and_(fits, needed)) as (this, smaller):
            with this:
                body(sizes[0])
            with smaller:
                self._choose(sizes[1:], left, length, body)

    def _block(
        self,
        tile: Tile,
        group: ir.Value,
        best: list[Variable],
        start: ir.Value,
        end: ir.Value,
        row: Variable,
        count: int,
    ) -> None:
        """Raise the maxima of a tile's groups to `count` rows from `row` on, and move `row` on to the next.

        A block of one row that must not begin after the window's last (avx2)::

            cmpq    %rdx, %rbp
            cmovgeq %rdx, %rbp                  # first = min(row, end - 1)
            incq    %rbp                        # row = first + 1
        """
        b = self.b
        latest = b.sub(end, i64(count))
        here = row.get()
        first = b.select(b.icmp_signed("<", here, latest), here, latest)
        self.raise_maxima(tile, group, best, start, first, count)
        row.set(b.add(first, i64(count)))

    def raise_maxima(
        self,
        tile: Tile,
        group: ir.Value,
        best: list[Variable],
        start: ir.Value,
        first: ir.Value,
        count: int,
    ) -> None:
        """Raise the maxima of a tile's groups to `count` rows from `first` on.

        After the products, for each row and group (avx2)::

            vcvtdq2ps       %ymm0, %ymm0                # the sums of products to float32
            vbroadcastss    (%rcx,%rbp,4), %ymm1        # the row's scale in every lane
            vmulps          %ymm0, %ymm1, %ymm0
            vmaxps          %ymm14, %ymm0, %ymm14       # the maxima so far are in ymm14
        """
        b = self.b
        width = self.products.row_bytes
        number = b.sub(first, start) if self.packed else first  # those of one window are unpacked
        rows = at(b, self.rows, I8, b.mul(number, i64(width)))
        rows = self.arithmetic.prepare(b, rows, count, width, self.scratch)
        product = self._products(tile, group, rows, first, count)
        for n, maximum in enumerate(best):
            high = maximum.get()
            for m in range(count):
                scale = load(b, self.task["scales"], F32, b.add(first, i64(m)))
                number = product(m, n) if self.totals == self.floats else b.sitofp(product(m, n), self.floats)
                value = b.fmul(number, splat(b, scale, self.lanes))
                high = b.select(b.fcmp_ordered(">", value, high), value, high, flags=self.flags)
            maximum.set(high)

    def _products(self, tile: Tile, group: ir.Value, rows: ir.Value, first: ir.Value, count: int) -> Product:
        """Dot products of `count` rows from number `first` on and a tile's groups: see Products.multiply.

        What is written here is where they begin (avx2)::

            shlq    $7, %rdx                    # first row: number times 128 bytes
            shlq    $10, %r13                   # first group: number times 32 steps of 32 bytes
        """
        b = self.b
        integers = self.totals != self.floats
        return self.products.multiply(
            at(b, self.task["query"], self.totals, b.mul(group, i64(self.products.vectors))),
            tile.groups,
            rows,
            count,
            excess=lambda n: at(b, self.task["excess"], I32, b.mul(b.add(group, i64(n)), i64(self.lanes))),
            # float32 must add up in one order, whatever block a row comes to lie in.
            splits=max(1, min(4, 8 // (tile.groups * count))) if integers else 1,
            # float32 multiplies a copy of the rows, which is in the cache.
            ahead=self.look_ahead.of_block(b.mul(first, i64(self.row_bytes))) if integers else None,
            stored_bytes=self.row_bytes,
        )
