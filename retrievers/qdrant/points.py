"""A document as points of Qdrant, one a window, and back.

Window 0 is the head. Its id depends on the document's id alone, it alone carries the text and what else the document
has, and its version says which other windows count: writing that one point is the commit of a change.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from retrievers.collection.streaming import digest_of
from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.kernels import nibbles
from retrievers.kernels.rows import ZERO, RowForm, dequantize, row_bytes, stored_form
from retrievers.qdrant.fields import derived
from retrievers.store import Entry, format_1
from retrievers.types import Document, EncodedText, QuantizedMatrix, TokenMatrix

TOKENS, POOLED = "tokens", "pooled"  # the token matrix, and the mean of its rows for the first stage
DOCUMENT, NUMBER, SPAN, SCALES = "document", "number", "span", "scales"
VERSION, GENERATION, UNSETTLED = "version", "generation", "unsettled"
TEXT, RECORD, SEQUENCE = "text", "record", "seq"  # of the head alone, with the next four
WINDOWS, SCORED, DIGEST = "windows", "scored", "digest"
SOURCE = "source"  # what the document was cut from, for looking it up; null where it has none

WINDOW_FIELDS = [DOCUMENT, VERSION, NUMBER, SPAN]  # what a search needs of a hit
STATE_FIELDS = [DOCUMENT, VERSION, GENERATION, SEQUENCE, WINDOWS, SCORED, UNSETTLED, RECORD, DIGEST]
HEAD_FIELDS = [*STATE_FIELDS, TEXT]

MAX_FLOATS = 1024 * 1024  # of one multivector: a server refuses more
NAMESPACE = UUID("6b0c1a52-9d1e-4c77-8a5b-3f2f6f1d7e10")
KEPT_APART = ("id", "text")  # fields of a Document that have a place of their own in the payload
FLOAT_BYTES = {"float16": 10, "float32": 14}  # of a number in JSON, with its comma: an upper estimate


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a stored document says.

    Attributes:
        id: the document's.
        version: which windows are the document's: hash of the content, and generation.
        generation: microseconds since 1970 of the change that wrote the version, greater than that before it.
        seq: place in the order of insertion.
        unsettled: whether a change of the metadata alone is under way, so that windows may have other filter fields.
        windows: how many the document has.
        scored: how many of them have rows.
        text: the document's; empty where only STATE_FIELDS were read.
        record: JSON of what else the document has.
        digest: of spans, rows and scales (streaming.digest_of), in hexadecimal digits; empty where nobody wrote it.
    """

    id: str
    version: str
    generation: int
    seq: int
    unsettled: bool
    windows: int
    scored: int
    text: str
    record: str
    digest: str

    @property
    def content(self) -> str:
        """Hash of the document's content, in hexadecimal digits."""
        return self.version.partition("-")[0]

    @property
    def order(self) -> tuple[int, str]:
        """Key by which documents are in the order of their insertion."""
        return self.seq, self.id

    def document(self) -> Document:
        """The document as it was added."""
        try:
            kept = json.loads(self.record)
            document = Document(text=self.text, id=self.id, **kept)
            # Heads that were written before documents had a source keep LlamaIndex's nodes in their metadata.
            return document if SOURCE in kept else format_1.moved(document)
        except (ValueError, TypeError) as error:
            raise CorruptStoreError(
                f"the head of document {self.id!r} is not one of ours: {error}."
            ) from None


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window with its rows.

    Attributes:
        span: the characters of context + text that it was made of.
        rows: uint8, (tokens, row_bytes): as on disk.
        scales: float32, (tokens,).
    """

    document: str
    version: str
    number: int
    span: tuple[int, int]
    rows: NDArray[np.uint8]
    scales: NDArray[np.float32]


# Names


def version_of(content: bytes, generation: int) -> str:
    """A version no other change of the document has."""
    return f"{content.hex()}-{generation:x}"


def head_id(document: str) -> str:
    """The point of a document's window 0, through all its versions."""
    return str(uuid5(NAMESPACE, f"head\0{document}"))


