"""An encoder for tests: each word has a pseudo-random vector of its own, so equal words match exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np

from retrievers.types import Encoder, TokenMatrix

WORD = re.compile(r"\w+")


class HashingEncoder(Encoder):
    """Words as vectors by a seeded hash; needs no model and gives the same matrix on every machine.

    Args:
        dim: length of a vector.
        document_length: words in a window; a longer text is split after that many.
        seed: another seed is another model, with another fingerprint.
        query_weights: of a question's rows, as LateInteractionEncoder has them; the length of a word's hidden state is
            the number of its letters.
    """

    dim: int
    document_length: int
    fingerprint: Mapping[str, Any]

    def __init__(
        self,
        dim: int = 64,
        document_length: int = 64,
        seed: int = 0,
        query_weights: Sequence[str] = (),
    ) -> None:
        self.dim = dim
        self.document_length = document_length
        self.query_weights = tuple(query_weights)
        self.fingerprint = {
            "model": "testing/hashing",
            "dim": dim,
            "document_length": document_length,
            "seed": seed,
        }
        self.encoded_documents = 0
        """How many windows were encoded so far: a test sees by it what was encoded again."""
        self._vector = lru_cache(maxsize=1 << 16)(self._make_vector)

    def __reduce__(self) -> tuple[type[HashingEncoder], tuple[int, int, int, tuple[str, ...]]]:
        """A copy counts from 0 what it encodes."""
        return type(self), (
            self.dim,
            self.document_length,
            int(self.fingerprint["seed"]),
            self.query_weights,
        )

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        matrices = [self._matrix(text) for text in texts]
        if "length" not in self.query_weights:
            return matrices
        lengths = [np.array([len(word) for word in self.query_tokens(text)], np.float32) for text in texts]
        pairs = zip(matrices, lengths, strict=True)
        return [matrix * (one / one.mean())[:, None] if len(one) else matrix for matrix, one in pairs]

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        for text in texts:
            self.encoded_documents += 1
            yield self._matrix(text)

    def split(self, text: str) -> list[tuple[int, int]]:
        words = self.document_tokens(text)
        firsts = words[:: self.document_length]
        lasts = [*words[self.document_length - 1 :: self.document_length], words[-1]] if words else []
        return [(first[0], last[1]) for first, last in zip(firsts, lasts, strict=False)]

    def document_tokens(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in WORD.finditer(text)]

    def query_tokens(self, text: str) -> list[str]:
        return [word.lower() for word in WORD.findall(text)]

    def query_ids(self, text: str) -> list[int]:
        return [
            int.from_bytes(blake2b(word.encode(), digest_size=3).digest()) for word in self.query_tokens(text)
        ]

    def document_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.query_ids(text) for text in texts]

    def _matrix(self, text: str) -> TokenMatrix:
        words = self.query_tokens(text)
        return np.array([self._vector(word) for word in words], np.float32).reshape(len(words), self.dim)

    def _make_vector(self, word: str) -> TokenMatrix:
        digest = blake2b(word.encode(), digest_size=8, salt=str(self.fingerprint["seed"]).encode()).digest()
        vector = np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(self.dim)
        return (vector / np.linalg.norm(vector)).astype(np.float32)
