"""Token matrices that were computed elsewhere: each is checked before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from retrievers.arguments import each, is_iterator, shown
from retrievers.collection import incoming
from retrievers.encoder import identity
from retrievers.errors import InvalidInputError, InvalidTypeError, ModelMismatchError, ShapeError
from retrievers.kernels.rows import MOST, ZERO, RowForm, possible
from retrievers.store import Entry
from retrievers.types import (
    Document,
    EncodedText,
    Matrices,
    Metadatas,
    Names,
    QuantizedMatrix,
    Texts,
    TokenMatrix,
)

NEAR_ONE = 0.01  # by which a row's length may differ from 1: 8 bits a number take half of that
REFUSED = (InvalidInputError, InvalidTypeError, ShapeError)
END = object()

Batch = tuple[list[Document], list[EncodedText] | None]
"""Documents, and what a model made of each where the caller has brought it."""


def batches(
    documents: Texts, ids: Names, metadatas: Metadatas, matrices: Matrices, *, size: int, form: RowForm
) -> Iterator[Batch]:
    """incoming.batches with the matrices of each document.

    Where documents and matrices have a length, everything is checked before the first batch.

    Args:
        matrices: one for each document, or None.
        form: of the collection's rows.
    Raises:
        InvalidTypeError, InvalidInputError, ShapeError: see incoming.batches and checked. Where batches of an iterator
            came before, `added` is the number of their documents.
    """
    parts = incoming.batches(documents, ids, metadatas, size=size)
    if matrices is None:
        yield from ((batch, None) for batch in parts)
        return
    if not is_iterator(documents) and not is_iterator(matrices):
        whole = [one for batch in parts for one in batch]
        made = _whole(list(each(matrices, "matrices", "document")), whole, form)
        for first in range(0, len(whole), size):
            yield whole[first : first + size], made[first : first + size]
        return
    source, added = each(matrices, "matrices", "document"), 0
    for batch in parts:
        try:
            made = _next(source, batch, form, added)
        except REFUSED as error:
            raise _after(error, added) from None
        yield batch, made
        added += len(batch)
    if next(source, END) is not END:
        raise _after(
            InvalidInputError(f"{added} documents but more matrices: give one for each document."), added
        )


def check_fingerprint(stored: Mapping[str, Any], given: object, matrices: object) -> None:
    """Refuse matrices of another model.

    Args:
        stored: fingerprint of the collection.
        given: fingerprint of the encoder that made the matrices; None takes them for the collection's own model's.
        matrices: as add has them.
    Raises:
        ModelMismatchError: the two models give documents other rows.
        InvalidInputError: there are no matrices that it could be of.
        InvalidTypeError: it is no fingerprint.
    """
    if given is None:
        return
    if matrices is None:
        raise InvalidInputError(
            "fingerprint tells which model made the matrices, and there are none: leave it out."
        )
    if not isinstance(given, Mapping):
        raise InvalidTypeError(
            f"fingerprint is {shown(given)}: give encoder.fingerprint of the model, a dict."
        )
    check_model(stored, given, "the matrices")


def check_model(stored: Mapping[str, Any], given: Mapping[str, Any], what: str) -> None:
    """Refuse rows of another model than the one that encoded a collection.

    Args:
        stored: fingerprint of the collection.
        given: fingerprint of the model that made the rows.
        what: the rows, for the message.
    Raises:
        ModelMismatchError: the two models give documents other rows.
    """
    differing = identity.compare(stored, given)
    if differing is not None:
        raise ModelMismatchError(
            f"{what} were made by {identity.described(given)} and the rows of this collection by "
            f"{identity.described(stored)}: {'; '.join(differing)}. Encode the texts with the collection's model, or "
            "build a new collection."
        )


def checked(given: object, document: Document, form: RowForm, place: int) -> EncodedText:
    """What a model made of a document, in a form that can be stored.

    Args:
        given: a matrix, for a document that is one window; or an EncodedText.
        document: its text and context are what the spans lie in.
        form: of the collection's rows.
        place: of the document, for messages.
    Raises:
        ShapeError: a matrix is not (tokens, dim).
        InvalidInputError: a value is not finite, a row is not of length 1, or a span lies outside of the text.
        InvalidTypeError: it is no matrix.
    """
    length = len(document.context) + len(document.text)
    if not isinstance(given, EncodedText):
        name = f"the matrix of document {place}"
        return EncodedText([(0, length)], [matrix(given, form, name)])
    spans = [
        _span(span, length, f"window {number} of document {place}") for number, span in enumerate(given.spans)
    ]
    if len(spans) != len(given.matrices):
        raise InvalidInputError(
            f"document {place} has {len(spans)} spans and {len(given.matrices)} matrices: one a window is needed."
        )
    made = [
        matrix(one, form, f"the matrix of window {number} of document {place}")
        for number, one in enumerate(given.matrices)
    ]
    return EncodedText(spans, made)


def matrix(given: object, form: RowForm, name: str) -> TokenMatrix | QuantizedMatrix:
    """A matrix of floats as float32, or quantised rows as they are; see floats.

    Raises:
        InvalidTypeError, ShapeError, InvalidInputError: see checked.
    """
    if isinstance(given, QuantizedMatrix):
        return _quantized(given, form, name)
    return floats(given, form.dim, name)


def floats(given: object, dim: int, name: str, *, of_length_one: bool = True) -> TokenMatrix:
    """A matrix of floats as float32.

    Args:
        given: what numpy makes an array of floats of: its own arrays, tensors on the processor, lists of rows.
        dim: length of a row.
        name: what the caller calls it, for messages.
        of_length_one: whether each row of floats must be.
    Raises:
        InvalidTypeError, ShapeError, InvalidInputError: see checked.
    """
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(f"{name} is no array of numbers: {error}.") from None
    if array.dtype.kind not in "fiu":
        raise InvalidTypeError(
            f"{name} is {shown(given)} of type {type(given).__name__}: an array of floats is needed."
        )
    if array.ndim != 2 or array.shape[1] != dim:
        raise ShapeError(f"{name} has shape {array.shape}: (tokens, {dim}) is needed.")
    with np.errstate(over="ignore"):
        made = np.ascontiguousarray(array, np.float32)
    if not (np.abs(made) <= MOST).all():  # NaN is not
        raise InvalidInputError(f"{name} has values that are not finite, or beyond {MOST:.0e}.")
    if of_length_one and len(made):
        lengths = np.linalg.norm(made, axis=1)
        worst = int(np.abs(lengths - 1).argmax())
        if abs(lengths[worst] - 1) > NEAR_ONE:
            raise InvalidInputError(
                f"{name} has row {worst} of length {lengths[worst]:.4g}: each must have length 1. Divide each row by "
                "np.linalg.norm(matrix, axis=1, keepdims=True), if the model is one whose rows are compared by angle."
            )
    return made


def entries(
    documents: Sequence[tuple[Document, bytes]],
    made: Mapping[str, EncodedText],
    advance: Callable[[int], Any] = lambda count: None,
) -> Iterator[Entry]:
    """indexing.entries of documents whose matrices are known.

    Args:
        documents: with their content hashes.
        made: what the model made of each, by id.
        advance: called after each document with 1.
    """
    for document, digest in documents:
        encoded = made[str(document.id)]
        yield Entry(document, digest, encoded.spans, encoded.matrices)
        advance(1)


def by_id(documents: Sequence[Document], made: Sequence[EncodedText]) -> dict[str, EncodedText]:
    """What a model made of each document, by the document's id."""
    return {str(one.id): encoded for one, encoded in zip(documents, made, strict=True)}


