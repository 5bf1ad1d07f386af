"""The store: documents and token rows that survive a power cut, read by many and written by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError, InvalidInputError, StoreError, StoreLockedError
from retrievers.filters import Filter
from retrievers.store import catalog, changes, compaction, documents, schema, verification, writer
from retrievers.store.changes import Entry
from retrievers.store.codes import Assign, nearest
from retrievers.store.connection import Connection, translated
from retrievers.store.schema import State, read_state, write_state
from retrievers.store.snapshot import Snapshot, load
from retrievers.store.tokens import (
    DiskFiles,
    Files,
    MemoryFiles,
    MissingFileError,
    checksum,
    code_names,
    token_names,
)
from retrievers.store.verification import Damage, Info
from retrievers.store.view import View
from retrievers.types import Document

ATTEMPTS = 100  # compactions that may overtake one opening of the files


class Store:
    """One collection's documents and token rows.

    Threads may share a store; forked children may go on using it, each for itself.

    Args:
        path: a directory, created if need be; None keeps everything in memory.
        fingerprint: of the encoder, with "model" and "dim"; None opens an existing directory only.
        timeout: seconds to wait for another writer.
        indexed: metadata keys whose values are indexed, from now on and for good.
        assign: finds the centroids of new rows once the store has codes; codes.nearest by default.
    Raises:
        ModelMismatchError: another encoder wrote the directory.
        FormatVersionError: a newer version wrote it.
        CorruptStoreError: the path holds something else, or damaged files.
        StoreError: there is no collection, or the system refuses.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        fingerprint: Mapping[str, Any] | None,
        timeout: float = 10.0,
        indexed: Sequence[str] = (),
        assign: Assign = nearest,
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._assign = assign
        self._snapshot: Snapshot | None = None
        self._files: Files
        self._catalog: catalog.DiskCatalog | catalog.MemoryCatalog
        if path is None:
            self._files, self._catalog = MemoryFiles(), catalog.MemoryCatalog(timeout)
        else:
            directory = Path(path).absolute()
            self._files, self._catalog = DiskFiles(directory), catalog.DiskCatalog(directory, timeout)
        try:
            self.fingerprint: dict[str, Any] = self._open(fingerprint)
            self.dim = int(self.fingerprint["dim"])
            self._index(indexed)
        except BaseException:
            self._catalog.close()
            raise

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a directory holds a collection."""
        return catalog.exists(Path(path))

    def _open(self, fingerprint: Mapping[str, Any] | None) -> dict[str, Any]:
        """Recognise the collection, or create one. Returns the fingerprint that is stored."""
        place = self._catalog.place
        stored = self._recognised()
        if stored is None and fingerprint is None:
            raise StoreError(f"there is no collection at {place}: build one with `retrievers index`.")
        if stored is None:
            assert fingerprint is not None
            schema.check_dim(fingerprint)
            self._catalog.make_directory()
            with self.writing():
                stored = self._recognised()  # another process may have been faster
                if stored is None:
                    self._catalog.prepare()
                    with self._catalog.writing() as connection:
                        schema.create(connection, fingerprint)
                        stored = schema.check(connection, place)
        if fingerprint is not None:
            schema.check_fingerprint(stored, fingerprint, place)
        return stored

    def _recognised(self) -> dict[str, Any] | None:
        """The stored fingerprint; None where there is no collection yet, or one whose creation broke off."""
        place = self._catalog.place
        orphans = self._files.names()  # looked for first: whoever creates a collection writes them last
        if self._catalog.exists():
            with self._catalog.reading() as connection:
                if not schema.is_new(connection):
                    return schema.check(connection, place)
        # Token files without a catalogue are somebody's documents, not a place for a new collection.
        if orphans:
            raise CorruptStoreError(
                f"{place} has token files but no {catalog.NAME}, or an empty one: restore it from a backup, or "
                "build the collection anew in another directory."
            )
        return None

    def _index(self, names: Sequence[str]) -> None:
        if not names:
            return
        with self._catalog.reading() as connection:
            missing = set(names) - documents.indexed_paths(connection)
        if missing:
            with self.writing(), self._catalog.writing() as connection:
                writer.add_indexes(connection, sorted(missing))

    # Read

    @contextmanager
    def read(self) -> Iterator[View]:
        """One commit, the newest, for as long as the block runs.

        Raises:
            CorruptStoreError: catalogue and files contradict each other.
        """
        lost: State | None = None
        for _ in range(ATTEMPTS):
            with self._catalog.reading() as connection:
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
                view = View(connection, snapshot, self.dim)
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
                snapshot = load(connection, self._files, self.dim, state, snapshot)
            self._snapshot = snapshot
        return snapshot

    def content_hashes(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Content hashes of the documents that are there, by id."""
        with self._catalog.reading() as connection:
            return documents.content_hashes(connection, ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents that are there, in the order asked."""
        with self._catalog.reading() as connection:
            keys = documents.keys_of(connection, ids)
            found = documents.read(connection, sorted(keys.values()))
        return [found[keys[key]] for key in ids if key in keys]

    def __len__(self) -> int:
        with self._catalog.reading() as connection:
            return read_state(connection).documents

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self.content_hashes([key]))

    # Write

    def writing(self) -> AbstractContextManager[None]:
        """Keep other writers out for several changes in a row; each is still committed by itself.

        Raises:
            StoreLockedError: another writer did not finish within the timeout.
        """
        return self._catalog.lock.held(self.timeout)

    def append(self, entries: Sequence[Entry], metadata_only: Sequence[Document] = ()) -> None:
        """Add or replace documents, and give others new metadata, all in one commit.

        Args:
            entries: a document whose id is there is replaced, and keeps its place in the order.
            metadata_only: a document whose id is there gets these metadata; unknown ids are left out.
        Raises:
            InvalidInputError: an id stands twice, or windows and matrices do not fit; nothing was changed.
            StoreLockedError, StoreError: nothing was changed.
        """
        ids = [entry.document.id for entry in entries] + [document.id for document in metadata_only]
        if len(set(ids)) != len(ids):
            raise InvalidInputError("an id stands twice in one append: give each document once.")
        batch = changes.prepare(entries, self.dim)
        with self.writing():
            state = self._newest()
            with translated(self._catalog.place):
                codes_checksum = None
                if entries:
                    codes_checksum = changes.write_rows(self._files, state, self.dim, batch, self._assign)
            with self._committing(state) as connection:
                after = changes.record(connection, state, batch, codes_checksum) if entries else state
                changed = writer.replace_metadata(connection, metadata_only)
                if entries or changed:
                    write_state(connection, replace(after, version=state.version + 1))

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; unknown ids are left out. Returns how many were removed."""
        with self.writing():
            state = self._newest()
            with self._committing(state) as connection:
                return _delete(connection, state, list(documents.keys_of(connection, ids).values()))

    def delete_matching(self, filter: Filter | None) -> int:
        """Remove the documents that a filter keeps; None means all. Returns how many were removed."""
        with self.writing():
            state = self._newest()
            with self._committing(state) as connection:
                return _delete(connection, state, documents.matching_keys(connection, filter))

    def write_codes(self, centroids: NDArray[np.float32], codes: NDArray[np.uint16]) -> None:
        """Keep a centroid for each row; append then finds those of new rows.

        Args:
            centroids: float32, (K, dim), K from 1 to 65 536.
            codes: uint16, (tokens,): one for each row of the newest commit, dead ones included.
        Raises:
            InvalidInputError: shapes do not fit, or a code names no centroid; nothing was changed.
        """
        count = len(centroids)
        if centroids.shape != (count, self.dim) or not 1 <= count <= 1 << 16:
            raise InvalidInputError(
                f"centroids has shape {centroids.shape}: (1 to 65536, {self.dim}) is needed."
            )
        centroids = np.ascontiguousarray(centroids, np.float32)
        with self.writing():
            state = self._newest()
            # Whoever made the codes holds writing() since their view; otherwise rows may have come since.
            changes.check_codes(codes, state.tokens, count)
            self._sweep(state)
            with translated(self._catalog.place):
                names = code_names(state.codes + 1)
                self._files.write(names[0], 0, codes)
                self._files.write(names[1], 0, centroids)
                self._files.sync_names()
            after = replace(
                state,
                version=state.version + 1,
                codes=state.codes + 1,
                centroids=count,
                centroids_checksum=checksum(centroids),
            )
            with self._committing(state) as connection:
                changes.record_codes(connection, np.ascontiguousarray(codes))
                write_state(connection, after)
            self._sweep(after)

    def compact(self) -> None:
        """Give back the space of dead rows, in files of a new generation; readers go on with the old ones.

        Raises:
            CorruptStoreError: a live row is damaged; the message names the document. Nothing was changed.
        """
        with self.writing():
            state = self._newest()
            self._sweep(state)
            with self._catalog.reading() as connection:
                if not connection.rows("SELECT 1 FROM dead LIMIT 1"):
                    return
                with translated(self._catalog.place):
                    written = compaction.write(connection, self._files, self.dim, state)
            with self._committing(state) as connection:
                compaction.switch(connection, written)
            self._sweep(written.state)
            self._catalog.shrink()

    # Care

    def verify(self) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound store."""
        with self._catalog.reading() as connection, translated(self._catalog.place):
            return verification.verify(connection, self._files, self.dim)

    def info(self) -> Info:
        """Model, counts, sizes and share of dead rows."""
        with self._catalog.reading() as connection, translated(self._catalog.place):
            return verification.info(connection, self._files, self.fingerprint)

    def close(self) -> None:
        """Release files and connections; what is inside read() in another thread ends undisturbed."""
        self._snapshot = None
        self._catalog.close()

    # Help

    def _newest(self) -> State:
        """The last commit; under the writer's lock, nothing changes it."""
        with self._catalog.reading() as connection:
            return read_state(connection)

    @contextmanager
    def _committing(self, before: State) -> Iterator[Connection]:
        """A transaction that follows a known commit.

        Raises:
            StoreLockedError: there was another commit since, so that the lock does not hold here.
        """
        with self._catalog.writing() as connection:
            if read_state(connection) != before:
                raise StoreLockedError(
                    f"{self._catalog.place} was changed under a writer's lock: its file system does not keep "
                    "locks. Put the collection on a local disk."
                )
            yield connection

    def _sweep(self, state: State) -> None:
        """Take away files that no commit names: of older generations, or of a write that was broken off.

        Readers that have them open keep them. A file that cannot be removed is harmless, and the next
        sweep meets it again.
        """
        kept = {*token_names(state.generation), *code_names(state.codes)}
        for name in self._files.names():
            if name not in kept:
                with suppress(OSError):
                    self._files.remove(name)


def _delete(connection: Connection, state: State, keys: Sequence[int]) -> int:
    if keys:
        after = changes.delete(connection, state, keys)
        write_state(connection, replace(after, version=state.version + 1))
    return len(keys)
