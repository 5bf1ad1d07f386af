"""One SQLite connection: statements from any thread, and SQLite's errors as ours."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from retrievers.errors import CorruptStoreError, StoreClosedError, StoreError, StoreLockedError
from retrievers.filters.fields import elements
from retrievers.store import _io

LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
CORRUPT = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_FORMAT,
)


class Connection:
    """A connection whose statements run one at a time and return all their rows at once.

    Args:
        connection: opened with isolation_level=None and check_same_thread=False.
        place: what error messages call the collection.
        unchanged: called after each query; an error of it takes the place of the answer.

    Attributes:
        format: version of the catalogue's format in the transaction that is open.
    """

    def __init__(
        self, connection: sqlite3.Connection, place: str, unchanged: Callable[[], None] | None = None
    ) -> None:
        self.raw = connection
        self.place = place
        self.format = 0
        self.unchanged = unchanged
        # Two threads must not step through one cached statement: the second would rebind its values.
        self.lock = threading.RLock()
        connection.create_function("has_text", 2, _has_text, deterministic=True)
        connection.create_function("list_elements", 1, elements, deterministic=True)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a query."""
        with self.lock, translated(self.place):
            found = self.raw.execute(sql, values).fetchall()
        if self.unchanged is not None:
            self.unchanged()
        return found

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Execute a statement."""
        with self.lock, translated(self.place):
            self.raw.execute(sql, values)

    def run_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once for each sequence of values."""
        with self.lock, translated(self.place):
            self.raw.executemany(sql, values)

    def commit(self) -> None:
        """Make the open transaction durable."""
        with self.lock, translated(self.place):
            _io.commit(self.raw)

    def end(self) -> None:
        """Give up a transaction, if one is open."""
        if self.raw.in_transaction:
            with self.lock, translated(self.place):
                self.raw.execute("ROLLBACK")

    def close(self) -> None:
        """Close; SQLite empties its log with the last connection of all processes."""
        with self.lock, translated(self.place):
            self.raw.close()

    def abandon(self) -> None:
        """Never touch the connection again, not even to close it, as SQLite demands after a fork."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.raw))


def open_file(path: Path, *, mode: str, timeout: float, immutable: bool = False) -> sqlite3.Connection:
    """Open a catalogue: mode "rw" or "ro"; immutable where SQLite may not write its log's index."""
    options = f"?mode={mode}{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(
        path.as_uri() + options, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    try:
        # FULL: a commit returns when it has reached the disk. The other two keep a hostile file from calling
        # functions, and make SQLite look before it follows a pointer.
        for setting in ("synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # it opens its files only now
    except BaseException:
        connection.close()
        raise
    return connection


def path_of(connection: sqlite3.Connection) -> str:
    """Where SQLite found the file that it opened, links resolved."""
    connection.text_factory = bytes  # a path need not be UTF-8
    try:
        return os.fsdecode(connection.execute("PRAGMA database_list").fetchone()[2])
    finally:
        connection.text_factory = str


def open_memory() -> sqlite3.Connection:
    """A catalogue in memory."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


class translated:
    """Turn SQLite's and the system's errors into this library's: a context manager.

    A class in place of a generator, because each statement of SQL goes through it.

    Raises:
        StoreClosedError: the connection was closed.
        StoreLockedError: somebody else writes.
        CorruptStoreError: the catalogue is damaged or not ours.
        StoreError: the system refused: disk full, read-only directory, no permission.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, StoreError):
            ours = _translation(error, self._place)
            if ours is not None:
                raise ours from error


def _translation(error: BaseException, place: str) -> StoreError | None:
    """Our error for one of SQLite's or the system's; None for any other."""
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreClosedError(f"{place} was closed: open it again ({error}).")
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in LOCKED:
            return StoreLockedError(f"{place} is locked by another program ({error}).")
        if code & 0xFF in CORRUPT:
            return CorruptStoreError(
                f"the catalogue of {place} is damaged or not ours ({error}). Run `retrievers verify`, or "
                "restore the directory from a backup."
            )
    if isinstance(error, (sqlite3.Error, OSError)):
        return StoreError(f"{place} cannot be read or written: {error}. Nothing was changed.")
    if isinstance(error, (MemoryError, OverflowError, UnicodeError)):
        return CorruptStoreError(f"the catalogue of {place} is damaged ({error!r}).")
    return None


def _has_text(value: bytes, wanted: str) -> bool:
    """Whether the bytes of a text (fields.encode) have a case-folded part; the SQL function of that name."""
    return wanted in bytes(value)[1:].decode(errors="replace").casefold()
