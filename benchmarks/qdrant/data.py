"""Real windows and questions as token matrices, encoded once, in 384 dimensions and in 128."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.data import NOISE, unit
from retrievers import Document
from retrievers.evaluate import load
from retrievers.types import Encoder, TokenMatrix

MODEL = "offline/minilm"
DOCUMENTS = {"scifact": 2500, "squad-sent": 13_447}  # that are encoded of each set
QUESTIONS = 300
REDUCED = 128


@dataclass(frozen=True)
class Set:
    """Documents of an evaluation set with their windows, and questions, all encoded.

    Attributes:
        name: of the set.
        documents: with ids.
        spans: of the windows of each document.
        windows: int64, (documents + 1,): the windows of document i are windows[i] to windows[i + 1].
        offsets: int64, (windows + 1,): the rows of each window.
        rows: float16, (rows, dim).
        questions: ids of the questions.
        texts: of the questions.
        queries: their matrices, float32, (tokens_i, dim).
        qrels: relevant documents by question.
    """

    name: str
    documents: list[Document]
    spans: list[list[tuple[int, int]]]
    windows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    rows: NDArray[np.float16]
    questions: list[str]
    texts: list[str]
    queries: list[TokenMatrix]
    qrels: dict[str, dict[str, int]]

    @property
    def dim(self) -> int:
        return int(self.rows.shape[1])

    def matrix(self, window: int) -> TokenMatrix:
        """Rows of length 1 of a window: float32, (tokens, dim)."""
        return unit(self.rows[self.offsets[window] : self.offsets[window + 1]])

    def first(self, documents: int) -> Set:
        """The first documents alone; those that a question is about come first."""
        windows = self.windows[: documents + 1]
        offsets = self.offsets[: windows[-1] + 1]
        return Set(
            self.name,
            self.documents[:documents],
            self.spans[:documents],
            windows,
            offsets,
            self.rows[: offsets[-1]],
            self.questions,
            self.texts,
            self.queries,
            self.qrels,
        )

    def asking(self, count: int) -> Set:
        """The same with the first questions alone."""
        kept = self.questions[:count]
        return replace(self, questions=kept, texts=self.texts[:count], queries=self.queries[:count])

    def reduced(self, directions: NDArray[np.float32]) -> Set:
        """The same in fewer dimensions: rows times directions, (dim, fewer), at length 1 again."""
        parts = [
            unit(self.rows[first : first + 100_000].astype(np.float32) @ directions).astype(np.float16)
            for first in range(0, len(self.rows), 100_000)
        ]
        queries = [unit(matrix @ directions) for matrix in self.queries]
        return Set(
            self.name,
            self.documents,
            self.spans,
            self.windows,
            self.offsets,
            np.concatenate(parts),
            self.questions,
            self.texts,
            queries,
            self.qrels,
        )


def directions(sets: Sequence[Set], dim: int = REDUCED) -> NDArray[np.float32]:
    """Principal directions, uncentred, of a sample of tokens, as benchmarks.search reduces: float32, (dims, dim)."""
    rng = np.random.default_rng(0)
    rows = [one.rows[rng.choice(len(one.rows), min(len(one.rows), 100_000), replace=False)] for one in sets]
    sample = np.concatenate(rows).astype(np.float32)
    found: NDArray[np.float32] = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :dim].astype(np.float32)
    return found


def encoded(data: Path, name: str, cache: Path) -> Set:
    """A set, encoded once and kept."""
    kept = cache / f"qdrant-{name}"
    benchmark = load(data / name)
    draw = random.Random(0)
    asked = sorted(key for key in benchmark.queries if any(benchmark.qrels.get(key, {}).values()))
    questions = sorted(draw.sample(asked, min(QUESTIONS, len(asked))))
    about = {key for question in questions for key, value in benchmark.qrels[question].items() if value}
    others = [one for one in benchmark.documents if one.id not in about]
    draw.shuffle(others)
    documents = [one for one in benchmark.documents if one.id in about] + others
    documents = documents[: DOCUMENTS[name]]
    if not (kept / "queries.npz").exists():
        _encode(documents, [benchmark.queries[key] for key in questions], kept)
    spans = [[tuple(span) for span in one] for one in json.loads((kept / "spans.json").read_text())]
    with np.load(kept / "queries.npz") as made:
        queries = [unit(made[str(place)]) for place in range(len(questions))]
    return Set(
        name,
        documents,
        spans,
        np.cumsum([0] + [len(one) for one in spans]),
        np.load(kept / "offsets.npy"),
        np.load(kept / "rows.npy", mmap_mode="r"),
        questions,
        [benchmark.queries[key] for key in questions],
        queries,
        {key: dict(benchmark.qrels[key]) for key in questions},
    )


def _encode(documents: Sequence[Document], questions: Sequence[str], target: Path) -> None:
    from retrievers import LateInteractionEncoder

    encoder = LateInteractionEncoder(MODEL, mean_weight=0, query_weights=[])
    texts = [one.context + one.text for one in documents]
    spans = [encoder.split(text) for text in texts]
    windows = [text[a:b] for text, parts in zip(texts, spans, strict=True) for a, b in parts]
    print(f"encoding {len(windows)} windows for {target.name}, once", flush=True)
    made = [matrix.astype(np.float16) for matrix in encoder.encode_documents(windows)]
    asked = encoder.encode_queries(questions)
    target.mkdir(parents=True, exist_ok=True)
    (target / "spans.json").write_text(json.dumps(spans))
    np.save(target / "offsets.npy", np.cumsum([0] + [len(one) for one in made]))
    np.save(target / "rows.npy", np.concatenate(made))
    np.savez(target / "queries.npz", **{str(place): one for place, one in enumerate(asked)})


class Kept(Encoder):
    """Gives matrices that were encoded before, by the text that they are of: an encoder for the time of a run."""

    def __init__(self, of: Set, questions: dict[str, TokenMatrix]) -> None:
        self.dim, self.document_length = of.dim, 256
        self.fingerprint = {"model": MODEL, "dim": of.dim, "kept": of.name}
        self._questions = questions

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        return [self._questions[text] for text in texts]

    def encode_documents(self, texts: Any) -> Iterator[TokenMatrix]:
        raise NotImplementedError("documents are stored with their matrices here")


@dataclass(frozen=True)
class Pool:
    """Windows of several sets, and noisy copies of them where more are needed than there are.

    Attributes:
        sets: whose windows are drawn.
        order: int64, (windows,): which window of all sets each is.
        copies: int64, (windows,): 0 for an original, n for the n-th noisy copy.
    """

    sets: Sequence[Set]
    order: NDArray[np.int64]
    copies: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)

    def matrices(self) -> Iterator[TokenMatrix]:
        """float32, (tokens, dim), rows of length 1; copies have noise of NOISE a dimension of 128."""
        ends = np.cumsum([len(one.offsets) - 1 for one in self.sets])
        # The noise is as long on 384 dimensions as on 128: cosine .87 to the original.
        deviation = NOISE * (REDUCED / self.sets[0].dim) ** 0.5
        for number, copy in zip(self.order, self.copies, strict=True):
            place = int(np.searchsorted(ends, number, side="right"))
            one = self.sets[place]
            matrix = one.matrix(int(number - (ends[place - 1] if place else 0)))
            if copy:
                rng = np.random.default_rng([int(number), int(copy)])
                noise = rng.standard_normal(matrix.shape, dtype=np.float32)
                matrix = unit(matrix + deviation * noise)
            yield matrix


def pool(sets: Sequence[Set], count: int, seed: int = 0) -> Pool:
    """As many windows as are wanted: those that a question is about, others without replacement, then copies."""
    total = sum(len(one.offsets) - 1 for one in sets)
    rng = np.random.default_rng(seed)
    wanted, first = [], 0
    for one in sets:
        relevant = {key for found in one.qrels.values() for key, value in found.items() if value}
        for place, document in enumerate(one.documents):
            if document.id in relevant:
                wanted += range(first + int(one.windows[place]), first + int(one.windows[place + 1]))
        first += len(one.offsets) - 1
    rest = rng.permutation(np.setdiff1d(np.arange(total), wanted))
    rounds = [np.concatenate([np.array(wanted, np.int64), rest])]
    while sum(map(len, rounds)) < count:
        rounds.append(rng.permutation(total))
    order = np.concatenate(rounds)[:count]
    copies = np.concatenate([np.full(len(one), place) for place, one in enumerate(rounds)])[:count]
    return Pool(sets, order, copies)
