"""Words and the pooled vector beside MaxSim on a server: the same documents, blended as a directory blends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.collection.searching import Options
from retrievers.errors import StoreConflictError
from retrievers.qdrant.points import STATE_FIELDS, Head
from retrievers.qdrant.reading import Chosen, heads
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.scoring import Found, scores, scores_by_means, scores_by_words
from retrievers.qdrant.searching import MOST_ATTEMPTS, Pair, best_of, hit_of, ranked
from retrievers.qdrant.steps import Steps
from retrievers.qdrant.words import of_question
from retrievers.types import Hit, Parts, TokenMatrix

if TYPE_CHECKING:
    from retrievers.search.fusion import Shares


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
    """The k best documents of each question by several parts together; see retrievers.search.fusion.blend.

    Compared are the documents that MaxSim and BM25 rank first. Every part that has a share is then asked for of each of
    them, whichever brought it, so that none is scored as if it had no words or no rows.

    Args:
        layout, queries, texts, chosen, ids, candidates: as searching.search has them.
        options: the shares of BM25 and of the pooled similarity, one above 0, and the least normalised MaxSim of a
            hit.
    Raises:
        StoreConflictError: documents are replaced faster than they are read.
    """
    from retrievers.search.fusion import DEPTH, Shares  # compiles the kernels

    shares, depth = Shares(options.words or 0.0, options.pooled), max(k, DEPTH)
    answers: list[list[Hit]] = [[] for _ in queries]
    pending = [place for place, matrix in enumerate(queries) if len(matrix)]
    for _ in range(MOST_ATTEMPTS):
        if not pending:
            return answers
        matrices, some = [queries[place] for place in pending], [texts[place] for place in pending]
        arguments = (layout, matrices, some, depth, chosen, ids)
        by_rows: list[list[Pair]] = [[] for _ in pending]
        if shares.words < 1:
            by_rows = yield from ranked(*arguments, candidates=candidates)
        by_words: list[list[Pair]] = [[] for _ in pending]
        if shares.words:
            by_words = yield from ranked(*arguments, candidates=candidates, by_words=True)
        unscored = [_missing(*both) for both in zip(by_rows, by_words, strict=True)]
        scored = yield from scores(layout, list(zip(matrices, unscored, strict=True)))
        compared = [_together(*one) for one in zip(by_rows, unscored, scored, strict=True)]
        asked = [
            (of_question(text), [head for head, _ in pairs])
            for text, pairs in zip(some, compared, strict=True)
        ]
        counted = yield from scores_by_words(layout, asked if shares.words else [])
        by_means = [(matrix, heads_of) for matrix, (_, heads_of) in zip(matrices, asked, strict=True)]
        meant = yield from scores_by_means(layout, by_means if shares.pooled else [])
        # A document that was replaced meanwhile seems to have no words and no mean.
        known = yield from heads(layout, [head.id for _, pairs in asked for head in pairs], STATE_FIELDS)
        later = []
        for number, place in enumerate(pending):
            pairs = compared[number]
            bm25 = counted[number] if shares.words else None
            pooled = meant[number] if shares.pooled else None
            whole = pooled is None or all((head.id, one.number) in pooled for head, one in pairs)
            if whole and len(scored[number]) == len(unscored[number]) and _unchanged(pairs, known):
                hits = _hits(matrices[number], pairs, bm25, pooled, shares)
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


def _hits(
    matrix: TokenMatrix,
    pairs: Sequence[Pair],
    bm25: Mapping[str, float] | None,
    pooled: Mapping[tuple[str, int], float] | None,
    shares: Shares,
) -> list[Hit]:
    """The compared documents of one question, best first; equal scores in the order of insertion.

    Args:
        bm25: by document, 0 for one that is not there; None where words have no share.
        pooled: by document and number of the window; None where it has no share.
    """
    from retrievers.search.fusion import weighed

    if not pairs:
        return []
    maxsim = np.array([one.score for _, one in pairs], np.float64)
    words = None if bm25 is None else [bm25.get(head.id, 0.0) for head, _ in pairs]
    means = None if pooled is None else [pooled[head.id, one.number] for head, one in pairs]
    others = [None if one is None else np.array(one, np.float64) for one in (words, means)]
    total = weighed(shares, maxsim, *others).tolist()
    order = sorted(range(len(pairs)), key=lambda place: (-total[place], *pairs[place][0].order))
    made = []
    for place in order:
        plain = hit_of(matrix, *pairs[place])
        by_part = [None if one is None else float(one[place]) for one in (words, means)]
        parts = Parts(plain.score, plain.normalized_score, *by_part)
        made.append(replace(plain, score=total[place], parts=parts))
    return made
