"""The collection: encoder, store and search joined into add, delete, get, search, rerank and explain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrievers import filters
from retrievers.collection import evidence, hits, indexing, matrices, reranking, validate
from retrievers.encoder import Encoder, LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError, ModelMismatchError, StoreClosedError
from retrievers.kernels.threads import turn
from retrievers.store import Store
from retrievers.types import Document, Evidence, Hit, TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import Damage, Info

Filter = Mapping[str, Any] | filters.Filter | Callable[[Document], bool]

BATCH_DOCUMENTS = 256  # documents that one transaction of add commits: what an interruption can cost


class Collection:
    """Documents that are found by late interaction, in a directory or in memory.

    Threads may share one collection; other processes may read and write the same directory.

    Args:
        path: a directory, created if need be; None keeps everything in memory.
        encoder: the model; None means the one that wrote the directory, or the default model for a new one.
        indexed: metadata keys (dots reach into nested ones) that filters use often, indexed on disk.
        timeout: seconds to wait for another writer.
        device: a GPU that keeps the token rows and searches them, as torch names it ("cuda"); None searches on
            the processor. The encoder has a device of its own.
        device_memory: bytes of that GPU which search may use; None means nearly all that is free. A collection
            that does not fit is a DeviceMemoryError on the first search.
    Raises:
        ModelMismatchError: the directory was written with another encoder.
        FormatVersionError: the directory was written by a newer version.
        CorruptStoreError: the path holds something else, or damaged files.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        encoder: Encoder | None = None,
        *,
        indexed: Sequence[str] = (),
        timeout: float = 10.0,
        device: str | None = None,
        device_memory: int | None = None,
    ) -> None:
        directory = validate.directory(path)
        if isinstance(encoder, str):
            raise InvalidTypeError(f"encoder is {encoder!r}: give LateInteractionEncoder({encoder!r}).")
        if encoder is None and (directory is None or not Store.exists(directory)):
            encoder = LateInteractionEncoder()
        fingerprint = None if encoder is None else encoder.fingerprint
        self._encoder = encoder
        self._device, self._device_memory = device, device_memory
        self.store = Store(
            directory, fingerprint=fingerprint, timeout=timeout, indexed=indexed, assign=_assign
        )

    @property
    def path(self) -> Path | None:
        """The directory; None for a collection in memory."""
        return self.store.path

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other, "model" its name; known without loading it."""
        return self.store.fingerprint

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use if the collection was opened without one."""
        if self._encoder is None:
            encoder = LateInteractionEncoder.from_fingerprint(self.store.fingerprint)
            if dict(encoder.fingerprint) != dict(self.store.fingerprint):
                raise ModelMismatchError(
                    f"the model {encoder.fingerprint['model']!r} has changed since it wrote this collection: "
                    f"{dict(encoder.fingerprint)} now, {dict(self.store.fingerprint)} then. Open it with the "
                    "encoder that wrote it, or build a new collection."
                )
            self._encoder = encoder
        return self._encoder

    # Change

    def add(
        self,
        documents: Iterable[str | Document],
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Encode and store documents; an id that is there already is replaced.

        A document whose id and text are stored is not encoded again, only its metadata is updated: an add
        that was interrupted and is called again does what is missing. Batches are committed as they are
        encoded, each whole or not at all.

        Args:
            documents: texts, or Documents.
            ids: one a document, or None to have them made up.
            metadatas: JSON objects, one a document.
            show_progress: a progress bar on standard error; None shows it where that is a terminal.
        Returns:
            The ids, in the order of the documents.
        Raises:
            InvalidInputError, InvalidTypeError: see validate.documents; nothing was changed.
            StoreLockedError: another writer did not finish within the timeout.
            StoreError: the disk is full or cannot be written; the batches before are safe.
        """
        from tqdm.auto import tqdm

        checked = validate.documents(documents, ids, metadatas)
        disabled = None if show_progress is None else not show_progress
        with tqdm(total=len(checked), unit="doc", desc="Indexing", disable=disabled, delay=1) as progress:
            for first in range(0, len(checked), BATCH_DOCUMENTS):
                batch = checked[first : first + BATCH_DOCUMENTS]
                self._add_batch(batch, progress.update)
        return [str(document.id) for document in checked]

    def _add_batch(self, batch: Sequence[Document], advance: Callable[[int], Any]) -> None:
        known = self.store.content_hashes([str(document.id) for document in batch])
        hashes = [indexing.content_hash(document) for document in batch]
        pairs = list(zip(batch, hashes, strict=True))
        stored = [document for document, digest in pairs if known.get(str(document.id)) == digest]
        advance(len(stored))
        missing = [(document, digest) for document, digest in pairs if known.get(str(document.id)) != digest]
        self.store.append(list(indexing.entries(self.encoder, missing, advance)), metadata_only=stored)

    def delete(self, ids: Iterable[str] | None = None, *, filter: Filter | None = None) -> int:
        """Remove documents by id or by filter; an unknown id is no error.

        Returns:
            How many documents were removed.
        Raises:
            InvalidInputError: neither ids nor filter, or both.
            FilterError: see filters.parse.
        """
        if (ids is None) == (filter is None):
            raise InvalidInputError(
                "delete needs ids or filter, one of the two; filter={} would mean everything."
            )
        if ids is not None:
            return self.store.delete(validate.identifiers(ids))
        if callable(filter) and not isinstance(filter, filters.Filter):
            return self.store.delete([str(document.id) for document in self.get(filter=filter)])
        return self.store.delete_matching(filters.parse(filter))

    # Read

    def get(self, ids: Iterable[str] | None = None, *, filter: Filter | None = None) -> list[Document]:
        """Stored documents: those of the ids that are there, in that order, or all that match the filter.

        Raises:
            InvalidInputError: ids and filter at once.
        """
        if ids is not None:
            if filter is not None:
                raise InvalidInputError("get takes ids or filter, not both.")
            return self.store.get(validate.identifiers(ids))
        with self.store.read() as view:
            return view.matching(_predicate_or_filter(filter))

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        filter: Filter | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        candidates: int | None = None,
    ) -> list[Hit]:
        """The best documents for a question.

        Args:
            query: the question; without tokens it finds nothing.
            k: the most hits to return.
            filter: a dict in the language of retrievers.filters, or a function of a Document; evaluated
                before scoring, so that k is honoured.
            score_threshold: keep hits whose normalized_score is at least this.
            exact: score every window even where an optimised collection would prune.
            candidates: windows that a pruned search scores exactly, more for more recall; None lets each query
                take as many as may be among its best. It changes nothing where every window is scored.
        Returns:
            Best first; equal scores in the order in which the documents were first added.
        Raises:
            InvalidInputError, InvalidTypeError: k, query or threshold cannot be used.
            FilterError: an unknown operator, or a value of the wrong type.
        """
        [found] = self.search_many(
            [query], k=k, filter=filter, score_threshold=score_threshold, exact=exact, candidates=candidates
        )
        return found

    def search_many(
        self,
        queries: Sequence[str],
        *,
        k: int = 10,
        filter: Filter | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        candidates: int | None = None,
    ) -> list[list[Hit]]:
        """search for several questions at once, which reads the token rows once for all of them."""
        from retrievers.search import rank

        k, lowest = validate.count(k, "k"), validate.threshold(score_threshold)
        candidates = None if candidates is None else validate.count(candidates, "candidates")
        condition = _predicate_or_filter(filter)
        asked = self._encode_queries(queries)
        # A function of the user's own may search as well: nobody is to wait for it.
        waiting = nullcontext() if callable(condition) else turn()
        with waiting, self.store.read() as view:
            ranked = rank(
                view,
                asked,
                view.select(condition),
                k,
                exact=exact,
                candidates=candidates,
                device=self._device,
                memory_limit=self._device_memory,
            )
            return [
                hits.from_search(view, matrix, found, lowest)
                for matrix, found in zip(asked, ranked, strict=True)
            ]

    def rerank(
        self,
        query: str,
        documents: Iterable[str | Document] | None = None,
        *,
        ids: Iterable[str] | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> list[Hit]:
        """Order given documents by their score for a question, best first.

        A document of the collection (same id, same text) is scored from its stored rows; another text is
        encoded, and not stored.

        Args:
            query: the question; without tokens it scores nothing, and the order stays.
            documents: texts or Documents, with or without ids; equal ids are no error.
            ids: stored documents, in place of documents.
            top_n: the most hits to return; None returns all.
            score_threshold: keep hits whose normalized_score is at least this.
        Returns:
            Hits whose position is the place among the given documents; ties keep the given order.
        Raises:
            InvalidInputError: neither documents nor ids or both, or an id that is not stored.
        """
        if (documents is None) == (ids is None):
            raise InvalidInputError("rerank needs documents or ids, one of the two.")
        top_n = None if top_n is None else validate.count(top_n, "top_n")
        lowest = validate.threshold(score_threshold)
        given = self._stored(ids) if ids is not None else reranking.loose(documents)
        [matrix] = self._encode_queries([query])
        ranked = sorted(reranking.score(self.store, self.encoder, matrix, given), key=lambda hit: -hit.score)
        return [hit for hit in ranked if hit.normalized_score >= lowest][:top_n]

    def matrices(self, ids: Iterable[str]) -> dict[str, TokenMatrix]:
        """Stored token matrices by id, all windows of a document in one: float32, (tokens, dim)."""
        with self.store.read() as view:
            return matrices.of_documents(view, validate.identifiers(ids))

    def passages(self, found: Sequence[Hit]) -> list[TokenMatrix]:
        """Stored token matrix of each hit's passage, in their order: float32, (tokens, dim).

        Without rows where a hit has no passage, or where its document was replaced or deleted since.
        """
        with self.store.read() as view:
            return matrices.of_passages(view, found)

    def explain(self, query: str, hit: Hit | str) -> Evidence:
        """Which characters of a document each query token matched, in the document's best window.

        Args:
            query: the question.
            hit: a hit of this collection, or a stored document's id.
        Raises:
            InvalidInputError: the document is not stored, or not with that text any more.
        """
        key = hit if isinstance(hit, str) else hit.id
        found = [] if key is None else self._stored([key])
        document = found[0] if found else Document(hit.text)  # type: ignore[union-attr]
        if isinstance(hit, Hit) and hit.text != document.text:
            raise InvalidInputError(f"document {key!r} has another text by now: search again, then explain.")
        [matrix] = self._encode_queries([query])
        [scored] = reranking.score(self.store, self.encoder, matrix, [document])
        if scored.passage is None:
            return Evidence(query, document.text, None, (), 0.0)
        return evidence.explain(self.encoder, query, matrix, document, scored.passage)

    def __len__(self) -> int:
        return len(self.store)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self.store

    # Care

    def optimize(self, *, show_progress: bool | None = None) -> None:
        """Build the centroids that let search skip most windows; add keeps them up to date."""
        from retrievers.search import optimize

        optimize(self.store, show_progress=show_progress)

    def compact(self) -> None:
        """Give back the space of deleted and replaced documents."""
        self.store.compact()

    def verify(self) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound collection."""
        return self.store.verify()

    def info(self) -> Info:
        """Model, counts, sizes and share of dead rows."""
        return self.store.info()

    def close(self) -> None:
        """Release the files; the collection cannot be used after that."""
        self.store.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = "in memory" if self.path is None else repr(str(self.path))
        try:
            size = f"{len(self)} documents"
        except StoreClosedError:
            size = "closed"
        return f"Collection({place}, {size}, {self.store.fingerprint['model']!r})"

    # Help

    def _encode_queries(self, queries: Sequence[str]) -> list[TokenMatrix]:
        if isinstance(queries, str):
            raise InvalidTypeError(f"queries is {validate.shown(queries)}: give a list, even of one.")
        texts = [validate.text(query, "a query") for query in queries]
        asked = [text for text in texts if text.strip()]
        encoded = iter(self.encoder.encode_queries(asked)) if asked else iter(())
        empty = np.zeros((0, self.store.dim), np.float32)
        return [indexing.checked(next(encoded), self.store.dim) if text.strip() else empty for text in texts]

    def _stored(self, ids: Iterable[str]) -> list[Document]:
        keys = validate.identifiers(ids)
        found = {document.id: document for document in self.store.get(keys)}
        absent = [key for key in keys if key not in found]
        if absent:
            raise InvalidInputError(
                f"{validate.shown(absent)} is not in this collection of {len(self)} documents."
            )
        return [found[key] for key in keys]


def _assign(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: NDArray[np.float32]
) -> NDArray[np.uint16]:
    """The nearest centroid of each new row, by the native kernel, which loads with the first row."""
    from retrievers.search.centroids import assign

    return assign(rows, scales, centroids)


def _predicate_or_filter(condition: Filter | None) -> Callable[[Document], bool] | filters.Filter | None:
    if callable(condition) and not isinstance(condition, filters.Filter):
        return condition
    return filters.parse(condition)
