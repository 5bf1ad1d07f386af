"""The encoder: text to token matrices, through sentence-transformers' multi-vector models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from retrievers.types import TokenMatrix


@runtime_checkable
class Encoder(Protocol):
    """What a collection needs of a model. Subclass it to inherit the defaults.

    Attributes:
        dim: length of a token vector.
        document_length: the most tokens that a window may have.
        fingerprint: JSON values that tell this model from every other; "model" is its name. A collection
            opens only with the fingerprint that wrote it.
    """

    dim: int
    document_length: int
    fingerprint: Mapping[str, Any]

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        """Encode questions: float32, (query_tokens, dim), one matrix a text."""
        ...

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        """Encode windows, in the order given: float32, (tokens, dim), one matrix a text."""
        ...

    def split(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the windows of a text, each of at most document_length tokens."""
        return [(0, len(text))] if text.strip() else []

    def document_tokens(self, text: str) -> list[tuple[int, int]]:
        """Character span of each row of encode_documents([text]); (0, 0) for a marker of the model."""
        raise NotImplementedError(f"{type(self).__name__} does not tell which characters its rows stand for.")

    def query_tokens(self, text: str) -> list[str]:
        """Label of each row of encode_queries([text])."""
        raise NotImplementedError(f"{type(self).__name__} does not name its query tokens.")
