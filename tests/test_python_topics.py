"""Quality on real text: questions in a user's own words about the Python reference, beside BM25.

The questions and the topics that answer them were written before anything was measured.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrievers.cli.demo import documents

QUESTIONS = Path(__file__).parents[1] / "notebooks" / "data" / "python_questions.jsonl"
# Late interaction measured 0.588, 0.926 and 0.709; two questions of the 68 may go wrong in rounding, not more.
FLOOR = {"success@1": 0.55, "success@5": 0.89, "MRR@10": 0.68}


@pytest.fixture(scope="module")
def judged():
    lines = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    queries = {f"q{number}": line["question"] for number, line in enumerate(lines)}
    qrels = {f"q{number}": dict.fromkeys(line["topics"], 1) for number, line in enumerate(lines)}
    return queries, qrels


def test_at_least_forty_questions_name_topics_that_exist(judged):
    queries, qrels = judged
    assert len(queries) >= 40
    assert len(set(queries.values())) == len(queries)
    topics = {document.id for document in documents()}
    missing = {query: sorted(set(relevant) - topics) for query, relevant in qrels.items()}
    assert not any(missing.values()), missing


def test_late_interaction_holds_its_floor_beside_bm25(judged, minilm, show):
    pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')
    from retrievers.evaluate import compare

    # The single vector would encode everything again: docs/benchmarks.md has it.
    table = compare(documents(), *judged, minilm, baselines=["BM25"])
    show(table.markdown())
    assert [row.system for row in table.rows] == ["late interaction", "BM25"]
    late = table["late interaction"]
    for metric, floor in FLOOR.items():
        assert late[metric] >= floor, f"{metric} fell from {floor} to {late[metric]:.3f}"
