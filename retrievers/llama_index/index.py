"""A LlamaIndex index over a collection: VectorStoreIndex without an embedding model."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Self

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.data_structs.registry import INDEX_STRUCT_TYPE_TO_INDEX_STRUCT_CLASS
from llama_index.core.indices.registry import INDEX_STRUCT_TYPE_TO_INDEX_CLASS
from llama_index.core.indices.vector_store.base import VectorStoreIndex
from llama_index.core.ingestion import arun_transformations, run_transformations
from llama_index.core.schema import BaseNode, Document, IndexNode, TransformComponent
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.storage_context import StorageContext
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE

from retrievers.errors import InvalidInputError
from retrievers.llama_index.embedding import NoEmbedding
from retrievers.llama_index.nodes import REF_DOC_ID, ref_doc_hash, to_node
from retrievers.llama_index.retriever import LateInteractionRetriever
from retrievers.llama_index.vector_store import LateInteractionVectorStore
from retrievers.types import Encoder

BATCH_DOCUMENTS = 500  # documents whose stored nodes refresh looks up at once


@dataclass
class LateInteractionDict(IndexDict):
    """The index struct of LateInteractionIndex: by its type load_index_from_storage knows the class."""

    @classmethod
    def get_type(cls) -> str:  # type: ignore[override]
        """Another type than VectorStoreIndex has, which would want an embedding model."""
        return "late_interaction"


class LateInteractionIndex(VectorStoreIndex):
    """A VectorStoreIndex whose nodes are found by late interaction.

    It needs no embedding model and asks nobody for one. The collection holds everything, so that an index
    over an existing directory knows its documents: refresh_ref_docs and from_documents skip those that did
    not change, also in another process than the one that wrote them.

    Args:
        nodes: stored at once.
        path: the collection's directory, created or opened; None keeps it in memory.
        encoder: the model; None means the one that wrote the directory, or the default one.
        collection: a collection that is open already, in place of path and encoder.
        storage_context: its docstore and index store are used, and its vector store too if that is a
            LateInteractionVectorStore and neither path, encoder nor collection came.
        objects, index_struct, use_async, store_nodes_override, insert_batch_size, callback_manager,
            transformations, show_progress: see VectorStoreIndex.
    Raises:
        InvalidInputError: collection came beside path or encoder.
    """

    index_struct_cls = LateInteractionDict

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: Any = None,
        storage_context: StorageContext | None = None,
        objects: Sequence[IndexNode] | None = None,
        index_struct: IndexDict | None = None,
        use_async: bool = False,
        store_nodes_override: bool = False,
        insert_batch_size: int = 2048,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool = False,
    ) -> None:
        nodes = [] if nodes is None and index_struct is None else nodes
        super().__init__(
            nodes=nodes,
            use_async=use_async,
            store_nodes_override=store_nodes_override,
            # Without one, VectorStoreIndex asks for OpenAI's.
            embed_model=NoEmbedding(),
            insert_batch_size=insert_batch_size,
            objects=objects,
            index_struct=index_struct,
            storage_context=_storage(storage_context, path, encoder, collection),
            callback_manager=callback_manager,
            transformations=transformations,
            show_progress=show_progress,
        )

    @classmethod
    def from_documents(  # type: ignore[override]
        cls,
        documents: Sequence[Document],
        storage_context: StorageContext | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: Any = None,
        **options: Any,
    ) -> Self:
        """An index that holds the documents, cut into nodes by the transformations.

        What the collection holds already stays. A document whose id and hash it knows is not encoded again,
        and one whose id it knows is replaced: the same call again changes nothing. Other transformations are no
        change of a document: to cut known ones anew, delete them first, or take another directory.

        Args:
            documents: give each an id of your own (`id_`), or it is a new document each time.
            options: see LateInteractionIndex.
        """
        index = cls(
            storage_context=storage_context,
            show_progress=show_progress,
            callback_manager=callback_manager,
            transformations=transformations,
            path=path,
            encoder=encoder,
            collection=collection,
            **options,
        )
        index.refresh_ref_docs(documents)
        return index

    @classmethod
    def from_vector_store(cls, vector_store: LateInteractionVectorStore, **options: Any) -> Self:  # type: ignore[override]
        """An index over a store; the options are those of LateInteractionIndex."""
        return cls(storage_context=StorageContext.from_defaults(vector_store=vector_store), **options)

    @property
    def collection(self) -> Any:
        """The collection."""
        return self._store.collection

    def as_retriever(  # type: ignore[override]
        self, **kwargs: Any
    ) -> LateInteractionRetriever:
        """A retriever over this index.

        Args:
            kwargs: `similarity_top_k`, `filters`, `score_threshold`, `vector_store_query_mode`,
                `mmr_threshold`, `doc_ids`, `node_ids`, `callback_manager`, `object_map`, `verbose`: see
                LateInteractionRetriever. Others are passed over, because as_query_engine hands over all of
                its own.
        """
        chosen = {name: kwargs[name] for name in _RETRIEVER_OPTIONS if name in kwargs}
        # VectorIndexRetriever passes the ids of this index's IndexNodes as node_ids, and so would find
        # nothing but them.
        defaults = {"callback_manager": self._callback_manager, "object_map": self._object_map}
        return LateInteractionRetriever(vector_store=self._store, **{**defaults, **chosen})

    # ---- documents

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """Every document of the collection by id: the ids of its nodes, and its metadata."""
        found: dict[str, RefDocInfo] = {}
        for node in self._store.get_nodes():
            source = node.source_node
            key = node.node_id if source is None else source.node_id
            metadata = node.metadata if source is None or not source.metadata else source.metadata
            found.setdefault(key, RefDocInfo(metadata=metadata)).node_ids.append(node.node_id)
        return found

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Store the documents that are new or have changed, and drop the nodes that they had before.

        The collection is asked what it holds, not the docstore, which forgets. New nodes are there before
        the old ones go, so that no search finds neither.

        Args:
            documents: of several with one id, the last counts.
            update_kwargs: `insert_kwargs`, for LateInteractionVectorStore.add.
        Returns:
            For each document, whether it was stored.
        """
        with self._callback_manager.as_trace("refresh_ref_docs"):
            changed, stale = self._changes(documents)
            nodes = run_transformations(changed, self._transformations, show_progress=self._show_progress)
            self.insert_nodes(nodes, **update_kwargs.get("insert_kwargs", {}))
            gone = stale - {node.node_id for node in nodes}
            self.delete_nodes(sorted(gone))
            self.docstore.set_document_hashes({document.id_: document.hash for document in changed})
        return _flags(documents, changed)

    async def arefresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """refresh_ref_docs without blocking the event loop."""
        with self._callback_manager.as_trace("arefresh_ref_docs"):
            changed, stale = await asyncio.to_thread(self._changes, documents)
            nodes = await arun_transformations(
                changed, self._transformations, show_progress=self._show_progress
            )
            await self.ainsert_nodes(nodes, **update_kwargs.get("insert_kwargs", {}))
            gone = stale - {node.node_id for node in nodes}
            await self.adelete_nodes(sorted(gone))
            await self.docstore.aset_document_hashes({document.id_: document.hash for document in changed})
        return _flags(documents, changed)

    def _changes(self, documents: Sequence[Document]) -> tuple[list[Document], set[str]]:
        """The documents to store, and the ids of the nodes that they had."""
        latest = list({document.id_: document for document in documents}.values())
        changed: list[Document] = []
        stale: set[str] = set()
        for first in range(0, len(latest), BATCH_DOCUMENTS):
            batch = latest[first : first + BATCH_DOCUMENTS]
            stored = self._stored([document.id_ for document in batch])
            for document in batch:
                nodes = stored[document.id_]
                if {ref_doc_hash(node) for node in nodes} != {document.hash}:
                    changed.append(document)
                    stale |= {node.node_id for node in nodes}
        return changed, stale

    def _stored(self, ref_doc_ids: Iterable[str]) -> defaultdict[str, list[BaseNode]]:
        """The nodes of documents, by the document's id."""
        found: defaultdict[str, list[BaseNode]] = defaultdict(list)
        for document in self.collection.get(filter={REF_DOC_ID: {"$in": list(ref_doc_ids)}}):
            node = to_node(document.id, document.text, document.metadata)
            found[node.ref_doc_id or node.node_id].append(node)
        return found

    # ---- VectorStoreIndex's own steps

    @property
    def _store(self) -> LateInteractionVectorStore:
        store = self._vector_store
        assert isinstance(store, LateInteractionVectorStore)
        return store

    def _get_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        return list(nodes)

    async def _aget_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        return list(nodes)


