"""What each operator keeps, by the Python predicate that every other evaluation is held to."""

import pytest

from retrievers.errors import FilterError
from retrievers.filters import parse

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
        {"tags": "news"},
        {"tags": ["news", 7]},
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
        ({"lang": object()}, "object"),
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