def _whole(given: Sequence[Any], documents: Sequence[Document], form: RowForm) -> list[EncodedText]:
    if len(given) != len(documents):
        raise InvalidInputError(
            f"{len(documents)} documents but {len(given)} matrices: give one for each document, an EncodedText where a "
            "document has several windows."
        )
    return _checked(given, documents, form, 0)


def _next(source: Iterator[Any], batch: Sequence[Document], form: RowForm, first: int) -> list[EncodedText]:
    given = list(islice(source, len(batch)))
    if len(given) < len(batch):
        raise InvalidInputError(
            f"document {first + len(given)} has none of the matrices: give one for each document."
        )
    return _checked(given, batch, form, first)


def _checked(
    given: Sequence[Any], documents: Sequence[Document], form: RowForm, first: int
) -> list[EncodedText]:
    pairs = enumerate(zip(given, documents, strict=True), first)
    return [checked(one, document, form, place) for place, (one, document) in pairs]


def _after(error: InvalidInputError | InvalidTypeError | ShapeError, added: int) -> Exception:
    """The error, which also says that earlier batches are stored."""
    if not added:
        return error
    raised = type(error)(f"{error} The {added} documents of earlier batches are stored.")
    raised.added = added
    return raised


def _span(given: Any, length: int, name: str) -> tuple[int, int]:
    try:
        start, end = (int(place) for place in given)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"{name} has the span {shown(given)}: a pair (start, end) is needed."
        ) from None
    if not 0 <= start <= end <= length:
        raise InvalidInputError(
            f"{name} has the span {start}:{end}: it must lie in the {length} characters of context and text."
        )
    return start, end


def _quantized(given: QuantizedMatrix, form: RowForm, name: str) -> QuantizedMatrix:
    rows, scales, width = given.rows, given.scales, form.row_bytes
    if not isinstance(rows, np.ndarray) or not isinstance(scales, np.ndarray):
        raise InvalidTypeError(f"{name} has rows or scales that are no arrays of numpy.")
    if given.bits != form.bits:
        raise InvalidInputError(
            f"{name} has rows of {given.bits} bits a number, and this collection has {form.bits}: give floats, or copy "
            f"the collection that they are from with collection.convert(path, bits={form.bits})."
        )
    if rows.dtype != np.uint8 or scales.dtype != np.float32:
        raise InvalidTypeError(
            f"{name} has rows {rows.dtype} and scales {scales.dtype}: uint8 and float32 are needed."
        )
    if rows.shape != (len(scales), width) or scales.ndim != 1:
        raise ShapeError(
            f"{name} has rows of shape {rows.shape} and scales of shape {scales.shape}: (tokens, {width}) and "
            f"(tokens,) are needed for {form.dim} numbers of {form.bits} bits."
        )
    padded = form.bits != 8 or (rows[:, form.dim :] == ZERO).all()
    if not np.isfinite(scales).all() or not possible(rows, scales, form.bits) or not padded:
        raise InvalidInputError(
            f"{name} has rows or scales that no collection stores: a scale is above 0, a byte of a row of 8 bits is "
            f"from 1 to 255, and its padding is {ZERO}."
        )
    return given
