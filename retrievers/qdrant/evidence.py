"""Reranking, evidence and matrices of stored documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from retrievers.arguments import shown
from retrievers.collection import evidence, hits, questions, reranking
from retrievers.errors import InvalidInputError, StoreConflictError
from retrievers.qdrant.points import Head, matrix_of
from retrievers.qdrant.reading import count, heads, windows
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.scoring import Found, scores
from retrievers.qdrant.searching import MOST_ATTEMPTS
from retrievers.qdrant.steps import Compute, Steps
from retrievers.types import Document, Encoder, Evidence, Hit, TokenMatrix


def rerank(
    layout: Layout, encoder: Callable[[], Encoder], query: TokenMatrix, given: Sequence[Document]
) -> Steps[list[Hit]]:
    """One hit a document, in the order given.

    A document whose id and content are stored is scored by the server; another text is encoded for the moment.

    Args:
        encoder: loads the model, which is not asked for where everything is stored.
        query: float32, (query_tokens, dim).
    """
    named = [one.id for one in given if one.id is not None]
    stored, found = yield from _scored(layout, query, named)
    known = {key: bytes.fromhex(head.content) for key, head in stored.items()}
    twins = {key: head.document() for key, head in stored.items()}
    documents, places = reranking.recognised(given, twins, known)
    made: dict[int, Hit] = {}
    for place in places:
        parts = found[str(documents[place].id)]
        values = np.array([one.score for one in parts], np.float32)
        hit = hits.from_windows(documents[place], place, query, [one.span for one in parts], values)
        if hit.passage is not None:  # windows without rows have a number and no score
            best = parts[int(values.argmax())]
            hit = hits.of_window(documents[place], query, best.score, best.span, best.number, place)
        made[place] = hit
    missing = [place for place in range(len(documents)) if place not in made]
    if missing:
        work = Compute(lambda: reranking.encoded(encoder(), query, documents, missing, layout.form))
        made |= yield work
    return [made[place] for place in range(len(documents))]


def stored(layout: Layout, ids: Sequence[str]) -> Steps[list[Document]]:
    """Stored documents in the order of the ids.

    Raises:
        InvalidInputError: one is not stored.
    """
    found = yield from heads(layout, ids)
    absent = [key for key in ids if key not in found]
    if absent:
        size = yield from count(layout)
        raise InvalidInputError(f"{shown(absent)} is not in this collection of {size} documents.")
    return [found[key].document() for key in ids]


def explain(
    layout: Layout,
    encoder: Callable[[], Encoder],
    question: questions.Question,
    hit: Hit | str,
    given: Document | None = None,
) -> Steps[Evidence]:
    """See QdrantCollection.explain.

    Args:
        encoder: loads the model.
        question: is not encoded where its rows are known.
        given: the document of a hit that was reranked, where it is known: it may have a context.
    """
    document, key = yield from _meant(layout, hit, given)
    [matrix] = yield Compute(lambda: questions.encoded(encoder, [question], layout.dim))
    best = None if isinstance(hit, str) else hit.passage
    if best is None:
        [scored] = yield from rerank(layout, encoder, matrix, [document])
        best = scored.passage
    if best is None or not len(matrix):
        return Evidence(question.text, document.text, None, (), 0.0)
    span = rows = None
    if key is not None:
        head = (yield from heads(layout, [key])).get(key)
        place = (key, "" if head is None else head.version, best.number)
        window = (yield from windows(layout, [place])).get(place)
        if window is not None:
            span, rows = window.span, matrix_of(window, layout.form)
    passage = best

    def work() -> Evidence:
        spans = [] if span is not None else encoder().split(document.context + document.text)
        if span is None and passage.number >= len(spans):
            raise InvalidInputError(
                f"document {key!r} has no window number {passage.number}: search again, then explain."
            )
        chosen = spans[passage.number] if span is None else span
        bits = layout.form.bits
        return evidence.explain(encoder(), question.text, matrix, document, passage, chosen, rows, bits)

    made: Evidence = yield Compute(work)
    return made


def _meant(layout: Layout, hit: Hit | str, given: Document | None) -> Steps[tuple[Document, str | None]]:
    """The document to explain, and the id under which its rows are stored; None for a text that was only reranked.

    Raises:
        InvalidInputError: a document that was searched or named is not stored, or not with that text any more.
    """
    if isinstance(hit, str):
        [document] = yield from stored(layout, [hit])
        return document, hit
    if hit.id is None or hit.position is not None:
        document = given or Document(hit.text, hit.id)
        head = None if hit.id is None else (yield from heads(layout, [hit.id])).get(hit.id)
        twin = None if head is None else head.document()
        document = reranking.with_context(document, twin)
        return document, hit.id if twin is not None and reranking.is_same(document, twin) else None
    [document] = yield from stored(layout, [hit.id])
    if hit.text != document.text:
        raise InvalidInputError(f"document {hit.id!r} has another text by now: search again, then explain.")
    return document, hit.id


def matrices(layout: Layout, found: Sequence[Hit]) -> Steps[list[TokenMatrix]]:
    """See QdrantCollection.matrices."""
    known = yield from heads(layout, [hit.id for hit in found if hit.id is not None])
    places = [_place(hit, known) for hit in found]
    read = yield from windows(layout, [place for place in places if place is not None])
    empty = np.zeros((0, layout.dim), np.float32)
    return [
        matrix_of(read[place], layout.form) if place is not None and place in read else empty.copy()
        for place in places
    ]


def _place(hit: Hit, known: Mapping[str, Head]) -> tuple[str, str, int] | None:
    """Where the window of a hit is stored; None where it is not, or not any more."""
    head = None if hit.id is None else known.get(hit.id)
    if head is None or hit.passage is None or head.text != hit.text:
        return None
    return head.id, head.version, hit.passage.number


def _scored(
    layout: Layout, query: TokenMatrix, ids: Sequence[str]
) -> Steps[tuple[dict[str, Head], dict[str, list[Found]]]]:
    """Heads of those documents that are stored, and their windows with scores, of one version each."""
    for _ in range(MOST_ATTEMPTS):
        known = yield from heads(layout, ids)
        if not len(query):
            return known, {key: [] for key in known}
        [found] = yield from scores(layout, [(query, known)])
        if len(found) == len(known):
            return known, found
    raise StoreConflictError("the documents are replaced faster than they can be scored: try again.")
