"""Search: from query matrices and a consistent view of the store to ranked windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.search import exact as exact_search
from retrievers.search import pruned
from retrievers.search.centroids import optimize
from retrievers.search.exact import score
from retrievers.search.ranking import Ranking
from retrievers.types import TokenMatrix

if TYPE_CHECKING:
    from retrievers.store import View

__all__ = ["Ranking", "optimize", "rank", "score"]


def rank(
    view: View,
    queries: Sequence[TokenMatrix],
    selected: NDArray[np.int64] | None,
    k: int,
    *,
    exact: bool = False,
    candidates: int | None = None,
) -> list[Ranking]:
    """The k best documents of each query, each by its best window.

    Args:
        view: a consistent view of the stored windows.
        queries: matrices, float32, (query_tokens_i, dim).
        selected: int64: positions of the windows to search; None for all.
        k: the most documents a query.
        exact: score every selected window, also where the pruned scan would pay.
        candidates: windows that the pruned scan scores exactly; None lets it choose from k.
    Returns:
        a list a query of (window position, score), one a document, higher score first; equal scores in
        order of the document keys. Windows without tokens never appear; a query without tokens finds
        nothing.
    """
    answers: list[Ranking] = [[] for _ in queries]
    asked = [number for number, query in enumerate(queries) if len(query)]
    if k > 0 and asked and len(view.starts if selected is None else selected):
        some = [queries[number] for number in asked]
        if view.codes is not None and not exact and pruned.worthwhile(view, selected, k):
            found = pruned.rank(view, some, selected, k, candidates)
        else:
            found = exact_search.rank(view, some, selected, k)
        for number, ranking in zip(asked, found, strict=True):
            answers[number] = ranking
    return answers
