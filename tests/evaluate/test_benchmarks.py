"""Directories in BEIR's form are read, and what is wrong with one is named with file and line."""

from __future__ import annotations

import gzip
import json

import pytest

from retrievers.errors import InvalidInputError
from retrievers.evaluate import load

CORPUS = [
    {"_id": "a", "title": "Paris", "text": "The capital of France."},
    {"_id": "b", "text": "Ein Text ä 中文"},
]
QUERIES = [{"_id": "1", "text": "French capital"}, {"_id": "2", "text": "nobody judged this"}]
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n2\tb\t0\n"


def write(path, records):
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    data = gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
    path.write_bytes(data)


@pytest.fixture
def directory(tmp_path):
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path


def test_documents_judged_queries_and_gains_are_read(directory):
    benchmark = load(directory)
    assert [(document.id, document.text) for document in benchmark.documents] == [
        ("a", "Paris\nThe capital of France."),
        ("b", "Ein Text ä 中文"),
    ]
    assert benchmark.queries == {"1": "French capital"}
    assert benchmark.qrels == {"1": {"a": 1, "b": 0}}


def test_gzipped_files_and_qrels_in_their_folder_are_read(tmp_path):
    write(tmp_path / "corpus.jsonl.gz", CORPUS)
    write(tmp_path / "queries.jsonl.gz", QUERIES)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("1\tb\t2\n")  # no header
    assert load(tmp_path).qrels == {"1": {"b": 2}}


def test_languages_of_corpus_and_queries_are_chosen_apart(tmp_path):
    for language in ("de", "zh"):
        write(tmp_path / f"corpus.{language}.jsonl", [{"_id": "a", "text": f"corpus {language}"}])
        write(tmp_path / f"queries.{language}.jsonl", [{"_id": "1", "text": f"queries {language}"}])
    (tmp_path / "qrels.tsv").write_text(QRELS)
    crossed = load(tmp_path, language="zh", query_language="de")
    assert crossed.documents[0].text == "corpus zh"
    assert crossed.queries == {"1": "queries de"}
    assert load(tmp_path, language="de").queries == {"1": "queries de"}
    with pytest.raises(InvalidInputError, match=r"but corpus\.de\.jsonl, corpus\.zh\.jsonl: choose one"):
        load(tmp_path)


def test_files_may_be_named_one_by_one(directory, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "mine.jsonl", [{"_id": "9", "text": "my question"}])
    (elsewhere / "mine.tsv").write_text("9\tb\t1\n")
    benchmark = load(
        directory / "corpus.jsonl", queries=elsewhere / "mine.jsonl", qrels=elsewhere / "mine.tsv"
    )
    assert benchmark.queries == {"9": "my question"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{broken\n', r"corpus\.jsonl, line 2 is not JSON"),
        ("corpus.jsonl", '["a"]\n', r"line 1 is '\[\"a\"\]': a JSON object is needed"),
        ("corpus.jsonl", '{"_id": 7, "text": "x"}\n', r"line 1: '_id' is 7, a string is needed"),
        ("corpus.jsonl", '{"_id": "a"}\n', r"line 1: 'text' is None, a string is needed"),
        ("corpus.jsonl", '{"_id": "z", "text": "x"}\n', "corpus and judgements do not belong together"),
        (
            "queries.jsonl",
            '{"_id": "7", "text": "x"}\n',
            r"1 judged queries are not in .*queries\.jsonl, '1'",
        ),
        ("qrels.tsv", "1\ta\t1\n1 b 1\n", r"qrels\.tsv, line 2 is '1 b 1': query id, document id"),
    ],
)
def test_a_broken_file_is_named_with_its_line(directory, name, content, message):
    (directory / name).write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        load(directory)


def test_bytes_that_are_no_text_are_refused(directory):
    (directory / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "\xff"}\n')
    with pytest.raises(InvalidInputError, match=r"corpus\.jsonl cannot be read as UTF-8"):
        load(directory)


def test_a_truncated_gzip_file_is_refused(directory):
    (directory / "corpus.jsonl").unlink()
    (directory / "corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "a", "text": "x"}\n' * 100)[:40])
    with pytest.raises(InvalidInputError, match=r"corpus\.jsonl\.gz cannot be read"):
        load(directory)


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(directory, missing):
    (directory / missing).unlink()
    with pytest.raises(InvalidInputError, match=missing.replace(".", r"\.")):
        load(directory)
