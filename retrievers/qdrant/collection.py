"""The collection on a Qdrant server: add, delete, get, search, rerank and explain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any

from qdrant_client import QdrantClient

from retrievers.collection import questions, validate
from retrievers.collection.hits import with_parts
from retrievers.collection.searching import checked
from retrievers.errors import InvalidInputError
from retrievers.qdrant import evidence, reading
from retrievers.qdrant.awaited import Awaited
from retrievers.qdrant.calls import Calls
from retrievers.qdrant.connection import Connection
from retrievers.qdrant.copies import Copied
from retrievers.qdrant.moving import MovablePoints
from retrievers.qdrant.schema import Wanted, opened, published
from retrievers.qdrant.sources import BySource
from retrievers.qdrant.steps import Request, run
from retrievers.types import (
    Document,
    DocumentFilter,
    Encoder,
    Evidence,
    Hit,
    Hits,
    Matrices,
    Metadatas,
    Names,
    Query,
    Texts,
    TokenMatrix,
)


class QdrantCollection(Awaited, BySource, Copied, MovablePoints):
    """Documents that are found by late interaction, on a Qdrant server or cluster.

    It answers what `Collection` answers, and takes the place of one in every adapter. Threads and processes may share
    it; of two that change one document at the same moment, one is told so. On servers before 1.17 that cannot be
    told for certain: let one writer at a time change a document there.

    Args:
        url_or_client: "http://host:6333"; ":memory:" or a pathlib.Path for the client's own engine, which is for tests
            and some thousand windows; or a QdrantClient, which stays yours to close.
        name: of the collection on the server, or an alias of one, which is looked up here and now.
        encoder: the model; None opens a collection with the model that wrote it, and creates nothing.
        api_key: the server's key.
        timeout: seconds for one request; one that failed for a moment is made three times.
        prefer_grpc: send vectors by gRPC, which is a fifth of JSON in size.
        candidates: windows that the pooled vectors choose for a question, unless the search says it; None lets the
            number grow with the collection.
        bits: to which the rows of a new collection are rounded, 8 or 4, as a directory has them; the server keeps them
            in `datatype` either way. 4 need an encoder whose dimensions are a multiple of 8.
        datatype: "float16" or "float32", as the server keeps the rows of a new collection. float16 loses nothing of
            what a directory keeps, because the scale of each row is stored beside it.
        quantization: of the token vectors of a new collection, from qdrant_client.models. The server scores by the
            unquantised vectors all the same.
        shard_number, replication_factor, write_consistency_factor: of a new collection, as the server takes them.
        tenant: the metadata key whose value is the document's tenant: the server keeps the documents of a tenant
            together, and a filter on that key touches no others.
        words: of a new collection, store the words of each window too: BM25 chooses half of the candidates, and may
            be blended into the score.
        indexed: metadata keys that filters compare by order, for which the server keeps an index.
    Raises:
        StoreError: no encoder was given and there is no such collection; or the server refused, see errors.
        ModelMismatchError: the collection was written with another encoder.
        FormatVersionError: it was made by something else, or by a newer version.
    """

    def __init__(
        self,
        url_or_client: str | PathLike[str] | QdrantClient,
        name: str,
        encoder: Encoder | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        prefer_grpc: bool = False,
        candidates: int | None = None,
        bits: int | None = None,
        datatype: str | None = None,
        quantization: Any = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        write_consistency_factor: int | None = None,
        tenant: str | None = None,
        words: bool = False,
        indexed: Sequence[str] = (),
    ) -> None:
        self.name = validate.identifier(name, "name")
        encoder = None if encoder is None else validate.encoder(encoder)
        candidates = None if candidates is None else validate.count(candidates, "candidates")
        wanted = Wanted(
            None if bits is None else validate.bits(bits),
            datatype,
            quantization,
            shard_number,
            replication_factor,
            write_consistency_factor,
            None if tenant is None else validate.text(tenant, "tenant"),
            validate.flag(words, "words"),
            tuple(validate.keys(indexed)),
        )
        self._connection = Connection(
            url_or_client, api_key=api_key, timeout=timeout, prefer_grpc=prefer_grpc
        )
        layout = run(
            opened(
                self.name,
                None if encoder is None else encoder.fingerprint,
                None if encoder is None else encoder.dim,
                wanted,
                local=self._connection.local,
                guarded=self._connection.guarded,
            ),
            self._connection,
        )
        self._calls = Calls(layout, encoder, candidates, self._connection)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other, "model" its name; known without loading it."""
        return self._calls.layout.fingerprint

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use if the collection was opened without one."""
        return self._calls.encoder

    # Change

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
        """Encode and store documents; an id that is there already is replaced. See Collection.add.

        A reader finds the old document or the new one, whole, at any moment. An add that was interrupted and is
        called again does what is missing, and removes what the first one left.

        Raises:
            StoreConflictError: another writer changed one of the documents meanwhile; its change stands.
            StoreUnavailableError, StoreTimeoutError: what the server acknowledged is stored; call again.
        """
        steps = self._calls.add(documents, ids, metadatas, matrices, fingerprint, show_progress)
        return run(steps, self._connection)

    def delete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        """Remove documents by id or by filter; an unknown id is no error.

        Returns:
            How many documents were removed.
        Raises:
            InvalidInputError: neither ids nor filter, or both.
            FilterError: see filters.parse.
        """
        return run(self._calls.delete(ids, filter), self._connection)

    def clear(self) -> int:
        """Remove every document. Returns how many there were."""
        return run(self._calls.clear(), self._connection)

    # Read

    def get(
        self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None
    ) -> list[Document]:
        """Stored documents: those of the ids that are there, in that order, or all that match the filter.

        Raises:
            InvalidInputError: ids and filter at once.
        """
        return run(self._calls.get(ids, filter), self._connection)

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
        exact: bool = False,
        candidates: int | None = None,
    ) -> Hits:
        """The best documents for a question. See Collection.search.

        Args:
            words: the share of BM25 in the score, as Collection.search has it; for a collection that was made with
                words=True. None means 0.
            pooled, passages, group_by, group_size: as Collection.search has them; a group is a value of the metadata.
            exact: score every window; without it the pooled vectors choose the candidates.
            candidates: windows that are scored, more for more recall; None means the collection's own number.
        Raises:
            NoWordsError: words, and the collection was made without them.
        """
        wanted = checked(k, score_threshold, words, pooled, passages, group_by, group_size)
        steps = self._calls.search([query], wanted, filter, ids, exact, candidates)
        return run(steps, self._connection)[0]

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
        exact: bool = False,
        candidates: int | None = None,
    ) -> list[Hits]:
        """search for several questions at once, in one request."""
        wanted = checked(k, score_threshold, words, pooled, passages, group_by, group_size)
        steps = self._calls.search(queries, wanted, filter, ids, exact, candidates)
        return run(steps, self._connection)

    def rerank(
        self,
        query: Query,
        documents: Texts | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> Hits:
        """Order given documents by their score for a question, best first. See Collection.rerank.

        A document of the collection (same id, same text) is scored by the server; another text is encoded, and not
        stored.
        """
        steps = self._calls.rerank(query, documents, ids, top_n, score_threshold)
        return run(steps, self._connection)

    def explain(self, query: Query, hit: Hit | str) -> Evidence:
        """Which characters of a document each query token matched, in the document's best window.

        Args:
            query: the question; or its rows, whose tokens have numbers in place of labels.
            hit: a hit of this collection, or a stored document's id.
        Raises:
            InvalidInputError: the document is not stored, or not with that text any more.
        """
        given = hit if isinstance(hit, str) else validate.hit(hit)
        question = questions.checked(query, self._calls.layout.dim)
        steps = evidence.explain(self._calls.layout, lambda: self.encoder, question, given)
        return with_parts(run(steps, self._connection), given)

    def matrices(self, found: Sequence[Hit]) -> list[TokenMatrix]:
        """Stored token matrix of each hit's passage, in their order: float32, (tokens, dim).

        A matrix has no rows where a hit has no passage, or where its document was replaced or deleted since.
        """
        given = validate.found(found)
        return run(evidence.matrices(self._calls.layout, given), self._connection)

    def __len__(self) -> int:
        return run(reading.count(self._calls.layout), self._connection)

    def __contains__(self, key: object) -> bool:
        try:
            names = [validate.identifier(key)] if isinstance(key, str) else []
        except InvalidInputError:
            return False  # no document can have such an id
        return bool(run(reading.heads(self._calls.layout, names), self._connection))

    # Care

    def drop(self) -> None:
        """Remove the collection from the server, documents and all, and close this one."""
        self._connection(Request("delete_collection", {"collection_name": self._calls.layout.name}))
        self.close()

    def publish(self, alias: str) -> None:
        """Let an alias name this collection, in one step for all who open it by that name from now on.

        To change the model or how rows are kept, fill a collection with a new name, then publish it under the
        alias that programs open; the one before stays until it is dropped.

        Args:
            alias: the name; another collection's before or nobody's.
        """
        run(published(self._calls.layout, validate.identifier(alias, "alias")), self._connection)

    def close(self) -> None:
        """Close the connection, unless the client was given; the collection cannot be used after that."""
        self._connection.close()

    def __enter__(self) -> QdrantCollection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = f"{self.name!r} at {self._connection.address}"
        return f"QdrantCollection({place}, {self.fingerprint['model']!r})"
