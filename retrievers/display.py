"""Hits as lines for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrievers.types import Hit


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
