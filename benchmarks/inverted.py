"""Pruned search with and without lists of windows by centroid, beside exact search, at growing sizes.

    python -m benchmarks.inverted                                           # 10,000 and 40,000 passages
    python -m benchmarks.inverted --sizes 200000 1000000 --questions 60

The passages are those of benchmarks.search, drawn so that they have --tokens tokens on average, and drawn again with
noise on every vector when they repeat. The noise has the size that makes a copy's token as similar to its original as
a real token is to the most similar token of any other passage, at the median: the page says how similar that is (the
cosine), and two copies of one token have its square. So copies crowd around real tokens as real tokens crowd around
each other, but what is near to one token of a passage is near to all of them: the best ten among many copies of one
passage are harder to tell apart than those of real ones, and recall is rather too low than too high.

Rows are made block by block in the stored form itself: noise of a normal distribution, drawn once and read from random
places on, is added in small integers. Rows of 4 bits are made of turned vectors, which the noise does not mind.

It measures in turns: each question is asked of the exact scan, of the scan of codes and of the lists. Recall is against
the float32 scores of the stored rows. It writes results/inverted.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.__main__ import DATA, RESULTS
from benchmarks.search.data import CACHE, DIM, Passages, encoded, unit
from benchmarks.search.load import Others
from benchmarks.search.report import company, machine, revision
from retrievers.kernels import codes as scan
from retrievers.kernels import lists, nibbles
from retrievers.search import exact, inverted, optimize, pruned
from retrievers.store import Store
from retrievers.store.changes import Entry
from retrievers.types import Document, QuantizedMatrix

K = 10
BLOCK = 2048  # passages that are made and stored at once
STEP = 0.335 / DIM**0.5  # of 16 equal levels, the one that serves normal numbers of that deviation best
POOL = 1 << 26  # numbers of noise
WAYS = ("exact scan", "scan of codes", "lists")


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", nargs="*", type=Path, default=[DATA / "squad-sent", DATA / "scifact"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 40_000], help="passages")
    parser.add_argument("--tokens", type=int, default=150, help="of a passage, on average")
    parser.add_argument("--bits", type=int, choices=(8, 4), default=4)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--encoded", type=Path, help="a directory as benchmarks.search.data writes it")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fresh", action="store_true", help="make every collection again")
    parser.add_argument("--output", type=Path, default=RESULTS / "inverted.md")
    chosen = parser.parse_args(given)
    whole = (
        Passages(chosen.encoded, chosen.encoded.name)
        if chosen.encoded
        else encoded(chosen.directories, chosen.cache)
    )
    near, others = likeness(whole), Others()
    measured: list[Measured] = []
    for size in chosen.sizes:
        place = chosen.cache / f"copies-{whole.directory.name}-{size}-{chosen.tokens}-{chosen.bits}"
        if chosen.fresh:
            shutil.rmtree(place, ignore_errors=True)
        measured.append(measure(whole, size, chosen, near, place))
        print(measured[-1], flush=True)
        # After each size: an hour's work is not lost when a later one fails.
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(page(whole, measured, near, chosen, others.share()), encoding="utf-8")
    print(chosen.output.read_text(encoding="utf-8"))


# The passages


def likeness(whole: Passages, count: int = 300) -> float:
    """Median cosine of a token and the most similar token of another passage, over some tokens; kept on disk."""
    path = whole.directory / "likeness.json"
    if path.exists():
        return float(json.loads(path.read_text()))
    tokens, offsets = whole.array("tokens"), np.asarray(whole.offsets)
    count = min(count, len(tokens))
    chosen = np.sort(np.random.default_rng(0).choice(len(tokens), count, replace=False))
    passages = np.searchsorted(offsets, chosen, side="right") - 1
    asked, best = unit(tokens[chosen]), np.full(count, -1.0, np.float32)
    for first in range(0, len(tokens), 1 << 16):
        products = asked @ unit(tokens[first : first + (1 << 16)]).T
        for one, passage in enumerate(passages):  # its own passage does not count
            products[one, max(0, offsets[passage] - first) : max(0, offsets[passage + 1] - first)] = -1
        best = np.maximum(best, products.max(axis=1))
    found = float(np.median(best))
    path.write_text(json.dumps(found))
    return found


def drawn(lengths: NDArray[np.int64], count: int, tokens: int, random: np.random.Generator) -> NDArray:
    """Passages, int64, (count,), that have about so many tokens on average: longer and shorter ones in turn."""
    groups = [np.flatnonzero(lengths < tokens), np.flatnonzero(lengths >= tokens)]
    if not all(len(group) for group in groups):
        return random.integers(0, len(lengths), count)
    short, long = (lengths[group].mean() for group in groups)
    share = min(max((tokens - short) / (long - short), 0.0), 1.0)
    picked = random.random(count) < share
    numbers = [group[random.integers(0, len(group), count)] for group in groups]
    return np.where(picked, numbers[1], numbers[0])


class Copies:
    """Passages and copies of them with noise, in the stored form.

    Args:
        near: cosine of a copy's token and its original.
    """

    def __init__(self, whole: Passages, count: int, tokens: int, bits: int, near: float) -> None:
        self.bits, self.offsets = bits, np.asarray(whole.offsets)
        random = np.random.default_rng(1)
        self.order = drawn(np.diff(self.offsets), count, tokens, random)
        self.copied = np.ones(count, np.bool_)
        self.copied[np.unique(self.order, return_index=True)[1]] = False
        stored = whole.array("tokens")
        # Of 4 bits eight units make a level; of 8 bits the largest number of a few thousand rows takes all 127.
        self.unit = (
            STEP / 8 if bits == 4 else float(np.abs(unit(stored[:: max(1, len(stored) // 4096)])).max()) / 127
        )
        self.plain, self.faded = (np.empty(stored.shape, np.int8) for _ in range(2))
        for first in range(0, len(stored), 1 << 16):
            part = slice(first, first + (1 << 16))
            rows = unit(stored[part])
            rows = (nibbles.turned(rows) if bits == 4 else rows) / self.unit
            self.plain[part], self.faded[part] = (
                np.clip(np.rint(rows * factor), -127, 127) for factor in (1, near)
            )
        deviation = ((1 - near**2) / DIM) ** 0.5 / self.unit
        drawn_noise = random.standard_normal(POOL, dtype=np.float32) * np.float32(deviation)
        self.noise = np.clip(np.rint(drawn_noise), -127, 127).astype(np.int8)

    def entries(self, first: int) -> list[Entry]:
        """Passages from `first` on, BLOCK at most."""
        random = np.random.default_rng(first)
        numbers = self.order[first : first + BLOCK]
        starts, ends = self.offsets[numbers], self.offsets[numbers + 1]
        bounds = np.concatenate([[0], np.cumsum(ends - starts)])
        sums = np.empty((bounds[-1], DIM), np.int16)
        for place, (start, end, copied) in enumerate(
            zip(starts, ends, self.copied[first : first + BLOCK], strict=True)
        ):
            part = sums[bounds[place] : bounds[place + 1]]
            if copied:
                here = int(random.integers(0, POOL - part.size))
                np.add(
                    self.faded[start:end],
                    self.noise[here : here + part.size].reshape(part.shape),
                    out=part,
                    dtype=np.int16,
                )
            else:
                part[:] = self.plain[start:end]
        rows, scales = self._stored(sums)
        found = []
        for place in range(len(numbers)):
            part = slice(bounds[place], bounds[place + 1])
            text = str(first + place)
            matrix = QuantizedMatrix(rows[part], scales[part], self.bits)
            found.append(Entry(Document(text, text), text.encode(), [(0, len(text))], [matrix]))
        return found

    def _stored(self, sums: NDArray[np.int16]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Rows and scales; a row has length 1."""
        if self.bits == 4:
            levels = (np.clip(sums >> 3, -8, 7) + 8).astype(np.uint8)
            half = DIM // 2
            rows, numbers = levels[:, :half] | levels[:, half:] << np.uint8(4), 2.0 * levels - 15
        else:
            numbers = np.clip(sums, -127, 127).astype(np.float32)
            rows = (numbers + 128).astype(np.uint8)
        numbers = numbers.astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", numbers, numbers))
        return rows, (1 / np.maximum(lengths, 1)).astype(np.float32)


