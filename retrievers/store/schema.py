"""Tables of the catalogue (FORMAT.md describes each), and how a catalogue is made and recognised."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrievers.encoder import identity
from retrievers.errors import CorruptStoreError, FormatVersionError, InvalidInputError
from retrievers.kernels.rows import RowForm
from retrievers.store import tables, token_counts, word_checks, words
from retrievers.store.connection import Connection

APPLICATION_ID = 0x4D617853  # "MaxS", in the header of the SQLite file
FORMAT_VERSION = 5
COLLECTION = "collection"  # the setting that tells one collection from every other
BITS = "bits"  # the setting that a collection has whose rows have 4 bits a number
BITS_SINCE = 5  # version of the format that has it
LARGEST_DIM = 1 << 16


class Recognised(NamedTuple):
    """What the settings say that never changes.

    Attributes:
        fingerprint: of the encoder that wrote the collection.
        form: of its rows.
    """

    fingerprint: dict[str, Any]
    form: RowForm


@dataclass(frozen=True, slots=True)
class State:
    """The one row of `state`: everything that a commit changes at once.

    Attributes:
        version: number of commits.
        generation: which files hold the rows.
        tokens: rows in them, dead ones included.
        last_batch: number of the newest batch.
        last_dead: number of the newest row of `dead`.
        last_key: the greatest document key ever given out.
        documents: how many there are.
        live_windows: windows of those.
        live_tokens: rows of those.
        codes: which files hold codes and centroids; 0 for none.
        centroids: how many there are.
        centroids_checksum: CRC-32 of their bytes.
    """

    version: int
    generation: int
    tokens: int
    last_batch: int
    last_dead: int
    last_key: int
    documents: int
    live_windows: int
    live_tokens: int
    codes: int
    centroids: int
    centroids_checksum: int


EMPTY_STATE = State(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def read_state(connection: Connection) -> State:
    """What the last commit left.

    Raises:
        CorruptStoreError: no such row, or a value that is no count.
    """
    rows = connection.rows(
        "SELECT version, generation, tokens, last_batch, last_dead, last_key, documents, live_windows, "
        "live_tokens, codes, centroids, centroids_checksum FROM state WHERE only = 1"
    )
    if len(rows) != 1 or not all(map(_is_count, rows[0])):
        raise CorruptStoreError(f"the catalogue's state is {rows}: one row of counts is needed.")
    state = State(*rows[0])
    if state.centroids > 1 << 16 or state.live_tokens > state.tokens:
        raise CorruptStoreError(f"the catalogue's state contradicts itself: {state}.")
    return state


def write_state(connection: Connection, state: State) -> None:
    """Make a state the current one when the transaction commits.

    Raises:
        CorruptStoreError: the one before was damaged, so that this one could not be read.
    """
    if (
        not all(_is_count(getattr(state, name)) for name in state.__slots__)
        or state.live_tokens > state.tokens
    ):
        raise CorruptStoreError(
            f"the catalogue counted wrong before this change, which would make it unreadable ({state}): it is "
            "damaged. Nothing was changed. Run `retrievers verify`, or restore the directory from a backup."
        )
    connection.run(
        "UPDATE state SET version = ?, generation = ?, tokens = ?, last_batch = ?, last_dead = ?, last_key = ?, "
        "documents = ?, live_windows = ?, live_tokens = ?, codes = ?, centroids = ?, centroids_checksum = ?",
        [
            state.version,
            state.generation,
            state.tokens,
            state.last_batch,
            state.last_dead,
            state.last_key,
            state.documents,
            state.live_windows,
            state.live_tokens,
            state.codes,
            state.centroids,
            state.centroids_checksum,
        ],
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def is_new(connection: Connection) -> bool:
    """Whether nothing was ever written: a creation that was broken off is one that did not happen."""
    return not connection.rows("SELECT 1 FROM sqlite_master LIMIT 1")


def create(
    connection: Connection, fingerprint: Mapping[str, Any], bits: int, *, counts_tokens: bool = False
) -> None:
    """Write tables and settings into a transaction that the caller commits.

    Args:
        connection: inside the transaction.
        fingerprint: of the encoder.
        bits: of a number of the rows.
        counts_tokens: whether the tokens of documents are counted from the first one on.
    """
    for statement in tables.of(FORMAT_VERSION):
        connection.run(statement)
    connection.run(f"PRAGMA application_id = {APPLICATION_ID:d}")
    connection.run(f"PRAGMA user_version = {FORMAT_VERSION:d}")
    connection.format = FORMAT_VERSION
    connection.run("INSERT INTO settings VALUES ('fingerprint', ?)", [canonical(fingerprint)])
    connection.run("INSERT INTO settings VALUES (?, ?)", [COLLECTION, new_collection()])
    set_bits(connection, bits)
    connection.run("INSERT INTO state VALUES (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)")
    write_state(connection, EMPTY_STATE)
    if counts_tokens:
        token_counts.TokenCounts(connection).begin()


def check_dim(fingerprint: Mapping[str, Any]) -> None:
    """Refuse a fingerprint without a usable dim.

    Raises:
        InvalidInputError: it has none.
    """
    dim = fingerprint.get("dim")
    if type(dim) is not int or not 1 <= dim <= LARGEST_DIM:
        raise InvalidInputError(f"the encoder's fingerprint has dim {dim!r}: 1 to {LARGEST_DIM} is needed.")


def canonical(fingerprint: Mapping[str, Any]) -> str:
    """A fingerprint as the text whose equality decides."""
    try:
        return json.dumps(fingerprint, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"the encoder's fingerprint is not JSON: {error}.") from None


def check_version(connection: Connection, place: str) -> int:
    """The version of the format that the open transaction sees.

    Raises:
        CorruptStoreError: another program wrote the catalogue.
        FormatVersionError: this program does not know the version.
    """
    [[application]] = connection.rows("PRAGMA application_id")
    if application != APPLICATION_ID:
        raise CorruptStoreError(f"{place} is an SQLite file of another program, not a collection.")
    [[version]] = connection.rows("PRAGMA user_version")
    if not tables.OLDEST <= version <= FORMAT_VERSION:
        raise FormatVersionError(
            f"{place} has format {version}; this version of maxsim-retrievers reads the formats {tables.OLDEST} to "
            f"{FORMAT_VERSION}. "
            + (
                "Upgrade with `pip install --upgrade maxsim-retrievers`."
                if version > FORMAT_VERSION
                else "No release ever wrote it: restore the directory from a backup."
            )
        )
    return int(version)


def set_bits(connection: Connection, bits: int) -> None:
    """Say how many bits a number of the rows has, in a collection that is being made."""
    connection.run("DELETE FROM settings WHERE name = ?", [BITS])
    if bits != 8:
        connection.run("INSERT INTO settings VALUES (?, ?)", [BITS, str(bits)])


def new_collection() -> str:
    """An id for a new collection."""
    return uuid.uuid4().hex


def collection_of(connection: Connection) -> str | None:
    """The id of the collection; None in format 1, which has none."""
    rows = connection.rows("SELECT value FROM settings WHERE name = ?", [COLLECTION])
    return str(rows[0][0]) if rows else None


def check(connection: Connection, place: str) -> Recognised:
    """Recognise a catalogue.

    Raises:
        FormatVersionError: a newer version wrote it.
        CorruptStoreError: another program wrote it, or its tables are not ours.
    """
    version = check_version(connection, place)
    # Tables that differ in anything are refused: a view or a trigger could run for ever or answer at will.
    found = connection.rows(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    statements = sorted(str(sql) for _, name, sql in found if name not in word_checks.SHADOWS)
    expected = sorted(tables.of(version))
    with_words = [sorted((*expected, *words.tables(name))) for name in words.TABLES] if version >= 3 else []
    shadows = [row for row in found if row[1] in word_checks.SHADOWS]
    if not (statements == expected and not shadows) and not (
        statements in with_words and word_checks.are_ours(connection, shadows)
    ):
        raise CorruptStoreError(f"{place} has other tables than format {version} has.")
    rows = connection.rows("SELECT value FROM settings WHERE name = 'fingerprint'")
    try:
        fingerprint = json.loads(rows[0][0])
        dim = fingerprint["dim"]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptStoreError(f"{place} does not say which encoder wrote it: {error!r}.") from error
    if type(dim) is not int or not 1 <= dim <= LARGEST_DIM:
        raise CorruptStoreError(f"{place} names {dim!r} dimensions: 1 to {LARGEST_DIM} is possible.")
    return Recognised(dict(fingerprint), RowForm(dim, _bits(connection, version, place)))


def _bits(connection: Connection, version: int, place: str) -> int:
    """How many bits a number of the rows has; before version 5 there was no choice."""
    rows = (
        connection.rows("SELECT value FROM settings WHERE name = ?", [BITS]) if version >= BITS_SINCE else []
    )
    if not rows:
        return 8
    if rows != [("4",)]:
        raise CorruptStoreError(
            f"{place} says that its rows have {rows[0][0]!r} bits a number: 4 or 8 is possible."
        )
    return 4


def check_bits(stored: int, given: int | None, place: str) -> None:
    """Refuse another number of bits than the one that the collection was made with; None takes what is there.

    Raises:
        InvalidInputError: it is another one.
    """
    if given not in (None, stored):
        raise InvalidInputError(
            f"{place} has rows of {stored} bits a number where {given} are asked for: a collection keeps the bits that "
            f"it was made with. collection.convert(path, bits={given}) makes a copy with others, without encoding."
        )


def check_fingerprint(stored: Mapping[str, Any], given: Mapping[str, Any], place: str) -> None:
    """Refuse another encoder than the one that wrote the collection.

    Raises:
        ModelMismatchError: the two encoders give documents other rows.
    """
    identity.check(stored, given, place)


def wal(connection: sqlite3.Connection) -> bool:
    """Switch to the write-ahead log; False where the file system cannot have one.

    The switch itself needs no journal on disk: it writes a single page.
    """
    connection.execute("PRAGMA journal_mode = MEMORY")
    return bool(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal")
