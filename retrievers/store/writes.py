"""The changes of a store, each made under the writer's lock and committed in one transaction.

What a caller decided on something that it read before is compared again here: see append and delete_seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import InvalidInputError, StoreError, StoreLockedError
from retrievers.filters import Filter
from retrievers.kernels.rows import RowForm
from retrievers.store import changes, compaction, documents
from retrievers.store import sources as cut
from retrievers.store.changes import Batch, Unchanged
from retrievers.store.codes import Assign
from retrievers.store.connection import Connection, translated
from retrievers.store.opening import Catalog
from retrievers.store.schema import FORMAT_VERSION, State, read_state, write_state
from retrievers.store.tokens import Files, checksum, code_names, token_names
from retrievers.store.unfinished import Unfinished
from retrievers.store.writer import Writer, index_paths
from retrievers.types import Document

Result = TypeVar("Result")


class Change:
    """A change that is being made: what it writes to, and the commit that it follows.

    Attributes:
        catalog: the catalogue, whose lock is held.
        files: the token files.
        form: of the token rows.
        state: the commit that the change follows.
    """

    def __init__(self, catalog: Catalog, files: Files, form: RowForm, state: State) -> None:
        self.catalog, self.files, self.form, self.state = catalog, files, form, state

    def commit(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function with the connection of a transaction that follows the commit, and commit what it does."""
        result: Result = self.catalog.writing().during(self._follow, call, *arguments)
        return result

    def _follow(self, connection: Connection, call: Callable[..., Result], *arguments: Any) -> Result:
        if read_state(connection) != self.state:
            raise StoreLockedError(
                f"{self.catalog.place} was changed under a writer's lock: its file system does not keep locks. Put "
                "the collection on a local disk."
            )
        return call(connection, *arguments)

    def sweep(self) -> None:
        """Take away files that no commit names: of older generations, or of a write that was broken off.

        Readers that have them open keep them. Rows of the other number of bits stay: a collection has none, unless its
        setting is damaged, and then they are all that it has. A file that cannot be removed is harmless, and the next
        sweep meets it again.
        """
        state = self.catalog.reading().during(read_state)
        kept = {*token_names(state.generation, self.form.bits), *code_names(state.codes)}
        other_rows = f".u{12 - self.form.bits}"
        for name in self.files.names():
            if name not in kept and not name.endswith(other_rows):
                with suppress(OSError):
                    self.files.remove(name)


def run(
    catalog: Catalog, files: Files, form: RowForm, change: Callable[..., Result], *arguments: Any
) -> Result:
    """Make a change; what it leaves in the way, or an earlier one did, is taken away.

    Args:
        change: called with a Change and the arguments, while the writer's lock is held.
    """
    with translated(catalog.place):
        catalog.check()
        begun = Change(catalog, files, form, catalog.reading().during(read_state))
        begun.sweep()
        try:
            return change(begun, *arguments)
        finally:
            with suppress(StoreError):
                begun.sweep()


def append(
    change: Change,
    batch: Batch,
    unchanged: Sequence[Unchanged],
    replaces: frozenset[str],
    requires: Mapping[str, bytes],
    assign: Assign,
) -> list[str]:
    """Store.append, once the rows are quantised."""
    believed = {str(one.document.id): one.content_hash for one in unchanged} | dict(requires)
    stored = change.catalog.reading().during(documents.content_hashes, list(believed))
    lost = [key for key, digest in believed.items() if stored.get(key) != digest]
    if lost and (replaces or not set(lost).isdisjoint(requires)):
        return lost
    codes_checksum = None
    if batch.entries:
        codes_checksum = changes.write_rows(change.files, change.state, change.form, batch, assign)
    kept = [one for one in unchanged if one.document.id not in lost]
    change.commit(_record, change.state, batch, codes_checksum, kept, replaces, set(requires))
    return lost


def _record(
    connection: Connection,
    state: State,
    batch: Batch,
    codes_checksum: int | None,
    unchanged: Sequence[Unchanged],
    replaces: frozenset[str],
    requires: set[str],
) -> None:
    writer = Writer(connection)
    after = state
    if batch.entries:
        after = changes.record(connection, writer, state, batch, codes_checksum)
    changed = bool(batch.entries)
    keys = documents.keys_of(connection, [str(one.document.id) for one in unchanged])
    for one in unchanged:
        changed |= writer.replace_beside(keys[str(one.document.id)], one.document)
    if replaces:
        stay = {str(one.document.id) for one in batch.entries} | requires
        stay |= {str(one.document.id) for one in unchanged}
        others = cut.keys_of(connection, replaces)
        removed = [key for name, key in others.items() if name not in stay]
        after = changes.delete(connection, writer, after, removed)
        changed |= bool(removed)
    writer.finish()
    if changed:
        write_state(connection, replace(after, version=state.version + 1))


