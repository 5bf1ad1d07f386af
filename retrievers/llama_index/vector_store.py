"""LlamaIndex's vector store interface over a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from retrievers.collection import Collection, validate
from retrievers.collection.arguments import created, refuse
from retrievers.collection.asynchronous import asynchronous
from retrievers.errors import InvalidInputError
from retrievers.llama_index.component import Component, Score, scale, score_of
from retrievers.llama_index.filters import predicate, translate
from retrievers.llama_index.nodes import to_documents, to_node, with_passages
from retrievers.llama_index.question import Question, asked
from retrievers.llama_index.sources import delete_among, delete_cut_from
from retrievers.types import Document, Encoder, Hits, SearchableCollection


class LateInteractionVectorStore(Component, BasePydanticVectorStore):
    """A collection as a LlamaIndex vector store.

    A node is encoded as one vector a token, from the text that MetadataMode.EMBED gives, and found by
    MaxSim: the store asks for no embedding, neither of nodes nor of queries. Similarities are normalized MaxSim, in
    [0, 1]. Every async method leaves the event loop free. `to_dict` holds the absolute path and the model's
    name, not the engine: `from_dict(data)` opens the directory again.

    Args:
        collection: what the nodes are kept in; or
        path: its directory, created or opened; None keeps it in memory.
        encoder: the model; None means the one that wrote the directory, or the default one.
    Raises:
        InvalidInputError: collection came beside path or encoder.
        InvalidTypeError: collection is something else than a collection, or nothing came.
        UnknownOptionError: another keyword.
    """

    stores_text: bool = True
    is_embedding_query: bool = False

    def __init__(
        self,
        collection: SearchableCollection | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(created(collection, path, encoder), **fields)

    @classmethod
    def class_name(cls) -> str:
        return "LateInteractionVectorStore"

    @classmethod
    def from_path(cls, path: str | PathLike[str], encoder: Encoder | None = None) -> Self:
        """A store over the collection in a directory, created or opened."""
        return cls(path=path, encoder=encoder)

    @classmethod
    def from_collection(cls, collection: SearchableCollection) -> Self:
        """A store over a collection that is open already."""
        return cls(collection)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """A store as to_dict described it: its directory opened again, or with collection= or encoder=.

        Raises:
            InvalidInputError: it was in memory, and nothing else came.
        """
        if data.get("path") is None and not kwargs:
            raise InvalidInputError(
                "this store was in memory, and its nodes are gone with it: give collection= or encoder=."
            )
        return super().from_dict(data, **kwargs)

    @property
    def client(self) -> SearchableCollection:
        """The collection, under LlamaIndex's name for what a store works with."""
        return self._collection

    # ---- adding and deleting

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, and replace those whose node ids are known.

        A node whose text and embedded metadata are stored already is not encoded again.

        Args:
            nodes: with or without embeddings, which are ignored.
            kwargs: `show_progress`, as Collection.add.
        Returns:
            The node ids.
        Raises:
            InvalidInputError: a node id that occurs twice, metadata that is not JSON, or another argument.
        """
        refuse(kwargs, OF_ADD, "add")
        return self._collection.add(to_documents(nodes), **kwargs)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes that were cut from a document, or the node of that id if it was cut from none."""
        refuse(delete_kwargs, (), "delete")
        delete_cut_from(self._collection, validate.identifier(ref_doc_id, "ref_doc_id"))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by id, by filters, or those of the ids that match; an unknown id is no error.

        Raises:
            InvalidInputError: neither came. To delete everything there is clear.
        """
        refuse(delete_kwargs, (), "delete_nodes")
        condition = translate(filters)
        if node_ids is None and condition is None:
            raise InvalidInputError(
                "delete_nodes needs node_ids or filters; to delete everything use clear()."
            )
        if node_ids is None:
            self._collection.delete(filter=condition)
        elif condition is None:
            self._collection.delete(node_ids)
        else:
            delete_among(self._collection, validate.identifiers(node_ids), condition)

    def clear(self) -> None:
        """Delete every node."""
        self._collection.clear()

    # ---- reading

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Stored nodes: those of the ids that are there, in that order, and match the filters; or all of them."""
        return [to_node(document) for document in self._documents(node_ids, filters)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes that match a question best, best first; MMR in the order chosen.

        Args:
            query: its `query_str` is the question. `filters`, `doc_ids` and `node_ids` are applied before
                `similarity_top_k`. No `doc_ids` (an empty list) find nothing; no `node_ids` mean all, because
                LlamaIndex's own index sends them so for a store that keeps texts. The mode is DEFAULT, MMR,
                HYBRID (with `alpha`) or TEXT_SEARCH. An
                empty question finds nothing, unless it comes with filters or ids: then the first nodes that match,
                with similarity 0, for VectorIndexAutoRetriever asks so where a filter says it all.
            kwargs: `score_threshold`, the least normalized score, in [0, 1]; `mmr_threshold`, 1 for relevance
                alone, 0 for diversity alone; `mmr_prefetch_factor`, candidates of MMR for each result; `score`, the
                scale of the similarities, "normalized" or "maxsim"; `pooled`, `passages`, `group_by` and
                `group_size`, as Collection.search has them.
        Raises:
            InvalidInputError: no query_str, another mode, or similarity_top_k < 1.
            UnknownOptionError: another argument.
            FilterError: a filter that the language does not have.
        """
        score = scale(kwargs.pop("score", "normalized"))
        return _result(self.find(asked(query, kwargs)), score)

    def find(self, question: Question) -> Hits:
        """The hits of a question: what query and LateInteractionRetriever make nodes of."""
        return question.search(self._collection)

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Nothing to do for a directory or a server: what add returned from is kept.

        Raises:
            InvalidInputError: the collection is in memory, so that nothing would be kept.
        """
        if isinstance(self._collection, Collection) and self.path is None:
            raise InvalidInputError(
                f"this collection of {len(self._collection)} nodes is in memory, so persist({persist_path!r}) "
                "would keep nothing: give path= where the store or index is made, and it is on disk at once."
            )

    # ---- the same without blocking the event loop

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """add without blocking the event loop."""
        refuse(kwargs, OF_ADD, "async_add")
        documents = await asyncio.to_thread(lambda: to_documents(nodes))
        return await asynchronous(self._collection).aadd(documents, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """delete in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """delete_nodes in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """clear in a thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """get_nodes in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """query without blocking the event loop."""
        score = scale(kwargs.pop("score", "normalized"))
        return _result(await self.afind(asked(query, kwargs)), score)

    async def afind(self, question: Question) -> Hits:
        """find without blocking the event loop."""
        return await question.asearch(self._collection)

    # ---- help

    def _documents(self, node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> list[Document]:
        condition = translate(filters)
        if node_ids is None:
            return self._collection.get(filter=condition)
        matches = predicate(condition)
        return [document for document in self._collection.get(node_ids) if matches(document)]


OF_ADD = ("show_progress",)


def _result(hits: Hits, score: Score) -> VectorStoreQueryResult:
    return VectorStoreQueryResult(
        nodes=[with_passages(to_node(hit), hit) for hit in hits],
        similarities=[score_of(hit, score) for hit in hits],
        ids=[str(hit.id) for hit in hits],
    )
