"""Are windows of a long text found better than its first words? Transcripts of thousands of words (QMSum).

    python -m benchmarks.long_documents --data ../shared/data

One row a way of encoding. "truncated" keeps the first window, as sentence-transformers does; "windows" cuts
the whole text, and the best window is the document's score; "late chunks" encodes windows as long as the model
can read and then scores shorter runs of their rows (Günther et al., Late Chunking, 2024); "pooled" merges
rows by sentence-transformers' token pooling. MaxSim is exact, in float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.encoding import ndcg, retrieval_set
from retrievers.encoder import LateInteractionEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="directory with qmsum")
    parser.add_argument(
        "--every", type=int, default=4, help="take each so manyth transcript; 1 takes all 232"
    )
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--model", default="offline/minilm")
    parser.add_argument(
        "--only", default="", help="words in the names of the ways to measure; a bar parts them"
    )
    arguments = parser.parse_args()
    ids, texts, questions, relevant = retrieval_set(arguments.data / "qmsum", "corpus", 10**6, 10**6)
    ids, texts = ids[:: arguments.every], texts[:: arguments.every]
    known = set(ids)
    asked = [(q, r) for q, r in zip(questions, relevant, strict=True) if r <= known][: arguments.questions]
    questions, relevant = [q for q, _ in asked], [r for _, r in asked]
    words = np.median([len(text.split()) for text in texts])
    print(f"{len(texts)} transcripts, {words:.0f} words at the median, {len(questions)} questions")
    print("| way | windows | rows | nDCG@10 | success@1 | seconds |\n|---|---|---|---|---|---|")
    for way, options, run in WAYS:
        if not any(words in way for words in arguments.only.split("|")):
            continue
        encoder = LateInteractionEncoder(arguments.model, **options)
        queries = encoder.encode_queries(questions)
        scores = np.full((len(questions), len(texts)), -np.inf, np.float32)
        windows = rows = 0
        start = time.perf_counter()
        for position, text in enumerate(texts):
            for matrix in run(encoder, text):
                if len(matrix):
                    windows, rows = windows + 1, rows + len(matrix)
                    scores[:, position] = np.maximum(scores[:, position], maxsim_all(queries, matrix))
        taken = time.perf_counter() - start
        first = np.mean([ids[row.argmax()] in r for row, r in zip(scores, relevant, strict=True)])
        print(
            f"| {way} | {windows} | {rows} | {ndcg(scores, ids, relevant):.3f} | {first:.3f} | {taken:.0f} |",
            flush=True,
        )


def whole(encoder: LateInteractionEncoder, text: str) -> Iterator[np.ndarray]:
    return encoder.encode_documents(text[start:end] for start, end in encoder.split(text))


def truncated(encoder: LateInteractionEncoder, text: str) -> Iterator[np.ndarray]:
    return encoder.encode_documents(text[start:end] for start, end in encoder.split(text)[:1])


def late_chunks(encoder: LateInteractionEncoder, text: str, length: int = 128, shared: int = 16) -> Iterator:
    """Rows of windows as long as the model reads, scored in runs as short as the windows beside it."""
    for matrix in whole(encoder, text):
        for start in range(0, max(len(matrix) - shared, 1), length - shared):
            yield matrix[start : start + length]


def maxsim_all(queries: list[np.ndarray], document: np.ndarray) -> np.ndarray:
    """Scores of one matrix for each query, float32, (queries,)."""
    best = (np.concatenate(queries) @ document.T).max(axis=1)  # (all query rows,)
    starts = np.cumsum([0, *[len(query) for query in queries[:-1]]])
    return np.add.reduceat(best, starts)


WAYS = [
    ("truncated to 256", {"document_length": 256}, truncated),
    ("truncated to 512", {"document_length": 512}, truncated),
    ("windows of 512, 64 shared", {"document_length": 512}, whole),
    ("windows of 256, 32 shared (default)", {"document_length": 256}, whole),
    ("windows of 256, none shared", {"document_length": 256, "overlap": 0}, whole),
    ("windows of 256, 96 shared", {"document_length": 256, "overlap": 96}, whole),
    ("windows of 128, 16 shared", {"document_length": 128}, whole),
    ("windows of 64, 8 shared", {"document_length": 64}, whole),
    ("late chunks of 128 from 512", {"document_length": 512}, late_chunks),
    ("windows of 256, pooled by 2", {"document_length": 256, "token_pooling": 2}, whole),
    ("windows of 256, pooled by 4", {"document_length": 256, "token_pooling": 4}, whole),
]


if __name__ == "__main__":
    main()
