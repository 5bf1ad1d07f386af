"""Documents become what the store takes: their windows, token matrices and content hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np

from retrievers.errors import InvalidInputError, ShapeError
from retrievers.kernels.rows import MOST
from retrievers.store import Entry
from retrievers.types import CountsTokens, Document, Encoder, TokenMatrix


def content_hash(document: Document) -> bytes:
    """16 bytes that tell whether a document must be encoded again; metadata are no part of it."""
    context = document.context.encode()
    digest = blake2b(len(context).to_bytes(8, "little"), digest_size=16)
    digest.update(context)
    digest.update(document.text.encode())
    return digest.digest()


def entries(
    encoder: Encoder,
    documents: Sequence[tuple[Document, bytes]],
    advance: Callable[..., Any] = lambda count, *, tokens: None,
) -> Iterator[Entry]:
    """Encode documents: the windows of all of them together, so that the encoder can sort these by length.

    Args:
        documents: with their content hashes.
        advance: called after each document with 1, and the number of its token rows as `tokens`.
    Raises:
        ShapeError: the encoder gave a matrix that cannot be stored.
    """
    whole = [document.context + document.text for document, _ in documents]
    spans = [encoder.split(text) for text in whole]
    windows = (text[start:end] for text, parts in zip(whole, spans, strict=True) for start, end in parts)
    matrices = iter(encoder.encode_documents(windows))
    for (document, digest), parts in zip(documents, spans, strict=True):
        made = [checked(next(matrices), encoder.dim) for _ in parts]
        yield Entry(document, digest, parts, made)
        advance(1, tokens=sum(len(matrix) for matrix in made))


def counted(encoder: Encoder, entries: Sequence[Entry]) -> list[Entry]:
    """Entries with the tokens that their documents have, for a collection that counts them.

    Raises:
        InvalidInputError: the encoder does not number its tokens.
    """
    whole = [one.document.context + one.document.text for one in entries]
    found = token_ids(encoder, whole, [one.windows for one in entries])
    return [replace(one, token_ids=some) for one, some in zip(entries, found, strict=True)]


def token_ids(
    encoder: Encoder, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> list[set[int]]:
    """Numbers of the tokens in the windows of each text.

    Raises:
        InvalidInputError: the encoder does not number its tokens.
    """
    if not isinstance(encoder, CountsTokens):
        raise InvalidInputError(
            f"{type(encoder).__name__} does not number its tokens: query_ids and document_ids are needed to count them."
        )
    windows = [text[start:end] for text, parts in zip(texts, spans, strict=True) for start, end in parts]
    found = iter(encoder.document_ids(windows))
    return [{token for _ in parts for token in next(found)} for parts in spans]


def encode_queries(encoder: Encoder, texts: Sequence[str], dim: int) -> list[TokenMatrix]:
    """A matrix for each question, float32, (query_tokens, dim); a blank question has no rows and is not encoded.

    Raises:
        ShapeError: the encoder gave a matrix that cannot be used.
    """
    asked = [text for text in texts if text.strip()]
    encoded = iter(encoder.encode_queries(asked)) if asked else iter(())
    empty = np.zeros((0, dim), np.float32)
    return [checked(next(encoded), dim) if text.strip() else empty for text in texts]


def checked(matrix: TokenMatrix, dim: int) -> TokenMatrix:
    """The matrix that an encoder gave, if it can be used; the encoder may be a user's own.

    Raises:
        ShapeError: it is not (tokens, dim), or a value is not finite or too large.
    """
    if matrix.ndim != 2 or matrix.shape[1] != dim:
        raise ShapeError(f"the encoder gave a matrix of shape {matrix.shape}: (tokens, {dim}) is needed.")
    if not (np.abs(matrix) <= MOST).all():  # NaN is not
        raise ShapeError(f"the encoder gave a matrix with values that are not finite, or beyond {MOST:.0e}.")
    return matrix
