"""The statements that make the catalogue's tables, for each version of the format; FORMAT.md describes each table."""

from __future__ import annotations

OLDEST = 1  # version of the format that can still be read

FORMAT_1 = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, "
    "generation INTEGER NOT NULL, tokens INTEGER NOT NULL, last_batch INTEGER NOT NULL, "
    "last_dead INTEGER NOT NULL, last_key INTEGER NOT NULL, documents INTEGER NOT NULL, "
    "live_windows INTEGER NOT NULL, live_tokens INTEGER NOT NULL, codes INTEGER NOT NULL, "
    "centroids INTEGER NOT NULL, centroids_checksum INTEGER NOT NULL)",
    "CREATE TABLE batches (batch INTEGER PRIMARY KEY, tokens INTEGER NOT NULL, windows BLOB NOT NULL, "
    "checksum INTEGER NOT NULL, codes_checksum INTEGER)",
    "CREATE TABLE dead (number INTEGER PRIMARY KEY, key INTEGER NOT NULL, last_batch INTEGER NOT NULL)",
    "CREATE TABLE documents (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL, "
    "windows INTEGER NOT NULL, tokens INTEGER NOT NULL)",
    "CREATE TABLE texts (key INTEGER PRIMARY KEY, context TEXT NOT NULL, text TEXT NOT NULL, "
    "checksum INTEGER NOT NULL)",
    "CREATE TABLE metadata (key INTEGER PRIMARY KEY, json TEXT NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE paths (path INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, indexed INTEGER NOT NULL)",
    "CREATE TABLE fields (path INTEGER NOT NULL, key INTEGER NOT NULL, value BLOB NOT NULL, "
    "indexed INTEGER NOT NULL, PRIMARY KEY (path, key)) WITHOUT ROWID",
    "CREATE INDEX field_values ON fields (path, value) WHERE indexed = 1",
)

EXTRAS = (
    "CREATE TABLE extras (key INTEGER PRIMARY KEY, source TEXT, json TEXT NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE INDEX extras_source ON extras (source) WHERE source IS NOT NULL",
)
FORMAT_2 = (*FORMAT_1, *EXTRAS)
FORMAT_3 = FORMAT_2  # and those of words.py, in a collection that has an index of words

TOKEN_COUNTS = (
    "CREATE TABLE token_ids (key INTEGER PRIMARY KEY, ids BLOB NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE token_counts (token INTEGER PRIMARY KEY, documents INTEGER NOT NULL)",
)
FORMAT_4 = (*FORMAT_3, *TOKEN_COUNTS)
FORMAT_5 = FORMAT_4


def of(version: int) -> tuple[str, ...]:
    """The tables and indexes of a version, exactly as SQLite keeps their statements."""
    return (FORMAT_1, FORMAT_2, FORMAT_3, FORMAT_4, FORMAT_5)[version - OLDEST]
