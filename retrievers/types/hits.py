"""A document that a question found, and the list of them, which knows its question; both draw themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from retrievers.errors import RetrieversError
from retrievers.types.boundaries import shortened
from retrievers.types.evidence import Evidence
from retrievers.types.values import Parts, TokenMatrix, Window

if TYPE_CHECKING:
    from retrievers.display.html import Passage as Drawn

MOST_IN_REPR, MOST_IN_TABLE, MOST_UNFOLDED = 10, 20, 300  # hits, hits, characters of a passage


@dataclass(frozen=True, slots=True)
class Passage:
    """One of the best windows of a document.

    Attributes:
        window: its text, its place in the document's text and its number.
        score: MaxSim of the query and the window.
        normalized_score: score / number of query vectors, clamped to [0, 1].
    """

    window: Window
    score: float
    normalized_score: float


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A document that a query found.

    Attributes:
        id: the document's id; None for a text without one that was only reranked.
        score: MaxSim of the query and the document's best window; higher is better. In a search with `words` or
            `pooled` it is the blend, in [0, 1].
        normalized_score: MaxSim / number of query vectors, or, where these are weighted, / the sum of their weights;
            clamped to [0, 1].
        text: the document's whole text.
        metadata: the document's metadata, a copy of its own.
        passage: the best window; None where the text has no tokens.
        position: place among the documents that were given to rerank; None for a search.
        attachment: what an adapter keeps beside the document, see Document.
        parts: what the score was made of in a search with `words` or `pooled`; None where it is MaxSim.
        passages: the best windows, best first, as many as the search was asked for.
    """

    id: str | None
    score: float
    normalized_score: float
    text: str
    metadata: dict[str, Any]
    passage: Window | None
    position: int | None = None
    attachment: Mapping[str, Any] | None = None
    parts: Parts | None = None
    passages: tuple[Passage, ...] = ()

    def __repr__(self) -> str:
        text = shortened(self.text if self.passage is None else self.passage.text, 60)
        name = None if self.id is None else shortened(self.id, 40)
        return (
            f"Hit({name!r}, score={self.score:.3f}, normalized_score={self.normalized_score:.3f}, {text!r})"
        )

    def _repr_html_(self) -> str:
        """The hit as a table of one row, as a notebook draws it."""
        return Hits([self])._repr_html_()


class Hits(list[Hit]):
    """The hits of one question, best first: a list that knows what it answers.

    It equals a list of the same hits, and is pickled and copied as one. A slice of it is Hits too. A notebook draws it
    as a table.

    Args:
        explain: the evidence of a hit for this question, which drawing marks the words by; no copy has it.

    Attributes:
        query: the question.
        matrix: float32, (query_tokens, dim): the rows of the question that found the hits, so that nobody has to
            encode it again.
    """

    def __init__(
        self,
        hits: Iterable[Hit] = (),
        *,
        query: str = "",
        matrix: TokenMatrix | None = None,
        explain: Callable[[Hit], Evidence] | None = None,
    ) -> None:
        super().__init__(hits)
        self.query = query
        self.matrix = np.zeros((0, 0), np.float32) if matrix is None else matrix
        self._explain = explain

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, place: slice, /) -> Hits: ...
    def __getitem__(self, place: SupportsIndex | slice, /) -> Hit | Hits:
        if isinstance(place, slice):
            part = super().__getitem__(place)
            return Hits(part, query=self.query, matrix=self.matrix, explain=self._explain)
        return super().__getitem__(place)

    def __reduce__(self) -> tuple[Any, ...]:
        # What explains the hits is the collection, which no copy takes with it.
        return _hits, (list(self), self.query, self.matrix)

    def __repr__(self) -> str:
        lines = [f"  {hit!r},\n" for hit in self[:MOST_IN_REPR]]
        more = f"  … {len(self) - MOST_IN_REPR} more\n" if len(self) > MOST_IN_REPR else ""
        body = "\n" + "".join(lines) + more if lines else ""
        return f"Hits({shortened(self.query, 60)!r}, [{body}])"

    def _repr_html_(self) -> str:
        """A table of the hits with the words that matched, as a notebook draws it."""
        from retrievers.display.html import HitRow, hits_page

        rows = []
        for hit in self[:MOST_IN_TABLE]:
            rows.append(HitRow(hit.id, hit.score, hit.normalized_score, hit.metadata, self._passage(hit)))
        return hits_page(self.query, rows, max(len(self) - MOST_IN_TABLE, 0))

    def _passage(self, hit: Hit) -> Drawn | None:
        """What to draw of a passage: with highlights, unless the collection was closed or the document changed."""
        from retrievers.display.html import Passage as Drawn

        window = hit.passage
        if window is None:
            return None
        if self._explain is not None:
            with suppress(RetrieversError):
                return self._explain(hit)._drawn(MOST_UNFOLDED)
        shown = len(shortened(window.text, MOST_UNFOLDED).removesuffix("…"))
        return Drawn(hit.text, window.start, window.end, window.start, window.start + shown)


def _hits(hits: list[Hit], query: str, matrix: TokenMatrix) -> Hits:
    """Hits that were pickled or copied."""
    return Hits(hits, query=query, matrix=matrix)
