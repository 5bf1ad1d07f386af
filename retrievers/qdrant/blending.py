"""Words beside vectors on a server: MaxSim and BM25 of the same documents, blended as a directory blends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from retrievers.collection.searching import Options
from retrievers.errors import StoreConflictError
from retrievers.qdrant.points import STATE_FIELDS, Head
from retrievers.qdrant.reading import Chosen, heads
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.scoring import Found, scores, scores_by_words
from retrievers.qdrant.searching import MOST_ATTEMPTS, Pair, best_of, hit_of, ranked
from retrievers.qdrant.steps import Steps
from retrievers.qdrant.words import of_question
from retrievers.types import Hit, Parts, TokenMatrix


def blended(
    layout: Layout,
    queries: Sequence[TokenMatrix],
    texts: Sequence[str],
    k: int,
    chosen: Chosen,
    ids: Sequence[str] | None,
    options: Options,
    *,
    candidates: int | None,
) -> Steps[list[list[Hit]]]:
    """The k best documents of each question by MaxSim and BM25 together; see retrievers.search.fusion.blend.

    Compared are the documents that either part ranks first. Both parts are then asked for of each of them, whichever
    brought it, so that none is scored as if it had no words or no rows.

    Args:
        layout, queries, texts, chosen, ids, candidates: as searching.search has them.
        options: the share of BM25, above 0, and the least normalised MaxSim of a hit.
    Raises:
        StoreConflictError: documents are replaced faster than they are read.
    """
    from retrievers.search.fusion import DEPTH  # compiles the kernels

    weight, depth = options.words or 0.0, max(k, DEPTH)
    answers: list[list[Hit]] = [[] for _ in queries]
    pending = [place for place, matrix in enumerate(queries) if len(matrix)]
    for _ in range(MOST_ATTEMPTS):
        if not pending:
            return answers
        matrices, some = [queries[place] for place in pending], [texts[place] for place in pending]
        arguments = (layout, matrices, some, depth, chosen, ids)
        by_rows: list[list[Pair]] = [[] for _ in pending]
        if weight < 1:
            by_rows = yield from ranked(*arguments, candidates=candidates)
        by_words = yield from ranked(*arguments, candidates=candidates, by_words=True)
        unscored = [_missing(*both) for both in zip(by_rows, by_words, strict=True)]
        scored = yield from scores(layout, list(zip(matrices, unscored, strict=True)))
        compared = [_together(*one) for one in zip(by_rows, unscored, scored, strict=True)]
        asked = [
            (of_question(text), [head for head, _ in pairs])
            for text, pairs in zip(some, compared, strict=True)
        ]
        counted = yield from scores_by_words(layout, asked)
        # A document that was replaced meanwhile seems to have no words.
        known = yield from heads(layout, [head.id for _, pairs in asked for head in pairs], STATE_FIELDS)
        later = []
        for place, matrix, missing, found, pairs, bm25 in zip(
            pending, matrices, unscored, scored, compared, counted, strict=True
        ):
            if len(found) == len(missing) and _unchanged(pairs, known):
                hits = _hits(matrix, pairs, bm25, weight)
                answers[place] = [hit for hit in hits if hit.normalized_score >= options.lowest][:k]
            else:
                later.append(place)
        pending = later
    raise StoreConflictError("documents are replaced faster than this search reads them: search again.")


def _missing(by_rows: Sequence[Pair], by_words: Sequence[Pair]) -> dict[str, Head]:
    """Documents that only their words brought, by id."""
    there = {head.id for head, _ in by_rows}
    return {head.id: head for head, _ in by_words if head.id not in there}


def _together(
    by_rows: Sequence[Pair], missing: Mapping[str, Head], scored: Mapping[str, Sequence[Found]]
) -> list[Pair]:
    """All documents that are compared, each with its best window by MaxSim; one without rows is left out."""
    others = [(head, best_of(scored[key])) for key, head in missing.items() if scored.get(key)]
    return [*by_rows, *others]


def _unchanged(pairs: Sequence[Pair], known: Mapping[str, Head]) -> bool:
    """Whether every document still has the version that was scored."""
    return all(head.id in known and known[head.id].version == head.version for head, _ in pairs)


def _hits(matrix: TokenMatrix, pairs: Sequence[Pair], bm25: Mapping[str, float], weight: float) -> list[Hit]:
    """The compared documents of one question, best first; equal scores in the order of insertion."""
    from retrievers.search.fusion import weighed

    if not pairs:
        return []
    maxsim = np.array([one.score for _, one in pairs], np.float64)
    words = np.array([bm25.get(head.id, 0.0) for head, _ in pairs], np.float64)
    total = weighed(maxsim, words, weight).tolist()
    order = sorted(range(len(pairs)), key=lambda place: (-total[place], *pairs[place][0].order))
    made = []
    for place in order:
        plain = hit_of(matrix, *pairs[place])
        parts = Parts(plain.score, plain.normalized_score, float(words[place]))
        made.append(replace(plain, score=total[place], parts=parts))
    return made
