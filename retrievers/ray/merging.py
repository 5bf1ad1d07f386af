"""Shards become one collection: documents and rows are copied as they are, and nothing is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import Collection, indexing, validate
from retrievers.display.progress import Progress
from retrievers.encoder import identity
from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.kernels.rows import dequantize
from retrievers.store import Entry, Unchanged, View
from retrievers.types import Document

BATCH_DOCUMENTS = 256  # that one transaction commits


def merge(
    shards: Iterable[str | PathLike[str]], into: Collection, *, show_progress: bool | None = None
) -> int:
    """Copy collections, the shards of a pipeline say, into another. It can be interrupted and called again.

    Args:
        shards: directories of collections, in the order in which their documents are to be added.
        into: the collection.
        show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
    Returns:
        How many documents the shards have.
    Raises:
        InvalidInputError: two shards have one id with different texts; nothing was changed.
        ModelMismatchError: a shard was encoded by another model; nothing was changed.
        CorruptStoreError: a shard is damaged; nothing was changed.
    """
    paths = [path for path in map(validate.directory, shards) if path is not None]
    total = len(_checked(paths, into))
    with Progress(total, "Merging", "documents", show_progress) as progress:
        for path in paths:
            for batch in _entries(path):
                _append(into, batch)
                progress.advance(len(batch))
    return total


def _checked(paths: list[Path], into: Collection) -> dict[str, tuple[bytes, Path]]:
    """The content hash of every document, by id, and the shard that has it."""
    seen: dict[str, tuple[bytes, Path]] = {}
    for path in paths:
        with Collection(path) as shard:
            identity.check(
                into.fingerprint, shard.fingerprint, f"the collection that {str(path)!r} is merged into"
            )
            if damages := shard.verify(show_progress=False):
                raise CorruptStoreError(
                    f"the shard {str(path)!r} is damaged: {damages[0]}. Remove it and run the pipeline again, which "
                    "encodes what it held."
                )
            for document in shard.get():
                key, digest = str(document.id), indexing.content_hash(document)
                before, other = seen.setdefault(key, (digest, path))
                if before != digest:
                    raise InvalidInputError(
                        f"the id {key!r} has one text in the shard {other.name!r} and another in {path.name!r}: the "
                        "dataset holds it twice, or the directory has shards of an earlier dataset. Give each document "
                        "an id of its own, and the shards a new directory."
                    )
    return seen


def _append(into: Collection, batch: list[Entry]) -> None:
    """Store documents with their rows, but those that are stored."""
    if into.store.counts_tokens():
        batch = indexing.counted(into.encoder, batch)
    known = into.store.content_hashes([str(one.document.id) for one in batch])
    same = [one for one in batch if known.get(str(one.document.id)) == one.content_hash]
    missing = [one for one in batch if known.get(str(one.document.id)) != one.content_hash]
    lost = into.store.append(missing, [Unchanged(one.document, one.content_hash) for one in same])
    if lost:  # another writer has removed them meanwhile
        into.store.append([one for one in same if str(one.document.id) in set(lost)])


def _entries(path: Path) -> Iterator[list[Entry]]:
    """The documents of a shard with their rows, in order, some at a time."""
    with Collection(path) as shard, shard.store.read() as view:
        documents = view.matching(None)
        for first in range(0, len(documents), BATCH_DOCUMENTS):
            batch = documents[first : first + BATCH_DOCUMENTS]
            positions = view.positions_of([str(one.id) for one in batch])
            yield [_entry(view, one, positions[str(one.id)]) for one in batch]


def _entry(view: View, document: Document, positions: NDArray[np.int64]) -> Entry:
    windows = [(int(start), int(end)) for start, end in view.spans(positions)]
    parts = [slice(view.starts[one], view.ends[one]) for one in positions]
    # They are rounded to the same rows again, and have the same scales: the largest element of a row is 127 scales, and
    # that product divided by 127 is the scale, of whatever size.
    matrices = [dequantize(view.rows[part], view.scales[part], view.dim) for part in parts]
    return Entry(document, indexing.content_hash(document), windows, matrices)
