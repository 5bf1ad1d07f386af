"""The catalogue on disk: where its connections come from, each of which sees snapshots."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from retrievers.errors import CorruptStoreError, StoreClosedError, StoreError, StoreLockedError
from retrievers.store import _io, forks, migrations, schema
from retrievers.store.connection import Connection, open_file, path_of, translated
from retrievers.store.directory import CATALOG, Directory
from retrievers.store.lock import WriterLock
from retrievers.store.transaction import Transaction

UNFINISHED = (
    "catalog.sqlite.new"  # a catalogue that is being made, and the start of what SQLite puts beside it
)
REFUSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)  # by the system: less may be allowed
LONGEST = 1e6  # seconds to wait: SQLite counts milliseconds in 32 bits
MOST_IDLE = 2  # connections that are kept for the next transaction; each holds two descriptors


class DiskCatalog:
    """A catalogue in a file; each transaction has a connection of its own.

    Args:
        directory: where the file is.
        timeout: seconds to wait for SQLite's own locks.
    """

    def __init__(self, directory: Directory, timeout: float) -> None:
        self.place = str(directory.path)
        self.directory = directory
        self.timeout = min(timeout, LONGEST)
        self.lock = WriterLock(directory)
        self.collection: str | None = None
        self._idle: list[Connection] = []
        self._closed = False
        forks.watch(self)

    def exists(self) -> bool:
        """Whether there is a catalogue; an empty file is one whose creation was broken off.

        Raises:
            CorruptStoreError: the path is a file.
        """
        with translated(self.place):
            if not self.directory.attach():
                return False
            found = self.directory.status(CATALOG)
            return found is not None and found.st_size > 0

    def make_directory(self) -> None:
        """Make the directory, if need be."""
        with translated(self.place):
            self.directory.make()

    def prepare(self) -> None:
        """Make an empty catalogue, under the writer's lock: a file with another name at first, so that none is half
        there. One that was broken off is made anew."""
        if self.exists():
            return
        with translated(self.place):
            for name in self.directory.names():
                if name.startswith(UNFINISHED):
                    self.directory.remove(name)
            # SQLite gives its own new files 0644 at most, and its log the permissions of the file it finds.
            with self.directory.create(UNFINISHED) as descriptor:
                connection = open_file(self.directory.by_path(UNFINISHED), mode="rw", timeout=self.timeout)
                try:
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                    if not schema.wal(connection):
                        raise StoreError(
                            f"{self.place} is on a file system without shared memory (a network drive?), which "
                            "SQLite needs for its log: put the collection on a local disk."
                        )
                finally:
                    connection.close()
                _io.fsync(int(descriptor))
            self.directory.rename(UNFINISHED, CATALOG)
            self.directory.sync()

    def check(self) -> None:
        """Look whether the catalogue is still the one that was opened.

        Raises:
            StoreReplacedError: it was removed, or another took its place.
        """
        with translated(self.place):
            self.directory.check()

    def take(self) -> Connection:
        """A connection without a transaction."""
        self.check()
        if self._closed:
            raise StoreClosedError(f"{self.place} was closed: open it again.")
        with suppress(IndexError):  # no lock that an interrupt could leave locked: a list's pop is one step
            return self._idle.pop()
        return self._connect()

    def give(self, connection: Connection) -> None:
        """Keep a connection for the next transaction, or close it."""
        connection.end()
        if connection.unchanged is not None or len(self._idle) >= MOST_IDLE:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:  # meanwhile, in another thread
            self._close_idle()

    def reading(self) -> Transaction:
        """A transaction that sees one commit."""
        return DiskTransaction(self)

    def writing(self) -> Transaction:
        """A transaction that is committed at its end; whoever writes holds the writer's lock."""
        return DiskTransaction(self, writes=True)

    def _connect(self) -> Connection:
        """Open the file, for writing if the system lets us.

        Without a log of SQLite's, a directory that cannot be written to can still be read as a file that nobody
        changes, for one transaction that looks whether that was so; with a log, its index must be there, or could
        be made.
        """
        first: sqlite3.Error | None = None
        with translated(self.place):
            self._check_files()
            for mode, immutable in (("rw", False), ("ro", False), ("ro", True)):
                log = self.directory.status(CATALOG + "-wal")
                if immutable and log is not None and log.st_size:
                    break
                before = self._fingerprint()
                try:
                    raw = open_file(
                        self.directory.by_path(CATALOG), mode=mode, timeout=self.timeout, immutable=immutable
                    )
                except sqlite3.OperationalError as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in REFUSED:
                        raise
                    first = first or error
                    continue
                try:
                    self.directory.recognise(path_of(raw))
                    self._check_size(raw)
                    [journal] = raw.execute("PRAGMA journal_mode").fetchone()
                    if mode == "rw" and journal != "wal":
                        schema.wal(raw)  # a tool that restored a backup left another mode
                except BaseException:
                    raw.close()
                    raise
                return Connection(raw, self.place, self._unchanged_since(before) if immutable else None)
        self.check()
        raise StoreError(
            f"{Path(self.place) / CATALOG} cannot be opened: {first}. Is the directory readable? A log that a writer "
            "left there must be taken in by somebody who may write there: let them open the collection once."
        ) from first

    def _check_files(self) -> None:
        """Refuse what SQLite would follow elsewhere.

        Names are looked at and never opened: when a process closes any descriptor of a file, the system drops all of
        its locks on it, those of SQLite's connections too. Another process would then take itself for the last one
        that uses the log, and remove it together with what is committed into it from then on.
        """
        if self.directory.status(CATALOG) is None:
            raise CorruptStoreError(
                f"{Path(self.place) / CATALOG} is gone: restore the directory from a backup."
            )
        for beside in ("-wal", "-shm"):
            self.directory.status(CATALOG + beside)
        # A journal can name any other file as its own, for SQLite to remove. Ours has a log in its place.
        if self.directory.status(CATALOG + "-journal") is not None:
            raise CorruptStoreError(
                f"{CATALOG} has a rollback journal, which a collection never has: restore the directory from a backup."
            )

    def _check_size(self, raw: sqlite3.Connection) -> None:
        """Refuse a file that was cut off and that SQLite takes for whole; with a log it may be shorter than it says."""
        found, log = self.directory.status(CATALOG), self.directory.status(CATALOG + "-wal")
        if found is not None and (log is None or not log.st_size):
            [pages] = raw.execute("PRAGMA page_count").fetchone()
            [size] = raw.execute("PRAGMA page_size").fetchone()
            needed = pages * size
            if found.st_size < needed:
                raise CorruptStoreError(
                    f"{CATALOG} has {found.st_size} bytes where its first page names {needed}: it was cut off. Restore "
                    "the directory from a backup."
                )

    def _fingerprint(self) -> tuple[object, ...]:
        """What changes whenever somebody writes."""
        found, log = self.directory.status(CATALOG), self.directory.status(CATALOG + "-wal")
        file = None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
        return file, bool(log is not None and log.st_size)

    def _unchanged_since(self, before: tuple[object, ...]) -> Callable[[], None]:
        def unchanged() -> None:
            with translated(self.place):
                if self._fingerprint() != before:
                    raise StoreError(
                        f"{self.place} was changed while it was read by a user who may not write there: call again."
                    )

        return unchanged

    def shrink(self) -> None:
        """Give free pages of the file back to the disk, as far as readers allow without waiting for them."""
        connection = self.take()
        try:
            connection.run("PRAGMA busy_timeout = 0")
            with suppress(StoreLockedError):  # the next compaction tries again
                connection.rows("PRAGMA incremental_vacuum")
                connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.run(f"PRAGMA busy_timeout = {int(self.timeout * 1000):d}")
        finally:
            self.give(connection)

    def close(self) -> None:
        """Let go of everything; a transaction in another thread ends undisturbed."""
        self._closed = True
        self._close_idle()
        self.directory.close()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def before_fork(self) -> None:
        """Nothing to hold still: each process has connections of its own."""

    def after_fork_in_parent(self) -> None:
        """Nothing was held still."""

    def after_fork_in_child(self) -> None:
        """Start afresh: SQLite's connections and the threads that held our locks stayed in the parent."""
        for connection in self._idle:
            connection.abandon()
        self._idle = []
        self.lock.reset()


