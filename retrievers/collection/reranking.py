"""Given documents are scored: from stored rows where the collection has them, and else encoded for this call alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import hits, indexing
from retrievers.kernels.rows import RowForm, stored_form
from retrievers.store import Store, View
from retrievers.types import Document, Encoder, Hit, TokenMatrix


def score(store: Store, encoder: Encoder, query: TokenMatrix, documents: Sequence[Document]) -> list[Hit]:
    """A hit for each document, in the order given. Stored and encoded documents go through the same arithmetic.

    Args:
        query: float32, (query_tokens, dim).
        documents: where the content of one is stored, under its id or another, it is scored from the stored rows.
    """
    from retrievers.search import score as score_windows  # compiles the kernels

    found: dict[int, Hit] = {}
    with store.read() as view:
        named = [document.id for document in documents if document.id is not None]
        known, positions = view.content_hashes(named), view.positions_of(named)
        twins = {str(document.id): document for document in view.get(list(known))}
        documents, places = recognised(documents, twins, known)
        owners = {place: str(documents[place].id) for place in places}
        owners |= _of_equal_content(
            view, documents, [place for place in range(len(documents)) if place not in owners]
        )
        positions |= view.positions_of(set(owners.values()) - positions.keys())
        places = sorted(place for place, owner in owners.items() if owner in positions)
        windows = [np.zeros(0, np.int64), *(positions[owners[place]] for place in places)]
        chosen = np.concatenate(windows)
        bounds = view.starts[chosen], view.ends[chosen]
        [scores] = score_windows(view.rows, view.scales, *bounds, [query], view.bits)
        spans = [(int(start), int(end)) for start, end in view.spans(chosen)]
        _collect(found, documents, query, places, [len(part) for part in windows[1:]], spans, scores)
    missing = [place for place in range(len(documents)) if place not in found]
    found |= encoded(encoder, query, documents, missing, store.form)
    return [found[place] for place in range(len(documents))]


def _of_equal_content(view: View, documents: Sequence[Document], places: Sequence[int]) -> dict[int, str]:
    """By place, the id of a stored document that was encoded from the same text."""
    hashes = {place: indexing.content_hash(documents[place]) for place in places}
    ids = view.ids_of_content(set(hashes.values())) if hashes else {}
    return {place: ids[digest] for place, digest in hashes.items() if digest in ids}


def recognised(
    documents: Sequence[Document], twins: Mapping[str, Document], known: Mapping[str, bytes]
) -> tuple[list[Document], list[int]]:
    """Documents as they are to be scored, and the places of those that are stored with the same content.

    Args:
        twins: the stored document of each id.
        known: its content hash.
    """
    whole = [with_context(one, None if one.id is None else twins.get(one.id)) for one in documents]
    places = [
        place
        for place, one in enumerate(whole)
        if one.id is not None and one.id in known and known[one.id] == indexing.content_hash(one)
    ]
    return whole, places


def is_same(document: Document, stored: Document) -> bool:
    """Whether a document and a stored one are encoded from the same characters."""
    return (document.context, document.text) == (stored.context, stored.text)


def encoded(
    encoder: Encoder, query: TokenMatrix, documents: Sequence[Document], places: Sequence[int], form: RowForm
) -> dict[int, Hit]:
    """Hits of documents that are encoded for this call alone, by place; their rows are rounded as stored ones are.

    Args:
        query: float32, (query_tokens, dim).
        places: of the documents to encode.
        form: of stored rows.
    """
    from retrievers.search import score as score_windows

    found: dict[int, Hit] = {}
    pairs = [(documents[place], b"") for place in places]  # nothing is stored, so that no hash is needed
    entries = list(indexing.entries(encoder, pairs))
    matrices = [
        np.zeros((0, form.dim), np.float32),
        *(matrix for entry in entries for matrix in entry.matrices),
    ]
    parts = [stored_form(matrix, form.bits) for matrix in matrices]
    rows, scales = (np.concatenate(column) for column in zip(*parts, strict=True))
    bounds = np.cumsum([len(matrix) for matrix in matrices], dtype=np.int64)
    [scores] = score_windows(rows, scales, bounds[:-1], bounds[1:], [query], form.bits)
    spans = [span for entry in entries for span in entry.windows]
    _collect(found, documents, query, places, [len(entry.windows) for entry in entries], spans, scores)
    return found


def with_context(document: Document, stored: Document | None) -> Document:
    """A document with the context that is stored for it: frameworks know no contexts, and pass on the text alone."""
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
    """Give each document its windows: counts[i] of them belong to documents[places[i]]."""
    first = 0
    for place, count in zip(places, counts, strict=True):
        part = slice(first, first + count)
        found[place] = hits.from_windows(documents[place], place, query, spans[part], scores[part])
        first += count
