"""How near the exact scan comes to what the processor can multiply at all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.search.data import DIM, Passages
from benchmarks.search.engine import THREADS
from benchmarks.search.measure import K
from benchmarks.search.ours import Recorded
from retrievers import Collection
from retrievers.kernels.paths import chosen
from retrievers.kernels.peak import peak
from retrievers.search import rank

REPEATS = 9


@dataclass(frozen=True)
class Limit:
    """Operations a second, a multiplication and an addition being two; medians of interleaved repeats.

    Attributes:
        path: the kernel path, whose multiply instruction the peak is of.
        query_tokens: of the questions, a multiple of the lanes: nothing is padding.
        peak: of the instruction in registers only.
        scan: of a whole call of search.rank with one question.
        several: of a call with eight questions.
    """

    path: str
    query_tokens: int
    peak: float
    scan: float
    several: float


def limits(passages: Passages, count: int, index: Path) -> list[Limit]:
    """Measure the instruction's peak and the scan, in turns, on an index that ours:Exact built."""
    tokens = np.concatenate(passages.questions())
    path, results = chosen(), []
    with Collection(index, Recorded(passages)) as collection, collection.store.read() as view:
        stored = int((view.ends - view.starts).sum())
        for width in (16, 32):
            questions = [tokens[n * width : (n + 1) * width] for n in range(8)]
            peaks, scans, batches = [], [], []
            for _ in range(REPEATS):
                peaks.append(peak(path, THREADS, seconds=0.1, repeats=1))
                for asked, speeds in ((questions[:1], scans), (questions, batches)):
                    begin = time.perf_counter()
                    rank(view, asked, None, K, exact=True)
                    operations = 2 * stored * DIM * width * len(asked)
                    speeds.append(operations / (time.perf_counter() - begin))
            results.append(Limit(path.name, width, *(float(np.median(x)) for x in (peaks, scans, batches))))
    return results
