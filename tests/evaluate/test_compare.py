"""One table: encoders, search modes and baselines on the same windows."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')
pytest.importorskip("bm25s", reason='needs pip install "maxsim-retrievers[eval]"')

from retrievers import Collection, Document
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.evaluate import compare, evaluate, main
from retrievers.evaluate.comparison import rank_documents
from retrievers.testing import HashingEncoder

DOCUMENTS = [
    Document("red fox in the snow", "fox"),
    Document("blue whale in the sea", "whale"),
    Document("the green bird", "bird"),
]
QUERIES = {"1": "red snow", "2": "whale", "3": "nothing of this occurs"}
QRELS = {"1": {"fox": 1}, "2": {"whale": 1}, "3": {"bird": 1}}


def test_every_system_has_a_row_and_the_sizes_are_told(encoder):
    table = compare(DOCUMENTS, QUERIES, QRELS, encoder)
    assert [row.system for row in table] == ["late interaction", "BM25", "mean of token vectors"]
    assert (table.documents, table.queries, table.windows) == (3, 3, 3)
    assert table["BM25"]["success@1"] == pytest.approx(2 / 3)  # the third query has no word in common
    assert table["late interaction"]["success@1"] >= 2 / 3


def test_a_document_is_as_good_as_its_best_window():
    encoder = HashingEncoder(document_length=3)
    filler = "one two three four five six seven eight nine"
    documents = [Document(filler, "filler"), Document(f"{filler} red snow fox", "last window")]
    table = compare(documents, {"1": "red snow fox"}, {"1": {"last window": 1}}, encoder)
    assert table.windows == 7
    assert all(row.values["success@1"] == 1.0 for row in table)


def test_encoders_and_modes_are_told_apart():
    encoders = {"short": HashingEncoder(document_length=2), "long": HashingEncoder()}
    table = compare(DOCUMENTS, QUERIES, QRELS, encoders, modes=("exact", "pruned"), baselines=["BM25"])
    assert [row.system for row in table] == [
        "late interaction (short, exact)",
        "late interaction (short, pruned)",
        "late interaction (long, exact)",
        "late interaction (long, pruned)",
        "BM25",
    ]


def test_what_was_encoded_is_kept_in_the_cache(tmp_path):
    first, again = HashingEncoder(), HashingEncoder()
    expected = compare(DOCUMENTS, QUERIES, QRELS, first, cache=tmp_path)
    assert first.encoded_documents == 6  # the windows of late interaction, and of the mean vectors
    assert compare(DOCUMENTS, QUERIES, QRELS, again, cache=tmp_path) == expected
    assert again.encoded_documents == 0


def test_a_cache_of_other_documents_is_refused(tmp_path, encoder):
    compare(DOCUMENTS, QUERIES, QRELS, encoder, cache=tmp_path, baselines=())
    with pytest.raises(InvalidInputError, match="give each benchmark its own cache"):
        compare(DOCUMENTS[:2], {"2": "whale"}, {"2": {"whale": 1}}, encoder, cache=tmp_path, baselines=())


def test_only_judged_queries_are_asked(encoder):
    table = compare(DOCUMENTS, QUERIES, {"2": {"whale": 1}}, encoder)
    assert table.queries == 1
    assert table["BM25"]["success@1"] == 1.0


def test_more_queries_than_one_round_are_all_asked(encoder):
    queries = {str(number): "whale" for number in range(300)}
    qrels = {query: {"whale": 1} for query in queries}
    assert compare(DOCUMENTS, queries, qrels, encoder)["late interaction"]["success@1"] == 1.0


def test_a_collection_of_ones_own_is_measured_by_its_search(encoder):
    with Collection(None, encoder) as collection:
        collection.add(DOCUMENTS)
        row = evaluate(collection, QUERIES, {"2": {"whale": 1}}, name="mine")
    assert row.system == "mine"
    assert row.values["MRR@10"] == 1.0


def test_equal_scores_keep_the_order_of_the_documents():
    scores = [np.array([1, 2, 2, 0.5, -np.inf], np.float32)]
    owners = np.array([0, 0, 1, 3, 4])
    documents = [Document("", name) for name in "abcde"]
    assert rank_documents(scores, owners, documents) == [["a", "b", "d"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modes": ["fast"]}, "unknown mode 'fast': it is one of exact, pruned"),
        ({"baselines": ["tf-idf"]}, "unknown baseline 'tf-idf'"),
        ({"encoder": []}, "no encoder to compare"),
        ({"encoder": [HashingEncoder(), HashingEncoder(dim=8)]}, "two encoders have the same model"),
        ({"documents": [Document("no id")]}, "document 0 has no id"),
        ({"documents": "red"}, "documents is 'red'"),
        ({"documents": ["no id"]}, "document 0 has no id"),
        ({"encoder": "offline/minilm"}, "give LateInteractionEncoder"),
        ({"encoder": None}, "encoder is None"),
        ({"modes": "exact"}, "modes is 'exact': give a list"),
        ({"baselines": "BM25"}, "baselines is 'BM25': give a list"),
        ({"cache": 3}, "path is 3"),
        ({"queries": ["red"]}, "queries is \\['red'\\]: a dict"),
        ({"qrels": ["1"]}, "qrels is \\['1'\\]: a dict"),
        ({"qrels": {"1": 3}}, "the judgements of query '1' are 3"),
        ({"queries": {"1": "red"}}, "2 judged queries have no text, '2' for one"),
    ],
)
def test_what_cannot_be_measured_is_refused(encoder, change, message):
    given = {"documents": DOCUMENTS, "queries": QUERIES, "qrels": QRELS, "encoder": encoder} | change
    with pytest.raises((InvalidInputError, InvalidTypeError), match=message):
        compare(**given)


def test_a_directory_is_measured_with_the_offline_model(tmp_path, minilm):
    texts = {
        "fox": "The fox hunts mice in the winter snow.",
        "whale": "Whales are the largest mammals of the ocean.",
        "bread": "Knead flour, water, salt and yeast, then bake the dough.",
    }
    corpus = "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items())
    (tmp_path / "corpus.jsonl").write_text(corpus)
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "biggest animal in the sea"}\n')
    (tmp_path / "qrels.tsv").write_text("1\twhale\t1\n")
    table = main(tmp_path, show_progress=False)
    assert [row.system for row in table] == ["late interaction", "BM25", "single vector"]
    assert table["late interaction"]["success@1"] == 1.0
    assert table["single vector"]["success@1"] == 1.0
    assert "1 query; 3 documents." in table.markdown()
