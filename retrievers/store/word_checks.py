"""The index of words as it is found: whether its tables are ours, its size, and whether it is right."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from retrievers.errors import CorruptStoreError
from retrievers.store import documents, words
from retrievers.store.connection import Connection

if TYPE_CHECKING:
    from retrievers.store.columns import Columns

SHADOWS = {
    "words_data": ("id", "block"),
    "words_idx": ("segid", "term", "pgno"),
    "words_docsize": ("id", "sz"),
    "words_config": ("k", "v"),
}
"""The tables in which FTS5 keeps an index called `words`, and their columns. Their SQL differs between versions."""
VOCABULARY = frozenset(["create", "table", "integer", "primary", "key", "blob", "without", "rowid"])
TERMS = 10_000  # that one query compares
OF_A_TERM = (
    "SELECT term, count(*), sum(doc), sum(offset), sum((doc % 65537) * (offset + 1)), "
    "(SELECT cnt FROM temp.word_counts AS looked_up WHERE looked_up.term = word_places.term) "
    "FROM temp.word_places WHERE term > ? GROUP BY term ORDER BY term LIMIT ?"
)
CURE = "build the index anew: collection.index_words()"


def are_ours(connection: Connection, found: Sequence[Sequence[Any]]) -> bool:
    """Whether tables are those in which FTS5 keeps the index, with no column, condition or default beside them.

    Args:
        found: type, name and SQL of each, as `sqlite_master` has them.
    """
    if sorted(str(name) for _, name, _ in found) != sorted(SHADOWS):
        return False
    for kind, name, sql in found:
        columns = [row[0] for row in connection.rows("SELECT name FROM pragma_table_xinfo(?)", [name])]
        spoken = {word.lower() for word in re.findall(r"\w+", str(sql))}
        if (
            kind != "table"
            or tuple(columns) != SHADOWS[name]
            or not re.fullmatch(r"[\w\s'\"(),]*", str(sql))
            or not spoken <= {*VOCABULARY, name, *columns}
        ):
            return False
    return True


def size(connection: Connection) -> int:
    """Bytes of the index of words; 0 where there is none."""
    if not words.there(connection):
        return 0
    [[total]] = connection.rows(
        "SELECT (SELECT ifnull(sum(length(block)), 0) FROM words_data) "
        "+ (SELECT ifnull(sum(length(sz) + 8), 0) FROM words_docsize) "
        "+ (SELECT ifnull(sum(length(spans) + 24), 0) FROM word_rows)"
    )
    return int(total)


def problems(connection: Connection, columns: Columns) -> Iterator[str]:
    """What is wrong with the index of words; nothing where there is none.

    All texts are indexed once more, in a temporary database, and each word's places are compared.

    Args:
        connection: inside a transaction.
        columns: the live windows of the commit.
    """
    try:
        index = words.read(connection)
        if index is None:
            return
        if not words.has_fts5(connection):
            yield "the index of words was not compared: this SQLite has no FTS5"
            return
        if any(_misplaced(connection, columns)):
            yield f"the index of words has other windows than the documents: {CURE}"
        elif not _same_words(connection, index, columns):
            yield f"the index of words has other words than the texts: {CURE}"
    except CorruptStoreError as error:
        yield f"the index of words cannot be read: {error} Or {CURE}"


def _misplaced(connection: Connection, columns: Columns) -> Iterator[int]:
    """Keys of documents whose rows of the index are not their windows."""
    keys, starts = np.unique(columns.key, return_index=True)
    ends = np.searchsorted(columns.key, keys, side="right")
    spans_of = dict(zip(keys.tolist(), zip(starts.tolist(), ends.tolist(), strict=True), strict=True))
    for key, first, blob, checksum in connection.rows("SELECT key, first, spans, checksum FROM word_rows"):
        part = slice(*spans_of.pop(key, (0, 0)))
        spans = np.stack([columns.first[part], columns.last[part]], axis=1).astype("<i4").tobytes()
        if words.row_checksum(key, first, blob) != checksum or blob != spans or not blob:
            yield key
    yield from spans_of


def _same_words(connection: Connection, index: words.Words, columns: Columns) -> bool:
    firsts = dict(connection.rows("SELECT key, first FROM word_rows"))
    with closing(sqlite3.connect("", isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = OFF")
        fresh = Connection(raw, "the copy of the index of words")
        fresh.run(words.TABLES[index.tokenizer])
        fresh.run("BEGIN")
        with suppress(
            CorruptStoreError
        ):  # a damaged document was reported before, and its words cannot be known
            for key, document in documents.every(connection):
                part = slice(*np.searchsorted(columns.key, [key, key + 1]))
                whole = document.context + document.text
                spans = zip(columns.first[part].tolist(), columns.last[part].tolist(), strict=True)
                fresh.run_many(
                    "INSERT INTO words (rowid, text) VALUES (?, ?)",
                    [(firsts[key] + number, whole[start:end]) for number, (start, end) in enumerate(spans)],
                )
        fresh.run("COMMIT")
        return all(
            one == other
            for what in (_sizes, _terms)
            for one, other in zip_longest(what(connection), what(fresh))
        )


def _sizes(connection: Connection) -> Iterator[Any]:
    """How many words each window has, and all of them."""
    totals = connection.rows("SELECT block FROM words_data WHERE id = 1")
    # Of no windows FTS5 writes two zeros, or nothing.
    yield [] if totals and isinstance(totals[0][0], bytes) and not any(totals[0][0]) else totals
    after = -1
    while rows := connection.rows(
        "SELECT id, sz FROM words_docsize WHERE id > ? ORDER BY id LIMIT ?", [after, TERMS]
    ):
        after = rows[-1][0]
        yield from rows


def _terms(connection: Connection) -> Iterator[Any]:
    """Each word, sums over its places, and how often it is found when it is looked up, as a search does."""
    connection.run("CREATE VIRTUAL TABLE temp.word_places USING fts5vocab(main, words, instance)")
    connection.run("CREATE VIRTUAL TABLE temp.word_counts USING fts5vocab(main, words, row)")
    try:
        after = ""
        while rows := connection.rows(OF_A_TERM, [after, TERMS]):
            after = rows[-1][0]
            yield from rows
    finally:
        connection.run("DROP TABLE temp.word_places")
        connection.run("DROP TABLE temp.word_counts")
