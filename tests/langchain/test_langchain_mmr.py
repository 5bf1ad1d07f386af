"""Maximal marginal relevance through the vector store."""

from __future__ import annotations

import pytest

TEXTS = ["red storm wind rain hail", "red storm wind rain snow", "calm sea", "blue"]
QUERY = "red storm wind hail calm sea"  # 4, 3, 2 and 0 of its words; the first two texts share 4 of 5


@pytest.fixture
def weather(empty_store):
    empty_store.add_texts(TEXTS, [{"n": n} for n in range(4)], ids=["storm", "copy", "calm", "blue"])
    return empty_store


def ids(documents) -> list[str]:
    return [document.id for document in documents]


async def test_near_copies_make_room(weather):
    assert ids(weather.similarity_search(QUERY, k=2)) == ["storm", "copy"]
    assert ids(weather.max_marginal_relevance_search(QUERY, k=2)) == ["storm", "calm"]
    assert ids(weather.max_marginal_relevance_search(QUERY, k=2, lambda_mult=1.0)) == ["storm", "copy"]
    assert ids(await weather.amax_marginal_relevance_search(QUERY, k=2)) == ["storm", "calm"]


def test_fetch_k_bounds_the_choice_and_never_undercuts_k(weather):
    assert ids(weather.max_marginal_relevance_search(QUERY, k=2, fetch_k=2)) == ["storm", "copy"]
    assert ids(weather.max_marginal_relevance_search(QUERY, k=3, fetch_k=1)) == ["storm", "calm", "copy"]
    assert len(weather.max_marginal_relevance_search(QUERY, k=9, fetch_k=1000)) == 4


def test_a_filter_and_a_threshold_hold_before_the_choice(weather):
    found = weather.max_marginal_relevance_search(QUERY, k=4, filter={"n": {"$gte": 1}})
    assert set(ids(found)) == {"copy", "calm", "blue"}
    bounded = weather.max_marginal_relevance_search(QUERY, k=4, score_threshold=0.5)
    assert ids(bounded) == ["storm", "copy"]


def test_it_is_the_mmr_search_of_the_generic_interface(weather):
    assert ids(weather.search(QUERY, "mmr", k=2, fetch_k=3)) == ["storm", "calm"]
    assert ids(weather.search(QUERY, "similarity", k=2)) == ["storm", "copy"]