class DiskTransaction(Transaction):
    """A transaction with a connection of its own."""

    def __init__(self, catalog: DiskCatalog, writes: bool = False) -> None:
        self.catalog, self.writes = catalog, writes
        self.process = os.getpid()

    def take(self) -> None:
        if self.connection is not None:
            return
        self.connection = connection = self.catalog.take()
        if self.writes:
            # A new document touches pages all over the index of ids: keep those of a million in memory.
            connection.run("PRAGMA cache_size = -65536")
            with translated(connection.place):
                _io.begin(connection.raw)
            self.catalog.check()
        else:
            connection.run("BEGIN")
        migrations.recognise(connection, self.catalog, writes=self.writes)

    def let_go(self) -> None:
        connection = self.connection
        if connection is None:
            return
        if self.process == os.getpid():
            connection.end()  # before it is forgotten: what is let go twice does no harm
            self.connection = None
            self.catalog.give(connection)
        else:
            # The block crossed a fork: the child must not touch the parent's connection.
            connection.abandon()
            self.connection = None


def exists(directory: Path) -> bool:
    """Whether a directory holds a catalogue; an empty file is one whose creation was broken off.

    Raises:
        StoreError: the system does not let us look.
    """
    path = Path(directory) / CATALOG
    with translated(str(directory)):
        return path.is_file() and path.stat().st_size > 0
