"""BM25 as a second first stage: the words of a window as a sparse vector, which the server weighs by their rarity.

A window has the part of BM25 that depends on it alone, how often a word stands in it, damped and set against its
length; a question has a 1 for each of its words; and the server multiplies by the inverse document frequency, which it
counts itself (Modifier.IDF). The average length of a window is taken to be AVERAGE: it changes as a collection grows,
and what is stored does not.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import regex
from qdrant_client import models

from retrievers.qdrant.points import SPAN, payload_of
from retrievers.types import Document

WORDS = "words"  # the sparse vector
K1, B = 1.2, 0.75  # as in SQLite's FTS5 and Lucene
AVERAGE = 100  # words in a window
Words: TypeAlias = models.SparseVector | None
"""The words of a question, if it has any."""
WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+")


def add_words(points: Sequence[models.PointStruct], document: Document) -> None:
    """Give the windows of a document their words."""
    whole = document.context + document.text
    for point in points:
        start, end = payload_of(point)[SPAN]
        found = weighed(whole[start:end])
        if found.indices:
            vectors: Any = point.vector
            vectors[WORDS] = found


def weighed(text: str) -> models.SparseVector:
    """The words of a window with their part of BM25."""
    found = words(text)
    length = K1 * (1 - B + B * len(found) / AVERAGE)
    counts = Counter(map(number, found))
    return _sparse({key: count * (K1 + 1) / (count + length) for key, count in counts.items()})


def of_question(text: str) -> Words:
    """The words of a question, each once; None where it has none."""
    found = words(text)
    return _sparse(dict.fromkeys(map(number, found), 1.0)) if found else None


def words(text: str) -> list[str]:
    """Runs of letters and digits, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    found: list[str] = WORD.findall("".join(one for one in plain if not unicodedata.combining(one)))
    return found


def number(word: str) -> int:
    """The place of a word in sparse vectors: 32 bits, so that among a million words some hundred share theirs."""
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "little")


def _sparse(values: dict[int, float]) -> models.SparseVector:
    indices = sorted(values)
    return models.SparseVector(indices=indices, values=[round(values[one], 6) for one in indices])
