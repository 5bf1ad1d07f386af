"""Hits and evidence for a person at a terminal: as lines, with what matched in colour or in brackets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO
from unicodedata import category

from retrievers.types.boundaries import shortened

if TYPE_CHECKING:
    from retrievers.types import Hit

JOINERS = "\u00ad\u200c\u200d"  # soft hyphen, and what scripts and emoji need to shape their characters
COLOUR, PLAIN = "\x1b[1;33m", "\x1b[0m"


def printable(text: str) -> str:
    """A text on one line that a terminal shows and never obeys.

    Texts and ids are a stranger's data. Control characters, with line feed and tab, C1 controls, marks that change
    the direction of writing, and whatever else has no shape become escapes such as \\x1b and \\u202e. A byte of a
    file name that is not UTF-8 becomes \\xff.
    """
    return text if text.isprintable() else "".join(map(_shape, text))


def _shape(character: str) -> str:
    if character.isprintable() or character in JOINERS or category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def has_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal with colours, and the user has not said NO_COLOR (no-color.org)."""
    wanted = not environment.get("NO_COLOR") and environment.get("TERM", "") != "dumb"
    return wanted and stream.isatty()


def show(hits: Sequence[Hit], width: int = 360) -> str:
    """Hits for a person: rank, id, scores, and the start of the passage with its place in the text."""
    lines = []
    for rank, hit in enumerate(hits, 1):
        lines.append(_headline(rank, hit.id, hit.score, hit.normalized_score))
        if hit.passage is not None:
            text = shortened(" ".join(hit.passage.text.split()), width)
            lines.append(f"   [{hit.passage.start}:{hit.passage.end}] {printable(text)}")
    return "\n".join(lines)


def show_evidence(
    rank: int,
    name: str | None,
    scores: tuple[float, float],
    text: str,
    shown: tuple[int, int],
    marks: Iterable[tuple[int, int, float]],
    *,
    colour: bool,
) -> str:
    """One hit with what matched: its headline, the part of the text that is shown, and the words with their weights.

    Args:
        scores: the score and the normalised one.
        text: the document's whole text.
        shown: where the part begins and ends in it.
        marks: start, end and weight of each highlight, in the order of the text.
        colour: see has_colour; without it what matched stands in brackets.
    Returns:
        Lines that a terminal can be given as they are: the text's own control characters are escaped.
    """
    first, last = shown
    inside = [(start, end, weight) for start, end, weight in marks if first <= start and end <= last]
    lines = [_headline(rank, name, *scores)]
    if first < last:
        before, after = "…" * (first > 0), "…" * (last < len(text))
        body = mark_words(text, shown, [(start, end) for start, end, _ in inside], colour=colour)
        lines.append(f"   [{first}:{last}] {before}{body}{after}")
    if inside:
        heaviest = sorted(inside, key=lambda one: -one[2])
        words = (f"{_on_one_line(text[start:end])} {weight:.2f}" for start, end, weight in heaviest)
        lines.append(f"   matched: {', '.join(words)}")
    return "\n".join(lines)


def mark_words(text: str, part: tuple[int, int], spans: Iterable[tuple[int, int]], *, colour: bool) -> str:
    """A part of a text on one line, with each span in colour, or in brackets.

    Args:
        part: where it begins and ends in the text.
        spans: in the order of the text, none over another, inside the part.
    """
    before, after = (COLOUR, PLAIN) if colour else ("[", "]")
    place, last = part
    pieces = []
    for start, end in spans:
        pieces += [_on_one_line(text[place:start]), before, _on_one_line(text[start:end]), after]
        place = end
    pieces.append(_on_one_line(text[place:last]))
    return "".join(pieces)


def _headline(rank: int, name: str | None, score: float, normalized: float) -> str:
    return f"{rank}. {printable(str(name))}   score {score:.2f}, normalised {normalized:.3f}"


def _on_one_line(text: str) -> str:
    """Printable, each run of white space as one space."""
    return printable("".join(" " if one.isspace() else one for one in text.replace("\r\n", "\n")))
