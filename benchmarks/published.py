"""One question on the set-up of a published comparison: 4,874 passages, about 608,414 tokens of 128 dimensions.

    python -m benchmarks.published [directories]

https://huggingface.co/blog/multi-vector-encoder gives times of late-interaction search by four engines and by
sentence-transformers: passages of Natural Questions encoded by LateOn, the three best of one question, one machine.
Neither the model nor the passages are here: this takes passages of other sets, short and long ones so that there are
as many of them and about as many tokens, and questions of 10 to 16 tokens (theirs has ten words). Our searches and
sentence-transformers take turns on this machine. A search begins with the question's matrix and ends with the texts of
the hits, as theirs do.

It writes results/published.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.search.__main__ import DATA, RESULTS
from benchmarks.search.brute import SentenceTransformers
from benchmarks.search.data import CACHE, Passages, encoded
from benchmarks.search.load import Others
from benchmarks.search.ours import Recorded
from benchmarks.search.report import company, machine, revision
from retrievers import Collection, Document

PASSAGES, TOKENS, K = 4874, 608_414, 3
PUBLISHED = {
    "fast-plaid": ("11", "an RTX 3090", "approximate"),
    "Weaviate": ("17", "the processor", "exact"),
    "Qdrant": ("18", "the processor", "exact"),
    "Vespa": ("about 75", "the processor", "exact"),
    "sentence-transformers' `similarity`": ("98", "an RTX 3090", "exact"),
}
"""Milliseconds, where, and whether every passage is scored."""


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", nargs="*", type=Path, default=[DATA / "squad-sent", DATA / "scifact"])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--output", type=Path, default=RESULTS / "published.md")
    chosen = parser.parse_args(given)
    whole, others = encoded(chosen.directories, chosen.cache), Others()
    numbers = _like_them(np.diff(whole.offsets))
    asked = [n for n, question in enumerate(whole.questions()) if 10 <= len(question) <= 16]
    with tempfile.TemporaryDirectory() as place:
        times = _measured(whole, numbers, asked, Path(place))
    tokens = int(np.diff(whole.offsets)[numbers].sum())
    text = "\n".join(_page(times, whole.name, tokens, len(asked), others.share())) + "\n"
    chosen.output.write_text(text, encoding="utf-8")
    print(text)


def _like_them(lengths: np.ndarray) -> np.ndarray:
    """Numbers of PASSAGES different passages that have about TOKENS tokens together: short and long ones, at random."""
    random, mean = np.random.default_rng(0), TOKENS / PASSAGES
    short, long = np.flatnonzero(lengths < mean), np.flatnonzero(lengths >= mean)
    share = (mean - lengths[short].mean()) / (lengths[long].mean() - lengths[short].mean())
    count = round(PASSAGES * share)
    chosen = random.choice(long, count, replace=False), random.choice(short, PASSAGES - count, replace=False)
    return np.sort(np.concatenate(chosen))


def _measured(
    whole: Passages, numbers: np.ndarray, asked: Sequence[int], place: Path
) -> dict[str, list[float]]:
    """Seconds of each search, by way."""
    texts, _ = whole.texts()
    documents = [Document(f"{n} {texts[n]}", str(n)) for n in numbers.tolist()]
    ways: dict[str, Callable[[int], object]] = {}
    for bits in (8, 4):
        collection = Collection(place / str(bits), Recorded(whole), bits=bits)
        collection.add(documents, show_progress=False)
        ways[f"exact search, {bits} bits"] = lambda n, c=collection: c.search(str(n), k=K, exact=True)
        optimised = Collection(place / f"{bits}-optimised", Recorded(whole), bits=bits)
        optimised.add(documents, show_progress=False)
        optimised.optimize(show_progress=False)
        ways[f"after `optimize()`, {bits} bits"] = lambda n, c=optimised: c.search(str(n), k=K)
    brute, questions = SentenceTransformers(), whole.questions()
    brute.load([matrix for n in numbers.tolist() for matrix in whole.matrices(n, n + 1)])

    def similarity(n: int) -> list[Document]:
        scores = brute.scores(questions[n])
        return [documents[place] for place in np.argsort(-scores)[:K]]

    ways["sentence-transformers' `maxsim`, float32"] = similarity
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn, n in enumerate([asked[0], *asked]):  # the first one is asked twice, to warm up
        for way, search in ways.items():
            begin = time.perf_counter()
            search(n)
            if turn:
                times[way].append(time.perf_counter() - begin)
    return times


def _page(
    times: dict[str, list[float]], name: str, tokens: int, questions: int, others: float
) -> Iterator[str]:
    yield "# One question on a published set-up"
    yield ""
    yield (
        f"Written by `python -m benchmarks.published` at revision {revision()}, {datetime.now(UTC):%Y-%m-%d}; the "
        "script says what is alike and what is not."
    )
    yield ""
    yield (
        f"Ours: {machine()} {PASSAGES:,} passages of {name}, {tokens:,} tokens, {questions} questions, medians in "
        "turns."
    )
    yield ""
    yield (
        "Published: [Multi-Vector (Late Interaction) Embedding Models with Sentence Transformers]"
        "(https://huggingface.co/blog/multi-vector-encoder), 2026-08-18; an i7-13700K with an RTX 3090, 4,874 "
        "passages, 608,414 tokens, one question. **The machines differ, and so do passages, model and question:** only "
        "rows of one machine can be compared as a ratio. sentence-transformers stands in both."
    )
    yield ""
    yield company(others)
    yield ""
    yield "| search | ms | on | which passages are scored | machine |"
    yield "|---|--:|---|---|---|"
    for way, some in times.items():
        kind = "those that may be among the best" if "optimize" in way else "all"
        yield f"| {way} | {np.median(some) * 1e3:.1f} | the processor | {kind} | ours |"
    for way, (milliseconds, where, kind) in PUBLISHED.items():
        scored = "all" if kind == "exact" else "those that may be among the best"
        yield f"| {way} | {milliseconds} | {where} | {scored} | published |"


if __name__ == "__main__":
    main()
