"""Shards become one collection: documents and rows are copied as they are, and nothing is encoded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from os import PathLike
from pathlib import Path

from retrievers.collection import Collection, indexing, validate
from retrievers.display.progress import Progress
from retrievers.encoder import identity
from retrievers.errors import CorruptStoreError, InvalidInputError

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
        InvalidInputError: two shards have one id with different texts, or one has other bits than the collection;
            nothing was changed.
        ModelMismatchError: a shard was encoded by another model; nothing was changed.
        CorruptStoreError: a shard is damaged; nothing was changed.
    """
    paths = [path for path in map(validate.directory, shards) if path is not None]
    total = len(_checked(paths, into))
    with Progress(total, "Merging", "documents", show_progress) as progress:
        for path in paths:
            with Collection(path) as shard:
                rest = shard.stream()
                while batch := list(islice(rest, BATCH_DOCUMENTS)):
                    documents, matrices = [one for one, _ in batch], [made for _, made in batch]
                    into.add(documents, matrices=matrices, show_progress=False)
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
            if shard.bits != into.bits:
                raise InvalidInputError(
                    f"the shard {str(path)!r} has rows of {shard.bits} bits a number, and the collection {into.bits}: "
                    "shards are merged as they are. Give the pipeline another directory for them."
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
