"""BM25 of the windows that have words of a question, by the index that words.py writes.

A question is data: its words are quoted one by one, and no syntax of FTS5 is ever taken from it.
"""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError
from retrievers.store.connection import Connection
from retrievers.store.words import CURE, SPAN, Rows, Words, cured, require_fts5

MOST_WORDS = 512  # different words of a question that are looked for
SMALLEST = 1e-6  # the least that a word weighs in FTS5's BM25
SCORED = np.dtype([("row", "<i8"), ("score", "<f8")])
"""A row of the index and its score."""
GROUP = 32  # words that one query of the index has: the work for a row grows with them


def scores(
    connection: Connection, words: Words, question: str, keys: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """BM25 (k1 1.2, b 0.75) of every window that has a word of a question.

    A word that more than half of the windows have weighs a millionth in FTS5's BM25. Beside other words its score is
    that millionth, however often it occurs, because to compute it for nearly all windows takes most of the time.

    Args:
        connection: inside the transaction that read `words`.
        question: any text.
        keys: int64, (windows,), ascending: the document of each live window.
    Returns:
        Positions of the windows, int64, ascending, and their scores, float32, above 0; higher is better.
    Raises:
        CorruptStoreError: the index is damaged.
        UnsupportedError: this SQLite has no FTS5.
    """
    require_fts5(connection)
    common: list[str] = []
    rare: list[str] = []
    for word in quoted(question, words.tokenizer):
        with cured():
            [[count]] = connection.rows("SELECT count(*) FROM words WHERE words MATCH ?", [word])
        if count:
            (common if 2 * count > len(keys) else rare).append(word)
    tables = [_scored(connection, group) for group in _groups(rare or common)]
    if rare:
        tables += [_seen(connection, group) for group in _groups(common)]
    table = np.concatenate([np.zeros(0, SCORED), *tables])
    positions = _positions(connection, words, table["row"], keys)
    known = positions >= 0
    windows, places = np.unique(positions[known], return_inverse=True)
    totals = np.bincount(places, table["score"][known], len(windows)).astype(np.float32)
    return windows, totals


def quoted(question: str, tokenizer: str) -> list[str]:
    """The different words of a question, each as a string of FTS5's query language; the first MOST_WORDS of them.

    A word that the index's tokenizer cuts further becomes a phrase of its parts. Of trigrams each is a word.
    """
    pieces = _pieces(question) if tokenizer != "trigram" else _trigrams(question)
    different: dict[str, str] = {}
    for piece in pieces:
        different.setdefault(piece.lower(), piece)
    return [f'"{piece}"' for piece in list(different.values())[:MOST_WORDS]]


def _pieces(question: str) -> list[str]:
    """Runs of letters, digits and the marks on them: none has a quote, a space or another sign."""
    kept = (
        one if unicodedata.category(one)[0] in "LNM" or unicodedata.category(one) == "Co" else " "
        for one in question
    )
    return "".join(kept).split()


def _trigrams(question: str) -> list[str]:
    """Three characters after one another, of each piece that has them."""
    return [piece[at : at + 3] for piece in _pieces(question) for at in range(len(piece) - 2)]


def _groups(chosen: list[str]) -> list[str]:
    """Queries of at most GROUP words, of which a window need have one."""
    return [" OR ".join(chosen[start : start + GROUP]) for start in range(0, len(chosen), GROUP)]


def _scored(connection: Connection, asked: str) -> NDArray[np.void]:
    """Rows of the index that a query finds, with their BM25: SCORED."""
    with cured():
        rows = connection.rows("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", [asked])
    try:
        table = np.fromiter(rows, SCORED, len(rows))
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptStoreError(f"the index of words gave what is no score ({error}). {CURE}") from None
    if not np.isfinite(table["score"]).all():
        raise CorruptStoreError(f"the index of words gave a score that is no finite number. {CURE}")
    return table


def _seen(connection: Connection, asked: str) -> NDArray[np.void]:
    """Rows of the index that a query finds, each with the smallest score: SCORED."""
    with cured():
        rows = connection.rows("SELECT rowid FROM words WHERE words MATCH ?", [asked])
    table = np.zeros(len(rows), SCORED)
    table["row"] = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    table["score"] = SMALLEST
    return table


def _positions(
    connection: Connection, words: Words, numbers: NDArray[np.int64], keys: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Positions of the windows that rows of the index are; -1 for a row of nobody."""
    rows = words.rows
    if rows is None:
        rows = words.rows = load(connection, words.earlier, keys)
    if not len(rows.first):
        return np.full(len(numbers), -1, np.int64)
    places = np.searchsorted(rows.first, numbers, side="right") - 1
    offsets = numbers - rows.first[places]
    known = (places >= 0) & (offsets >= 0) & (offsets < rows.count[places])
    return np.where(known, np.searchsorted(keys, rows.key[places]) + offsets, -1)


def load(connection: Connection, earlier: Rows | None, keys: NDArray[np.int64]) -> Rows:
    """Which windows the rows of the index are.

    Args:
        connection: inside a transaction.
        earlier: those of a commit before: only what was written since is read.
        keys: int64, (windows,), ascending: the document of each live window.
    Raises:
        CorruptStoreError: a document has more or fewer rows than windows, or two have the same row.
    """
    after = int(earlier.first[-1]) if earlier is not None and len(earlier.first) else 0
    found = connection.rows(
        "SELECT first, key, length(spans) FROM word_rows WHERE first > ? ORDER BY first", [after]
    )
    if not all(type(value) is int for row in found for value in row):
        raise CorruptStoreError(f"the index of words has rows that are no numbers. {CURE}")
    table = np.array(found, np.int64).reshape(-1, 3)
    first, key, count = table[:, 0], table[:, 1], table[:, 2] // SPAN.itemsize
    if earlier is not None:
        first, key, count = (
            np.concatenate(pair)
            for pair in ((earlier.first, first), (earlier.key, key), (earlier.count, count))
        )
    # Of a document that was replaced the latest rows count, of one that was deleted none.
    _, latest = np.unique(key[::-1], return_index=True)
    kept = np.sort(len(key) - 1 - latest)
    starts, ends = np.searchsorted(keys, key[kept]), np.searchsorted(keys, key[kept], side="right")
    kept = kept[ends > starts]
    rows = Rows(first[kept], key[kept], count[kept])
    if (rows.count != (ends - starts)[ends > starts]).any() or (np.diff(rows.first) < rows.count[:-1]).any():
        raise CorruptStoreError(f"the index of words has other rows than the documents have windows. {CURE}")
    return rows
