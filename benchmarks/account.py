"""Where the time of one question goes: from the multiply instruction alone to the whole call, a cost at a time.

    python -m benchmarks.account [directories] [--tokens 16 32] [--bits 8 4]

Each row of the account is the scan with one thing more, and costs what it takes longer than the row before it:

- instruction: as many multiplications in registers, on two threads (benchmarks/peak.py), in the best round.
- loop: the scan over windows of 480 tokens, which all lie in the same few rows, in the first caches: rows and
  questions are loaded, sums scaled, maxima taken.
- windows: as many tokens in windows of the average length, rounded to whole blocks of rows: each window begins and
  ends.
- tails: in windows of their real lengths, whose last tokens fill no block.
- memory: the real rows.
- call: `maxsim`, which packs the question and allocates the scores.
- ranking: `rank`, which finds the best ten and scores them again in float32.

The rows take turns. Below stands how many tokens a second `optimize()` gives their nearest centroid, of as many as a
large collection has. It writes results/account-PROCESSOR.md where --processor names one.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peak import peak, reading
from benchmarks.search.__main__ import DATA, RESULTS
from benchmarks.search.data import CACHE, DIM, encoded
from benchmarks.search.engine import THREADS
from benchmarks.search.load import Others
from benchmarks.search.report import company, machine, revision
from retrievers.kernels.maxsim import _Scan, maxsim
from retrievers.kernels.rows import dequantize, quantize
from retrievers.kernels.targets import Target, available_targets, force_target
from retrievers.search import rank
from retrievers.search.centroids import compared, near
from retrievers.store import Entry, Store
from retrievers.types import Document, QuantizedMatrix

K = 10
CENTROIDS, ASSIGNED = 1 << 14, 1 << 16  # and tokens that get one of them
LONG = 480  # tokens of a window, a multiple of every block of rows
STEPS = ("instruction", "loop", "windows", "tails", "memory", "call", "ranking")


@dataclass(frozen=True)
class Account:
    """One target, question length and number of bits.

    Attributes:
        seconds: medians, by step: each is the time with all that came before.
        memory: seconds of reading the rows, and nothing else.
        eight: seconds a question of a whole call with eight.
    """

    target: str
    tokens: int
    bits: int
    seconds: dict[str, float]
    memory: float
    eight: float


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", nargs="*", type=Path, default=[DATA / "squad-sent", DATA / "scifact"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 32], help="of a question")
    parser.add_argument("--bits", type=int, nargs="+", choices=(8, 4), default=[8, 4])
    parser.add_argument("--targets", nargs="+", default=list(available_targets()[:2]))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--processor", help="of the page's name")
    chosen = parser.parse_args(given)
    whole, others = encoded(chosen.directories, chosen.cache), Others()
    offsets, vectors = np.asarray(whole.offsets), whole.array("tokens")
    asked = np.concatenate(whole.questions())
    found: list[Account] = []
    assigned: dict[str, float] = {}
    for bits in chosen.bits:
        store = Store(None, fingerprint={"model": "any", "dim": DIM}, bits=bits)
        store.append(list(_entries(vectors, offsets, bits)))
        with store.read() as view:
            for name in chosen.targets:
                with force_target(name) as target:
                    for width in chosen.tokens:
                        questions = [asked[n * width : (n + 1) * width] for n in range(8)]
                        found.append(_measure(view, target, questions, chosen.rounds))
            if bits == chosen.bits[0]:
                assigned = _assigned(view, chosen.targets)
    lines = [*_page(found, whole.name, len(whole), int(offsets[-1]), others.share()), "", *_rates(assigned)]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.processor:
        (RESULTS / f"account-{chosen.processor}.md").write_text(text, encoding="utf-8")


def _entries(vectors: NDArray[np.float32], offsets: NDArray[np.int64], bits: int) -> Iterator[Entry]:
    for n, (start, end) in enumerate(itertools.pairwise(offsets)):
        matrix = np.asarray(vectors[start:end], np.float32)
        matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
        rows = QuantizedMatrix(*quantize(matrix, bits), bits)
        yield Entry(Document(str(n), str(n)), str(n).encode(), [(0, 1)], [rows])


def _measure(view, target: Target, questions: list[NDArray[np.float32]], rounds: int) -> Account:  # type: ignore[no-untyped-def]
    lengths = view.ends - view.starts
    tokens, width, one = int(lengths.sum()), len(questions[0]), questions[:1]
    block = max(max(tile.rows) for tile in target.tiles)
    even = max(block, round(tokens / len(lengths) / block) * block)

    def scan(counts: NDArray[np.int64] | None) -> Callable[[], None]:
        """The native scan alone, over the real windows or over so many tokens of the first rows."""
        starts = view.starts if counts is None else np.zeros(len(counts), np.int64)
        ends = view.ends if counts is None else counts
        scores = np.empty((1, len(starts)), np.float32)
        made = _Scan(view.rows, view.scales, starts, ends, one, target, scores, view.bits)

        def run() -> None:
            made.counter[0] = 0
            made.run()

        return run

    work = 2 * tokens * DIM * width
    steps: dict[str, Callable[[], object]] = {
        "loop": scan(np.full(round(tokens / LONG), LONG)),
        "windows": scan(np.full(round(tokens / even), even)),
        "tails": scan(np.ascontiguousarray(lengths)),
        "memory": scan(None),
        "call": lambda: maxsim(view.rows, view.scales, view.starts, view.ends, one, target, view.bits),
        "ranking": lambda: rank(view, one, None, K, exact=True),
        "eight": lambda: rank(view, questions, None, K, exact=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ("instruction", "reading", *steps)}
    for turn in range(rounds + 1):
        kept: dict[str, float] = {"instruction": work / peak(target, THREADS, seconds=0.02, repeats=1)}
        kept["reading"] = view.rows.nbytes / reading(target, view.rows, THREADS)
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            kept[name] = time.perf_counter() - begin
        if turn:  # the first one warms up
            for name, took in kept.items():
                times[name].append(took)
    seconds = {name: float(np.median(some)) for name, some in times.items()}
    for limit in ("instruction", "reading"):  # what is possible: some rounds put both threads on one core
        seconds[limit] = min(times[limit])
    return Account(
        target.name,
        width,
        view.bits,
        {name: seconds[name] for name in STEPS},
        seconds["reading"],
        seconds["eight"] / len(questions),
    )


def _assigned(view, targets: Sequence[str], repeats: int = 5) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Tokens a second that get their nearest centroid, by target; medians, in turns."""
    first = dequantize(view.rows[:CENTROIDS], view.scales[:CENTROIDS], DIM, view.bits)
    prepared, times = compared(first, view.bits), dict[str, list[float]]()
    for turn in range(repeats + 1):
        for name in targets:
            with force_target(name):
                begin = time.perf_counter()
                near(view.rows[:ASSIGNED], view.scales[:ASSIGNED], prepared, view.bits)
                if turn:
                    times.setdefault(name, []).append(time.perf_counter() - begin)
    return {name: ASSIGNED / float(np.median(some)) for name, some in times.items()}


