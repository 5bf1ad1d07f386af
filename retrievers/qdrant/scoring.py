"""What the server is asked to score, and the windows that it answers with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from qdrant_client import models

from retrievers import filters
from retrievers.errors import CorruptStoreError
from retrievers.qdrant.batching import split
from retrievers.qdrant.conditions import Condition, as_filter, bounds_of, every, matches, some
from retrievers.qdrant.points import (
    DOCUMENT,
    FLOAT_BYTES,
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
from retrievers.qdrant.reading import Chosen
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.steps import Request, Steps
from retrievers.qdrant.words import WORDS, Words
from retrievers.types import TokenMatrix

PART = 64  # documents whose windows one question names

# Quantised vectors score otherwise by their codes alone, off by hundredths.
RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True))
EVERY = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))


class Found(NamedTuple):
    """A window that the server scored."""

    document: str
    version: str
    number: int
    span: tuple[int, int]
    score: float


def condition_of(layout: Layout, chosen: Chosen, ids: Sequence[str] | None) -> Condition:
    """What the server is asked for: at least the windows of the documents that count.

    A window whose filter fields are being changed is asked for as well; its head decides.
    """
    upper = bounds_of(chosen, layout.tenant).upper if isinstance(chosen, filters.Filter) else True
    if not isinstance(upper, bool):
        upper = some([upper, matches(UNSETTLED, 1)])
    return every([upper, True if ids is None else matches(DOCUMENT, *dict.fromkeys(ids))])


def request(
    layout: Layout, matrix: TokenMatrix, condition: Condition, limit: int, *, exact: bool, words: Words = None
) -> models.QueryRequest:
    """One question as the server takes it: every candidate's score comes back, because they are merged here.

    Args:
        limit: the most windows that are scored.
        exact: score all that fulfil the condition.
        words: of the question, by which BM25 chooses half of the windows; None leaves all to the pooled vectors.
    """
    params = None if layout.local else RESCORED
    condition = as_filter(condition)
    part = nearest(limit, words)
    query: Any = _pooled(matrix)
    prefetch: Any = models.Prefetch(query=query, using=POOLED, filter=condition, limit=part, params=params)
    if part < limit:
        prefetch = [
            prefetch,
            models.Prefetch(query=words, using=WORDS, filter=condition, limit=limit - part),
        ]
    return models.QueryRequest(
        query=numbers(matrix.astype(np.float32)),
        using=TOKENS,
        prefetch=None if exact else prefetch,
        filter=condition if exact else None,
        limit=limit,
        params=params,
        with_payload=WINDOW_FIELDS,
        with_vector=False,
    )


def _pooled(matrix: TokenMatrix) -> list[Any]:
    """The mean of a question's rows, of length 1."""
    whole = matrix.mean(axis=0)
    whole /= max(float(np.linalg.norm(whole)), 1e-9)
    return numbers(whole.astype(np.float32))


def request_by_words(words: Words, condition: Condition, limit: int) -> models.QueryRequest:
    """A question's words as the server takes them: the windows that have one of them, by their BM25."""
    return models.QueryRequest(
        query=words,
        using=WORDS,
        filter=as_filter(condition),
        limit=limit,
        with_payload=WINDOW_FIELDS,
        with_vector=False,
    )


def responses_to(layout: Layout, requests: Sequence[models.QueryRequest]) -> Steps[list[Any]]:
    """The responses to questions, as many of which go together as a request holds."""
    made: list[Any] = []
    for part in split(requests, [_size(one) for one in requests]):
        arguments = {"collection_name": layout.name, "requests": [requests[place] for place in part]}
        made += yield Request("query_batch_points", arguments)
    return made


def _size(question: models.QueryRequest) -> int:
    """Bytes of a question in a request, about."""
    rows: Any = question.query
    if isinstance(rows, models.SparseVector):
        return 2 * len(rows.indices) * FLOAT_BYTES["float32"]
    if question.using == POOLED:
        return len(rows) * FLOAT_BYTES["float32"]
    return (len(rows) + 1) * len(rows[0]) * FLOAT_BYTES["float32"] if rows else 0


