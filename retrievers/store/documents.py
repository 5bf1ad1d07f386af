"""Documents as the catalogue has them: by id, by key, by filter.

SQL that is put together here is put together from the texts of this file and of filters alone; values are bound.
"""

# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NoReturn

from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.filters import Filter, to_sql
from retrievers.store import format_1
from retrievers.store.connection import Connection
from retrievers.store.document_rows import checked, checked_metadata
from retrievers.types import Document

CHUNK = 1000  # documents that one query reads
MOST_COMPARISONS = 200  # of one SQL expression: SQLite bounds its depth and its number of values
MOST_LEVELS = 15  # of brackets in it: the stack of SQLite's parser holds 100 symbols
EXTRAS_SINCE = 2  # version of the format that has the table
_COLUMNS = "t.context, t.text, t.checksum, m.json, m.checksum"
_TABLES = "FROM documents d LEFT JOIN texts t ON t.key = d.key LEFT JOIN metadata m ON m.key = d.key"
_CHOSEN = "WHERE d.key IN (SELECT value FROM json_each(?))"
_EXTRAS = f"{_COLUMNS}, e.source, e.json, e.checksum {_TABLES} LEFT JOIN extras e ON e.key = d.key {_CHOSEN}"
EVERYTHING = {1: f"{_COLUMNS} {_TABLES} {_CHOSEN}", **dict.fromkeys((2, 3, 4, 5), _EXTRAS)}
"""The columns of whole documents and where they come from, for each version of the format."""
RESTORE = "Restore the directory from a backup, or index its texts anew."


def indexed_paths(connection: Connection) -> set[str]:
    """Paths whose values are indexed."""
    return {str(row[0]) for row in connection.rows("SELECT name FROM paths WHERE indexed = 1")}


def by_id(connection: Connection, id: str, columns: str = "d.key") -> tuple[Any, ...] | None:
    """Columns of the document with an id, None if there is none.

    The index of ids leads to a row, and the row says whose it is: SQLite answers from the index alone where it can.

    Raises:
        CorruptStoreError: the index leads to the row of another document.
    """
    sql = f"SELECT d.id, {columns} FROM documents i JOIN documents d ON d.key = i.key WHERE i.id = ?"
    for found, *values in connection.rows(sql, [id]):
        if found != id:
            raise CorruptStoreError(f"the index of ids leads from {id!r} to another document. {RESTORE}")
        return tuple(values)
    return None


def keys_of(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Keys of the documents that are there, by id."""
    rows = {id: by_id(connection, id) for id in ids}
    return {id: row[0] for id, row in rows.items() if row is not None}


def counts(connection: Connection, keys: Sequence[int]) -> dict[int, tuple[object, object]]:
    """How many windows and token rows each of some documents was counted to have, by key."""
    rows = connection.rows(
        "SELECT key, windows, tokens FROM documents WHERE key IN (SELECT value FROM json_each(?))",
        [json.dumps(keys)],
    )
    return {key: (windows, tokens) for key, windows, tokens in rows}


def content_hashes(connection: Connection, ids: Iterable[str]) -> dict[str, bytes]:
    """Content hashes of the documents that are there, by id."""
    rows = {id: by_id(connection, id, "d.hash") for id in ids}
    return {id: row[0] if isinstance(row[0], bytes) else b"" for id, row in rows.items() if row is not None}


def versions(connection: Connection, keys: Sequence[int]) -> dict[str, bytes]:
    """16 bytes for each document that change whenever anything of it does, by id."""
    found = {}
    for first in range(0, len(keys), CHUNK):
        for key, digest, *rest in connection.rows(
            f"SELECT d.id, d.hash, {EVERYTHING[connection.format]}",
            [json.dumps([int(key) for key in keys[first : first + CHUNK]])],
        ):
            whole = repr((digest, rest)).encode(errors="surrogatepass")
            found[key] = blake2b(whole, digest_size=16).digest()
    return found


def read(connection: Connection, keys: Sequence[int]) -> dict[int, Document]:
    """Documents by key, compared with their checksums.

    Raises:
        CorruptStoreError: a text or metadata is damaged, and the message names the document; or a key is not there,
            which another part of the catalogue had named.
    """
    found = stored(connection, keys)
    if connection.format < EXTRAS_SINCE:
        return {key: format_1.moved(document) for key, document in found.items()}
    return found


def stored(connection: Connection, keys: Sequence[int]) -> dict[int, Document]:
    """As read, with everything in the place where the format has it."""
    found: dict[int, Document] = {}
    for first in range(0, len(keys), CHUNK):
        rows = connection.rows(
            f"SELECT d.key, d.id, {EVERYTHING[connection.format]}",
            [json.dumps([int(key) for key in keys[first : first + CHUNK]])],
        )
        found |= {row[0]: checked(*row[1:]) for row in rows}
    _check_whole(keys, found)
    return found


def read_metadata(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Metadata of documents by key, compared with their checksums.

    Raises:
        CorruptStoreError: metadata are damaged, and the message names the document; or a key is not there.
    """
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(keys), CHUNK):
        rows = connection.rows(
            "SELECT d.key, d.id, m.json, m.checksum FROM documents d LEFT JOIN metadata m ON m.key = d.key "
            "WHERE d.key IN (SELECT value FROM json_each(?))",
            [json.dumps([int(key) for key in keys[first : first + CHUNK]])],
        )
        found |= {row[0]: checked_metadata(*row[1:]) for row in rows}
    _check_whole(keys, found)
    if connection.format < EXTRAS_SINCE:
        return {
            key: dict(format_1.moved(Document("", None, values)).metadata) for key, values in found.items()
        }
    return found


