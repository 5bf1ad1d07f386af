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

from retrievers.kernels.arithmetic import Arithmetic
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
from retrievers.kernels.targets import Target, Tile

NAME = "scan"
PREFETCH = 8192  # bytes ahead: what the fastest processors scan while memory answers
LINE = 64  # bytes of a cache line
FIELDS = (
    "rows", "scales", "starts", "ends", "windows", "chunk",
    "query", "excess", "query_scales", "groups", "offsets", "queries", "out",
)  # fmt: skip
"""The task: int64 each, pointers and counts, in this order.

rows: uint8, (tokens, row_bytes).  scales: float32, (tokens,).  starts, ends: int64, (windows,).
chunk: windows that a thread takes at once.
query: (groups, steps, lanes), see retrievers.kernels.pack.  excess: int32, (groups, lanes).
query_scales: float32, (groups, lanes).  offsets: int64, (queries + 1,): first lane of each query.
out: float32, (queries, windows).
"""


def module(
    arithmetic: Arithmetic, lanes: int, tiles: tuple[Tile, ...], row_bytes: int, triple: str
) -> ir.Module:
    """The scan for one width of rows.

    Args:
        arithmetic: the processor's multiply.
        lanes: query tokens in a vector.
        tiles: by falling number of groups; the last one takes a single group.
        row_bytes: bytes of a row.
        triple: what LLVM calls the machine.
    Returns:
        a module with the function scan(task: int64*, counter: int64*, scratch: float32*).
    """
    unit, function = define(triple)
    Scan(function, arithmetic, lanes, tiles, row_bytes).emit()
    return unit


def define(triple: str) -> tuple[ir.Module, ir.Function]:
    """A module for a machine, and in it the function to write."""
    unit = ir.Module(NAME)
    unit.triple = triple
    return unit, ir.Function(unit, ir.FunctionType(VOID, [POINTER] * 3), NAME)


def compiled(target: Target, row_bytes: int) -> Callable[[int, int, int], None]:
    """The scan of a target for one width of rows; its arguments are addresses: task, counter, scratch."""

    def make(triple: str) -> ir.Module:
        return module(target.arithmetic, target.lanes, target.tiles, row_bytes, triple)

    return functions((NAME, target.name, row_bytes), target, make, [(NAME, 3)])[NAME]


def scratch_floats(arithmetic: Arithmetic, tiles: tuple[Tile, ...], row_bytes: int) -> int:
    """float32 of working memory that a thread needs before the lanes' sums, of which it needs one more group."""
    return 0 if arithmetic.limit else max(tile.rows[0] for tile in tiles) * row_bytes


