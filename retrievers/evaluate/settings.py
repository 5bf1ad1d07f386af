"""Settings of one model, measured on the stored rows of a collection: nothing is encoded but the questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from retrievers.search.fusion import DEPTH as COMPARED
from retrievers.search.fusion import Shares, weighed
from retrievers.search.pooled import similarities
from retrievers.store import View
from retrievers.types import TokenMatrix

QUESTIONS = 64  # scored at once: bounds the memory that scores take


@dataclass(frozen=True, slots=True)
class Setting:
    """How an encoder and a search are used.

    Attributes:
        mean_weight, query_weights: of LateInteractionEncoder.
        words, pooled: the shares of BM25 and of the pooled similarity in a search, as Collection.search has them.
    """

    mean_weight: float = 0.0
    query_weights: tuple[str, ...] = ()
    words: float = 0.0
    pooled: float = 0.0

    def __str__(self) -> str:
        parts = [f"mean_weight={self.mean_weight:g}"] if self.mean_weight else []
        parts += [f"query_weights={list(self.query_weights)}"] if self.query_weights else []
        parts += [f"words={self.words:g}"] if self.words else []
        parts += [f"pooled={self.pooled:g}"] if self.pooled else []
        return ", ".join(parts) or "plain"


GRID = tuple(
    Setting(mean, weights, words, pooled)
    for words, pooled in ((0.0, 0.0), (0.1, 0.0), (0.25, 0.0), (0.0, 0.25))
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
    """The settings that can be measured on what a collection has.

    Rows without a mean in them can be given one; from others it cannot be taken out again. The idf needs the counts of
    tokens, words need their index.

    Raises:
        InvalidInputError: the model is no LateInteractionEncoder.
    """
    if not isinstance(collection.encoder, LateInteractionEncoder):
        raise InvalidInputError(
            f"settings are those of a LateInteractionEncoder; this one has a {type(collection.encoder).__name__}."
        )
    stored, info = stored_mean(collection), collection.info()
    return [
        one
        for one in settings
        if stored in (0.0, one.mean_weight)
        and (info.counts_tokens or "idf" not in one.query_weights)
        and (info.words is not None or not one.words)
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
    ranked: dict[Setting, list[list[tuple[str, float]]]] = {one: [] for one in settings}
    with collection.store.read() as view:
        owners, firsts = np.unique(view.documents, return_index=True)
        names = {key: str(one.id) for key, one in view.fetch(owners).items()} if len(owners) else {}
        by_words = _words(view, texts) if any(one.words for one in settings) else []
        for mean in dict.fromkeys(one.mean_weight for one in settings):
            rows, scales = (view.rows, view.scales) if mean == stored else mixed(view, mean)
            for weights in dict.fromkeys(one.query_weights for one in settings if one.mean_weight == mean):
                same = [one for one in settings if (one.mean_weight, one.query_weights) == (mean, weights)]
                twin = encoder.weighing(weights)
                matrices = twin.encode_queries(texts)
                if mean != stored:
                    matrices = [_mixed_question(matrix, mean) for matrix in matrices]
                matrices = weighing.weighted(view, twin, texts, matrices)
                for place, (matrix, scores) in enumerate(_scored(view, rows, scales, matrices)):
                    best = np.maximum.reduceat(scores, firsts) if len(firsts) else scores
                    means = partial(_means, view, rows, scales, firsts, matrix, scores)
                    for one in same:
                        words, whole = by_words[place] if one.words else None, means if one.pooled else None
                        ranked[one].append(_ranked(owners, matrix, best, words, whole, one, names))
    found = {}
    for setting, rankings in ranked.items():
        run = {query: [name for name, _ in one] for query, one in zip(asked, rankings, strict=True)}
        values = ndcg(qrels, run)
        found[setting] = Measured(np.array([values[query] for query in asked]), rankings)
    return found


def mixed(view: View, mean: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales of a view whose rows have no mean in them, as they would be stored with one."""
    rows, scales = view.rows.copy(), view.scales.copy()
    for start, end in zip(view.starts.tolist(), view.ends.tolist(), strict=True):
        if end > start:
            part = dequantize(view.rows[start:end], view.scales[start:end], view.dim, view.bits)
            rows[start:end], scales[start:end] = quantize(with_mean(part, mean), view.bits)
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


