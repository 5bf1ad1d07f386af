"""Stored documents as they travel: with the spans, rows and scales of their windows, and digests that compare these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import numpy as np

from retrievers.kernels.rows import stored_form
from retrievers.store import Store, View
from retrievers.types import Document, EncodedText, QuantizedMatrix

PAGE = 256  # documents that are read from one commit


def stream(store: Store, ids: Sequence[str] | None = None) -> Iterator[tuple[Document, EncodedText]]:
    """Documents with what is stored of their windows, byte for byte.

    Args:
        ids: which ones, in this order, unknown ids left out; None means all, in order of insertion. A document that is
            changed meanwhile comes as it was or as it is, whole.
    Raises:
        CorruptStoreError: rows, text or metadata of a document are damaged.
    """
    if ids is None:
        with store.read() as view:
            ids = view.ids()
    for first in range(0, len(ids), PAGE):
        with store.read() as view:
            page = encoded(view, ids[first : first + PAGE])
        yield from page


def encoded(view: View, ids: Sequence[str]) -> list[tuple[Document, EncodedText]]:
    """Those of some documents that are there, in the order asked, each with copies of its rows.

    Raises:
        CorruptStoreError: rows, text or metadata are damaged.
    """
    keys = view.keys_of(ids)
    found, positions = view.fetch(keys.values()), view.positions_of(keys)
    made = []
    for key in dict.fromkeys(one for one in ids if one in keys):
        document = found[keys[key]]
        windows = positions[key]
        spans = [(int(start), int(end)) for start, end in view.spans(windows)]
        parts = [slice(view.starts[one], view.ends[one]) for one in windows]
        matrices = [
            QuantizedMatrix(view.rows[part].copy(), view.scales[part].copy(), view.bits) for part in parts
        ]
        made.append((document, EncodedText(spans, matrices)))
    return made


def digests(store: Store, ids: Sequence[str]) -> dict[str, bytes]:
    """digest_of the windows of those documents that are there, by id."""
    found = {}
    for first in range(0, len(ids), PAGE):
        with store.read() as view:
            for document, one in encoded(view, ids[first : first + PAGE]):
                found[str(document.id)] = digest_of(one, store.bits)
    return found


def of_equal_rows(
    store: Store, known: Mapping[str, bytes], made: Mapping[str, EncodedText]
) -> dict[str, bytes]:
    """Those of some stored documents whose windows are stored exactly as they are given, with their content hashes.

    Args:
        known: content hashes by id.
        made: what is given for each id, and for others.
    """
    stored = digests(store, list(known))
    return {key: known[key] for key in known if stored.get(key) == digest_of(made[key], store.bits)}


def digest_of(encoded: EncodedText, bits: int) -> bytes:
    """16 bytes that are equal for two documents where spans, rows and scales are equal byte for byte, as stored.

    Args:
        bits: of a number of stored rows, for matrices of floats.
    """
    digest = blake2b(digest_size=16)
    for (start, end), one in zip(encoded.spans, encoded.matrices, strict=True):
        rows, scales = stored_form(one, bits)
        digest.update(np.array([start, end, len(scales)], "<i8").tobytes())
        digest.update(np.ascontiguousarray(rows).tobytes())
        digest.update(scales.astype("<f4").tobytes())
    return digest.digest()
