"""A collection's calls as coroutines: its own where it has them, and else its other methods, each in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from retrievers.types import (
    AsyncSearchableCollection,
    DocumentFilter,
    Hits,
    Matrices,
    Metadatas,
    Names,
    Query,
    SearchableCollection,
    Texts,
)


def asynchronous(collection: SearchableCollection) -> AsyncSearchableCollection:
    """What a coroutine may await without blocking its event loop."""
    return collection if isinstance(collection, AsyncSearchableCollection) else _InThreads(collection)


class _InThreads:
    """Each method does what its namesake of SearchableCollection does, in a thread."""

    def __init__(self, collection: SearchableCollection) -> None:
        self._collection = collection

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
        return await asyncio.to_thread(
            self._collection.add,
            documents,
            ids=ids,
            metadatas=metadatas,
            matrices=matrices,
            fingerprint=fingerprint,
            show_progress=show_progress,
        )

    async def adelete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        return await asyncio.to_thread(self._collection.delete, ids, filter=filter)

    async def asearch(
        self,
        query: Query,
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        return await asyncio.to_thread(
            self._collection.search, query, k=k, filter=filter, ids=ids, score_threshold=score_threshold
        )

    async def arerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        return await asyncio.to_thread(
            self._collection.rerank,
            query,
            documents,
            ids=ids,
            top_n=top_n,
            score_threshold=score_threshold,
        )
