"""Scores of given documents: from stored rows where the collection has them, else encoded for the moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import hits, indexing
from retrievers.kernels.rows import quantize
from retrievers.store import Store
from retrievers.types import Document, Encoder, Hit, TokenMatrix


def score(store: Store, encoder: Encoder, query: TokenMatrix, documents: Sequence[Document]) -> list[Hit]:
    """One hit a document, in the order given; stored and encoded ones go through the same arithmetic.

    Args:
        query: float32, (query_tokens, dim).
        documents: one whose id and content are stored is scored from its stored rows.
    """
    from retrievers.search import score as score_windows  # compiles the kernels

    found: dict[int, Hit] = {}
    with store.read() as view:
        named = [document.id for document in documents if document.id is not None]
        known, positions = view.content_hashes(named), view.positions_of(named)
        twins = {document.id: document for document in view.get(list(known))}
        documents = [_with_context(document, twins.get(document.id)) for document in documents]
        hashes = [indexing.content_hash(document) for document in documents]
        places, windows = [], [np.zeros(0, np.int64)]
        for place, (document, digest) in enumerate(zip(documents, hashes, strict=True)):
            if document.id is not None and known.get(document.id) == digest:
                places.append(place)
                windows.append(positions[document.id])
        chosen = np.concatenate(windows)
        [scores] = score_windows(view.rows, view.scales, view.starts[chosen], view.ends[chosen], [query])
        spans = [(int(start), int(end)) for start, end in view.spans(chosen)]
        _collect(found, documents, query, places, [len(part) for part in windows[1:]], spans, scores)
    missing = [place for place in range(len(documents)) if place not in found]
    encoded = list(indexing.entries(encoder, [(documents[place], hashes[place]) for place in missing]))
    matrices = [np.zeros((0, store.dim), np.float32), *(m for entry in encoded for m in entry.matrices)]
    rows, scales = quantize(np.concatenate(matrices))
    bounds = np.cumsum([len(matrix) for matrix in matrices], dtype=np.int64)
    [scores] = score_windows(rows, scales, bounds[:-1], bounds[1:], [query])
    spans = [span for entry in encoded for span in entry.windows]
    _collect(found, documents, query, missing, [len(entry.windows) for entry in encoded], spans, scores)
    return [found[place] for place in range(len(documents))]


def _with_context(document: Document, stored: Document | None) -> Document:
    """A document as it is stored: a framework that knows no context hands the text alone around."""
    if stored is None or document.context or stored.text != document.text:
        return document
    return replace(document, context=stored.context)


def _collect(
    found: dict[int, Hit],
    documents: Sequence[Document],
    query: TokenMatrix,
    places: Sequence[int],
    counts: Sequence[int],
    spans: Sequence[tuple[int, int]],
    scores: NDArray[np.float32],
) -> None:
    """Share the windows out to their documents: counts[i] of them belong to documents[places[i]]."""
    first = 0
    for place, count in zip(places, counts, strict=True):
        part = slice(first, first + count)
        found[place] = hits.from_windows(documents[place], place, query, spans[part], scores[part])
        first += count
