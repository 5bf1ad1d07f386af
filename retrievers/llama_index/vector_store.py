"""LlamaIndex's vector store interface over a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from retrievers.collection import Collection, validate
from retrievers.errors import InvalidInputError
from retrievers.llama_index.common import model_name, refuse
from retrievers.llama_index.filters import predicate, translate
from retrievers.llama_index.nodes import REF_DOC_ID, source_id, to_document, to_node
from retrievers.search.diversity import search_diverse
from retrievers.types import Document, Encoder, Hit

MMR_PREFETCH_FACTOR = 4  # candidates of MMR for each result, as LlamaIndex's own stores have it
MMR_THRESHOLD = 0.5


class LateInteractionVectorStore(BasePydanticVectorStore):
    """A collection as a LlamaIndex vector store.

    A node is encoded as one vector a token, from the text that MetadataMode.EMBED gives, and found by
    MaxSim: the store asks for no embedding, neither of nodes nor of queries. Similarities are MaxSim. Every
    async method runs in a thread and leaves the event loop free. `to_dict` holds the path and the model's
    name, not the engine: `from_dict(data)` opens the directory again.

    Args:
        collection: what the nodes are kept in; or
        path: its directory, created or opened; None keeps it in memory.
        encoder: the model; None means the one that wrote the directory, or the default one.
    Raises:
        InvalidInputError: collection came beside path or encoder.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    path: str | None = None
    model: str = ""

    _collection: Any = PrivateAttr()

    def __init__(
        self,
        collection: Any = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        **fields: Any,
    ) -> None:
        if collection is not None and (path is not None or encoder is not None):
            raise InvalidInputError("give either collection= or path= and encoder=; both came.")
        if collection is None:
            # The key by which documents are deleted and refreshed is worth an index.
            collection = Collection.open_or_create(path, encoder, indexed=[REF_DOC_ID])
        path = getattr(collection, "path", None)  # a collection on a server has none
        fields["path"] = None if path is None else str(path)
        fields["model"] = model_name(collection)
        super().__init__(**fields)
        self._collection = collection

    @classmethod
    def class_name(cls) -> str:
        return "LateInteractionVectorStore"

    @classmethod
    def from_path(cls, path: str | PathLike[str], encoder: Encoder | None = None) -> Self:
        """A store over the collection in a directory, created or opened."""
        return cls(path=path, encoder=encoder)

    @classmethod
    def from_collection(cls, collection: Any) -> Self:
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
        if "collection" in kwargs:
            data = {key: value for key, value in data.items() if key != "path"}
        return super().from_dict(data, **kwargs)

    @property
    def collection(self) -> Any:
        """The collection."""
        return self._collection

    @property
    def client(self) -> Any:
        """The collection, under LlamaIndex's name for what is behind a store."""
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
        progress = kwargs.pop("show_progress", None)
        refuse(kwargs, "add")
        return self._collection.add([to_document(node) for node in nodes], show_progress=progress)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes that were cut from a document, or the node of that id if it was cut from none."""
        refuse(delete_kwargs, "delete")
        self._collection.delete(filter={REF_DOC_ID: ref_doc_id})
        # A document that another framework wrote lacks that key, and is its own.
        itself = [one.id for one in self._collection.get([ref_doc_id]) if source_id(one) == one.id]
        self._collection.delete(itself)

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
        refuse(delete_kwargs, "delete_nodes")
        condition = translate(filters)
        if node_ids is None and condition is None:
            raise InvalidInputError(
                "delete_nodes needs node_ids or filters; to delete everything use clear()."
            )
        if node_ids is None:
            self._collection.delete(filter=condition)
        else:
            self._collection.delete([document.id for document in self._documents(node_ids, filters)])

    def clear(self) -> None:
        """Delete every node."""
        self._collection.clear()

    # ---- reading

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Stored nodes: those of the ids that are there, in that order, and match the filters; or all of them."""
        return [
            to_node(document.id, document.text, document.metadata)
            for document in self._documents(node_ids, filters)
        ]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes that match a question best, best first; MMR in the order chosen.

        Args:
            query: its `query_str` is the question. `filters`, `doc_ids` and `node_ids` are applied before
                `similarity_top_k`; an empty list of ids means all. The mode is DEFAULT or MMR. An empty
                question finds nothing, unless it comes with filters or ids: then the first nodes that match,
                with similarity 0, for VectorIndexAutoRetriever asks so where a filter says it all.
            kwargs: `score_threshold`, the least normalized score, in [0, 1]; `mmr_threshold`, 1 for relevance
                alone, 0 for diversity alone; `mmr_prefetch_factor`, candidates of MMR for each result.
        Raises:
            InvalidInputError: no query_str, another mode, similarity_top_k < 1, or another argument.
            FilterError: a filter that the language does not have.
        """
        hits = self._search(query, **kwargs)
        return VectorStoreQueryResult(
            nodes=[to_node(hit.id, hit.text, hit.metadata) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[str(hit.id) for hit in hits],
        )

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
        """add in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

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
        """query in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    # ---- help

    def _documents(self, node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> list[Document]:
        condition = translate(filters)
        if node_ids is None:
            return self._collection.get(filter=condition)
        matches = predicate(condition)
        return [document for document in self._collection.get(node_ids) if matches(document)]

    def _search(
        self,
        query: VectorStoreQuery,
        *,
        score_threshold: float | None = None,
        mmr_threshold: float | None = None,
        mmr_prefetch_factor: float = MMR_PREFETCH_FACTOR,
        **unknown: Any,
    ) -> list[Hit]:
        refuse(unknown, "query")
        if query.query_str is None:
            raise InvalidInputError(
                "the query has no query_str: late interaction encodes the question itself."
            )
        condition = self._condition(query)
        if not query.query_str.strip() and condition is not None and not score_threshold:
            first = self._collection.get(filter=condition)[: validate.count(query.similarity_top_k, "k")]
            return [Hit(one.id, 0.0, 0.0, one.text, dict(one.metadata), None) for one in first]
        options = {"filter": condition, "score_threshold": score_threshold}
        if query.mode == VectorStoreQueryMode.DEFAULT:
            return self._collection.search(query.query_str, k=query.similarity_top_k, **options)
        if query.mode == VectorStoreQueryMode.MMR:
            chosen = mmr_threshold if mmr_threshold is not None else query.mmr_threshold
            return search_diverse(
                self._collection,
                query.query_str,
                k=query.similarity_top_k,
                fetch_k=int(query.similarity_top_k * mmr_prefetch_factor),
                lambda_mult=MMR_THRESHOLD if chosen is None else chosen,
                **options,
            )
        raise InvalidInputError(
            f"the query mode is {query.mode.value!r}: late interaction has 'default' and 'mmr'. It matches "
            "words as well as meanings, so that 'default' stands for 'hybrid' and 'text_search' too."
        )

    def _condition(self, query: VectorStoreQuery) -> Any:
        """The filters of a query and its ids as one condition."""
        condition = translate(query.filters)
        if query.doc_ids:
            of_documents = {REF_DOC_ID: {"$in": list(query.doc_ids)}}
            condition = of_documents if condition is None else {"$and": [condition, of_documents]}
        if not query.node_ids:
            return condition
        wanted, matches = frozenset(query.node_ids), predicate(condition)
        return lambda document: document.id in wanted and matches(document)
