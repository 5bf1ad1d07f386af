"""The next generation: the live rows alone, in new files, named by one commit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from retrievers.errors import CorruptStoreError
from retrievers.kernels.rows import RowForm, dequantize, possible, quantize
from retrievers.store import words
from retrievers.store.columns import Columns
from retrievers.store.connection import Connection
from retrievers.store.schema import State, write_state
from retrievers.store.snapshot import WINDOW, load_columns
from retrievers.store.tokens import Files, checksum, code_names, token_names

CURE = "Nothing was changed. Delete the documents that `retrievers verify` names, then compact."
BLOCK_ROWS = 1 << 15  # rows that are rounded anew at a time
BLOCK_WINDOWS = 4096  # windows that are copied at a time, and that one batch of the new generation holds


@dataclass(frozen=True, slots=True)
class Stored:
    """The arrays of a commit, dead rows included.

    Attributes:
        form: of the rows.
        rows: uint8, (tokens, form.row_bytes); fewer where the file was cut off.
        scales: float32, (tokens,), or fewer.
        codes: uint16, (tokens,), or fewer; None without codes.
        centroids: float32, (K, dim), or None.
    """

    form: RowForm
    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]
    codes: NDArray[np.uint16] | None
    centroids: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Written:
    """A generation that is on disk but not yet named.

    Attributes:
        state: what names it.
        batches: rows for the table of that name.
    """

    state: State
    batches: list[tuple[int, int, bytes, int, int | None]]


def stored(files: Files, form: RowForm, state: State) -> Stored:
    """What there is of the arrays of a commit: of a file that was cut off, the rows before the cut can be saved."""
    names = token_names(state.generation, form.bits)
    rows = _lenient(files, names[0], np.uint8, (form.row_bytes,), state.tokens)
    scales = _lenient(files, names[1], np.float32, (), state.tokens)
    if not state.codes:
        return Stored(form, rows, scales, None, None)
    names = code_names(state.codes)
    codes = _lenient(files, names[0], np.uint16, (), state.tokens)
    return Stored(form, rows, scales, codes, files.read(names[1], np.float32, (state.centroids, form.dim)))


def write(
    connection: Connection,
    old: Stored,
    files: Files,
    state: State,
    advance: Callable[[int], Any] = lambda count: None,
    *,
    bits: int,
) -> Written:
    """Copy the live rows, in order of insertion, each window compared with its checksum.

    Args:
        connection: inside a transaction that sees the state.
        old: of the state.
        files: where the next generation goes, without leftovers of a broken-off compaction.
        advance: called with the number of windows that were copied.
        bits: of a number of the new rows; where the old ones have others, they are rounded anew, and keep their codes.
    Raises:
        CorruptStoreError: a window is damaged; the message names its document.
    """
    columns = load_columns(connection, state)
    arrays: list[NDArray[Any]] = [old.rows, old.scales]
    names = [*token_names(state.generation + 1, bits)]
    if old.codes is not None:
        arrays.append(old.codes)
        names.append(code_names(state.codes + 1)[0])
    batches: list[tuple[int, int, bytes, int, int | None]] = []
    written = 0
    for part in _blocks(columns):
        block = columns.take(part)
        ends = block.end[block.end > block.start]
        if len(ends) and int(ends.max()) > min(map(len, arrays)):
            raise CorruptStoreError(f"the files end before document {_name(connection, block, -1)}. {CURE}")
        taken = _row_numbers(block)
        copies = [array[taken] for array in arrays]
        lengths = block.end - block.start
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        for place in range(len(lengths)):
            rows = slice(offsets[place], offsets[place + 1])
            if checksum(copies[0][rows], copies[1][rows]) != block.checksum[place]:
                raise CorruptStoreError(
                    f"token rows of document {_name(connection, block, place)} do not fit their checksum. {CURE}"
                )
            if bits != old.form.bits and not possible(copies[0][rows], copies[1][rows], old.form.bits):
                raise CorruptStoreError(
                    f"token rows of document {_name(connection, block, place)} are none. {CURE}"
                )
        checksums = block.checksum
        if bits != old.form.bits:
            copies[:2] = _rounded(copies[0], copies[1], old.form, bits)
            checksums = _checksums(copies[0], copies[1], offsets)
        for name, copy in zip(names, copies, strict=True):
            files.write(name, written * copy.itemsize * int(np.prod(copy.shape[1:], dtype=np.int64)), copy)
        windows = np.zeros(len(lengths), WINDOW)
        windows["key"], windows["tokens"], windows["checksum"] = block.key, lengths, checksums
        windows["first"], windows["last"] = block.first, block.last
        blob = windows.tobytes()
        codes_checksum = checksum(copies[2]) if old.codes is not None else None
        number = state.last_batch + len(batches) + 1
        batches.append((number, len(taken), blob, zlib.crc32(blob), codes_checksum))
        written += len(taken)
        advance(len(lengths))
    after = replace(
        state,
        version=state.version + 1,
        generation=state.generation + 1,
        tokens=written,
        last_batch=state.last_batch + len(batches),
        live_windows=len(columns.key),
        live_tokens=written,
    )
    if old.centroids is not None:
        files.write(code_names(state.codes + 1)[1], 0, old.centroids)
        after = replace(after, codes=state.codes + 1)
    files.sync_names()
    return Written(after, batches)


def switch(connection: Connection, written: Written) -> None:
    """Name the new generation, inside a transaction: from its commit on, the old one is no longer read."""
    connection.run("DELETE FROM batches")
    connection.run("DELETE FROM dead")
    connection.run_many("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", written.batches)
    words.compact(connection)
    write_state(connection, written.state)


def _blocks(columns: Columns) -> list[slice]:
    """The windows in parts of some thousand, cut between documents."""
    cuts = np.flatnonzero(np.diff(columns.key)) + 1
    edges = [0]
    while edges[-1] < len(columns.key):
        wanted = edges[-1] + BLOCK_WINDOWS
        place = int(np.searchsorted(cuts, wanted))
        edges.append(int(cuts[place]) if place < len(cuts) else len(columns.key))
    return [slice(first, last) for first, last in pairwise(edges)]


def _rounded(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], form: RowForm, bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows and scales with other bits a number."""
    made = np.zeros((len(rows), RowForm(form.dim, bits).row_bytes), np.uint8)
    made_scales = np.zeros(len(rows), np.float32)
    for first in range(0, len(rows), BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        whole = dequantize(rows[part], scales[part], form.dim, form.bits)
        made[part], made_scales[part] = quantize(whole, bits)
    return made, made_scales


def _checksums(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """CRC-32 of the rows and scales of each window, which begin at the offsets; the last offset is the end."""
    parts = [slice(*pair) for pair in pairwise(offsets.tolist())]
    return np.array([checksum(rows[part], scales[part]) for part in parts], np.int64)


def _row_numbers(columns: Columns) -> NDArray[np.int64]:
    """Numbers of all rows of some windows, in the order of the windows."""
    lengths = columns.end - columns.start
    before = np.cumsum(lengths) - lengths
    numbers: NDArray[np.int64] = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(
        columns.start - before, lengths
    )
    return numbers


def _lenient(files: Files, name: str, kind: DTypeLike, tail: tuple[int, ...], tokens: int) -> NDArray[Any]:
    width = np.dtype(kind).itemsize * int(np.prod(tail, dtype=np.int64))
    return files.read(name, kind, (min(tokens, files.size(name) // width), *tail))


def _name(connection: Connection, block: Columns, place: int) -> str:
    found = connection.rows("SELECT id FROM documents WHERE key = ?", [int(block.key[place])])
    return repr(found[0][0]) if found else f"number {int(block.key[place])}"
