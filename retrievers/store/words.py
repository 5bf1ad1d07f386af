"""The words of all windows, in SQLite's full-text index, written in the transaction that names the windows.

A row of the index is a window. Rows are numbered in order of writing, and `word_rows` says which windows of which
document they are.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError, UnsupportedError
from retrievers.store import document_rows, documents
from retrievers.store.connection import Connection
from retrievers.types import Document

if TYPE_CHECKING:
    from retrievers.store.columns import Columns

TABLES = {
    "unicode61": "CREATE VIRTUAL TABLE words USING fts5(text, content='', "
    "tokenize='unicode61 remove_diacritics 2')",
    "porter": "CREATE VIRTUAL TABLE words USING fts5(text, content='', "
    "tokenize='porter unicode61 remove_diacritics 2')",
    "trigram": "CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='trigram')",
}
"""What makes the index, by the name of its tokenizer."""
BESIDE = (
    "CREATE TABLE word_rows (key INTEGER PRIMARY KEY, first INTEGER NOT NULL UNIQUE, spans BLOB NOT NULL, "
    "checksum INTEGER NOT NULL)",
    "CREATE TABLE word_index (only INTEGER PRIMARY KEY CHECK (only = 1), tokenizer TEXT NOT NULL, weight REAL, "
    "last INTEGER NOT NULL)",
)
SPAN = np.dtype([("first", "<i4"), ("last", "<i4")])
"""The characters of one window, offsets into context + text."""
MOST_ROWS = 1 << 62
CURE = "Search without words goes on; collection.index_words() builds the index anew."


@dataclass(slots=True)
class Rows:
    """Which windows the rows of the index are, one entry a document, in order of their rows.

    Attributes:
        first, key, count: int64, (documents,): the first row, the document's key, and how many windows it has.
    """

    first: NDArray[np.int64]
    key: NDArray[np.int64]
    count: NDArray[np.int64]


@dataclass(slots=True)
class Words:
    """The index of words as one commit has it.

    Attributes:
        tokenizer: a name of TABLES.
        weight: the share of words in a search that does not say it; None is a search without words.
        last: the greatest row given out so far.
        rows: read when they are first needed.
        earlier: rows of a commit before, from which those of this one follow.
    """

    tokenizer: str
    weight: float | None
    last: int
    rows: Rows | None = None
    earlier: Rows | None = None


def tables(tokenizer: str) -> tuple[str, ...]:
    """The statements that make the index, exactly as SQLite keeps them; FTS5 makes tables of its own besides."""
    return TABLES[tokenizer], *BESIDE


def there(connection: Connection) -> bool:
    """Whether the catalogue has an index of words."""
    return bool(connection.rows("SELECT 1 FROM sqlite_master WHERE name = 'word_index'"))


def read(connection: Connection) -> Words | None:
    """The index of words; None where there is none.

    Raises:
        CorruptStoreError: the catalogue says of it what cannot be.
    """
    if not there(connection):
        return None
    found = connection.rows("SELECT tokenizer, weight, last FROM word_index WHERE only = 1")
    tokenizer, weight, last = found[0] if len(found) == 1 else (None, None, None)
    if (
        tokenizer not in TABLES
        or not (weight is None or (isinstance(weight, float) and 0 <= weight <= 1))
        or not (type(last) is int and 0 <= last < MOST_ROWS)
    ):
        raise CorruptStoreError(
            f"the catalogue says {found} of the index of words: it is damaged. collection.index_words() builds it anew."
        )
    return Words(tokenizer, weight, last)


# Write


class Index:
    """The index of words, written inside one transaction.

    Args:
        connection: inside the transaction.
        words: read of that transaction.
    """

    def __init__(self, connection: Connection, words: Words) -> None:
        require_fts5(connection)
        self._connection = connection
        self._last = words.last

    def put(self, key: int, document: Document, spans: Sequence[tuple[int, int]]) -> None:
        """Index the windows of a document that has none in the index."""
        if not len(spans):
            return
        whole, first = document.context + document.text, self._last + 1
        with cured():
            self._connection.run_many(
                "INSERT INTO words (rowid, text) VALUES (?, ?)",
                [(first + number, whole[start:end]) for number, (start, end) in enumerate(spans)],
            )
            blob = np.array([tuple(map(int, span)) for span in spans], SPAN).tobytes()
            row = [key, first, blob, row_checksum(key, first, blob)]
            self._connection.run("INSERT INTO word_rows VALUES (?, ?, ?, ?)", row)
        self._last += len(spans)

    def remove(self, key: int) -> None:
        """Take the windows of a document out of the index, before its text is changed or removed.

        FTS5 needs the very text that was indexed. Where that is damaged, the index keeps rows of nobody, which no
        search returns, and which verify reports.
        """
        found = self._connection.rows(
            "SELECT r.first, r.spans, r.checksum, d.id, t.context, t.text, t.checksum FROM word_rows r "
            "JOIN documents d ON d.key = r.key JOIN texts t ON t.key = r.key WHERE r.key = ?",
            [key],
        )
        for first, blob, checksum, name, context, text, text_checksum in found:
            if (
                row_checksum(key, first, blob) == checksum
                and all(isinstance(value, str) for value in (name, context, text))
                and document_rows.text_checksum(name, context, text) == text_checksum
            ):
                whole = context + text
                spans = np.frombuffer(blob, SPAN).tolist()
                with cured():
                    self._connection.run_many(
                        "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
                        [(first + number, whole[start:end]) for number, (start, end) in enumerate(spans)],
                    )
        with cured():  # what FTS5 was given before it writes with the next statement
            self._connection.run("DELETE FROM word_rows WHERE key = ?", [key])

    def finish(self) -> None:
        """Write down which rows were given out."""
        with cured():
            self._connection.run("UPDATE word_index SET last = ?", [self._last])


def opened(connection: Connection) -> Index | None:
    """The index to write to, inside a transaction; None where the collection has none."""
    words = read(connection)
    return None if words is None else Index(connection, words)


def build(connection: Connection, columns: Columns, tokenizer: str | None, weight: float | None) -> None:
    """Index the words of all documents, inside a transaction, in place of an index that is there.

    Args:
        columns: the live windows of the commit.
        tokenizer: a name of TABLES; None keeps that of the index that is there, or takes "unicode61".
        weight: None keeps that of the index that is there, or stores none.
    Raises:
        UnsupportedError: this SQLite has no FTS5.
        CorruptStoreError: a document is damaged; the message names it.
    """
    require_fts5(connection)
    last = 0
    if there(connection):
        [[last]] = connection.rows("SELECT ifnull(max(first + length(spans)), 0) FROM word_rows")
        with suppress(CorruptStoreError):  # what it says is lost, and the rest can be built anew
            if (words := read(connection)) is not None:
                tokenizer, last = tokenizer or words.tokenizer, max(last, words.last)
                weight = words.weight if weight is None else weight
        _drop(connection)
    tokenizer = tokenizer or "unicode61"
    for statement in tables(tokenizer):
        connection.run(statement)
    connection.run("INSERT INTO word_index VALUES (1, ?, ?, ?)", [tokenizer, weight, last])
    # Rows go on from where they were: who has read which windows the earlier ones are is not misled.
    index = Index(connection, Words(tokenizer, weight, last))
    for key, document in documents.every(connection):
        part = slice(*np.searchsorted(columns.key, [key, key + 1]))
        spans = zip(columns.first[part].tolist(), columns.last[part].tolist(), strict=True)
        index.put(key, document, list(spans))
    index.finish()


def _drop(connection: Connection) -> None:
    """Remove the index. FTS5 opens it for that: where it is too damaged to be opened, it is emptied by hand before."""
    try:
        connection.run("DROP TABLE words")
    except CorruptStoreError:
        with closing(sqlite3.connect(":memory:")) as empty:
            empty.execute(TABLES["unicode61"])
            for name in ("words_data", "words_idx", "words_docsize", "words_config"):
                rows = empty.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608
                connection.run(f"DELETE FROM {name}")  # noqa: S608
                for row in rows:
                    connection.run(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        connection.run("DROP TABLE words")
    for statement in ("DROP TABLE word_rows", "DROP TABLE word_index"):
        connection.run(statement)


def set_weight(connection: Connection, weight: float | None) -> None:
    """Give the index another weight, inside a transaction."""
    connection.run("UPDATE word_index SET weight = ?", [weight])


def compact(connection: Connection) -> None:
    """Take what was deleted out of the index's pages, inside a transaction; nothing where there is no index."""
    if there(connection):
        require_fts5(connection)
        with cured():
            connection.run("INSERT INTO words (words) VALUES ('optimize')")