def delete(change: Change, ids: Sequence[str]) -> int:
    """Remove documents by id."""
    return change.commit(_delete_ids, change.state, ids)


def delete_matching(change: Change, filter: Filter | None, ids: Sequence[str] | None) -> int:
    """Remove the documents that a filter keeps, of those that ids names."""
    return change.commit(_delete_matching, change.state, filter, ids)


def delete_sources(change: Change, sources: Sequence[str]) -> int:
    """Remove the documents that were cut from any of some sources."""
    return change.commit(_delete_sources, change.state, sources)


def delete_seen(change: Change, seen: Mapping[str, bytes]) -> tuple[int, list[str]]:
    """Remove documents of which nothing has changed since somebody decided on them.

    Args:
        seen: documents.versions of that time.
    Returns:
        How many were removed, and the ids of those that have changed and are still there.
    """
    return change.commit(_delete_seen, change.state, seen)


def _delete_ids(connection: Connection, state: State, ids: Sequence[str]) -> int:
    return _delete(connection, state, list(documents.keys_of(connection, ids).values()))


def _delete_sources(connection: Connection, state: State, sources: Sequence[str]) -> int:
    return _delete(connection, state, list(cut.keys_of(connection, sources).values()))


def _delete_matching(
    connection: Connection, state: State, filter: Filter | None, ids: Sequence[str] | None
) -> int:
    return _delete(connection, state, documents.checked_keys(connection, filter, ids))


def _delete_seen(connection: Connection, state: State, seen: Mapping[str, bytes]) -> tuple[int, list[str]]:
    keys = documents.keys_of(connection, seen)
    now = documents.versions(connection, list(keys.values()))
    same = [key for key, version in now.items() if version == seen[key]]
    count = _delete(connection, state, [keys[key] for key in same])
    return count, [key for key in now if now[key] != seen[key]]


def _delete(connection: Connection, state: State, keys: Sequence[int]) -> int:
    if keys:
        writer = Writer(connection)
        after = changes.delete(connection, writer, state, keys)
        writer.finish()
        write_state(connection, replace(after, version=state.version + 1))
    return len(keys)


def update(change: Change, metadatas: Mapping[str, Mapping[str, Any]]) -> None:
    """Give stored documents other metadata."""
    change.commit(_update, change.state, metadatas)


def _update(connection: Connection, state: State, metadatas: Mapping[str, Mapping[str, Any]]) -> None:
    keys = documents.keys_of(connection, metadatas)
    absent = [key for key in metadatas if key not in keys]
    if absent:
        raise InvalidInputError(
            f"{absent[0]!r} is not stored ({len(absent)} of {len(metadatas)} ids are not): nothing was changed. Add "
            "the document with its text."
        )
    writer = Writer(connection)
    changed = False
    for key, metadata in metadatas.items():
        changed |= writer.replace_beside(keys[key], Document("", key, metadata))
    writer.finish()
    if changed:
        write_state(connection, replace(state, version=state.version + 1))


def write_codes(change: Change, centroids: NDArray[np.float32], codes: NDArray[np.uint16]) -> None:
    """Write codes and centroids, and name them."""
    state = change.state
    changes.check_codes(codes, state.tokens, len(centroids))
    names = code_names(state.codes + 1)
    change.files.write(names[0], 0, codes)
    change.files.write(names[1], 0, centroids)
    change.files.sync_names()
    after = replace(
        state,
        version=state.version + 1,
        codes=state.codes + 1,
        centroids=len(centroids),
        centroids_checksum=checksum(centroids),
    )
    change.commit(_record_codes, after, np.ascontiguousarray(codes))


def _record_codes(connection: Connection, after: State, codes: NDArray[np.uint16]) -> None:
    changes.record_codes(connection, codes)
    write_state(connection, after)


def compact(change: Change, advance: Callable[[int], Any] = lambda count: None) -> bool:
    """Write the next generation and name it; False where there are no dead rows."""
    written = change.catalog.reading().during(_next_generation, change, advance)
    if written is None:
        return False
    change.commit(compaction.switch, written)
    Unfinished(change.files, change.form.dim, change.catalog.place).remove()  # of rows that have moved
    return True


def _next_generation(
    connection: Connection, change: Change, advance: Callable[[int], Any]
) -> compaction.Written | None:
    if not connection.rows("SELECT 1 FROM dead LIMIT 1"):
        return None
    old = compaction.stored(change.files, change.form, change.state)
    return compaction.write(connection, old, change.files, change.state, advance, bits=change.form.bits)


def add_indexes(change: Change, names: Sequence[str]) -> None:
    """Index the values under some paths from now on."""
    change.commit(index_paths, names)


def migrate(change: Change) -> bool:
    """Let the transaction bring the format up to date; True if it was older."""
    before = change.catalog.reading().during(_format)
    if before < FORMAT_VERSION:
        change.commit(_format)
    return before < FORMAT_VERSION


def _format(connection: Connection) -> int:
    return connection.format
