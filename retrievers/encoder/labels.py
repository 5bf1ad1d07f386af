"""What tokens stand for: their characters in a text, and whether they are the question's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from retrievers.types import TokenKind
from retrievers.types.boundaries import Span, character_end


def kinds_of(
    tokens: Sequence[int],
    ends: Sequence[int],
    *,
    before: int,
    special: Collection[int],
    expansion: Sequence[bool] | None,
) -> list[TokenKind]:
    """Whether each token of a question is part of it, a marker or of the prompt, or added by query expansion.

    Args:
        tokens: ids, as the model reads them.
        ends: of the tokens that were read from prompt + text, the offset after each one's last character.
        before: characters of the prompt.
        special: ids of markers.
        expansion: which tokens are an expansion; None where there is none.
    """
    kinds: list[TokenKind] = []
    for place, token in enumerate(tokens):
        if expansion is not None and expansion[place]:
            kinds.append("expansion")
        elif place >= len(ends) or ends[place] <= before or token in special:
            kinds.append("marker")
        else:
            kinds.append("word")
    return kinds


def inside(text: str, start: int, end: int) -> Span:
    """A token's span in the text without the space that some vocabularies count to the word behind it."""
    start, end = max(start, 0), min(end, len(text))
    while start < end and text[start].isspace():
        start += 1
    return (start, end) if start < end else (0, 0)


def with_marks(text: str, spans: Sequence[Span]) -> list[Span]:
    """Spans of all tokens, each with the combining marks after it that no token has.

    A normalisation that composes e and an accent, or drops the accent, leaves it out of the span.
    """
    made, limit = [], len(text)
    for start, end in reversed(spans):
        if start < end < limit and not text[end].isspace():
            made.append((start, min(character_end(text, start, end), limit)))
        else:
            made.append((start, end))
        limit = start if start < end else limit
    return made[::-1]
