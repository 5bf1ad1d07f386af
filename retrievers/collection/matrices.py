"""The token matrices of hits' windows, read from the store, which rounds each element to 8 or 4 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrievers.collection.hits import from_windows, passage_of
from retrievers.errors import InvalidInputError
from retrievers.kernels.rows import dequantize
from retrievers.store import View
from retrievers.types import Document, Hit, TokenMatrix, Window


def of_hits(view: View, found: Sequence[Hit]) -> list[TokenMatrix]:
    """Token matrix of each hit's passage, in their order: float32, (tokens, dim).

    A matrix has no rows where a hit has no passage, or where its document was replaced or deleted since.
    """
    ids = [hit.id for hit in found if hit.id is not None]
    texts = {document.id: document.text for document in view.get(ids)}
    windows = view.positions_of(ids)
    made = []
    for hit in found:
        matrix: TokenMatrix = np.zeros((0, view.dim), np.float32)
        if hit.id is not None and hit.passage is not None and texts.get(hit.id) == hit.text:
            positions = windows[hit.id]
            if hit.passage.number < len(positions):
                position = positions[hit.passage.number]
                rows = slice(view.starts[position], view.ends[position])
                matrix = dequantize(view.rows[rows], view.scales[rows], view.dim, view.bits)
        made.append(matrix)
    return made


def best_window(
    view: View, document: Document, query: TokenMatrix, passage: Window | None
) -> tuple[Window, tuple[int, int], TokenMatrix] | None:
    """The window of a stored document that a query matches best; None where nothing has tokens.

    Args:
        document: is stored.
        query: float32, (query_tokens, dim).
        passage: the window, where a search has found it already.
    Returns:
        The window, the characters of context + text that it was made of, and its rows, float32, (tokens, dim).
    Raises:
        InvalidInputError: the document has no such window.
    """
    from retrievers.search import score  # compiles the kernels

    key = str(document.id)
    positions = view.positions_of_found([key])[key]
    spans = [(int(start), int(end)) for start, end in view.spans(positions)]
    windows = [passage_of(document, span, number) for number, span in enumerate(spans)]
    if passage is not None and passage not in windows:
        raise InvalidInputError(
            f"document {key!r} has no window number {passage.number} at {passage.start}:{passage.end}: search again, "
            "then explain."
        )
    if passage is None:
        bounds = view.starts[positions], view.ends[positions]
        [scores] = score(view.rows, view.scales, *bounds, [query], view.bits)
        passage = from_windows(document, 0, query, spans, scores).passage
    if passage is None or not len(query):
        return None
    position = positions[passage.number]
    rows = slice(view.starts[position], view.ends[position])
    matrix = dequantize(view.rows[rows], view.scales[rows], view.dim, view.bits)
    return passage, spans[passage.number], matrix
