"""What the vector store has besides: the async twins of its methods, and the search by a matrix."""

# mypy: disable-error-code="override"
# VectorStore takes any keyword everywhere; here each is named, so that a misspelt one is an error.

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from retrievers.collection.asynchronous import asynchronous
from retrievers.errors import UnsupportedError
from retrievers.langchain.convert import from_hits, to_document
from retrievers.langchain.filters import translate
from retrievers.search.diversity import diversified
from retrievers.types import AsyncSearchableCollection, Hits, Query, SearchableCollection


class AsyncVectorStore(VectorStore):
    """Async methods over a collection: awaited where the collection has async methods of its own, else in a thread.

    Attributes:
        collection: what the documents are kept in.
    """

    collection: SearchableCollection

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """add_documents without blocking the event loop."""
        converted = [to_document(document) for document in documents]
        return await self._awaited.aadd(converted, ids=ids, show_progress=show_progress)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """add_texts without blocking the event loop."""
        return await self._awaited.aadd(texts, ids=ids, metadatas=metadatas, show_progress=show_progress)

    async def adelete(self, ids: list[str] | None = None, *, filter: Any = None) -> bool:
        """delete without blocking the event loop."""
        await self._awaited.adelete(ids, filter=translate(filter))
        return True

    async def asimilarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
    ) -> list[Document]:
        """similarity_search without blocking the event loop."""
        return await self._documents(await self._asearch(query, k, filter, score_threshold), evidence_key)

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
    ) -> list[tuple[Document, float]]:
        """similarity_search_with_score without blocking the event loop."""
        hits = await self._asearch(query, k, filter, score_threshold)
        documents = await self._documents(hits, evidence_key)
        return [(document, hit.score) for document, hit in zip(documents, hits, strict=True)]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, *, filter: Any = None, evidence_key: str | None = None
    ) -> list[tuple[Document, float]]:
        hits = await self._asearch(query, k, filter, None)
        documents = await self._documents(hits, evidence_key)
        return [(document, hit.normalized_score) for document, hit in zip(documents, hits, strict=True)]

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
    ) -> list[Document]:
        """max_marginal_relevance_search without blocking the event loop."""
        found = await self._asearch(query, max(k, fetch_k), filter, score_threshold)
        chosen = await asyncio.to_thread(diversified, self.collection, found, k=k, lambda_mult=lambda_mult)
        return await self._documents(chosen, evidence_key)

    def similarity_search_by_vector(
        self, embedding: Any, k: int = 4, *, filter: Any = None, score_threshold: float | None = None
    ) -> list[Document]:
        """The k documents that match best, by the rows of a question that was encoded elsewhere.

        Args:
            embedding: one vector a token: an array or a list of lists of floats, (query_tokens, dim).
            k: how many at most.
            filter: as similarity_search.
            score_threshold: as similarity_search.
        Raises:
            UnsupportedError: it is a single vector, as embedding models make; the message says what to call.
            ShapeError: it is a matrix of another shape.
        """
        options = {"k": k, "filter": translate(filter), "score_threshold": score_threshold}
        return from_hits(self.collection, self.collection.search(_matrix(embedding), **options))

    async def asimilarity_search_by_vector(
        self, embedding: Any, k: int = 4, *, filter: Any = None, score_threshold: float | None = None
    ) -> list[Document]:
        """similarity_search_by_vector without blocking the event loop."""
        found = await self._asearch(_matrix(embedding), k, filter, score_threshold)
        return await self._documents(found, None)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Any,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
    ) -> list[Document]:
        """As max_marginal_relevance_search, by the rows of a question; see similarity_search_by_vector."""
        options = {"k": max(k, fetch_k), "filter": translate(filter), "score_threshold": score_threshold}
        found = self.collection.search(_matrix(embedding), **options)
        chosen = diversified(self.collection, found, k=k, lambda_mult=lambda_mult)
        return from_hits(self.collection, chosen)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Any,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
    ) -> list[Document]:
        """max_marginal_relevance_search_by_vector without blocking the event loop."""
        found = await self._asearch(_matrix(embedding), max(k, fetch_k), filter, score_threshold)
        chosen = await asyncio.to_thread(diversified, self.collection, found, k=k, lambda_mult=lambda_mult)
        return await self._documents(chosen, None)

    async def _asearch(self, query: Query, k: int, filter: Any, score_threshold: float | None) -> Hits:
        return await self._awaited.asearch(
            query, k=k, filter=translate(filter), score_threshold=score_threshold
        )

    async def _documents(self, hits: Hits, evidence_key: str | None) -> list[Document]:
        return await asyncio.to_thread(from_hits, self.collection, hits, evidence_key=evidence_key)

    @property
    def _awaited(self) -> AsyncSearchableCollection:
        return asynchronous(self.collection)


def _matrix(embedding: Any) -> Any:
    """What is to be a matrix, as it came.

    Raises:
        UnsupportedError: it is a single vector.
    """
    first = next(iter(embedding), None) if isinstance(embedding, (list, tuple)) else None
    single = getattr(embedding, "ndim", 2) == 1 or isinstance(first, (int, float))
    if single:
        raise UnsupportedError(
            "late interaction searches by one vector a token, and not by a single vector: give a matrix, "
            "(query_tokens, dim), as encoder.encode_queries([question])[0] is, or call similarity_search(question)."
        )
    return embedding
