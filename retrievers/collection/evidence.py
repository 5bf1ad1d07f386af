"""Evidence: which characters of a document each query token matched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import fsum
from typing import Any

import numpy as np

from retrievers.collection.hits import passage_of, with_parts
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.kernels.rows import dequantize, quantize
from retrievers.types import (
    Document,
    Encoder,
    Evidence,
    Hit,
    Hits,
    Match,
    SearchableCollection,
    TokenKind,
    TokenMatrix,
    Window,
    row_weights,
)
from retrievers.types.boundaries import Span


def explain(
    encoder: Encoder,
    query: str,
    matrix: TokenMatrix,
    document: Document,
    passage: Window,
    span: Span,
    rows: TokenMatrix | None = None,
    bits: int = 8,
) -> Evidence:
    """Match each query token with its most similar document token.

    The similarities are those of the rows as they are searched. The places come from the tokenizer; the model runs
    only where a row does not stand for one token: with token pooling the window is encoded again without it.

    Args:
        matrix: of the query, float32, (query_tokens, dim).
        passage: the document's best window for the query.
        span: the characters of context + text that were encoded for it; the passage leaves the context out.
        rows: as stored, float32, (rows, dim); None encodes the window for the moment.
        bits: of a number of stored rows, to which those of the moment are rounded.
    Raises:
        CorruptStoreError: the passage has no tokens, although it was found by them.
    """
    start, end = span
    window = (document.context + document.text)[start:end]
    if rows is None:
        [fresh] = encoder.encode_documents([window])
        rows = dequantize(*quantize(fresh, bits), fresh.shape[1], bits)
    if not len(rows):
        return Evidence(query, document.text, None, (), 0.0)
    if not window.strip():
        raise CorruptStoreError(
            f"document {document.id!r} has token rows for a passage without tokens: its text is not the one that was "
            "encoded. Delete the document and add it again."
        )
    # Without BLAS: for a product as small as this its threads cost more than they do, and go on to spin.
    searched = np.einsum("qd,td->qt", matrix, rows)  # (query_tokens, rows)
    similarity, inside, approximate = _places(encoder, matrix, searched, window)
    shift, length = start - len(document.context), len(document.text)
    spans = tuple(_in_text(one, shift, length) for one in inside)
    best = similarity.argmax(axis=1).tolist()  # (query_tokens,)
    values = searched.max(axis=1).tolist()  # (query_tokens,)
    matches = []
    names, weights = _names(encoder, query, len(matrix)), row_weights(matrix).tolist()
    for (label, kind), place, value, weight in zip(names, best, values, weights, strict=True):
        first, last = spans[place]
        matches.append(Match(label, document.text[first:last], first, last, value, kind, weight))
    return Evidence(
        query,
        document.text,
        passage,
        tuple(matches),
        fsum(values),
        approximate=approximate,
        similarity=similarity,
        spans=spans,
    )


def of_loose(
    encoder: Encoder, query: str, matrix: TokenMatrix, hit: Hit, document: Document, bits: int
) -> Evidence:
    """explain of a text that was reranked and is not stored: its window is encoded again, and rounded to `bits`.

    Raises:
        InvalidInputError: the encoder does not cut the text into the hit's window.
    """
    best = hit.passage
    if best is None or not len(matrix):
        return Evidence(query, document.text, None, (), 0.0)
    spans = encoder.split(document.context + document.text)
    windows = [passage_of(document, span, number) for number, span in enumerate(spans)]
    if best not in windows:
        raise InvalidInputError(
            f"the text of the hit has no window number {best.number} at {best.start}:{best.end}: rerank again, "
            "then explain."
        )
    return explain(encoder, query, matrix, document, best, spans[best.number], bits=bits)


def of_hits(collection: SearchableCollection, found: Hits) -> list[dict[str, Any]]:
    """Evidence of each hit as JSON values, see Evidence.as_json; the question is not encoded again.

    A document that was replaced or removed since it was found has no rows left that could tell its words: then there
    is the passage, the score of the hit and no highlight, and the evidence is approximate.

    Args:
        collection: what was searched or has reranked.
        found: its hits. Those of a user's own collection may not know how they are explained; then its `explain` is
            asked, which encodes the question.
    """
    tell = found._explain or partial(collection.explain, found.query)
    made = []
    for hit in found:
        try:
            evidence = tell(hit)
        except InvalidInputError:
            score = hit.score if hit.parts is None else hit.parts.maxsim
            gone = Evidence(found.query, hit.text, hit.passage, (), score, approximate=True)
            evidence = with_parts(gone, hit)
        made.append(evidence.as_json())
    return made


def _places(
    encoder: Encoder, matrix: TokenMatrix, searched: TokenMatrix, window: str
) -> tuple[TokenMatrix, Sequence[Span], bool]:
    """Similarities by token of the window, the characters of each token in it, and whether they are approximate.

    Where the tokens of a window cannot be told, the stored rows have no characters.

    Args:
        searched: similarities by stored row, float32, (query_tokens, rows).
    """
    whole_tokens, spans = encoder, _tokens(encoder, window)
    if spans is None and isinstance(encoder, LateInteractionEncoder):
        whole_tokens = encoder.without_pooling()
        spans = _tokens(whole_tokens, window)
    elif spans is not None and len(spans) == searched.shape[1]:
        return searched, spans, False
    if spans:
        [whole] = whole_tokens.encode_documents([window])
        if len(whole) == len(spans):
            return matrix @ whole.T, spans, True  # (query_tokens, tokens)
    return searched, [(0, 0)] * searched.shape[1], True


def _tokens(encoder: Encoder, window: str) -> Sequence[Span] | None:
    """Characters of each token; None where a row stands for several, or the encoder does not tell."""
    try:
        return encoder.document_tokens(window)
    except NotImplementedError:
        return None


def _names(encoder: Encoder, query: str, count: int) -> list[tuple[str, TokenKind]]:
    """Label and kind of each row of a question; all are words where the encoder does not tell them apart.

    A question of which only the rows are known has an empty text: its rows have numbers.
    """
    if not query.strip():
        return _numbered(count)
    if isinstance(encoder, LateInteractionEncoder):
        return encoder.query_rows(query)
    try:
        return [(label, "word") for label in encoder.query_tokens(query)]
    except NotImplementedError:
        return _numbered(count)


def _numbered(count: int) -> list[tuple[str, TokenKind]]:
    return [(f"token {number}", "word") for number in range(1, count + 1)]


def _in_text(span: Span, shift: int, length: int) -> Span:
    """A span of the window as one of the text; empty for a marker of the model and for a token of the context."""
    if span[0] == span[1]:
        return 0, 0
    start, end = (min(max(place + shift, 0), length) for place in span)
    return (start, end) if start < end else (0, 0)
