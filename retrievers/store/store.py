"""The store: documents and token rows that survive a power cut, read by many and written by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import InvalidInputError, StoreLockedError
from retrievers.filters import Filter
from retrievers.store import catalog, changes, documents, inventories, opening, writes
from retrievers.store import sources as cut
from retrievers.store.care import Care
from retrievers.store.changes import Entry, Unchanged
from retrievers.store.codes import Assign, nearest
from retrievers.store.connection import Connection, translated
from retrievers.store.directory import Directory
from retrievers.store.memory import MemoryCatalog
from retrievers.store.schema import State, read_state
from retrievers.store.snapshot import Snapshot, load
from retrievers.store.tokens import DiskFiles, Files, MemoryFiles, MissingFileError
from retrievers.store.view import View
from retrievers.types import Document

ATTEMPTS = 100  # compactions that may overtake one opening of the files
NOTHING: Mapping[str, bytes] = MappingProxyType({})


class Store(Care):
    """One collection's documents and token rows.

    Threads may share a store; forked children may go on using it, each for itself.

    A store belongs to the directory that it opened: it goes on with it wherever it is moved, and never touches
    another one that takes its place.

    Args:
        path: a directory, created if need be; None keeps everything in memory.
        fingerprint: of the encoder, with "model" and "dim"; None opens an existing directory only.
        timeout: seconds to wait for another writer.
        indexed: metadata keys whose values are indexed, from now on and for good.
        counts_tokens: whether a collection that is created here counts the tokens of its documents.
        bits: of a number of the rows, 8 or 4; None takes what is there, and 8 for a collection that is created here.
        words: the tokenizer of an index of words, which is built if none is there, and the share of words in a search
            that does not say it, or None.
        assign: finds the centroids of new rows once the store has codes; codes.nearest by default.
    Raises:
        ModelMismatchError: another encoder wrote the directory.
        InvalidInputError: the index of words that is there has another tokenizer, or the rows other bits.
        FormatVersionError: a newer version wrote it.
        CorruptStoreError: the path holds something else, or damaged files.
        StoreError: there is no collection, or the system refuses.

    Attributes:
        pause: called with the name of a change before it takes the writer's lock; a test puts another writer there.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        fingerprint: Mapping[str, Any] | None,
        timeout: float = 10.0,
        indexed: Sequence[str] = (),
        counts_tokens: bool = False,
        bits: int | None = None,
        words: tuple[str, float | None] | None = None,
        assign: Assign = nearest,
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._assign = assign
        self.pause: Callable[[str], None] = _go_on
        self._snapshot: Snapshot | None = None
        self._files: Files
        self._catalog: opening.Catalog
        if path is None:
            self._files, self._catalog = MemoryFiles(), MemoryCatalog(timeout)
        else:
            directory = Directory(path)
            self._files, self._catalog = DiskFiles(directory), catalog.DiskCatalog(directory, timeout)
        try:
            self.fingerprint: dict[str, Any]
            self.fingerprint, self.form = opening.open_or_create(
                self._catalog, self._files, fingerprint, bits, counts_tokens
            )
            if missing := opening.missing_indexes(self._catalog, indexed):
                self._exclusively("index", writes.add_indexes, missing)
            if words is not None and opening.lacks_words(self._catalog, *words):
                self._exclusively("index words", inventories.open_words, *words)
        except BaseException:
            self._catalog.close()
            raise

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a directory holds a collection.

        Raises:
            StoreError: the system does not let us look.
        """
        return catalog.exists(path)

    # Read

    @contextmanager
    def read(self) -> Iterator[View]:
        """One commit, the newest, for as long as the block runs.

        Raises:
            CorruptStoreError: catalogue and files contradict each other.
        """
        lost: State | None = None
        for _ in range(ATTEMPTS):
            transaction = self._catalog.reading()
            with transaction as connection, transaction:
                state = read_state(connection)
                try:
                    snapshot = self._current(connection, state)
                except MissingFileError:
                    # A compaction took the files away after this transaction began: the next one sees its
                    # successor. If the same commit misses them twice, they are lost.
                    if state == lost:
                        raise
                    lost = state
                    continue
                view = View(connection, snapshot, self.form)
                try:
                    yield view
                finally:
                    view.close()
                return
        raise StoreLockedError(f"{self._catalog.place} was compacted {ATTEMPTS} times while it was opened.")

    def _current(self, connection: Connection, state: State) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is None or snapshot.state != state:
            with translated(self._catalog.place):
                snapshot = load(connection, self._files, self.form, state, snapshot)
            self._snapshot = snapshot
        return snapshot

    def content_hashes(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Content hashes of the documents that are there, by id."""
        return self._catalog.reading().during(documents.content_hashes, ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents that are there, in the order asked."""
        return self._catalog.reading().during(documents.get, ids)

    def get_sources(self, sources: Sequence[str]) -> list[Document]:
        """The documents that were cut from any of some sources, in order of insertion; one of none is its own."""
        return self._catalog.reading().during(cut.get, sources)

    def page(self, filter: Filter | None = None, *, limit: int, after: str | None = None) -> list[Document]:
        """Some of the documents that a filter keeps, in order of insertion.

        Args:
            filter: None keeps all.
            limit: the most documents to return.
            after: id of the last document of the page before; None begins.
        Raises:
            InvalidInputError: there is no document of that id.
        """
        return self._catalog.reading().during(documents.page, filter, limit, after)

    def __len__(self) -> int:
        return self._newest().documents

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self.content_hashes([key]))

    # Write

    def append(
        self,
        entries: Sequence[Entry],
        unchanged: Sequence[Unchanged] = (),
        *,
        replaces: Collection[str] = (),
        requires: Mapping[str, bytes] = NOTHING,
    ) -> list[str]:
        """Add or replace documents, and give others new metadata, all in one commit.

        What the caller read before is compared again under the writer's lock.

        Args:
            entries: a document whose id is there is replaced, and keeps its place in the order.
            unchanged: a document whose text is stored gets these metadata, source and attachment.
            replaces: sources that the documents of this call are all there is of: every other document that was cut
                from them is removed, but those that `requires` names. Then nothing is committed if anything is lost.
            requires: content hashes of documents that were stored before and must still be there, by id.
        Returns:
            Ids of `unchanged` and `requires` that were lost: another writer has replaced or removed them since.
            Nothing was written for them: encode them, and append them again.
        Raises:
            InvalidInputError: an id stands twice, or windows and matrices do not fit; nothing was changed.
            StoreLockedError, StoreError: nothing was changed.
        """
        ids = [str(one.document.id) for one in entries] + [str(one.document.id) for one in unchanged]
        if len(set(ids)) != len(ids):
            raise InvalidInputError("an id stands twice in one append: give each document once.")
        batch = changes.prepare(entries, self.form)
        return self._exclusively(
            "append", writes.append, batch, unchanged, frozenset(replaces), requires, self._assign
        )

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; unknown ids are left out. Returns how many were removed."""
        return self._exclusively("delete", writes.delete, ids)

    def delete_sources(self, sources: Sequence[str]) -> int:
        """Remove the documents that get_sources finds. Returns how many were removed."""
        return self._exclusively("delete_sources", writes.delete_sources, sources)

    def delete_matching(
        self, filter: Filter | Callable[[Document], bool] | None, ids: Sequence[str] | None = None
    ) -> int:
        """Remove the documents that a filter keeps, of all or of those that ids names; None means all.

        A function is called before the lock is taken. It is asked again about a document that another writer
        changes meanwhile: only what it has seen is removed. Returns how many were removed.
        """
        if filter is None or isinstance(filter, Filter):
            return self._exclusively("delete_matching", writes.delete_matching, filter, ids)
        removed = 0
        while ids is None or ids:
            seen = self._catalog.reading().during(documents.chosen, filter, ids)
            if not seen:
                break
            count, ids = self._exclusively("delete_matching", writes.delete_seen, seen)
            removed += count
        return removed

    def write_codes(self, centroids: NDArray[np.float32], codes: NDArray[np.uint16]) -> None:
        """Keep a centroid for each row; append then finds those of new rows.

        Args:
            centroids: float32, (K, dim), K from 1 to 65 536.
            codes: uint16, (tokens,): one for each row of the newest commit, dead ones included. Whoever made them
                holds writing() since their view.
        Raises:
            InvalidInputError: shapes do not fit, a centroid is not finite, or a code names none; nothing was changed.
        """
        changes.check_centroids(centroids, self.dim)
        self._exclusively(
            "write_codes", writes.write_codes, np.ascontiguousarray(centroids, np.float32), codes
        )

    def update(self, metadatas: Mapping[str, Mapping[str, Any]]) -> None:
        """Give stored documents other metadata, by id, all in one commit; their texts stay.

        Raises:
            InvalidInputError: an id is not stored; nothing was changed.
        """
        self._exclusively("update", writes.update, metadatas)

    def close(self) -> None:
        """Release files and connections; what is inside read() in another thread ends undisturbed."""
        self._snapshot = None
        self._catalog.close()

    def _newest(self) -> State:
        """The last commit; under the writer's lock, nothing changes it."""
        return self._catalog.reading().during(read_state)


def _go_on(name: str) -> None:
    """Nobody waits for a change to begin."""
