"""A LlamaIndex retriever over a collection."""

from __future__ import annotations

import asyncio
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from retrievers.errors import InvalidInputError
from retrievers.llama_index.vector_store import LateInteractionVectorStore

dispatcher = instrument.get_dispatcher(__name__)


class LateInteractionRetriever(BaseRetriever):
    """The nodes of a collection that match a question best.

    Scores are MaxSim. Each call gives nodes of its own, so that a fusion that changes scores changes nobody
    else's; nothing is written into their metadata. `aretrieve` runs in a thread.

    Args:
        collection: what to search; or
        vector_store: the same, as a LateInteractionVectorStore.
        similarity_top_k: the most nodes to return.
        filters: applied before similarity_top_k.
        score_threshold: least normalized score, in [0, 1], of a node that is returned.
        vector_store_query_mode: "default" or "mmr".
        mmr_threshold: 1 for relevance alone, 0 for diversity alone.
        doc_ids: only nodes that were cut from these documents; empty means all.
        node_ids: only these nodes; empty means all.
        callback_manager, object_map, objects, verbose: see BaseRetriever; the objects are what a retrieved
            IndexNode leads to.
    Raises:
        InvalidInputError: neither collection nor vector_store, or both.
    """

    def __init__(
        self,
        collection: Any = None,
        *,
        vector_store: LateInteractionVectorStore | None = None,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        score_threshold: float | None = None,
        vector_store_query_mode: VectorStoreQueryMode | str = VectorStoreQueryMode.DEFAULT,
        mmr_threshold: float | None = None,
        doc_ids: list[str] | None = None,
        node_ids: list[str] | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        if (collection is None) == (vector_store is None):
            seen = "neither" if collection is None else "both"
            raise InvalidInputError(f"give either collection= or vector_store=; {seen} came.")
        self._vector_store = vector_store or LateInteractionVectorStore(collection)
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.score_threshold = score_threshold
        self._mode = VectorStoreQueryMode(vector_store_query_mode)
        self._mmr_threshold = mmr_threshold
        self._doc_ids = doc_ids
        self._node_ids = node_ids
        super().__init__(callback_manager, object_map, objects, verbose)

    @property
    def collection(self) -> Any:
        """The collection."""
        return self._vector_store.collection

    @dispatcher.span
    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = self._query(query_bundle)
        return _scored(self._vector_store.query(query, score_threshold=self.score_threshold))

    @dispatcher.span
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = self._query(query_bundle)
        found = await asyncio.to_thread(self._vector_store.query, query, score_threshold=self.score_threshold)
        return _scored(found)

    def _query(self, query_bundle: QueryBundle) -> VectorStoreQuery:
        return VectorStoreQuery(
            query_str=query_bundle.query_str,
            similarity_top_k=self.similarity_top_k,
            mode=self._mode,
            filters=self.filters,
            doc_ids=self._doc_ids,
            node_ids=self._node_ids,
            mmr_threshold=self._mmr_threshold,
        )


def _scored(found: VectorStoreQueryResult) -> list[NodeWithScore]:
    pairs = zip(found.nodes or [], found.similarities or [], strict=True)
    return [NodeWithScore(node=node, score=score) for node, score in pairs]
