"""What one append or delete writes: rows into the files first, then their names into the catalogue."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError, InvalidInputError, ShapeError
from retrievers.kernels.rows import MOST, RowForm, stored_form
from retrievers.store import documents, words
from retrievers.store.codes import Assign
from retrievers.store.connection import Connection
from retrievers.store.schema import State
from retrievers.store.snapshot import WINDOW
from retrievers.store.tokens import Files, checksum, code_names, token_names
from retrievers.store.writer import Writer
from retrievers.types import Document, QuantizedMatrix, TokenMatrix


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with what its encoder made of it.

    Attributes:
        document: its id is set.
        content_hash: changes when the document must be encoded again.
        windows: character spans of the windows in the text.
        matrices: float32, (tokens, dim), one a window; or what quantize made of it.
        token_ids: numbers of the tokens that it has, for a collection that counts them; None where nobody knows.
    """

    document: Document
    content_hash: bytes
    windows: Sequence[tuple[int, int]]
    matrices: Sequence[TokenMatrix | QuantizedMatrix]
    token_ids: Collection[int] | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A document whose text is believed to be stored as it is, so that only what stands beside it is written.

    Attributes:
        document: its id is set; its text is not looked at.
        content_hash: of the text that is believed to be stored.
    """

    document: Document
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries as they are stored.

    Attributes:
        entries: the documents.
        windows: WINDOW, one array a document, whose keys are still to be set.
        rows: uint8, (tokens, row_bytes).
        scales: float32, (tokens,).
    """

    entries: Sequence[Entry]
    windows: Sequence[NDArray[np.void]]
    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]


def prepare(entries: Sequence[Entry], form: RowForm) -> Batch:
    """Quantise the entries, before any lock is taken.

    Raises:
        ShapeError: a matrix has another width than the collection's.
        InvalidInputError: a document has not one matrix a window, or a window lies outside of its text.
    """
    rows, scales, windows = [np.zeros((0, form.row_bytes), np.uint8)], [np.zeros(0, np.float32)], []
    for entry in entries:
        if len(entry.windows) != len(entry.matrices):
            raise InvalidInputError(
                f"document {entry.document.id!r} has {len(entry.windows)} windows but {len(entry.matrices)} "
                "matrices: one a window is needed."
            )
        length = len(entry.document.context) + len(entry.document.text)
        if not all(0 <= first <= last <= length for first, last in entry.windows):
            raise InvalidInputError(
                f"document {entry.document.id!r} has {length} characters and windows {list(entry.windows)[:5]}: each "
                "must lie inside of them. Look at the encoder's split."
            )
        described = np.zeros(len(entry.windows), WINDOW)
        for place, ((first, last), matrix) in enumerate(zip(entry.windows, entry.matrices, strict=True)):
            if isinstance(matrix, QuantizedMatrix):
                if matrix.rows.shape != (len(matrix.scales), form.row_bytes) or matrix.bits != form.bits:
                    raise ShapeError(
                        f"quantised rows of {matrix.bits} bits have shape {matrix.rows.shape} for "
                        f"{len(matrix.scales)} scales: (tokens, {form.row_bytes}) of {form.bits} bits is needed, one "
                        "scale a row."
                    )
            elif matrix.ndim != 2 or matrix.shape[1] != form.dim:
                raise ShapeError(f"a matrix has shape {matrix.shape}: (tokens, {form.dim}) is needed.")
            part, part_scales = stored_form(matrix, form.bits)
            described[place] = (0, len(matrix), first, last, checksum(part, part_scales))
            rows.append(part)
            scales.append(part_scales)
        windows.append(described)
    return Batch(entries, windows, np.concatenate(rows), np.concatenate(scales))


def write_rows(files: Files, state: State, form: RowForm, batch: Batch, assign: Assign) -> int | None:
    """Put rows behind the last committed one, where nothing refers to them yet, and see them to the disk.

    Returns:
        CRC-32 of the codes of the rows; None without codes.
    Raises:
        CorruptStoreError: the files end before the last committed row.
    """
    parts: list[tuple[str, int, NDArray[Any]]] = []
    names = token_names(state.generation, form.bits)
    for name, array, row in ((names[0], batch.rows, form.row_bytes), (names[1], batch.scales, 4)):
        parts.append((name, row, array))
    codes_checksum = None
    if state.codes:
        names = code_names(state.codes)
        centroids = files.read(names[1], np.float32, (state.centroids, form.dim))
        if checksum(centroids) != state.centroids_checksum:
            raise CorruptStoreError(
                f"{names[1]} does not fit its checksum. `retrievers optimize` writes it anew."
            )
        codes = assign(batch.rows, batch.scales, centroids, form.bits)
        check_codes(codes, len(batch.rows), state.centroids)
        codes_checksum = checksum(codes)
        parts.append((names[0], 2, codes))
    if not len(batch.rows):
        return codes_checksum
    for name, row, _ in parts:
        # Writing behind a file's end would fill the gap with zeros, which look like rows.
        if files.size(name) < state.tokens * row:
            raise CorruptStoreError(
                f"{name} has {files.size(name)} bytes, but the catalogue names {state.tokens * row}: it was cut "
                "off. `retrievers verify` names the documents; delete them, compact, and add them again."
            )
    for name, row, array in parts:
        files.write(name, state.tokens * row, array)
    if not state.tokens:
        files.sync_names()  # they are new
    return codes_checksum


