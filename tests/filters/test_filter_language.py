"""What each operator keeps, by the Python predicate that every other evaluation is held to."""

import numpy as np
import pandas as pd
import pytest

from retrievers.errors import FilterError
from retrievers.filters import Combine, Compare, parse

BOOK = {
    "lang": "en",
    "year": 1999,
    "price": 9.5,
    "sold": True,
    "note": None,
    "tags": ["news", 7, None],
    "author": {"name": "Ann", "born": {"year": 1960}},
    "author.city": "Rome",
    "blank": "",
    "nothing": [],
    "hollow": {},
    "title": "Die Straße",
}


def keeps(filter):
    return parse(filter).matches(BOOK)


@pytest.mark.parametrize(
    "filter",
    [
        {"lang": "en"},
        {"lang": {"$eq": "en"}, "year": 1999},
        {"year": 1999.0},
        {"price": {"$gt": 9, "$lt": 10}},
        {"year": {"$gte": 1999, "$lte": 1999}},
        {"lang": {"$gt": "eM"}},
        {"lang": {"$ne": "de"}},
        {"lang": {"$in": ["de", "en"]}},
        {"year": {"$nin": [1, 2]}},
        {"tags": {"$contains": 7}},
        {"tags": {"$any": ["x", "news"]}},
        {"tags": {"$all": ["news", None]}},
        {"tags": {"$all": []}},
        {"tags": ["news", 7, None]},
        {"tags": "news"},
        {"tags": 7.0},
        {"tags": None},
        {"tags": {"$in": ["x", 7]}},
        {"tags": {"$ne": "sport"}},
        {"tags": {"$nin": ["x", "y"]}},
        {"tags": {"$ne": ["news", 7]}},
        {"nothing": []},
        {"nothing": {"$ne": None}},
        {"note": None},
        {"sold": True},
        {"author.name": "Ann"},
        {"author.born.year": {"$lt": 1961}},
        {"author.city": "Rome"},
        {"title": {"$text_match": "Str"}},
        {"title": {"$text_match_insensitive": "STRASSE"}},
        {"blank": {"$is_empty": True}},
        {"nothing": {"$is_empty": True}},
        {"hollow": {"$is_empty": True}},
        {"note": {"$is_empty": True}},
        {"absent": {"$is_empty": True}},
        {"year": {"$is_empty": False}},
        {"$or": [{"lang": "de"}, {"year": 1999}]},
        {"$and": [{"lang": "en"}, {"year": 1999}]},
        {"$not": {"lang": "de"}},
        {"year": {"$not": {"$lt": 1999}}},
        {"absent": {"$ne": 1}},
        {"absent": {"$nin": [1]}},
        {"$not": {"absent": 1}},
    ],
    ids=repr,
)
def test_a_filter_keeps(filter):
    assert keeps(filter)


@pytest.mark.parametrize(
    "filter",
    [
        {"lang": "EN"},
        {"lang": "en", "year": 2000},
        {"sold": 1},
        {"year": True},
        {"year": "1999"},
        {"year": {"$gt": "1"}},
        {"sold": {"$gte": 0}},
        {"note": {"$lt": 1}},
        {"lang": {"$in": []}},
        {"tags": {"$contains": "new"}},
        {"tags": {"$contains": True}},
        {"tags": {"$any": []}},
        {"tags": {"$all": ["news", "x"]}},
        {"tags": "sport"},
        {"tags": 7.5},
        {"tags": True},
        {"tags": {"$ne": "news"}},
        {"tags": {"$nin": ["x", None]}},
        {"tags": {"$in": ["x", "new"]}},
        {"tags": {"$gt": 6}},
        {"tags": {"$text_match": "news"}},
        {"tags": ["news", 7]},
        {"tags": [7, "news", None]},
        {"nothing": None},
        {"lang": {"$contains": "e"}},
        {"title": {"$text_match": "str"}},
        {"year": {"$text_match": "19"}},
        {"author": "Ann"},
        {"lang": {"$is_empty": True}},
        {"absent": {"$is_empty": False}},
        {"absent": None},
        {"absent": {"$gt": 0}},
        {"absent": {"$in": [None]}},
        {"absent": {"$contains": None}},
        {"absent": {"$text_match": ""}},
        {"$not": {"absent": {"$ne": 1}}},
    ],
    ids=repr,
)
def test_a_filter_leaves_out(filter):
    assert not keeps(filter)


def test_numbers_beyond_64_bits_compare_exactly():
    metadata = {"n": 2**64 + 1}
    assert parse({"n": 2**64 + 1}).matches(metadata)
    assert not parse({"n": float(2**64)}).matches(metadata)
    assert parse({"n": {"$gt": float(2**64)}}).matches(metadata)


def test_no_filter_is_none():
    assert parse(None) is None
    assert parse({}) is None


def test_a_parsed_filter_is_taken_as_it_is():
    parsed = parse({"lang": "en"})
    assert parse(parsed) is parsed
    assert parse({"$or": [parsed, {"lang": "de"}]}).matches({"lang": "en"})


