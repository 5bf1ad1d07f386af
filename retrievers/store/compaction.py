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
from retrievers.kernels.rows import row_bytes
from retrievers.store import words
from retrievers.store.columns import Columns
from retrievers.store.connection import Connection
from retrievers.store.schema import State, write_state
from retrievers.store.snapshot import WINDOW, load_columns
from retrievers.store.tokens import Files, checksum, code_names, token_names

BLOCK_WINDOWS = 4096  # windows that are copied at a time, and that one batch of the new generation holds


@dataclass(frozen=True, slots=True)
class Written:
    """A generation that is on disk but not yet named.

    Attributes:
        state: what names it.
        batches: rows for the table of that name.
    """

    state: State
    batches: list[tuple[int, int, bytes, int, int | None]]


def write(
    connection: Connection,
    files: Files,
    dim: int,
    state: State,
    advance: Callable[[int], Any] = lambda count: None,
) -> Written:
    """Copy the live rows, in order of insertion, each window compared with its checksum.

    Args:
        connection: inside a transaction that sees the state.
        files: without leftovers of a broken-off compaction.
        advance: called with the number of windows that were copied.
    Raises:
        CorruptStoreError: a window is damaged; the message names its document.
    """
    columns = load_columns(connection, state)
    sources = [
        (token_names(state.generation)[0], token_names(state.generation + 1)[0], np.uint8, (row_bytes(dim),)),
        (token_names(state.generation)[1], token_names(state.generation + 1)[1], np.float32, ()),
    ]
    if state.codes:
        sources.append((code_names(state.codes)[0], code_names(state.codes + 1)[0], np.uint16, ()))
    old = [_lenient(files, name, kind, tail, state.tokens) for name, _, kind, tail in sources]
    batches: list[tuple[int, int, bytes, int, int | None]] = []
    written = 0
    for part in _blocks(columns):
        block = columns.take(part)
        ends = block.end[block.end > block.start]
        if len(ends) and int(ends.max()) > min(len(array) for array in old):
            raise CorruptStoreError(f"the files end before document {_name(connection, block, -1)}. {CURE}")
        taken = _row_numbers(block)
        copies = [array[taken] for array in old]
        lengths = block.end - block.start
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        for place in range(len(lengths)):
            rows = slice(offsets[place], offsets[place + 1])
            if checksum(copies[0][rows], copies[1][rows]) != block.checksum[place]:
                raise CorruptStoreError(
                    f"token rows of document {_name(connection, block, place)} do not fit their checksum. {CURE}"
                )
        for (_, name, kind, tail), copy in zip(sources, copies, strict=True):
            files.write(name, written * np.dtype(kind).itemsize * int(np.prod(tail, dtype=np.int64)), copy)
        windows = np.zeros(len(lengths), WINDOW)
        windows["key"], windows["tokens"], windows["checksum"] = block.key, lengths, block.checksum
        windows["first"], windows["last"] = block.first, block.last
        blob = windows.tobytes()
        codes_checksum = checksum(copies[2]) if state.codes else None
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
    if state.codes:
        centroids = files.read(code_names(state.codes)[1], np.float32, (state.centroids, dim))
        files.write(code_names(state.codes + 1)[1], 0, centroids)
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


def _row_numbers(columns: Columns) -> NDArray[np.int64]:
    """Numbers of all rows of some windows, in the order of the windows."""
    lengths = columns.end - columns.start
    before = np.cumsum(lengths) - lengths
    numbers: NDArray[np.int64] = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(
        columns.start - before, lengths
    )
    return numbers


def _lenient(files: Files, name: str, kind: DTypeLike, tail: tuple[int, ...], tokens: int) -> NDArray[Any]:
    """What there is of an array: of a file that was cut off, the rows before the cut can still be saved."""
    width = np.dtype(kind).itemsize * int(np.prod(tail, dtype=np.int64))
    return files.read(name, kind, (min(tokens, files.size(name) // width), *tail))


def _name(connection: Connection, block: Columns, place: int) -> str:
    found = connection.rows("SELECT id FROM documents WHERE key = ?", [int(block.key[place])])
    return repr(found[0][0]) if found else f"number {int(block.key[place])}"


CURE = "Nothing was changed. Delete the documents that `retrievers verify` names, then compact."
