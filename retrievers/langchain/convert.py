"""Documents between LangChain and the collection; nobody's document is changed on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from langchain_core.documents import Document as LangChainDocument

from retrievers.collection.evidence import of_hits
from retrievers.types import NODE_KEY, Document, Hit, Hits, SearchableCollection


def from_hits(
    collection: SearchableCollection,
    found: Hits,
    *,
    score_key: str | None = None,
    evidence_key: str | None = None,
) -> list[LangChainDocument]:
    """Found documents; score and evidence are in their metadata only under the keys that are named.

    LangChain's MultiQueryRetriever takes two documents for one only if their metadata is equal too, so a
    score that nobody asked for would turn one document found by two queries into two.

    Args:
        collection: what was searched.
        found: its hits.
        score_key: of hit.normalized_score.
        evidence_key: of Evidence.as_json().
    """
    documents = [_from_hit(hit, score_key) for hit in found]
    if evidence_key is not None:
        for document, told in zip(documents, of_hits(collection, found), strict=True):
            document.metadata[evidence_key] = told
    return documents


def _from_hit(hit: Hit, score_key: str | None = None) -> LangChainDocument:
    metadata = _shown(hit.metadata)
    if score_key is not None:
        metadata[score_key] = hit.normalized_score
    return LangChainDocument(page_content=hit.text, id=hit.id, metadata=metadata)


def from_document(document: Document) -> LangChainDocument:
    """A stored document as LangChain's, with metadata of its own."""
    return LangChainDocument(page_content=document.text, id=document.id, metadata=_shown(document.metadata))


def to_document(document: LangChainDocument) -> Document:
    """LangChain's document for the collection."""
    return Document(text=document.page_content, id=document.id, metadata=document.metadata)


def to_texts(documents: Sequence[LangChainDocument]) -> list[Document]:
    """What a reranker looks at: text and id. Metadata is left out, for here it need not be JSON."""
    return [Document(text=document.page_content, id=document.id) for document in documents]


def with_metadata(document: LangChainDocument, added: Mapping[str, Any], **changes: Any) -> LangChainDocument:
    """A copy of a document, of the same class, with more metadata and other changes."""
    return document.model_copy(update={"metadata": {**deepcopy(document.metadata), **added}, **changes})


def _shown(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what the LlamaIndex adapter keeps beside a node, which is nothing to LangChain."""
    return {key: value for key, value in metadata.items() if key != NODE_KEY}
