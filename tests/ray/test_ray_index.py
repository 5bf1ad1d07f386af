"""What Ray's workers store is what one process would have stored, also where a worker is killed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.data
from pyarrow import parquet

from retrievers import Collection
from retrievers.errors import InvalidInputError, InvalidTypeError, StoreError
from retrievers.qdrant import QdrantCollection
from retrievers.ray import Columns, index
from retrievers.testing import HashingEncoder
from tests.qdrant.server import Server
from tests.ray.dying import POISON, DyingEncoder

PASSAGES = 5000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bulk_index.py"
TEXTS = ["Bread is made of flour.", "Paris is the capital of France.", "Whales are no fish."]
COLUMNS = Columns(text="body", id="number", context="title", metadata=["year"])
PARTS = {"workers": 2, "cpus": 0.5, "columns": COLUMNS}


def passages(count):
    """Rows of one to three windows, of which one in the middle kills a worker."""
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(500)]
    made = []
    for number in range(count):
        body = " ".join(draw.choice(words, int(draw.integers(3, 20))))
        if number == count // 2 + 7:
            body = f"{body} {POISON}"
        made.append(
            {"number": number, "body": body, "title": f"title {number % 7}", "year": 1900 + number % 100}
        )
    return made


def one_process(rows, encoder, bits=8):
    """The same rows, added by this process."""
    collection = Collection(None, encoder, bits=bits)
    collection.add(COLUMNS.documents(rows))
    return collection


def blocks(rows, count):
    return ray.data.from_items(rows, override_num_blocks=count)


def assert_same_rows(collection, other):
    """Two collections hold the same bytes in the same order."""
    with collection.store.read() as one, other.store.read() as two:
        for name in ("starts", "ends", "rows", "scales"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
        positions = np.arange(len(one.starts))
        assert np.array_equal(one.spans(positions), two.spans(positions))


def test_a_directory_is_filled_as_by_one_process_though_a_worker_is_killed(cluster, tmp_path):
    rows = passages(PASSAGES)
    encoder = DyingEncoder(str(tmp_path / "mark"))
    with Collection(tmp_path / "index", encoder) as collection:
        done = index(blocks(rows, 4), collection, batch_documents=500, **PARTS)
        expected = one_process(rows, HashingEncoder(document_length=8))
        assert (tmp_path / "mark").exists()
        assert done.documents == PASSAGES
        assert collection.get() == expected.get()
        assert_same_rows(collection, expected)
        assert collection.verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "mark"]


def test_a_server_is_filled_as_by_one_process_though_a_worker_is_killed(cluster, tmp_path):
    rows = passages(600)
    encoder = DyingEncoder(str(tmp_path / "mark"))
    with Server() as server, QdrantCollection(server.url, "papers", encoder) as collection:
        collection.add(["stored before"], ids=["before"])
        index(blocks(rows, 3), collection, batch_documents=50, **PARTS)
        assert (tmp_path / "mark").exists()
        plain = HashingEncoder(document_length=8)
        expected = one_process(rows, plain)
        assert collection.get() == [*collection.get(["before"]), *expected.get()]
        windows = sum(len(plain.split(f"{row['title']}{row['body']}")) for row in rows)
        assert collection._connection.client.count("papers").count == windows + 1
        for row in rows[::60]:
            found = collection.search(row["body"], k=3, exact=True)
            wanted = expected.search(row["body"], k=3)
            assert [hit.id for hit in found] == [hit.id for hit in wanted]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=2e-3)


def test_a_pipeline_that_was_stopped_by_a_bad_row_goes_on_when_the_row_is_mended(cluster, tmp_path):
    rows = passages(40)
    bad = [*rows[:30], {**rows[30], "body": None}, *rows[31:]]
    shards = tmp_path / "shards"
    with Collection(tmp_path / "index", HashingEncoder(document_length=8), bits=4) as collection:
        with pytest.raises(InvalidTypeError, match="'body'"):
            index(blocks(bad, 1), collection, batch_documents=10, shards=shards, **{**PARTS, "workers": 1})
        assert len(collection) == 0
        finished = {path.name for path in shards.iterdir()}
        assert len(finished) == 3
        index(blocks(rows, 1), collection, batch_documents=10, shards=shards, **{**PARTS, "workers": 1})
        assert finished < {path.name for path in shards.iterdir()}
        expected = one_process(rows, HashingEncoder(document_length=8), bits=4)
        assert collection.get() == expected.get()
        assert_same_rows(collection, expected)


def test_arguments_are_checked_before_anything_runs(cluster, tmp_path):
    rows = blocks([{"id": "a", "text": "x"}], 1)
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        for wrong, error, message in (
            ({"columns": Columns(text="body")}, InvalidInputError, "no column 'body'; it has 'id', 'text'"),
            ({"workers": 2}, InvalidInputError, "need 3 CPUs, and Ray has 2"),
            ({"gpus": 1}, InvalidInputError, "need 1 GPUs, and Ray has 0"),
            ({"workers": 0}, InvalidInputError, "workers"),
            ({"cpus": -1}, InvalidInputError, "cpus"),
            ({"columns": {"id": "id"}}, InvalidTypeError, "Columns"),
        ):
            with pytest.raises(error, match=message):
                index(rows, collection, **wrong)
        with pytest.raises(InvalidTypeError, match=r"ray\.data\.Dataset"):
            index([{"id": "a", "text": "x"}], collection)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_what_workers_cannot_reach_is_refused(cluster):
    rows = blocks([{"id": "a", "text": "x"}], 1)
    with QdrantCollection(":memory:", "papers", HashingEncoder()) as collection:
        with pytest.raises(StoreError, match="of this process alone"):
            index(rows, collection)
        with pytest.raises(InvalidInputError, match="leave it out"):
            index(rows, collection, shards="shards")
    with pytest.raises(InvalidInputError, match="in memory"):
        index(rows, Collection(None, HashingEncoder()))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_example_fills_a_collection_from_files(cluster, tmp_path, capsys, kind):
    lines = [{"doc_id": number, "body": text, "lang": "en"} for number, text in enumerate(TEXTS)]
    file = tmp_path / f"passages.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(lines), file)
    else:
        file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    main = runpy.run_path(str(EXAMPLE))["main"]
    main.__globals__["LateInteractionEncoder"] = lambda name: HashingEncoder()
    main(
        [
            str(file),
            "--into",
            str(tmp_path / "index"),
            "--id",
            "doc_id",
            "--text",
            "body",
            "--metadata",
            "lang",
        ]
    )
    assert "3 documents" in capsys.readouterr().out
    with Collection(tmp_path / "index", HashingEncoder()) as collection:
        [hit] = collection.search("What is the capital of France?", k=1)
        assert (hit.id, hit.metadata) == ("1", {"lang": "en"})