def check_centroids(centroids: NDArray[np.float32], dim: int) -> None:
    """Refuse centroids that no kernel could work with.

    Raises:
        InvalidInputError: they are not (1 to 65 536, dim), or one is not finite.
    """
    count = len(centroids)
    if centroids.shape != (count, dim) or not 1 <= count <= 1 << 16:
        raise InvalidInputError(f"centroids has shape {centroids.shape}: (1 to 65536, {dim}) is needed.")
    if not (np.abs(centroids) <= MOST).all():  # NaN is not
        raise InvalidInputError(
            "centroids are not finite, or too large. If they were trained on stored rows, `retrievers verify` "
            "names the documents whose rows are damaged."
        )


def check_codes(codes: NDArray[np.uint16], tokens: int, centroids: int) -> None:
    """Refuse codes that do not fit the rows or name no centroid.

    Raises:
        InvalidInputError: they do.
    """
    if codes.shape != (tokens,) or codes.dtype != np.uint16:
        raise InvalidInputError(f"codes are {codes.dtype} {codes.shape}: uint16 ({tokens},) is needed.")
    if tokens and int(codes.max()) >= centroids:
        raise InvalidInputError(f"codes name centroid {int(codes.max())} of {centroids}.")


def record(
    connection: Connection, writer: Writer, state: State, batch: Batch, codes_checksum: int | None
) -> State:
    """Enter a batch into the catalogue.

    Args:
        connection: inside a transaction.
        writer: of the same transaction.
        state: what is committed.
    Returns:
        The state to commit.
    """
    number, index = state.last_batch + 1, words.opened(connection)
    after = replace(state, tokens=state.tokens + len(batch.rows), last_batch=number)
    for entry, windows in zip(batch.entries, batch.windows, strict=True):
        tokens = int(windows["tokens"].sum())
        found = documents.by_id(connection, str(entry.document.id), "d.key, d.windows, d.tokens")
        if found is not None:
            key = found[0]
            after = _bury(connection, after, found, number - 1)
            if index is not None:
                index.remove(key)
            writer.replace(key, entry.document, entry.content_hash, len(windows), tokens, entry.token_ids)
        else:
            key = after.last_key + 1
            after = replace(after, last_key=key, documents=after.documents + 1)
            writer.insert(key, entry.document, entry.content_hash, len(windows), tokens, entry.token_ids)
        if index is not None:
            index.put(key, entry.document, entry.windows)
        windows["key"] = key
        after = replace(
            after, live_windows=after.live_windows + len(windows), live_tokens=after.live_tokens + tokens
        )
    if index is not None:
        index.finish()
    blob = np.concatenate([np.zeros(0, WINDOW), *batch.windows]).tobytes()
    connection.run(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?)",
        [number, len(batch.rows), blob, zlib.crc32(blob), codes_checksum],
    )
    return after


def record_codes(connection: Connection, codes: NDArray[np.uint16]) -> None:
    """Keep the checksum of each batch's codes, inside a transaction."""
    first = 0
    for batch, tokens in connection.rows("SELECT batch, tokens FROM batches ORDER BY batch"):
        value = checksum(codes[first : first + tokens])
        connection.run("UPDATE batches SET codes_checksum = ? WHERE batch = ?", [value, batch])
        first += tokens


def delete(connection: Connection, writer: Writer, state: State, keys: Sequence[int]) -> State:
    """Remove documents inside a transaction and mark their windows as dead.

    Returns:
        The state to commit.
    """
    index = words.opened(connection)
    for key in keys:
        found = connection.rows("SELECT key, windows, tokens FROM documents WHERE key = ?", [key])
        state = replace(_bury(connection, state, found[0], state.last_batch), documents=state.documents - 1)
        if index is not None:
            index.remove(key)
        writer.delete(key)
    return state


def _bury(connection: Connection, state: State, row: tuple[Any, ...], last_batch: int) -> State:
    """Mark the windows that a document has up to a batch as dead."""
    key, windows, tokens = row
    counts = ((windows, state.live_windows), (tokens, state.live_tokens))
    if not all(type(count) is int and 0 <= count <= most for count, most in counts):
        raise CorruptStoreError(
            f"the catalogue says that document {key} has {windows!r} windows and {tokens!r} token rows: it is "
            "damaged. Restore the directory from a backup."
        )
    # Also where the count is 0: it may be damaged, and windows without a mark would outlive their document.
    connection.run("INSERT INTO dead VALUES (?, ?, ?)", [state.last_dead + 1, key, last_batch])
    return replace(
        state,
        last_dead=state.last_dead + 1,
        live_windows=state.live_windows - windows,
        live_tokens=state.live_tokens - tokens,
    )
