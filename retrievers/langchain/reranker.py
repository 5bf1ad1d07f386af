"""A document compressor that reorders documents by MaxSim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field, PrivateAttr

from retrievers.langchain.common import resolve
from retrievers.langchain.convert import to_texts, with_metadata


class LateInteractionReranker(BaseDocumentCompressor):
    """Documents by their MaxSim with the question, best first, as copies with a `relevance_score`.

    With a collection, a document whose id and text match a stored one is scored from the store and not
    encoded again. `acompress_documents` runs in a thread.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    collection: Any = None
    """A collection whose encoder and stored documents are used; give this or encoder."""

    encoder: Any = None
    """An encoder, where there is no collection."""

    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep; None keeps all."""

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Least normalized score, in [0, 1], of a document that is kept."""

    _collection: Any = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._collection = resolve(self.collection, self.encoder)

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
        return [
            with_metadata(documents[hit.position], {"relevance_score": hit.normalized_score}) for hit in hits
        ]
