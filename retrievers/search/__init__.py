"""Search: from query matrices and a consistent view of the store to ranked windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrievers.search import exact as exact_search
from retrievers.search import pruned
from retrievers.search.exact import score
from retrievers.search.optimization import optimize
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
    device: str | None = None,
    memory_limit: int | None = None,
) -> list[Ranking]:
    """The k best documents of each query, each by its best window.

    Args:
        view: a consistent view of the stored windows.
        queries: matrices, float32, (query_tokens_i, dim).
        selected: int64: positions of the windows to search; None for all.
        k: the most documents a query.
        exact: score every selected window, also where the pruned scan would pay.
        candidates: windows that the pruned scan scores exactly, and that it is to be used wherever the view has
            codes; None lets it choose both.
        device: a GPU that keeps the rows and scores all of them, as torch names it; None uses the processor.
        memory_limit: bytes of the device that may be used; None means nearly all that is free.
    Returns:
        a list a query of (window position, score), one a document, higher score first; equal scores in
        order of the document keys. Windows without tokens never appear; a query without tokens finds
        nothing.
    """
    answers: list[Ranking] = [[] for _ in queries]
    asked = [number for number, query in enumerate(queries) if len(query)]
    if k > 0 and asked and len(view.starts if selected is None else selected):
        some = [queries[number] for number in asked]
        pays = candidates is not None or pruned.worthwhile(view, selected, k)
        if device is not None:
            from retrievers.search import gpu

            found = gpu.rank(view, some, selected, k, device=device, memory_limit=memory_limit)
        elif view.codes is not None and not exact and pays:
            found = pruned.rank(view, some, selected, k, candidates)
        else:
            found = exact_search.rank(view, some, selected, k)
        for number, ranking in zip(asked, found, strict=True):
            answers[number] = ranking
    return answers
