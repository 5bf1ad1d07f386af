"""A collection's calls as coroutines: its own where it has them, and else its other methods, each in a thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from retrievers.kernels.fork import Guard, per_process
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

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

QUESTIONS = 64
"""Questions at once, each in a thread: they wait there for others to be encoded, and are then encoded together. The
event loop's own threads are a few more than there are cores, for everything that a program does."""


def asynchronous(collection: SearchableCollection) -> AsyncSearchableCollection:
    """What a coroutine may await without blocking its event loop."""
    return collection if isinstance(collection, AsyncSearchableCollection) else _InThreads(collection)


def given(**options: Any) -> dict[str, Any]:
    """The options of a search that were given: a collection of the user's own need not know the others."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and (name != "group_size" or options.get("group_by") is not None)
    }


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
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> Hits:
        return await _to_thread(
            self._collection.search,
            query,
            k=k,
            filter=filter,
            ids=ids,
            score_threshold=score_threshold,
            **given(words=words, pooled=pooled, passages=passages, group_by=group_by, group_size=group_size),
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
        return await _to_thread(
            self._collection.rerank,
            query,
            documents,
            ids=ids,
            top_n=top_n,
            score_threshold=score_threshold,
        )


async def _to_thread(
    call: Callable[Arguments, Result], /, *values: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """asyncio.to_thread, in a thread for questions."""
    run = partial(contextvars.copy_context().run, call, *values, **options)
    return await asyncio.get_running_loop().run_in_executor(_executor(), run)


class _State(Guard):
    """The threads for questions of this process."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: ThreadPoolExecutor | None = None


_state = per_process(_State)


def _executor() -> ThreadPoolExecutor:
    with _state.lock:
        if _state.pool is None:
            _state.pool = ThreadPoolExecutor(QUESTIONS, thread_name_prefix="retrievers-search")
        return _state.pool
