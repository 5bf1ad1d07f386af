"""The collection: encoder, store and search joined into add, delete, get, search, rerank and explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.collection import copying, validate, weighing
from retrievers.collection.moving import MovableStore
from retrievers.collection.upkeep import Caretaker
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError, StoreClosedError
from retrievers.store import Store, schema
from retrievers.types import Encoder


class Collection(Caretaker, MovableStore):
    """Documents that are found by late interaction, in a directory or in memory.

    Threads may share one collection; other processes may read and write the same directory.

    Args:
        path: a directory, created if it is not there and an encoder is given; None keeps everything in memory.
        encoder: the model; None opens a directory with the model that wrote it, and creates nothing. In memory it
            means the default model.
        bits: of a number of the stored rows, 8 or 4: with 4 they take half the space, and are rounded more. None takes
            what is there, and 8 for a new collection. What there is stays; `convert` copies it to the other.
        indexed: metadata keys (dots reach into nested ones) that filters use often, indexed on disk.
        words: an index of words beside the vectors, for search with words: "unicode61" for words as they are,
            "porter" for English stems, "trigram" for languages without spaces. It is kept with the collection, and
            built if a collection that is there has none. None takes what is there.
        words_weight: the share of words in a search that does not say it, from 0 to 1, kept with the collection too.
        timeout: seconds to wait for another writer.
        device: a GPU that keeps the token rows and searches them, as torch names it ("cuda"); None searches on
            the processor. The encoder has a device of its own.
        device_memory: bytes of that GPU which search may use; None means nearly all that is free. A collection
            that does not fit is a DeviceMemoryError on the first search.
    Raises:
        StoreError: no encoder was given, and there is no collection at the path.
        ModelMismatchError: the directory was written with another encoder.
        InvalidInputError: the index of words that is there has another tokenizer, or the rows other bits.
        UnsupportedError: words, and this Python's SQLite has no FTS5.
        FormatVersionError: the directory was written by a newer version.
        CorruptStoreError: the path holds something else, or damaged files.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        encoder: Encoder | None = None,
        *,
        bits: int | None = None,
        indexed: Sequence[str] = (),
        words: str | None = None,
        words_weight: float | None = None,
        timeout: float = 10.0,
        device: str | None = None,
        device_memory: int | None = None,
    ) -> None:
        directory = validate.directory(path)
        if directory is not None:
            directory = (
                directory.absolute()
            )  # a change of the working directory is no change of the collection
        seconds, keys = validate.timeout(timeout), validate.keys(indexed)
        tokenizer, weight = validate.tokenizer(words), validate.weight(words_weight, "words_weight")
        if tokenizer is None and weight is not None:
            raise InvalidInputError(
                "words_weight needs words=, the tokenizer of the index that it is kept with."
            )
        wanted = None if bits is None else validate.bits(bits)
        self._device = validate.device(device)
        self._device_memory = (
            None if device_memory is None else validate.count(device_memory, "device_memory")
        )
        if encoder is None and directory is None:
            encoder = LateInteractionEncoder()
        self._encoder = None if encoder is None else validate.encoder(encoder)
        self._encoder_options: Mapping[str, Any] = {}
        fingerprint = None if self._encoder is None else self._encoder.fingerprint
        self.store = Store(
            directory,
            fingerprint=fingerprint,
            timeout=seconds,
            bits=wanted,
            indexed=keys,
            words=None if tokenizer is None else (tokenizer, weight),
            counts_tokens=self._encoder is not None and weighing.counting(self._encoder),
            assign=_assign,
        )
        as_written = getattr(
            self._encoder, "as_written", None
        )  # of ours: a user's own encoder need not have it
        if as_written is not None:
            self._encoder = as_written(self.store.fingerprint)

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        encoder: Encoder | None = None,
        *,
        encoder_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Collection:
        """Open a directory that holds a collection, and create nothing.

        Args:
            path: the directory.
            encoder: the model; None means the one that wrote the directory.
            encoder_options: for that one, keywords of LateInteractionEncoder that a collection does not store (`token`,
                `device`, `local_files_only`), or that take the place of stored ones (`precision`, `revision`). They are
                used when the model is loaded, and a model of other rows is refused then.
            options: `bits`, `timeout`, `indexed`, `words`, `words_weight`, `device` and `device_memory`, as for
                Collection.
        Raises:
            StoreError: there is no collection at the path.
            ModelMismatchError: the directory was written with another encoder.
            InvalidInputError: LateInteractionEncoder has no such keyword, or there is an encoder beside
                encoder_options.
        """
        directory = validate.directory(path)
        if directory is None:
            raise InvalidTypeError("path is None: open needs the directory of a collection.")
        given = validate.encoder_options(encoder_options)
        if encoder is not None and given:
            raise InvalidInputError(
                "open has an encoder and encoder_options: the options are for the model that the collection names, "
                "and an encoder has its own."
            )
        # An encoder creates what is not there; without one the store says that there is nothing.
        collection = cls(directory, encoder if Store.exists(directory) else None, **options)
        collection._encoder_options = given
        return collection

    @classmethod
    def open_or_create(
        cls, path: str | PathLike[str] | None, encoder: Encoder | None = None, **options: Any
    ) -> Collection:
        """Open a directory; where it holds no collection yet, create one, by the default model if none is given.

        Args:
            path: a directory; None keeps everything in memory.
            encoder: the model; None means the one that wrote the directory, or the default model for a new one.
            options: `bits`, `timeout`, `indexed`, `words`, `words_weight`, `device` and `device_memory`, as for
                Collection.
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
            owned = validate.is_own(self.path)
            encoder = LateInteractionEncoder.from_fingerprint(
                self.store.fingerprint, owned=owned, options=self._encoder_options
            )
            schema.check_fingerprint(self.store.fingerprint, encoder.fingerprint, "this collection")
            self._encoder = encoder
        return self._encoder

    def __len__(self) -> int:
        return len(self.store)

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, str) and validate.identifier(key) in self.store
        except InvalidInputError:
            return False  # no document can have such an id

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
        return copying.reopened, (type(self).open, copying.place(self.path), encoder, self._how())

    def __deepcopy__(self, memo: object) -> Collection:
        """Another handle of the same directory, with the same encoder.

        Raises:
            InvalidTypeError: the collection is in memory.
        """
        how = self._how()
        if self._encoder is None:  # a pickle is without these, because one may be a token
            how["encoder_options"] = self._encoder_options
        return copying.reopened(type(self).open, copying.place(self.path), self._encoder, how)

    def __copy__(self) -> Collection:
        return self.__deepcopy__({})

    def _how(self) -> dict[str, Any]:
        return {
            "timeout": self.store.timeout,
            "device": self._device,
            "device_memory": self._device_memory,
        }

    def _repr_html_(self) -> str:
        """Place, model and sizes, as a notebook draws them."""
        from retrievers.display.html import facts

        place = "in memory" if self.path is None else str(self.path)
        try:
            return facts(place, [("documents", f"{len(self):,}"), ("model", str(self.fingerprint["model"]))])
        except StoreClosedError:
            return facts(place, [("state", "closed")])

    def __repr__(self) -> str:
        place = "in memory" if self.path is None else repr(str(self.path))
        try:
            size = f"{len(self)} documents"
        except StoreClosedError:
            size = "closed"
        return f"Collection({place}, {size}, {self.store.fingerprint['model']!r})"


def _assign(
    rows: NDArray[np.uint8], scales: NDArray[np.float32], centroids: NDArray[np.float32], bits: int
) -> NDArray[np.uint16]:
    """The nearest centroid of each new row, by the native kernel, which loads with the first row."""
    from retrievers.search.centroids import assign

    return assign(rows, scales, centroids, bits)
