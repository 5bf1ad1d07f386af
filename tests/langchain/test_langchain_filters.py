"""Filters in every spelling that a LangChain program may use."""

from __future__ import annotations

import pytest
from langchain_core.structured_query import (
    Comparator,
    Comparison,
    Operation,
    Operator,
    StructuredQuery,
)

from retrievers import filters
from retrievers.errors import FilterError
from retrievers.langchain import LateInteractionRetriever, LateInteractionTranslator

ALL = ["mercury", "venus", "earth", "mars", "jupiter", "saturn"]

DICTIONARIES = [
    ({"kind": "gas"}, ["jupiter", "saturn"]),
    ({"kind": "rock", "moons": 0}, ["mercury", "venus"]),
    ({"moons": {"$eq": 2}}, ["mars"]),
    ({"kind": {"$ne": "rock"}}, ["jupiter", "saturn"]),
    ({"moons": {"$gt": 2}}, ["jupiter", "saturn"]),
    ({"moons": {"$gte": 2}}, ["mars", "jupiter", "saturn"]),
    ({"moons": {"$lt": 1}}, ["mercury", "venus"]),
    ({"moons": {"$lte": 1}}, ["mercury", "venus", "earth"]),
    ({"moons": {"$gt": 0, "$lt": 100}}, ["earth", "mars", "jupiter"]),
    ({"moons": {"$in": [1, 146]}}, ["earth", "saturn"]),
    ({"moons": {"$nin": [0, 95, 146]}}, ["earth", "mars"]),
    ({"$and": [{"kind": "rock"}, {"moons": {"$gte": 1}}]}, ["earth", "mars"]),
    ({"$or": [{"moons": 2}, {"moons": 95}]}, ["mars", "jupiter"]),
    ({"$not": {"kind": "rock"}}, ["jupiter", "saturn"]),
    (
        {"$or": [{"$and": [{"kind": "gas"}, {"moons": {"$lt": 100}}]}, {"$not": {"moons": {"$gt": 0}}}]},
        ["mercury", "venus", "jupiter"],
    ),
    ({}, ALL),
    (None, ALL),
]


def found(store, filter) -> list[str]:
    documents = store.similarity_search("planet", k=10, filter=filter)
    return sorted((document.id for document in documents), key=ALL.index)


@pytest.mark.parametrize(("filter", "expected"), DICTIONARIES)
def test_a_dictionary(store, filter, expected):
    assert found(store, filter) == expected


@pytest.mark.parametrize(("filter", "expected"), DICTIONARIES)
def test_a_filter_object_of_the_library(store, filter, expected):
    assert found(store, filters.parse(filter)) == expected


def test_a_callable_sees_a_langchain_document_with_id_text_and_metadata(store, planets):
    seen = []
    found(store, lambda document: seen.append(document))
    assert sorted(seen, key=lambda document: ALL.index(document.id)) == planets


def test_a_callable_is_applied_before_k(store):
    documents = store.similarity_search(
        "the red planet with two small moons", k=1, filter=lambda document: "Saturn" in document.page_content
    )
    assert [document.id for document in documents] == ["saturn"]


def test_a_callable_cannot_change_what_is_stored(store):
    def meddle(document) -> bool:
        document.metadata["kind"] = "cheese"
        return True

    assert len(found(store, meddle)) == 6
    assert found(store, {"kind": "cheese"}) == []


@pytest.mark.parametrize("search_type", ["similarity", "mmr", "similarity_score_threshold"])
async def test_every_search_type_takes_a_filter(store, search_type):
    options = {"k": 6, "filter": {"kind": "gas"}}
    if search_type == "similarity_score_threshold":
        options["score_threshold"] = 0.0
    retriever = store.as_retriever(search_type=search_type, search_kwargs=options)
    assert {document.id for document in retriever.invoke("planet")} == {"jupiter", "saturn"}
    assert {document.id for document in await retriever.ainvoke("planet")} == {"jupiter", "saturn"}


