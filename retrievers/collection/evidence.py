"""Evidence: which characters of a document each query token matched."""

from __future__ import annotations

from retrievers.errors import CorruptStoreError
from retrievers.types import Document, Encoder, Evidence, Match, TokenMatrix, Window


def explain(
    encoder: Encoder,
    query: str,
    matrix: TokenMatrix,
    document: Document,
    passage: Window,
    span: tuple[int, int],
) -> Evidence:
    """Encode the passage again and match each query token with its most similar document token.

    The vectors are not quantised, so the score can differ from the hit's in the third digit.

    Args:
        matrix: of the query, float32, (query_tokens, dim).
        passage: the document's best window for the query.
        span: the characters of context + text that were encoded for it; the passage leaves the context out.
    Raises:
        CorruptStoreError: the passage has no tokens, although it was found by them.
    """
    start, end = span
    window = (document.context + document.text)[start:end]
    [rows] = encoder.encode_documents([window])
    if not len(rows):
        raise CorruptStoreError(
            f"document {document.id!r} has token rows for a passage without tokens: its text is not the one that was "
            "encoded. Delete the document and add it again."
        )
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
