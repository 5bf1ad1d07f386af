"""Columns make documents, and shards become one collection, without Ray running."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from retrievers import Collection
from retrievers.errors import CorruptStoreError, InvalidInputError, InvalidTypeError, ModelMismatchError
from retrievers.kernels.rows import dequantize, quantize
from retrievers.ray import Columns, merge
from retrievers.ray.targets import PARTIAL, Shards, shards_of, sweep
from retrievers.ray.worker import PLACE, Worker
from retrievers.testing import HashingEncoder


def shard(directory, texts, encoder=None, bits=8):
    """A shard with texts whose ids are the texts themselves, or pairs of id and text."""
    pairs = [(one, one) if isinstance(one, str) else one for one in texts]
    documents = Columns().documents([{"id": key, "text": text} for key, text in pairs])
    store = Shards(str(directory), bits).opened(encoder or HashingEncoder())
    return directory / store.store(documents, list(range(len(documents))))


def test_columns_make_a_document():
    [made] = Columns(text="body", id="n", context="title", metadata=["year", "tag"]).documents(
        [{"body": "text", "n": 7, "title": "T. ", "year": 1990, "tag": None, "more": 1}]
    )
    assert (made.id, made.text, made.context, made.metadata) == ("7", "text", "T. ", {"year": 1990})


def test_without_a_column_of_ids_equal_texts_have_one_id():
    columns = Columns(id=None, context="title")
    rows = [("a", "bc"), ("ab", "c"), ("a", "bc")]
    ids = [columns.documents([{"title": title, "text": text}])[0].id for title, text in rows]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"id": "a", "text": None}, InvalidTypeError),
        ({"id": None, "text": "x"}, InvalidTypeError),
        ({"id": 1.5, "text": "x"}, InvalidTypeError),
        ({"id": "", "text": "x"}, InvalidInputError),
        ({"id": True, "text": "x"}, InvalidTypeError),
    ],
)
def test_a_row_that_is_no_document_is_refused(row, error):
    with pytest.raises(error):
        Columns().documents([row])


@pytest.mark.parametrize("given", [{"text": ""}, {"metadata": "year"}, {"metadata": ["a", "a"]}, {"id": 3}])
def test_names_of_columns_are_checked(given):
    with pytest.raises((InvalidInputError, InvalidTypeError)):
        Columns(**given)


def test_rows_that_were_rounded_are_rounded_to_the_same_bytes_and_scales_again():
    draw = np.random.default_rng(0)
    matrix = draw.standard_normal((50_000, 8)).astype(np.float32)
    matrix *= draw.choice([1e-9, 1e-3, 1, 1e6], (len(matrix), 1)).astype(np.float32)
    matrix[0] = 0
    rows, scales = quantize(matrix)
    again, others = quantize(dequantize(rows, scales, 8))
    assert np.array_equal(rows, again)
    assert np.array_equal(scales, others)


def test_a_worker_with_another_model_stores_nothing(tmp_path):
    worker = Worker(HashingEncoder(seed=1), HashingEncoder().fingerprint, Columns(), Shards(str(tmp_path)))
    answer = worker(pa.table({"id": ["a"], "text": ["x"], PLACE: [0]}))
    assert answer["error"] == ["ModelMismatchError"]
    assert "seed 0 became 1" in answer["message"][0]
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_there_is_not_encoded_again(tmp_path):
    encoder = HashingEncoder()
    first = shard(tmp_path, ["a", "b"], encoder)
    assert shard(tmp_path, ["a", "b"], encoder) == first
    assert encoder.encoded_documents == 2
    assert shard(tmp_path, ["a", "c"], encoder) != first
    assert shard(tmp_path, ["a", "b"], HashingEncoder(seed=1)) != first
    assert len(shards_of(tmp_path)) == 3


def test_what_dead_workers_left_is_no_shard_and_is_swept(tmp_path):
    whole = shard(tmp_path, ["a"])
    with Collection(tmp_path / f"{PARTIAL}1", HashingEncoder()) as left:
        left.add(["b"])
    assert shards_of(tmp_path) == [whole]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [whole]


def test_merging_twice_changes_nothing_and_encodes_nothing(tmp_path):
    shards = [shard(tmp_path / "shards", texts) for texts in (["a", "b"], ["c", "a"])]
    encoder = HashingEncoder()
    with Collection(tmp_path / "index", encoder) as into:
        assert merge(shards, into) == merge(shards, into) == 3
        assert [document.id for document in into.get()] == ["a", "b", "c"]
        assert into.search("c")[0].id == "c"
    assert encoder.encoded_documents == 0


def test_shards_of_4_bits_are_merged_as_they_are_and_into_no_other_bits(tmp_path):
    one, other = shard(tmp_path / "shards", ["a"], bits=4), shard(tmp_path / "shards", ["a"])
    assert one != other
    with (
        Collection(tmp_path / "index", HashingEncoder(), bits=4) as into,
        Collection(one, HashingEncoder()) as part,
    ):
        assert merge([one], into) == 1
        assert (part.bits, part.search("a")) == (4, into.search("a"))
        with pytest.raises(InvalidInputError, match="8 bits a number, and the collection 4"):
            merge([one, other], into)
    assert len(shards_of(tmp_path / "shards")) == 2


def test_one_id_with_two_texts_is_refused_before_anything_is_merged(tmp_path):
    shards = [shard(tmp_path / "shards", texts) for texts in (["a"], [("a", "other")])]
    with Collection(tmp_path / "index", HashingEncoder()) as into:
        with pytest.raises(InvalidInputError, match="'a' has one text"):
            merge(shards, into)
        assert len(into) == 0


def test_a_shard_of_another_model_or_a_damaged_one_is_refused(tmp_path):
    good, other = shard(tmp_path, ["a"]), shard(tmp_path, ["b"], HashingEncoder(seed=1))
    with Collection(None, HashingEncoder()) as into:
        with pytest.raises(ModelMismatchError):
            merge([good, other], into)
        [rows] = [path for path in good.iterdir() if path.stat().st_size == 64]
        rows.write_bytes(bytes(64))
        with pytest.raises(CorruptStoreError, match="Remove it"):
            merge([good], into)
        assert len(into) == 0
