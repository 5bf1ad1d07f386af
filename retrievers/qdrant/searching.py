"""Search: pooled vectors choose windows, MaxSim in the server scores them, and the heads say which of them count.

Hits are merged to documents here. Groups of the server cannot be used: a group whose best window belongs to an old
version would hide the document, and a grouped request may return fewer groups than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from qdrant_client import models

from retrievers.collection import hits
from retrievers.errors import StoreConflictError
from retrievers.qdrant.conditions import Condition
from retrievers.qdrant.points import Head
from retrievers.qdrant.reading import Chosen, heads, predicate
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.scoring import (
    Found,
    condition_of,
    found_of,
    in_order,
    nearest,
    request,
    request_by_words,
    responses_to,
    scores,
)
from retrievers.qdrant.steps import Steps
from retrievers.qdrant.words import Words, of_question
from retrievers.types import Document, Hit, TokenMatrix

EXACT_LIMIT = 64  # the fewest windows that an exact search asks for: most questions need no second request
MOST_ATTEMPTS = 100  # times that a search looks again because documents change under it


@dataclass
class _Question:
    """One question on its way: what the server returned last, and what is known about it.

    Attributes:
        words: None where they are not to be looked at.
        by_words: whether windows are scored by the words alone, and not by their rows.
    """

    matrix: TokenMatrix
    words: Words
    limit: int
    by_words: bool = False
    found: list[Found] = field(default_factory=list)
    stale: frozenset[tuple[str, str]] = frozenset()
    attempts: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the server has returned all that there is.

        Where the words of the question choose half of the windows, both halves may choose the same ones.
        """
        return len(self.found) < (self.limit if self.by_words else nearest(self.limit, self.words))

    def request(self, layout: Layout, condition: Condition, *, exact: bool) -> models.QueryRequest:
        """What the server is asked."""
        if self.by_words:
            return request_by_words(self.words, condition, self.limit)
        return request(layout, self.matrix, condition, self.limit, exact=exact, words=self.words)


def search(
    layout: Layout,
    queries: Sequence[TokenMatrix],
    texts: Sequence[str],
    k: int,
    chosen: Chosen,
    ids: Sequence[str] | None,
    *,
    candidates: int | None,
) -> Steps[list[list[Hit]]]:
    """The k best documents of each question, each by its best window.

    Args:
        queries: matrices, float32, (query_tokens_i, dim); one without tokens finds nothing.
        texts: of the questions, whose words choose candidates too where the collection has words.
        chosen: which documents count.
        ids: search among these alone.
        candidates: windows that the pooled vectors choose for a question; None scores every window.
    """
    found = yield from ranked(layout, queries, texts, k, chosen, ids, candidates=candidates)
    return [
        [hit_of(matrix, head, one) for head, one in pairs]
        for matrix, pairs in zip(queries, found, strict=True)
    ]


Pair: TypeAlias = tuple[Head, Found]
"""A document that counts, and its best window."""


def ranked(
    layout: Layout,
    queries: Sequence[TokenMatrix],
    texts: Sequence[str],
    k: int,
    chosen: Chosen,
    ids: Sequence[str] | None,
    *,
    candidates: int | None,
    by_words: bool = False,
) -> Steps[list[list[Pair]]]:
    """The k best documents of each question with their best windows; the arguments are search's.

    Args:
        by_words: rank by BM25 and not by MaxSim; a question without words finds nothing.
    """
    answers: list[list[Pair]] = [[] for _ in queries]
    condition = condition_of(layout, chosen, ids)
    if condition is False:
        return answers
    keep = predicate(chosen)
    exact = candidates is None or by_words
    first = max(EXACT_LIMIT, 4 * k) if exact else max(candidates or 0, k)
    pending = {}  # by place among the questions
    for place, (matrix, text) in enumerate(zip(queries, texts, strict=True)):
        words = of_question(text) if layout.words and (by_words or not exact) else None
        if len(matrix) and (words is not None or not by_words):
            pending[place] = _Question(matrix, words, first, by_words)
    while pending:
        asked = [one.request(layout, condition, exact=exact) for one in pending.values()]
        responses = yield from responses_to(layout, asked)
        for question, response in zip(pending.values(), responses, strict=True):
            question.found = in_order([found_of(point) for point in response.points])
        known = yield from _look(layout, list(pending.values()), k, keep)
        settled = {place: one for place, one in pending.items() if _settled(one, known)}
        best = {place: _accepted(one, known) for place, one in settled.items()}
        for place, question in settled.items():
            enough = len(best[place]) >= k and best[place][k - 1][1].score > question.found[-1].score
            if not enough and not question.exhausted:
                question.limit *= 2
                del best[place]
        doubtful = [
            (pending[place].matrix, _doubtful(pending[place], pairs[:k])) for place, pairs in best.items()
        ]
        verified = yield from scores(layout, doubtful)
        for (place, pairs), (_, heads_of), found in zip(best.items(), doubtful, verified, strict=True):
            if len(found) < len(heads_of):
                _again(pending[place], next(key for key in heads_of if key not in found))
                continue  # a document was changed since its head was read
            del pending[place]
            answers[place] = in_turn([(head, best_of(found.get(head.id, [one]))) for head, one in pairs])[:k]
    return answers


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
    question.stale = stale
    _again(question, min(stale)[0])
    return False


def _again(question: _Question, document: str) -> None:
    """The question has to be asked again, because a document was changed while it was answered.

    Raises:
        StoreConflictError: that has happened too often.
    """
    question.attempts += 1
    if question.attempts >= MOST_ATTEMPTS:
        raise StoreConflictError(
            f"documents such as {document!r} are replaced faster than this search reads them: search again."
        )


def _accepted(question: _Question, known: Known) -> list[Pair]:
    """Documents that count, each by its best window, the earlier of two equal ones; best first, then by insertion."""
    best: dict[str, Found] = {}
    for one in question.found:
        if _counts(one, known):
            best.setdefault(one.document, one)
    pairs = [(known[key][0], found) for key, found in best.items()]
    return in_turn([(head, found) for head, found in pairs if head is not None])


def in_turn(pairs: Sequence[Pair]) -> list[Pair]:
    """Best first, equal scores in the order of insertion."""
    return sorted(pairs, key=lambda pair: (-pair[1].score, *pair[0].order))


def _doubtful(question: _Question, pairs: Sequence[Pair]) -> dict[str, Head]:
    """Documents that may have been committed after the server searched, so that it saw some of their windows alone.

    Of those whose head it saw it has seen all, because the head is written last. The windows of the others are scored
    again, all of them. Words are counted again whenever two parts are compared, see blending.
    """
    if question.by_words:
        return {}
    seen = {(one.document, one.version) for one in question.found if one.number == 0}
    return {head.id: head for head, _ in pairs if (head.id, head.version) not in seen}


def best_of(windows: Sequence[Found]) -> Found:
    """The best window of a document, the earlier of two equal ones."""
    return min(windows, key=lambda one: (-one.score, one.number))


def hit_of(query: TokenMatrix, head: Head, found: Found) -> Hit:
    return hits.of_window(head.document(), query, found.score, found.span, found.number)
