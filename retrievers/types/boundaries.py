"""Where a text may be cut: between words, between sentences, and never inside what a reader sees as one character."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

Span = tuple[int, int]
"""Offsets of the first character and of the one after the last."""

# Each match ends where the next sentence may begin.
SENTENCE = re.compile(
    r"""\n\s*                                   # end of a line: lists, transcripts, verse
    | [.!?…؟۔।॥։።][\"'»”’)\]]*\s+              # a full stop counts only before a space: 3.5, e.g.this
    | [。！？｡︒][」』”’）】]*\s*                  # the full-width ones end a sentence by themselves
    """,
    re.VERBOSE,
)


def word_edges(text: str) -> list[int]:
    """The places between words, ascending, 0 and len(text) among them.

    Words are those of Unicode Standard Annex 29: a letter keeps its marks, an emoji its parts, "don't" and "3.5" are
    one word. A script without spaces is cut between its characters.
    """
    words, characters = _patterns()
    visible = {0, *(match.end() for match in characters.finditer(text))}
    return sorted({0, len(text)} | {match.start() for match in words.finditer(text)} & visible)


def whole_words(edges: Sequence[int], start: int, end: int) -> Span:
    """The words that hold the characters from start to end, which are at least one.

    Args:
        edges: of the text's words, see word_edges.
    """
    return edges[bisect_right(edges, start) - 1], edges[bisect_left(edges, end)]


def sentences(text: str, edges: Sequence[int]) -> list[Span]:
    """The sentences of a part of a text, without the white space around them.

    Args:
        edges: the places between the words of the part, ascending: a sentence begins and ends only there.
    Returns:
        Spans in the text, in order. Each character of the part that is not white space is in one of them.
    """
    if not edges:
        return []
    allowed, found, start = set(edges), [], edges[0]
    for match in SENTENCE.finditer(text, edges[0], edges[-1]):
        end, stop = match.end(), match[0]
        # "e.g. this" goes on: what follows a full stop in lower case is no new sentence.
        goes_on = stop.startswith(".") and "\n" not in stop and text[end : end + 1].islower()
        if end in allowed and not goes_on:
            found.append((start, end))
            start = end
    found.append((start, edges[-1]))
    return [span for one in found if (span := stripped(text, *one)) is not None]


def heaviest(
    parts: Sequence[Span], weights: Sequence[tuple[int, int, float]], limit: int
) -> Iterator[tuple[int, int, float]]:
    """For each part that fits the heaviest run of parts which begins with it, the shortest of equal ones.

    Args:
        parts: in order, none over another.
        weights: start, end and weight; one counts in a run that holds all of it.
        limit: the most characters of a run, what is between its parts included.
    Yields:
        Start, end and weight of each run.
    """
    starts = [start for start, _ in parts]
    ending: list[list[tuple[int, float]]] = [
        [] for _ in parts
    ]  # by the part that a weight ends in: where it begins
    for start, end, weight in weights:
        first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1
        if first >= 0 and end <= parts[last][1]:
            ending[last].append((first, weight))
    for first, start in enumerate(starts):
        best, total = None, 0.0
        for last in range(first, len(parts)):
            end = parts[last][1]
            if end - start > limit:
                break
            total += sum(weight for begins, weight in ending[last] if begins >= first)
            if best is None or total > best[2]:
                best = (start, end, total)
        if best is not None:
            yield best


def character_end(text: str, start: int, end: int) -> int:
    """Where the character, as a reader sees it, ends that holds text[end - 1].

    Args:
        start: where a character begins, before end.
    """
    _, characters = _patterns()
    while start < end:
        start = characters.match(text, start).end()
    return start


def stripped(text: str, start: int, end: int) -> Span | None:
    """A span without the white space around it; None where there is nothing else."""
    part = text[start:end]
    if not part.strip():
        return None
    first = start + len(part) - len(part.lstrip())
    return first, first + len(part.strip())


def shortened(text: str, limit: int) -> str:
    """The text, or its first characters and an ellipsis, cut between two that a reader sees as separate."""
    if len(text) <= limit:
        return text
    _, characters = _patterns()
    place = 0
    for match in characters.finditer(text, 0, limit + 64):
        if match.end() > limit:
            break
        place = match.end()
    return f"{text[:place]}…"


@lru_cache(maxsize=1)
def _patterns() -> tuple[Any, Any]:
    """The edges of words, and what a reader sees as one character."""
    import regex

    return regex.compile(r"\b", flags=regex.WORD | regex.V1), regex.compile(r"\X", flags=regex.V1)
