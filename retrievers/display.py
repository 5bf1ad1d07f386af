"""Hits and evidence for a person: as lines, and as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrievers.types import Evidence, Hit


def show(hits: Sequence[Hit], width: int = 360) -> str:
    """Hits for a person: rank, id, scores, and the start of the passage with its place in the text."""
    lines = []
    for rank, hit in enumerate(hits, 1):
        lines.append(f"{rank}. {hit.id}   score {hit.score:.2f}, normalised {hit.normalized_score:.3f}")
        if hit.passage is not None:
            text = " ".join(hit.passage.text.split())
            short = text if len(text) <= width else f"{text[:width]}…"
            lines.append(f"   [{hit.passage.start}:{hit.passage.end}] {short}")
    return "\n".join(lines)


def evidence_html(evidence: Evidence) -> str:
    """The passage with each matched span marked, darker for a higher similarity, and its query tokens as a hint.

    Everything that comes from the user's texts is escaped.
    """
    if evidence.passage is None:
        return f"<p><b>{escape(evidence.query)}</b>: nothing matched.</p>"
    tokens: dict[tuple[int, int], list[str]] = {}
    strength: dict[tuple[int, int], float] = {}
    for match in evidence.matches:
        if match.start < match.end:
            span = (match.start, match.end)
            tokens.setdefault(span, []).append(f"{match.query_token} {match.similarity:.2f}")
            strength[span] = max(strength.get(span, 0.0), match.similarity)
    parts, place = [], evidence.passage.start
    for start, end in sorted(tokens):
        if start < place:  # two tokens of one character, or a token that begins in the one before
            continue
        opacity = min(max(strength[start, end], 0.1), 1.0)
        parts.append(escape(evidence.text[place:start]))
        parts.append(
            f'<mark title="{escape("; ".join(tokens[start, end]))}" '
            f'style="background: rgba(255, 200, 0, {opacity:.2f})">{escape(evidence.text[start:end])}</mark>'
        )
        place = end
    parts.append(escape(evidence.text[place : evidence.passage.end]))
    body = "".join(parts)
    return f'<p><b>{escape(evidence.query)}</b> {evidence.score:.2f}</p><p style="white-space: pre-wrap">{body}</p>'
