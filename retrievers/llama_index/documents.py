"""What an index knows of documents, which LlamaIndex cuts into nodes: the collection is asked, for it remembers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.vector_store.base import VectorStoreIndex
from llama_index.core.ingestion import arun_transformations, run_transformations
from llama_index.core.schema import BaseNode, Document, ImageNode, IndexNode
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.utils import iter_batch

from retrievers.collection.arguments import refuse
from retrievers.collection.asynchronous import asynchronous
from retrievers.llama_index.nodes import is_whole, source_id, to_documents
from retrievers.llama_index.sources import cut_from
from retrievers.llama_index.vector_store import OF_ADD, LateInteractionVectorStore
from retrievers.types import Document as StoredDocument
from retrievers.types import KeepsSources, SearchableCollection

BATCH_DOCUMENTS = 500  # documents whose stored nodes refresh looks up at once


class DocumentIndex(VectorStoreIndex):
    """A VectorStoreIndex over a LateInteractionVectorStore, which knows the documents of its nodes."""

    @property
    def collection(self) -> SearchableCollection:
        """The collection."""
        return self._store.collection

    @property
    def _store(self) -> LateInteractionVectorStore:
        store = self._vector_store
        assert isinstance(store, LateInteractionVectorStore)
        return store

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

    def insert(self, document: Document, **insert_kwargs: Any) -> None:
        """Store a document; one that has its id is replaced, as by update_ref_doc.

        Args:
            document: its id tells it from others.
            insert_kwargs: `show_progress`, as LateInteractionVectorStore.add.
        """
        self.update_ref_doc(document, insert_kwargs=insert_kwargs)

    async def ainsert(self, document: Document, **insert_kwargs: Any) -> None:
        """insert without blocking the event loop."""
        await self.aupdate_ref_doc(document, insert_kwargs=insert_kwargs)

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Store a document in place of the one that has its id.

        The new nodes are there before the old ones go: what fails in between loses nothing, and the same call
        completes it.

        Args:
            document: stored although nothing may have changed.
            update_kwargs: `insert_kwargs`, a dict of the keywords of LateInteractionVectorStore.add, and
                `delete_kwargs`, which has none.
        """
        inserting = _of_an_update(update_kwargs, "update_ref_doc")
        with self._callback_manager.as_trace("update_ref_doc"):
            self._replace([document], self._former([document]), inserting)

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """update_ref_doc without blocking the event loop."""
        inserting = _of_an_update(update_kwargs, "aupdate_ref_doc")
        with self._callback_manager.as_trace("aupdate_ref_doc"):
            former = await asyncio.to_thread(self._former, [document])
            await self._areplace([document], former, inserting)

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Store the documents that are new or have changed, and drop the nodes that they had before.

        The collection is asked what it holds, not the docstore, which forgets. New nodes are there before
        the old ones go, so that no search finds neither. A document of which an earlier call stored a part only is
        stored again, and of two calls for one document at once the later wins whole.

        Args:
            documents: of several with one id, the last counts.
            update_kwargs: `insert_kwargs`, as for update_ref_doc.
        Returns:
            For each document, whether it was stored.
        """
        refuse(update_kwargs, ("insert_kwargs",), "refresh_ref_docs")
        inserting = _of_an_update(update_kwargs, "refresh_ref_docs")
        with self._callback_manager.as_trace("refresh_ref_docs"):
            changed, former = self._changes(documents)
            self._replace(changed, former, inserting)
        return _flags(documents, changed)

    async def arefresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """refresh_ref_docs without blocking the event loop."""
        refuse(update_kwargs, ("insert_kwargs",), "arefresh_ref_docs")
        inserting = _of_an_update(update_kwargs, "arefresh_ref_docs")
        with self._callback_manager.as_trace("arefresh_ref_docs"):
            changed, former = await asyncio.to_thread(self._changes, documents)
            await self._areplace(changed, former, inserting)
        return _flags(documents, changed)

    # ---- help

    def _replace(self, documents: Sequence[Document], former: set[str], inserting: Mapping[str, Any]) -> None:
        nodes = run_transformations(documents, self._transformations, show_progress=self._show_progress)
        self.insert_nodes(nodes, **inserting)
        self._finish(documents, nodes, former)
        self.docstore.set_document_hashes({document.id_: document.hash for document in documents})

    async def _areplace(
        self, documents: Sequence[Document], former: set[str], inserting: Mapping[str, Any]
    ) -> None:
        nodes = await arun_transformations(
            documents, self._transformations, show_progress=self._show_progress
        )
        await self.ainsert_nodes(nodes, **inserting)
        await asyncio.to_thread(self._finish, documents, nodes, former)
        await self.docstore.aset_document_hashes({document.id_: document.hash for document in documents})

    def _changes(self, documents: Sequence[Document]) -> tuple[list[Document], set[str]]:
        """The documents to store, and the ids of the nodes that they had."""
        latest = list({document.id_: document for document in documents}.values())
        changed: list[Document] = []
        former: set[str] = set()
        for first in range(0, len(latest), BATCH_DOCUMENTS):
            batch = latest[first : first + BATCH_DOCUMENTS]
            stored = defaultdict[str, list[StoredDocument]](list)
            for one in cut_from(self.collection, [document.id_ for document in batch]):
                stored[source_id(one)].append(one)
            for document in batch:
                parts = stored[document.id_]
                if not is_whole(parts, document.hash):
                    changed.append(document)
                    former |= {str(one.id) for one in parts}
        return changed, former

    def _former(self, documents: Sequence[Document]) -> set[str]:
        """The ids of the nodes that documents have."""
        return {str(one.id) for one in cut_from(self.collection, [document.id_ for document in documents])}

    def _finish(self, changed: Sequence[Document], nodes: Sequence[BaseNode], former: set[str]) -> None:
        """Make the nodes all that there is of some documents.

        Args:
            former: nodes that the documents had before.
        """
        if not changed:
            return
        gone = sorted(former - {node.node_id for node in nodes})
        if isinstance(self.collection, KeepsSources):
            # Nothing is encoded here but what another writer took away meanwhile.
            names = [document.id_ for document in changed]
            self.collection.add_sources(to_documents(nodes), names, show_progress=False)
        else:
            self._store.delete_nodes(gone)
        if self._store_nodes_override:
            for node_id in gone:
                self._index_struct.delete(node_id)
                self.docstore.delete_document(node_id, raise_error=False)
            self._storage_context.index_store.add_index_struct(self._index_struct)

    # ---- VectorStoreIndex's own steps

    def _add_nodes_to_index(
        self,
        index_struct: IndexDict,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,
        **insert_kwargs: Any,
    ) -> None:
        refuse(insert_kwargs, OF_ADD, "insert_nodes")
        # They are counted before they are cut into batches: a batch is not all that there is of a document.
        for batch in iter_batch(to_documents(nodes), self._insert_batch_size):
            self.collection.add(batch, **insert_kwargs)
        self.docstore.add_documents(self._kept_beside(index_struct, nodes), allow_update=True)

    async def _async_add_nodes_to_index(
        self,
        index_struct: IndexDict,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,
        **insert_kwargs: Any,
    ) -> None:
        refuse(insert_kwargs, OF_ADD, "ainsert_nodes")
        for batch in iter_batch(await asyncio.to_thread(to_documents, nodes), self._insert_batch_size):
            await asynchronous(self.collection).aadd(batch, **insert_kwargs)
        kept = self._kept_beside(index_struct, nodes)
        await self.docstore.async_add_documents(kept, allow_update=True)

    def _kept_beside(self, index_struct: IndexDict, nodes: Sequence[BaseNode]) -> list[BaseNode]:
        """The nodes that the docstore keeps as well, as VectorStoreIndex has it: those that lead to something."""
        kept = []
        for node in nodes:
            if self._store_nodes_override or isinstance(node, (ImageNode, IndexNode)):
                kept.append(node.model_copy(update={"embedding": None}))
                index_struct.add_node(node, text_id=node.node_id)
        return kept


def _of_an_update(options: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The keywords for adding nodes, of those that an update takes."""
    refuse(options, ("insert_kwargs", "delete_kwargs"), where)
    inserting: Mapping[str, Any] = options.get("insert_kwargs", {})
    refuse(inserting, OF_ADD, f"{where}(insert_kwargs=…)")
    refuse(options.get("delete_kwargs", {}), (), f"{where}(delete_kwargs=…)")
    return inserting


def _flags(documents: Sequence[Document], changed: Sequence[Document]) -> list[bool]:
    places = {id(document) for document in changed}
    return [id(document) in places for document in documents]
