"""The values that travel between the stages: Document in, Hits out, Window inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

TokenMatrix = NDArray[np.float32]
"""float32, (tokens, dim): one row of length 1 a token."""

NODE_KEY = "_node"
"""Metadata key under which the LlamaIndex adapter keeps what else a node has; the LangChain adapter hides it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, the id it is known by, and what else the user keeps beside it.

    Attributes:
        text: what is encoded, stored and returned.
        id: unique within a collection; None lets the collection choose one.
        metadata: JSON values under string keys, for filters and for the user.
        context: encoded in front of the text but no part of it, a title say; stored, and never in a passage.
        source: id of what the text was cut from, by which a store finds all of its parts; None for none.
        attachment: JSON values that an adapter keeps beside the document; filters do not see them. None lets a
            stored document keep the source and the attachment that it has.
    """

    text: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    context: str = ""
    source: str | None = None
    attachment: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a document's text that was encoded, and is scored, by itself.

    Attributes:
        text: the characters of the part.
        start: offset of the first character in the document's text.
        end: offset after the last character, so that document.text[start:end] == text.
        number: place among the windows of the document, from 0. Two windows of one document may have equal texts.
    """

    text: str
    start: int
    end: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a query found.

    Attributes:
        id: the document's id; None for a text without one that was only reranked.
        score: MaxSim of the query and the document's best window; higher is better.
        normalized_score: score / number of query vectors, clamped to [0, 1].
        text: the document's whole text.
        metadata: the document's metadata, a copy of its own.
        passage: the best window; None where the text has no tokens.
        position: place among the documents that were given to rerank; None for a search.
    """

    id: str | None
    score: float
    normalized_score: float
    text: str
    metadata: dict[str, Any]
    passage: Window | None
    position: int | None = None


class Hits(list[Hit]):
    """The hits of one question, best first: a list that knows what it answers.

    It equals a list of the same hits, and is pickled and copied as one. A slice of it is Hits too.

    Attributes:
        query: the question.
        matrix: float32, (query_tokens, dim): the rows of the question that found the hits, so that nobody has to
            encode it again.
    """

    def __init__(
        self, hits: Iterable[Hit] = (), *, query: str = "", matrix: TokenMatrix | None = None
    ) -> None:
        super().__init__(hits)
        self.query = query
        self.matrix = np.zeros((0, 0), np.float32) if matrix is None else matrix

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, place: slice, /) -> Hits: ...
    def __getitem__(self, place: SupportsIndex | slice, /) -> Hit | Hits:
        if isinstance(place, slice):
            return Hits(super().__getitem__(place), query=self.query, matrix=self.matrix)
        return super().__getitem__(place)
