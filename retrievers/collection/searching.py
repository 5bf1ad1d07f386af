"""What a search does once its question is encoded: rank, blend, group, and cut passages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers import filters
from retrievers.collection import hits, stages, validate
from retrievers.collection.questions import Question
from retrievers.collection.stages import Stages
from retrievers.errors import FilterError, InvalidInputError
from retrievers.filters.fields import MISSING, lookup
from retrievers.store import Store, View
from retrievers.types import Document, DocumentFilter, Hit, Parts, TokenMatrix

FIRST_OF_GROUPS = (
    20  # hits, at least, that are ranked to fill groups from; four times as many each time that they do
)
ROUNDING = 1e-9  # by which shares that add up to 1 may miss it
SOURCE = "source"  # the key that also means Document.source, where the metadata have no such key


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for, checked.

    Attributes:
        k: the most hits.
        lowest: the least normalised score.
        words: the share of words; None is the collection's own.
        pooled: the share of the pooled similarity.
        passages: the windows of each hit that come back; 0 for none.
        group_by: the metadata key whose values hits are grouped by, or None.
        group_size: the most hits of a group.
    """

    k: int
    lowest: float
    words: float | None
    pooled: float
    passages: int
    group_by: str | None
    group_size: int


def checked(
    k: int,
    score_threshold: float | None,
    words: float | None,
    pooled: float | None,
    passages: int | None,
    group_by: str | None,
    group_size: int,
) -> Options:
    """The options of a search, if they can be used.

    Raises:
        InvalidInputError, InvalidTypeError: they cannot.
    """
    return Options(
        validate.count(k, "k"),
        validate.threshold(score_threshold),
        *_shares(validate.weight(words), validate.weight(pooled, "pooled") or 0.0),
        0 if passages is None else validate.count(passages, "passages"),
        validate.group(group_by),
        validate.count(group_size, "group_size"),
    )


def _shares(words: float | None, pooled: float, named: str = "words is") -> tuple[float | None, float]:
    """Both shares as they are.

    Raises:
        InvalidInputError: together they are more than 1.
    """
    if words is not None and words + pooled > 1 + ROUNDING:
        raise InvalidInputError(
            f"{named} {words:g} and pooled {pooled:g}: together the two have at most 1 of the score, and MaxSim has "
            "the rest. Give less."
        )
    return words, pooled


def with_texts(options: Options, given: Sequence[Question]) -> Options:
    """The options for some questions: where one is given as rows, its words are not known.

    Raises:
        InvalidInputError: words were asked for all the same.
    """
    if all(one.rows is None for one in given):
        return options
    if options.words:
        raise InvalidInputError(
            f"words is {options.words}, and a question is given as a matrix, whose words nobody knows: give the text, "
            "or leave words out."
        )
    return replace(options, words=0.0)


Found = tuple[list[Hit], TokenMatrix, Stages, int]
"""Of a question: its hits, its rows as they were searched, the times of the scan, and how many questions shared it."""


def scan(
    store: Store,
    weighted: Callable[[View, Sequence[Question], Sequence[TokenMatrix]], Sequence[TokenMatrix]],
    condition: Callable[[Document], bool] | filters.Filter | None,
    among: Sequence[str] | None,
    asked: Sequence[tuple[Question, TokenMatrix]],
    options: Options,
    **engine: Any,
) -> list[Found]:
    """What some questions find in one snapshot.

    Args:
        weighted: the rows of questions with the weights that the collection gives them.
        condition: of the documents to search; None keeps all.
        among: ids of these; None keeps all.
        asked: the questions and their matrices, float32, (query_tokens_i, dim).
        engine: see find.
    """
    spent = stages.begin()
    with store.read() as view:
        rows = weighted(view, [question for question, _ in asked], [matrix for _, matrix in asked])
        selected = view.select(condition, among)
        spent.end("selection")
        found = find(view, [question.text for question, _ in asked], rows, selected, options, spent, **engine)
    return [(one, matrix, spent, len(asked)) for one, matrix in zip(found, rows, strict=True)]


