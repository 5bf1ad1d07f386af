"""What an answer puts between quotation marks, in the habits of many languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.citations.quotes import CLOSING, quotes

ANSWERS = {
    "English": ("It says “salt melts” there.", ["salt melts"]),
    "British": ("It says ‘salt melts’ there.", ["salt melts"]),
    "plain": ('It says "salt melts" and "water boils".', ["salt melts", "water boils"]),
    "plain single": ("It says 'salt melts', not 'ice'.", ["salt melts", "ice"]),
    "German": ("Es heißt „Salz schmilzt“ dort.", ["Salz schmilzt"]),
    "German with guillemets": ("Es heißt »Salz schmilzt« dort.", ["Salz schmilzt"]),
    "Polish": ("Mówi „sól topi się” tam.", ["sól topi się"]),
    "Swedish": ("Det står ”salt smälter” där.", ["salt smälter"]),
    "French": ("Il dit «\u202fle sel fond\u202f» ici, et « l’eau ».", ["le sel fond", "l’eau"]),
    "Chinese": ("他说「盐会融化」，又说“水会沸腾”。", ["盐会融化", "水会沸腾"]),
    "Chinese plain": ('他说"盐会融化"。', ["盐会融化"]),
    "Japanese": ("彼は「塩は『溶ける』」と言った。", ["塩は『溶ける』", "溶ける"]),
    "Arabic": ("يقول «الملح يذوب» هنا.", ["الملح يذوب"]),
    "Hebrew": ('כתוב "המלח נמס" שם.', ["המלח נמס"]),
    "Hindi": ("वह कहता है “नमक पिघलता है।”", ["नमक पिघलता है।"]),
    "nested": ("“He said ‘salt melts’ there”", ["He said ‘salt melts’ there", "salt melts"]),
    "nested, both plain": ('"He said "salt melts" to me"', ['He said "salt melts" to me', "salt melts"]),
    "nested guillemets": ("« il dit « sel » ici »", ["il dit « sel » ici", "sel"]),
    "mixed": ('“a "b" c” «d»', ['a "b" c', "b", "d"]),
    "across lines": ("“salt\r\n  melts”", ["salt\r\n  melts"]),
    "across paragraphs": ("“salt\n\nmelts”", ["salt\n\nmelts"]),
    "an apostrophe": ("It’s the dog’s, isn't it? The dogs' bowls.", []),
    "an apostrophe inside": ("‘The dog’s bowl’", ["The dog’s bowl"]),
    "an inch": ('A 5" pipe and "a bend" fit.', ["a bend"]),
    "never closed": ("“salt", []),
    "never opened": ("salt” melts", []),
    "a plain mark that a paragraph leaves open": ('An "open mark.\n\nThen "a quote" follows.', ["a quote"]),
    "nothing inside": ("“” “ … ” \"\" ''", []),
    "a mark that is left open inside": ("“a ‘b” c", ["a ‘b"]),
    "brackets": ('("salt") [«sel»]', ["salt", "sel"]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_quotes_are_found_as_each_language_writes_them(name):
    answer, expected = ANSWERS[name]
    assert [one.text for one in quotes(answer)] == expected


@pytest.mark.parametrize(
    ("after", "numbers"),
    [
        (" [2].", {2}),
        (".[1][3]", {1, 3}),
        ("), [1, 3; 4]", {1, 3, 4}),
        (" as in [2]", set()),
        (" [two]", set()),
        ("。[12]", {12}),
        ("", set()),
    ],
)
def test_the_numbers_that_follow_a_quote_belong_to_it(after, numbers):
    [found] = quotes(f"See “salt”{after}")
    assert found.numbers == numbers


@given(st.text(st.sampled_from([*CLOSING, *"ab \n.1", "é", "盐"]), max_size=40))
def test_quotes_are_parts_of_the_answer_in_order_and_nested_or_apart(answer):
    found = quotes(answer)
    for one in found:
        assert answer[one.start : one.end] == one.text == one.text.strip()
    assert [one.start for one in found] == sorted(one.start for one in found)
    for one in found:
        for other in found:
            apart = one.end <= other.start or other.end <= one.start
            inside = one.start >= other.start and one.end <= other.end
            assert apart or inside or (other.start >= one.start and other.end <= one.end)


def test_an_answer_of_marks_alone_takes_no_quadratic_work():
    """Work that grows with the square of the length would take minutes here."""
    assert quotes("“" * 50_000 + "»" * 50_000 + "a”" * 50_000 + " “b”")[-1].text == "b"
