"""Why a document was found: which characters each query token matched."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import fsum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import InvalidInputError
from retrievers.types.boundaries import (
    Span,
    heaviest,
    sentences,
    shortened,
    stripped,
    whole_words,
    word_edges,
)
from retrievers.types.values import Parts, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retrievers.display.html import Passage as Drawn

AROUND = 256  # characters before and after a passage that its first and last word may have

TokenKind = Literal["word", "marker", "expansion"]
"""What a query token is: part of the question, a marker or prompt of the model, or added by query expansion."""


@dataclass(frozen=True, slots=True)
class Match:
    """One query token and the document token that it matched best.

    Attributes:
        query_token: the query token as the model's vocabulary writes it.
        text: the characters of the document that it matched; empty for a marker of the model, and for a token of
            the context.
        start: offset of the first of them in the document's text.
        end: offset after the last of them.
        similarity: dot product of the two vectors, the stored one as it is searched, times the weight.
        kind: whether the query token is part of the question.
        weight: of the query token; 1 where the rows of questions have no weights.
    """

    query_token: str
    text: str
    start: int
    end: int
    similarity: float
    kind: TokenKind = "word"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Highlight:
    """Whole words of a document that tokens of the question matched.

    Attributes:
        text: the words.
        start: offset of their first character in the document's text.
        end: offset after their last one.
        weight: the sum of the similarities: what these words add to the score.
        query_tokens: the tokens of the question that matched them, in the order of the question.
    """

    text: str
    start: int
    end: int
    weight: float
    query_tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snippet:
    """The sentences of a document that carry most of the score.

    Attributes:
        text: the sentences.
        start: offset of their first character in the document's text.
        end: offset after their last one.
        weight: the part of the score that they carry.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """Why a document was found: for each query token its match in the best window.

    Attributes:
        query: the question.
        text: the document's whole text.
        passage: the window that was scored; None where the text has no tokens.
        matches: one a query token, in the order of the query; their similarities add up to score.
        score: MaxSim of the query and the window's stored rows: the hit's score but for the rounding of the scan.
        approximate: the similarities are those of the stored rows, but a stored row does not stand for one token
            (token pooling), so that the places come from the window's rows without pooling, or are unknown.
        similarity: float32, (query_tokens, passage_tokens): the dot products that the places come from, weights
            included.
        spans: of each passage token its characters in the text; an empty span for a marker or a token of the
            context.
        parts: what the score of the hit was made of in a search with `words` or `pooled`; None where it is MaxSim.
    """

    query: str
    text: str
    passage: Window | None
    matches: tuple[Match, ...]
    score: float
    approximate: bool = False
    similarity: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 0), np.float32), compare=False
    )
    spans: tuple[Span, ...] = field(default=(), compare=False)
    parts: Parts | None = None

    def highlights(self) -> list[Highlight]:
        """The words that the question matched, in the order of the text, each span once.

        A word that the model cuts into several tokens is one span, and spans that overlap are one. Their weights and
        the similarities of apart() add up to the score.
        """
        edges = self._edges()
        shown = sorted((one for one in self.matches if _is_shown(one)), key=lambda one: one.start)
        groups: list[tuple[int, int, list[Match]]] = []
        for match in shown:
            start, end = whole_words(edges, match.start, match.end)
            if groups and start < groups[-1][1]:
                first, last, members = groups.pop()
                start, end, together = first, max(last, end), [*members, match]
            else:
                together = [match]
            groups.append((start, end, together))
        order = {id(match): number for number, match in enumerate(self.matches)}
        made = []
        for start, end, members in groups:
            members.sort(key=lambda one: order[id(one)])
            weight = fsum(one.similarity for one in members)
            tokens = tuple(one.query_token for one in members)
            made.append(Highlight(self.text[start:end], start, end, weight, tokens))
        return made

    def apart(self) -> list[Match]:
        """The matches that are in no highlight, in the order of the query.

        They are those of expansion tokens and of markers of the model, and those of the question's tokens that
        matched a marker or the document's context, which have no characters in the text.
        """
        return [one for one in self.matches if not _is_shown(one)]

    def snippet(self, max_chars: int = 300) -> Snippet:
        """The neighbouring sentences of the passage that carry most of the score.

        A sentence that is too long is cut between words. Sentences end as they do in Latin, Greek, Cyrillic, Arabic,
        Hebrew, Indic, Armenian, Ethiopic, Chinese and Japanese writing, and at the end of a line.

        Args:
            max_chars: the most characters of the snippet.
        Returns:
            Of equal weights the shortest, of these the first. An empty one where no word fits, or nothing has
            tokens.
        Raises:
            InvalidInputError: max_chars is not a whole number of 1 or more.
        """
        if isinstance(max_chars, bool) or not isinstance(max_chars, int) or max_chars < 1:
            raise InvalidInputError(f"max_chars is {max_chars!r}: it must be a whole number of 1 or more.")
        if self.passage is None:
            return Snippet("", 0, 0, 0.0)
        edges = [edge for edge in self._edges() if self.passage.start <= edge <= self.passage.end]
        weights = [(one.start, one.end, one.weight) for one in self.highlights()] or [
            (one.start, one.end, one.similarity) for one in self.matches if one.text
        ]
        runs: list[list[Span]] = [[]]  # parts that follow one another and may stand together
        for start, end in sentences(self.text, edges):
            if end - start <= max_chars:
                runs[-1].append((start, end))
            else:
                words = pairwise(edge for edge in edges if start <= edge <= end)
                runs += [[span for one in words if (span := stripped(self.text, *one)) is not None], []]
        found = [one for run in runs for one in heaviest(run, weights, max_chars)]
        start, end, weight = max(
            found, key=lambda one: (one[2], one[0] - one[1], -one[0]), default=(0, 0, 0.0)
        )
        return Snippet(self.text[start:end], start, end, weight)

    def as_json(self) -> dict[str, Any]:
        """The evidence as JSON values, as adapters put it into metadata.

        Returns:
            `score`; `passage` with `text`, `start` and `end`, None where nothing has tokens; `highlights`, each with
            `text`, `start`, `end`, `weight` and `query_tokens`; `apart`, what the matches of apart() add to the score;
            `approximate`; `query_tokens`, all of the question in its order, each with `text`, `kind`, its `weight` in
            the question and its `similarity`; and `parts` with `maxsim`, `normalized_maxsim`, `bm25` and `pooled`,
            None unless the search was one with `words` or `pooled`. Places count characters of the document's text.
        """
        passage = self.passage
        return {
            "score": self.score,
            "passage": passage
            and {
                "text": passage.text,
                "start": passage.start,
                "end": passage.end,
            },
            "highlights": [
                {
                    "text": one.text,
                    "start": one.start,
                    "end": one.end,
                    "weight": one.weight,
                    "query_tokens": list(one.query_tokens),
                }
                for one in self.highlights()
            ],
            "apart": fsum(one.similarity for one in self.apart()),
            "approximate": self.approximate,
            "query_tokens": [
                {
                    "text": one.query_token,
                    "kind": one.kind,
                    "weight": one.weight,
                    "similarity": one.similarity,
                }
                for one in self.matches
            ],
            "parts": None if self.parts is None else asdict(self.parts),
        }

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """A heat map of the similarities, query tokens by passage tokens, each token's best match framed.

        Args:
            ax: axes of matplotlib to draw on; None makes a figure.
        Returns:
            The axes.
        Raises:
            MissingExtraError: matplotlib is not installed.
            InvalidInputError: nothing has tokens.
        """
        from retrievers.display.plot import heat_map

        if not self.similarity.size:
            raise InvalidInputError("there is nothing to draw: the question or the passage has no tokens.")
        columns = [self.text[start:end] for start, end in self.spans]
        weights = np.array([one.weight for one in self.matches], np.float32)
        cosines = (self.similarity / np.maximum(weights, np.float32(1e-12))[:, None]).astype(np.float32)
        return heat_map(cosines, [one.query_token for one in self.matches], columns, self.query, ax)

    def __repr__(self) -> str:
        question, text = shortened(self.query, 40), shortened(self.snippet(80).text, 80)
        about = ", approximate" if self.approximate else ""
        return f"Evidence({question!r}, {text!r}, score={self.score:.3f}, {len(self.matches)} matches{about})"

    def _repr_html_(self) -> str:
        """The passage with the matched words marked, as a notebook draws it."""
        from retrievers.display.html import evidence_page

        if self.passage is None:
            return evidence_page(self.query, self.score, None, "", approximate=False)
        apart: dict[str, list[float]] = {}
        for one in self.apart():
            kind = {"expansion": "expansion tokens", "marker": "markers of the model"}.get(one.kind)
            apart.setdefault(kind or "tokens without characters in the text", []).append(one.similarity)
        rest = ", ".join(f"{fsum(values):.2f} of {len(values)} {kind}" for kind, values in apart.items())
        return evidence_page(self.query, self.score, self._drawn(600), rest, approximate=self.approximate)

    def _edges(self) -> list[int]:
        """The places between words in the passage and a little around it: of a book only the page is looked at."""
        if self.passage is None:
            return [0, 0]
        # From a space on, so that nothing is cut that belongs together.
        first = max(self.passage.start - AROUND, 0)
        last = min(self.passage.end + AROUND, len(self.text))
        if first:
            first = next((one for one in range(first, self.passage.start) if self.text[one].isspace()), first)
        return [first + edge for edge in word_edges(self.text[first:last])]

    def _drawn(self, max_chars: int) -> Drawn | None:
        """What drawing takes of the passage: so many characters of it unfolded, and the highlights as marks."""
        from retrievers.display.html import Passage as Drawn

        if self.passage is None:
            return None
        snippet, found = self.snippet(max_chars), self.highlights()
        first, last = snippet.start, snippet.end
        if first == last:  # no word fits
            first, last = self.passage.start, min(self.passage.start + max_chars, self.passage.end)
        if len(self.passage.text) <= max_chars:
            first, last = self.passage.start, self.passage.end
        most = max((one.weight for one in found if one.weight > 0), default=1.0)
        marks = [
            (
                one.start,
                one.end,
                max(one.weight, 0.0) / most,
                f"{' '.join(one.query_tokens)}: {one.weight:.2f}",
            )
            for one in found
        ]
        return Drawn(self.text, self.passage.start, self.passage.end, first, last, marks)


def _is_shown(match: Match) -> bool:
    return match.kind == "word" and match.start < match.end
