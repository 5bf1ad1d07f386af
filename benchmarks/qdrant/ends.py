"""From end to end: a set in a directory and on a server with Qdrant's own engine, asked the same questions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from benchmarks.qdrant.data import Kept, Set
from benchmarks.qdrant.ranks import TOP, ndcg
from retrievers import Collection, Hits
from retrievers.collection import indexing
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.points import points_of, version_of
from retrievers.qdrant.words import WORDS, add_words
from retrievers.store import Entry
from tests.qdrant.server import Server

TOGETHER = 20  # questions of a request


@dataclass(frozen=True)
class Compared:
    """Exact answers on the server beside those of a directory, and answers by numbers of candidates.

    Attributes:
        questions: that were asked.
        same: with the same ten documents in the same order.
        swapped: with the same ten, of which neighbours whose scores differ by no more than the rounding are swapped.
        rounding: the largest difference of a score.
        exact: nDCG@10 by all windows.
        rows: number of candidates, recall@10 against all windows and nDCG@10.
    """

    questions: int
    same: int
    swapped: int
    rounding: float
    exact: float
    rows: list[tuple[int, float, float]]


def compared(of: Set, candidates: Sequence[int], *, words: bool = False) -> Compared:
    """Ask a directory and a server the questions of a set.

    Args:
        words: whether BM25 chooses half of the candidates.
    """
    encoder = Kept(of, dict(zip(of.texts, of.queries, strict=True)))
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        with Collection(Path(folder, "index"), encoder) as collection:
            for batch in _batches(of, 256):
                collection.store.append(batch)
            expected = collection.search_many(of.texts, k=TOP)
        with QdrantCollection(server.url, of.name, encoder, timeout=600, words=words) as remote:
            _filled(server, remote, of)
            exact = _asked(remote, of.texts, exact=True)
            rows = []
            for count in candidates:
                found = _asked(remote, of.texts, candidates=count)
                shares = [len(ids(one) & ids(two)) / TOP for one, two in zip(found, exact, strict=True)]
                rows.append((count, sum(shares) / len(shares), quality(of, found)))
    differences = [
        abs(hit.score - {one.id: one.score for one in two}[hit.id])
        for first, two in zip(exact, expected, strict=True)
        for hit in first
        if hit.id in ids(two)
    ]
    rounding = max(differences)
    same = sum(
        [hit.id for hit in one] == [hit.id for hit in two] for one, two in zip(exact, expected, strict=True)
    )
    close = sum(equal_but_for(one, two, 2 * rounding) for one, two in zip(exact, expected, strict=True))
    return Compared(len(of.questions), same, close - same, rounding, quality(of, exact), rows)


def ids(found: Hits) -> set[Any]:
    return {hit.id for hit in found}


def equal_but_for(found: Hits, expected: Hits, rounding: float) -> bool:
    """Whether each place has a document with the expected score there, within the rounding."""
    return len(found) == len(expected) and all(
        abs(one.score - two.score) <= rounding for one, two in zip(found, expected, strict=True)
    )


def quality(of: Set, found: Sequence[Hits]) -> float:
    """Mean nDCG@10."""
    places = {document.id: place for place, document in enumerate(of.documents)}
    total = 0.0
    for question, hits in zip(of.questions, found, strict=True):
        relevant = {places[key] for key, value in of.qrels[question].items() if value and key in places}
        total += ndcg([places[hit.id] for hit in hits], relevant)
    return total / len(found)


def _asked(collection: QdrantCollection, questions: Sequence[str], **options: Any) -> list[Hits]:
    return [
        hits
        for first in range(0, len(questions), TOGETHER)
        for hits in collection.search_many(questions[first : first + TOGETHER], k=TOP, **options)
    ]


def _batches(of: Set, size: int) -> Iterator[list[Entry]]:
    for first in range(0, len(of.documents), size):
        yield [_entry(of, place) for place in range(first, min(first + size, len(of.documents)))]


def _entry(of: Set, place: int) -> Entry:
    document = of.documents[place]
    matrices = [of.matrix(window) for window in range(of.windows[place], of.windows[place + 1])]
    return Entry(document, indexing.content_hash(document), of.spans[place], matrices)


def _filled(server: Server, collection: QdrantCollection, of: Set) -> None:
    """Store a set: the points are the collection's own, given to the engine without the detour over JSON."""
    layout = collection._calls.layout
    shard = server.engine.shards[of.name]
    for first, batch in enumerate(_batches(of, 64)):
        points = []
        for place, entry in enumerate(batch):
            version = version_of(entry.content_hash, 1)
            head, others = points_of(
                entry, version, 1, 1 + 64 * first + place, layout.form, layout.datatype, layout.tenant
            )
            if layout.words:
                add_words((head, *others), entry.document)
            points += [edge.Point(one.id, _vectors(one.vector), one.payload) for one in (head, *others)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()


def _vectors(given: dict[str, Any]) -> dict[str, Any]:
    """Vectors as the engine takes them."""
    if (found := given.get(WORDS)) is None:
        return given
    return {**given, WORDS: edge.SparseVector(found.indices, found.values)}
