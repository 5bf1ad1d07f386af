"""How hits and evidence are shown to a person: as lines, and as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from retrievers.types import Hit

JOINERS = "\u00ad\u200c\u200d"  # soft hyphen, and what scripts and emoji need to shape their characters


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


def show(hits: Sequence[Hit], width: int = 360) -> str:
    """Hits for a person: rank, id, scores, and the start of the passage with its place in the text."""
    lines = []
    for rank, hit in enumerate(hits, 1):
        name = printable(str(hit.id))
        lines.append(f"{rank}. {name}   score {hit.score:.2f}, normalised {hit.normalized_score:.3f}")
        if hit.passage is not None:
            text = " ".join(hit.passage.text.split())
            short = text if len(text) <= width else f"{text[:width]}…"
            lines.append(f"   [{hit.passage.start}:{hit.passage.end}] {printable(short)}")
    return "\n".join(lines)


def evidence_html(
    query: str,
    score: float,
    text: str,
    passage: tuple[int, int] | None,
    matches: Iterable[tuple[str, int, int, float]],
) -> str:
    """The passage with each matched span marked, darker for a higher similarity, and its query tokens as a hint.

    Everything that comes from the user's texts is escaped.

    Args:
        query: the question.
        score: its MaxSim with the passage.
        text: the document's whole text.
        passage: where the passage begins and ends in it; None where nothing has tokens.
        matches: query token, start, end and similarity of each match; a marker of the model has no characters.
    """
    if passage is None:
        return f"<p><b>{escape(query)}</b>: nothing matched.</p>"
    tokens: dict[tuple[int, int], list[str]] = {}
    strength: dict[tuple[int, int], float] = {}
    for token, start, end, similarity in matches:
        if start < end:
            tokens.setdefault((start, end), []).append(f"{token} {similarity:.2f}")
            strength[start, end] = max(strength.get((start, end), 0.0), similarity)
    place, last = passage
    parts = []
    for start, end in sorted(tokens):
        if start < place:  # two tokens of one character, or a token that begins in the one before
            continue
        opacity = min(max(strength[start, end], 0.1), 1.0)
        parts.append(escape(text[place:start]))
        parts.append(
            f'<mark title="{escape("; ".join(tokens[start, end]))}" '
            f'style="background: rgba(255, 200, 0, {opacity:.2f})">{escape(text[start:end])}</mark>'
        )
        place = end
    parts.append(escape(text[place:last]))
    body = "".join(parts)
    return f'<p><b>{escape(query)}</b> {score:.2f}</p><p style="white-space: pre-wrap">{body}</p>'
