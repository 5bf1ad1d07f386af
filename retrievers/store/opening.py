"""Opening a store: recognise the collection that is there, or create one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from retrievers.errors import CorruptStoreError, StoreError
from retrievers.store import documents, schema, words
from retrievers.store.catalog import DiskCatalog
from retrievers.store.connection import Connection
from retrievers.store.directory import CATALOG
from retrievers.store.memory import MemoryCatalog
from retrievers.store.tokens import Files

Catalog: TypeAlias = DiskCatalog | MemoryCatalog


def open_or_create(
    catalog: Catalog,
    files: Files,
    fingerprint: Mapping[str, Any] | None,
    bits: int | None = None,
    counts_tokens: bool = False,
) -> schema.Recognised:
    """Fingerprint and form of the rows that are stored, or that are stored now because the collection is new.

    Args:
        fingerprint: of the encoder; None opens an existing collection only.
        bits: of a number of the rows; None takes what is there, and 8 for a new collection.
        counts_tokens: whether a new collection counts the tokens of its documents.
    Raises:
        ModelMismatchError: another encoder wrote the collection.
        InvalidInputError: its rows have other bits.
        StoreError: there is none, and no fingerprint to create one with.
    """
    stored = _recognised(catalog, files)
    if stored is None and fingerprint is None:
        raise StoreError(f"there is no collection at {catalog.place}: build one with `retrievers index`.")
    if stored is None:
        assert fingerprint is not None
        schema.check_dim(fingerprint)
        schema.canonical(fingerprint)
        catalog.make_directory()
        stored = catalog.lock.hold(catalog.timeout).during(
            _create, catalog, files, fingerprint, 8 if bits is None else bits, counts_tokens
        )
    if fingerprint is not None:
        schema.check_fingerprint(stored.fingerprint, fingerprint, catalog.place)
    schema.check_bits(stored.form.bits, bits, catalog.place)
    return stored


def missing_indexes(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """Those of some paths whose values are not indexed yet."""
    return sorted(set(names) - catalog.reading().during(documents.indexed_paths)) if names else []


def lacks_words(catalog: Catalog, tokenizer: str, weight: float | None) -> bool:
    """Whether the collection has no index of words with this tokenizer, and this weight if there is one."""
    found = catalog.reading().during(words.read)
    return found is None or found.tokenizer != tokenizer or weight not in (None, found.weight)


def _create(
    catalog: Catalog, files: Files, fingerprint: Mapping[str, Any], bits: int, counts_tokens: bool
) -> schema.Recognised:
    stored = _recognised(catalog, files)  # another process may have been faster
    if stored is not None:
        return stored
    catalog.prepare()
    return catalog.writing().during(_write_tables, fingerprint, catalog.place, bits, counts_tokens)


def _write_tables(
    connection: Connection, fingerprint: Mapping[str, Any], place: str, bits: int, counts_tokens: bool
) -> schema.Recognised:
    schema.create(connection, fingerprint, bits, counts_tokens=counts_tokens)
    return schema.check(connection, place)


def _recognised(catalog: Catalog, files: Files) -> schema.Recognised | None:
    """What is stored; None where there is no collection yet, or one whose creation broke off."""
    exists = catalog.exists()
    orphans = files.names()
    if exists or catalog.exists():  # looked for again: whoever creates a collection writes token files last
        stored = catalog.reading().during(_check, catalog.place)
        if stored is not None:
            return stored
    # Token files without a catalogue are somebody's documents, not a place for a new collection.
    if orphans:
        raise CorruptStoreError(
            f"{catalog.place} has token files but no {CATALOG}, or an empty one: restore it from a backup, or "
            "build the collection anew in another directory."
        )
    return None


def _check(connection: Connection, place: str) -> schema.Recognised | None:
    return None if schema.is_new(connection) else schema.check(connection, place)
