"""Long text to overlapping windows that each fit the model, with their character spans in the text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence

from retrievers.errors import InvalidInputError
from retrievers.types.boundaries import SENTENCE, Span

Tokenize = Callable[[str], Sequence[Span]]
"""Text to the character span of each of its tokens, in order; markers of the model left out."""
Count = Callable[[Sequence[str]], Sequence[int]]
"""Texts to the number of tokens that the model makes of each, markers included."""

# A text is tokenised in blocks, so that the spans of a book are never in memory at once.
BLOCK = 1 << 16  # characters

# The places where a cut hurts least, best first. Each pattern ends where the next window may begin.
PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
WORD = re.compile(r"\s+")
ZERO_WIDTH_JOINER = "\u200d"


def split(text: str, *, tokenize: Tokenize, count: Count, length: int, overlap: int) -> list[Span]:
    """Cut a text into windows that the model takes whole.

    A window ends at the last end of a paragraph, else of a sentence, else of a word in its second half, else
    at its last token. The next one begins at the start of a sentence, else of a word, at most `overlap`
    tokens before that. A cut never parts a letter from its combining marks.

    Args:
        text: any script, any normalisation.
        tokenize: character spans of the tokens of a text.
        count: tokens of each text as the model reads it. Text tokenises otherwise inside a window than in
            its place in the whole, so every window is counted and cut smaller until it fits.
        length: most tokens of a window, markers included.
        overlap: tokens that two neighbours share at most; less than half of a window is ever shared.
    Returns:
        Character spans, in order. Every character that is not white space is in one of them. A text that fits
        is one window, white space included; a blank text has none.
    """
    if not text.strip():
        return []
    if len(text) <= BLOCK and count([text])[0] <= length:
        return [(0, len(text))]
    spans = _cut(text, 0, len(text), tokenize, max(length - count([""])[0], 1), overlap)
    while True:
        smaller: list[Span] = []
        sizes = count([text[start:end] for start, end in spans])
        for (start, end), size in zip(spans, sizes, strict=True):
            if size <= length or end - start == 1:
                smaller.append((start, end))
                continue
            capacity = max(len(tokenize(text[start:end])) * length // size - 1, 1)
            pieces = _cut(text, start, end, tokenize, capacity, min(overlap, capacity // 4))
            smaller += pieces if len(pieces) > 1 else _halves(text, start, end)
        if smaller == spans:
            return _advancing(spans)
        spans = smaller


def _advancing(spans: Sequence[Span]) -> list[Span]:
    """Windows without those that lie in another: of one that was cut smaller, a part may lie in its neighbour."""
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def _cut(text: str, start: int, end: int, tokenize: Tokenize, capacity: int, overlap: int) -> list[Span]:
    """Windows of text[start:end] of at most `capacity` tokens, counted as the tokens fall in the whole."""
    spans: list[Span] = []
    # With half a window or more shared, the next window could end where this one does.
    overlap = min(overlap, (capacity - 1) // 2)
    while start < end:
        stop = min(start + max(BLOCK, 16 * capacity), end)
        tokens = [(a + start, b + start) for a, b in tokenize(text[start:stop]) if b > a]
        block_start, first = start, 0
        while len(tokens) - first > capacity:
            cut = _window_end(text, tokens[first + capacity // 2][0], tokens[first + capacity][0])
            if cut <= start:  # several tokens of one character, which cannot be parted
                cut = max(tokens[first][1], start + 1)
            _add(spans, text, start, cut)
            behind = _token_at(tokens, cut)
            shared = tokens[max(behind - overlap, 0)][0] if overlap and behind else cut
            start = _window_start(text, shared, cut) if start < shared < cut else cut
            first = _token_at(tokens, start)
        if stop == end:
            _add(spans, text, start, end)
            break
        # What is left of the block begins the next one, where the token at its end is whole.
        if start == block_start:  # hardly any tokens in it at all
            _add(spans, text, start, stop)
            start = stop
    return spans


def _token_at(tokens: Sequence[Span], place: int) -> int:
    """Position of the first token that begins at or behind a character."""
    return bisect_left(tokens, place, key=lambda span: span[0])


def _window_end(text: str, low: int, high: int) -> int:
    """The best place in text (low, high] to end a window whose last tokens begin there."""
    for pattern in (PARAGRAPH, SENTENCE, WORD):
        best = 0
        # One character more: tokens of some vocabularies begin with the space before the word.
        for match in pattern.finditer(text, low, high + 1):
            if match.end() <= high or text[high : high + 1].isspace():
                best = min(match.end(), high)
        if best > low:
            return best
    place = high
    while place > low and _joined(text, place):
        place -= 1
    return place if place > low else high


def _window_start(text: str, low: int, high: int) -> int:
    """The best place in text [low, high] to begin the window after the one that ends at `high`."""
    for pattern in (SENTENCE, WORD):
        match = pattern.search(text, max(low - 1, 0), high)
        if match and low <= match.end() < high:
            return match.end()
    while low < high and _joined(text, low):
        low += 1
    return low


def _joined(text: str, place: int) -> bool:
    """Whether a cut would part a letter from a combining mark, a variation selector or a joiner."""
    if not 0 < place < len(text):
        return False
    return (
        unicodedata.category(text[place]).startswith("M") or ZERO_WIDTH_JOINER in text[place - 1 : place + 1]
    )


def _halves(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    middle = (start + end) // 2
    _add(spans, text, start, middle)
    _add(spans, text, middle, end)
    return spans


def _add(spans: list[Span], text: str, start: int, end: int) -> None:
    """Append text[start:end] without the white space around it, unless there is nothing else."""
    part = text[start:end]
    stripped = part.strip()
    if stripped:
        start += len(part) - len(part.lstrip())
        spans.append((start, start + len(stripped)))


def overlap_of(asked: int | None, length: int) -> int:
    """Tokens that two neighbouring windows share at most: those asked for, else an eighth of a window.

    Raises:
        InvalidInputError: fewer than 0, or half of a window or more, were asked for.
    """
    overlap = length // 8 if asked is None else asked
    if not 0 <= overlap < length // 2:
        raise InvalidInputError(
            f"overlap is {asked}; it must be at least 0 and less than half of document_length, which is {length}."
        )
    return overlap
