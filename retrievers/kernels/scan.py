"""The generator of the scan: MaxSim of many windows and queries as one native function, in LLVM IR.

Query tokens lie in the lanes of vectors, a group a vector. A block multiplies a few window tokens (rows) by
a few groups (a tile) with every product sum in a register, scales them, and raises the groups' maxima. Rows
are read once a tile while they are in the first-level cache, and never copied.

The function takes windows in chunks from a shared counter until none is left, so any number of threads may run it
on one task, and none waits for another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from retrievers.kernels import amx
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
    prefetch,
    repeat,
    splat,
    store,
    vector,
)
from retrievers.kernels.products import Product
from retrievers.kernels.targets import Target, Tile
from retrievers.kernels.task import Array, Count, Layout

NAME = "scan"
PREFETCH = 8192  # bytes ahead: what the fastest processors scan while memory answers

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


def module(target: Target, row_bytes: int, triple: str) -> ir.Module:
    """The scan for one width of rows.

    Args:
        target: the kind of processor.
        row_bytes: bytes of a row.
        triple: what LLVM calls the architecture and the system.
    Returns:
        a module with the function scan(task: int64*, counter: int64*, scratch: float32*).
    """
    unit = ir.Module(NAME)
    unit.triple = triple
    function = ir.Function(unit, ir.FunctionType(VOID, [POINTER] * 3), NAME)
    Scan(function, target, row_bytes).emit()
    return unit


def compiled(target: Target, row_bytes: int) -> Callable[[int, int, int], None]:
    """The scan of a target for one width of rows; its arguments are addresses: task, counter, scratch."""

    def make(triple: str) -> ir.Module:
        return module(target, row_bytes, triple)

    return functions((NAME, row_bytes), target, make, [(NAME, 3)])[NAME]


def scratch_floats(target: Target, row_bytes: int, groups: int) -> int:
    """float32 of working memory that a thread needs for queries of some groups."""
    return _copied_floats(target, row_bytes) + (groups + 1) * target.lanes


def _copied_floats(target: Target, row_bytes: int) -> int:
    """float32 of the rows of a block, which the float32 arithmetic turns into numbers before it multiplies."""
    return 0 if target.arithmetic.limit else max(tile.rows[0] for tile in target.tiles) * row_bytes


class Scan:
    """Writes the function."""

    def __init__(self, function: ir.Function, target: Target, row_bytes: int) -> None:
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        task, self.counter, self.scratch = function.args
        self.arithmetic, self.lanes, self.row_bytes = target.arithmetic, target.lanes, row_bytes
        self.tiles = target.matrix_tiles if amx.serves(target, row_bytes) else target.tiles
        self.task = TASK.read(b, task)
        self.sums = at(b, self.scratch, F32, _copied_floats(target, row_bytes))
        self.products = amx.products(b, target, row_bytes)
        self.floats = vector(F32, self.lanes)
        self.totals = self.products.totals

    def emit(self) -> None:
        b = self.b
        chunk, windows = self.task["chunk"], self.task["windows"]
        with portions(b, self.counter, chunk, windows) as (first, last), repeat(b, first, last) as window:
            behind = b.add(window, i64(1))
            self._window(window, b.select(b.icmp_signed("<", behind, last), behind, window))
        self.products.end()
        b.ret_void()

    def _window(self, window: ir.Value, following: ir.Value) -> None:
        """Write one window's score for each query; the following window is the one that is scored then."""
        b = self.b
        start, end = (load(b, self.task[name], I64, window) for name in ("starts", "ends"))
        self._look_ahead(start, end, load(b, self.task["starts"], I64, following))
        with b.if_else(b.icmp_signed("<", start, end)) as (some, none):
            with some:
                group = Variable(b, I64)
                group.set(i64(0))
                for tile in self.tiles:
                    with forever(b) as done:
                        behind = b.add(group.get(), i64(tile.groups))
                        leave_if(b, b.icmp_signed(">", behind, self.task["groups"]), done)
                        self._tile(tile, group.get(), start, end)
                        group.set(behind)
                with repeat(b, i64(0), self.task["queries"]) as query:
                    store(b, self._sum(query), self._place(query, window))
            with none, repeat(b, i64(0), self.task["queries"]) as query:
                store(b, ir.Constant(F32, float("-inf")), self._place(query, window))

    def _look_ahead(self, start: ir.Value, end: ir.Value, following: ir.Value) -> None:
        """Settle what prefetch asks for while one window is scored: what comes behind it, wherever that lies."""
        b = self.b
        self.behind, length = (b.mul(tokens, i64(self.row_bytes)) for tokens in (end, b.sub(end, start)))
        self.jump = b.mul(b.sub(following, end), i64(self.row_bytes))
        # Not further than the window is long where the next one lies elsewhere: it may be no longer, and what
        # lies behind it is not wanted.
        near = b.icmp_signed("<", length, i64(PREFETCH))
        elsewhere = b.icmp_signed("!=", self.jump, i64(0))
        self.reach = b.select(b.and_(near, elsewhere), length, i64(PREFETCH))

    def _place(self, query: ir.Value, window: ir.Value) -> ir.Value:
        b = self.b
        return at(b, self.task["out"], F32, b.add(b.mul(query, self.task["windows"]), window))

    def _tile(self, tile: Tile, group: ir.Value, start: ir.Value, end: ir.Value) -> None:
        """Leave the scaled maxima of a tile's groups over the rows start to end in the sums."""
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
            # The largest block that the window can hold and that the next size could not do for. Its last
            # rows are the window's last rows at most: a maximum does not mind a row that is taken twice.
            body = partial(self._block, tile, group, best, end, row)
            self._choose(tile.rows, left, length, body)
        for n, maximum in enumerate(best):
            lane = b.mul(b.add(group, i64(n)), i64(self.lanes))
            scale = load(b, self.task["query_scales"], F32, lane, self.floats)
            store(b, b.fmul(maximum.get(), scale), self.sums, lane, F32)

    def _choose(self, sizes: tuple[int, ...], left: ir.Value, length: ir.Value, body: partial[None]) -> None:
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
        self, tile: Tile, group: ir.Value, best: list[Variable], end: ir.Value, row: Variable, count: int
    ) -> None:
        """Raise the maxima of a tile's groups by `count` rows from `row` on, and move `row` behind them."""
        b = self.b
        latest = b.sub(end, i64(count))
        here = row.get()
        first = b.select(b.icmp_signed("<", here, latest), here, latest)
        self.raise_maxima(tile, group, best, first, count)
        row.set(b.add(first, i64(count)))

    def raise_maxima(
        self, tile: Tile, group: ir.Value, best: list[Variable], first: ir.Value, count: int
    ) -> None:
        """Raise the maxima of a tile's groups by `count` rows from `first` on."""
        b = self.b
        rows = at(b, self.task["rows"], I8, b.mul(first, i64(self.row_bytes)))
        rows = self.arithmetic.prepare(b, rows, count, self.row_bytes, self.scratch)
        product = self._products(tile, group, rows, first, count)
        for n, maximum in enumerate(best):
            high = maximum.get()
            for m in range(count):
                scale = load(b, self.task["scales"], F32, b.add(first, i64(m)))
                number = product(m, n) if self.totals == self.floats else b.sitofp(product(m, n), self.floats)
                value = b.fmul(number, splat(b, scale, self.lanes))
                high = b.select(b.fcmp_ordered(">", value, high), value, high)
            maximum.set(high)

    def _products(self, tile: Tile, group: ir.Value, rows: ir.Value, first: ir.Value, count: int) -> Product:
        """Dot products of `count` rows from number `first` on and a tile's groups."""
        b = self.b
        place = b.mul(first, i64(self.row_bytes))
        integers = self.totals != self.floats
        return self.products.multiply(
            at(b, self.task["query"], self.totals, b.mul(group, i64(self.products.steps))),
            tile.groups,
            rows,
            count,
            excess=lambda n: at(b, self.task["excess"], I32, b.mul(b.add(group, i64(n)), i64(self.lanes))),
            # float32 must add up in one order, whatever block a row comes to lie in.
            splits=max(1, min(4, 8 // (tile.groups * count))) if integers else 1,
            # float32 multiplies a copy of the rows, which is in the cache.
            ahead=(lambda distance: self.prefetch(b.add(place, distance))) if integers else None,
        )

    def prefetch(self, place: ir.Value) -> None:
        """Ask for the cache line that is wanted some time after the byte at a place in all rows."""
        b = self.b
        ahead = b.add(place, self.reach)
        beyond = b.icmp_signed(">=", ahead, self.behind)
        ahead = b.add(ahead, b.select(beyond, self.jump, i64(0)))
        prefetch(b, at(b, self.task["rows"], I8, ahead))

    def _sum(self, query: ir.Value) -> ir.Value:
        """The score: sum of a query's lanes, always in the same order, wherever in a pass the query lies."""
        b = self.b
        first = load(b, self.task["offsets"], I64, query)
        last = load(b, self.task["offsets"], I64, b.add(query, i64(1)))
        total = Variable(b, self.floats)
        total.set(constant(F32, 0.0, self.lanes))
        places = ir.Constant(vector(I32, self.lanes), list(range(self.lanes)))
        with repeat(b, first, last, self.lanes) as lane:
            values = load(b, self.sums, F32, lane, self.floats)
            left = splat(b, b.trunc(b.sub(last, lane), I32), self.lanes)
            kept = b.select(b.icmp_signed("<", places, left), values, constant(F32, 0.0, self.lanes))
            total.set(b.fadd(total.get(), kept))
        values, width = total.get(), self.lanes
        while width > 1:
            width //= 2
            low, high = (ir.Constant(vector(I32, width), list(range(n, n + width))) for n in (0, width))
            values = b.fadd(b.shuffle_vector(values, values, low), b.shuffle_vector(values, values, high))
        return b.extract_element(values, ir.Constant(I32, 0))
