"""Many threads at once, narrow filters, many windows."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.client import ROOT
from benchmarks.search.data import CACHE, Passages
from benchmarks.search.load import Others
from benchmarks.search.measure import K
from benchmarks.search.ours import Exact, Recorded
from retrievers import Collection, Document
from retrievers.types import Encoder

REPEATS = 5


@dataclass(frozen=True)
class Crowd:
    """Questions a second of some threads on one collection, medians; wrong: answers unlike those of one thread."""

    threads: int
    exact: bool
    throughput: float
    wrong: int


def crowds(passages: Passages, index: Path, sizes: Sequence[int] = (2, 32)) -> list[Crowd]:
    """All questions, shared by more and more threads, in turns."""
    questions = [str(n) for n in range(len(passages.questions()))]
    results = []
    with Collection(index, Recorded(passages)) as collection:
        for exact in (True, False):

            def ask(question: str, exact: bool = exact) -> list[tuple[str | None, float]]:
                return [(hit.id, hit.score) for hit in collection.search(question, k=K, exact=exact)]

            alone = [ask(question) for question in questions]
            speeds: dict[int, list[float]] = {size: [] for size in sizes}
            wrong = dict.fromkeys(sizes, 0)
            for _ in range(REPEATS):
                for size in sizes:
                    with ThreadPoolExecutor(size) as pool:
                        begin = time.perf_counter()
                        answers = list(pool.map(ask, questions))
                        speeds[size].append(len(questions) / (time.perf_counter() - begin))
                    wrong[size] += sum(answer != other for answer, other in zip(answers, alone, strict=True))
            results += [Crowd(size, exact, float(np.median(speeds[size])), wrong[size]) for size in sizes]
    return results


@dataclass(frozen=True)
class Filtered:
    """Seconds of Collection.search, medians over the questions; wrong: hits that do not match the filter."""

    windows: int
    kept: int
    filtered: float
    whole: float
    wrong: int


def narrow_filter(passages: Passages, windows: int, cache: Path = CACHE) -> Filtered:
    """A filter that keeps one passage in a hundred, against no filter, in turns."""
    index = cache / "indexes" / passages.directory.name / "grouped"
    questions = [str(n) for n in range(len(passages.questions()))][:50]
    with Collection(index, Recorded(passages)) as collection:
        if len(collection) != windows:
            collection.add(
                (Document(str(n), str(n), {"group": n % 100}) for n in range(windows)), show_progress=False
            )
        times: dict[bool, list[float]] = {True: [], False: []}
        wrong = 0
        for question in [*questions[:3], *questions]:
            for filtered in (True, False):
                begin = time.perf_counter()
                hits = collection.search(question, k=K, filter={"group": 7} if filtered else None, exact=True)
                times[filtered].append(time.perf_counter() - begin)
                wrong += filtered and (len(hits) != K or any(hit.metadata["group"] != 7 for hit in hits))
        medians = {filtered: float(np.median(seconds[3:])) for filtered, seconds in times.items()}
    return Filtered(windows, len(range(7, windows, 100)), medians[True], medians[False], wrong)


@dataclass(frozen=True)
class Optimised:
    """Seconds of Collection.optimize, once; others: cores that other processes kept busy meanwhile."""

    tokens: int
    seconds: float
    others: float


def optimise(passages: Passages, cache: Path = CACHE) -> Optimised:
    """Build the centroids of a fresh collection of all passages."""
    index = cache / "indexes" / passages.directory.name / "optimise"
    shutil.rmtree(index, ignore_errors=True)
    engine = Exact()
    engine.build(passages, len(passages), index)
    others, begin = Others(), time.perf_counter()
    engine.collection.optimize(show_progress=False)
    seconds = time.perf_counter() - begin
    engine.collection.close()
    return Optimised(int(passages.offsets[-1]), seconds, others.share())


@dataclass(frozen=True)
class Opened:
    """Seconds in a fresh process, medians: until the collection is open, and until its first answer is there."""

    windows: int
    opened: float
    answered: float


class Few(Encoder):
    """Four rows a text, out of a table: what matters is how many windows there are."""

    def __init__(self) -> None:
        self.dim, self.document_length = 128, 4
        self.fingerprint: Mapping[str, Any] = {"model": "few", "dim": 128}
        rows = np.random.default_rng(0).standard_normal((4096, 4, 128)).astype(np.float32)
        self.rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)

    def encode_documents(self, texts: Iterable[str]) -> Iterator[NDArray[np.float32]]:
        for text in texts:
            yield self.rows[int(text) * 2_654_435_761 % 4096]

    def encode_queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return list(self.encode_documents(texts))


_OPEN = """
import sys, time
from benchmarks.search.scale import Few
from retrievers import Collection
import retrievers.search
encoder = Few()
begin = time.perf_counter()
collection = Collection(sys.argv[1], encoder)
with collection.store.read() as view:
    windows = len(view.starts)
opened = time.perf_counter() - begin
collection.search("1", exact=True)
print(windows, opened, time.perf_counter() - begin)
"""


def open_many(windows: int, cache: Path = CACHE) -> Opened:
    """Open a collection of many small windows, each time in a process of its own."""
    index = cache / "indexes" / f"few-{windows}"
    with Collection(index, Few()) as collection:
        if len(collection) != windows:
            for first in range(0, windows, 50_000):
                numbers = range(first, min(first + 50_000, windows))
                collection.add([Document(str(n), str(n)) for n in numbers], show_progress=False)
    measured = []
    for _ in range(REPEATS):
        command = [sys.executable, "-c", _OPEN, str(index)]
        answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600)
        seen, *seconds = answer.stdout.split()
        if int(seen) != windows:
            raise RuntimeError(f"{index} has {seen} windows in place of {windows}: remove it and run again.")
        measured.append([float(second) for second in seconds])
    opened, answered = np.median(measured, axis=0)
    return Opened(windows, float(opened), float(answered))
