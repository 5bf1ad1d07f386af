"""SQL gives the answer of the Python predicate, whatever keys and values hold."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrievers.filters import parse, to_sql
from retrievers.filters.fields import elements, encode
from retrievers.filters.sql import FEW, LONG_LIST
from retrievers.store import Entry, Store
from retrievers.types import Document

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["", "a", "A", "ß", "ss", "ŉ", "a\x00b", "\x00", "\x00\x01", "\x03", "\xff", "'", '"', "';--", "é", "中"]
)
numbers = (
    st.integers(-3, 3)
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [2**53, 2.0**53, 2**53 + 1, 2**63, -(2**63), 2.0**63, 0.1, -0.0, 5e-324, 1e308, 255, 256]
    )
)
scalars = texts | numbers | st.booleans() | st.none()
names = (
    st.sampled_from(["a", "b", "a.b", "a.b.c", "b.a", "", ".", "'", '"', 'x"y', "$", "ключ", "a b"]) | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
metadata = st.dictionaries(names, values, max_size=4)

keys = names.filter(lambda name: not name.startswith("$"))
lists = st.lists(scalars, max_size=4)
comparisons = st.one_of(
    st.builds(lambda v: {"$eq": v}, scalars | lists),
    st.builds(lambda v: {"$ne": v}, scalars | lists),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), numbers | texts),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$in", "$nin", "$any", "$all"]), lists),
    st.builds(lambda v: {"$contains": v}, scalars),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$text_match", "$text_match_insensitive"]), texts),
    st.builds(lambda v: {"$is_empty": v}, st.booleans()),
)
conditions = st.builds(lambda key, value: {key: value}, keys, comparisons)
filters = st.recursive(
    conditions,
    lambda inner: (
        st.builds(
            lambda word, parts: {word: parts},
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=4,
)


def answers(documents, filter, indexed=()):
    """What SQL and what Python keep of some metadata."""
    store = Store(None, fingerprint={"model": "none", "dim": 4}, indexed=indexed)
    store.append([Entry(Document("", str(n), data), b"", [], []) for n, data in enumerate(documents)])
    parsed = parse(filter)
    with store.read() as view:
        kept = [document.id for document in view.matching(parsed)]
    store.close()
    return kept, [str(n) for n, data in enumerate(documents) if parsed.matches(data)]


@settings(max_examples=400, deadline=None)
@given(st.lists(metadata, max_size=6), filters, st.booleans())
@example([{"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}], {"a": 1}, False)
@example([{"a": ["x\x00"]}, {"a": ["x", ""]}], {"a": {"$contains": "x"}}, True)
@example([{"a": ["x\x00\x01\x04y"]}, {"a": ["x", "y"]}], {"a": {"$contains": "x"}}, False)
@example([{"a": [True]}, {"a": [1]}], {"a": {"$contains": 1}}, False)
@example([{"a.b": 1, "a": {"b": 2}}], {"a.b": {"$lt": 2}}, False)
@example([{"a": {"b": {"c": 1}, "b.c": 2}}], {"a.b.c": 2}, True)
@example([{"a": "\x03b"}], {"a": {"$text_match": "\x03\x03"}}, False)
@example([{"a": "b"}, {"a": ["b"]}, {"a": ["bb"]}, {"a": [["b"]]}, {"a": []}, {}], {"a": "b"}, True)
@example([{"a": "b"}, {"a": ["b"]}, {"a": ["bb"]}, {"a": [["b"]]}, {"a": []}, {}], {"a": {"$ne": "b"}}, True)
@example([{"a": [1]}, {"a": [True]}, {"a": [1.0]}, {"a": 1}, {"a": [-1]}], {"a": {"$in": [1, "x"]}}, True)
@example([{"a": [-0.0]}, {"a": 0}, {"a": [False]}, {"a": [None]}], {"a": {"$nin": [0]}}, False)
@example([{"a": [2**70]}, {"a": [2.0**70]}, {"a": [2**70 + 1]}], {"a": 2**70}, True)
@example([{"a": ["x\x00\x01\x04y"]}, {"a": ["x", "y"]}, {"a": "x"}], {"a": "x"}, True)
@example([{"a": {"b": ["c"]}}, {"a.b": "c"}, {"a": [{"b": "c"}]}], {"a.b": "c"}, True)
@example([{"a": ["b"]}, {"a": "b"}, {"a": [None]}], {"a": {"$in": []}}, True)
@example([{"a": "'; DROP TABLE documents;--"}], {"a": "'; DROP TABLE documents;--"}, True)
def test_sql_keeps_what_the_predicate_keeps(documents, filter, index):
    indexed = ["a", "b", "a.b", "'"] if index else ()
    kept, wanted = answers(documents, filter, indexed)
    assert kept == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(metadata, min_size=1, max_size=4), st.data())
def test_a_stored_value_is_found_by_its_own_value(documents, data):
    found = [(key, value) for one in documents for key, value in one.items() if not key.startswith("$")]
    plain = [pair for pair in found if not isinstance(pair[1], (list, dict))]
    if not plain:
        return
    key, value = data.draw(st.sampled_from(plain))
    kept, wanted = answers(documents, {key: {"$eq": value}})
    assert kept == wanted
    assert kept


@settings(max_examples=300, deadline=None)
@given(numbers, numbers)
def test_numbers_are_ordered_as_their_bytes(one, other):
    assert (one < other) == (encode(one) < encode(other))
    assert (one == other) == (encode(one) == encode(other))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": scalars | lists}), min_size=1, max_size=5), st.data())
def test_a_scalar_finds_the_lists_that_hold_it(documents, data):
    held = [item for one in documents for item in (one["a"] if isinstance(one["a"], list) else [one["a"]])]
    value = data.draw(st.sampled_from(held) if held else scalars)
    others = data.draw(st.sampled_from([0, FEW, LONG_LIST]))
    index = data.draw(st.sampled_from([(), ("a",)]))
    for operator, operand in (
        ("$eq", value),
        ("$ne", value),
        ("$in", [value, *map(str, range(1000, 1000 + others))]),
        ("$nin", [value, *map(str, range(1000, 1000 + others))]),
    ):
        kept, wanted = answers(documents, {"a": {operator: operand}}, index)
        assert kept == wanted
        assert bool(kept) or operator in ("$ne", "$nin") or not held


@settings(max_examples=200, deadline=None)
@given(lists)
def test_the_elements_of_a_list_are_read_back_from_its_bytes(items):
    assert json.loads(elements(encode(items))) == [encode(item).hex().upper() for item in items]


def test_a_long_list_is_one_bound_value():
    documents = [{"n": n} for n in range(300)]
    wanted = [str(n) for n in range(0, 300, 2)]
    assert len(wanted) > LONG_LIST
    assert answers(documents, {"n": {"$in": list(range(0, 300, 2))}}) == (wanted, wanted)
    assert len(answers(documents, {"n": {"$nin": list(range(40_000))}})[0]) == 0


def test_more_conditions_than_sql_can_nest_are_answered_too():
    documents = [{"n": n} for n in range(5)]
    assert answers(documents, {"$or": [{"n": n} for n in range(3, 3000)]}) == (["3", "4"], ["3", "4"])
    assert answers(documents, {"n": {"$any": list(range(40_000))}}) == ([], [])


@pytest.mark.parametrize("depth", [10, 25, 49])
@pytest.mark.parametrize("word", ["$not", "$or", "$and"])
def test_conditions_nested_deeper_than_sql_can_nest_are_answered_too(word, depth):
    filter = {"n": {"$in": [1, 2]}}
    for place in range(depth):
        both = [{"n": {"$gte": 0}}, filter] if word == "$and" else [{"n": 3}, filter]
        filter = {"$not": filter} if word == "$not" or place % 2 else {word: both}
    kept, wanted = answers([{"n": n} for n in range(5)], filter, ("n",))
    assert kept == wanted


@pytest.mark.parametrize("indexed", [(), ("group",)])
@pytest.mark.parametrize(
    "condition",
    [
        {"$gte": 3},
        {"$eq": 3},
        {"$ne": 3},
        {"$eq": [3]},
        {"$in": [3, "x"]},
        {"$nin": [3, "x"]},
        {"$contains": 3},
    ],
    ids=repr,
)
def test_an_index_is_used_for_the_keys_that_were_chosen(condition, indexed, tmp_path):
    store = Store(tmp_path / "c", fingerprint={"model": "none", "dim": 4}, indexed=indexed)
    sql, bound = to_sql(parse({"group": condition}), indexed)
    with store._catalog.reading() as connection:
        plan = connection.rows("EXPLAIN QUERY PLAN SELECT key FROM documents WHERE " + sql, bound)  # noqa: S608
    store.close()
    searched = [step[3] for step in plan if "fields" in step[3]]
    assert searched
    assert all(("field_values (path=? AND value" in step) == bool(indexed) for step in searched)


def test_an_index_that_is_asked_for_later_covers_what_is_stored(tmp_path):
    first = Store(tmp_path / "c", fingerprint={"model": "none", "dim": 4})
    first.append([Entry(Document("", str(n), {"n": n}), b"", [], []) for n in range(9)])
    first.close()
    second = Store(tmp_path / "c", fingerprint=None, indexed=["n"])
    second.append([Entry(Document("", "9", {"n": 9}), b"", [], [])])
    with second.read() as view:
        assert [document.id for document in view.matching(parse({"n": {"$gt": 6}}))] == ["7", "8", "9"]
    second.close()


@pytest.mark.parametrize("operator", ["$any", "$all", "$in", "$nin"])
def test_no_values_at_all_are_answered_with_and_without_an_index(operator):
    documents = [{}, {"a": []}, {"a": ["x"]}, {"a": "x"}, {"a": None}]
    for indexed in ((), ("a",)):
        kept, wanted = answers(documents, {"a": {operator: []}}, indexed)
        assert kept == wanted
