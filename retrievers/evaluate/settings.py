"""Settings of one model, measured on the stored rows of a collection: nothing is encoded but the questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import Collection, weighing
from retrievers.collection.hits import normalized
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError
from retrievers.evaluate.metrics import DEPTH, Qrels, ndcg
from retrievers.kernels.rows import dequantize, quantize
from retrievers.search import score
from retrievers.store import View
from retrievers.types import TokenMatrix

QUESTIONS = 64  # scored at once: bounds the memory that scores take


@dataclass(frozen=True, slots=True)
class Setting:
    """How an encoder is used.

    Attributes:
        mean_weight, query_weights: of LateInteractionEncoder.
    """

    mean_weight: float = 0.0
    query_weights: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"mean_weight={self.mean_weight:g}"] if self.mean_weight else []
        parts += [f"query_weights={list(self.query_weights)}"] if self.query_weights else []
        return ", ".join(parts) or "plain"


GRID = tuple(
    Setting(mean, weights)
    for mean in (0.0, 0.25, 0.35, 0.5)
    for weights in ((), ("length",), ("idf",), ("length", "idf"))
)
"""What is tried, the simplest first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a setting found.

    Attributes:
        values: nDCG@10 of each question, float64, (questions,).
        ranked: ids of each question's documents, best first, at most DEPTH, with their normalised scores.
    """

    values: NDArray[np.float64]
    ranked: Sequence[Sequence[tuple[str, float]]]


def possible(collection: Collection, settings: Sequence[Setting] = GRID) -> list[Setting]:
    """The settings that can be measured on the rows that a collection has.

    Rows without a mean in them can be given one; from others it cannot be taken out again. The idf needs the counts of
    tokens.

    Raises:
        InvalidInputError: the model is no LateInteractionEncoder.
    """
    if not isinstance(collection.encoder, LateInteractionEncoder):
        raise InvalidInputError(
            f"settings are those of a LateInteractionEncoder; this one has a {type(collection.encoder).__name__}."
        )
    stored, counts = stored_mean(collection), collection.info().counts_tokens
    return [
        one
        for one in settings
        if stored in (0.0, one.mean_weight) and (counts or "idf" not in one.query_weights)
    ]


def stored_mean(collection: Collection) -> float:
    """The mean_weight that the rows of a collection have."""
    documents: Any = collection.fingerprint.get("documents")
    return float(documents.get("mean_weight", 0.0)) if isinstance(documents, Mapping) else 0.0


def measure_settings(
    collection: Collection, queries: Mapping[str, str], qrels: Qrels, settings: Sequence[Setting]
) -> dict[Setting, Measured]:
    """Ask every question with every setting, every window scored.

    Args:
        collection: its rows have the mean_weight of the settings, or none.
        queries: query id to question; only those of qrels are asked.
        qrels: query id to document id to gain.
        settings: of possible.
    """
    asked = [query for query in qrels if query in queries]
    texts = [queries[query] for query in asked]
    stored = stored_mean(collection)
    encoder: Any = collection.encoder
    found: dict[Setting, Measured] = {}
    with collection.store.read() as view:
        keys = view.documents
        names = {key: str(one.id) for key, one in view.fetch(keys).items()} if len(keys) else {}
        for mean in dict.fromkeys(one.mean_weight for one in settings):
            rows, scales = (view.rows, view.scales) if mean == stored else mixed(view, mean)
            for setting in [one for one in settings if one.mean_weight == mean]:
                twin = encoder.weighing(setting.query_weights)
                matrices = twin.encode_queries(texts)
                if mean != stored:
                    matrices = [_mixed_question(matrix, mean) for matrix in matrices]
                matrices = weighing.weighted(view, twin, texts, matrices)
                ranked = list(_ranked(view, rows, scales, matrices, names))
                run = {query: [name for name, _ in one] for query, one in zip(asked, ranked, strict=True)}
                values = ndcg(qrels, run)
                found[setting] = Measured(np.array([values[query] for query in asked]), ranked)
    return found


def mixed(view: View, mean: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales of a view whose rows have no mean in them, as they would be stored with one."""
    rows, scales = view.rows.copy(), view.scales.copy()
    for start, end in zip(view.starts.tolist(), view.ends.tolist(), strict=True):
        if end > start:
            part = dequantize(view.rows[start:end], view.scales[start:end], view.dim)
            rows[start:end], scales[start:end] = quantize(with_mean(part, mean))
    return rows, scales


def with_mean(rows: TokenMatrix, mean: float) -> TokenMatrix:
    """t' = normalise(t + mean · m), m the normalised mean of the rows; see retrievers.encoder.mean_mixing."""
    whole = _normalised(rows)
    made: TokenMatrix = _normalised(whole + np.float32(mean) * _normalised(whole.mean(axis=0, keepdims=True)))
    return made


def _mixed_question(matrix: TokenMatrix, mean: float) -> TokenMatrix:
    """The same for a question, whose rows keep their weights."""
    return with_mean(matrix, mean) * np.linalg.norm(matrix, axis=1, keepdims=True) if len(matrix) else matrix


def _normalised(rows: TokenMatrix) -> TokenMatrix:
    made: TokenMatrix = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return made


def _ranked(
    view: View,
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    matrices: Sequence[TokenMatrix],
    names: Mapping[int, str],
) -> Iterator[list[tuple[str, float]]]:
    owners, firsts = np.unique(view.documents, return_index=True)
    for first in range(0, len(matrices), QUESTIONS):
        part = matrices[first : first + QUESTIONS]
        for matrix, scores in zip(part, score(rows, scales, view.starts, view.ends, part), strict=True):
            if not len(matrix) or not len(owners):
                yield []
                continue
            best = np.maximum.reduceat(scores, firsts)
            order = np.argsort(-best, kind="stable")[:DEPTH]
            yield [
                (names[int(owners[one])], normalized(float(best[one]), matrix))
                for one in order
                if np.isfinite(best[one])
            ]
