"""Scored windows become hits: the passage, its place in the user's text, and the normalised score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrievers.store import View
from retrievers.types import Document, Evidence, Hit, Hits, Passage, TokenMatrix, Window, row_weights


def from_search(
    view: View, query: TokenMatrix, ranked: Sequence[tuple[int, float]], lowest: float
) -> list[Hit]:
    """Hits of a search, in the order given.

    Args:
        view: what was searched.
        query: float32, (query_tokens, dim).
        ranked: the position of a window and its MaxSim, one for each document.
        lowest: hits with a smaller normalised score are left out.
    """
    weight = float(row_weights(query).sum())
    kept = [(position, score) for position, score in ranked if _share(score, weight) >= lowest]
    positions = np.array([position for position, _ in kept], np.int64)
    keys = view.documents[positions]
    documents, spans = view.fetch(keys), view.spans(positions)
    numbers = positions - np.searchsorted(view.documents, keys)  # places among the windows of the document
    hits = []
    for key, span, number, (_, score) in zip(keys.tolist(), spans, numbers.tolist(), kept, strict=True):
        hits.append(of_window(documents[key], query, score, (int(span[0]), int(span[1])), number))
    return hits


def of_window(
    document: Document,
    query: TokenMatrix,
    score: float,
    span: tuple[int, int],
    number: int,
    position: int | None = None,
) -> Hit:
    """The hit of a document whose best window is known.

    Args:
        query: float32, (query_tokens, dim).
        score: MaxSim of the query and the window.
        span: the characters of context + text that the window was made of.
        number: place of the window among those of the document.
        position: place of the document among those that were given to rerank.
    """
    passage, metadata = passage_of(document, span, number), dict(document.metadata)
    part = normalized(score, query)
    return Hit(document.id, score, part, document.text, metadata, passage, position, document.attachment)


def from_windows(
    document: Document,
    position: int,
    query: TokenMatrix,
    spans: Sequence[tuple[int, int]],
    scores: NDArray[np.float32],
) -> Hit:
    """The hit of one reranked document, by its best window; it has score 0 and no passage where nothing has tokens.

    Args:
        spans: of its windows, into context + text.
        scores: float32, (windows,), -inf for a window without tokens.
    """
    best = int(scores.argmax()) if len(scores) and len(query) else -1
    if best < 0 or not np.isfinite(scores[best]):
        metadata = dict(document.metadata)
        return Hit(document.id, 0.0, 0.0, document.text, metadata, None, position, document.attachment)
    return of_window(document, query, float(scores[best]), spans[best], best, position)


def passages(
    document: Document,
    query: TokenMatrix,
    windows: Iterable[tuple[int, tuple[int, int], float]],
    count: int,
    lowest: float,
) -> tuple[Passage, ...]:
    """The best windows of a document, best first, the earlier of two equal ones.

    Args:
        query: float32, (query_tokens, dim).
        windows: number, span in context + text, and MaxSim of each; -inf for a window without tokens.
        count: the most windows to return.
        lowest: windows with a smaller normalised score are left out.
    """
    best = sorted(windows, key=lambda window: (-window[2], window[0]))[:count]
    return tuple(
        Passage(passage_of(document, span, number), score, value)
        for number, span, score in best
        if score > -np.inf and (value := normalized(score, query)) >= lowest
    )


def normalized(score: float, query: TokenMatrix) -> float:
    """MaxSim / sum of the weights of the query's vectors, clamped to [0, 1]; 0 for a query without vectors.

    Without weights that is MaxSim / number of query vectors.
    """
    return _share(score, float(row_weights(query).sum()))


def _share(score: float, weight: float) -> float:
    return min(max(score / weight, 0.0), 1.0) if weight else 0.0


def explicable(
    found: Iterable[Hit],
    query: str,
    matrix: TokenMatrix,
    given: Sequence[Document],
    explain: Callable[[Hit, Document | None], Evidence],
) -> Hits:
    """Hits that can be explained without encoding the question again.

    Args:
        given: the documents that were reranked; none for a search.
        explain: the evidence of a hit and, where it was reranked, of the document that was given.
    """

    def of_hit(hit: Hit) -> Evidence:
        document = given[hit.position] if given and hit.position is not None else None
        return with_parts(explain(hit, document), hit)

    return Hits(found, query=query, matrix=matrix, explain=of_hit)


def with_parts(evidence: Evidence, hit: Hit | str) -> Evidence:
    """The evidence of a hit with what the hit's score was made of; a document's id has no score."""
    parts = None if isinstance(hit, str) else hit.parts
    return evidence if parts is None else replace(evidence, parts=parts)


def passage_of(document: Document, span: tuple[int, int], number: int) -> Window:
    """A span of context + text as a window of the text; empty where the span lies in the context.

    Args:
        number: place of the window among those of the document.
    """
    start, end = (max(place - len(document.context), 0) for place in span)
    return Window(document.text[start:end], start, end, number)
