"""Documents by their source: what was cut from what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrievers.store import document_rows, documents, format_1
from retrievers.store.connection import Connection
from retrievers.types import Document


def keys_of(connection: Connection, sources: Iterable[str]) -> dict[str, int]:
    """Keys of the documents that were cut from any of some sources, by id; one without a source is its own.

    Raises:
        CorruptStoreError: a source is not the one that was written; the message names the document.
    """
    names, found = list(sources), dict[str, int]()
    if connection.format < documents.EXTRAS_SINCE:
        keys = set(documents.keys_of(connection, names).values())
        for first in range(0, len(names), documents.MOST_COMPARISONS):
            some = format_1.cut_from(names[first : first + documents.MOST_COMPARISONS])
            keys.update(documents.stored_matches(connection, some))
        parts, wanted = documents.read(connection, sorted(keys)), frozenset(names)
        return {str(one.id): key for key, one in parts.items() if (one.source or one.id) in wanted}
    for name in names:
        for key, number, source, attachment, checksum in connection.rows(
            "SELECT d.id, d.key, e.source, e.json, e.checksum FROM extras e JOIN documents d ON d.key = e.key "
            "WHERE e.source = ?",
            [name],
        ):
            document_rows.check_extras(key, source, attachment, checksum)
            found[key] = number
        itself = documents.by_id(connection, name)
        if itself is not None:
            kept = connection.rows("SELECT source, json, checksum FROM extras WHERE key = ?", [*itself])
            if all(document_rows.check_extras(name, *one)[0] is None for one in kept):
                found[name] = itself[0]
    return found


def get(connection: Connection, sources: Sequence[str]) -> list[Document]:
    """The documents that were cut from any of some sources, in order of insertion; see keys_of."""
    keys = sorted(keys_of(connection, sources).values())
    found = documents.read(connection, keys)
    return [found[key] for key in keys]
