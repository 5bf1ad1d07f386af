"""What words, weights and pooled similarity cost: plain search, weighted questions, FTS5 and blends, in turns.

    python -m benchmarks.words [--windows 20000] [--rounds 20]

Texts are random words whose frequencies fall as those of a language do, token rows are random, and questions have a
dozen words, frequent ones among them. FTS5 by itself is one query that asks for the best hundred windows by rank.
Rows that are mixed with a mean are stored and scanned as others are, so that `mean_weight` costs what it does to the
question alone; `query_weights` reads the counts of the question's tokens.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from retrievers.collection import weighing
from retrievers.evaluate.settings import with_mean
from retrievers.search import rank
from retrievers.search.fusion import Shares, blend
from retrievers.store import Entry, Store
from retrievers.testing import HashingEncoder
from retrievers.types import Document

DIM, TOKENS, WORDS, BATCH = 96, 60, 80, 2000
QUESTION_TOKENS, QUESTION_WORDS = 24, 12
ENCODER = HashingEncoder(dim=DIM, query_weights=("length", "idf"))  # numbers tokens; the rows are made here


KINDS = ("plain", "mean_weight", "query_weights", "FTS5 by itself", "words=0.25", "pooled=0.25")


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def build(path: Path, windows: int, rng: np.random.Generator, share: np.ndarray) -> Store:
    """A store of documents of one window each, with an index of words and counts of tokens."""
    store = Store(
        path, fingerprint={"model": "random", "dim": DIM}, words=("unicode61", None), counts_tokens=True
    )
    for first in range(0, windows, BATCH):
        count = min(BATCH, windows - first)
        words = rng.choice(len(share), (count, WORDS), p=share)
        rows = rng.standard_normal((count, TOKENS, DIM), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        entries = []
        for place in range(count):
            text = " ".join(f"w{word}" for word in words[place])
            document = Document(text, f"d{first + place}")
            tokens = set(ENCODER.query_ids(text))
            entries.append(Entry(document, text.encode()[:16], [(0, len(text))], [rows[place]], tokens))
        store.append(entries)
    return store


def measure(directory: str, windows: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of search, one a round."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 50_001)
    share /= share.sum()
    path = Path(directory) / "collection"
    store = build(path, windows, rng, share)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with closing(sqlite3.connect(path / "catalog.sqlite")) as fts5, store.read() as view:
        for round_ in range(rounds + 1):
            question = [f"w{word}" for word in rng.choice(len(share), QUESTION_WORDS, p=share)]
            query = rng.standard_normal((QUESTION_TOKENS, DIM), dtype=np.float32)
            query /= np.linalg.norm(query, axis=1, keepdims=True)
            text = " ".join(f"w{word}" for word in rng.choice(len(share), QUESTION_TOKENS, p=share))
            asked = " OR ".join(f'"{word}"' for word in dict.fromkeys(question))
            kinds: dict[str, Callable[[], object]] = {
                "plain": lambda query=query: rank(view, [query], None, 10),  # type: ignore[misc]
                "mean_weight": lambda query=query: rank(view, [with_mean(query, 0.25)], None, 10),  # type: ignore[misc]
                "query_weights": lambda query=query, text=text: rank(  # type: ignore[misc]
                    view, weighing.weighted(view, ENCODER, [text], [query]), None, 10
                ),
                "FTS5 by itself": lambda asked=asked: fts5.execute(  # type: ignore[misc]
                    "SELECT rowid, rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT 100", [asked]
                ).fetchall(),
                "words=0.25": lambda query=query, question=question: blend(  # type: ignore[misc]
                    view, [" ".join(question)], [query], None, 10, Shares(words=0.25)
                ),
                "pooled=0.25": lambda query=query, question=question: blend(  # type: ignore[misc]
                    view, [" ".join(question)], [query], None, 10, Shares(pooled=0.25)
                ),
            }
            for kind, call in kinds.items():
                spent = milliseconds(call)
                if round_:  # the first loads kernels and the map of rows
                    times[kind].append(spent)
    store.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times = measure(directory, options.windows, options.rounds)
    for kind, each in times.items():
        print(f"{kind:>16}: {statistics.median(each):8.1f} ms, median of {len(each)}")
    for kind in ("mean_weight", "query_weights"):
        pairs = zip(times[kind], times["plain"], strict=True)
        print(f"{kind} takes {statistics.median(one / plain for one, plain in pairs):.2f} times plain search")
    both = zip(times["pooled=0.25"], times["plain"], strict=True)
    added = statistics.median(blended - plain for blended, plain in both)
    print(f"pooled adds {added:.1f} ms over {options.windows} windows")
    three = zip(times["words=0.25"], times["plain"], times["FTS5 by itself"], strict=True)
    added = statistics.median((blended - plain) / fts5 for blended, plain, fts5 in three)
    print(f"words add {added:.2f} times what FTS5 takes by itself, over {options.windows} windows")


if __name__ == "__main__":
    main()