def window_id(document: str, version: str, number: int) -> str:
    """The point of a window: each version has its own but for window 0."""
    return str(uuid5(NAMESPACE, f"window\0{version}\0{number}\0{document}")) if number else head_id(document)


# To points


def record_of(document: Document) -> str:
    """JSON of every field of a document that has no place of its own in the payload, whatever fields it has."""
    kept = {one.name: getattr(document, one.name) for one in fields(document) if one.name not in KEPT_APART}
    return json.dumps(
        {key: dict(value) if isinstance(value, Mapping) else value for key, value in kept.items()},
        ensure_ascii=False,
        sort_keys=False,
    )


def points_of(
    entry: Entry, version: str, generation: int, seq: int, form: RowForm, datatype: str, tenant: str | None
) -> tuple[models.PointStruct, list[models.PointStruct]]:
    """The head of a document and its other windows.

    Args:
        entry: the document with the spans and token matrices of its windows.
        form: of the rows.
        datatype: "float16" or "float32", as the server stores the rows.
        tenant: the metadata key whose value is the document's tenant.
    Raises:
        InvalidInputError: a window is larger than a server takes, or its rows do not survive the data type.
    """
    document = entry.document
    common = {DOCUMENT: document.id, VERSION: version, GENERATION: generation}
    common |= derived(document.metadata, tenant)
    made = []
    spans = entry.windows or [(0, 0)]  # a text without windows is a head without rows
    stored = [QuantizedMatrix(*stored_form(one, form.bits), form.bits) for one in entry.matrices]
    for number, span in enumerate(spans):
        payload: dict[str, Any] = {**common, NUMBER: number, SPAN: [int(span[0]), int(span[1])]}
        vectors: dict[str, Any] = {}
        if stored and len(stored[number]):
            vectors, payload[SCALES] = _vectors(document, number, stored[number], form, datatype)
        if number == 0:
            payload |= {TEXT: document.text, RECORD: record_of(document), SEQUENCE: seq}
            payload |= {WINDOWS: len(entry.windows), SOURCE: document.source}
            payload[SCORED] = sum(len(one) > 0 for one in stored)
            payload[DIGEST] = digest_of(EncodedText(entry.windows, stored), form.bits).hex()
        identity = window_id(str(document.id), version, number)
        made.append(models.PointStruct(id=identity, vector=vectors, payload=payload))
    return made[0], made[1:]


def payload_of(point: models.PointStruct) -> dict[str, Any]:
    """The payload of a point that was made here."""
    return point.payload or {}


def size_of(point: models.PointStruct, datatype: str) -> int:
    """Bytes of a point in a request, about: of its numbers and its texts."""
    vectors: Any = point.vector
    tokens = vectors.get(TOKENS, [])
    numbers = (len(tokens) * len(tokens[0]) if tokens else 0) * FLOAT_BYTES[datatype]
    payload = payload_of(point)
    texts = sum(len(payload.get(key, "")) for key in (TEXT, RECORD, SCALES))
    return numbers + 2 * texts + 64 * len(payload.get("f", ())) + 20 * len(vectors.get(POOLED, ())) + 512


def _vectors(
    document: Document, number: int, matrix: QuantizedMatrix, form: RowForm, datatype: str
) -> tuple[dict[str, Any], str]:
    """The named vectors of a window, and its scales as text: what is stored is what a directory would search."""
    if len(matrix) * form.dim > MAX_FLOATS:
        raise InvalidInputError(
            f"window {number} of document {document.id!r} has {len(matrix)} tokens of {form.dim} dimensions: a Qdrant "
            f"server takes at most {MAX_FLOATS} numbers a window. Use an encoder with a smaller document_length."
        )
    rows, scales = matrix.rows, matrix.scales
    values = dequantize(rows, scales, form.dim, form.bits)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
        stored = values.astype(np.float16) if datatype == "float16" else values
    if not np.array_equal(restored(stored.astype(np.float32), scales, form.bits), rows):
        lengths = np.linalg.norm(values, axis=1)
        raise InvalidInputError(
            f"window {number} of document {document.id!r} has rows of length {lengths.min():.3g} to "
            f"{lengths.max():.3g}, which float16 cannot hold: use an encoder with rows of length 1, or "
            "datatype='float32'."
        )
    mean = values.mean(axis=0)
    mean /= max(float(np.linalg.norm(mean)), 1e-9)
    text = b64encode(scales.astype("<f4").tobytes()).decode()
    return {TOKENS: numbers(stored), POOLED: numbers(mean.astype(np.float32))}, text


