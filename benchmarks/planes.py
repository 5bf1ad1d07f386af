"""Would rows in two planes be faster: the high halves of all bytes first, and whole rows where a bound needs them?

    python -m benchmarks.planes [directories] [--tokens 16 32] [--targets avx2 avx512vnni]

A byte of a row of 8 bits is 16 h + l. With l = 8 for all, a row's product with a question's token q is off by at most
scale * |q| * |l - 8|, which is known for each row beforehand. So a scan of the h alone, half of the bytes, bounds every
window's score; the windows that look best are scored with whole rows, and then all others that the bound does not
rule out. The ten best are those of the whole scan: the script looks whether they are.

The scan of the h is the one for rows of 4 bits, which multiplies 2 h - 15. All steps take turns with the whole scan. It
writes results/planes-PROCESSOR.md where --processor names one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.__main__ import DATA, RESULTS
from benchmarks.search.data import CACHE, DIM, encoded, unit
from benchmarks.search.load import Others
from benchmarks.search.report import company, machine, revision
from retrievers.kernels.maxsim import _Scan, maxsim
from retrievers.kernels.rows import quantize
from retrievers.kernels.targets import Target, available_targets, force_target

K = 10
FIRST = 128  # windows that look best, and are scored with whole rows at once


@dataclass(frozen=True)
class Rows:
    """Windows in the stored form, and in planes.

    Attributes:
        rows, scales, starts, ends: of 8 bits, as retrievers.kernels.maxsim takes them.
        high: uint8, (tokens, DIM / 2): the high halves, in the layout of rows of 4 bits.
        errors: float32, (windows,): the largest scale * |l - 8| of a window's rows.
    """

    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    high: NDArray[np.uint8]
    errors: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """Medians: seconds of the whole scan, of the high plane, and of all that planes need; windows that are left."""

    target: str
    tokens: int
    questions: int
    whole: float
    high: float
    planes: float
    left: float
    wrong: int


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", nargs="*", type=Path, default=[DATA / "squad-sent", DATA / "scifact"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 32], help="of a question")
    parser.add_argument("--targets", nargs="+", default=list(available_targets()[:2]))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--processor", help="of the page's name")
    chosen = parser.parse_args(given)
    whole, others = encoded(chosen.directories, chosen.cache), Others()
    rows = _in_planes(whole.array("tokens"), np.asarray(whole.offsets))
    asked = np.concatenate(whole.questions())
    found = []
    for name in chosen.targets:
        with force_target(name) as target:
            for width in chosen.tokens:
                questions = [asked[n * width : (n + 1) * width] for n in range(8)]
                found += [_measure(rows, target, questions[:count], chosen.rounds) for count in (1, 8)]
    text = "\n".join(_page(found, whole.name, rows, others.share())) + "\n"
    print(text)
    if chosen.processor:
        (RESULTS / f"planes-{chosen.processor}.md").write_text(text, encoding="utf-8")


def _in_planes(vectors: NDArray[np.float32], offsets: NDArray[np.int64]) -> Rows:
    rows, scales = np.empty((len(vectors), DIM), np.uint8), np.empty(len(vectors), np.float32)
    high, errors = np.empty((len(vectors), DIM // 2), np.uint8), np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), 1 << 16):
        part = slice(first, first + (1 << 16))
        rows[part], scales[part] = quantize(unit(vectors[part]))
        halves, low = rows[part] >> 4, (rows[part] & 15).astype(np.float32) - 8
        high[part] = halves[:, : DIM // 2] | halves[:, DIM // 2 :] << np.uint8(4)
        errors[part] = scales[part] * np.linalg.norm(low, axis=1)
    starts, ends = np.ascontiguousarray(offsets[:-1]), np.ascontiguousarray(offsets[1:])
    return Rows(rows, scales, starts, ends, high, np.maximum.reduceat(errors, starts))


def _measure(rows: Rows, target: Target, questions: Sequence[NDArray[np.float32]], rounds: int) -> Measured:
    times: dict[str, list[float]] = {"whole": [], "high": [], "planes": []}
    left, wrong = 0, 0
    for turn in range(rounds + 1):
        begin = time.perf_counter()
        scores = maxsim(rows.rows, rows.scales, rows.starts, rows.ends, questions, target)
        expected = [_best(line) for line in scores]
        middle = time.perf_counter()
        rough = _high(rows, target, questions)
        after = time.perf_counter()
        answers = [
            _settled(rows, target, question, line) for question, line in zip(questions, rough, strict=True)
        ]
        end = time.perf_counter()
        left = sum(count for _, count in answers)
        wrong += sum(set(a) != set(b) for a, (b, _) in zip(expected, answers, strict=True))
        if turn:  # the first one warms up
            times["whole"].append(middle - begin)
            times["high"].append(after - middle)
            times["planes"].append(end - middle)
    medians = (float(np.median(times[name])) for name in ("whole", "high", "planes"))
    share = left / len(questions) / len(rows.starts)
    return Measured(target.name, len(questions[0]), len(questions), *medians, share, wrong)


def _best(scores: NDArray[np.float32]) -> list[int]:
    return [int(n) for n in np.argpartition(scores, len(scores) - K)[len(scores) - K :]]


def _high(rows: Rows, target: Target, questions: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Scores of the high plane, float32, (questions, windows)."""
    scores = np.empty((len(questions), len(rows.starts)), np.float32)
    scan = _Scan(rows.high, rows.scales, rows.starts, rows.ends, questions, target, scores, 4)
    scan.run()
    return scores * 8  # 16 h + 8 - 128 is 8 (2 h - 15)


