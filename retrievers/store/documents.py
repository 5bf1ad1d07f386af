"""Documents as the catalogue has them: by id, by key, by filter."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from retrievers.errors import CorruptStoreError
from retrievers.filters import Filter, to_sql
from retrievers.store.connection import Connection
from retrievers.types import Document

CHUNK = 1000  # documents that one query reads
MOST_COMPARISONS = 200  # of one SQL expression: SQLite bounds its depth and its number of values
MOST_LEVELS = 15  # of brackets in it: the stack of SQLite's parser holds 100 symbols
CURE = "Delete the document and add it again, or restore the directory from a backup."


def text_checksum(key: str, context: str, text: str) -> int:
    """CRC-32 of a document's id, context and text."""
    checksum = 0
    for part in (key, context, text):
        data = part.encode()
        checksum = zlib.crc32(data, zlib.crc32(len(data).to_bytes(8, "little"), checksum))
    return checksum


def indexed_paths(connection: Connection) -> set[str]:
    """Paths whose values are indexed."""
    return {str(row[0]) for row in connection.rows("SELECT name FROM paths WHERE indexed = 1")}


def keys_of(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Keys of the documents that are there, by id."""
    found = {}
    for key in ids:
        for row in connection.rows("SELECT key FROM documents WHERE id = ?", [key]):
            found[key] = row[0]
    return found


def content_hashes(connection: Connection, ids: Iterable[str]) -> dict[str, bytes]:
    """Content hashes of the documents that are there, by id."""
    found = {}
    for key in ids:
        for row in connection.rows("SELECT hash FROM documents WHERE id = ?", [key]):
            found[key] = bytes(row[0]) if isinstance(row[0], bytes) else b""
    return found


def read(connection: Connection, keys: Sequence[int]) -> dict[int, Document]:
    """Documents by key, compared with their checksums; keys that are not there are left out.

    Raises:
        CorruptStoreError: a text or metadata is damaged; the message names the document.
    """
    found: dict[int, Document] = {}
    for first in range(0, len(keys), CHUNK):
        rows = connection.rows(
            "SELECT d.key, d.id, t.context, t.text, t.checksum, m.json, m.checksum FROM documents d "
            "LEFT JOIN texts t ON t.key = d.key LEFT JOIN metadata m ON m.key = d.key "
            "WHERE d.key IN (SELECT value FROM json_each(?))",
            [json.dumps([int(key) for key in keys[first : first + CHUNK]])],
        )
        found |= {row[0]: checked(*row[1:]) for row in rows}
    return found


def read_metadata(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Metadata of documents by key, compared with their checksums; keys that are not there are left out.

    Raises:
        CorruptStoreError: metadata are damaged; the message names the document.
    """
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(keys), CHUNK):
        rows = connection.rows(
            "SELECT d.key, d.id, m.json, m.checksum FROM documents d LEFT JOIN metadata m ON m.key = d.key "
            "WHERE d.key IN (SELECT value FROM json_each(?))",
            [json.dumps([int(key) for key in keys[first : first + CHUNK]])],
        )
        found |= {row[0]: checked_metadata(*row[1:]) for row in rows}
    return found


def every(connection: Connection) -> Iterator[tuple[int, Document]]:
    """All keys and documents, in order of insertion."""
    keys = matching_keys(connection, None)
    for first in range(0, len(keys), CHUNK):
        yield from sorted(read(connection, keys[first : first + CHUNK]).items(), key=lambda pair: pair[0])


def matching_keys(connection: Connection, filter: Filter | None) -> list[int]:
    """Keys of the documents that a filter keeps, ascending; None means all."""
    if filter is None:
        return [row[0] for row in connection.rows("SELECT key FROM documents ORDER BY key")]
    if filter.size > MOST_COMPARISONS or filter.levels > MOST_LEVELS:
        return [key for key, document in every(connection) if filter.matches(document.metadata)]
    condition, values = to_sql(filter, indexed_paths(connection))
    # The condition is made of the texts in filters.py alone; every value in it is bound.
    sql = "SELECT documents.key FROM documents WHERE " + condition  # noqa: S608
    return sorted(row[0] for row in connection.rows(sql, values))


def checked(
    key: object, context: object, text: object, checksum: object, metadata: object, metadata_checksum: object
) -> Document:
    """A document out of one row, if the row is what was written.

    Raises:
        CorruptStoreError: it is not.
    """
    if not (
        isinstance(key, str)
        and isinstance(context, str)
        and isinstance(text, str)
        and text_checksum(key, context, text) == checksum
    ):
        raise CorruptStoreError(f"the text of document {key!r} does not fit its checksum. {CURE}")
    return Document(text, key, checked_metadata(key, metadata, metadata_checksum), context)


def checked_metadata(key: object, metadata: object, checksum: object) -> dict[str, Any]:
    """The metadata of one row, if they are what was written.

    Raises:
        CorruptStoreError: they are not.
    """
    if not isinstance(metadata, str) or zlib.crc32(metadata.encode()) != checksum:
        raise CorruptStoreError(f"the metadata of document {key!r} do not fit their checksum. {CURE}")
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise CorruptStoreError(f"the metadata of document {key!r} are no JSON object. {CURE}")
    return values
