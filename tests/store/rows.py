"""Documents whose token rows follow from their names."""

import numpy as np

from retrievers.store import Entry, Unchanged
from retrievers.types import Document

DIM = 6
FINGERPRINT = {"model": "random", "dim": DIM}


def matrix(name: str, tokens: int) -> np.ndarray:
    rng = np.random.default_rng(list(name.encode()))
    rows = rng.standard_normal((tokens, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if tokens else rows


def unchanged(document: Document) -> Unchanged:
    """A document that is stored by entry() with its text."""
    return Unchanged(document, document.text.encode()[:16])


def entry(name: str, *tokens: int, text: str = "some text", **metadata) -> Entry:
    """A document with one window for each number of tokens."""
    spans = [(n, n + 1) for n in range(len(tokens))]
    parts = [matrix(f"{name}{n}{text}", count) for n, count in enumerate(tokens)]
    return Entry(Document(text, name, metadata), text.encode()[:16], spans, parts)