def _settled(
    rows: Rows, target: Target, question: NDArray[np.float32], rough: NDArray[np.float32]
) -> tuple[list[int], int]:
    """The best windows by whole rows, and how many were scored for it."""

    def scored(windows: NDArray[np.int64]) -> NDArray[np.float32]:
        spans = rows.starts[windows], rows.ends[windows]
        [scores] = maxsim(rows.rows, rows.scales, *spans, [question], target)
        return scores

    first = np.sort(np.argpartition(rough, len(rough) - FIRST)[len(rough) - FIRST :])
    worst = np.partition(scored(first), FIRST - K)[FIRST - K]
    # A rounded question's lengths are those of the question but for a part that the factor covers.
    length = float(np.linalg.norm(question, axis=1).sum()) * 1.01
    possible = np.flatnonzero(rough + rows.errors * length >= worst)
    scores = scored(possible)
    return [int(possible[n]) for n in _best(scores)], len(possible)


def _page(found: Sequence[Measured], name: str, rows: Rows, others: float) -> Iterator[str]:
    yield "# Rows in two planes"
    yield ""
    yield (
        f"Written by `python -m benchmarks.planes` at revision {revision()}, {datetime.now(UTC):%Y-%m-%d}; it says how "
        "the answer stays that of the whole scan."
    )
    yield ""
    yield f"Machine: {machine()}"
    yield ""
    yield (
        f"Text: {name}, {len(rows.starts):,} passages, {len(rows.rows):,} tokens, {DIM} dimensions; medians, in turns."
    )
    yield ""
    yield company(others)
    yield ""
    yield (
        "| target | question tokens | questions in a call | whole rows ms | high plane ms | planes in all ms | "
        "windows that the bound leaves | whole / high | whole / planes | wrong answers |"
    )
    yield "|---|" + "--:|" * 9
    for one in found:
        yield (
            f"| {one.target} | {one.tokens} | {one.questions} | {one.whole * 1e3:.2f} | {one.high * 1e3:.2f} | "
            f"{one.planes * 1e3:.2f} | {one.left:.1%} | {one.whole / one.high:.2f} | {one.whole / one.planes:.2f} | "
            f"{one.wrong} |"
        )


if __name__ == "__main__":
    main()