def opened(place: Path, bits: int) -> Store:
    return Store(place, fingerprint={"model": "copies", "dim": DIM}, bits=bits)


def made(
    whole: Passages, size: int, chosen: argparse.Namespace, near: float, place: Path
) -> dict[str, float]:
    """Make a collection and optimise it, unless it is there: seconds of both."""
    note = place.with_suffix(".json")
    if place.exists() and note.exists():
        return dict(json.loads(note.read_text()))
    shutil.rmtree(place, ignore_errors=True)
    begin = time.perf_counter()
    copies, store = Copies(whole, size, chosen.tokens, chosen.bits, near), opened(place, chosen.bits)
    with ThreadPoolExecutor(1) as pool:  # makes a block while the one before is stored
        following = pool.submit(copies.entries, 0)
        for first in range(0, size, BLOCK):
            entries = following.result()
            following = pool.submit(copies.entries, first + BLOCK)
            store.append(entries)
    seconds = {"made": time.perf_counter() - begin}
    del copies
    begin = time.perf_counter()
    optimize(store)
    seconds["optimised"] = time.perf_counter() - begin
    store.close()
    note.write_text(json.dumps(seconds))
    return seconds


# What is measured


@dataclass(frozen=True)
class Measured:
    """One size.

    Attributes:
        tokens, codes, entries: of all passages; codes are the different ones of each, entries those of all lists.
        seconds: by name: made, optimised, and what a first question waits for: codes, lists.
        p50, recall: by way; milliseconds, and of the K best.
        scored: windows that are scored exactly, by way, means.
        index, memory: MB: of the arrays that pruning keeps, and of the process in no file at the end.
        costs: nanoseconds of a code, a window, an entry, and a walk as such.
    """

    passages: int
    tokens: int
    centroids: int
    codes: int
    entries: int
    seconds: dict[str, float]
    p50: dict[str, float]
    p95: dict[str, float]
    recall: dict[str, float]
    scored: dict[str, float]
    index: float
    memory: float
    costs: dict[str, float]


