"""A document compressor that cuts long documents down to the passage that answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import PrivateAttr

from retrievers.collection.arguments import scoring
from retrievers.collection.asynchronous import asynchronous
from retrievers.langchain.convert import to_texts, with_metadata
from retrievers.langchain.options import Model, OpenCollection, Strict
from retrievers.types import Hits, SearchableCollection


class PassageCompressor(Strict, BaseDocumentCompressor):
    """Each document's text replaced by its best passage for the question, in the order given.

    Put it last: EnsembleRetriever and MultiQueryRetriever tell documents apart by their text, and one
    document has another passage for another question. `acompress_documents` leaves the event loop free.
    """

    collection: OpenCollection | None = None
    """A collection whose encoder and stored documents are used; give this or encoder."""

    encoder: Model | None = None
    """An encoder, where there is no collection."""

    span_key: str = "passage_span"
    """Metadata key of the passage's place: [start, end], in characters of the document's text."""

    _collection: SearchableCollection = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._collection = scoring(self.collection, None, self.encoder)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Cut each document down; the documents given are left as they are.

        Args:
            documents: what a retriever found.
            query: the question.
            callbacks: unused, for there is no run below this one to report.
        Returns:
            Copies, in the order given. A text without tokens comes back whole, without a span.
        """
        return self._cut(documents, self._collection.rerank(query, to_texts(documents)))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """compress_documents without blocking the event loop."""
        return self._cut(documents, await asynchronous(self._collection).arerank(query, to_texts(documents)))

    def _cut(self, documents: Sequence[Document], hits: Hits) -> list[Document]:
        compressed = [with_metadata(document, {}) for document in documents]
        for hit in hits:
            if hit.passage is not None and hit.position is not None:
                span = [hit.passage.start, hit.passage.end]
                compressed[hit.position] = with_metadata(
                    documents[hit.position], {self.span_key: span}, page_content=hit.passage.text
                )
        return compressed
