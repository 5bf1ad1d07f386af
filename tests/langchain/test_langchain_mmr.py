"""Maximal marginal relevance through the vector store."""

from __future__ import annotations

import pytest

TEXTS = ["red storm wind", "red storm wind rain", "red calm", "blue"]


@pytest.fixture
def weather(empty_store):
    empty_store.add_texts(TEXTS, [{"n": n} for n in range(4)], ids=["storm", "copy", "calm", "blue"])
    return empty_store


def ids(documents) -> list[str]:
    return [document.id for document in documents]


async def test_near_copies_make_room(weather):
    assert ids(weather.similarity_search("red storm", k=2)) == ["storm", "copy"]
    assert ids(weather.max_marginal_relevance_search("red storm", k=2, lambda_mult=0.3)) == ["storm", "calm"]
    found = await weather.amax_marginal_relevance_search("red storm", k=2, lambda_mult=0.3)
    assert ids(found) == ["storm", "calm"]


def test_fetch_k_bounds_the_choice_and_never_undercuts_k(weather):
    query = "red storm"
    assert ids(weather.max_marginal_relevance_search(query, k=2, fetch_k=2, lambda_mult=0.0)) == [
        "storm",
        "copy",
    ]
    assert len(weather.max_marginal_relevance_search(query, k=3, fetch_k=1)) == 3
    assert len(weather.max_marginal_relevance_search(query, k=9, fetch_k=1000)) == 4


def test_a_filter_and_a_threshold_hold_before_the_choice(weather):
    found = weather.max_marginal_relevance_search("red storm", k=4, filter={"n": {"$gte": 1}})
    assert set(ids(found)) == {"copy", "calm", "blue"}
    assert ids(weather.max_marginal_relevance_search("red storm", k=4, score_threshold=0.9)) == [
        "storm",
        "copy",
    ]


def test_it_is_the_mmr_search_of_the_generic_interface(weather):
    found = weather.search("red storm", "mmr", k=2, fetch_k=3, lambda_mult=0.0)
    assert ids(found) == ["storm", "calm"]
