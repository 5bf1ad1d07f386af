"""Words beside vectors: MaxSim and BM25 of the same windows, each scaled to [0, 1], weighted and added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrievers.search.exact import score
from retrievers.search.ranking import Ranking, best_documents, shortlist
from retrievers.types import TokenMatrix, row_weights

if TYPE_CHECKING:
    from retrievers.store import View

DEPTH = 100  # documents that each part ranks first, and that are compared, or k of them


@dataclass(frozen=True, slots=True)
class Blended:
    """A document as two parts found it.

    Attributes:
        position: of its best window by MaxSim.
        score: the weighted sum of the scaled parts, in [0, 1].
        maxsim: of that window.
        bm25: of the document's best window by its words; 0 where no word matches.
    """

    position: int
    score: float
    maxsim: float
    bm25: float


def blend(
    view: View,
    questions: Sequence[str],
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    k: int,
    weight: float,
    *,
    lowest: float = -math.inf,
    **engine: Any,
) -> list[list[Blended]]:
    """The k best documents of each question by MaxSim and BM25 together.

    Compared are the documents that either part ranks first, DEPTH of each. Both parts are computed for each of
    them, by its best window for that part, and scaled from the least to the greatest among them, so that no part
    alone hides a document. With weight 1, documents without any of the words are left out.

    Args:
        view: a consistent view of a store with an index of words.
        questions: their words.
        queries: their matrices, float32, (query_tokens_i, dim); one without tokens finds nothing.
        selected: int64, ascending: positions of the windows to search; None for all.
        k: the most documents a question.
        weight: of BM25, above 0 and at most 1; MaxSim has the rest.
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
    if weight < 1:
        by_rows = rank(view, queries, selected, depth, **engine)
    found = []
    for question, query, ranking in zip(questions, queries, by_rows, strict=True):
        words = view.word_scores(question)
        found.append(_blended(view, words, query, ranking, selected, depth, weight, lowest)[:k])
    return found


def weighed(maxsim: NDArray[np.float64], bm25: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """The blended scores of the documents that are compared for one question, in [0, 1].

    Args:
        maxsim, bm25: float64, (documents,), at least one.
        weight: of BM25; MaxSim has the rest.
    """
    total: NDArray[np.float64] = (1 - weight) * scaled(maxsim) + weight * scaled(bm25)
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
    words: tuple[NDArray[np.int64], NDArray[np.float32]],
    query: TokenMatrix,
    ranking: Ranking,
    selected: NDArray[np.int64] | None,
    depth: int,
    weight: float,
    lowest: float,
) -> list[Blended]:
    """All candidates of one question, best first."""
    if not len(query):
        return []
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
    bm25 = _bm25(keys, documents, scores)
    total = weighed(maxsim, bm25, weight)
    order = np.lexsort((keys, -total))
    order = order[maxsim[order] / max(float(row_weights(query).sum()), 1e-12) >= lowest]
    return [
        Blended(int(positions[one]), float(total[one]), float(maxsim[one]), float(bm25[one])) for one in order
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