def _words(view: View, texts: Sequence[str]) -> list[NDArray[np.float64]]:
    """BM25 of each question and document, float64, (documents,): that of its best window, 0 where no word matches."""
    owners = np.unique(view.documents)
    found = []
    for text in texts:
        windows, scores = view.word_scores(text)
        best = np.zeros(len(owners), np.float64)
        np.maximum.at(best, np.searchsorted(owners, view.documents[windows]), scores)
        found.append(best)
    return found


def _scored(
    view: View, rows: NDArray[np.uint8], scales: NDArray[np.float32], matrices: Sequence[TokenMatrix]
) -> Iterator[tuple[TokenMatrix, NDArray[np.float32]]]:
    """Each question's rows, and the MaxSim of each window, float32, (windows,)."""
    for first in range(0, len(matrices), QUESTIONS):
        part = matrices[first : first + QUESTIONS]
        found = score(rows, scales, view.starts, view.ends, part, view.bits)
        yield from zip(part, found, strict=True)


def _means(
    view: View,
    rows: NDArray[np.uint8],
    scales: NDArray[np.float32],
    firsts: NDArray[np.int64],
    matrix: TokenMatrix,
    scores: NDArray[np.float32],
    chosen: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The pooled similarity of some documents and a question, float64, (chosen,), each by its best window by MaxSim.

    Args:
        firsts: int64, (documents,): the first window of each document.
        scores: MaxSim of the question and each window, float32, (windows,).
        chosen: int64: places of the documents.
    """
    bounds = np.append(firsts, len(scores))
    windows = np.array(
        [
            first + int(scores[first:last].argmax())
            for first, last in zip(bounds[chosen], bounds[chosen + 1], strict=True)
        ],
        np.int64,
    )
    return similarities(rows, scales, view.starts[windows], view.ends[windows], matrix, view.bits)


def _ranked(
    owners: NDArray[np.int64],
    matrix: TokenMatrix,
    maxsim: NDArray[np.float32],
    bm25: NDArray[np.float64] | None,
    pooled: Callable[[NDArray[np.int64]], NDArray[np.float64]] | None,
    setting: Setting,
    names: Mapping[int, str],
) -> list[tuple[str, float]]:
    """The best documents of one question, as search gives them: retrievers.search.fusion says how parts are added.

    Args:
        owners: the key of each document, ascending.
    """
    if not len(matrix) or not len(owners):
        return []
    total: NDArray[Any] = maxsim
    if bm25 is not None or pooled is not None:
        total = blended(maxsim, Shares(setting.words, setting.pooled), bm25, pooled)
    order = np.argsort(-total, kind="stable")[:DEPTH]
    return [
        (names[int(owners[one])], normalized(float(maxsim[one]), matrix))
        for one in order
        if np.isfinite(total[one])
    ]


def blended(
    maxsim: NDArray[np.float32],
    shares: Shares,
    bm25: NDArray[np.float64] | None = None,
    pooled: Callable[[NDArray[np.int64]], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Several scores of each document as fusion.blend adds them, float64, (documents,).

    Args:
        maxsim: of each document, float32, (documents,); -inf for one without rows.
        shares: of the other parts; words have less than 1.
        bm25: of each document, float64, (documents,), 0 where no word matches; None where words have no share.
        pooled: gives the pooled similarity of the documents at some places; None where it has no share.
    Returns:
        The blend for the documents that MaxSim or BM25 ranks first, -inf for the rest.
    """
    chosen = np.argsort(-maxsim, kind="stable")[:COMPARED]
    if bm25 is not None:
        by_words = np.argsort(-bm25, kind="stable")[:COMPARED]
        chosen = np.union1d(chosen, by_words[bm25[by_words] > 0])
    chosen = chosen[np.isfinite(maxsim[chosen])]
    total = np.full(len(maxsim), -np.inf)
    if len(chosen):
        words = None if bm25 is None else bm25[chosen]
        means = None if pooled is None else pooled(chosen)
        total[chosen] = weighed(shares, maxsim[chosen].astype(np.float64), words, means)
    return total
