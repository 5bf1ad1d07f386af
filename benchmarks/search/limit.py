"""How near the exact scan comes to what the processor can multiply at all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peak import peak, reading
from benchmarks.search.data import DIM, Passages
from benchmarks.search.engine import THREADS
from benchmarks.search.measure import K
from benchmarks.search.ours import Recorded
from retrievers import Collection
from retrievers.kernels.targets import available_targets, force_target
from retrievers.search import rank

REPEATS = 9
SHOWN = 2  # targets, the processor's fastest


@dataclass(frozen=True)
class Limit:
    """Operations a second, a multiplication and an addition being two; medians of interleaved repeats.

    Attributes:
        target: the kernel target, whose multiply instruction the peak is of.
        query_tokens: of the questions, a multiple of the lanes: nothing is padding.
        peak: of the instruction in registers only.
        memory: what could be multiplied with one question while the rows are read, and nothing else is done.
        scan: of a whole call of search.rank with one question.
        several: of a call with eight questions.
    """

    target: str
    query_tokens: int
    peak: float
    memory: float
    scan: float
    several: float


def limits(passages: Passages, count: int, index: Path) -> list[Limit]:
    """Measure the instruction's peak, the memory and the scan, in turns, on an index that ours:Exact built."""
    tokens = np.concatenate(passages.questions())
    results = []
    with Collection(index, Recorded(passages)) as collection, collection.store.read() as view:
        stored = int((view.ends - view.starts).sum())
        for name in available_targets()[:SHOWN]:
            with force_target(name) as target:
                for width in (16, 32):
                    questions = [tokens[n * width : (n + 1) * width] for n in range(8)]
                    work = 2 * stored * DIM * width  # of one question
                    speeds: list[list[float]] = [[], [], [], []]
                    for _ in range(REPEATS):
                        speeds[0].append(peak(target, THREADS, seconds=0.1, repeats=1))
                        speeds[1].append(reading(target, view.rows, THREADS) / view.rows.nbytes * work)
                        for asked, rates in ((questions[:1], speeds[2]), (questions, speeds[3])):
                            begin = time.perf_counter()
                            rank(view, asked, None, K, exact=True)
                            rates.append(len(asked) * work / (time.perf_counter() - begin))
                    results.append(Limit(name, width, *(float(np.median(rates)) for rates in speeds)))
    return results
