"""What the store costs: opening, adding at a steady pace, filtering, compacting.

    python benchmarks/store.py [--windows 1000000] [--filtered 100000]

Random rows stand for encoded text: the store does not look at their values. Each figure is the median of
several runs in one process, on a directory that the system has in its cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from retrievers.filters import parse
from retrievers.search import rank
from retrievers.store import Entry, Store
from retrievers.types import Document


def entries(first: int, count: int, tokens: int, dim: int) -> list[Entry]:
    """Documents of one window each, with the metadata of a small corpus."""
    rng = np.random.default_rng(first)
    matrices = rng.standard_normal((count, tokens, dim), dtype=np.float32)
    return [
        Entry(
            Document(
                f"passage {n} " * 20,
                f"id-{n}",
                {
                    "group": n % 100,
                    "lang": ["en", "de", "fr"][n % 3],
                    "source": f"file-{n // 10}.txt",
                    "n": n,
                },
            ),
            n.to_bytes(16, "little"),
            [(0, 100)],
            [matrix],
        )
        for n, matrix in zip(range(first, first + count), matrices, strict=True)
    ]


def batches(total: int, size: int, tokens: int, dim: int) -> Iterator[list[Entry]]:
    """The documents in the order and the portions in which they are added."""
    for first in range(0, total, size):
        yield entries(first, min(size, total - first), tokens, dim)


def seconds(call: Callable[[], object], runs: int = 5) -> float:
    """Median time of a call."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def opening(directory: Path, windows: int) -> None:
    """Build a collection of many windows batch by batch, and open it."""
    path = directory / "many"
    fingerprint = {"model": "random", "dim": 8}
    store = Store(path, fingerprint=fingerprint)
    times = []
    for batch in batches(windows, 256, 2, 8):
        start = time.perf_counter()
        store.append(batch)
        times.append(time.perf_counter() - start)
    tenth = max(1, len(times) // 10)
    print(f"append of 256 documents: first tenth {statistics.median(times[:tenth]) * 1e3:.1f} ms, ", end="")
    print(f"last tenth {statistics.median(times[-tenth:]) * 1e3:.1f} ms, {len(times)} batches")
    store.close()

    def open_once() -> None:
        opened = Store(path, fingerprint=None)
        with opened.read() as view:
            assert len(view.starts) == windows
        opened.close()

    print(f"open {windows:,} windows: {seconds(open_once):.2f} s")
    store = Store(path, fingerprint=None)
    with store.read():
        pass

    def add_and_read() -> None:
        store.append(entries(windows + add_and_read.calls, 1, 2, 8))
        add_and_read.calls += 1
        with store.read() as view:
            assert view.starts.size

    add_and_read.calls = 0  # type: ignore[attr-defined]
    print(f"add one document to them and read: {seconds(add_and_read) * 1e3:.1f} ms")
    with store.read() as view:
        keys = view.documents[:: max(1, windows // 100_000)]
        names = [document.id for document in view.fetch(keys.tolist()).values() if document.id]
    start = time.perf_counter()
    store.delete(names)
    print(f"delete {len(names):,} documents: {time.perf_counter() - start:.2f} s; ", end="")
    start = time.perf_counter()
    store.compact()
    print(f"compact the rest: {time.perf_counter() - start:.1f} s")
    store.close()


def filtering(directory: Path, windows: int) -> None:
    """Search with and without a filter that keeps 1 %, by a key with an index and by one without."""
    dim = 128
    store = Store(directory / "filtered", fingerprint={"model": "random", "dim": dim}, indexed=["group"])
    for batch in batches(windows, 1000, 32, dim):
        store.append(batch)
    query = np.random.default_rng(7).standard_normal((32, dim), dtype=np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)

    def search(filter: dict[str, object] | None, again: bool) -> None:
        with store.read() as view:
            if not again:
                view._snapshot.selections.clear()
            rank(view, [query], view.select(parse(filter)), 10)

    search(None, True)
    whole = seconds(lambda: search(None, True))
    print(f"search {windows:,} windows of 32 tokens: {whole * 1e3:.1f} ms")
    one_in_a_hundred = {"n": {"$lt": windows // 100}}
    for name, filter in (("indexed", {"group": 7}), ("not indexed", one_in_a_hundred)):
        search(filter, True)
        for again in (False, True):
            took = seconds(lambda f=filter, a=again: search(f, a))  # type: ignore[misc]
            when = "seen before" if again else "new"
            print(
                f"  filter that keeps 1 %, {name}, {when}: {took * 1e3:.1f} ms, {whole / took:.0f}x as fast"
            )
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--filtered", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        filtering(Path(directory), options.filtered)
        opening(Path(directory), options.windows)


if __name__ == "__main__":
    main()
