"""What moves a collection: its documents with their rows as a stream, and as a file in the format Parquet."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any, Self

from retrievers.collection import computed, parquet, streaming, transfer, validate
from retrievers.display.progress import Progress
from retrievers.encoder import LateInteractionEncoder, identity
from retrievers.errors import RetrieversError
from retrievers.store import Store
from retrievers.types import Document, EncodedText, Encoder


class Movable(ABC):
    """The methods by which a collection on disk, in memory or on a server is read to be stored elsewhere."""

    @property
    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other."""

    @property
    @abstractmethod
    def bits(self) -> int:
        """Bits of a number of the stored rows."""

    @abstractmethod
    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""

    @abstractmethod
    def stream(self, ids: Iterable[str] | None = None) -> Iterator[tuple[Document, EncodedText]]:
        """Documents with what is stored of their windows: spans, rows and scales, byte for byte.

        `other.add(documents, matrices=encoded_texts)` stores them elsewhere as they are, without encoding.

        Args:
            ids: which ones, in this order, unknown ids left out; None means all, in order of insertion.
        Returns:
            One document after the other, read some at a time. One that is changed meanwhile comes as it was or as it
            is, whole.
        """

    @abstractmethod
    def digests(self, ids: Iterable[str]) -> dict[str, bytes]:
        """16 bytes for each of the documents that are there: equal where spans, rows and scales are, byte for byte."""

    def export(self, path: str | PathLike[str], *, show_progress: bool | None = None) -> int:
        """Write everything into one file in the format Parquet, which Collection.from_export reads.

        The file gets its name when it is whole. docs/moving.md describes its columns.

        Args:
            path: a file that is not there yet.
            show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
        Returns:
            How many documents were written.
        Raises:
            MissingExtraError: pyarrow is not installed.
            StoreError: the file exists already, or the system refuses; nothing is left of it.
        """
        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        place = validate.file(path)
        names = self.ids()
        with Progress(len(names), "Exporting", "documents", shown) as progress:
            return parquet.write(place, self.fingerprint, self.bits, self.stream(names), progress.advance)


class MovableStore(Movable):
    """The same of a collection on disk or in memory.

    Attributes:
        store: the documents and their token rows.
    """

    store: Store

    @classmethod
    def from_export(
        cls,
        export: str | PathLike[str],
        path: str | PathLike[str] | None,
        encoder: Encoder | None = None,
        *,
        show_progress: bool | None = None,
        **options: Any,
    ) -> Self:
        """A collection with everything that collection.export wrote, byte for byte, and compared with it.

        A call that was interrupted is made again, and goes on where it was.

        Args:
            path: a directory, created if it is not there; None keeps everything in memory.
            encoder: the model; None means the one that encoded the documents, which is loaded on first use.
            show_progress: as for add.
            options: `bits`, `timeout`, `indexed`, `device` and `device_memory`, as for Collection.
        Raises:
            MissingExtraError: pyarrow is not installed.
            StoreError, CorruptStoreError, FormatVersionError: the file is not there, is none, or is damaged.
            ModelMismatchError: the encoder, or the collection in the directory, is another model's.
            InvalidInputError: the directory has documents that the file does not have, or rows of other bits.
        """
        create: Any = cls  # a collection, whose arguments this class does not know
        shown = None if show_progress is None else validate.flag(show_progress, "show_progress")
        with parquet.Export(validate.file(export)) as source:
            if encoder is None and path is None:
                encoder = LateInteractionEncoder.from_fingerprint(source.fingerprint)
            options = transfer.with_bits(options, source.bits)
            made: Any
            if encoder is None:
                made = for_copy(create, path, source.fingerprint, **options)
            else:
                model = validate.encoder(encoder)
                computed.check_model(model.fingerprint, source.fingerprint, "the rows of the export")
                made = create(path, model, **options)
            try:
                transfer.copy(source, made, doing="Importing", show_progress=shown)
            except BaseException:
                made.close()
                raise
        if encoder is None:
            made.close()  # opened again, it loads the model when it needs one
            count_copied(partial(create.open, path, **options), source.fingerprint, shown)
            made = create.open(path, **options)
        complete: Self = made
        return complete

    @property
    def bits(self) -> int:
        """Bits of a number of the stored rows, 8 or 4."""
        return self.store.bits

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        with self.store.read() as view:
            return view.ids()

    def stream(self, ids: Iterable[str] | None = None) -> Iterator[tuple[Document, EncodedText]]:
        """Documents with their spans, rows and scales. See Movable.stream."""
        return streaming.stream(self.store, None if ids is None else validate.identifiers(ids))

    def digests(self, ids: Iterable[str]) -> dict[str, bytes]:
        """A digest of spans, rows and scales of each document. See Movable.digests."""
        return streaming.digests(self.store, validate.identifiers(ids))


def for_copy(
    create: Any, path: str | PathLike[str] | None, fingerprint: Mapping[str, Any], **options: Any
) -> Any:
    """A collection that rows are copied into: without its model, unless it counts the tokens of what is added.

    Args:
        create: the class of collections.
        fingerprint: of the model that made the rows, which may be an earlier version's.
    """
    made = create(path, transfer.KnownModel(identity.imported(fingerprint)), **options)
    if not made.store.counts_tokens():
        return made
    made.close()
    return create.open(path, **options)


def count_copied(
    open_copy: Callable[[], Any], fingerprint: Mapping[str, Any], show_progress: bool | None
) -> None:
    """Count the tokens of a collection that rows were copied into, if its model weights a question's rows by idf.

    The numbers of tokens do not travel with the rows: the model's tokenizer reads the texts. Where the model is not at
    hand a warning says so, and how to do it later.
    """
    questions = fingerprint.get("questions")
    weights = questions.get("weights") if isinstance(questions, Mapping) else None
    if not isinstance(weights, Sequence) or "idf" not in weights:
        return
    with open_copy() as copied:
        if copied.store.counts_tokens():
            return
        try:
            copied.count_tokens(show_progress=show_progress)
        except RetrieversError as error:
            warnings.warn(
                f"the tokens of {copied.path} are not counted, which its model's query_weights need, because the "
                f"model is not at hand: {error} Where it is, call collection.count_tokens(), or `retrievers "
                "count-tokens`.",
                stacklevel=3,
            )
