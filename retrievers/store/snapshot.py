"""The live windows of one commit as arrays, brought up to date from the commit before."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import CorruptStoreError
from retrievers.kernels.rows import MOST, RowForm
from retrievers.store import words
from retrievers.store.columns import Columns
from retrievers.store.connection import Connection
from retrievers.store.schema import State
from retrievers.store.tokens import Files, checksum, code_names, token_names
from retrievers.types import Document

WINDOW = np.dtype([("key", "<i8"), ("tokens", "<i8"), ("first", "<i8"), ("last", "<i8"), ("checksum", "<i8")])
"""One window as the catalogue keeps it: document key, rows, character span, CRC-32 of rows and scales."""

MOST_TOKENS = 1 << 40  # of one window; more is damage, and sums of fewer cannot overflow
SELECTIONS = 32  # filters whose result a snapshot remembers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a search needs of one commit; shared by threads and never changed.

    Attributes:
        state: the commit.
        columns: the live windows.
        rows: uint8, (tokens, row_bytes), dead rows included.
        scales: float32, (tokens,).
        codes: uint16, (tokens,), or None.
        centroids: float32, (K, dim), or None.
        words: the index of words, or None.
        selections: positions of windows by filter, the most recently used last.
    """

    state: State
    columns: Columns
    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]
    codes: NDArray[np.uint16] | None
    centroids: NDArray[np.float32] | None
    words: words.Words | None = None
    selections: OrderedDict[Any, NDArray[np.int64]] = field(default_factory=OrderedDict)


def load(
    connection: Connection, files: Files, form: RowForm, state: State, previous: Snapshot | None
) -> Snapshot:
    """Arrays of a commit.

    Args:
        connection: inside the transaction that read the state.
        form: of the rows.
        previous: an older snapshot to start from, or None.
    Raises:
        MissingFileError: a compaction has taken the files away since the state was read.
        CorruptStoreError: the catalogue contradicts itself or the files.
    """
    if previous is not None and (
        previous.state.generation != state.generation or previous.state.version > state.version
    ):
        previous = None
    columns = load_columns(connection, state, previous)
    if previous is not None and previous.state.tokens == state.tokens:
        rows, scales = previous.rows, previous.scales
    else:
        names = token_names(state.generation, form.bits)
        rows = files.read(names[0], np.uint8, (state.tokens, form.row_bytes))
        scales = files.read(names[1], np.float32, (state.tokens,))
        _check_ends(rows, scales, columns, form)
    codes, centroids = _load_codes(files, form.dim, state, previous)
    index = words.read(connection)
    if index is not None and previous is not None and previous.words is not None:
        index.earlier = previous.words.rows
    return Snapshot(state, columns, rows, scales, codes, centroids, index)


def load_columns(connection: Connection, state: State, previous: Snapshot | None = None) -> Columns:
    """The live windows of a commit, without a look at the files."""
    old_batch, old_dead, base = 0, 0, 0
    columns = _live(np.zeros(0, WINDOW), np.zeros(0, np.int64), 0)
    if previous is not None:
        old_batch, old_dead, base = (
            previous.state.last_batch,
            previous.state.last_dead,
            previous.state.tokens,
        )
        columns = previous.columns
    windows, batches = _load_batches(connection, old_batch, state.tokens - base)
    if len(batches) and batches[-1] > state.last_batch:  # a mark of the dead would not reach it
        raise CorruptStoreError(
            f"the catalogue has batch {batches[-1]} and counts {state.last_batch} batches."
        )
    if len(windows):
        columns = columns.joined(_live(windows, batches, base))
    dead = connection.rows("SELECT key, last_batch FROM dead WHERE number > ?", [old_dead])
    if dead:
        columns = columns.take(~_is_dead(columns, _integers(dead, 2)))
    if (np.diff(columns.key) < 0).any():
        columns = columns.take(np.argsort(columns.key, kind="stable"))
    # The two totals are a short cut: where one is wrong, by the count of a document that was damaged when it was
    # deleted, say, the documents decide, so that one wrong number does not close the whole collection.
    if not fits_totals(columns, state) and (differing := differing_documents(connection, columns)):
        raise CorruptStoreError(
            f"the catalogue has {len(columns.key)} live windows, but counted {state.live_windows} when it wrote "
            f"them, and other windows of {len(differing)} documents than they had: it is damaged. Restore the "
            "directory from a backup."
        )
    return columns


def fits_totals(columns: Columns, state: State) -> bool:
    """Whether there are as many live windows and rows as the state counts."""
    tokens = int((columns.end - columns.start).sum())
    return (len(columns.key), tokens) == (state.live_windows, state.live_tokens)


def differing_documents(connection: Connection, columns: Columns) -> list[int]:
    """Keys of documents that have more or fewer live windows or rows than their own row counts, ascending."""
    rows = connection.rows("SELECT key, windows, tokens FROM documents ORDER BY key")
    counted = {key: (windows, tokens) for key, windows, tokens in rows}
    keys, first = np.unique(columns.key, return_index=True)
    windows = np.diff(np.append(first, len(columns.key)))
    tokens = np.add.reduceat(columns.end - columns.start, first) if len(first) else first
    there = dict(zip(keys.tolist(), zip(windows.tolist(), tokens.tolist(), strict=True), strict=True))
    return sorted(
        key for key in counted.keys() | there.keys() if counted.get(key, (0, 0)) != there.get(key, (0, 0))
    )


