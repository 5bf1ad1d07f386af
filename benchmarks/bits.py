"""What rows of 4 bits cost and gain beside rows of 8: quality, bytes a token, and the speed of the scan.

    python -m benchmarks.bits [--data ../shared/data] [--sets scifact squad-sent cosqa] [--documents 300]

Windows and questions are encoded by `offline/minilm` and reduced to 128 dimensions as benchmarks.search does it, once;
what was encoded stays in the cache. Every document is scored by its best window. The scans of 8 and of 4 bits take
turns in one process. It writes results/bits.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import revision
from benchmarks.quality.parts import first, sample
from benchmarks.search.data import CACHE, DIM, MODEL, recall, unit
from benchmarks.search.report import machine
from retrievers import LateInteractionEncoder
from retrievers.evaluate import Benchmark, load
from retrievers.evaluate.bootstrap import paired
from retrievers.evaluate.metrics import ndcg
from retrievers.kernels.maxsim import maxsim
from retrievers.kernels.rows import dequantize, quantize, row_bytes
from retrievers.kernels.targets import chosen_target

HERE = Path(__file__).resolve().parent
SETS = ("scifact", "squad-sent", "cosqa")
K = 10
QUESTIONS = 32  # scored at once: bounds the memory that scores take
ROWS = 1 << 16  # rounded at once
WINDOWS = 200  # whose float32 products are held at once
SAMPLE = 200_000  # tokens that the principal directions are taken of
AT_ONCE = (1, 8)
"""Questions in a call of the scan that is timed."""


@dataclass(frozen=True)
class Matrices:
    """A set as token matrices.

    Attributes:
        tokens: float32, (tokens, DIM), of length 1: rows of all windows.
        starts, ends: int64, (windows,): where each window's rows lie; each has at least one.
        firsts: int64, (documents,): first window of each document that has any.
        ids: of these documents.
        questions: float32, (query_tokens_i, DIM), rows of length 1, one a question that has tokens.
        asked: ids of these questions.
    """

    tokens: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.int64]
    ids: Sequence[str]
    questions: Sequence[NDArray[np.float32]]
    asked: Sequence[str]


Stored = tuple[NDArray[np.uint8], NDArray[np.float32], int]
"""Rows, scales and bits."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument(
        "--documents", type=int, help="only the first so many, and the questions that they answer"
    )
    parser.add_argument(
        "--queries", type=int, default=2000, help="most questions of a set, drawn with a seed"
    )
    parser.add_argument("--rounds", type=int, default=20, help="of the scans that are timed")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "bits.md")
    options = parser.parse_args()
    lines = heading(options)
    for name in options.sets:
        lines += table(options, name)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {options.output}")


def heading(options: argparse.Namespace) -> list[str]:
    part = "" if options.documents is None else f" Only the first {options.documents} documents of each set."
    return [
        "# Rows of 4 bits beside rows of 8",
        "",
        f"`python -m benchmarks.bits`, {time.strftime('%Y-%m-%d')}, revision {revision()}; {machine()} The scan ran by "
        f"the kernel `{chosen_target().name}`.{part}",
        "",
        f"`{MODEL}`, reduced to {DIM} dimensions by the principal directions of each set's tokens. Recall is the share "
        f"of the {K} best documents by float32 that are found. Intervals are those of the paired bootstrap, beside 8 "
        "bits, in thousandths of nDCG@10.",
        "",
        "Milliseconds are medians of a scan of all windows on all cores, in which the two take turns, at 1 and at 8 "
        "questions in a call.",
    ]


