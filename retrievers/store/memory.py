"""A collection in memory: one connection, readers together, a writer alone."""

from __future__ import annotations

import threading

from retrievers.errors import StoreClosedError
from retrievers.store import _io, forks, migrations
from retrievers.store.connection import Connection, open_memory, translated
from retrievers.store.lock import Hold, ReadersWriter, WriterLock
from retrievers.store.transaction import Transaction


class MemoryCatalog:
    """A catalogue in memory.

    Args:
        timeout: seconds that a writer waits for readers, and a reader for a writer.
    """

    def __init__(self, timeout: float) -> None:
        self.place = "a collection in memory"
        self.timeout = timeout
        self.lock = WriterLock(None)
        self.access = ReadersWriter()
        self.connection = Connection(open_memory(), self.place)
        self.closed = False
        self.collection: str | None = None
        forks.watch(self)

    def reading(self) -> Transaction:
        """A transaction that sees one commit."""
        return MemoryTransaction(self, self.access.reading(self.timeout))

    def writing(self) -> Transaction:
        """A transaction that is committed at its end; whoever writes holds the writer's lock."""
        return MemoryTransaction(self, self.access.writing(self.timeout), writes=True)

    def close(self) -> None:
        """Let go of everything, once readers are done."""
        if not self.closed:
            self.closed = True
            alone = self.access.writing(self.timeout)
            self.lock.hold(self.timeout).during(alone.during, self.connection.close)

    def exists(self) -> bool:
        """It does, empty at first."""
        return True

    def make_directory(self) -> None:
        """Memory needs none."""

    def prepare(self) -> None:
        """Memory needs nothing else."""

    def check(self) -> None:
        """Nobody can take it away."""

    def shrink(self) -> None:
        """Memory has no file to shorten."""

    def before_fork(self) -> None:
        """Let no other thread be inside SQLite when the child gets its copy."""
        self.connection.lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self.connection.lock.release()

    def after_fork_in_child(self) -> None:
        """Keep the data, drop the locks of threads that stayed behind and what one of them had half done."""
        self.connection.lock = threading.RLock()
        self.access = ReadersWriter()
        self.lock.reset()
        if not self.closed:
            self.connection.end()


class MemoryTransaction(Transaction):
    """What keeps others out of the one connection."""

    def __init__(self, catalog: MemoryCatalog, access: Hold, writes: bool = False) -> None:
        self.catalog, self.access, self.writes = catalog, access, writes

    def take(self) -> None:
        if self.connection is not None:
            return
        if self.catalog.closed:
            raise StoreClosedError(f"{self.catalog.place} was closed.")
        self.access.take()
        self.connection = self.catalog.connection
        if self.writes:
            with translated(self.connection.place):
                _io.begin(self.connection.raw)
        migrations.recognise(self.connection, self.catalog, writes=self.writes)

    def let_go(self) -> None:
        connection = self.connection
        if connection is not None:
            if self.writes:
                connection.end()
            self.connection = None
        self.access.let_go()