def spans_fit(first: NDArray[np.int64], last: NDArray[np.int64], document: Document) -> bool:
    """Whether character spans lie inside of a document's context and text."""
    length = len(document.context) + len(document.text)
    return bool(((first >= 0) & (first <= last) & (last <= length)).all())


def _load_batches(
    connection: Connection, after: int, tokens: int
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Windows of the batches behind one, WINDOW, and the batch of each, int64."""
    loaded = connection.rows(
        "SELECT batch, tokens, windows, checksum FROM batches WHERE batch > ? ORDER BY batch", [after]
    )
    total = 0
    for batch, count, blob, crc in loaded:
        if type(blob) is not bytes or type(count) is not int or count < 0 or zlib.crc32(blob) != crc:
            raise CorruptStoreError(
                f"batch {batch} of the catalogue does not fit its checksum: it is damaged. Restore the "
                "directory from a backup."
            )
        total += count
    if total != tokens:
        raise CorruptStoreError(
            f"the catalogue's batches have {total} token rows where its state has {tokens}: it is damaged."
        )
    joined = b"".join(row[2] for row in loaded)
    if len(joined) % WINDOW.itemsize:
        raise CorruptStoreError(
            f"the catalogue's windows have {len(joined)} bytes, no multiple of a window's."
        )
    counts = np.array([len(row[2]) // WINDOW.itemsize for row in loaded], np.int64)
    numbers = np.array([row[0] for row in loaded], np.int64)
    windows = np.frombuffer(joined, WINDOW)
    lengths = windows["tokens"]
    if len(lengths) and (lengths.min() < 0 or lengths.max() > MOST_TOKENS or int(lengths.sum()) != tokens):
        raise CorruptStoreError(f"the catalogue's windows do not add up to its {tokens} token rows.")
    if not len(lengths) and tokens:
        raise CorruptStoreError(f"the catalogue has {tokens} token rows but no windows.")
    return windows, np.repeat(numbers, counts)


def _live(windows: NDArray[np.void], batches: NDArray[np.int64], base: int) -> Columns:
    """Windows that lie one behind the other in the files, from row `base` on."""
    end = base + np.cumsum(windows["tokens"], dtype=np.int64)
    fields = {name: windows[name].astype(np.int64) for name in ("key", "first", "last", "checksum")}
    return Columns(
        fields["key"],
        batches,
        end - windows["tokens"],
        end,
        fields["first"],
        fields["last"],
        fields["checksum"],
        np.zeros(len(windows), bool),
        np.zeros(len(windows), bool),
    )


def _is_dead(columns: Columns, dead: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which windows were deleted or replaced.

    Args:
        dead: int64, (n, 2): a document's key, and the last batch whose windows of it no longer count.
    """
    order = np.lexsort((dead[:, 1], dead[:, 0]))
    keys, batches = dead[order, 0], dead[order, 1]
    place = np.searchsorted(keys, columns.key, side="right") - 1  # of the latest mark on that key
    dead_ones: NDArray[np.bool_] = (
        (place >= 0) & (keys[place] == columns.key) & (columns.batch <= batches[place])
    )
    return dead_ones


def _integers(rows: list[Any], width: int) -> NDArray[np.int64]:
    if not all(type(value) is int for row in rows for value in row):
        raise CorruptStoreError("the catalogue marks windows as dead by values that are no numbers.")
    return np.array(rows, np.int64).reshape(-1, width)


def _check_ends(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], columns: Columns, form: RowForm
) -> None:
    """Look at the first and last row of each live window: a file of zeros must not give answers.

    A scale is never 0, and no byte of a row of 8 bits is (quantize), so that a part of a file that was lost and
    came back as zeros shows. Checksums find the rest: a hit's when it is returned, all with verify.
    """
    full = columns.end > columns.start
    edges = np.concatenate([columns.start[full], columns.end[full] - 1])
    bad = (scales[edges] <= 0) | ~np.isfinite(scales[edges])
    if form.bits == 8:
        bad |= rows[edges, 0] == 0
    if bad.any():
        raise CorruptStoreError(
            f"{int(bad.sum())} of {len(edges)} token rows looked at are no rows: a file was overwritten. "
            "`retrievers verify` names the documents; restore the directory from a backup."
        )


def _load_codes(
    files: Files, dim: int, state: State, previous: Snapshot | None
) -> tuple[NDArray[np.uint16] | None, NDArray[np.float32] | None]:
    if not state.codes:
        return None, None
    names = code_names(state.codes)
    same = previous is not None and previous.state.codes == state.codes
    if same and previous is not None and previous.state.tokens == state.tokens:
        return previous.codes, previous.centroids
    codes = files.read(names[0], np.uint16, (state.tokens,))
    known = previous.state.tokens if same and previous is not None else 0
    # A kernel looks centroids up without a bound to check.
    if known < state.tokens and int(codes[known:].max()) >= state.centroids:
        raise CorruptStoreError(
            f"{names[0]} names centroid {int(codes[known:].max())} of {state.centroids}: it is damaged. "
            "`retrievers optimize` writes it anew."
        )
    if same and previous is not None:
        return codes, previous.centroids
    centroids = files.read(names[1], np.float32, (state.centroids, dim))
    if checksum(centroids) != state.centroids_checksum:
        raise CorruptStoreError(
            f"{names[1]} does not fit its checksum. `retrievers optimize` writes it anew."
        )
    if not (np.abs(centroids) <= MOST).all():  # NaN is not
        raise CorruptStoreError(
            f"{names[1]} has centroids that are none. `retrievers optimize` writes it anew."
        )
    return codes, centroids