def measure(whole: Passages, size: int, chosen: argparse.Namespace, near: float, place: Path) -> Measured:
    seconds = made(whole, size, chosen, near, place)
    every = whole.questions()
    order = np.random.default_rng(0).permutation(len(every))[: chosen.questions]
    questions = [every[n] for n in order]
    store = opened(place, chosen.bits)
    with store.read() as view:
        assert view.centroids is not None
        begin = time.perf_counter()
        index = pruned._index(view)
        both = time.perf_counter() - begin
        begin = time.perf_counter()
        inverted.build(index.codes, index.offsets, len(view.centroids))
        seconds = {**seconds, "lists": time.perf_counter() - begin}
        seconds["codes"] = both - seconds["lists"]
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        recalls: dict[str, list[float]] = {way: [] for way in WAYS}
        scored: dict[str, list[int]] = {way: [] for way in WAYS}
        settle = exact.settle
        for turn, question in enumerate(
            [questions[0], *questions]
        ):  # the first one is asked twice, to warm up
            best: set[int] = set()
            for way in WAYS:
                counted: list[int] = []

                def counting(*given: object, counted: list[int] = counted) -> object:
                    counted.append(len(given[3]))  # type: ignore[arg-type]
                    return settle(*given)  # type: ignore[arg-type]

                patched = mock.patch.object(inverted, "pays", return_value=way == "lists")
                with patched, mock.patch.object(exact, "settle", counting):
                    begin = time.perf_counter()
                    if way == "exact scan":
                        [found] = exact.rank(view, [question], None, K)
                    else:
                        [found] = pruned.rank(view, [question], None, K)
                    took = time.perf_counter() - begin
                hits = {position for position, _ in found}
                best = hits if way == "exact scan" else best
                if turn:
                    times[way].append(took)
                    recalls[way].append(len(hits & best) / K)
                    scored[way].append(counted[0])
        costs = prices(index, questions[:10])
        arrays = [index.codes, index.offsets, index.everything]
        arrays += [array for block in index.lists.blocks for array in (block.members, block.ends)]
        result = Measured(
            size,
            len(view.rows),
            len(view.centroids),
            len(index.codes),
            int(index.lists.sizes.sum()),
            seconds,
            {way: float(np.median(some)) * 1e3 for way, some in times.items()},
            {way: float(np.quantile(some, 0.95)) * 1e3 for way, some in times.items()},
            {way: float(np.mean(some)) for way, some in recalls.items()},
            {way: float(np.mean(some)) for way, some in scored.items()},
            sum(array.nbytes for array in arrays) / 1e6,
            anonymous(),
            costs,
        )
    store.close()
    return result


