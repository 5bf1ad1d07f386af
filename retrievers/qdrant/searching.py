"""Search: pooled vectors choose windows, MaxSim in the server scores them, and the heads say which of them count.

Hits are merged to documents here. Groups of the server cannot be used: a group whose best window belongs to an old
version would hide the document, and a grouped request may return fewer groups than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from qdrant_client import models

from retrievers import filters
from retrievers.collection import hits
from retrievers.errors import CorruptStoreError, StoreConflictError
from retrievers.qdrant.conditions import Condition, as_filter, bounds_of, every, matches, some
from retrievers.qdrant.points import (
    DOCUMENT,
    NUMBER,
    POOLED,
    SPAN,
    TOKENS,
    UNSETTLED,
    VERSION,
    WINDOW_FIELDS,
    Head,
    numbers,
)
from retrievers.qdrant.reading import Chosen, heads, predicate
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.steps import Request, Steps
from retrievers.types import Document, Hit, TokenMatrix

EXACT_LIMIT = 64  # the fewest windows that an exact search asks for: most questions need no second request
MOST_ATTEMPTS = 100  # times that a search looks again because documents change under it

# Quantised vectors score otherwise by their codes alone, off by hundredths.
RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True))


class Found(NamedTuple):
    """A window that the server scored."""

    document: str
    version: str
    number: int
    span: tuple[int, int]
    score: float


@dataclass
class _Question:
    """One question on its way: what the server returned last, and what is known about it."""

    matrix: TokenMatrix
    limit: int
    found: list[Found] = field(default_factory=list)
    stale: frozenset[tuple[str, str]] = frozenset()
    attempts: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the server has returned all that there is."""
        return len(self.found) < self.limit


def search(
    layout: Layout,
    queries: Sequence[TokenMatrix],
    k: int,
    chosen: Chosen,
    ids: Sequence[str] | None,
    *,
    candidates: int | None,
) -> Steps[list[list[Hit]]]:
    """The k best documents of each question, each by its best window.

    Args:
        queries: matrices, float32, (query_tokens_i, dim); one without tokens finds nothing.
        chosen: which documents count.
        ids: search among these alone.
        candidates: windows that the pooled vectors choose for a question; None scores every window.
    """
    answers: list[list[Hit]] = [[] for _ in queries]
    condition = condition_of(layout, chosen, ids)
    if condition is False:
        return answers
    keep = predicate(chosen)
    first = max(EXACT_LIMIT, 4 * k) if candidates is None else max(candidates, k)
    pending = {
        place: _Question(matrix, first) for place, matrix in enumerate(queries) if len(matrix)
    }  # by place among the questions
    while pending:
        exact = candidates is None
        asked = [request(layout, one, condition, exact=exact) for one in pending.values()]
        arguments = {"collection_name": layout.name, "requests": asked}
        responses = yield Request("query_batch_points", arguments)
        for question, response in zip(pending.values(), responses, strict=True):
            question.found = in_order([found_of(point) for point in response.points])
        known = yield from _look(layout, list(pending.values()), k, keep)
        for place, question in list(pending.items()):
            if not _settled(question, known):
                continue
            best = _accepted(question, known)
            enough = len(best) >= k and best[k - 1][1].score > question.found[-1].score
            if enough or question.exhausted:
                answers[place] = [_hit(question.matrix, head, found) for head, found in best[:k]]
                del pending[place]
            else:
                question.limit *= 2
    return answers


def condition_of(layout: Layout, chosen: Chosen, ids: Sequence[str] | None) -> Condition:
    """What the server is asked for: at least the windows of the documents that count.

    A window whose filter fields are being changed is asked for as well; its head decides.
    """
    upper = bounds_of(chosen, layout.tenant).upper if isinstance(chosen, filters.Filter) else True
    if not isinstance(upper, bool):
        upper = some([upper, matches(UNSETTLED, 1)])
    return every([upper, True if ids is None else matches(DOCUMENT, *dict.fromkeys(ids))])


def request(layout: Layout, question: _Question, condition: Condition, *, exact: bool) -> models.QueryRequest:
    """One question as the server takes it: every candidate's score comes back, because all are merged here."""
    params = None if layout.local else RESCORED
    pooled = question.matrix.mean(axis=0)
    pooled /= max(float(np.linalg.norm(pooled)), 1e-9)
    condition = as_filter(condition)
    prefetch = models.Prefetch(
        query=numbers(pooled.astype(np.float32)),
        using=POOLED,
        filter=condition,
        limit=question.limit,
        params=params,
    )
    return models.QueryRequest(
        query=numbers(question.matrix.astype(np.float32)),
        using=TOKENS,
        prefetch=None if exact else prefetch,
        filter=condition if exact else None,
        limit=question.limit,
        params=params,
        with_payload=WINDOW_FIELDS,
        with_vector=False,
    )


