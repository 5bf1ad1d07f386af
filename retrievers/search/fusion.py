"""Words and the pooled vector beside MaxSim: parts of the same windows, each scaled to [0, 1], weighted and added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrievers.search.exact import score
from retrievers.search.pooled import similarities
from retrievers.search.ranking import Ranking, best_documents, shortlist
from retrievers.types import TokenMatrix, row_weights

if TYPE_CHECKING:
    from retrievers.store import View

DEPTH = 100  # documents that each part ranks first, and that are compared, or k of them


@dataclass(frozen=True, slots=True)
class Shares:
    """What a score is made of besides MaxSim, which has the rest.

    Attributes:
        words: the share of BM25, from 0 to 1.
        pooled: that of the pooled similarity, from 0 to 1; both together are at most 1.
    """

    words: float = 0.0
    pooled: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.words or self.pooled)

    @property
    def maxsim(self) -> float:
        """The share of MaxSim."""
        return max(1 - self.words - self.pooled, 0.0)


@dataclass(frozen=True, slots=True)
class Blended:
    """A document as several parts found it.

    Attributes:
        position: of its best window by MaxSim.
        score: the weighted sum of the scaled parts, in [0, 1].
        maxsim: of that window.
        bm25: of the document's best window by its words; 0 where no word matches, None where words have no share.
        pooled: the pooled similarity of the best window by MaxSim; None where it has no share.
    """

    position: int
    score: float
    maxsim: float
    bm25: float | None
    pooled: float | None


def blend(
    view: View,
    questions: Sequence[str],
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    k: int,
    shares: Shares,
    *,
    lowest: float = -math.inf,
    **engine: Any,
) -> list[list[Blended]]:
    """The k best documents of each question by MaxSim, BM25 and the pooled similarity together.

    Compared are the documents that MaxSim and BM25 rank first, DEPTH of each. Every part that has a share is computed
    for each of them and scaled from the least to the greatest among them, so that no part alone hides a document: BM25
    by its best window for the words, the pooled similarity (retrievers.search.pooled) by its best window for MaxSim.
    Where words have all of the score, documents without any of them are left out.

    Args:
        view: a consistent view of a store, with an index of words where these have a share.
        questions: their words.
        queries: their matrices, float32, (query_tokens_i, dim); one without tokens finds nothing.
        selected: int64, ascending: positions of the windows to search; None for all.
        k: the most documents a question.
        shares: of the parts; at least one is above 0.
        lowest: documents whose MaxSim / sum of the weights of the query's rows is less are left out before the k best
            are taken.
        engine: exact, candidates, device and memory_limit, as retrievers.search.rank has them.
    Returns:
        a list a question, best first; equal scores in order of the document keys.
    Raises:
        NoWordsError, UnsupportedError: there are no words to ask (View.word_scores).
    References:
        Bruch, Gai and Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023, section 4.
    """
    from retrievers.search import rank

    depth = max(k, DEPTH)
    by_rows: Sequence[Ranking] = [[] for _ in queries]
    if shares.words < 1:
        by_rows = rank(view, queries, selected, depth, **engine)
    found = []
    for question, query, ranking in zip(questions, queries, by_rows, strict=True):
        words = view.word_scores(question) if shares.words else None
        found.append(_blended(view, words, query, ranking, selected, depth, shares, lowest)[:k])
    return found


def weighed(
    shares: Shares,
    maxsim: NDArray[np.float64],
    bm25: NDArray[np.float64] | None,
    pooled: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """The blended scores of the documents that are compared for one question, in [0, 1].

    Args:
        shares: of the parts.
        maxsim, bm25, pooled: float64, (documents,), at least one; None for a part that has no share.
    """
    total: NDArray[np.float64] = shares.maxsim * scaled(maxsim)
    for share, part in ((shares.words, bm25), (shares.pooled, pooled)):
        if part is not None:
            total = total + share * scaled(part)
    return total


def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 for the least to 1 for the greatest; values that are all equal are 1, or 0 where they are 0."""
    least, greatest = values.min(), values.max()
    if least == greatest:
        parts: NDArray[np.float64] = (values != 0).astype(np.float64)
    else:
        parts = (values - least) / (greatest - least)
    return parts


def _blended(
    view: View,
    words: tuple[NDArray[np.int64], NDArray[np.float32]] | None,
    query: TokenMatrix,
    ranking: Ranking,
    selected: NDArray[np.int64] | None,
    depth: int,
    shares: Shares,
    lowest: float,
) -> list[Blended]:
    """All candidates of one question, best first.

    Args:
        words: positions of the windows that have a word of the question, and their BM25; None without words.
    """
    if not len(query):
        return []
    best = ranking
    if words is not None:
        windows, scores = words
        if selected is not None:
            chosen = np.zeros(len(view.starts), np.bool_)
            chosen[selected] = True
            kept = chosen[windows]
            windows, scores = windows[kept], scores[kept]
        documents = view.documents[windows]
        near = shortlist(scores, documents, depth)
        by_words = best_documents(scores[near], windows[near], documents[near], depth)
        best = _best_windows(view, query, ranking, [position for position, _ in by_words])
    if not best:
        return []
    positions = np.array([position for position, _ in best], np.int64)
    maxsim = np.array([value for _, value in best], np.float64)
    keys = view.documents[positions]
    bm25 = None if words is None else _bm25(keys, documents, scores)
    pooled = None
    if shares.pooled:
        bounds = view.starts[positions], view.ends[positions]
        pooled = similarities(view.rows, view.scales, *bounds, query, view.bits)
    total = weighed(shares, maxsim, bm25, pooled)
    order = np.lexsort((keys, -total))
    order = order[maxsim[order] / max(float(row_weights(query).sum()), 1e-12) >= lowest]
    return [
        Blended(
            int(positions[one]),
            float(total[one]),
            float(maxsim[one]),
            None if bm25 is None else float(bm25[one]),
            None if pooled is None else float(pooled[one]),
        )
        for one in order
    ]


def _best_windows(view: View, query: TokenMatrix, ranking: Ranking, others: Sequence[int]) -> Ranking:
    """The best window and its MaxSim of the documents of a ranking, and of those that other windows belong to.

    A document whose windows have no tokens is left out.
    """
    known = set(view.documents[[position for position, _ in ranking]].tolist()) if ranking else set()
    missing = [key for key in view.documents[list(others)].tolist() if key not in known] if others else []
    windows = view.windows_of(missing)
    if not len(windows):
        return ranking
    [values] = score(view.rows, view.scales, view.starts[windows], view.ends[windows], [query], view.bits)
    return [*ranking, *best_documents(values, windows, view.documents[windows], len(missing))]


def _bm25(
    keys: NDArray[np.int64], documents: NDArray[np.int64], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The best score of each document by its words, float64, (len(keys),); 0 where it has none."""
    order = np.argsort(keys)
    places = np.minimum(np.searchsorted(keys, documents, sorter=order), len(keys) - 1)
    owners = order[places]
    mine = keys[owners] == documents
    best = np.zeros(len(keys), np.float64)
    np.maximum.at(best, owners[mine], scores[mine])
    return best
