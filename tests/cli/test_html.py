"""The text of HTML pages: what a browser shows, and damaged pages without an error or quadratic work."""

from __future__ import annotations

import pytest

from retrievers.cli.html import page_text


def test_html_gives_the_text_that_a_browser_shows():
    page = """<!doctype html><html><head><title>T</title><style>p {}</style><script>var a = "<p>";</script></head>
    <body><h1>Caf&eacute;</h1><p>One <b>bold</b>
    line.<br>Next</p><script>hidden()</script><ul><li>first<li>second</ul></body></html>"""
    assert page_text(page) == "Café\nOne bold line.\nNext\nfirst\nsecond"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<head><title>T</title><body><p>text", "text"),
        ("a<!-- b > <p>c --> d <!--> e <? f > g <!x> h </ i> j", "a d e g h j"),
        ('<a title="1 > 0" href=x>seen</a>', "seen"),
        ('<a title="never closed>seen</a> <p>more', "seen\nmore"),
        ("1 < 2 <b", "1 < 2 <b"),
        ("a<template>b<template>c</template>d</template>e", "ae"),
        ("a<template>b<style>c</style>d</template>e", "ae"),
        ("a<script src='x'/>b<SCRIPT>c</p></Script >d", "abd"),
        ("a<script>b", "a"),
        ("a<!-- b", "a"),
        ("&lt;p&gt; &#65; &amp;", "<p> A &"),
        (f"a &#{'9' * 5000}; b", "a \N{REPLACEMENT CHARACTER} b"),
        ("a<![<![ b", "a"),
    ],
)
def test_a_page_that_is_damaged_or_odd_has_a_text(page, text):
    assert page_text(page) == text


class Watched(str):
    """A page that adds up how many characters the searches over it may have read."""

    read = 0

    def find(self, mark, start):
        found = super().find(mark, start)
        self.read += (len(self) if found < 0 else found + len(mark)) - start
        return found


BITS = ["<!--", "<!", "<?", "</", "<a ", '<a b="', "<a b='>\"", "<", "<template>", "<script>", "</script>"]


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("before", ["", "<script>", "<template>", '<a "', "<!--"])
def test_searches_for_an_end_read_no_character_more_than_a_few_times(bit, before):
    page = Watched(before + bit * 2000)
    page_text(page)
    assert page.read <= 3 * len(page) + 10


@pytest.mark.parametrize("bit", [*BITS, "<template></style>", "<style></template>", "<a b=", "<a " * 3 + ">"])
def test_a_page_of_a_megabyte_of_one_damage_comes_to_an_end(bit):
    """Work that grows with the square of the length would take minutes to hours here."""
    assert isinstance(page_text(bit * (1_000_000 // len(bit))), str)