@pytest.mark.parametrize(
    ("filter", "named"),
    [
        ("lang", "'lang'"),
        ({"lang": {"$like": "e%"}}, r"\$like"),
        ({"lang": {"name": "x"}}, "'name'"),
        ({"$nor": [{}]}, r"\$nor"),
        ({"$gt": 3}, r"\$gt"),
        ({"$or": []}, r"\$or"),
        ({"$or": [{}]}, r"\$or"),
        ({"$or": {"lang": "en"}}, r"\$or"),
        ({"$and": "lang"}, r"\$and"),
        ({"$not": []}, r"\$not"),
        ({"$not": {}}, r"\$not"),
        ({"lang": {}}, "'lang'"),
        ({3: "x"}, "3"),
        ({"lang": {"$in": "en"}}, "'en'"),
        ({"lang": {"$in": [["en"]]}}, "list"),
        ({"lang": ...}, "ellipsis"),
        ({"year": {"$gt": True}}, "True"),
        ({"year": {"$gt": None}}, "None"),
        ({"year": {"$gt": [1]}}, r"\[1\]"),
        ({"year": float("nan")}, "nan"),
        ({"title": {"$text_match": 3}}, "3"),
        ({"title": {"$is_empty": None}}, "None"),
        ({"lang": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "surrogate"),
    ],
    ids=repr,
)
def test_a_filter_that_cannot_be_used_names_what_is_wrong(filter, named):
    with pytest.raises(FilterError, match=named):
        parse(filter)


@pytest.mark.parametrize("word", ["$not", "$and"])
def test_a_filter_nested_without_end_is_refused(word):
    filter = {"lang": "en"}
    for _ in range(2000):
        filter = {word: filter if word == "$not" else [filter]}
    with pytest.raises(FilterError, match="50 levels"):
        parse(filter)


def test_a_filter_that_holds_itself_is_refused():
    filter = {}
    filter["$not"] = filter
    with pytest.raises(FilterError, match="50 levels"):
        parse(filter)


def test_a_filter_that_holds_another_in_many_places_is_counted_as_often():
    filter = {"lang": "en"}
    for _ in range(40):
        filter = {"$or": [filter, filter]}
    with pytest.raises(FilterError, match="100000 is the limit"):
        parse(filter)


def test_more_values_than_the_limit_are_refused_by_their_number():
    assert parse({"n": {"$in": list(range(99_000))}}).matches({"n": 98_999})
    with pytest.raises(FilterError, match=r"100000 is the limit.*ids"):
        parse({"n": {"$in": list(range(1_000_000))}})
    half = {"n": {"$nin": list(range(60_000))}}
    with pytest.raises(FilterError, match="100000 is the limit"):
        parse({"$or": [half, half]})


def test_more_bytes_of_text_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr("retrievers.arguments.FILTER_BYTES", 20)
    assert parse({"a": {"$in": ["x" * 9, "y" * 9]}}).matches({"a": "xxxxxxxxx"})
    with pytest.raises(FilterError, match="21 bytes together: 20 is the limit"):
        parse({"a": {"$in": ["x" * 10, "y" * 10]}})


@pytest.mark.parametrize("number", [10**5000, -(10**4400), 2**2048], ids=["5000", "-4400", "617"])
def test_a_number_that_metadata_cannot_hold_is_refused_by_its_size(number):
    with pytest.raises(FilterError, match="2048 bits is the limit"):
        parse({"n": {"$gt": number}})
    assert parse({"n": {"$lt": 2**2048 - 1}}).matches({"n": 2**2047})


def test_numpy_values_are_those_of_python():
    metadata = {"n": 3, "x": 0.5, "t": True, "s": "a"}
    for filter in (
        {"n": np.int16(3)},
        {"n": np.float32(3)},
        {"x": {"$lt": np.float64(0.75)}},
        {"t": np.True_},
        {"s": np.str_("a")},
        {"n": {"$in": np.arange(4)}},
        {"s": {"$in": np.array(["a", "b"])}},
        {"s": {"$in": pd.Series(["b", "a"], index=[5, 0])}},
        {"s": {"$in": {"a": 1}.keys()}},
        {"n": {"$in": range(4)}},
    ):
        assert parse(filter).matches(metadata), filter
    parsed = parse({"n": np.int16(3)})
    assert type(parsed.value) is int
    assert not parse({"t": np.int8(1)}).matches(metadata)


@pytest.mark.parametrize(
    "operand",
    [iter([1]), (n for n in [1]), np.ones((2, 2)), {"a": 1}, b"ab", np.datetime64("2026-01-31")],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_list_of_values_is_refused(operand):
    with pytest.raises(FilterError, match="is needed"):
        parse({"n": {"$in": operand}})


def test_a_filter_made_by_hand_is_checked_when_it_is_made():
    for make, named in (
        (lambda: Compare("a", "$like", 1), r"\$like"),
        (lambda: Compare("a", "$gt", object()), "object"),
        (lambda: Compare(3, "$eq", 1), "3"),
        (lambda: Combine("$and", ()), "at least one filter"),
        (lambda: Combine("$nor", (Compare("a", "$eq", 1),)), r"\$nor"),
        (lambda: Combine("$or", ({"a": 1},)), "at least one filter"),
    ):
        with pytest.raises(FilterError, match=named):
            make()
    deep = Compare("a", "$eq", 1)
    for _ in range(50):
        deep = Combine("$not", (deep,))
    with pytest.raises(FilterError, match="50 levels"):
        Combine("$not", (deep,))


def test_a_key_is_looked_up_at_any_depth():
    metadata = {"a": 1}
    for _ in range(100_000):
        metadata = {"a": metadata}
    key = ".".join("a" * 2000)
    assert not parse({key: 1}).matches(metadata)
    with pytest.raises(FilterError, match="4096"):
        parse({"a" * 4097: 1})
