"""What late interaction is compared with, on the same windows: BM25, and one vector for each window."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder.offline.registry import OFFLINE
from retrievers.errors import MissingExtraError
from retrievers.types import Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]
"""float32, (texts, dim): one row of length 1 a text."""

Embed = Callable[[Sequence[str], bool], Vectors]
"""Texts, and whether they are queries, to their vectors."""

# Scripts that put no space between words: their characters are taken in overlapping pairs.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
WORD = re.compile(r"\w+")
KEPT = 512  # texts whose vectors share a file: what an interruption can cost


class Baseline(Protocol):
    """Scores windows for a question.

    Attributes:
        name: how a table calls it.
    """

    name: str

    def scores(self, queries: Sequence[str]) -> Iterable[NDArray[np.float32]]:
        """float32, (windows,), one array a query; higher is better, -inf is not found at all."""
        ...


def words(text: str, language: str = "en") -> list[str]:
    """The stems of a text's words, as BM25 counts them.

    Args:
        text: any script.
        language: as ISO 639-1 writes it. One that Snowball has no stemmer for keeps its words whole.
    Raises:
        MissingExtraError: PyStemmer is not installed.
    """
    parts = []
    for word in WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        rest = UNSPACED.sub(" ", word).split()
        parts += rest
        for run in UNSPACED.findall(word):
            parts += [run[place : place + 2] for place in range(max(len(run) - 1, 1))]
    stemmer = _stemmer(language)
    return parts if stemmer is None else list(stemmer.stemWords(parts))


class BM25:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over stems, by bm25s.

    Args:
        windows: the texts to search.
        language: see words.
    Raises:
        MissingExtraError: bm25s or PyStemmer is not installed.
    """

    name = "BM25"

    def __init__(self, windows: Sequence[str], *, language: str = "en") -> None:
        bm25s = _bm25s()
        self.language = language
        self.size = len(windows)
        self.index = bm25s.BM25()
        terms = [words(window, language) for window in windows]
        self.known = {term for window in terms for term in window}
        if self.known:
            self.index.index(terms, show_progress=False)

    def scores(self, queries: Sequence[str]) -> Iterable[NDArray[np.float32]]:
        """float32, (windows,) a query; -inf where no stem matches."""
        for query in queries:
            terms = [term for term in words(query, self.language) if term in self.known]
            found = self.index.get_scores(terms) if terms else np.zeros(self.size, np.float32)
            yield np.where(found > 0, found, -np.inf)


class SingleVector:
    """One vector a window and a query, compared by their cosine.

    Args:
        windows: the texts to search.
        embed: texts, and whether they are queries, to vectors.
        name: how a table calls it.
    """

    def __init__(self, windows: Sequence[str], embed: Embed, name: str) -> None:
        self.name = name
        self.embed = embed
        self.vectors = embed(windows, False)  # (windows, dim)

    def scores(self, queries: Sequence[str]) -> Iterable[NDArray[np.float32]]:
        """float32, (windows,) a query: cosines."""
        for vector in self.embed(queries, True):
            yield self.vectors @ vector


def single_vectors(encoder: Encoder) -> tuple[str, Embed]:
    """The single vector that belongs to an encoder's model.

    The offline models are sentence-transformers models too: their own pooled vector, of the same weights in
    the same number format, is the fair baseline. For any other encoder it is the mean of its token vectors.

    Returns:
        What it is called, and the function from texts, and whether they are queries, to vectors.
    """
    if not isinstance(encoder, LateInteractionEncoder) or encoder.fingerprint["model"] not in OFFLINE:
        return "mean of token vectors", lambda texts, queries: _mean_of_tokens(encoder, texts, queries)
    model = _pooled(encoder)

    def embed(texts: Sequence[str], queries: bool) -> Vectors:
        encode = model.encode_query if queries else model.encode_document
        return _normalized(
            np.asarray(encode(list(texts), batch_size=16, show_progress_bar=False), np.float32)
        )

    return "single vector", embed


def kept(embed: Embed, directory: Path) -> Embed:
    """The same function, which keeps its vectors in a directory: a file for each KEPT texts, named by their hash.

    The name of a file does not tell the model, so that each model needs a directory of its own.
    """

    def read_or_embed(texts: Sequence[str], queries: bool) -> Vectors:
        directory.mkdir(parents=True, exist_ok=True)
        parts = [texts[first : first + KEPT] for first in range(0, len(texts), KEPT)] or [texts]
        return np.concatenate([part_of(part, queries) for part in parts])

    def part_of(texts: Sequence[str], queries: bool) -> Vectors:
        digest = blake2b(digest_size=16)
        for text in texts:
            digest.update(len(text).to_bytes(8, "little") + text.encode())
        path = directory / f"{'queries' if queries else 'windows'}-{digest.hexdigest()}.npy"
        if not path.is_file():
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, embed(texts, queries), allow_pickle=False)
            unfinished.rename(path)
        vectors: Vectors = np.load(path, allow_pickle=False)
        return vectors

    return read_or_embed


def _mean_of_tokens(encoder: Encoder, texts: Sequence[str], queries: bool) -> Vectors:
    matrices = encoder.encode_queries(texts) if queries else encoder.encode_documents(texts)
    means = [matrix.mean(axis=0) if len(matrix) else np.zeros(encoder.dim, np.float32) for matrix in matrices]
    return _normalized(np.array(means, np.float32).reshape(len(texts), encoder.dim))


def _normalized(vectors: Vectors) -> Vectors:
    rows: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return rows


def _pooled(encoder: LateInteractionEncoder) -> SentenceTransformer:
    """An offline model with the mean of its tokens in place of late interaction."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = encoder.model
    prompts = {task: text or "" for task, text in model.prompts.items()}
    parts = [model[0], Pooling(int(model.get_embedding_dimension() or 0), "mean")]
    return SentenceTransformer(modules=parts, prompts=prompts, device=str(model.device))


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError(
            'the BM25 baseline needs bm25s: pip install "maxsim-retrievers[eval]"'
        ) from error
    return bm25s


@cache
def _stemmer(language: str) -> Any:
    try:
        import Stemmer
    except ImportError as error:
        raise MissingExtraError(
            'the BM25 baseline needs PyStemmer: pip install "maxsim-retrievers[eval]"'
        ) from error
    try:
        return Stemmer.Stemmer(language)
    except KeyError:
        return None
