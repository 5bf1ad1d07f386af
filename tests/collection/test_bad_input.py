"""What is refused, by an error that names the value, before anything is changed."""

from __future__ import annotations

import numpy as np
import pytest

from retrievers import Collection, Document
from retrievers.errors import (
    CorruptStoreError,
    FilterError,
    InvalidInputError,
    InvalidTypeError,
    ModelMismatchError,
    RetrieversError,
    ShapeError,
)
from retrievers.testing import HashingEncoder

REFUSED = {
    "an id twice": (lambda c: c.add(["x", "y"], ids=["same", "same"]), InvalidInputError, "'same'"),
    "too few ids": (lambda c: c.add(["x", "y"], ids=["one"]), InvalidInputError, "2 documents but 1 ids"),
    "too many metadatas": (
        lambda c: c.add(["x"], metadatas=[{}, {}]),
        InvalidInputError,
        "1 documents but 2",
    ),
    "an empty id": (lambda c: c.add(["x"], ids=[""]), InvalidInputError, "the id of document 0 is empty"),
    "an id that is a number": (lambda c: c.add(["x"], ids=[7]), InvalidTypeError, "7"),
    "a text that is a number": (lambda c: c.add(["x", 42]), InvalidTypeError, "42"),
    "a text that is None": (lambda c: c.add([Document(None)]), InvalidTypeError, "None"),
    "a lone text": (lambda c: c.add("x"), InvalidTypeError, "give a list"),
    "half a surrogate pair": (lambda c: c.add(["a\ud800"]), InvalidInputError, "surrogate"),
    "metadata that is a set": (lambda c: c.add(["x"], metadatas=[{"k": {1}}]), InvalidTypeError, "'k'"),
    "metadata that is not a number": (
        lambda c: c.add(["x"], metadatas=[{"k": float("nan")}]),
        InvalidInputError,
        "nan",
    ),
    "metadata deep inside": (
        lambda c: c.add(["x"], metadatas=[{"k": [{"l": object}]}]),
        InvalidTypeError,
        "'k.l'",
    ),
    "a metadata key": (lambda c: c.add(["x"], metadatas=[{1: 2}]), InvalidTypeError, "key 1"),
    "metadata that is a list": (lambda c: c.add(["x"], metadatas=[[1]]), InvalidTypeError, "[1]"),
    "k of zero": (lambda c: c.search("x", k=0), InvalidInputError, "k is 0"),
    "k below zero": (lambda c: c.search("x", k=-3), InvalidInputError, "k is -3"),
    "k with a fraction": (lambda c: c.search("x", k=1.5), InvalidTypeError, "1.5"),
    "k that is true": (lambda c: c.search("x", k=True), InvalidTypeError, "True"),
    "top_n of zero": (lambda c: c.rerank("x", ["y"], top_n=0), InvalidInputError, "top_n is 0"),
    "a threshold of words": (lambda c: c.search("x", score_threshold="0.5"), InvalidTypeError, "'0.5'"),
    "a query that is a list": (lambda c: c.search(["x"]), InvalidTypeError, "['x']"),
    "queries that are one": (lambda c: c.search_many("x"), InvalidTypeError, "'x'"),
    "an unknown operator": (lambda c: c.search("x", filter={"a": {"$near": 1}}), FilterError, "$near"),
    "delete of nothing": (lambda c: c.delete(), InvalidInputError, "ids or filter"),
    "delete of a lone id": (lambda c: c.delete("first"), InvalidTypeError, "give a list"),
    "rerank of nothing": (lambda c: c.rerank("x"), InvalidInputError, "documents or ids"),
    "rerank of an unknown id": (lambda c: c.rerank("x", ids=["nowhere"]), InvalidInputError, "nowhere"),
    "explain of an unknown id": (lambda c: c.explain("x", "nowhere"), InvalidInputError, "nowhere"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_changed(collection, case):
    call, error, named = REFUSED[case]
    collection.add(["kept"], ids=["first"])
    with pytest.raises(error) as caught:
        call(collection)
    assert named in str(caught.value)
    assert collection.get() == [Document("kept", "first")]
    assert len(collection.search("kept")) == 1


def test_a_late_mistake_changes_nothing_either(collection):
    with pytest.raises(InvalidTypeError, match="document 999"):
        collection.add([*(f"text {number}" for number in range(999)), None])
    assert len(collection) == 0


def test_a_path_that_is_a_file(tmp_path):
    for name, content in {"empty": b"", "full": b"not a collection"}.items():
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(RetrieversError, match=name):
            Collection(file, HashingEncoder())
        assert file.read_bytes() == content


def test_an_empty_path():
    with pytest.raises(InvalidInputError, match="path is empty"):
        Collection("", HashingEncoder())


def test_a_directory_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "catalog.sqlite").write_text("not a database")
    with pytest.raises(CorruptStoreError):
        Collection(tmp_path, HashingEncoder())
    assert (tmp_path / "catalog.sqlite").read_text() == "not a database"


def test_another_encoder_is_named_beside_the_one_that_wrote(tmp_path):
    with Collection(tmp_path / "index", HashingEncoder(dim=32)) as collection:
        collection.add(["text"])
    with pytest.raises(ModelMismatchError, match=r"testing/hashing.*32.*64"):
        Collection(tmp_path / "index", HashingEncoder(dim=64))


def test_an_encoder_that_gives_another_width_or_nonsense_changes_nothing():
    class Broken(HashingEncoder):
        def encode_documents(self, texts):
            for matrix in super().encode_documents(texts):
                yield matrix * np.nan

    collection = Collection(None, Broken())
    with pytest.raises(ShapeError, match="not finite"):
        collection.add(["text"])
    assert len(collection) == 0