def nearest(limit: int, words: Words) -> int:
    """How many of some candidates the pooled vectors choose; BM25 chooses the rest where there are words."""
    return limit if words is None else limit - limit // 2


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


def scores(
    layout: Layout, asked: Sequence[tuple[TokenMatrix, Mapping[str, Head]]]
) -> Steps[list[dict[str, list[Found]]]]:
    """Every window of some stored documents, scored by the server, in the order of the text.

    Args:
        asked: questions, float32, (query_tokens, dim), at least one token, each with heads by document.
    Returns:
        The windows by document, for each question; a document that was changed since its head was read is left out.
    """
    requests, owners = [], []
    for place, (matrix, wanted) in enumerate(asked):
        for part in _parts([head for head in wanted.values() if head.scored]):
            limit = sum(one.scored for one in part)
            requests.append(request(layout, matrix, _windows_of(part), limit, exact=True))
            owners.append(place)
    responses = yield from responses_to(layout, requests)
    made: list[dict[str, list[Found]]] = [{} for _ in asked]
    for place, response in zip(owners, responses, strict=True):
        for one in map(found_of, response.points):
            made[place].setdefault(one.document, []).append(one)
    return [
        {
            key: sorted(found.get(key, []), key=lambda one: one.number)
            for key, head in wanted.items()
            if len(found.get(key, [])) == head.scored
        }
        for found, (_, wanted) in zip(made, asked, strict=True)
    ]


def scores_by_words(
    layout: Layout, asked: Sequence[tuple[Words, Sequence[Head]]]
) -> Steps[list[dict[str, float]]]:
    """BM25 of some stored documents, each by its best window.

    Args:
        asked: the words of questions, each with heads.
    Returns:
        The scores by document, for each question; a document that has none of the words, or was changed since its
        head was read, is left out.
    """
    requests, owners = [], []
    for place, (words, wanted) in enumerate(asked):
        for part in _parts(wanted) if words is not None else ():
            limit = sum(one.windows for one in part)
            requests.append(request_by_words(words, _windows_of(part), limit))
            owners.append(place)
    responses = yield from responses_to(layout, requests)
    made: list[dict[str, float]] = [{} for _ in asked]
    for place, response in zip(owners, responses, strict=True):
        for one in map(found_of, response.points):
            made[place][one.document] = max(one.score, made[place].get(one.document, 0.0))
    return made


def scores_by_means(
    layout: Layout, asked: Sequence[tuple[TokenMatrix, Sequence[Head]]]
) -> Steps[list[dict[tuple[str, int], float]]]:
    """The pooled similarity of every window of some stored documents (retrievers.search.pooled).

    Args:
        asked: questions, float32, (query_tokens, dim), at least one token, each with heads.
    Returns:
        The similarities by document and number of the window, for each question; a document that was changed since
        its head was read is left out.
    """
    requests, owners = [], []
    for place, (matrix, wanted) in enumerate(asked):
        for part in _parts([head for head in wanted if head.scored]):
            query: Any = _pooled(matrix)
            requests.append(
                models.QueryRequest(
                    query=query,
                    using=POOLED,
                    filter=as_filter(_windows_of(part)),
                    limit=sum(one.scored for one in part),
                    params=None if layout.local else EVERY,
                    with_payload=WINDOW_FIELDS,
                    with_vector=False,
                )
            )
            owners.append(place)
    responses = yield from responses_to(layout, requests)
    made: list[dict[tuple[str, int], float]] = [{} for _ in asked]
    for place, response in zip(owners, responses, strict=True):
        for one in map(found_of, response.points):
            made[place][one.document, one.number] = one.score
    return made


def _parts(wanted: Sequence[Head]) -> Iterator[Sequence[Head]]:
    """As many documents as one question names."""
    for first in range(0, len(wanted), PART):
        yield wanted[first : first + PART]


def _windows_of(wanted: Sequence[Head]) -> Condition:
    """The windows of some documents, of the versions that their heads name."""
    return some([every([matches(DOCUMENT, one.id), matches(VERSION, one.version)]) for one in wanted])
