"""The quotes of a text, between the quotation marks of many languages, one inside another too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

CLOSING = {
    "“": "”",
    "„": "“”",  # German and its neighbours; Polish, Hungarian and Romanian
    "”": "”",  # Swedish and Finnish
    "«": "»",
    "»": "«",  # Danish, and books in German
    "‘": "’",
    "‚": "‘’",
    "‹": "›",
    "›": "‹",
    "「": "」",
    "『": "』",
    '"': '"',
    "'": "'",
}
"""What may close a quote that each mark opens."""

CLOSERS = frozenset("”»›")
PLAIN = frozenset("\"'")
APOSTROPHES = frozenset("’'")
MARKS = frozenset(CLOSING) | frozenset("".join(CLOSING.values()))
MOST_OPEN = 16  # quotes inside one another: more of them are marks that nothing closes
NUMBERS = re.compile(r"[\s.,;:!?。，、؟)\]]*((?:\[[\d\s,;]+\]\s*)+)")


class Found(NamedTuple):
    """A quote: its words, their place, and the numbers in brackets that follow it, as [2] or [1, 3]."""

    text: str
    start: int
    end: int
    numbers: frozenset[int]


@dataclass(slots=True)
class _Open:
    mark: str
    place: int


def quotes(text: str) -> list[Found]:
    """The quotes of a text, in the order in which they begin.

    A mark that closes nothing and one that nothing closes are no quotation marks: an apostrophe, an inch.
    """
    waiting: list[_Open] = []
    spans = []
    for one in re.finditer(r"\n[^\S\n]*\n|[^\w\s]", text):
        place, mark = one.start(), one[0]
        if "\n" in mark:  # a plain mark that a whole paragraph does not close is no quotation mark
            waiting = [other for other in waiting if other.mark not in PLAIN]
        if mark not in MARKS:
            continue
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        opened = _closed(waiting, mark, before, after)
        if opened is not None:
            start = waiting[opened].place + 1
            del waiting[opened:]
            spans.append((start, place))
        elif mark in CLOSING and _may_open(mark, before, after):
            waiting = [*waiting[-MOST_OPEN:], _Open(mark, place)]
    found = []
    for start, end in sorted(spans):
        words = text[start:end].strip()
        if any(map(str.isalnum, words)):
            first = start + text[start:end].index(words)
            found.append(Found(words, first, first + len(words), _numbers(text, end + 1)))
    return found


def _closed(waiting: list[_Open], mark: str, before: str, after: str) -> int | None:
    """Which of the quotes that are open a mark closes; None where it closes none."""
    if mark in APOSTROPHES and before.isalnum() and after.isalnum():
        return None  # an apostrophe
    if mark in PLAIN and _looks_ahead(before, after):
        return None  # it opens a quote inside of another
    for number in range(len(waiting) - 1, -1, -1):
        if mark in CLOSING[waiting[number].mark]:
            return number
    return None


def _may_open(mark: str, before: str, after: str) -> bool:
    if mark == "'":
        return _looks_ahead(before, after)
    if mark == '"':  # before a space it is an inch, or the end of what has no beginning
        return bool(after.strip()) and not _ends(after)
    if mark in CLOSERS:  # they open quotes in some languages only
        return bool(after.strip()) and not _ends(after) and not before.isalnum()
    return True


def _looks_ahead(before: str, after: str) -> bool:
    """Whether a plain mark stands where one opens: after a space or a bracket, before a word."""
    return (
        bool(after.strip())
        and (not before.strip() or before in "([{—–-" or before in MARKS)
        and not _ends(after)
    )


def _ends(character: str) -> bool:
    return character in ".,;:!?)]}。，、؟؛"


def _numbers(text: str, place: int) -> frozenset[int]:
    found = NUMBERS.match(text, place)
    return frozenset(map(int, re.findall(r"\d{1,9}", found[1]))) if found else frozenset()
