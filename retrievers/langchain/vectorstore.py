"""LangChain's vector store interface over a collection."""

# mypy: disable-error-code="override"
# VectorStore takes any keyword everywhere; here each is named, so that a misspelt one is an error.

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from os import PathLike
from typing import Any, Self, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores.base import VectorStoreRetriever

from retrievers.collection.arguments import created, created_by_default
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.langchain.convert import from_document, from_hits, to_document
from retrievers.langchain.filters import translate
from retrievers.langchain.options import SearchOptions, chosen
from retrievers.langchain.retriever import StoreRetriever
from retrievers.langchain.twins import AsyncVectorStore
from retrievers.search.diversity import search_diverse
from retrievers.types import Encoder, Hits, SearchableCollection


class LateInteractionVectorStore(AsyncVectorStore):
    """A collection as a LangChain vector store.

    A text is encoded as one vector a token and found by MaxSim, so `embeddings` is None and there is no
    search by a single vector. Scores are MaxSim; relevance scores are MaxSim divided by the number of query
    vectors, in [0, 1]. Every async method leaves the event loop free: it awaits a collection that has async
    methods of its own, and runs in a thread otherwise.

    Args:
        collection: what the documents are kept in; or
        path: its directory, created or opened; None keeps it in memory.
        encoder: the model; None means the one that wrote the directory, or the default one.
    Raises:
        InvalidInputError: a collection came beside path or encoder.
        InvalidTypeError: collection is something else than a collection, or nothing came.
    """

    def __init__(
        self,
        collection: SearchableCollection | None = None,
        *,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.collection = created(collection, path, encoder)

    @property
    def embeddings(self) -> None:
        """Always None, for to a late-interaction model a text is not one vector."""
        return None

    # ---- adding and deleting

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Add documents, and replace those whose ids are known.

        Args:
            documents: left as they are.
            ids: one a document; each beats the document's own id, and None chooses one.
            batch_size: ignored, for the encoder batches by tokens; the indexing API passes it.
            show_progress: as Collection.add.
        Returns:
            The ids, in the order of the documents.
        Raises:
            InvalidInputError: another number of ids than of documents, an id that occurs twice, or metadata
                that is not JSON.
        """
        converted = [to_document(document) for document in documents]
        return self.collection.add(converted, ids=ids, show_progress=show_progress)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Add texts, as add_documents does; metadatas has one dictionary a text."""
        return self.collection.add(texts, ids=ids, metadatas=metadatas, show_progress=show_progress)

    def delete(self, ids: list[str] | None = None, *, filter: Any = None) -> bool:
        """Delete documents by their ids or by a filter; an unknown id is no error.

        Returns:
            True: whatever was asked to be gone is gone.
        Raises:
            InvalidInputError: neither ids nor a filter came; `None` does not mean everything.
        """
        self.collection.delete(ids, filter=translate(filter))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents that are there, in the order asked; an unknown id is left out."""
        return [from_document(document) for document in self.collection.get(ids)]

    # ---- searching

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """The k documents that match best, best first.

        Args:
            query: the question.
            k: how many at most.
            filter: a dictionary, a filter of retrievers.filters, or a callable that takes a Document; it is
                applied before k.
            score_threshold: least relevance score, in [0, 1].
            evidence_key: key under which the evidence, see Evidence.as_json, is written into the metadata; None
                writes nothing. The question is not encoded again for it.
            options: `words` and `pooled`, the shares of BM25 and of the pooled similarity in the score; `passages`, so
                many windows of each document under the metadata key `passages`; `group_by`, a metadata key of which no
                more than `group_size` documents have the same value. See Collection.search.
        Raises:
            InvalidInputError: k < 1 or a threshold outside [0, 1].
            FilterError: a filter that the language does not have.
        """
        hits = self._search(query, k, filter, score_threshold, **options)
        return from_hits(self.collection, hits, evidence_key=evidence_key)

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[tuple[Document, float]]:
        """As similarity_search, each with its MaxSim, or the blend where parts are asked for: higher is better."""
        hits = self._search(query, k, filter, score_threshold, **options)
        documents = from_hits(self.collection, hits, evidence_key=evidence_key)
        return [(document, hit.score) for document, hit in zip(documents, hits, strict=True)]

    def _similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Any = None,
        evidence_key: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[tuple[Document, float]]:
        # LangChain derives a relevance from a score alone; MaxSim needs the length of the query too.
        hits = self._search(query, k, filter, None, **options)
        documents = from_hits(self.collection, hits, evidence_key=evidence_key)
        return [(document, hit.normalized_score) for document, hit in zip(documents, hits, strict=True)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Any = None,
        score_threshold: float | None = None,
        evidence_key: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """The k documents that match well and differ from each other.

        Args:
            query: the question.
            k: how many at most.
            fetch_k: how many of the best to choose from; k where it is smaller.
            lambda_mult: 1 for relevance alone, 0 for diversity alone.
            filter, score_threshold, evidence_key, options: as similarity_search.
        """
        hits = search_diverse(
            self.collection,
            query,
            k=k,
            fetch_k=fetch_k,
            lambda_mult=lambda_mult,
            filter=translate(filter),
            score_threshold=score_threshold,
            **chosen(options, "max_marginal_relevance_search"),
        )
        return from_hits(self.collection, hits, evidence_key=evidence_key)

    def _search(
        self, query: str, k: int, filter: Any, score_threshold: float | None, **options: Unpack[SearchOptions]
    ) -> Hits:
        return self.collection.search(
            query,
            k=k,
            filter=translate(filter),
            score_threshold=score_threshold,
            **chosen(options, "similarity_search"),
        )

    # ---- making a store or a retriever

    @classmethod
    def from_documents(
        cls,
        documents: list[Document],
        embedding: Encoder | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: SearchableCollection | None = None,
        show_progress: bool | None = None,
    ) -> Self:
        """A store that holds the documents.

        Args:
            documents: see add_documents.
            embedding: the encoder too: LangChain's own helpers put it here.
            ids: see add_documents.
            path: the collection's directory, created or opened; None keeps it in memory.
            encoder: the model; None means the one that wrote the directory, or the default one.
            collection: a collection that is open already, in place of path and encoder.
            show_progress: see add_documents.
        Raises:
            InvalidInputError: collection came beside path or encoder, or two encoders.
            InvalidTypeError: embedding is LangChain's Embeddings, which give one vector a text.
        """
        store = cls(_collection(collection, path, embedding, encoder))
        store.add_documents(documents, ids=ids, show_progress=show_progress)
        return store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        path: str | PathLike[str] | None = None,
        encoder: Encoder | None = None,
        collection: SearchableCollection | None = None,
        show_progress: bool | None = None,
    ) -> Self:
        """A store that holds the texts; the arguments are those of from_documents and add_texts."""
        store = cls(_collection(collection, path, embedding, encoder))
        store.add_texts(texts, metadatas, ids=ids, show_progress=show_progress)
        return store

    @classmethod
    async def afrom_documents(
        cls, documents: list[Document], embedding: Encoder | None = None, **options: Any
    ) -> Self:
        """from_documents in a thread."""
        return await asyncio.to_thread(partial(cls.from_documents, documents, embedding, **options))

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        **options: Any,
    ) -> Self:
        """from_texts in a thread."""
        return await asyncio.to_thread(partial(cls.from_texts, texts, embedding, metadatas, **options))

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """LangChain's own retriever over this store.

        Args:
            kwargs: `search_type` ("similarity", "similarity_score_threshold" or "mmr"), `search_kwargs`
                (`k`, `filter`, `score_threshold`, `evidence_key`, and for "mmr" `fetch_k` and `lambda_mult`), `tags`,
                `metadata`.
        Raises:
            UnknownOptionError: another keyword, here or in search_kwargs.
        """
        tags = kwargs.pop("tags", None) or self._get_retriever_tags()
        return StoreRetriever(vectorstore=self, tags=tags, **kwargs)


def _collection(
    collection: SearchableCollection | None,
    path: str | PathLike[str] | None,
    embedding: Encoder | None,
    encoder: Encoder | None,
) -> SearchableCollection:
    if isinstance(embedding, Embeddings):
        raise InvalidTypeError(
            f"embedding is a {type(embedding).__name__}, which makes one vector a text; late interaction "
            "needs one a token. Give encoder=LateInteractionEncoder(...)."
        )
    if embedding is not None and encoder is not None:
        raise InvalidInputError("embedding and encoder both name the model; give encoder alone.")
    return created_by_default(collection, path, embedding if encoder is None else encoder)
