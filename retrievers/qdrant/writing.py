"""Changes of a collection, each so ordered that a reader, and whoever comes after a kill, finds a whole state.

Replace a text: first the windows of the new version but for window 0, which no reader counts yet; then the head, one
point, which is the commit; then what is older than the head is deleted. A version belongs to one change alone, and its
generation is greater than that of the version before it, so that what is older can be told from what another writer is
about to commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from qdrant_client import models

from retrievers.collection import incoming, indexing
from retrievers.collection.streaming import digest_of
from retrievers.errors import StoreConflictError
from retrievers.qdrant import batching
from retrievers.qdrant.conditions import as_filter, at_most, every, matches, none
from retrievers.qdrant.fields import derived
from retrievers.qdrant.points import (
    DOCUMENT,
    GENERATION,
    NUMBER,
    RECORD,
    SEQUENCE,
    SOURCE,
    STATE_FIELDS,
    UNSETTLED,
    VERSION,
    Head,
    head_id,
    payload_of,
    points_of,
    record_of,
    size_of,
    version_of,
)
from retrievers.qdrant.reading import heads
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.steps import Compute, Request, Steps
from retrievers.qdrant.words import add_words
from retrievers.store import Entry
from retrievers.types import Document, EncodedText

BATCH_DOCUMENTS = 256  # documents whose state one request reads

Prepared = tuple[models.PointStruct, list[models.PointStruct], Head | None]
"""The head of a new version, its other windows, and the head that it replaces."""


def add(
    layout: Layout,
    batch: Sequence[Document],
    made: Sequence[EncodedText] | None,
    entries: Callable[[Sequence[tuple[Document, bytes]]], Iterator[Entry]],
    numbers: Iterator[int],
    advance: Callable[[int], Any],
) -> Steps[None]:
    """Store documents that retrievers.collection.incoming has checked.

    Args:
        batch: at most BATCH_DOCUMENTS of them.
        made: what a model made of each elsewhere; None where they are to be encoded.
        entries: makes entries of documents with their content hashes.
        numbers: places in the order of insertion, for those that are new.
        advance: called with the number of documents that were stored.
    """
    stored = yield from heads(layout, [str(one.id) for one in batch], STATE_FIELDS)
    same, missing = [], []
    given = [""] * len(batch) if made is None else [digest_of(one, layout.form.bits).hex() for one in made]
    for document, rows in zip(batch, given, strict=True):
        head = stored.get(str(document.id))
        # Matrices that come are those of the context that comes.
        document = _kept(document, head, context=made is None)
        digest = indexing.content_hash(document)
        if head is not None and head.content == digest.hex() and rows in ("", head.digest):
            same.append((document, head))
        else:
            missing.append((document, digest))
    yield from _keep(layout, same)
    advance(len(same))
    yield from _replace(layout, entries(missing), stored, numbers, advance)


def places(layout: Layout) -> Steps[Iterator[int]]:
    """Places in the order of insertion for new documents, from one more than the greatest there is."""
    order = models.OrderBy(key=SEQUENCE, direction=models.Direction.DESC)
    arguments = {"order_by": order, "limit": 1, "with_payload": [SEQUENCE], "with_vectors": False}
    records, _ = yield Request("scroll", {"collection_name": layout.name, **arguments})
    return count(int(records[0].payload[SEQUENCE]) + 1 if records else 1)


def delete(layout: Layout, ids: Sequence[str]) -> Steps[int]:
    """Remove documents by id: their heads first, which no reader misses. Returns how many there were."""
    removed = 0
    unique = list(dict.fromkeys(ids))
    for first in range(0, len(unique), BATCH_DOCUMENTS):
        some = unique[first : first + BATCH_DOCUMENTS]
        stored = yield from heads(layout, some, STATE_FIELDS)
        removed += len(stored)
        if stored:
            yield _delete(layout, models.PointIdsList(points=[head_id(key) for key in stored]))
        # An earlier call may have died here: the windows go also where there is no head any more.
        latest = max([now(), *(head.generation for head in stored.values())])
        yield _delete(layout, _selector(matches(DOCUMENT, *some), at_most(GENERATION, latest)))
    return removed


def clear(layout: Layout) -> Steps[None]:
    """Remove every document, but what another process begins to add from now on."""
    latest = now()
    yield _delete(layout, _selector(matches(NUMBER, 0)))
    yield _delete(layout, _selector(at_most(GENERATION, latest)))


def now() -> int:
    """Microseconds since 1970: generations of one document that come one after the other are ordered by it."""
    return time.time_ns() // 1000


# Replace


def _replace(
    layout: Layout,
    entries: Iterator[Entry],
    stored: dict[str, Head],
    numbers: Iterator[int],
    advance: Callable[[int], Any],
) -> Steps[None]:
    """Store new versions, as many at a time as a request holds."""
    while True:
        generation = max([now(), *(head.generation + 1 for head in stored.values())])
        prepared = yield Compute(partial(_prepare, layout, entries, stored, numbers, generation))
        if not prepared:
            return
        others = [point for _, points, _ in prepared for point in points]
        for part in _parts(others, layout.datatype):
            yield Request("upsert", {"collection_name": layout.name, "points": part, "wait": True})
        yield from _commit(layout, prepared)
        ids = [payload_of(head)[DOCUMENT] for head, _, _ in prepared]
        yield _delete(layout, _selector(matches(DOCUMENT, *ids), at_most(GENERATION, generation - 1)))
        advance(len(prepared))


def _prepare(
    layout: Layout, entries: Iterator[Entry], stored: dict[str, Head], numbers: Iterator[int], generation: int
) -> list[Prepared]:
    """The next documents as points, until a request is full."""
    made: list[Prepared] = []
    size = 0
    for entry in entries:
        old = stored.get(str(entry.document.id))
        seq = next(numbers) if old is None else old.seq
        version = version_of(entry.content_hash, generation)
        head, others = points_of(entry, version, generation, seq, layout.form, layout.datatype, layout.tenant)
        if layout.words:
            add_words((head, *others), entry.document)
        made.append((head, others, old))
        size += sum(size_of(point, layout.datatype) for point in (head, *others))
        if size >= batching.BATCH_BYTES:
            break
    return made


def _commit(layout: Layout, prepared: Sequence[Prepared]) -> Steps[None]:
    """Write heads, each only in place of the one that was read.

    Raises:
        StoreConflictError: another writer changed a document meanwhile; its change stands.
    """
    for part in _head_parts(prepared, layout.datatype):
        operations = []
        fresh = [head for head, _, old in part if old is None]
        if fresh:
            mode = models.UpdateMode.INSERT_ONLY if layout.guarded else None
            operations.append(_upsert(fresh, mode, None))
        for head, _, old in part:
            if old is not None:
                unchanged = as_filter(matches(VERSION, old.version)) if layout.guarded else None
                mode = models.UpdateMode.UPDATE_ONLY if layout.guarded else None
                operations.append(_upsert([head], mode, unchanged))
        arguments = {"update_operations": operations, "wait": True}
        yield Request("batch_update_points", {"collection_name": layout.name, **arguments})
    # A comparison that fails is no error of the server's: who was the winner has to be read.
    mine = {payload_of(head)[DOCUMENT]: payload_of(head)[VERSION] for head, _, _ in prepared}
    current = yield from heads(layout, mine, STATE_FIELDS)
    lost = [key for key, version in mine.items() if key not in current or current[key].version != version]
    if lost:
        versions = [mine[key] for key in lost]
        yield _delete(layout, _selector(matches(DOCUMENT, *lost), matches(VERSION, *versions)))
        raise StoreConflictError(
            f"{len(lost)} documents, {lost[0]!r} the first, were changed by another writer while this one "
            "added them: the other's stand. Add them again if yours are to stand."
        )


def _upsert(points: list[models.PointStruct], mode: Any, condition: models.Filter | None) -> Any:
    return models.UpsertOperation(
        upsert=models.PointsList(points=points, update_mode=mode, update_filter=condition)
    )


# Keep


def _keep(layout: Layout, same: Sequence[tuple[Document, Head]]) -> Steps[None]:
    """Documents whose text is stored: complete what an earlier call left, and write other metadata.

    The windows are marked as unsettled while their filter fields are those of a head that is not yet, or not any
    more, there: a search with a filter asks for such windows too, and the head decides.
    """
    if not same:
        return
    older: dict[int, list[str]] = {}
    for _, head in same:
        older.setdefault(head.generation, []).append(head.id)
    rests = [
        models.DeleteOperation(delete=_selector(matches(DOCUMENT, *ids), at_most(GENERATION, generation - 1)))
        for generation, ids in older.items()
    ]
    yield _batch(layout, rests)
    changed = [(document, head) for document, head in same if record_of(document) != head.record]
    several = [(document, head) for document, head in changed if head.windows > 1]
    head_only, others = matches(NUMBER, 0), none(matches(NUMBER, 0))
    if several:
        yield _batch(
            layout, [_set(head, others, {**_fields(layout, one), UNSETTLED: 1}) for one, head in several]
        )
    if changed:
        yield _batch(
            layout,
            [
                _set(
                    head,
                    head_only,
                    {**_fields(layout, one), RECORD: record_of(one), SOURCE: one.source}
                    | ({UNSETTLED: 1} if head.windows > 1 else {}),
                )
                for one, head in changed
            ],
        )
    unsettled = [head for _, head in same if head.unsettled] + [head for _, head in several]
    if unsettled:
        ids = list(dict.fromkeys(head.id for head in unsettled))
        for place in (others, head_only):
            arguments = {
                "keys": [UNSETTLED],
                "points": _selector(matches(DOCUMENT, *ids), place),
                "wait": True,
            }
            yield Request("delete_payload", {"collection_name": layout.name, **arguments})


def _fields(layout: Layout, document: Document) -> dict[str, Any]:
    return derived(document.metadata, layout.tenant)


def _set(head: Head, place: Any, payload: dict[str, Any]) -> Any:
    """Change a payload, if the document still has the version that was read."""
    selector = _selector(matches(DOCUMENT, head.id), matches(VERSION, head.version), place)
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, filter=selector.filter))


# Help


def _kept(document: Document, head: Head | None, *, context: bool) -> Document:
    """A document with the source and the attachment of the one that is stored, where it brings none of its own."""
    if head is None or document.source is not None or document.attachment is not None:
        return document
    stored = head.document()
    kept = incoming.with_context(document, stored) if context else document
    return replace(kept, source=stored.source, attachment=stored.attachment)


def _selector(*conditions: Any) -> models.FilterSelector:
    condition = as_filter(every(conditions))
    assert condition is not None  # a request that would delete everything is never made here
    return models.FilterSelector(filter=condition)


def _delete(layout: Layout, selector: Any) -> Request:
    return Request("delete", {"collection_name": layout.name, "points_selector": selector, "wait": True})


def _batch(layout: Layout, operations: list[Any]) -> Request:
    arguments = {"update_operations": operations, "wait": True}
    return Request("batch_update_points", {"collection_name": layout.name, **arguments})


def _parts(points: Sequence[models.PointStruct], datatype: str) -> Iterator[list[models.PointStruct]]:
    """Points in lists that a request holds."""
    for part in batching.split(points, [size_of(point, datatype) for point in points]):
        yield [points[place] for place in part]


def _head_parts(prepared: Sequence[Prepared], datatype: str) -> Iterator[list[Prepared]]:
    for part in batching.split(prepared, [size_of(head, datatype) for head, _, _ in prepared]):
        yield [prepared[place] for place in part]
