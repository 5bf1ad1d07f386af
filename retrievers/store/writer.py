"""Documents into the catalogue: texts, metadata, and the fields that filters look at."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

from retrievers.errors import InvalidInputError
from retrievers.filters.fields import paths
from retrievers.store.connection import Connection
from retrievers.store.documents import keys_of, text_checksum
from retrievers.types import Document


class Writer:
    """Changes documents inside one transaction.

    Args:
        connection: inside the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._paths: dict[str, tuple[int, int]] = {}

    def insert(self, key: int, document: Document, digest: bytes, windows: int, tokens: int) -> None:
        """Add a document under a new key."""
        self._connection.run(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)", [key, document.id, digest, windows, tokens]
        )
        self._connection.run("INSERT INTO texts VALUES (?, ?, ?, ?)", [key, *_text_values(document)])
        self._write_metadata(key, document, to_json(document))

    def replace(self, key: int, document: Document, digest: bytes, windows: int, tokens: int) -> None:
        """Give a document another text."""
        self._connection.run(
            "UPDATE documents SET hash = ?, windows = ?, tokens = ? WHERE key = ?",
            [digest, windows, tokens, key],
        )
        self._connection.run(
            "REPLACE INTO texts (context, text, checksum, key) VALUES (?, ?, ?, ?)",
            [*_text_values(document), key],
        )
        self.replace_metadata(key, document)

    def replace_metadata(self, key: int, document: Document) -> bool:
        """Give a document other metadata; False if it has them already."""
        text = to_json(document)
        stored = self._connection.rows("SELECT json FROM metadata WHERE key = ?", [key])
        if stored == [(text,)]:
            return False
        self._forget_fields(key, stored[0][0] if stored else "")
        self._write_metadata(key, document, text)
        return True

    def delete(self, key: int) -> None:
        """Remove all rows of a document."""
        stored = self._connection.rows("SELECT json FROM metadata WHERE key = ?", [key])
        self._forget_fields(key, stored[0][0] if stored else "")
        for statement in (
            "DELETE FROM documents WHERE key = ?",
            "DELETE FROM texts WHERE key = ?",
            "DELETE FROM metadata WHERE key = ?",
        ):
            self._connection.run(statement, [key])

    def _write_metadata(self, key: int, document: Document, text: str) -> None:
        self._connection.run("REPLACE INTO metadata VALUES (?, ?, ?)", [key, text, zlib.crc32(text.encode())])
        rows = []
        for name, value in paths(document.metadata).items():
            path, indexed = self._path(name)
            rows.append((path, key, value, indexed))
        self._connection.run_many("INSERT INTO fields VALUES (?, ?, ?, ?)", rows)

    def _path(self, name: str) -> tuple[int, int]:
        """Number of a path, a new one if need be, and whether it is indexed."""
        if name not in self._paths:
            found = self._connection.rows("SELECT path, indexed FROM paths WHERE name = ?", [name])
            if not found:
                self._connection.run("INSERT INTO paths (name, indexed) VALUES (?, 0)", [name])
                found = self._connection.rows("SELECT path, indexed FROM paths WHERE name = ?", [name])
            self._paths[name] = found[0]
        return self._paths[name]

    def _forget_fields(self, key: int, text: Any) -> None:
        try:
            names = list(paths(json.loads(text)))
        except (TypeError, ValueError, AttributeError, RecursionError):
            # Damaged metadata do not tell their paths; a document must be deletable all the same.
            self._connection.run("DELETE FROM fields WHERE key = ?", [key])
            return
        self._connection.run_many(
            "DELETE FROM fields WHERE key = ? AND path = (SELECT path FROM paths WHERE name = ?)",
            [(key, name) for name in names],
        )


def _text_values(document: Document) -> tuple[str, str, int]:
    return document.context, document.text, text_checksum(str(document.id), document.context, document.text)


def replace_metadata(connection: Connection, given: Iterable[Document]) -> bool:
    """Give documents that are there other metadata; False if they all have them already."""
    writer = Writer(connection)
    changed = False
    for document in given:
        for key in keys_of(connection, [str(document.id)]).values():
            changed |= writer.replace_metadata(key, document)
    return changed


def add_indexes(connection: Connection, names: Iterable[str]) -> None:
    """Index the values under some paths from now on, those that are stored already included."""
    for name in names:
        connection.run("INSERT OR IGNORE INTO paths (name, indexed) VALUES (?, 0)", [name])
        connection.run(
            "UPDATE fields SET indexed = 1 WHERE path = (SELECT path FROM paths WHERE name = ?)", [name]
        )
        connection.run("UPDATE paths SET indexed = 1 WHERE name = ?", [name])


def to_json(document: Document) -> str:
    """Metadata as the catalogue keeps it."""
    try:
        return json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the metadata of document {document.id!r} is not JSON: {error}.") from None
