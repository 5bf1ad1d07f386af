"""A filter on Qdrant keeps what the Python predicate keeps, whatever keys and values hold."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from retrievers.filters import parse
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.conditions import as_filter, bounds_of, every, matches
from retrievers.qdrant.fields import between, coarse, ordered
from retrievers.qdrant.points import DOCUMENT, NUMBER
from retrievers.testing import HashingEncoder
from tests.filters.test_filter_sql import filters, metadata, numbers, texts
from tests.qdrant.server import Server

EXAMPLES = int(os.environ.get("RETRIEVERS_FILTERS", "25"))
dates = st.dates().map(str) | st.datetimes().map(lambda one: one.isoformat())
dated = st.dictionaries(st.sampled_from(["a", "b.a"]), dates | texts | numbers, max_size=2)
comparisons = st.builds(
    lambda key, operator, value: {key: {operator: value}},
    st.sampled_from(["a", "b.a"]),
    st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
    dates | texts | numbers,
)


@pytest.fixture(scope="module", params=["local", "engine"])
def client(request):
    if request.param == "local":
        yield QdrantClient(":memory:")
    else:
        with Server() as server:
            yield QdrantClient(url=server.url, timeout=60)


@pytest.fixture(scope="module", params=[None, "a"], ids=["no tenant", "tenant"])
def collection(request, client):
    encoder = HashingEncoder(dim=4)
    with QdrantCollection(client, f"filters-{request.param}", encoder, tenant=request.param) as collection:
        yield collection


def check(collection, documents, asked):
    """Every filter of some keeps by get and by search what the predicate keeps, and its bounds lie around that."""
    collection.clear()
    names = [str(place) for place in range(len(documents))]
    collection.add(["same words"] * len(documents), ids=names, metadatas=documents)
    for one in asked:
        parsed = parse(one)
        wanted = [name for name, data in zip(names, documents, strict=True) if parsed.matches(data)]
        assert [document.id for document in collection.get(filter=one)] == wanted, one
        assert [hit.id for hit in collection.search("same", k=20, filter=one)] == wanted, one
        bounds = bounds_of(parsed, collection._calls.layout.tenant)
        upper, lower = kept(collection, bounds.upper), kept(collection, bounds.lower)
        assert lower <= set(wanted) <= upper, one
        if bounds.exact:
            assert lower == upper == set(wanted), one


def kept(collection, condition):
    """Ids of the documents that the server keeps for a condition."""
    condition = every([matches(NUMBER, 0), condition])
    if condition is False:
        return set()
    records, _ = collection._connection.client.scroll(
        collection.name, scroll_filter=as_filter(condition), limit=100, with_payload=[DOCUMENT]
    )
    return {record.payload[DOCUMENT] for record in records}


@settings(max_examples=EXAMPLES, deadline=None)
@given(documents=st.lists(metadata, min_size=1, max_size=5), asked=st.lists(filters, min_size=1, max_size=4))
@example(
    documents=[{"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}, {"a": [1]}], asked=[{"a": 1}, {"a": {"$ne": 1}}]
)
@example(documents=[{"a.b": 1, "a": {"b": 2}}, {"a": {"b": 1}}], asked=[{"a.b": {"$lt": 2}}, {"a.b": 1}])
@example(documents=[{"a": 2**53}, {"a": 2**53 + 1}], asked=[{"a": {"$gt": 2**53}}, {"a": {"$lte": 2**53}}])
@example(
    documents=[{"a": 10**400}, {"a": -(10**400)}], asked=[{"a": {"$gt": 1e308}}, {"a": {"$lt": 10**399}}]
)
@example(documents=[{"a": "xy"}, {"a": "y"}, {}], asked=[{"$not": {"a": {"$text_match": "x"}}}])
@example(documents=[{"a": []}, {"a": [None]}, {"a": None}, {}], asked=[{"a": None}, {"a": {"$all": []}}])
def test_what_the_predicate_keeps_is_kept(collection, documents, asked):
    check(collection, documents, asked)


@settings(max_examples=EXAMPLES, deadline=None)
@given(documents=st.lists(dated, min_size=1, max_size=5), asked=st.lists(comparisons, min_size=1, max_size=4))
@example(documents=[{"a": 9.93536771359335e62}], asked=[{"a": {"$lte": 9.93536771359335e62}}])
@example(documents=[{"a": 9.93536771359335e62}], asked=[{"a": {"$gt": 9.93536771359335e62}}])
@example(documents=[{"a": 3.5000000000000004}, {"a": 3.5}], asked=[{"a": {"$gt": 3.5}}, {"a": {"$lte": 3.5}}])
@example(
    documents=[{"a": "x" * 24}, {"a": "x" * 25}], asked=[{"a": {"$gt": "x" * 24}}, {"a": {"$lte": "x" * 24}}]
)
def test_dates_and_numbers_are_compared_by_their_order(collection, documents, asked):
    check(collection, documents, asked)


@settings(deadline=None)
@given(texts | dates, texts | dates)
def test_the_first_bytes_of_texts_are_ordered_as_the_texts(one, other):
    assert (ordered(one) < ordered(other)) == (one.encode()[:24] < other.encode()[:24])


@settings(deadline=None)
@given(numbers, numbers)
def test_a_larger_number_has_no_smaller_coarse_number(one, other):
    assert one <= other or coarse(one) >= coarse(other)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_that_a_server_reads_nearly_right_is_on_the_same_side(one, other):
    below, above = between(coarse(one))
    for read in (coarse(other), *(math.nextafter(coarse(other), way * math.inf) for way in (1, -1))):
        assert (read < below) == (coarse(other) < coarse(one)) or abs(one) > 1e308
        assert (read > above) == (coarse(other) > coarse(one)) or abs(one) > 1e308


def test_bounds_are_exact_where_the_server_can_say_it():
    for one in (
        {"a": 1},
        {"a": {"$gte": "2024-01-01"}},
        {"a": {"$lt": 3.5}},
        {"$not": {"a": {"$all": ["x", 1]}}},
    ):
        assert bounds_of(parse(one)).exact
    for one in ({"a": {"$text_match": "x"}}, {"a": {"$gt": 2**60}}, {"a": {"$gt": "x" * 30}}):
        assert not bounds_of(parse(one)).exact