def numbers(values: NDArray[np.float16] | NDArray[np.float32]) -> list[Any]:
    """The shortest decimals that stand for these numbers: a request in JSON is a third shorter for it."""
    if values.dtype == np.float16:
        short: NDArray[np.float64] = _halves()[values.view(np.uint16)]
    else:
        short = values.astype("U32").astype(np.float64)
    return short.tolist()  # type: ignore[no-any-return]


@cache
def _halves() -> NDArray[np.float64]:
    """float64, (65536,): each number of 16 bits as its shortest decimal."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype("U32").astype(np.float64)


# From points


def head_of(payload: Mapping[str, Any] | None) -> Head:
    """What the payload of a head says.

    Raises:
        CorruptStoreError: it is not one of ours.
    """
    try:
        given = payload or {}
        return Head(
            str(given[DOCUMENT]),
            str(given[VERSION]),
            int(given[GENERATION]),
            int(given[SEQUENCE]),
            bool(given.get(UNSETTLED)),
            int(given[WINDOWS]),
            int(given[SCORED]),
            str(given.get(TEXT, "")),
            str(given[RECORD]),
            str(given.get(DIGEST, "")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptStoreError(
            f"a point that should be the head of a document has no usable {error}: something else wrote it."
        ) from None


def window_of(record: Any, form: RowForm) -> StoredWindow:
    """A window with its rows, from a point that was read with its vectors and its scales.

    Raises:
        CorruptStoreError: it is not one of ours.
    """
    try:
        payload = record.payload
        text = payload.get(SCALES)
        scales = np.frombuffer(b64decode(text), "<f4").astype(np.float32) if text else np.zeros(0, np.float32)
        vectors = record.vector if isinstance(record.vector, Mapping) else {}
        values = np.array(vectors.get(TOKENS) or np.zeros((0, form.dim)), np.float32)
        if values.shape != (len(scales), form.dim):
            raise ValueError(f"rows {values.shape} for {len(scales)} scales of {form.dim} dimensions")
        start, end = payload[SPAN]
        rows = restored(values, scales, form.bits)
        return StoredWindow(
            payload[DOCUMENT], payload[VERSION], payload[NUMBER], (int(start), int(end)), rows, scales
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptStoreError(f"point {record.id} is no window of ours: {error}.") from None


def restored(values: TokenMatrix, scales: NDArray[np.float32], bits: int) -> NDArray[np.uint8]:
    """The rows as a directory holds them, from what a server returns: uint8, (tokens, row_bytes)."""
    if bits == nibbles.BITS:
        return nibbles.nearest(values, scales)
    rows = np.full((len(values), row_bytes(values.shape[1])), ZERO, np.uint8)
    with np.errstate(invalid="ignore"):
        rows[:, : values.shape[1]] = np.clip(np.rint(values / scales[:, None]) + ZERO, 0, 255)
    return rows


def matrix_of(window: StoredWindow, form: RowForm) -> TokenMatrix:
    """float32, (tokens, dim): the rows as they are searched."""
    return dequantize(window.rows, window.scales, form.dim, form.bits)


def in_order(heads: Sequence[Head]) -> list[Head]:
    """Heads in the order in which their documents were first added."""
    return sorted(heads, key=lambda head: head.order)
