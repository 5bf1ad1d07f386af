"""From one version of the format to the next: a chain of steps, which the first write takes in its transaction.

Opening and reading change nothing: a catalogue of an older format is read as it is. A step is one function here, a
constant in tables.py, a section of FORMAT.md, a golden collection and a kill test.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from retrievers.errors import CorruptStoreError, StoreReplacedError
from retrievers.store import documents, format_1, schema, tables
from retrievers.store.connection import Connection
from retrievers.store.writer import Writer


class Catalog(Protocol):
    """What recognise asks of a catalogue, and tells it."""

    place: str
    collection: str | None


def _to_2(connection: Connection) -> None:
    """An id that tells the collection from every other, and a table for what adapters keep beside a document.

    Nodes of LlamaIndex move there from the metadata.
    """
    connection.run("INSERT INTO settings VALUES (?, ?)", [schema.COLLECTION, schema.new_collection()])
    for statement in tables.EXTRAS:
        connection.run(statement)
    writer = Writer(connection)
    rows = connection.rows(
        "SELECT key FROM fields WHERE path = (SELECT path FROM paths WHERE name = ?)", [format_1.SOURCE]
    )
    for (key,) in rows:
        # A damaged document stays as it is: the write that migrates may be the one that deletes it.
        with suppress(CorruptStoreError):
            writer.replace_beside(key, documents.read(connection, [key])[key])
    writer.finish()


def _to_3(connection: Connection) -> None:
    """Nothing yet: a catalogue of this format may have an index of words, which an older program would damage."""


def _to_4(connection: Connection) -> None:
    """Tables for the tokens that documents have; none are counted until somebody asks for it."""
    for statement in tables.TOKEN_COUNTS:
        connection.run(statement)


def _to_5(connection: Connection) -> None:
    """Nothing: a catalogue of this format may have rows of 4 bits, which an older program would misread."""


STEPS: dict[int, Callable[[Connection], None]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5}
"""What leads from a version to the next one."""


def recognise(connection: Connection, catalog: Catalog, *, writes: bool) -> None:
    """Look at the format and the collection that a transaction has met; one that writes brings the format up to date.

    Another process may have migrated the catalogue, or put another in its place, since the last transaction.

    Raises:
        FormatVersionError: the format is newer than this program.
        StoreReplacedError: the catalogue is of another collection than the one that was opened.
    """
    [[version]] = connection.rows("PRAGMA user_version")
    if version == 0 and schema.is_new(connection):
        return
    connection.format = schema.check_version(connection, catalog.place)
    found = schema.collection_of(connection)
    if catalog.collection not in (None, found):
        raise StoreReplacedError(
            f"{catalog.place} holds another collection than the one that was opened; nothing was changed. Open it "
            "again."
        )
    catalog.collection = found  # a step that gives an id is not committed yet: the next transaction meets it
    if writes and connection.format < schema.FORMAT_VERSION:
        migrate(connection)


def migrate(connection: Connection) -> None:
    """Take all steps, inside a transaction that the caller commits."""
    while connection.format < schema.FORMAT_VERSION:
        STEPS[connection.format](connection)
        connection.format += 1
    connection.run(f"PRAGMA user_version = {schema.FORMAT_VERSION:d}")
