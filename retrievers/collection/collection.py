"""The collection: encoder, store and search joined into add, delete, get, search, rerank and explain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrievers import filters
from retrievers.collection import copying, indexing, validate
from retrievers.collection.reading import Reader
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError, ModelMismatchError, StoreClosedError
from retrievers.store import Store
from retrievers.types import (
    Document,
    DocumentFilter,
    Encoder,
    Metadatas,
    Names,
    Texts,
)

if TYPE_CHECKING:
    from retrievers.store import Damage, Info

BATCH_DOCUMENTS = 256  # documents that one transaction of add commits: what an interruption can cost


class Collection(Reader):
    """Documents that are found by late interaction, in a directory or in memory.

    Threads may share one collection; other processes may read and write the same directory.

    Args:
        path: a directory, created if it is not there and an encoder is given; None keeps everything in memory.
        encoder: the model; None opens a directory with the model that wrote it, and creates nothing. In memory it
            means the default model.
        indexed: metadata keys (dots reach into nested ones) that filters use often, indexed on disk.
        timeout: seconds to wait for another writer.
        device: a GPU that keeps the token rows and searches them, as torch names it ("cuda"); None searches on
            the processor. The encoder has a device of its own.
        device_memory: bytes of that GPU which search may use; None means nearly all that is free. A collection
            that does not fit is a DeviceMemoryError on the first search.
    Raises:
        StoreError: no encoder was given, and there is no collection at the path.
        ModelMismatchError: the directory was written with another encoder.
        FormatVersionError: the directory was written by a newer version.
        CorruptStoreError: the path holds something else, or damaged files.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        encoder: Encoder | None = None,
        *,
        indexed: Sequence[str] = (),
        timeout: float = 10.0,
        device: str | None = None,
        device_memory: int | None = None,
    ) -> None:
        directory = validate.directory(path)
        if directory is not None:
            directory = (
                directory.absolute()
            )  # a change of the working directory is no change of the collection
        if isinstance(encoder, str):
            raise InvalidTypeError(f"encoder is {encoder!r}: give LateInteractionEncoder({encoder!r}).")
        if encoder is None and directory is None:
            encoder = LateInteractionEncoder()
        fingerprint = None if encoder is None else encoder.fingerprint
        self._encoder = encoder
        self._device, self._device_memory = device, device_memory
        self.store = Store(
            directory, fingerprint=fingerprint, timeout=timeout, indexed=indexed, assign=_assign
        )

    @classmethod
    def open(cls, path: str | PathLike[str], encoder: Encoder | None = None, **options: Any) -> Collection:
        """Open a directory that holds a collection, and create nothing.

        Args:
            path: the directory.
            encoder: the model; None means the one that wrote the directory.
            options: `timeout`, `indexed`, `device` and `device_memory`, as for Collection.
        Raises:
            StoreError: there is no collection at the path.
            ModelMismatchError: the directory was written with another encoder.
        """
        directory = validate.directory(path)
        if directory is None:
            raise InvalidTypeError("path is None: open needs the directory of a collection.")
        # An encoder creates what is not there; without one the store says that there is nothing.
        return cls(directory, encoder if Store.exists(directory) else None, **options)

    @classmethod
    def open_or_create(
        cls, path: str | PathLike[str] | None, encoder: Encoder | None = None, **options: Any
    ) -> Collection:
        """Open a directory; where it holds no collection yet, create one, by the default model if none is given.

        Args:
            path: a directory; None keeps everything in memory.
            encoder: the model; None means the one that wrote the directory, or the default model for a new one.
            options: `timeout`, `indexed`, `device` and `device_memory`, as for Collection.
        """
        directory = validate.directory(path)
        if encoder is None and directory is not None and not Store.exists(directory):
            encoder = LateInteractionEncoder()
        return cls(directory, encoder, **options)

    @property
    def path(self) -> Path | None:
        """The directory; None for a collection in memory."""
        return self.store.path

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other, "model" its name; known without loading it."""
        return self.store.fingerprint

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use if the collection was opened without one."""
        if self._encoder is None:
            encoder = LateInteractionEncoder.from_fingerprint(self.store.fingerprint)
            if dict(encoder.fingerprint) != dict(self.store.fingerprint):
                raise ModelMismatchError(
                    f"the model {encoder.fingerprint['model']!r} has changed since it wrote this collection: "
                    f"{dict(encoder.fingerprint)} now, {dict(self.store.fingerprint)} then. Open it with the "
                    "encoder that wrote it, or build a new collection."
                )
            self._encoder = encoder
        return self._encoder

    # Change

    def add(
        self,
        documents: Texts,
        *,
        ids: Names = None,
        metadatas: Metadatas = None,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Encode and store documents; an id that is there already is replaced.

        A document whose id and text are stored is not encoded again, only its metadata is updated: an add
        that was interrupted and is called again does what is missing. Batches are committed as they are
        encoded, each whole or not at all.

        Args:
            documents: texts, or Documents.
            ids: one a document, or None to have them made up.
            metadatas: JSON objects, one a document.
            show_progress: a progress bar on standard error; None shows it where that is a terminal.
        Returns:
            The ids, in the order of the documents.
        Raises:
            InvalidInputError, InvalidTypeError: see validate.documents; nothing was changed.
            StoreLockedError: another writer did not finish within the timeout.
            StoreError: the disk is full or cannot be written; the batches before are safe.
        """
        from tqdm.auto import tqdm

        checked = validate.documents(documents, ids, metadatas)
        disabled = None if show_progress is None else not show_progress
        with tqdm(total=len(checked), unit="doc", desc="Indexing", disable=disabled, delay=1) as progress:
            for first in range(0, len(checked), BATCH_DOCUMENTS):
                batch = checked[first : first + BATCH_DOCUMENTS]
                self._add_batch(batch, progress.update)
        return [str(document.id) for document in checked]

    def _add_batch(self, batch: Sequence[Document], advance: Callable[[int], Any]) -> None:
        known = self.store.content_hashes([str(document.id) for document in batch])
        hashes = [indexing.content_hash(document) for document in batch]
        pairs = list(zip(batch, hashes, strict=True))
        stored = [document for document, digest in pairs if known.get(str(document.id)) == digest]
        advance(len(stored))
        missing = [(document, digest) for document, digest in pairs if known.get(str(document.id)) != digest]
        self.store.append(list(indexing.entries(self.encoder, missing, advance)), metadata_only=stored)

    def delete(self, ids: Iterable[str] | None = None, *, filter: DocumentFilter | None = None) -> int:
        """Remove documents by id or by filter; an unknown id is no error.

        Returns:
            How many documents were removed.
        Raises:
            InvalidInputError: neither ids nor filter, or both.
            FilterError: see filters.parse.
        """
        if (ids is None) == (filter is None):
            raise InvalidInputError(
                "delete needs ids or filter, one of the two; filter={} would mean everything."
            )
        if ids is not None:
            return self.store.delete(validate.identifiers(ids))
        if callable(filter) and not isinstance(filter, filters.Filter):
            return self.store.delete([str(document.id) for document in self.get(filter=filter)])
        return self.store.delete_matching(filters.parse(filter))

    def clear(self) -> int:
        """Remove every document.

        Returns:
            How many there were.
        """
        return self.store.delete_matching(None)

    def __len__(self) -> int:
        return len(self.store)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self.store

    # Care

    def optimize(self, *, show_progress: bool | None = None) -> None:
        """Build the centroids that let search skip most windows; add keeps them up to date."""
        from retrievers.search import optimize

        optimize(self.store, show_progress=show_progress)

    def compact(self) -> None:
        """Give back the space of deleted and replaced documents."""
        self.store.compact()

    def verify(self) -> list[Damage]:
        """Read everything and compare it with its checksums; an empty list is a sound collection."""
        return self.store.verify()

    def info(self) -> Info:
        """Model, counts, sizes and share of dead rows."""
        return self.store.info()

    def close(self) -> None:
        """Release the files; the collection cannot be used after that."""
        self.store.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Collection], tuple[Any, ...]]:
        """A pickle holds where the collection is and which model it has: where it is read, it is opened again.

        Raises:
            InvalidTypeError: the collection is in memory, or its encoder cannot be pickled.
        """
        encoder = copying.portable(self._encoder)
        return copying.reopened, (type(self), copying.place(self.path), encoder, self._how())

    def __deepcopy__(self, memo: object) -> Collection:
        """Another handle of the same directory, with the same encoder.

        Raises:
            InvalidTypeError: the collection is in memory.
        """
        return copying.reopened(type(self), copying.place(self.path), self._encoder, self._how())

    def __copy__(self) -> Collection:
        return self.__deepcopy__({})

    def _how(self) -> dict[str, Any]:
        return {
            "timeout": self.store.timeout,
            "device": self._device,
            "device_memory": self._device_memory,
        }

    def __repr__(self) -> str:
        place = "in memory" if self.path is None else repr(str(self.path))
        try:
            size = f"{len(self)} documents"
        except StoreClosedError:
            size = "closed"
        return f"Collection({place}, {size}, {self.store.fingerprint['model']!r})"


def _assign(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: NDArray[np.float32]
) -> NDArray[np.uint16]:
    """The nearest centroid of each new row, by the native kernel, which loads with the first row."""
    from retrievers.search.centroids import assign

    return assign(rows, scales, centroids)