def _rates(assigned: dict[str, float]) -> Iterator[str]:
    most = max(assigned.values())
    yield f"| target | tokens a second that get one of {CENTROIDS:,} centroids | times the fastest |"
    yield "|---|--:|--:|"
    for name, rate in assigned.items():
        yield f"| {name} | {rate:,.0f} | {most / rate:.1f} |"


def _page(found: Sequence[Account], name: str, passages: int, tokens: int, others: float) -> Iterator[str]:
    yield "# Where the time of one question goes"
    yield ""
    yield (
        f"Written by `python -m benchmarks.account` at revision {revision()}, {datetime.now(UTC):%Y-%m-%d}; it says "
        "what each cost is."
    )
    yield ""
    yield f"Machine: {machine()}"
    yield ""
    yield (
        f"Text: {name}, {passages:,} passages, {tokens:,} tokens, {DIM} dimensions; medians, in turns, and the least "
        "for what the instruction and reading alone can do. Costs are in ms; the share is that of the lower limit, "
        "which is the instruction alone or reading the rows alone, in the whole call. The last column is the share of "
        "the instruction in a call with eight questions."
    )
    yield ""
    yield company(others)
    yield ""
    yield (
        "| target | bits | question tokens | reading alone | "
        + " | ".join(STEPS)
        + " | whole | share | share with eight |"
    )
    yield "|---|--:|--:|--:|" + "--:|" * (len(STEPS) + 3)
    for one in found:
        ordered = [one.seconds[step] for step in STEPS]
        costs = [ordered[0], *(b - a for a, b in itertools.pairwise(ordered))]
        limit = max(one.seconds["instruction"], one.memory)
        yield (
            f"| {one.target} | {one.bits} | {one.tokens} | {one.memory * 1e3:.2f} | "
            + " | ".join(f"{cost * 1e3:.2f}" for cost in costs)
            + f" | {ordered[-1] * 1e3:.2f} | {limit / ordered[-1]:.0%} | {one.seconds['instruction'] / one.eight:.0%} |"
        )


if __name__ == "__main__":
    main()