def test_an_unknown_operator_is_refused(store):
    retriever = LateInteractionRetriever(collection=store.collection, filter={"moons": {"$between": [1, 2]}})
    with pytest.raises(FilterError, match="between"):
        retriever.invoke("planet")


def compare(name: Comparator, attribute: str, value: object) -> Comparison:
    return Comparison(comparator=name, attribute=attribute, value=value)


DIRECTIVES = [
    (compare(Comparator.EQ, "kind", "gas"), ["jupiter", "saturn"]),
    (compare(Comparator.NE, "kind", "gas"), ["mercury", "venus", "earth", "mars"]),
    (compare(Comparator.GT, "moons", 2), ["jupiter", "saturn"]),
    (compare(Comparator.GTE, "moons", 2), ["mars", "jupiter", "saturn"]),
    (compare(Comparator.LT, "moons", 1), ["mercury", "venus"]),
    (compare(Comparator.LTE, "moons", 1), ["mercury", "venus", "earth"]),
    (compare(Comparator.IN, "moons", [1, 2]), ["earth", "mars"]),
    (compare(Comparator.NIN, "moons", [0, 1, 2]), ["jupiter", "saturn"]),
    (
        Operation(
            operator=Operator.AND,
            arguments=[compare(Comparator.EQ, "kind", "rock"), compare(Comparator.GT, "moons", 0)],
        ),
        ["earth", "mars"],
    ),
    (
        Operation(
            operator=Operator.OR,
            arguments=[compare(Comparator.EQ, "moons", 2), compare(Comparator.EQ, "moons", 95)],
        ),
        ["mars", "jupiter"],
    ),
    (
        Operation(
            operator=Operator.NOT,
            arguments=[compare(Comparator.EQ, "kind", "gas"), compare(Comparator.EQ, "moons", 0)],
        ),
        ["earth", "mars"],
    ),
]


@pytest.mark.parametrize(("directive", "expected"), DIRECTIVES)
def test_a_structured_query(store, directive, expected):
    query, options = LateInteractionTranslator().visit_structured_query(
        StructuredQuery(query="planet", filter=directive)
    )
    assert query == "planet"
    assert found(store, options["filter"]) == expected
    assert found(store, directive) == expected


def test_contain_looks_into_lists_and_texts(empty_store):
    empty_store.add_texts(
        ["a planet"], [{"tags": ["far", "cold"], "name": "cold rock", "sizes": [1]}], ids=["mars"]
    )
    assert found(empty_store, compare(Comparator.CONTAIN, "tags", "cold")) == ["mars"]
    assert found(empty_store, compare(Comparator.CONTAIN, "tags", "col")) == []
    assert found(empty_store, compare(Comparator.CONTAIN, "name", "rock")) == ["mars"]
    assert found(empty_store, compare(Comparator.CONTAIN, "sizes", 1)) == ["mars"]
    assert found(empty_store, compare(Comparator.CONTAIN, "sizes", 2)) == []


def test_dates_of_the_query_parser_compare_as_the_text_that_metadata_holds(empty_store):
    empty_store.add_texts(
        ["planet one", "planet two"], [{"seen": "2025-01-31"}, {"seen": "2026-01-31"}], ids=["mars", "earth"]
    )
    date = {"date": "2025-06-01", "type": "date"}
    assert found(empty_store, compare(Comparator.GT, "seen", date)) == ["earth"]
    assert found(empty_store, compare(Comparator.IN, "seen", [{"date": "2025-01-31", "type": "date"}])) == [
        "mars"
    ]


def test_a_structured_query_without_a_filter_has_none():
    translated = LateInteractionTranslator().visit_structured_query(
        StructuredQuery(query="planet", filter=None)
    )
    assert translated == ("planet", {})


def test_like_is_refused(store):
    with pytest.raises(ValueError, match=r"(?i)like"):
        found(store, compare(Comparator.LIKE, "kind", "g%"))