def _check_whole(keys: Sequence[int], found: Container[int]) -> None:
    absent = [key for key in keys if key not in found]
    if absent:
        raise CorruptStoreError(
            f"the catalogue names documents that it does not have: numbers {absent[:5]}. {RESTORE}"
        )


def every(connection: Connection) -> Iterator[tuple[int, Document]]:
    """All keys and documents, in order of insertion."""
    keys = matching_keys(connection, None)
    for first in range(0, len(keys), CHUNK):
        yield from sorted(read(connection, keys[first : first + CHUNK]).items(), key=lambda pair: pair[0])


def matching_keys(connection: Connection, filter: Filter | None) -> list[int]:
    """Keys of the documents that a filter keeps, ascending; None means all."""
    if filter is None:
        return [row[0] for row in connection.rows("SELECT key FROM documents ORDER BY key")]
    moved = connection.format < EXTRAS_SINCE and format_1.names_nodes(filter)
    if moved or filter.size > MOST_COMPARISONS or filter.levels > MOST_LEVELS:
        return [key for key, document in every(connection) if filter.matches(document.metadata)]
    return stored_matches(connection, filter)


def stored_matches(connection: Connection, filter: Filter) -> list[int]:
    """Keys of the documents whose fields a filter keeps, ascending."""
    condition, values = to_sql(filter, indexed_paths(connection))
    sql = "SELECT documents.key FROM documents WHERE " + condition
    return sorted(row[0] for row in connection.rows(sql, values))


def get(connection: Connection, ids: Sequence[str]) -> list[Document]:
    """The documents that are there, in the order asked."""
    keys = keys_of(connection, ids)
    found = read(connection, sorted(keys.values()))
    return [found[keys[key]] for key in ids if key in keys]


def page(connection: Connection, filter: Filter | None, limit: int, after: str | None) -> list[Document]:
    """The first documents behind one that a filter keeps, in order of insertion.

    Raises:
        InvalidInputError: there is no document with the id `after`.
    """
    first = -1
    if after is not None:
        known = keys_of(connection, [after])
        if after not in known:
            raise InvalidInputError(
                f"after is {after!r}, which is not stored: begin again, or name another document."
            )
        first = known[after]
    found: list[Document] = []
    while len(found) < limit:
        size = min(CHUNK, limit) if filter is None else CHUNK
        rows = connection.rows("SELECT key FROM documents WHERE key > ? ORDER BY key LIMIT ?", [first, size])
        if not rows:
            break
        read_now = read(connection, [row[0] for row in rows])
        found += [
            read_now[key] for (key,) in rows if filter is None or filter.matches(read_now[key].metadata)
        ]
        first = rows[-1][0]
    return found[:limit]


def chosen(
    connection: Connection, choose: Callable[[Document], bool], ids: Sequence[str] | None
) -> dict[str, bytes]:
    """The documents that a function chooses, of all or of those that ids names: their versions, by id."""
    keys = matching_keys(connection, None) if ids is None else sorted(keys_of(connection, ids).values())
    found: dict[str, bytes] = {}
    for first in range(0, len(keys), CHUNK):
        part = keys[first : first + CHUNK]
        known = [key for key, document in read(connection, part).items() if choose(document)]
        found |= versions(connection, known)
    return found


def checked_keys(connection: Connection, filter: Filter | None, ids: Sequence[str] | None) -> list[int]:
    """Keys of the documents that a filter keeps, of all or of those that ids names, ascending.

    Raises:
        CorruptStoreError: the fields by which they were found are not the metadata.
    """
    if ids is None:
        keys = matching_keys(connection, filter)
        if filter is None:
            return keys
    else:
        keys = sorted(keys_of(connection, ids).values())
        if filter is None:
            return keys
    kept = []
    for first in range(0, len(keys), CHUNK):
        for key, metadata in read_metadata(connection, keys[first : first + CHUNK]).items():
            if filter.matches(metadata):
                kept.append(key)
            elif ids is None:
                raise_damaged(key)
    return sorted(kept)


def raise_damaged(key: int) -> NoReturn:
    """Say that a filter found a document that it does not keep: `fields` is damaged."""
    raise CorruptStoreError(
        f"a filter found document number {key}, which it does not keep: the catalogue is damaged. "
        "Run `retrievers verify`, or restore the directory from a backup."
    )