class Scan:
    """Writes the function."""

    def __init__(
        self,
        function: ir.Function,
        arithmetic: Arithmetic,
        lanes: int,
        tiles: tuple[Tile, ...],
        row_bytes: int,
    ) -> None:
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        task, self.counter, self.scratch = function.args
        self.arithmetic, self.lanes, self.tiles, self.row_bytes = arithmetic, lanes, tiles, row_bytes
        self.steps = row_bytes // arithmetic.step
        self.field = {name: load(b, task, I64, n) for n, name in enumerate(FIELDS)}
        self.pointer = {name: b.inttoptr(value, POINTER) for name, value in self.field.items()}
        self.sums = at(b, self.scratch, F32, scratch_floats(arithmetic, tiles, row_bytes))
        self.floats = vector(F32, lanes)
        self.totals = arithmetic.accumulator(lanes)

    def emit(self) -> None:
        b = self.b
        chunk, windows = self.field["chunk"], self.field["windows"]
        with portions(b, self.counter, chunk, windows) as (first, last), repeat(b, first, last) as window:
            behind = b.add(window, i64(1))
            self._window(window, b.select(b.icmp_signed("<", behind, last), behind, window))
        self.leave()

    def leave(self) -> None:
        """What the function ends with."""
        self.b.ret_void()

    def _window(self, window: ir.Value, following: ir.Value) -> None:
        """Write one window's score for each query; the following window is the one that is scored then."""
        b = self.b
        start, end = (load(b, self.pointer[name], I64, window) for name in ("starts", "ends"))
        self._look_ahead(start, end, load(b, self.pointer["starts"], I64, following))
        with b.if_else(b.icmp_signed("<", start, end)) as (some, none):
            with some:
                group = Variable(b, I64)
                group.set(i64(0))
                for tile in self.tiles:
                    with forever(b) as done:
                        behind = b.add(group.get(), i64(tile.groups))
                        leave_if(b, b.icmp_signed(">", behind, self.field["groups"]), done)
                        self._tile(tile, group.get(), start, end)
                        group.set(behind)
                with repeat(b, i64(0), self.field["queries"]) as query:
                    store(b, self._sum(query), self._place(query, window))
            with none, repeat(b, i64(0), self.field["queries"]) as query:
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
        return at(b, self.pointer["out"], F32, b.add(b.mul(query, self.field["windows"]), window))

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
            scale = load(b, self.pointer["query_scales"], F32, lane, self.floats)
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
        rows = at(b, self.pointer["rows"], I8, b.mul(first, i64(self.row_bytes)))
        rows = self.arithmetic.prepare(b, rows, count, self.row_bytes, self.scratch)
        totals = self._products(tile, group, rows, first, count)
        for n, maximum in enumerate(best):
            high = maximum.get()
            for m in range(count):
                scale = load(b, self.pointer["scales"], F32, b.add(first, i64(m)))
                number = totals[m][n] if self.totals == self.floats else b.sitofp(totals[m][n], self.floats)
                value = b.fmul(number, splat(b, scale, self.lanes))
                high = b.select(b.fcmp_ordered(">", value, high), value, high)
            maximum.set(high)

    def _products(
        self, tile: Tile, group: ir.Value, rows: ir.Value, first: ir.Value, count: int
    ) -> list[list[ir.Value]]:
        """Dot products of `count` rows from number `first` on and a tile's groups: [row][group] vectors."""
        b, groups, width = self.b, range(tile.groups), 4
        place = b.mul(first, i64(self.row_bytes))
        query = at(b, self.pointer["query"], self.totals, b.mul(group, i64(self.steps)))
        parts = self._parts(tile, count)
        totals = [[[Variable(b, self.totals) for _ in range(parts)] for _ in groups] for _ in range(count)]
        for m in range(count):
            for n in groups:
                lane = b.mul(b.add(group, i64(n)), i64(self.lanes))
                for part, total in enumerate(totals[m][n]):
                    total.set(self._first(lane) if part == 0 else constant_zero(self.totals))

        def take(step: ir.Value, size: int) -> None:
            documents = [
                self.arithmetic.documents(b, rows, m, self.row_bytes, step, size, self.lanes)
                for m in range(count)
            ]
            for s in range(size):
                vectors = [load(b, query, self.totals, b.add(step, i64(n * self.steps + s))) for n in groups]
                for m in range(count):
                    document = documents[m](s)
                    for n in groups:
                        total = totals[m][n][s % parts]
                        total.set(self.arithmetic.multiply(b, total.get(), document, vectors[n]))

        whole = self.steps // width * width
        with repeat(b, i64(0), i64(whole), width) as step:
            # As many bytes as are multiplied meanwhile; float32 multiplies a copy that is in the cache.
            size = count * width * self.arithmetic.step
            for line in range(0, size if self.arithmetic.limit else 0, LINE):
                self.prefetch(b.add(place, b.add(b.mul(step, i64(size // width)), i64(line))))
            take(step, width)
        if whole < self.steps:
            take(i64(whole), self.steps - whole)
        return [[self._add([part.get() for part in split]) for split in line] for line in totals]

    def prefetch(self, place: ir.Value) -> None:
        """Ask for the cache line that is wanted some time after the byte at a place in all rows."""
        b = self.b
        ahead = b.add(place, self.reach)
        beyond = b.icmp_signed(">=", ahead, self.behind)
        ahead = b.add(ahead, b.select(beyond, self.jump, i64(0)))
        prefetch(b, at(b, self.pointer["rows"], I8, ahead))

    def _first(self, lane: ir.Value) -> ir.Value:
        """What a sum begins with: the excess of the rows' offset is taken off before anything is added."""
        if self.arithmetic.offset == 0:
            return constant_zero(self.totals)
        return load(self.b, self.pointer["excess"], I32, lane, self.totals)

    def _parts(self, tile: Tile, count: int) -> int:
        """Sums that a product is split into, so that a small block too keeps the processor busy."""
        if self.totals == self.floats:
            return 1  # float32 must add up in one order, whatever block a row comes to lie in
        return max(1, min(4, 8 // (tile.groups * count)))

    def _add(self, values: list[ir.Value]) -> ir.Value:
        total = values[0]
        for value in values[1:]:
            add = self.b.fadd if self.totals == self.floats else self.b.add
            total = add(total, value)
        return total

    def _sum(self, query: ir.Value) -> ir.Value:
        """The score: sum of a query's lanes, always in the same order, wherever in a pass the query lies."""
        b = self.b
        first = load(b, self.pointer["offsets"], I64, query)
        last = load(b, self.pointer["offsets"], I64, b.add(query, i64(1)))
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


def constant_zero(kind: ir.VectorType) -> ir.Constant:
    return ir.Constant(kind, [0] * kind.count)