def found_of(point: Any) -> Found:
    """A scored point as a window.

    Raises:
        CorruptStoreError: it is not one of ours.
    """
    try:
        payload: Mapping[str, Any] = point.payload
        start, end = payload[SPAN]
        score = float(point.score)
        return Found(payload[DOCUMENT], payload[VERSION], payload[NUMBER], (int(start), int(end)), score)
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptStoreError(f"point {point.id} is no window of ours: {error}.") from None


def in_order(found: Sequence[Found]) -> list[Found]:
    """Best first; equal scores in an order that does not depend on the server."""
    return sorted(found, key=lambda one: (-one.score, one.document, one.number))


Known = Mapping[str, tuple[Head | None, bool]]
"""The head of each document that was looked at, None where it has none, and whether the filter keeps it."""


def _look(
    layout: Layout, questions: Sequence[_Question], k: int, keep: Callable[[Document], bool] | None
) -> Steps[Known]:
    """Read the heads that the best k documents of each question need."""
    known: dict[str, tuple[Head | None, bool]] = {}
    while True:
        wanted = dict.fromkeys(key for one in questions for key in _wanted(one, known, k))
        if not wanted:
            return known
        read = yield from heads(layout, wanted)
        for key in wanted:
            head = read.get(key)
            known[key] = (head, head is not None and (keep is None or keep(head.document())))


def _wanted(question: _Question, known: Known, k: int) -> list[str]:
    """Documents whose heads decide which are the best k, those with the score of the last one included."""
    wanted: dict[str, None] = {}
    counted: set[str] = set()
    last = -np.inf
    for one in question.found:
        if len(counted) >= k and one.score < last:
            break
        if one.document not in known:
            wanted[one.document] = None
        elif not _counts(one, known):
            continue
        if one.document not in counted and len(counted) < k:
            last = one.score
        counted.add(one.document)
    return list(wanted)


def _counts(found: Found, known: Known) -> bool:
    head, kept = known.get(found.document, (None, False))
    return head is not None and kept and head.version == found.version


def _settled(question: _Question, known: Known) -> bool:
    """Whether no document was changed between the search and the look at its head.

    A window of another version than its head's was overtaken by a change, or is what an interrupted one left. The
    former is gone when one looks again, the latter is the same twice.
    """
    stale = frozenset(
        (one.document, one.version)
        for one in question.found
        if one.document in known and getattr(known[one.document][0], "version", None) != one.version
    )
    if not stale or stale == question.stale:
        return True
    question.stale, question.attempts = stale, question.attempts + 1
    if question.attempts >= MOST_ATTEMPTS:
        raise StoreConflictError(
            f"documents such as {next(iter(stale))[0]!r} are replaced faster than this search reads them: search again."
        )
    return False


def _accepted(question: _Question, known: Known) -> list[tuple[Head, Found]]:
    """Documents that count, each by its best window, the earlier of two equal ones; best first, then by insertion."""
    best: dict[str, Found] = {}
    for one in question.found:
        if _counts(one, known):
            best.setdefault(one.document, one)
    pairs = [(known[key][0], found) for key, found in best.items()]
    return sorted(
        ((head, found) for head, found in pairs if head is not None),
        key=lambda pair: (-pair[1].score, *pair[0].order),
    )


def _hit(query: TokenMatrix, head: Head, found: Found) -> Hit:
    return hits.of_window(head.document(), query, found.score, found.span, found.number)


# Windows of given documents


def scores(layout: Layout, query: TokenMatrix, wanted: Mapping[str, Head]) -> Steps[dict[str, list[Found]]]:
    """Every window of some stored documents, scored by the server, in the order of the text.

    Args:
        query: float32, (query_tokens, dim), at least one token.
        wanted: heads by document.
    Returns:
        The windows by document; a document that was changed since its head was read is left out.
    """
    made: dict[str, list[Found]] = {}
    left = {key: head for key, head in wanted.items() if head.scored}
    keys = list(left)
    for first in range(0, len(keys), EXACT_LIMIT):
        some_keys = keys[first : first + EXACT_LIMIT]
        condition = some(
            [every([matches(DOCUMENT, key), matches(VERSION, left[key].version)]) for key in some_keys]
        )
        limit = sum(left[key].scored for key in some_keys)
        asked = request(layout, _Question(query, limit), condition, exact=True)
        arguments = {"collection_name": layout.name, "requests": [asked]}
        [response] = yield Request("query_batch_points", arguments)
        for one in map(found_of, response.points):
            if left[one.document].version == one.version:
                made.setdefault(one.document, []).append(one)
    whole = {key: parts for key, parts in made.items() if len(parts) == left[key].scored}
    nothing: dict[str, list[Found]] = {key: [] for key, head in wanted.items() if not head.scored}
    return nothing | {key: sorted(parts, key=lambda one: one.number) for key, parts in whole.items()}
