"""The two seams of the house: what is needed of an encoder, and what is needed of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from retrievers.types.evidence import Evidence
from retrievers.types.hits import Hit, Hits
from retrievers.types.values import Document, EncodedText, QuantizedMatrix, TokenMatrix


class Condition(Protocol):
    """What a document's metadata must fulfil; retrievers.filters.parse makes one of a dict."""

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with these metadata is kept."""
        ...


DocumentFilter = Mapping[str, Any] | Condition | Callable[[Document], bool]
"""Which documents count: a dict in the language of retrievers.filters, a filter made of one, or a function of a
document, which is called for every document."""

Query = str | TokenMatrix
"""A question: a text, which the model encodes, or its rows from elsewhere, float32, (query_tokens, dim)."""

Texts = Iterable[str | Document]
Names = Iterable[str | None] | None
Metadatas = Iterable[Mapping[str, Any] | None] | None
Matrices = Iterable[TokenMatrix | QuantizedMatrix | EncodedText] | None
"""What a model made of each document elsewhere: one matrix where the whole is one window, else an EncodedText."""


@runtime_checkable
class Encoder(Protocol):
    """What a collection needs of a model. Subclass it to inherit the defaults of the last three methods.

    The attributes are only read: nobody writes to an encoder after it is made.

    Attributes:
        dim: length of a token vector.
        document_length: the most tokens that a window may have.
        fingerprint: JSON values that tell this model from every other; "model" is its name. A collection
            opens only with the fingerprint that wrote it.
    """

    if TYPE_CHECKING:

        @property
        def dim(self) -> int: ...
        @property
        def document_length(self) -> int: ...
        @property
        def fingerprint(self) -> Mapping[str, Any]: ...

    else:  # a property of this class would keep those that subclass it from setting theirs
        dim: int
        document_length: int
        fingerprint: Mapping[str, Any]

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        """Encode questions: float32, (query_tokens, dim), one matrix a text."""
        ...

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        """Encode windows, in the order given: float32, (tokens, dim), one matrix a text."""
        ...

    def split(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the windows of a text, each of at most document_length tokens."""
        return [(0, len(text))] if text.strip() else []

    def document_tokens(self, text: str) -> list[tuple[int, int]]:
        """Character span of each row of encode_documents([text]); (0, 0) for a marker of the model."""
        raise NotImplementedError(f"{type(self).__name__} does not tell which characters its rows stand for.")

    def query_tokens(self, text: str) -> list[str]:
        """Label of each row of encode_queries([text])."""
        raise NotImplementedError(f"{type(self).__name__} does not name its query tokens.")


@runtime_checkable
class CountsTokens(Protocol):
    """What an encoder may have besides, if it numbers its tokens: then a collection can weigh them by their rarity."""

    @property
    def query_weights(self) -> Sequence[str]:
        """What the rows of questions are weighted by; "idf" asks the collection for it."""
        ...

    def query_ids(self, text: str) -> list[int]:
        """Number of the token of each row of encode_queries([text])."""
        ...

    def document_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the tokens of each text that have rows."""
        ...


@runtime_checkable
class SearchableCollection(Protocol):
    """What an adapter, diversity and evaluation need of a collection, wherever it keeps its documents.

    `Collection` has it, on disk and in memory, and says what each method does. What the methods mean to whoever
    builds another one is in retrievers.testing.CollectionConformance, as tests.
    """

    @property
    def encoder(self) -> Encoder:
        """The model that encodes documents and questions."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other, "model" its name; known without loading it."""
        ...

    def add(
        self,
        documents: Texts,
        *,
        ids: Names = None,
        metadatas: Metadatas = None,
        matrices: Matrices = None,
        fingerprint: Mapping[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Store documents, encoded now or by `matrices`; an id that is there is replaced. Returns the ids."""
        ...

    def delete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        """Remove documents by id or by filter. Returns how many were removed."""
        ...

    def clear(self) -> int:
        """Remove every document. Returns how many there were."""
        ...

    def get(
        self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None
    ) -> list[Document]:
        """Stored documents: those of the ids that are there, in that order, or all that match the filter."""
        ...

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> Hits:
        """The best documents for a question, of those that the filter keeps and ids names.

        A collection that cannot serve `words`, `pooled`, `passages` or `group_by` raises an UnsupportedError for it.
        """
        ...

    def search_many(
        self,
        queries: Iterable[Query],
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> list[Hits]:
        """search for several questions at once."""
        ...

    def rerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        """Order given documents by their score for a question, best first."""
        ...

    def explain(self, query: Query, hit: Hit | str) -> Evidence:
        """Which characters of a document each query token matched, in the document's best window."""
        ...

    def matrices(self, found: Sequence[Hit]) -> list[TokenMatrix]:
        """Stored token matrix of each hit's passage, in their order: float32, (tokens, dim)."""
        ...

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        ...

    def stream(self, ids: Iterable[str] | None = None) -> Iterator[tuple[Document, EncodedText]]:
        """Documents with what is stored of their windows, for `add` of another collection."""
        ...

    def export(self, path: str | PathLike[str], *, show_progress: bool | None = None) -> int:
        """Write everything into a file in the format Parquet. Returns how many documents there were."""
        ...

    def close(self) -> None:
        """Release what the collection holds."""
        ...

    def __len__(self) -> int: ...
    def __contains__(self, key: object) -> bool: ...


@runtime_checkable
class KeepsSources(Protocol):
    """What a collection may have besides, if it looks up by Document.source what was cut from what.

    A document without a source is its own. Every collection returns source and attachment as they were given.
    """

    def add_sources(
        self, documents: Texts, sources: Iterable[str], *, show_progress: bool | None = None
    ) -> list[str]:
        """Store documents that are all there is of some sources; what else was cut from them is removed."""
        ...

    def get_sources(self, sources: Iterable[str]) -> list[Document]:
        """Stored documents that were cut from any of some sources, in order of insertion."""
        ...

    def delete_sources(self, sources: Iterable[str]) -> int:
        """Remove the documents that get_sources finds. Returns how many were removed."""
        ...

    def delete_among(self, ids: Iterable[str], filter: DocumentFilter) -> int:
        """Remove those of the documents with some ids that a filter keeps. Returns how many were removed."""
        ...


@runtime_checkable
class AsyncSearchableCollection(Protocol):
    """What a collection that waits on a network may have besides: adapters await it in place of using a thread.

    Each method takes and returns what its namesake in SearchableCollection does.
    """

    async def aadd(
        self,
        documents: Texts,
        *,
        ids: Names = None,
        metadatas: Metadatas = None,
        matrices: Matrices = None,
        fingerprint: Mapping[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> list[str]: ...
    async def adelete(
        self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None
    ) -> int: ...
    async def asearch(
        self,
        query: Query,
        *,
        k: int = 10,
        filter: DocumentFilter | None = None,
        ids: Iterable[str] | None = None,
        score_threshold: float | None = None,
        words: float | None = None,
        pooled: float | None = None,
        passages: int | None = None,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> Hits: ...
    async def arerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits: ...
