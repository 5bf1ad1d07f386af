"""A document compressor that reorders documents by MaxSim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, PrivateAttr

from retrievers.collection.arguments import scoring
from retrievers.collection.asynchronous import asynchronous
from retrievers.collection.evidence import of_hits
from retrievers.langchain.convert import to_texts, with_metadata
from retrievers.langchain.options import Model, OpenCollection, Strict
from retrievers.types import Hits, SearchableCollection


class LateInteractionReranker(Strict, BaseDocumentCompressor):
    """Documents by their MaxSim with the question, best first, as copies with a `relevance_score`.

    With a collection, a document that is stored with the same text is scored from the store and not encoded
    again. `acompress_documents` leaves the event loop free.
    """

    collection: OpenCollection | None = None
    """A collection whose encoder and stored documents are used; give this or encoder."""

    encoder: Model | None = None
    """An encoder, where there is no collection."""

    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep; None keeps all."""

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Least normalized score, in [0, 1], of a document that is kept."""

    evidence_key: str | None = None
    """Key under which the evidence, see Evidence.as_json, is written into the metadata of each document kept.

    retrievers.citations reads it under "evidence". None writes nothing.
    """

    _collection: SearchableCollection = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._collection = scoring(self.collection, None, self.encoder)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank; the documents given are left as they are.

        Args:
            documents: what a retriever found.
            query: the question.
            callbacks: unused, for there is no run below this one to report.
        Returns:
            Copies, best first, with the normalized score as metadata["relevance_score"].
        """
        hits = self._collection.rerank(
            query, to_texts(documents), top_n=self.top_n, score_threshold=self.score_threshold
        )
        return self._scored(documents, hits)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """compress_documents without blocking the event loop."""
        hits = await asynchronous(self._collection).arerank(
            query, to_texts(documents), top_n=self.top_n, score_threshold=self.score_threshold
        )
        return await asyncio.to_thread(self._scored, documents, hits)

    def _scored(self, documents: Sequence[Document], hits: Hits) -> list[Document]:
        """Copies of the documents of some hits, each with its normalized score, and with evidence if asked for."""
        added: list[dict[str, Any]] = [{"relevance_score": hit.normalized_score} for hit in hits]
        if self.evidence_key is not None:
            for metadata, told in zip(added, of_hits(self._collection, hits), strict=True):
                metadata[self.evidence_key] = told
        return [
            with_metadata(documents[hit.position], metadata)
            for hit, metadata in zip(hits, added, strict=True)
            if hit.position is not None
        ]