def table(options: argparse.Namespace, name: str) -> list[str]:
    """One set: quality, bytes and speed of each form."""
    benchmark = load(options.data / name)
    if options.documents is not None:
        benchmark = first(benchmark, options.documents)
    benchmark = sample(benchmark, options.queries)
    matrices = encoded(benchmark, f"{name}-{options.documents or 'all'}-{options.queries}", options.cache)
    forms: dict[str, Stored] = {
        "8 bits": rounded(matrices.tokens, 8),
        "4 bits": rounded(matrices.tokens, 4),
        "4 bits, converted from 8": rounded(matrices.tokens, 4, through=8),
    }
    truth = true_scores(matrices)
    exact = quality(benchmark, matrices, truth)
    found = {label: scores(matrices, stored) for label, stored in forms.items()}
    values = {label: quality(benchmark, matrices, one) for label, one in found.items()}
    times = timed(matrices, {label: forms[label] for label in ("8 bits", "4 bits")}, options.rounds)
    lines = [
        "",
        f"## {name}: {len(benchmark.documents):,} documents, {len(matrices.starts):,} windows, "
        f"{len(matrices.tokens):,} rows, {len(matrices.asked):,} questions",
        "",
        "| rows | bytes a token | nDCG@10 | beside 8 bits | recall@10 | ms, 1 question | ms, 8 questions |",
        "|---|--:|--:|--:|--:|--:|--:|",
        f"| float32 | {4 * DIM} | {exact.mean():.4f} | {paired(values['8 bits'], exact)} | 1 | | |",
    ]
    for label, (_, _, bits) in forms.items():
        lost = [
            recall(np.argsort(-one, kind="stable")[:K], of)
            for one, of in zip(found[label], truth, strict=True)
        ]
        speed = [
            f"{1000 * statistics.median(times[label, count]):.2f}"
            for count in AT_ONCE
            if (label, count) in times
        ]
        cells = " | ".join(speed or [""] * len(AT_ONCE))
        gain = "" if label == "8 bits" else str(paired(values["8 bits"], values[label]))
        lines.append(
            f"| {label} | {row_bytes(DIM, bits) + 4} | {values[label].mean():.4f} | {gain} | {np.mean(lost):.4f} | "
            f"{cells} |"
        )
    ratios = [
        statistics.median(times["8 bits", count]) / statistics.median(times["4 bits", count])
        for count in AT_ONCE
    ]
    lines += [
        "",
        f"The scan of 4 bits is {ratios[0]:.2f} times as fast with 1 question, {ratios[1]:.2f} with 8.",
    ]
    print("\n".join(lines), flush=True)
    return lines


