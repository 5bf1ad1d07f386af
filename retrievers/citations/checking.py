"""Where the quotes of an answer stand in its sources, and which of them stand nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrievers.arguments import listed, shown, text
from retrievers.citations.matching import Text
from retrievers.citations.passages import Citation
from retrievers.citations.quotes import quotes
from retrievers.errors import InvalidTypeError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quote stands in a source.

    Attributes:
        citation: the passage, and the document that it is part of.
        text: the words as the source has them.
        start: offset of the first of them, counted as the citation's are.
        end: offset after the last one.
        exact: whether the source has them character for character; if not, white space or quotation marks differ, or
            the answer has put a mark of punctuation of its own before the closing quotation mark.
    """

    citation: Citation
    text: str
    start: int
    end: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """What an answer puts between quotation marks.

    Attributes:
        text: the words, without the marks around them.
        start: offset of the first of them in the answer.
        end: offset after the last one.
        places: where they stand, one for each source that has them, the best first; empty where none has.
    """

    text: str
    start: int
    end: int
    places: tuple[Place, ...]

    @property
    def found(self) -> bool:
        """Whether a source has the words."""
        return bool(self.places)


def check(answer: str, citations: Sequence[Citation]) -> list[Quote]:
    """The quotes of an answer, in its order, each with the places where it stands in the sources.

    Quotes stand between “ ”, „ “, „ ”, ” ”, « », » «, ‘ ’, ‚ ‘, ‹ ›, › ‹, 「 」, 『 』, plain double and plain single
    marks, one inside another too. A quote is looked for in the whole text of each document, first as it is; then white
    space of any kind and length counts as one space (none between characters of scripts without spaces), one
    quotation mark or apostrophe as another, and composed characters as those with combining marks. A quote never
    begins or ends inside a number, nor inside a word of an alphabet.

    Args:
        answer: what a language model wrote.
        citations: what citations() gave for its prompt.
    Returns:
        A place for each source that has the words: the one whose number the answer gives right after the quote, as
        [2], comes first, then the exact ones.
    Raises:
        InvalidTypeError: answer is no str, or citations are something else.
    """
    words = text(answer, "answer")
    given = listed(citations, "citations", "passage")
    for number, one in enumerate(given):
        if not isinstance(one, Citation):
            raise InvalidTypeError(
                f"citation {number} is {shown(one)} of type {type(one).__name__}: give what citations(documents) "
                "returns."
            )
    sources = [(one, Text(one.document)) for one in given]
    found = []
    for quote in quotes(words):
        places = [place for one, source in sources if (place := _place(one, source, quote.text)) is not None]
        places.sort(key=lambda place: (place.citation.number not in quote.numbers, not place.exact))
        found.append(Quote(quote.text, quote.start, quote.end, tuple(places)))
    return found


def _place(citation: Citation, source: Text, quote: str) -> Place | None:
    span = source.find(quote)
    if span is None:
        return None
    start, end, exact = span
    return Place(citation, source.text[start:end], start + citation.offset, end + citation.offset, exact)
