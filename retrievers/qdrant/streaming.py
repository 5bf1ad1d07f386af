"""Documents as they travel: read from the server with their rows, and put into the order of their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qdrant_client import models

from retrievers.collection.streaming import digest_of
from retrievers.errors import CorruptStoreError, StoreConflictError
from retrievers.qdrant.points import SEQUENCE, STATE_FIELDS, Head, StoredWindow, head_id
from retrievers.qdrant.reading import PAGE, heads, matching, windows
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.searching import MOST_ATTEMPTS
from retrievers.qdrant.steps import Request, Steps
from retrievers.types import Document, EncodedText, QuantizedMatrix

DOCUMENTS = 64  # that are read together with their rows


def ids(layout: Layout) -> Steps[list[str]]:
    """The ids of all documents, in order of insertion."""
    found = yield from matching(layout, None, STATE_FIELDS)
    return [head.id for head in found]


def digests(layout: Layout, names: Sequence[str]) -> Steps[dict[str, bytes]]:
    """digest_of the windows of those documents that are there, as whoever wrote them has noted it."""
    found = yield from heads(layout, names, STATE_FIELDS)
    return {key: bytes.fromhex(head.digest) for key, head in found.items()}


def encoded(layout: Layout, names: Sequence[str]) -> Steps[list[tuple[Document, EncodedText]]]:
    """Those of some documents that are there, in the order asked, each with its rows, of one version.

    Raises:
        CorruptStoreError: the rows of a document are not those that were written.
        StoreConflictError: documents are replaced faster than they can be read.
    """
    made: dict[str, tuple[Document, EncodedText]] = {}
    pending = list(dict.fromkeys(names))
    for _ in range(MOST_ATTEMPTS):
        known = yield from heads(layout, pending)
        read = yield from windows(
            layout,
            [(key, head.version, number) for key, head in known.items() for number in range(head.windows)],
        )
        for key, head in known.items():
            whole = _whole(head, read, layout.form.bits)
            if whole is not None:
                made[key] = (head.document(), whole)
        pending = [key for key in known if key not in made]
        if not pending:
            return [made[key] for key in dict.fromkeys(names) if key in made]
    raise StoreConflictError(
        f"documents such as {pending[0]!r} are replaced faster than they can be read: try again."
    )


def arrange(layout: Layout, names: Sequence[str]) -> Steps[None]:
    """Let documents that are stored have this order of insertion."""
    for first in range(0, len(names), PAGE):
        operations = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(payload={SEQUENCE: place}, points=[head_id(key)])
            )
            for place, key in enumerate(names[first : first + PAGE], first + 1)
        ]
        arguments = {"update_operations": operations, "wait": True}
        yield Request("batch_update_points", {"collection_name": layout.name, **arguments})


def _whole(head: Head, read: Mapping[tuple[str, str, int], StoredWindow], bits: int) -> EncodedText | None:
    """The windows that a head counts; None where one is not there, because the document was changed meanwhile."""
    keys = [(head.id, head.version, number) for number in range(head.windows)]
    if not all(key in read for key in keys):
        return None
    spans = [read[key].span for key in keys]
    made = EncodedText(spans, [QuantizedMatrix(read[key].rows, read[key].scales, bits) for key in keys])
    if head.digest and digest_of(made, bits).hex() != head.digest:
        raise CorruptStoreError(
            f"the rows of document {head.id!r} are not those that were written. Delete the document and add it again."
        )
    return made
