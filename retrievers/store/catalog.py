"""Where the catalogue's connections come from: a file with snapshots for readers, or memory with a lock."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrievers.errors import CorruptStoreError, StoreClosedError, StoreError, StoreLockedError
from retrievers.store import _io, schema
from retrievers.store.connection import Connection, open_file, open_memory, translated
from retrievers.store.lock import ReadersWriter, WriterLock

NAME = "catalog.sqlite"
LOCK_NAME = "write.lock"
REFUSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)  # by the system: less may be allowed
LONGEST = 1e6  # seconds to wait: SQLite counts milliseconds in 32 bits


class DiskCatalog:
    """A catalogue in a file; each transaction has a connection of its own.

    Args:
        directory: where the file is, as an absolute path.
        timeout: seconds to wait for SQLite's own locks.
    """

    def __init__(self, directory: Path, timeout: float) -> None:
        self.place = str(directory)
        self.directory = directory
        self.path = directory / NAME
        self.timeout = min(timeout, LONGEST)
        self.lock = WriterLock(directory / LOCK_NAME)
        self._idle: list[Connection] = []
        self._mutex = threading.Lock()
        self._process = os.getpid()
        self._closed = False
        _open.add(self)

    def exists(self) -> bool:
        """Whether there is a catalogue.

        Raises:
            CorruptStoreError: the path is a file.
        """
        if self.directory.exists() and not self.directory.is_dir():
            raise CorruptStoreError(f"{self.place} is a file: a collection is a directory.")
        return exists(self.directory)

    def make_directory(self) -> None:
        """Make the directory, if need be."""
        with translated(self.place):
            self.directory.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Make an empty catalogue, under the writer's lock; one that was broken off is taken up."""
        with translated(self.place):
            # SQLite gives its own new files 0644 at most, and its log the permissions of the file it finds.
            os.close(_io.open_file(self.path))
            connection = open_file(self.path, mode="rw", timeout=self.timeout)
            try:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                if not schema.wal(connection):
                    raise StoreError(
                        f"{self.place} is on a file system without shared memory (a network drive?), which "
                        "SQLite needs for its log: put the collection on a local disk."
                    )
            finally:
                connection.close()
            _io.fsync_directory(self.directory)

    def _take(self) -> Connection:
        with self._mutex:
            if self._closed:
                raise StoreClosedError(f"{self.place} was closed: open it again.")
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _connect(self) -> Connection:
        """Open the file, for writing if the system lets us.

        Without a log of SQLite's, a directory that cannot be written to can still be read as a file that
        nobody changes; with one, its index must be there, or could be made.
        """
        if not self.path.exists():
            raise CorruptStoreError(f"{self.path} is gone: restore the directory from a backup.")
        first: sqlite3.Error | None = None
        log = self.path.with_name(NAME + "-wal")
        with translated(self.place):
            for mode, immutable in (("rw", False), ("ro", False), ("ro", True)):
                if immutable and log.exists() and log.stat().st_size:
                    break
                try:
                    raw = open_file(self.path, mode=mode, timeout=self.timeout, immutable=immutable)
                except sqlite3.OperationalError as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in REFUSED:
                        raise
                    first = first or error
                else:
                    return Connection(raw, self.place)
        raise StoreError(f"{self.path} cannot be opened: {first}. Is the directory readable?") from first

    def _give(self, connection: Connection, process: int) -> None:
        if process != os.getpid():
            return  # the block crossed a fork: the child must not touch the parent's connection
        connection.end()
        with self._mutex:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        connection, process = self._take(), os.getpid()
        try:
            connection.run("BEGIN")
            yield connection
        finally:
            self._give(connection, process)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        connection, process = self._take(), os.getpid()
        try:
            # A new document touches pages all over the index of ids: keep those of a million in memory.
            connection.run("PRAGMA cache_size = -65536")
            with connection.transaction():
                yield connection
        finally:
            self._give(connection, process)

    def shrink(self) -> None:
        """Give free pages of the file back to the disk, as far as readers allow without waiting for them."""
        connection, process = self._take(), os.getpid()
        try:
            connection.run("PRAGMA busy_timeout = 0")
            with suppress(StoreLockedError):  # the next compaction tries again
                connection.rows("PRAGMA incremental_vacuum")
                connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.run(f"PRAGMA busy_timeout = {int(self.timeout * 1000):d}")
        finally:
            self._give(connection, process)

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def before_fork(self) -> None:
        """Nothing to hold still: each process has connections of its own."""

    def after_fork_in_parent(self) -> None:
        """Nothing was held still."""

    def after_fork_in_child(self) -> None:
        """Start afresh: SQLite's connections and the threads that held our locks stayed in the parent."""
        for connection in self._idle:
            connection.abandon()
        self._idle = []
        self._mutex = threading.Lock()
        self.lock.reset()


class MemoryCatalog:
    """A catalogue in memory: one connection, readers together, a writer alone.

    Args:
        timeout: seconds that a writer waits for readers, and a reader for a writer.
    """

    def __init__(self, timeout: float) -> None:
        self.place = "a collection in memory"
        self.timeout = timeout
        self.lock = WriterLock(None)
        self._access = ReadersWriter()
        self._connection = Connection(open_memory(), self.place)
        self._closed = False
        _open.add(self)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self._check_open()
        with self._access.reading(self.timeout):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._check_open()
        with self._access.writing(self.timeout), self._connection.transaction():
            yield self._connection

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with self._access.writing(self.timeout):
                self._connection.close()

    def exists(self) -> bool:
        """It does, empty at first."""
        return True

    def make_directory(self) -> None:
        """Memory needs none."""

    def prepare(self) -> None:
        """Memory needs nothing else."""

    def shrink(self) -> None:
        """Memory has no file to shorten."""

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"{self.place} was closed.")

    def before_fork(self) -> None:
        """Let no other thread be inside SQLite when the child gets its copy."""
        self._connection.lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._connection.lock.release()

    def after_fork_in_child(self) -> None:
        """Keep the data, drop the locks of threads that stayed behind and what one of them had half done."""
        self._connection.lock = threading.RLock()
        self._access = ReadersWriter()
        self.lock.reset()
        if not self._closed:
            self._connection.end()


_open: weakref.WeakSet[DiskCatalog | MemoryCatalog] = weakref.WeakSet()


def _each(method: str) -> None:
    for catalog in list(_open):
        getattr(catalog, method)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _each("before_fork"),
        after_in_parent=lambda: _each("after_fork_in_parent"),
        after_in_child=lambda: _each("after_fork_in_child"),
    )


def exists(directory: Path) -> bool:
    """Whether a directory holds a catalogue; an empty file is one whose creation was broken off."""
    path = directory / NAME
    return path.is_file() and path.stat().st_size > 0
