"""The awaited half of a collection on a server: the event loop goes on while the server or the encoder works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retrievers.collection.searching import checked
from retrievers.qdrant.calls import Calls
from retrievers.qdrant.connection import Connection
from retrievers.qdrant.steps import arun
from retrievers.types import Document, DocumentFilter, Hits, Matrices, Metadatas, Names, Query, Texts


class Awaited:
    """Methods that take and return what their namesakes in QdrantCollection do."""

    _connection: Connection
    _calls: Calls

    async def aadd(
        self,
        documents: Texts,
        *,
        ids: Names = None,
        metadatas: Metadatas = None,
        matrices: Matrices = None,
        fingerprint: Mapping[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """As add."""
        steps = self._calls.add(documents, ids, metadatas, matrices, fingerprint, show_progress)
        return await arun(steps, self._connection.awaited)

    async def adelete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        """As delete."""
        return await arun(self._calls.delete(ids, filter), self._connection.awaited)

    async def aget(
        self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None
    ) -> list[Document]:
        """As get."""
        return await arun(self._calls.get(ids, filter), self._connection.awaited)

    async def asearch(
        self,
        query: Query,
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        exact: bool = False,
        candidates: int | None = None,
    ) -> Hits:
        """As search."""
        wanted = checked(k, score_threshold, words, pooled, passages, group_by, group_size)
        options = (wanted, filter, ids, exact, candidates)
        asked = [query]
        [found] = await arun(self._calls.search(asked, *options), self._connection.awaited)
        return found

    async def asearch_many(
        self,
        queries: Iterable[Query],
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        exact: bool = False,
        candidates: int | None = None,
    ) -> list[Hits]:
        """As search_many."""
        wanted = checked(k, score_threshold, words, pooled, passages, group_by, group_size)
        options = (wanted, filter, ids, exact, candidates)
        return await arun(self._calls.search(queries, *options), self._connection.awaited)

    async def arerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        """As rerank."""
        steps = self._calls.rerank(query, documents, ids, top_n, score_threshold)
        return await arun(steps, self._connection.awaited)

    async def aclose(self) -> None:
        """As close, for what was awaited in this event loop besides."""
        await self._connection.aclose()
