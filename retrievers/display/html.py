"""Evidence, hits and tables as HTML that notebooks show in their own colours, light or dark.

No script, no style sheet, no link, no image: text takes the colour of the page around it, and a highlight is a
see-through layer over the page's background, strong enough to be seen and weak enough to read through. Everything
that comes from a user's texts is escaped, and typesetting of formulas is switched off for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from retrievers.types.boundaries import shortened

LAYER = (190, 110, 0)  # a dark amber: over white and over black alike the text on it stays readable
WEAKEST, STRONGEST = 0.12, 0.40  # how much the layer hides of the background
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
LINE = "1px solid rgba(128, 128, 128, 0.5)"
CELL = f"text-align: left; vertical-align: top; padding: 0.4em 0.8em; border-bottom: {LINE}; color: inherit"
NUMBER = f"{CELL.replace('left', 'right')}; white-space: nowrap"
NARROW = f"{CELL}; overflow-wrap: anywhere; min-width: 6em; max-width: 16em"
WRAPPED = "white-space: pre-wrap; overflow-wrap: anywhere; max-width: 50em"
MOST_FIELDS, MOST_CHARACTERS = 8, 80


class Passage(NamedTuple):
    """A part of a text to draw.

    Attributes:
        text: the whole text.
        start, end: where the passage begins and ends in it.
        first, last: where the part begins and ends that is shown unfolded.
        marks: start, end, strength from 0 to 1 and hint of each highlight, in the order of the text.
    """

    text: str
    start: int
    end: int
    first: int
    last: int
    marks: Sequence[tuple[int, int, float, str]] = ()


class HitRow(NamedTuple):
    """A hit to draw; passage is None where the text has no tokens."""

    name: str | None
    score: float
    normalized: float
    metadata: Mapping[str, Any]
    passage: Passage | None


def evidence_page(query: str, score: float, passage: Passage | None, rest: str, *, approximate: bool) -> str:
    """The question, its score, the passage with what matched, and what else the score is made of."""
    title = f"<b>{_text(query)}</b>"
    if passage is None:
        return _page(f"<div>{title}: nothing matched.</div>")
    notes = [f"Besides: {_text(rest)}."] if rest else []
    if approximate:
        notes.append(
            "Approximate: a stored row does not stand for one token, so the places are the likely ones."
        )
    lines = [f"<div>{title} · score {score:.2f}</div>", _passage(passage)]
    return _page(*lines, *(f"<div><small>{note}</small></div>" for note in notes))


def hits_page(query: str, rows: Sequence[HitRow], more: int = 0) -> str:
    """Rank, score, id, metadata and passage of each hit.

    Args:
        more: how many hits are left out.
    """
    title = f"<div><b>{_text(query)}</b></div>" if query else ""
    if not rows:
        return _page(title, "<div>Nothing found.</div>")
    head = "".join(f'<th style="{CELL}">{name}</th>' for name in ("", "score", "id", "metadata", "passage"))
    body = "".join(_hit(rank, row) for rank, row in enumerate(rows, 1))
    rest = f"<div>and {more} more</div>" if more else ""
    return _page(title, _table(head, body), rest)


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values below one another."""
    body = "".join(
        f'<tr><th style="{CELL}">{_text(name)}</th><td style="{CELL}">{_text(value)}</td></tr>'
        for name, value in pairs
    )
    return _page(f"<div><b>{_text(title)}</b></div>", _table("", body))


def figures(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]], note: str) -> str:
    """A row a system and a column a measure, the best of each column in bold; higher is better."""
    rows = list(rows)
    best = [max(values, default=0.0) for values in zip(*(values for _, values in rows), strict=True)]
    head = f'<th style="{CELL}">System</th>' + "".join(
        f'<th style="{NUMBER}">{_text(name)}</th>' for name in columns
    )
    body = ""
    for name, values in rows:
        cells = ""
        for value, most in zip(values, best, strict=True):
            shown = f"<b>{value:.3f}</b>" if value == most else f"{value:.3f}"
            cells += f'<td style="{NUMBER}">{shown}</td>'
        body += f'<tr><th style="{CELL}">{_text(name)}</th>{cells}</tr>'
    return _page(_table(head, body), f"<div><small>{_text(note)}</small></div>")


def mark_style(strength: float) -> str:
    """How a highlight looks whose weight is this part of the heaviest one's, 0 to 1."""
    cover = WEAKEST + (STRONGEST - WEAKEST) * min(max(strength, 0.0), 1.0)
    red, green, blue = LAYER
    return (
        f"color: inherit; background: rgba({red}, {green}, {blue}, {cover:.2f}); border-radius: 3px; "
        f"border-bottom: 2px solid rgba({red}, {green}, {blue}, {min(2 * cover, 1):.2f})"
    )


def _page(*parts: str) -> str:
    # The classes keep JupyterLab and its kin from reading $ as the start of a formula.
    return f'<div class="tex2jax_ignore mathjax_ignore" style="color: inherit">{"".join(parts)}</div>'


def _table(head: str, body: str) -> str:
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<table style="border-collapse: collapse; color: inherit">{top}<tbody>{body}</tbody></table>'


def _hit(rank: int, row: HitRow) -> str:
    passage = "" if row.passage is None else _passage(row.passage)
    score = f"{row.score:.2f}<br><small>{row.normalized:.3f} of 1</small>"
    name = "" if row.name is None else shortened(row.name, MOST_CHARACTERS)
    cells = [
        f'<td style="{NUMBER}">{rank}</td>',
        f'<td style="{NUMBER}">{score}</td>',
        f'<td style="{NARROW}"><bdi>{_text(name)}</bdi></td>',
        f'<td style="{NARROW}">{_metadata(row.metadata)}</td>',
        f'<td style="{CELL}">{passage}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _metadata(metadata: Mapping[str, Any]) -> str:
    lines = []
    for key in list(metadata)[:MOST_FIELDS]:
        value = metadata[key]
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        name, shown = shortened(str(key), MOST_CHARACTERS), shortened(written, MOST_CHARACTERS)
        lines.append(f"<bdi>{_text(name)}</bdi>: <bdi>{_text(shown)}</bdi>")
    if len(metadata) > MOST_FIELDS:
        lines.append(f"and {len(metadata) - MOST_FIELDS} more")
    return "<br>".join(lines)


def _passage(passage: Passage) -> str:
    """The part that is shown, and the whole passage folded below it where that is more."""
    start, end, first, last = passage.start, passage.end, passage.first, passage.last
    whole = f'<div dir="auto" style="{WRAPPED}">{_marked(passage, start, end)}</div>'
    if passage.text[start:first].strip() == passage.text[last:end].strip() == "":
        return whole
    before = "… " if passage.text[start:first].strip() else ""
    after = " …" if passage.text[last:end].strip() else ""
    part = f'<div dir="auto" style="{WRAPPED}">{before}{_marked(passage, first, last)}{after}</div>'
    summary = f"the whole passage, {end - start} characters"
    return f"{part}<details><summary>{summary}</summary>{whole}</details>"


def _marked(passage: Passage, first: int, last: int) -> str:
    place, parts = first, []
    for start, end, strength, hint in passage.marks:
        start, end = max(start, place), min(end, last)
        if start >= end:
            continue
        parts.append(_text(passage.text[place:start]))
        style = mark_style(strength)
        parts.append(f'<mark title="{_text(hint)}" style="{style}">{_text(passage.text[start:end])}</mark>')
        place = end
    return "".join([*parts, _text(passage.text[place:last])])


def _text(text: str) -> str:
    """A text escaped for HTML and for quoted attributes; what no page can hold becomes a replacement character."""
    return escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n")))
