"""Weights by idf: a question's row counts as much as its token is rare in the collection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrievers.errors import ShapeError
from retrievers.store import View
from retrievers.types import CountsTokens, Encoder, TokenMatrix, row_weights


def counting(encoder: Encoder) -> bool:
    """Whether an encoder asks for the counts of tokens."""
    return isinstance(encoder, CountsTokens) and "idf" in encoder.query_weights


def weighted(
    view: View, encoder: Encoder, texts: Sequence[str], matrices: Sequence[TokenMatrix]
) -> list[TokenMatrix]:
    """Rows of questions, each multiplied by √idf of its token, so that the weights of a question have the mean 1.

    idf is log(1 + (n - d + ½) / (d + ½)), where d of the n documents have the token. Nothing changes where the encoder
    asks for no idf, or the collection does not count tokens.

    Args:
        view: what is searched: its documents are counted.
        encoder: of the questions.
        texts: the questions; a blank one keeps the rows that it has.
        matrices: float32, (query_tokens, dim), as the encoder made them.
    Raises:
        ShapeError: the encoder numbers other tokens than it has rows for.
    References:
        Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, section 3.
    """
    if not counting(encoder) or not isinstance(encoder, CountsTokens):
        return list(matrices)
    numbers = [
        encoder.query_ids(text) if len(matrix) and text.strip() else []
        for text, matrix in zip(texts, matrices, strict=True)
    ]
    counts = view.token_counts({token for some in numbers for token in some})
    if counts is None:
        return list(matrices)
    made = []
    for some, matrix in zip(numbers, matrices, strict=True):
        if not some:
            made.append(matrix)
            continue
        if len(some) != len(matrix):
            raise ShapeError(f"the encoder numbers {len(some)} tokens of a question of {len(matrix)} rows.")
        found = np.array([counts.get(token, 0) for token in some], np.float64)
        rare = np.sqrt(np.log1p((len(view) - found + 0.5) / (found + 0.5)))
        weights = rare * row_weights(matrix)
        factors = rare / max(float(weights.mean()), 1e-12)
        made.append(matrix * factors.astype(np.float32)[:, None])
    return made