def prices(index: pruned.Index, questions: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """What retrievers.search.inverted has as constants, here in nanoseconds: the least of several runs, means."""
    found: dict[str, list[float]] = {"code": [], "window": [], "entry": [], "walk": []}
    windows = len(index.starts)
    for question in questions:
        [part] = pruned.tables(index, question[:32])
        numbers, rows = inverted.near(part, index.lists.sizes, round(inverted.SHARE * windows))
        entries = int(index.lists.sizes[numbers].sum())
        totals = np.zeros(windows, np.uint32)

        def walked(count: int, rows=rows, numbers=numbers, totals=totals) -> float:
            return least(lambda: lists.walk(index.lists.blocks, numbers[:count], rows[:count], totals))

        scanned = least(
            lambda part=part, totals=totals: scan.add_maxima(
                index.codes, index.offsets, index.everything, part, totals
            )
        )
        whole = least(lambda part=part: inverted.totals(index.lists, [part]))
        swept, walk = walked(0), walked(len(numbers))
        found["code"].append(scanned / len(index.codes))
        found["window"].append(swept / windows)
        found["entry"].append(max(walk - swept, 0.0) / max(entries, 1))
        found["walk"].append(max(whole - walk, 0.0))
    return {name: float(np.mean(some)) * 1e9 for name, some in found.items()}


def least(work: Callable[[], object], repeats: int = 7) -> float:
    """Seconds."""

    def one() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return min(one() for _ in range(repeats))


def anonymous() -> float:
    """MB of this process that belong to no file; NaN where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon")), float("nan"))


# The page


def page(
    whole: Passages, measured: Sequence[Measured], near: float, chosen: argparse.Namespace, others: float
) -> str:
    return "\n".join(_lines(whole, measured, near, chosen, others)) + "\n"


def _lines(
    whole: Passages,
    measured: Sequence[Measured],
    near: float,
    chosen: argparse.Namespace,
    others: float,
) -> Iterator[str]:
    yield "# Lists of windows by centroid" + (", rows of 8 bits" if chosen.bits == 8 else "")
    yield ""
    yield f"Written by `python -m benchmarks.inverted` at revision {revision()}, {datetime.now(UTC):%Y-%m-%d}."
    yield ""
    yield f"Machine: {machine()}"
    yield ""
    yield (
        f"Passages: the {len(whole):,} of {whole.name}, {DIM} dimensions, {chosen.bits} bits, drawn to have about "
        f"{chosen.tokens} tokens on average, and again with noise where they repeat. A token and the most similar "
        f"token of another real passage have the cosine {near:.3f} at the median; so have a copy's token and its "
        f"original, and two copies of one token {near**2:.3f}. {chosen.questions} questions, in turns; recall@{K} is "
        "against the float32 scores of the stored rows."
    )
    yield ""
    yield f"{company(others)}"
    yield ""
    yield "| passages | tokens | search | p50 ms | p95 ms | recall@10 | windows scored exactly |"
    yield "|--:|--:|---|--:|--:|--:|--:|"
    for one in measured:
        for way in WAYS:
            yield (
                f"| {one.passages:,} | {one.tokens:,} | {way} | {one.p50[way]:.2f} | {one.p95[way]:.2f} | "
                f"{one.recall[way]:.4f} | {one.scored[way]:,.0f} |"
            )
    yield ""
    yield (
        "| passages | centroids | made s | optimize s | codes s | lists s | index MB | in no file MB | codes "
        "| entries | ns a code | ns a window | ns an entry | µs a walk |"
    )
    yield "|" + "--:|" * 14
    for one in measured:
        times = " | ".join(f"{one.seconds[name]:.1f}" for name in ("made", "optimised", "codes", "lists"))
        costs = " | ".join(f"{one.costs[name]:.2f}" for name in ("code", "window", "entry"))
        yield (
            f"| {one.passages:,} | {one.centroids:,} | {times} | {one.index:,.0f} | {one.memory:,.0f} "
            f"| {one.codes:,} | {one.entries:,} | {costs} | {one.costs['walk'] / 1e3:,.0f} |"
        )
    yield ""
    yield (
        "Collections are kept: where an earlier run made one, the seconds of making and optimising are of that run, "
        "and of whatever ran beside it. Those of codes and lists are what the first question after `optimize()` waits "
        "for. A code is one that the scan reads, padding included; a walk is what lists cost besides, whatever the "
        "size. Searches take the way that costs less by the constants of `retrievers/search/inverted.py`, which are "
        "such figures in codes."
    )


if __name__ == "__main__":
    main()
