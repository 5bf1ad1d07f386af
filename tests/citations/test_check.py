"""Quotes of an answer that are found in its sources, as they are or written a little differently, and others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.citations import Citation, check
from retrievers.citations.matching import Text
from retrievers.errors import InvalidTypeError

SALT = "Salt melts at 801 °C; it’s the “king” of salts."


def source(text: str, number: int = 1, offset: int = 0) -> Citation:
    end = offset + len(text)
    return Citation(number, text, offset, end, f"{number}.txt", f"{number}", str(number), text, offset)


def places(answer: str, *texts: str):
    """Text and exactness of the best place of each quote, None where there is none."""
    given = [source(text, number) for number, text in enumerate(texts, 1)]
    return [(one.places[0].text, one.places[0].exact) if one.found else None for one in check(answer, given)]


@pytest.mark.parametrize(
    ("answer", "text", "found"),
    [
        ("“Salt melts at 801 °C”", SALT, ("Salt melts at 801 °C", True)),
        ("“Salt melts,” it says", SALT, ("Salt melts", False)),
        ("“Salt  melts\nat 801 °C”", SALT, ("Salt melts at 801 °C", False)),
        ("“salt melts”", "The salt\r\n   melts", ("salt\r\n   melts", False)),
        ("“it's the 'king' of salts.”", SALT, ("it’s the “king” of salts.", False)),
        ("«le sel»", "dit «\u00a0le\u202fsel\u00a0»", ("le\u202fsel", False)),
        ("“café”", "the cafe\u0301 is open", ("cafe\u0301", False)),
        ("“cafe\u0301”", "the café is open", ("café", False)),
        ("「盐会融化」", "他说：盐\n会融化。", ("盐\n会融化", False)),
        ("“塩は 溶ける”", "塩は溶ける。", ("塩は溶ける", False)),
        ("“เกลือละลาย”", "ว่า เกลือ ละลาย ใน", ("เกลือ ละลาย", False)),
        ("“soluble”", "so\u00adlu\u00adble salt", ("so\u00adlu\u00adble", False)),
        ("“नमक पिघलता”", "वह नमक पिघलता है", ("नमक पिघलता", True)),
        ("“الملح”", "والملح يذوب", ("الملح", True)),  # with a prefix it is the same word
        ("“소금”", "소금은 녹는다", ("소금", True)),
        ("“art”", "a party of artists", None),
        ("“melts at 80”", SALT, None),
        ("“01 °C”", SALT, None),
        ("“cafe”", "cafe\u0301s", None),
        ("“a 👩”", "a 👩‍👩‍👧 b", None),
        ("“salt melts”", SALT, None),  # another case is another text
        ("“Salt boils”", SALT, None),
        ("“now here”", "nowhere", None),
        ("“art”", "party, art", ("art", True)),
    ],
)
def test_a_quote_is_found_as_a_reader_would_find_it(answer, text, found):
    assert places(answer, text)[0] == found


def test_a_place_names_source_and_span():
    [quote] = check("He wrote “of salts” once.", [source("nothing"), source(SALT, 2, offset=100)])
    [place] = quote.places
    assert (quote.start, quote.end) == (10, 18)
    assert (place.citation.number, place.text, place.exact) == (2, "of salts", True)
    assert (place.start, place.end) == (100 + SALT.index("of salts"), 100 + SALT.index("of salts") + 8)


def test_the_source_that_the_answer_names_comes_first_then_the_exact_one():
    sources = [source("salt  melts"), source("salt melts", 2), source("salt melts", 3)]
    numbers = [
        [place.citation.number for place in quote.places]
        for quote in check("“salt melts” and “salt melts” [1], “salt melts” [3].", sources)
    ]
    assert numbers == [[2, 3, 1], [1, 2, 3], [3, 2, 1]]


def test_quotes_that_stand_nowhere_are_told():
    found = check("“Salt melts”, “salt sings” and «of salts.»", [source(SALT)])
    assert [one.text for one in found if not one.found] == ["salt sings"]
    assert check("no quote", [source(SALT)]) == []
    assert [one.found for one in check("“salt”", [])] == [False]


@pytest.mark.parametrize(("answer", "given"), [(7, []), ("“a”", ["a"]), ("“a”", "a"), ("“a”", [None])])
def test_what_is_no_answer_and_no_citation_is_refused(answer, given):
    with pytest.raises(InvalidTypeError):
        check(answer, given)


PIECES = st.sampled_from(
    [
        "salt",
        "it’s",
        "“x”",
        "801",
        "é",
        "e\u0301",
        "盐",
        "พ",
        "👩‍👩‍👧",
        " ",
        "\n",
        "\u00a0",
        "\u00ad",
        ".",
        "न",
        "म\u093f",
    ]
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=12).map("".join), st.data())
def test_words_that_are_cut_out_of_a_text_are_found_in_it_however_they_are_written(text, data):
    spans = Text(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    words = text[start:end]
    found = spans.find(words)
    if found is not None and found[2]:
        assert text[found[0] : found[1]] == words
    if not spans._stands_alone(start, end) or not any(map(str.isalnum, words)):
        return
    assert found is not None
    assert found[2]
    # As another hand writes it: other white space, other quotation marks, the other composition.
    other = words.replace(" ", "\n ").replace("’", "'").replace("“", '"').replace("é", "e\u0301").strip()
    again = spans.find(other)
    assert again is not None
    first, last, _ = again
    assert "".join(text[first:last].split()).replace("\u00ad", "") != ""