@contextmanager
def cured() -> Iterator[None]:
    """Say of damage that is found in the index what cures it."""
    try:
        yield
    except CorruptStoreError as error:
        raise CorruptStoreError(
            f"the index of words is damaged ({error.__cause__ or error}). {CURE}"
        ) from error


def row_checksum(key: int, first: object, blob: object) -> int | None:
    """CRC-32 of a row of `word_rows`; None where its values are none that are ever written."""
    if (
        type(first) is not int
        or not 0 < first < MOST_ROWS
        or type(blob) is not bytes
        or len(blob) % SPAN.itemsize
    ):
        return None
    return zlib.crc32(blob, zlib.crc32(key.to_bytes(8, "little") + first.to_bytes(8, "little")))


def require_fts5(connection: Connection) -> None:
    """Refuse to go on where SQLite was built without its full-text index.

    Raises:
        UnsupportedError: it was.
    """
    if not has_fts5(connection):
        raise UnsupportedError(
            f"the SQLite {sqlite3.sqlite_version} of this Python was built without FTS5, which keeps the words of a "
            "collection. Search works without words; to index them, or to change a collection that has them, use a "
            "Python whose SQLite has FTS5, python.org's or conda's say."
        )


def has_fts5(connection: Connection) -> bool:
    """Whether SQLite has its full-text index."""
    return bool(connection.rows("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"))
