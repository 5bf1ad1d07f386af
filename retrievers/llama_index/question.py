"""A question as LlamaIndex asks it, of a store or of a retriever, and how a collection answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode

from retrievers.collection import validate
from retrievers.collection.arguments import refuse
from retrievers.collection.asynchronous import asynchronous, given
from retrievers.errors import InvalidInputError
from retrievers.llama_index.filters import predicate, translate
from retrievers.llama_index.sources import cut_from
from retrievers.search.diversity import diversified
from retrievers.types import Hit, Hits, SearchableCollection

MMR_PREFETCH_FACTOR = 4  # candidates of MMR for each result, as LlamaIndex's own stores have it
MMR_THRESHOLD = 0.5
ATTEMPTS = 10  # searches among the nodes of documents that are replaced meanwhile
HYBRID_WORDS = 0.25  # the share of words in HYBRID, where neither alpha nor the collection says it
MODES = (
    VectorStoreQueryMode.DEFAULT,
    VectorStoreQueryMode.MMR,
    VectorStoreQueryMode.HYBRID,
    VectorStoreQueryMode.TEXT_SEARCH,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and among which nodes.

    A VectorStoreQuery says most of it, but not whether an empty list of node ids means none or all: here it
    means none, and None means all.

    Attributes:
        text: the words of the question.
        top_k: the most nodes to return.
        filters: metadata that the nodes must have.
        doc_ids: documents that the nodes must have been cut from.
        node_ids: the nodes to look among.
        score_threshold: least normalized score, in [0, 1].
        mode: DEFAULT, MMR, HYBRID (MaxSim and BM25, blended) or TEXT_SEARCH (BM25 alone). The last two need a
            collection with an index of words.
        alpha: what words leave to the rest in HYBRID, from 0 to 1; None leaves it to the collection, and is 0.75 where
            that has stored none.
        pooled, passages, group_by, group_size: as Collection.search has them.
        mmr_threshold: 1 for relevance alone, 0 for diversity alone; None is 0.5.
        mmr_prefetch_factor: candidates of MMR for each result.
    """

    text: str
    top_k: int
    filters: MetadataFilters | None = None
    doc_ids: list[str] | None = None
    node_ids: list[str] | None = None
    score_threshold: float | None = None
    mode: VectorStoreQueryMode = VectorStoreQueryMode.DEFAULT
    mmr_threshold: float | None = None
    mmr_prefetch_factor: float = MMR_PREFETCH_FACTOR
    alpha: float | None = None
    pooled: float | None = None
    passages: int | None = None
    group_by: str | None = None
    group_size: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidInputError(
                f"the query mode is {self.mode.value!r}: give {', '.join(repr(mode.value) for mode in MODES[:-1])} or "
                f"{MODES[-1].value!r}."
            )
        validate.weight(self.alpha, "alpha")
        validate.weight(self.pooled, "pooled")

    def search(self, collection: SearchableCollection) -> Hits:
        """The hits of a collection."""
        for _ in range(ATTEMPTS):
            options = self._options(collection)
            if self._asks_for_matches_alone(options):
                return self._first(collection, options)
            found = collection.search(self.text, **options)
            if self._still(collection, options, found):
                break
        return self._chosen(collection, found)

    async def asearch(self, collection: SearchableCollection) -> Hits:
        """search without blocking the event loop."""
        for _ in range(ATTEMPTS):
            options = await asyncio.to_thread(self._options, collection)
            if self._asks_for_matches_alone(options):
                return await asyncio.to_thread(self._first, collection, options)
            found = await asynchronous(collection).asearch(self.text, **options)
            if await asyncio.to_thread(self._still, collection, options, found):
                break
        return await asyncio.to_thread(self._chosen, collection, found)

    def _options(self, collection: SearchableCollection) -> dict[str, Any]:
        """Those of Collection.search."""
        condition = translate(self.filters)
        ids = None if self.node_ids is None else validate.identifiers(self.node_ids)
        if self.doc_ids is not None:
            sources = validate.identifiers(self.doc_ids)
            named = [str(one.id) for one in cut_from(collection, sources)]
            ids = named if ids is None else [key for key in ids if key in set(named)]
        fetched = self.top_k
        if self.mode is VectorStoreQueryMode.MMR:
            fetched = max(validate.count(self.top_k, "k"), int(self.top_k * self.mmr_prefetch_factor))
        options = given(
            words=self._words(collection),
            pooled=self.pooled,
            passages=self.passages,
            group_by=self.group_by,
            group_size=self.group_size,
        )
        return {
            "k": fetched,
            "filter": condition,
            "ids": ids,
            "score_threshold": self.score_threshold,
            **options,
        }

    def _words(self, collection: SearchableCollection) -> float | None:
        """The share of words, as the mode says it; None leaves it to the collection."""
        if self.mode is VectorStoreQueryMode.TEXT_SEARCH:
            return 1.0
        if self.mode is not VectorStoreQueryMode.HYBRID:
            return None
        if self.alpha is not None:
            return 1.0 - float(self.alpha)
        return getattr(collection, "words_weight", None) or HYBRID_WORDS

    def _still(self, collection: SearchableCollection, options: Mapping[str, Any], found: Hits) -> bool:
        """Whether the documents have the nodes that were looked among, or enough were found all the same.

        A document that is replaced between the look at its nodes and the search would have none of either version.
        """
        return self.doc_ids is None or len(found) >= options["k"] or self._options(collection) == options

    def _asks_for_matches_alone(self, options: Mapping[str, Any]) -> bool:
        """Whether there is no question, but something that limits the nodes."""
        limited = options["filter"] is not None or options["ids"] is not None
        return not self.text.strip() and limited and not self.score_threshold

    def _first(self, collection: SearchableCollection, options: Mapping[str, Any]) -> Hits:
        """The first nodes that the filters and ids keep, with score 0."""
        limit = validate.count(self.top_k, "k")
        if options["ids"] is None:
            kept = collection.get(filter=options["filter"])
        else:
            matches = predicate(options["filter"])
            kept = [one for one in collection.get(options["ids"]) if matches(one)]
        return Hits(
            Hit(one.id, 0.0, 0.0, one.text, dict(one.metadata), None, attachment=one.attachment)
            for one in kept[:limit]
        )

    def _chosen(self, collection: SearchableCollection, found: Hits) -> Hits:
        if self.mode is not VectorStoreQueryMode.MMR:
            return found
        lambda_mult = MMR_THRESHOLD if self.mmr_threshold is None else self.mmr_threshold
        return diversified(collection, found, k=self.top_k, lambda_mult=lambda_mult)


