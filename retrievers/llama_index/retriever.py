"""A LlamaIndex retriever over a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from os import PathLike
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQueryMode

from retrievers.collection import validate
from retrievers.collection.arguments import opened, refuse
from retrievers.collection.evidence import of_hits
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.llama_index.component import scale, score_of
from retrievers.llama_index.filters import translate
from retrievers.llama_index.nodes import to_node, with_evidence, with_passages
from retrievers.llama_index.question import Question
from retrievers.llama_index.vector_store import LateInteractionVectorStore
from retrievers.types import Encoder, Hits, SearchableCollection

dispatcher = instrument.get_dispatcher(__name__)


class LateInteractionRetriever(BaseRetriever):
    """The nodes of a collection that match a question best.

    Scores are MaxSim divided by the number of query vectors, in [0, 1]. Each call gives nodes of its own, so that a
    fusion that changes scores changes nobody else's; nothing is written into their metadata. `aretrieve` leaves the
    event loop free.

    Args:
        collection: what to search; or
        path: its directory, which is opened and never created; or
        vector_store: the same, as a LateInteractionVectorStore.
        encoder: the model of the directory; None means the one that wrote it.
        similarity_top_k: the most nodes to return.
        filters: applied before similarity_top_k.
        score_threshold: least normalized score, in [0, 1], of a node that is returned.
        vector_store_query_mode: "default", "mmr", "hybrid" (MaxSim and BM25 blended: the scores are the blend, in
            [0, 1]) or "text_search" (BM25 alone). The last two need a collection with an index of words.
        alpha: what words leave to the rest in "hybrid", from 0 to 1; None is what the collection has stored, or 0.75.
        pooled: the share of the pooled similarity in the score, as Collection.search has it: the scores are the blend.
        passages: so many windows of each node under its metadata key `passages`; None gives none.
        group_by: a metadata key of which no more than group_size nodes have the same value.
        group_size: the most nodes of a group.
        mmr_threshold: 1 for relevance alone, 0 for diversity alone.
        doc_ids: only nodes that were cut from these documents; None means all, an empty list none.
        node_ids: only these nodes; None means all, an empty list none.
        score: the scale of the nodes' scores: "normalized", in [0, 1], or "maxsim".
        evidence_key: key under which the evidence, see Evidence.as_json, is written into the metadata of each node,
            excluded from what language models and embeddings see; retrievers.citations reads it under "evidence".
            None writes nothing: a fusion takes two nodes for one only if their metadata is equal too.
        callback_manager, object_map, objects, verbose: see BaseRetriever; the objects are what a retrieved
            IndexNode leads to.
    Raises:
        InvalidInputError: not one of collection, path and vector_store came, but none or several.
        InvalidTypeError: collection, vector_store, filters or ids are something else.
        UnknownOptionError: another keyword.
        StoreError: there is no collection at the path.
    """

    def __init__(
        self,
        collection: SearchableCollection | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        vector_store: LateInteractionVectorStore | None = None,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        score_threshold: float | None = None,
        vector_store_query_mode: VectorStoreQueryMode | str = VectorStoreQueryMode.DEFAULT,
        mmr_threshold: float | None = None,
        alpha: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        doc_ids: list[str] | None = None,
        node_ids: list[str] | None = None,
        score: str = "normalized",
        evidence_key: str | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **unknown: Any,
    ) -> None:
        refuse(unknown, (*RETRIEVER_OPTIONS, *_PLACES), type(self).__name__, ADVICE)
        places = (collection, path, vector_store)
        if sum(place is not None for place in places) != 1:
            seen = "neither" if all(place is None for place in places) else "both"
            raise InvalidInputError(f"give either collection= or vector_store= or path=; {seen} came.")
        translate(filters)
        for ids in (doc_ids, node_ids):
            if ids is not None:
                validate.identifiers(ids)
        self._score = scale(score)
        self._evidence_key = None if evidence_key is None else validate.text(evidence_key, "evidence_key")
        if vector_store is None:
            vector_store = LateInteractionVectorStore(opened(collection, path, encoder))
        if not isinstance(vector_store, LateInteractionVectorStore):
            raise InvalidTypeError(
                f"vector_store is a {type(vector_store).__name__}: give a LateInteractionVectorStore, or "
                "collection= or path=."
            )
        self._vector_store = vector_store
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.score_threshold = score_threshold
        self._mode = VectorStoreQueryMode(vector_store_query_mode)
        self._mmr_threshold = mmr_threshold
        self._alpha = alpha
        self._pooled = validate.weight(pooled, "pooled")
        self._passages, self._group_by, self._group_size = passages, group_by, group_size
        self._doc_ids = doc_ids
        self._node_ids = node_ids
        super().__init__(callback_manager, object_map, objects, verbose)

    @property
    def collection(self) -> SearchableCollection:
        """The collection."""
        return self._vector_store.collection

    @dispatcher.span
    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._scored(self._vector_store.find(self._question(query_bundle)))

    @dispatcher.span
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = await self._vector_store.afind(self._question(query_bundle))
        return await asyncio.to_thread(self._scored, found)

    def _question(self, query_bundle: QueryBundle) -> Question:
        return Question(
            text=query_bundle.query_str,
            top_k=self.similarity_top_k,
            filters=self.filters,
            doc_ids=self._doc_ids,
            node_ids=self._node_ids,
            score_threshold=self.score_threshold,
            mode=self._mode,
            mmr_threshold=self._mmr_threshold,
            alpha=self._alpha,
            pooled=self._pooled,
            passages=self._passages,
            group_by=self._group_by,
            group_size=self._group_size,
        )

    def _scored(self, hits: Hits) -> list[NodeWithScore]:
        nodes = [with_passages(to_node(hit), hit) for hit in hits]
        if self._evidence_key is not None:
            told = of_hits(self.collection, hits)
            nodes = [
                with_evidence(node, self._evidence_key, one) for node, one in zip(nodes, told, strict=True)
            ]
        return [
            NodeWithScore(node=node, score=score_of(hit, self._score))
            for node, hit in zip(nodes, hits, strict=True)
        ]


RETRIEVER_OPTIONS = (
    "similarity_top_k",
    "filters",
    "score_threshold",
    "vector_store_query_mode",
    "mmr_threshold",
    "alpha",
    "pooled",
    "passages",
    "group_by",
    "group_size",
    "doc_ids",
    "node_ids",
    "score",
    "evidence_key",
    "callback_manager",
    "object_map",
    "objects",
    "verbose",
)
"""How a retriever searches, which as_retriever and as_query_engine take too."""

_PLACES = ("collection", "path", "encoder", "vector_store")

ADVICE: Mapping[str, str] = {
    "k": "give similarity_top_k=.",
    "top_k": "give similarity_top_k=.",
    "filter": "give filters=MetadataFilters(filters=[…]).",
    "ids": "give node_ids= or doc_ids=.",
    "vector_store_kwargs": "give score_threshold=, mmr_threshold=, score= and evidence_key= themselves.",
    "embed_model": "late interaction asks for no embedding model; the model is the collection's encoder.",
    "words": "give vector_store_query_mode='hybrid' and alpha=, which is 1 - words.",
}
"""What the names of other retrievers are called here."""
