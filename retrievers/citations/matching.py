"""Finding words in a text that writes them with other white space, quotation marks or compositions of characters."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any
from unicodedata import normalize

SAME = str.maketrans(
    {
        # An answer turns double marks inside of its own into single ones.
        **dict.fromkeys('"“”„‟«»〝〞〟＂「」『』‘’‚‛‹›ʼ＇`´', "'"),
        # What no reader sees: soft hyphens, and places where a line may or may not be broken.
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff"),
    }
)
ENDS = ".,;:!?…。，、！？；：؟،؛"  # an answer may end a quote with a mark of its own sentence


class Text:
    """A text that is looked through several times."""

    def __init__(self, text: str) -> None:
        self.text = text

    def find(self, words: str) -> tuple[int, int, bool] | None:
        """Where words stand first: start and end, and whether character for character; None where they do not.

        They may begin and end where a reader sees a character begin, and not inside a number or a word of an
        alphabet.
        """
        start = self.text.find(words)
        while start >= 0:
            if self._stands_alone(start, start + len(words)):
                return start, start + len(words), True
            start = self.text.find(words, start + 1)
        plain, _ = _plain(words)
        for wanted in (plain, plain.rstrip(ENDS).rstrip()):
            found = self._alike(wanted) if any(map(str.isalnum, wanted)) else None
            if found is not None:
                return *found, False
        return None

    def _alike(self, wanted: str) -> tuple[int, int] | None:
        plain, spans = self._plain
        at = plain.find(wanted)
        while at >= 0:
            last = at + len(wanted)
            start, end = spans[at][0], spans[last - 1][1]
            # A part of an emoji has the place of the whole.
            whole = (
                spans[at - 1 : at] != spans[at : at + 1] and spans[last : last + 1] != spans[last - 1 : last]
            )
            if whole and self._stands_alone(start, end):
                return start, end
            at = plain.find(wanted, at + 1)
        return None

    def _stands_alone(self, start: int, end: int) -> bool:
        alphabet, _, _ = _patterns()
        for place in (start, end):
            if 0 < place < len(self.text):
                if alphabet.match(self.text[place - 1]) and alphabet.match(self.text[place]):
                    return False
                if place not in self._edges:
                    return False
        return True

    @cached_property
    def _edges(self) -> frozenset[int]:
        """Where a character ends, as a reader sees it: a letter with its marks, an emoji with its parts."""
        _, character, _ = _patterns()
        return frozenset(one.end() for one in character.finditer(self.text))

    @cached_property
    def _plain(self) -> tuple[str, list[tuple[int, int]]]:
        return _plain(self.text)


def _plain(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text as all that are alike have it, and for each of its characters the place of what it stands for."""
    _, character, unspaced = _patterns()
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    gap: tuple[int, int] | None = None
    for one in character.finditer(text):
        written = normalize("NFC", one[0].translate(SAME))
        if not written.strip():
            gap = one.span() if written else gap
            continue
        if gap is not None and parts and not (unspaced.match(parts[-1]) or unspaced.match(written)):
            parts.append(" ")
            spans.append(gap)
        gap = None
        parts.append(written)
        spans += [one.span()] * len(written)
    return "".join(parts), spans


@lru_cache(maxsize=1)
def _patterns() -> tuple[Any, Any, Any]:
    """Characters that words between spaces are made of; what a reader sees as one; those of scripts without spaces."""
    import regex

    return (
        regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Nd}\p{Mn}]"),
        regex.compile(r"\X"),
        regex.compile(
            r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー。，、！？；：（）]"
        ),
    )
