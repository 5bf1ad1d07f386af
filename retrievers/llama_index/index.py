"""A LlamaIndex index over a collection: VectorStoreIndex without an embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from os import PathLike
from typing import Any, Self

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.chat_engine.types import BaseChatEngine, ChatMode
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.data_structs.registry import INDEX_STRUCT_TYPE_TO_INDEX_STRUCT_CLASS
from llama_index.core.indices.registry import INDEX_STRUCT_TYPE_TO_INDEX_CLASS
from llama_index.core.llms.utils import LLMType
from llama_index.core.schema import BaseNode, Document, IndexNode, TransformComponent
from llama_index.core.storage.storage_context import StorageContext
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE

from retrievers.collection.arguments import created_by_default, refuse
from retrievers.errors import InvalidInputError
from retrievers.llama_index import engines
from retrievers.llama_index.docstore import CollectionDocumentStore
from retrievers.llama_index.documents import DocumentIndex
from retrievers.llama_index.embedding import NoEmbedding
from retrievers.llama_index.retriever import ADVICE, RETRIEVER_OPTIONS, LateInteractionRetriever
from retrievers.llama_index.vector_store import LateInteractionVectorStore
from retrievers.types import Encoder, SearchableCollection


@dataclass
class LateInteractionDict(IndexDict):
    """The index struct of LateInteractionIndex: by its type load_index_from_storage knows the class."""

    @classmethod
    def get_type(cls) -> str:  # type: ignore[override]
        """Another type than VectorStoreIndex has, which would want an embedding model."""
        return "late_interaction"


class LateInteractionIndex(DocumentIndex):
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
            LateInteractionVectorStore and neither path, encoder nor collection came. Without one the docstore is a
            view of the collection's nodes, for BM25Retriever, PrevNextNodePostprocessor and AutoMergingRetriever.
        objects, index_struct, use_async: see VectorStoreIndex.
        store_nodes_override, insert_batch_size, callback_manager: see VectorStoreIndex.
        transformations, show_progress: see VectorStoreIndex.
    Raises:
        InvalidInputError: collection came beside path or encoder.
        InvalidTypeError: collection is something else than a collection.
        UnknownOptionError: another keyword.
    """

    index_struct_cls = LateInteractionDict

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: SearchableCollection | None = None,
        storage_context: StorageContext | None = None,
        objects: Sequence[IndexNode] | None = None,
        index_struct: IndexDict | None = None,
        use_async: bool = False,
        store_nodes_override: bool = False,
        insert_batch_size: int = 2048,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool = False,
        **unknown: Any,
    ) -> None:
        refuse(unknown, _options(type(self)), type(self).__name__, _ADVICE)
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
    def from_documents(
        cls,
        documents: Sequence[Document],
        storage_context: StorageContext | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: SearchableCollection | None = None,
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
        refuse(options, _options(cls), "from_documents", _ADVICE)
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
        refuse(options, set(_options(cls)) - {"storage_context", "nodes"}, "from_vector_store", _ADVICE)
        docstore = CollectionDocumentStore(vector_store)
        context = StorageContext.from_defaults(docstore=docstore, vector_store=vector_store)
        return cls(storage_context=context, **options)

    def as_retriever(self, **kwargs: Any) -> LateInteractionRetriever:
        """A retriever over this index.

        Args:
            kwargs: `similarity_top_k`, `filters`, `score_threshold`, `vector_store_query_mode`, `mmr_threshold`,
                `alpha`, `pooled`, `passages`, `group_by`, `group_size`, `doc_ids`, `node_ids`, `score`,
                `evidence_key`, `callback_manager`, `object_map`, `objects`, `verbose`: see LateInteractionRetriever.
        Raises:
            UnknownOptionError: another keyword.
        """
        refuse(kwargs, RETRIEVER_OPTIONS, "as_retriever", ADVICE)
        # VectorIndexRetriever passes the ids of this index's IndexNodes as node_ids, and so would find
        # nothing but them.
        defaults = {"callback_manager": self._callback_manager, "object_map": self._object_map}
        return LateInteractionRetriever(vector_store=self._store, **{**defaults, **kwargs})

    def as_query_engine(self, llm: LLMType | None = None, **kwargs: Any) -> BaseQueryEngine:
        """A query engine over a retriever of this index.

        Args:
            llm: the language model that answers; None means Settings.llm.
            kwargs: those of as_retriever, and those of RetrieverQueryEngine.from_args.
        Raises:
            UnknownOptionError: a keyword that neither has.
        """
        return engines.query_engine(self.as_retriever, engines.resolved(llm, self._callback_manager), kwargs)

    def as_chat_engine(
        self, chat_mode: ChatMode = ChatMode.BEST, llm: LLMType | None = None, **kwargs: Any
    ) -> BaseChatEngine:
        """A chat engine over a retriever of this index.

        Args:
            chat_mode: see ChatMode; BEST is CONDENSE_PLUS_CONTEXT.
            llm: the language model that answers; None means Settings.llm.
            kwargs: those of as_retriever, and those of the chat engine's from_defaults; for CONDENSE_QUESTION
                those of as_query_engine too.
        Raises:
            UnknownOptionError: a keyword that none of them has.
        """
        return engines.chat_engine(
            self.as_retriever, chat_mode, engines.resolved(llm, self._callback_manager), kwargs
        )

    # ---- VectorStoreIndex's own steps

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


_ADVICE = {"embed_model": "late interaction asks for no embedding model; give encoder=."}


def _options(cls: type) -> list[str]:
    """The names of a constructor's arguments."""
    return [name for name in signature(cls).parameters if name != "unknown"]


def _storage(
    context: StorageContext | None,
    path: str | PathLike[str] | None,
    encoder: Encoder | None,
    collection: SearchableCollection | None,
) -> StorageContext:
    """A storage context whose vector store is ours."""
    if context is not None and path is None and encoder is None and collection is None:
        if not isinstance(context.vector_store, LateInteractionVectorStore):
            raise InvalidInputError(
                f"the storage context has a {type(context.vector_store).__name__}: give it a "
                "LateInteractionVectorStore, or give path=, encoder= or collection= beside it."
            )
        return context
    if collection is None and path is None:
        collection, encoder = created_by_default(None, None, encoder), None
    store = LateInteractionVectorStore(collection, path=path, encoder=encoder)
    if context is None:
        return StorageContext.from_defaults(docstore=CollectionDocumentStore(store), vector_store=store)
    return replace(context, vector_stores={**context.vector_stores, DEFAULT_VECTOR_STORE: store})
