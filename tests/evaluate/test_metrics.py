"""Metrics have the values that their definitions give by hand."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')

from retrievers.errors import InvalidInputError
from retrievers.evaluate import METRICS, Row, Table, measure


def test_a_document_at_rank_two_counts_half_for_mrr_and_a_logarithm_for_ndcg():
    values = measure({"q": {"right": 1}}, {"q": ["wrong", "right", "other"]})
    assert values == pytest.approx(
        {"nDCG@10": 1 / math.log2(3), "MRR@10": 0.5, "recall@100": 1.0, "success@1": 0.0, "success@5": 1.0}
    )


def test_a_document_after_rank_ten_counts_for_recall_alone():
    found = [f"wrong{rank}" for rank in range(10)] + ["right"]
    values = measure({"q": {"right": 1}}, {"q": found})
    assert values == pytest.approx(dict.fromkeys(METRICS, 0.0) | {"recall@100": 1.0})


def test_recall_is_the_share_of_the_relevant_documents():
    values = measure({"q": {"a": 1, "b": 1, "c": 1, "d": 0}}, {"q": ["a", "d", "b"]})
    assert values["recall@100"] == pytest.approx(2 / 3)


def test_higher_gains_must_come_first_for_a_full_ndcg():
    gains = {"q": {"good": 2, "fair": 1}}
    assert measure(gains, {"q": ["good", "fair"]})["nDCG@10"] == pytest.approx(1.0)
    swapped = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert measure(gains, {"q": ["fair", "good"]})["nDCG@10"] == pytest.approx(swapped)


@pytest.mark.parametrize("nothing", [{"a": ["x"]}, {"a": ["x"], "b": []}], ids=["absent", "empty"])
def test_a_query_that_found_nothing_counts_as_zero(nothing):
    values = measure({"a": {"x": 1}, "b": {"y": 1}}, nothing)
    assert values == pytest.approx(dict.fromkeys(METRICS, 0.5))


def test_a_query_without_a_relevant_document_is_left_out():
    values = measure({"a": {"x": 1}, "b": {"x": 0}}, {"a": ["x"], "b": ["x"], "unjudged": ["x"]})
    assert values == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_the_order_of_the_run_decides_whatever_the_ids_are():
    found = ["m", "a", "z", "b"]
    for rank, document in enumerate(found, start=1):
        assert measure({"q": {document: 1}}, {"q": found})["MRR@10"] == pytest.approx(1 / rank)


def test_judgements_without_a_relevant_document_are_refused():
    with pytest.raises(InvalidInputError, match="no query has a relevant document"):
        measure({"q": {"x": 0}}, {"q": ["x"]})


def test_a_ranking_that_names_a_document_twice_is_refused():
    with pytest.raises(InvalidInputError, match="'q' names a document twice"):
        measure({"q": {"x": 1}}, {"q": ["x", "y", "x"]})


def test_a_table_shows_every_system_and_its_sizes():
    row = Row("late interaction", dict(zip(METRICS, (0.1234, 0.5, 1.0, 0.0, 0.75), strict=True)))
    table = Table((row,), documents=1200, queries=40, windows=3000)
    assert table.markdown() == (
        "| System | nDCG@10 | MRR@10 | recall@100 | success@1 | success@5 |\n"
        "|---|--:|--:|--:|--:|--:|\n"
        "| late interaction | 0.123 | 0.500 | 1.000 | 0.000 | 0.750 |\n"
        "\n"
        "40 queries; 1,200 documents in 3,000 windows."
    )
    assert table["late interaction"]["success@5"] == 0.75


def test_a_system_that_is_not_in_the_table_is_named():
    with pytest.raises(InvalidInputError, match=r"no system 'BM26' in this table: it has \['BM25'\]"):
        Table((Row("BM25", dict.fromkeys(METRICS, 0.0)),))["BM26"]
