"""Documents into the catalogue: texts, metadata, and the fields that filters look at."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from retrievers.errors import InvalidInputError
from retrievers.filters.fields import paths
from retrievers.store.connection import Connection
from retrievers.store.document_rows import extras_checksum, text_checksum
from retrievers.store.stored_json import json_object
from retrievers.store.token_counts import TokenCounts
from retrievers.types import Document

MOST_FIELDS = 10_000  # keys of one document's metadata
MOST_NAMES = 1_000_000  # characters of the full names of these keys: what they may take in the catalogue


class Writer:
    """Changes documents inside one transaction.

    Args:
        connection: inside the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._paths: dict[str, tuple[int, int]] = {}
        self._forgotten: set[str] = set()
        self._counts = TokenCounts(connection)

    def insert(
        self,
        key: int,
        document: Document,
        digest: bytes,
        windows: int,
        tokens: int,
        token_ids: Iterable[int] | None = None,
    ) -> None:
        """Add a document under a new key."""
        self._connection.run(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)", [key, document.id, digest, windows, tokens]
        )
        self._connection.run("INSERT INTO texts VALUES (?, ?, ?, ?)", [key, *_text_values(document)])
        self._write_metadata(key, document, to_json(document, document.metadata, "metadata"))
        self._write_extras(key, document)
        self._counts.put(key, str(document.id), token_ids)

    def replace(
        self,
        key: int,
        document: Document,
        digest: bytes,
        windows: int,
        tokens: int,
        token_ids: Iterable[int] | None = None,
    ) -> None:
        """Give a document another text."""
        self._connection.run(
            "UPDATE documents SET hash = ?, windows = ?, tokens = ? WHERE key = ?",
            [digest, windows, tokens, key],
        )
        self._connection.run(
            "REPLACE INTO texts (context, text, checksum, key) VALUES (?, ?, ?, ?)",
            [*_text_values(document), key],
        )
        self.replace_beside(key, document)
        self._counts.put(key, str(document.id), token_ids)

    def replace_beside(self, key: int, document: Document) -> bool:
        """Give a document other metadata and what is kept beside it; False if it has them already."""
        text = to_json(document, document.metadata, "metadata")
        stored = self._connection.rows("SELECT json FROM metadata WHERE key = ?", [key])
        changed = stored != [(text,)]
        if changed:
            self._forget_fields(key, stored[0][0] if stored else "")
            self._write_metadata(key, document, text)
        return self._write_extras(key, document) or changed

    def delete(self, key: int) -> None:
        """Remove all rows of a document."""
        stored = self._connection.rows("SELECT json FROM metadata WHERE key = ?", [key])
        self._forget_fields(key, stored[0][0] if stored else "")
        if self._counts.kept:
            for (name,) in self._connection.rows("SELECT id FROM documents WHERE key = ?", [key]):
                self._counts.remove(key, str(name))
        for statement in (
            "DELETE FROM documents WHERE key = ?",
            "DELETE FROM texts WHERE key = ?",
            "DELETE FROM metadata WHERE key = ?",
            "DELETE FROM extras WHERE key = ?",
        ):
            self._connection.run(statement, [key])

    def finish(self) -> None:
        """Write the counts of tokens, and remove the paths that no document has any longer."""
        self._connection.run_many(
            "DELETE FROM paths WHERE name = ? AND indexed = 0 "
            "AND NOT EXISTS (SELECT 1 FROM fields WHERE fields.path = paths.path)",
            [(name,) for name in self._forgotten],
        )
        self._forgotten.clear()
        self._paths.clear()
        self._counts.finish()

    def _write_extras(self, key: int, document: Document) -> bool:
        if document.source is None and document.attachment is None:
            return False
        text = to_json(document, document.attachment or {}, "attachment")
        row = (document.source, text, extras_checksum(str(document.id), document.source, text))
        if self._connection.rows("SELECT source, json, checksum FROM extras WHERE key = ?", [key]) == [row]:
            return False
        self._connection.run("REPLACE INTO extras VALUES (?, ?, ?, ?)", [key, *row])
        return True

    def _write_metadata(self, key: int, document: Document, text: str) -> None:
        self._connection.run("REPLACE INTO metadata VALUES (?, ?, ?)", [key, text, zlib.crc32(text.encode())])
        rows = []
        for name, value in bounded_paths(document.id, document.metadata).items():
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
            names = list(bounded_paths("", json_object(text)))
        except (TypeError, ValueError, RecursionError):
            # Damaged metadata do not tell their paths; a document must be deletable all the same.
            self._connection.run("DELETE FROM fields WHERE key = ?", [key])
            return
        self._forgotten.update(names)
        self._connection.run_many(
            "DELETE FROM fields WHERE key = ? AND path = (SELECT path FROM paths WHERE name = ?)",
            [(key, name) for name in names],
        )


def _text_values(document: Document) -> tuple[str, str, int]:
    return document.context, document.text, text_checksum(str(document.id), document.context, document.text)


def bounded_paths(key: str | None, metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Every path of a document's metadata, and the bytes of its value (filters.fields.paths).

    Args:
        key: the document's id.

    Raises:
        InvalidInputError: there are too many, or their names are too long: nested objects repeat the names of what
            they lie in, so that a short text could fill the catalogue.
    """
    waiting: list[tuple[int, Mapping[str, Any]]] = [(0, metadata)]
    count = size = 0
    while waiting:
        before, inside = waiting.pop()
        for name, value in inside.items():
            count, length = count + 1, before + len(name) + 1
            size += length
            if isinstance(value, Mapping):
                waiting.append((length, value))
            if count > MOST_FIELDS or size > MOST_NAMES:
                raise InvalidInputError(
                    f"the metadata of document {key!r} have more than {MOST_FIELDS} keys, nested ones included,"
                    f" or names of more than {MOST_NAMES} characters together, each with those that it lies in: keep "
                    "such data elsewhere, or as one text."
                )
    return paths(metadata)


def index_paths(connection: Connection, names: Iterable[str]) -> None:
    """Index the values under some paths from now on, those that are stored already included."""
    for name in names:
        connection.run("INSERT OR IGNORE INTO paths (name, indexed) VALUES (?, 0)", [name])
        connection.run(
            "UPDATE fields SET indexed = 1 WHERE path = (SELECT path FROM paths WHERE name = ?)", [name]
        )
        connection.run("UPDATE paths SET indexed = 1 WHERE name = ?", [name])


def to_json(document: Document, values: Mapping[str, Any], what: str) -> str:
    """Metadata or an attachment as the catalogue keeps it."""
    try:
        return json.dumps(dict(values), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the {what} of document {document.id!r} is not JSON: {error}.") from None