def encoded(benchmark: Benchmark, label: str, cache: Path) -> Matrices:
    """Token matrices of all windows and questions, encoded once."""
    path = cache / f"bits-{label}.npz"
    encoder = LateInteractionEncoder(MODEL)
    if not path.is_file():
        spans = [encoder.split(document.text) for document in benchmark.documents]
        windows = [
            document.text[start:end]
            for document, some in zip(benchmark.documents, spans, strict=True)
            for start, end in some
        ]
        print(f"encoding {len(windows)} windows of {label}, once", flush=True)
        documents = [one.astype(np.float16) for one in encoder.encode_documents(windows)]
        questions = [
            one.astype(np.float16) for one in encoder.encode_queries(list(benchmark.queries.values()))
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(
                file,
                counts=[len(some) for some in spans],
                tokens=np.concatenate(documents),
                lengths=[len(one) for one in documents],
                question_tokens=np.concatenate(questions),
                question_lengths=[len(one) for one in questions],
            )
        unfinished.rename(path)
    with np.load(path, allow_pickle=False) as kept:
        return _matrices(benchmark, dict(kept))


def _matrices(benchmark: Benchmark, kept: Mapping[str, NDArray]) -> Matrices:
    rows, lengths = kept["tokens"], kept["lengths"]
    rng = np.random.default_rng(0)
    some = rows[rng.choice(len(rows), min(SAMPLE, len(rows)), replace=False)].astype(np.float32)
    directions = np.linalg.eigh(some.T @ some)[1][:, ::-1][:, :DIM]
    ends = np.cumsum(lengths)
    there = lengths > 0
    owners = np.repeat(np.arange(len(benchmark.documents)), kept["counts"])[there]
    documents, firsts = np.unique(owners, return_index=True)
    bounds = np.concatenate([[0], np.cumsum(kept["question_lengths"])])
    reduced = unit(kept["question_tokens"].astype(np.float32) @ directions)
    questions = [reduced[start:end] for start, end in pairwise(bounds)]
    with_tokens = [n for n, question in enumerate(questions) if len(question)]
    names = list(benchmark.queries)
    return Matrices(
        unit(rows.astype(np.float32) @ directions),
        (ends - lengths)[there].astype(np.int64),
        ends[there].astype(np.int64),
        firsts.astype(np.int64),
        [str(benchmark.documents[n].id) for n in documents],
        [questions[n] for n in with_tokens],
        [names[n] for n in with_tokens],
    )


def rounded(tokens: NDArray[np.float32], bits: int, through: int | None = None) -> Stored:
    """Rows as they are stored, some at a time; rounded to other bits before, where `through` says so."""
    parts = []
    for begin in range(0, len(tokens), ROWS):
        part = tokens[begin : begin + ROWS]
        if through is not None:
            part = dequantize(*quantize(part, through), DIM, through)
        parts.append(quantize(part, bits))
    rows, scales = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, scales, bits


def true_scores(of: Matrices) -> NDArray[np.float32]:
    """Float32 MaxSim of every question and every document's best window: (questions, documents)."""
    stacked = np.concatenate(of.questions).T  # (DIM, all query tokens)
    begins = np.cumsum([0, *(len(question) for question in of.questions)])[:-1]
    windows = np.empty((len(of.questions), len(of.starts)), np.float32)
    for begin in range(0, len(of.starts), WINDOWS):
        end = min(begin + WINDOWS, len(of.starts))
        rows = of.tokens[of.starts[begin] : of.ends[end - 1]]
        for part in range(0, stacked.shape[1], 4096):
            # Whole questions alone: a part of one would be added up twice.
            here = (begins >= part) & (begins < part + 4096)
            numbers = np.flatnonzero(here)
            if not len(numbers):
                continue
            last = begins[numbers[-1]] + len(of.questions[numbers[-1]])
            columns = slice(begins[numbers[0]], last)
            best = np.maximum.reduceat(
                rows @ stacked[:, columns], of.starts[begin:end] - of.starts[begin], axis=0
            )
            windows[numbers, begin:end] = np.add.reduceat(best, begins[numbers] - columns.start, axis=1).T
    return np.maximum.reduceat(windows, of.firsts, axis=1)


def scores(of: Matrices, stored: Stored) -> NDArray[np.float32]:
    """The same by the scan of stored rows."""
    rows, scales, bits = stored
    found = []
    for begin in range(0, len(of.questions), QUESTIONS):
        some = of.questions[begin : begin + QUESTIONS]
        windows = maxsim(rows, scales, of.starts, of.ends, some, chosen_target(), bits)
        found.append(np.maximum.reduceat(windows, of.firsts, axis=1))
    return np.concatenate(found)


def quality(benchmark: Benchmark, of: Matrices, found: NDArray[np.float32]) -> NDArray[np.float64]:
    """nDCG@10 of each question, float64, (judged questions,)."""
    run = {
        query: [of.ids[n] for n in np.argsort(-line, kind="stable")[:K]]
        for query, line in zip(of.asked, found, strict=True)
    }
    values = ndcg(benchmark.qrels, run)
    return np.array([values[query] for query in benchmark.queries])


def timed(of: Matrices, forms: Mapping[str, Stored], rounds: int) -> dict[tuple[str, int], list[float]]:
    """Seconds of a scan of all windows, by form and number of questions; a round before them warms up."""
    taken: dict[tuple[str, int], list[float]] = {(label, count): [] for label in forms for count in AT_ONCE}
    for turn in range(rounds + 1):
        for count in AT_ONCE:
            begin = turn * count % max(len(of.questions) - count + 1, 1)
            some = of.questions[begin : begin + count]
            for label, (rows, scales, bits) in forms.items():
                began = time.perf_counter()
                maxsim(rows, scales, of.starts, of.ends, some, chosen_target(), bits)
                if turn:
                    taken[label, count].append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    main()
