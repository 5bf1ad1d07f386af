"""The values that travel between the stages: Document in, Hits out, Window inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TokenMatrix = NDArray[np.float32]
"""float32, (tokens, dim): one row a token, of length 1; the rows of a question may have weights, their lengths."""

WEIGHTLESS = 1e-3  # by which the length of a row may differ from 1 that has no weight


def row_weights(query: TokenMatrix) -> TokenMatrix:
    """The weight of each row of a question, float32, (query_tokens,): its length, which is 1 but for rounding if it
    has none.

    Args:
        query: float32, (query_tokens, dim).
    """
    lengths = np.linalg.norm(query, axis=1)
    return np.ones_like(lengths) if (np.abs(lengths - 1) <= WEIGHTLESS).all() else lengths


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedMatrix:
    """A token matrix as a collection stores it.

    Of 8 bits, element j of row i is (rows[i, j] - 128) * scales[i]; `retrievers/store/FORMAT.md` describes rows of 4.

    Attributes:
        rows: uint8, (tokens, bytes). Of 8 bits, dim rounded up to a multiple of 4, from 1 to 255; padding is 128. Of 4
            bits, half of dim rounded up to a multiple of 4.
        scales: float32, (tokens,), each above 0.
        bits: of a number, 8 or 4.
    """

    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int = 8

    def __len__(self) -> int:
        return len(self.scales)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """What a model made of a document: its windows, and a token matrix for each.

    Attributes:
        spans: the characters of context + text that each window was made of.
        matrices: one a window, float32, (tokens, dim), each row of length 1; or as a collection stores it.
    """

    spans: Sequence[tuple[int, int]]
    matrices: Sequence[TokenMatrix | QuantizedMatrix]


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
class Parts:
    """What a score that blends several parts was made of.

    Attributes:
        maxsim: MaxSim of the query and the document's best window.
        normalized_maxsim: maxsim / number of query vectors, clamped to [0, 1].
        bm25: of the words of the question and the document's best window for them; 0 where none matches, None where
            words had no share.
        pooled: the cosine of the mean of the question's rows and the mean of the best window's; None where it had no
            share.
    """

    maxsim: float
    normalized_maxsim: float
    bm25: float | None
    pooled: float | None = None
