"""The token matrices of hits' windows, read from the store, which rounds each element to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrievers.kernels.rows import dequantize
from retrievers.store import View
from retrievers.types import Hit, TokenMatrix


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
                matrix = dequantize(view.rows[rows], view.scales[rows], view.dim)
        made.append(matrix)
    return made


def span_of(view: View, key: str | None, number: int) -> tuple[int, int] | None:
    """The characters of context + text that a window of a stored document was made of; None if it is not stored."""
    positions = (
        view.positions_of([key])[key] if key is not None and key in view.content_hashes([key]) else None
    )
    if positions is None or number >= len(positions):
        return None
    [[start, end]] = view.spans(positions[number : number + 1])
    return int(start), int(end)
