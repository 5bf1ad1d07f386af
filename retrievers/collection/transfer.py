"""A collection copied into another with its rows as they are: what is missing is added, and all of it compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from retrievers.arguments import bits
from retrievers.collection import computed
from retrievers.collection.streaming import digest_of
from retrievers.display.progress import Progress
from retrievers.errors import InvalidInputError, StoreError
from retrievers.types import Document, EncodedText, Encoder, Matrices, TokenMatrix

PAGE = 256  # documents that are compared together


class Source(Protocol):
    """What can be copied: a collection or an export."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells the model from every other."""
        ...

    @property
    def bits(self) -> int:
        """Bits of a number of the rows."""
        ...

    def ids(self) -> list[str]:
        """The ids of all documents, in order of insertion."""
        ...

    def get(self, ids: Iterable[str]) -> list[Document]:
        """Those of the documents that are there, in this order."""
        ...

    def digests(self, ids: Iterable[str]) -> dict[str, bytes]:
        """A digest of spans, rows and scales of each of the documents that are there."""
        ...

    def stream(self, ids: Iterable[str]) -> Iterator[tuple[Document, EncodedText]]:
        """Those of the documents that are there, with what is stored of their windows."""
        ...


class Destination(Source, Protocol):
    """What can be copied into: a collection."""

    def add(
        self, documents: Iterable[Document], *, matrices: Matrices, show_progress: bool | None
    ) -> list[str]:
        """Store documents with their rows."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy was compared by when it was complete.

    Attributes:
        documents, windows, tokens: how many of each there are, in both.
        added: documents that this call stored; the others were there already.
    """

    documents: int
    windows: int
    tokens: int
    added: int


class KnownModel(Encoder):
    """A model of which only the fingerprint is known, for a collection into which rows are copied.

    It encodes nothing: the collection that is opened without it loads the model by its fingerprint.
    """

    def __init__(self, fingerprint: Mapping[str, Any]) -> None:
        self._fingerprint = fingerprint

    @property
    def dim(self) -> int:
        return int(self._fingerprint["dim"])

    @property
    def document_length(self) -> int:
        return 0

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        raise self._refused()

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        raise self._refused()

    def split(self, text: str) -> list[tuple[int, int]]:
        raise self._refused()

    def document_tokens(self, text: str) -> list[tuple[int, int]]:
        raise self._refused()

    def query_tokens(self, text: str) -> list[str]:
        raise self._refused()

    def _refused(self) -> InvalidInputError:
        return InvalidInputError(
            "this collection is open for a copy, without its model: open it again to search it."
        )


def copy(
    source: Source,
    destination: Destination,
    *,
    doing: str,
    arrange: Callable[[Sequence[str]], None] | None = None,
    show_progress: bool | None = None,
) -> Copied:
    """Copy documents, texts, metadata, windows, rows and order, and compare both afterwards.

    What is there already with equal rows is not read again, so that a copy that was interrupted goes on where it was.

    Args:
        source: what is copied; nobody may change it meanwhile.
        destination: holds nothing but documents of the source.
        doing: what the progress bar calls it.
        arrange: gives the destination the order of some ids; None where it has the order in which it was filled.
        show_progress: a progress bar; None shows it in a notebook, and where standard error is a terminal.
    Raises:
        ModelMismatchError: the destination is another model's; nothing was changed.
        InvalidInputError: the destination has documents that the source does not have, or rows of other bits; nothing
            was changed.
        StoreError: the two are not equal afterwards.
    """
    computed.check_model(destination.fingerprint, source.fingerprint, "the rows that are copied")
    check_bits(destination.bits, source.bits)
    names = source.ids()
    known = set(names)
    foreign = [key for key in destination.ids() if key not in known]
    if foreign:
        raise InvalidInputError(
            f"the collection that is copied to has {len(foreign)} documents that the other does not have, "
            f"{foreign[0]!r} the first: delete them, or copy to a new collection."
        )
    added = 0
    with Progress(len(names), doing, "documents", show_progress) as progress:
        for page in _pages(names):
            missing = _missing(source, destination, page)
            pairs = list(source.stream(missing))
            if pairs:
                documents, matrices = [one for one, _ in pairs], [made for _, made in pairs]
                destination.add(documents, matrices=matrices, show_progress=False)
            added += len(pairs)
            progress.advance(len(page))
    if arrange is not None and destination.ids() != names:
        arrange(names)
    windows, tokens = compare(source, destination, names, show_progress)
    return Copied(len(names), windows, tokens, added)


def check_bits(there: int, given: int) -> None:
    """Refuse rows that would have to be rounded anew.

    Args:
        there: bits of a number of the rows of the collection that is copied to.
        given: of those that are copied.
    Raises:
        InvalidInputError: they differ.
    """
    if there != given:
        raise InvalidInputError(
            f"rows of {given} bits a number cannot be copied as they are into a collection of {there}: copy them to "
            f"one of {given} bits, and make one of {there} bits with collection.convert(path, bits={there})."
        )


def with_bits(options: Mapping[str, Any], given: int) -> dict[str, Any]:
    """Options of a collection that is copied to, of the bits that the rows have.

    Raises:
        InvalidInputError: they ask for others.
    """
    wanted = options.get("bits")
    if wanted is not None:
        check_bits(bits(wanted), given)
    return {**options, "bits": given}


def compare(
    source: Source, destination: Source, names: Sequence[str], show_progress: bool | None = None
) -> tuple[int, int]:
    """Read a copy back, and compare order, texts, metadata, and the digests of spans, rows and scales.

    Args:
        names: ids of all documents of the source, in order.
    Returns:
        How many windows and token rows the two have.
    Raises:
        StoreError: they are not equal; the message names a document.
    """
    there = destination.ids()
    if there != list(names):
        raise StoreError(
            f"the copy has {len(there)} documents where {len(names)} are expected, or has them in another order: one "
            "of the two was changed meanwhile. Copy again, to a new collection if this stays."
        )
    windows = tokens = 0
    with Progress(len(names), "Verifying", "documents", show_progress) as progress:
        for page in _pages(names):
            expected, digests = source.get(page), source.digests(page)
            read = list(destination.stream(page))
            wrong = [one.id for one, (other, _) in zip(expected, read, strict=False) if one != other]
            wrong += [
                one.id for one, made in read if digests.get(str(one.id)) != digest_of(made, source.bits)
            ]
            if wrong or len(read) != len(page) or len(expected) != len(page):
                raise StoreError(
                    f"document {(wrong or page)[0]!r} is not equal in the copy: one of the two was changed meanwhile. "
                    "Copy again, which writes it anew."
                )
            windows += sum(len(made.spans) for _, made in read)
            tokens += sum(len(one) for _, made in read for one in made.matrices)
            progress.advance(len(page))
    return windows, tokens


def _missing(source: Source, destination: Source, page: Sequence[str]) -> list[str]:
    """Documents of a page that are not stored, or not as they are in the source."""
    there = {one.id: one for one in destination.get(page)}
    if not there:
        return list(page)
    digests = destination.digests(page)
    expected = {str(one.id): one for one in source.get(page)}
    wanted = source.digests(list(there))  # type: ignore[arg-type]
    return [key for key in page if there.get(key) != expected.get(key) or digests.get(key) != wanted.get(key)]


def _pages(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[first : first + PAGE] for first in range(0, len(names), PAGE))
