"""Long texts become windows: nothing lost, nothing too long, cut where it hurts least, spans exact."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrievers.encoder import windows

WORDS = re.compile(r"\w|[^\w\s]+")


def letters(text):
    """A vocabulary of single letters and runs of signs: as fine as the worst real one, and predictable."""
    return [match.span() for match in WORDS.finditer(text)]


def words(text):
    return [match.span() for match in re.finditer(r"\S+", text)]


def cut(text, length=12, overlap=3, tokenize=letters, markers=2):
    def count(texts):
        return [len(tokenize(one)) + markers for one in texts]

    return windows.split(text, tokenize=tokenize, count=count, length=length, overlap=overlap)


def pieces(text, **options):
    return [text[start:end] for start, end in cut(text, **options)]


TEXTS = st.text(
    st.sampled_from("ab cd.!?\n\n \t。！é\u0301\u0308नमस्ते\u200dไทย漢字🙂🏽👩\u200d👧\r\x00-"), max_size=300
)


@given(TEXTS, st.integers(4, 40), st.integers(0, 15))
def test_every_character_that_is_not_white_space_is_in_a_window(text, length, overlap):
    covered = set()
    for start, end in cut(text, length=length, overlap=overlap):
        covered.update(range(start, end))
    assert [i for i, letter in enumerate(text) if not letter.isspace() and i not in covered] == []


@given(TEXTS, st.integers(4, 40), st.integers(0, 15))
@example(
    "?a?aa\u0301?a?a。a?a\n?a。a！a", 14, 5
)  # of a window that was cut smaller, a part lay in the next one
def test_windows_fit_and_advance(text, length, overlap):
    spans = cut(text, length=length, overlap=overlap)
    assert all(len(letters(text[start:end])) + 2 <= length for start, end in spans)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(spans))
    assert all(0 <= start < end <= len(text) for start, end in spans)


@given(TEXTS)
def test_a_text_that_fits_is_one_window_with_all_its_characters(text):
    assert cut(text, length=1000) == ([(0, len(text))] if text.strip() else [])


@pytest.mark.parametrize("text", ["", " ", "\n\t\u2003"])
def test_a_blank_text_has_no_window(text):
    assert cut(text) == []


def test_a_window_ends_at_a_paragraph_before_it_ends_at_a_sentence():
    text = "one two three.\n\nfour five. six seven eight nine ten"
    assert pieces(text, tokenize=words, length=9, overlap=0) == [
        "one two three.\n\nfour five.",
        "six seven eight nine ten",
    ]
    text = "one two three four.\n\nfive six. seven eight nine ten"
    assert pieces(text, tokenize=words, length=9, overlap=0) == [
        "one two three four.",
        "five six. seven eight nine ten",
    ]


def test_a_window_ends_at_a_sentence_before_it_ends_at_a_word():
    text = "one two three four. five six seven eight nine"
    assert pieces(text, tokenize=words, length=8, overlap=0) == [
        "one two three four.",
        "five six seven eight nine",
    ]


def test_a_decimal_point_ends_no_sentence():
    assert pieces("aaa bbb ccc 3.5 ddd eee fff", tokenize=words, length=7, overlap=0) == [
        "aaa bbb ccc 3.5 ddd",
        "eee fff",
    ]


def test_full_width_stops_end_sentences_without_a_space():
    assert pieces("巴黎是首都。柏林也是首都。", length=12, overlap=0) == ["巴黎是首都。", "柏林也是首都。"]


def test_neighbours_share_whole_words_up_to_the_overlap():
    text = "one two three four five six seven eight nine"
    assert pieces(text, tokenize=words, length=8, overlap=2) == [
        "one two three four five six",
        "five six seven eight nine",
    ]


def test_the_overlap_begins_with_a_sentence_where_there_is_one():
    text = "one two. three four five six. seven eight nine ten eleven twelve"
    first, second, *_ = pieces(text, tokenize=words, length=9, overlap=3)
    assert first == "one two. three four five six."
    assert second.startswith("four five six. seven")
    text = "one two three four. five six. seven eight nine ten eleven twelve"
    assert pieces(text, tokenize=words, length=9, overlap=3)[1].startswith("five six. seven")


def test_a_letter_keeps_its_combining_marks():
    text = "e\u0301" * 30
    assert all(not unicodedata.combining(piece[0]) for piece in pieces(text, length=9, overlap=2))


def test_an_emoji_of_several_parts_is_not_parted():
    family = "👩\u200d👧"

    def parts(text):
        return [(i, i + 1) for i in range(len(text))]

    for start, end in cut(family * 20, tokenize=parts, length=11, overlap=0):
        assert start % 3 == 0
        assert end % 3 == 0


def test_windows_that_tokenise_longer_by_themselves_are_cut_smaller():
    # Without its neighbours the first word of a window falls into letters, as in a merging vocabulary.
    def count(texts):
        return [len(words(one)) + len(one.split(maxsplit=1)[0]) + 1 if one else 2 for one in texts]

    text = " ".join(["lengthy"] * 50)
    spans = windows.split(text, tokenize=words, count=count, length=12, overlap=0)
    assert max(count([text[start:end] for start, end in spans])) <= 12
    assert " ".join(text[start:end] for start, end in spans) == text


def test_a_text_of_many_blocks_is_covered_and_never_tokenised_whole(monkeypatch):
    monkeypatch.setattr(windows, "BLOCK", 200)
    longest = 0

    def watched(text):
        nonlocal longest
        longest = max(longest, len(text))
        return words(text)

    text = " ".join(f"word{i}." for i in range(2000))
    spans = cut(text, tokenize=watched, length=12, overlap=2)
    assert longest <= 200
    assert {i for start, end in spans for i in range(start, end)} >= {
        i for i, letter in enumerate(text) if letter != " "
    }