INDEX_STRUCT_TYPE_TO_INDEX_STRUCT_CLASS[LateInteractionDict.get_type()] = LateInteractionDict  # type: ignore[index]
INDEX_STRUCT_TYPE_TO_INDEX_CLASS[LateInteractionDict.get_type()] = LateInteractionIndex  # type: ignore[index]


_RETRIEVER_OPTIONS = (
    "similarity_top_k",
    "filters",
    "score_threshold",
    "vector_store_query_mode",
    "mmr_threshold",
    "doc_ids",
    "node_ids",
    "callback_manager",
    "object_map",
    "verbose",
)


def _storage(
    context: StorageContext | None, path: str | PathLike[str] | None, encoder: Encoder | None, collection: Any
) -> StorageContext:
    """A storage context whose vector store is ours."""
    if context is not None and path is None and encoder is None and collection is None:
        if not isinstance(context.vector_store, LateInteractionVectorStore):
            raise InvalidInputError(
                f"the storage context has a {type(context.vector_store).__name__}: give it a "
                "LateInteractionVectorStore, or give path=, encoder= or collection= beside it."
            )
        return context
    store = LateInteractionVectorStore(collection, path=path, encoder=encoder)
    if context is None:
        return StorageContext.from_defaults(vector_store=store)
    return replace(context, vector_stores={**context.vector_stores, DEFAULT_VECTOR_STORE: store})


def _flags(documents: Sequence[Document], changed: Sequence[Document]) -> list[bool]:
    places = {id(document) for document in changed}
    return [id(document) in places for document in documents]
