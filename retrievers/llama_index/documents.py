"""What an index knows of documents, which LlamaIndex cuts into nodes: the collection is asked, for it remembers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.indices.vector_store.base import VectorStoreIndex
from llama_index.core.ingestion import arun_transformations, run_transformations
from llama_index.core.schema import BaseNode, Document
from llama_index.core.storage.docstore.types import RefDocInfo

from retrievers.collection.arguments import refuse
from retrievers.llama_index.nodes import REF_DOC_ID, is_node, is_whole, source_id, to_documents
from retrievers.llama_index.vector_store import LateInteractionVectorStore
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

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Store the documents that are new or have changed, and drop the nodes that they had before.

        The collection is asked what it holds, not the docstore, which forgets. New nodes are there before
        the old ones go, so that no search finds neither. A document of which an earlier call stored a part only is
        stored again, and of two calls for one document at once the later wins whole.

        Args:
            documents: of several with one id, the last counts.
            update_kwargs: `insert_kwargs`, a dict of the keywords of LateInteractionVectorStore.add.
        Returns:
            For each document, whether it was stored.
        """
        refuse(update_kwargs, ("insert_kwargs",), "refresh_ref_docs")
        with self._callback_manager.as_trace("refresh_ref_docs"):
            changed, stale = self._changes(documents)
            nodes = run_transformations(changed, self._transformations, show_progress=self._show_progress)
            self.insert_nodes(nodes, **update_kwargs.get("insert_kwargs", {}))
            self._finish(changed, nodes, stale)
            self.docstore.set_document_hashes({document.id_: document.hash for document in changed})
        return _flags(documents, changed)

    async def arefresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """refresh_ref_docs without blocking the event loop."""
        refuse(update_kwargs, ("insert_kwargs",), "arefresh_ref_docs")
        with self._callback_manager.as_trace("arefresh_ref_docs"):
            changed, stale = await asyncio.to_thread(self._changes, documents)
            nodes = await arun_transformations(
                changed, self._transformations, show_progress=self._show_progress
            )
            await self.ainsert_nodes(nodes, **update_kwargs.get("insert_kwargs", {}))
            await asyncio.to_thread(self._finish, changed, nodes, stale)
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
                parts = stored[document.id_]
                if not is_whole(parts, document.hash):
                    changed.append(document)
                    stale |= {str(one.id) for one in parts if not self._by_source or one.source is None}
        return changed, stale

    @property
    def _by_source(self) -> bool:
        """Whether the collection removes the former nodes of a document itself, in the commit of the new ones."""
        return isinstance(self.collection, KeepsSources)

    def _finish(self, changed: Sequence[Document], nodes: Sequence[BaseNode], stale: set[str]) -> None:
        """Make the nodes all that there is of some documents.

        Args:
            stale: nodes that the documents had before and that the collection does not know by their source.
        """
        if isinstance(self.collection, KeepsSources) and changed:
            # Nothing is encoded here but what another writer took away meanwhile.
            self.collection.add_sources(
                to_documents(nodes), [document.id_ for document in changed], show_progress=False
            )
        self.delete_nodes(sorted(stale - {node.node_id for node in nodes}))

    def _stored(self, ref_doc_ids: Iterable[str]) -> defaultdict[str, list[StoredDocument]]:
        """The stored nodes of documents, by the document's id."""
        found: defaultdict[str, list[StoredDocument]] = defaultdict(list)
        names = list(ref_doc_ids)
        for document in self.collection.get(filter={REF_DOC_ID: {"$in": names}}):
            found[source_id(document)].append(document)
        # What another framework wrote was cut from nothing: it is its own document.
        for document in self.collection.get(names):
            if not is_node(document):
                found[str(document.id)].append(document)
        return found


def _flags(documents: Sequence[Document], changed: Sequence[Document]) -> list[bool]:
    places = {id(document) for document in changed}
    return [id(document) in places for document in documents]
