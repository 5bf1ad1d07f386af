"""Token matrices of stored windows: what the encoder gave, rounded to 8 bits an element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import hits
from retrievers.kernels.rows import dequantize
from retrievers.store import View
from retrievers.types import Hit, TokenMatrix


def of_documents(view: View, ids: Sequence[str]) -> dict[str, TokenMatrix]:
    """By id, all windows of a document in one: float32, (tokens, dim); unknown ids are left out."""
    return {key: _joined(view, positions) for key, positions in view.positions_of(ids).items()}


def of_passages(view: View, found: Sequence[Hit]) -> list[TokenMatrix]:
    """Of each hit's passage, in their order: float32, (tokens, dim).

    Without rows where a hit has no passage, or where its document was replaced or deleted since.
    """
    ids = [hit.id for hit in found if hit.id is not None]
    documents = {document.id: document for document in view.get(ids)}
    windows = view.positions_of(ids)
    return [
        _joined(view, hits.windows_of(view, documents[hit.id], windows[str(hit.id)], hit.passage))
        if hit.id in documents
        else np.zeros((0, view.dim), np.float32)
        for hit in found
    ]


def _joined(view: View, positions: NDArray[np.int64]) -> TokenMatrix:
    parts = [np.zeros((0, view.dim), np.float32)]
    for start, end in zip(view.starts[positions], view.ends[positions], strict=True):
        parts.append(dequantize(view.rows[start:end], view.scales[start:end], view.dim))
    return np.concatenate(parts)
