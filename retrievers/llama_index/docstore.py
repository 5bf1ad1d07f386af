"""The nodes of a collection as a LlamaIndex docstore: what looks a node up by its id finds it there."""

# mypy: disable-error-code="override"
# The methods of the base class have overloads by raise_error.

from __future__ import annotations

import asyncio

from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from retrievers.errors import InvalidInputError
from retrievers.llama_index.vector_store import LateInteractionVectorStore


class CollectionDocumentStore(SimpleDocumentStore):
    """A view of a store's nodes, which reads the collection and never changes it.

    It is the docstore of a LateInteractionIndex that was given none: BM25Retriever.from_defaults(index=…) reads all
    nodes of it, PrevNextNodePostprocessor and AutoMergingRetriever look neighbours and parents up. What is added to
    the docstore itself stays in it, beside the collection, and comes first.

    Args:
        vector_store: whose nodes are read.
    """

    def __init__(self, vector_store: LateInteractionVectorStore) -> None:
        super().__init__()
        self._nodes = vector_store

    @property
    def docs(self) -> dict[str, BaseNode]:
        """Every node by its id, all of them read at once."""
        return {node.node_id: node for node in self._nodes.get_nodes()} | super().docs

    def get_document(self, doc_id: str, raise_error: bool = True) -> BaseNode | None:
        """A node by its id.

        Raises:
            InvalidInputError: it is not there, and raise_error is set.
        """
        found = super().get_document(doc_id, raise_error=False)
        if found is None:
            found = next(iter(self._nodes.get_nodes([doc_id])), None)
        if found is None and raise_error:
            raise InvalidInputError(f"{doc_id!r} is neither in the collection nor in the docstore beside it.")
        return found

    async def aget_document(self, doc_id: str, raise_error: bool = True) -> BaseNode | None:
        """get_document without blocking the event loop."""
        return await asyncio.to_thread(self.get_document, doc_id, raise_error)

    def document_exists(self, doc_id: str) -> bool:
        """Whether a node of that id is there."""
        return self.get_document(doc_id, raise_error=False) is not None

    async def adocument_exists(self, doc_id: str) -> bool:
        """document_exists without blocking the event loop."""
        return await asyncio.to_thread(self.document_exists, doc_id)