def find(
    view: View,
    texts: Sequence[str],
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    options: Options,
    spent: Stages,
    **engine: Any,
) -> list[list[Hit]]:
    """The hits of each question, best first.

    Args:
        view: what is searched.
        texts: the questions.
        queries: their matrices, float32, (query_tokens_i, dim).
        selected: int64, ascending: positions of the windows to search; None for all.
        spent: gets the times of "scan" and "fetch".
        engine: exact, candidates, device and memory_limit, as retrievers.search.rank has them.
    """

    def ranked(places: Sequence[int], k: int) -> list[list[Hit]]:
        some = [texts[place] for place in places], [queries[place] for place in places]
        return _ranked(view, *some, selected, replace(options, k=k), spent, **engine)

    if options.group_by is None:
        found = ranked(range(len(queries)), options.k)
    else:
        found = [[] for _ in queries]
        depth, asked = max(4 * options.k, FIRST_OF_GROUPS), list(range(len(queries)))
        while asked:
            deeper = []
            for place, answer in zip(asked, ranked(asked, depth), strict=True):
                groups = _sources(view, answer) if options.group_by == SOURCE else {}
                found[place] = grouped(answer, options, groups)
                if len(found[place]) < options.k and len(answer) == depth:
                    deeper.append(place)
            depth, asked = 4 * depth, deeper
    if options.passages:
        found = [
            _with_passages(view, answer, query, options) for answer, query in zip(found, queries, strict=True)
        ]
        spent.end("fetch")
    return found


def grouped(found: Sequence[Hit], options: Options, sources: Mapping[str, str | None]) -> list[Hit]:
    """The first k hits of which no more than group_size have the same value of the metadata key.

    A hit without the key is a group of its own.

    Args:
        sources: Document.source of hits whose metadata have no key `source`, by id.
    """
    counts: Counter[str] = Counter()
    kept: list[Hit] = []
    for hit in found:
        value = lookup(hit.metadata, str(options.group_by))
        if value is MISSING:
            value = sources.get(str(hit.id)) or MISSING
        if value is not MISSING:
            name = json.dumps(value, sort_keys=True)
            counts[name] += 1
            if counts[name] > options.group_size:
                continue
        kept.append(hit)
        if len(kept) == options.k:
            break
    return kept


def _sources(view: View, found: Sequence[Hit]) -> dict[str, str | None]:
    """Document.source of the hits whose metadata have no key of that name, by id."""
    named = [str(hit.id) for hit in found if lookup(hit.metadata, SOURCE) is MISSING]
    return {str(document.id): document.source for document in view.get(named)}


def _ranked(
    view: View,
    texts: Sequence[str],
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    options: Options,
    spent: Stages,
    **engine: Any,
) -> list[list[Hit]]:
    """The k best documents of each question, by MaxSim alone or with other parts."""
    from retrievers.search import rank  # compiles the kernels
    from retrievers.search.fusion import Shares, blend

    words = options.words
    if words is None:
        words, _ = _shares(view.word_weight, options.pooled, "the collection's own share of words is")
    shares = Shares(words or 0.0, options.pooled)
    if not shares:
        rankings = rank(view, queries, selected, options.k, **engine)
        spent.end("scan")
        found = [
            hits.from_search(view, query, ranking, options.lowest)
            for query, ranking in zip(queries, rankings, strict=True)
        ]
        spent.end("fetch")
        return found
    lowest = options.lowest if options.lowest > 0 else -np.inf  # a normalised score is never below 0
    made = []
    blended = blend(view, texts, queries, selected, options.k, shares, lowest=lowest, **engine)
    spent.end("scan")
    for query, best in zip(queries, blended, strict=True):
        plain = hits.from_search(view, query, [(one.position, one.maxsim) for one in best], -np.inf)
        made.append(
            [
                replace(
                    hit, score=one.score, parts=Parts(hit.score, hit.normalized_score, one.bm25, one.pooled)
                )
                for hit, one in zip(plain, best, strict=True)
            ]
        )
    spent.end("fetch")
    return made


def _with_passages(view: View, found: Sequence[Hit], query: TokenMatrix, options: Options) -> list[Hit]:
    from retrievers.search import score

    ids = [str(hit.id) for hit in found]
    windows, documents = view.positions_of_found(ids), {str(one.id): one for one in view.get(ids)}
    made = []
    for key, hit in zip(ids, found, strict=True):
        positions = windows[key]
        bounds = view.starts[positions], view.ends[positions]
        [scores] = score(view.rows, view.scales, *bounds, [query], view.bits)
        spans = [(int(first), int(last)) for first, last in view.spans(positions)]
        scored = zip(range(len(spans)), spans, scores.tolist(), strict=True)
        parts = hits.passages(documents[key], query, scored, options.passages, options.lowest)
        made.append(replace(hit, passages=parts))
    return made


def condition_of(
    condition: DocumentFilter | None,
) -> Callable[[Document], bool] | filters.Filter | None:
    """A function as it is, anything else as a filter; None keeps all.

    Raises:
        FilterError: see filters.parse; or it is a class, which can be called, but tells nothing of a document.
    """
    if isinstance(condition, type):
        raise FilterError(
            f"a filter is the class {condition.__name__}: a dict or a function of a Document is needed."
        )
    if callable(condition) and not isinstance(condition, filters.Filter):
        return condition
    return filters.parse(condition)
