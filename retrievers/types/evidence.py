"""Why a document was found: which characters each query token matched."""

from __future__ import annotations

from dataclasses import dataclass

from retrievers.types.values import Window


@dataclass(frozen=True, slots=True)
class Match:
    """One query token and the document token that it matched best.

    Attributes:
        query_token: the query token as the model's vocabulary writes it.
        text: the characters of the document that it matched; empty for a marker of the model.
        start: offset of the first of them in the document's text.
        end: offset after the last of them.
        similarity: dot product of the two vectors.
    """

    query_token: str
    text: str
    start: int
    end: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a document was found: for each query token its match in the best window.

    Attributes:
        query: the question.
        text: the document's whole text.
        passage: the window that was scored; None where the text has no tokens.
        matches: one a query token, in the order of the query; their similarities add up to score.
        score: MaxSim of the query and the window, from unquantised vectors.
    """

    query: str
    text: str
    passage: Window | None
    matches: tuple[Match, ...]
    score: float

    def _repr_html_(self) -> str:
        """The passage with the matched words marked, as a notebook draws it."""
        from retrievers.display import evidence_html

        passage = None if self.passage is None else (self.passage.start, self.passage.end)
        matches = [(one.query_token, one.start, one.end, one.similarity) for one in self.matches]
        return evidence_html(self.query, self.score, self.text, passage, matches)
