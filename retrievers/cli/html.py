"""The text of an HTML page, in one pass whose work grows with the page's length alone.

The standard library's html.parser is not used: up to the patch releases of summer 2025 an unclosed comment or tag
makes it read the rest of the page again for each one that follows, and some damaged declarations end it.
"""

from __future__ import annotations

import re
from collections import Counter
from html import unescape

HIDDEN = re.compile("head|noscript|script|style|template")
BLOCK = re.compile(
    "address|article|aside|blockquote|br|caption|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|"
    "nav|ol|option|p|pre|section|table|td|th|title|tr|ul"
)
NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
# The rest of a tag up to its ">", which may stand in a quoted value too. A quote that is never closed is a
# character like others. Possessive quantifiers never go back, so a match reads each character once.
REST = re.compile(r"""(?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+|["'])*+>""")
RAW_END = {tag: re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE) for tag in ("script", "style")}
# int() refuses numbers of more than 4300 digits; the last character has seven.
LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")


def page_text(source: str) -> str:
    """The text that a browser shows: blocks on lines of their own, without scripts, styles, templates and the head."""
    page = _Page()
    place = 0
    while place < len(source):
        start = source.find("<", place)
        if start < 0:
            start = len(source)
        page.text(source[place:start])
        place = _after_markup(source, start, page) if start < len(source) else start
    lines = (" ".join(line.split()) for line in "".join(page.parts).splitlines())
    return "\n".join(line for line in lines if line)


def _after_markup(source: str, start: int, page: _Page) -> int:
    """Take what begins with the "<" at start. Returns where the text goes on."""
    name = NAME.match(source, start)
    if name is not None:
        rest = REST.match(source, name.end())
        if rest is None:  # no tag after this one can have an end either
            page.text(source[start:])
            return len(source)
        return _after_tag(source, name, rest, page)
    if source.startswith("<!--", start):
        return _after(source, "-->", start + 2)
    if source.startswith(("<!", "<?", "</"), start):
        return _after(source, ">", start)
    page.text("<")
    return start + 1


def _after_tag(source: str, name: re.Match[str], rest: re.Match[str], page: _Page) -> int:
    tag = name[1].lower()
    if source.startswith("</", name.start()):
        page.close(tag)
        return rest.end()
    page.open(tag)
    if rest[0].endswith("/>"):
        page.close(tag)
    elif tag in RAW_END:
        end = RAW_END[tag].search(source, rest.end())
        return len(source) if end is None else end.start()
    return rest.end()


def _after(source: str, mark: str, start: int) -> int:
    """The place after the next mark; the end where none follows, as a browser takes it."""
    found = source.find(mark, start)
    return len(source) if found < 0 else found + len(mark)


class _Page:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._hidden: list[str] = []  # the open elements that show nothing, outermost first
        self._depth: Counter[str] = Counter()  # how often each of them is open

    def open(self, tag: str) -> None:
        if tag == "body":  # a page may leave out </head>
            self._hidden.clear()
            self._depth.clear()
        elif HIDDEN.fullmatch(tag):
            self._hidden.append(tag)
            self._depth[tag] += 1
        elif BLOCK.fullmatch(tag):
            self.parts.append("\n")

    def close(self, tag: str) -> None:
        if self._depth[tag]:
            while True:  # an element closes those that were opened in it
                last = self._hidden.pop()
                self._depth[last] -= 1
                if last == tag:
                    break
        elif BLOCK.fullmatch(tag):
            self.parts.append("\n")

    def text(self, text: str) -> None:
        if not self._hidden:
            if "&" in text:
                text = unescape(LONG_REFERENCE.sub("\N{REPLACEMENT CHARACTER}", text))
            self.parts.append(text.replace("\n", " "))