def asked(query: VectorStoreQuery, options: Mapping[str, Any]) -> Question:
    """A VectorStoreQuery as it comes from outside, with the options of this store beside it.

    Raises:
        InvalidInputError: it has no query_str, or another mode.
        UnknownOptionError: another option.
    """
    refuse(options, OF_A_QUERY, "query", _ADVICE)
    if query.query_str is None:
        raise InvalidInputError("the query has no query_str: late interaction encodes the question itself.")
    threshold = options.get("mmr_threshold")
    return Question(
        text=query.query_str,
        top_k=query.similarity_top_k,
        filters=query.filters,
        doc_ids=query.doc_ids,
        # LlamaIndex's own VectorStoreIndex sends an empty list for a store that keeps texts, and means all.
        node_ids=query.node_ids or None,
        score_threshold=options.get("score_threshold"),
        mode=VectorStoreQueryMode(query.mode),
        mmr_threshold=query.mmr_threshold if threshold is None else threshold,
        mmr_prefetch_factor=options.get("mmr_prefetch_factor", MMR_PREFETCH_FACTOR),
        alpha=query.alpha,
        pooled=options.get("pooled"),
        passages=options.get("passages"),
        group_by=options.get("group_by"),
        group_size=options.get("group_size", 1),
    )


OF_A_QUERY = (
    *("score_threshold", "mmr_threshold", "mmr_prefetch_factor", "score"),
    *("pooled", "passages", "group_by", "group_size"),
)

_ADVICE = {
    name: f"the VectorStoreQuery has it, VectorStoreQuery({name}=…)."
    for name in ("filters", "doc_ids", "node_ids", "similarity_top_k", "mode", "alpha")
}
