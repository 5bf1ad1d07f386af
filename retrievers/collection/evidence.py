"""Evidence: which characters of a document each query token matched."""

from __future__ import annotations

from retrievers.encoder import Encoder
from retrievers.types import Document, Evidence, Match, TokenMatrix, Window


def explain(
    encoder: Encoder, query: str, matrix: TokenMatrix, document: Document, passage: Window
) -> Evidence:
    """Encode the passage again and match each query token with its most similar document token.

    The vectors are not quantised, so the score can differ from the hit's in the third digit.

    Args:
        matrix: of the query, float32, (query_tokens, dim).
        passage: the document's best window for the query.
    """
    start, end = _encoded_span(encoder, document, passage)
    window = (document.context + document.text)[start:end]
    [rows] = encoder.encode_documents([window])
    similarity = matrix @ rows.T  # (query_tokens, document_tokens)
    best = similarity.argmax(axis=1)  # (query_tokens,)
    spans = encoder.document_tokens(window)
    shift = start - len(document.context)
    matches = []
    for number, token in enumerate(encoder.query_tokens(query)):
        first, last = spans[best[number]]
        # A marker of the model and a token of the context have no characters in the text.
        first, last = (0, 0) if first == last else (max(first + shift, 0), max(last + shift, 0))
        matches.append(
            Match(token, document.text[first:last], first, last, float(similarity[number, best[number]]))
        )
    return Evidence(query, document.text, passage, tuple(matches), float(similarity.max(axis=1).sum()))


def _encoded_span(encoder: Encoder, document: Document, passage: Window) -> tuple[int, int]:
    """The span of context + text that was encoded for a passage, which leaves the context out."""
    context = len(document.context)
    for start, end in encoder.split(document.context + document.text):
        if (max(start - context, 0), max(end - context, 0)) == (passage.start, passage.end):
            return start, end
    # Stored with another overlap: the passage by itself, behind the context if it begins the text.
    return (0 if passage.start == 0 else context + passage.start), context + passage.end
