"""What is refused, by an error that names the value, before anything is changed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from retrievers import Collection, Document, Hit, Window
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
    "a threshold above 1": (
        lambda c: c.search("x", score_threshold=7),
        InvalidInputError,
        "score_threshold is 7",
    ),
    "a threshold below 0": (lambda c: c.search("x", score_threshold=-1), InvalidInputError, "from 0 to 1"),
    "a threshold of NaN": (lambda c: c.search("x", score_threshold=float("nan")), InvalidTypeError, "nan"),
    "a threshold that is true": (
        lambda c: c.rerank("x", ["y"], score_threshold=True),
        InvalidTypeError,
        "True",
    ),
    "exact that is a word": (lambda c: c.search("x", exact="no"), InvalidTypeError, "exact is 'no'"),
    "show_progress that is a number": (
        lambda c: c.add(["x"], show_progress=1),
        InvalidTypeError,
        "show_progress",
    ),
    "documents that are a dict": (lambda c: c.add({"a": "x"}), InvalidTypeError, "documents is {'a': 'x'}"),
    "rerank of a lone text": (lambda c: c.rerank("x", "abc"), InvalidTypeError, "['abc']"),
    "rerank of a document's number": (
        lambda c: c.rerank("x", [Document("y", 7)]),
        InvalidTypeError,
        "document 0",
    ),
    "a filter that is a class": (lambda c: c.search("x", filter=dict), FilterError, "the class dict"),
    "an iterator in a filter": (
        lambda c: c.get(filter={"a": {"$in": iter([1])}}),
        FilterError,
        "a list is needed",
    ),
    "delete by a filter that keeps all": (lambda c: c.delete(filter={}), InvalidInputError, "call clear()"),
    "explain of what is no hit": (lambda c: c.explain("x", 7), InvalidTypeError, "hit is 7"),
    "explain of a window that is not there": (
        lambda c: c.explain("x", Hit("first", 1.0, 1.0, "kept", {}, Window("kept", 0, 4, 9))),
        InvalidInputError,
        "no window number 9",
    ),
    "matrices of ids": (lambda c: c.matrices(["first"]), InvalidTypeError, "hit 0 is 'first'"),
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


class HalfAnEncoder:
    dim = 4
    fingerprint: ClassVar = {"model": "half", "dim": 4}
    split = "no method"

    def encode_queries(self, texts):
        return []


class OtherWidth(HashingEncoder):
    def __init__(self):
        super().__init__(dim=8)
        self.dim = 16


class Nameless(HashingEncoder):
    def __init__(self):
        super().__init__()
        self.fingerprint = {"dim": self.dim}


OPTIONS = {
    "a path with NUL": ({"path": "a\x00b"}, InvalidInputError, "NUL"),
    "a path too long": ({"path": "a" * 5000}, InvalidInputError, "of 5000 characters"),
    "a path of bytes": ({"path": b"a"}, InvalidTypeError, "b'a'"),
    "a path that is a number": ({"path": 3}, InvalidTypeError, "path is 3"),
    "a path with half a surrogate": ({"path": "a\ud800"}, InvalidInputError, "encoding"),
    "a timeout of words": ({"timeout": "3"}, InvalidTypeError, "timeout is '3'"),
    "a timeout below zero": ({"timeout": -0.5}, InvalidInputError, "timeout is -0.5"),
    "a timeout of NaN": ({"timeout": float("nan")}, InvalidTypeError, "timeout is nan"),
    "a timeout that is None": ({"timeout": None}, InvalidTypeError, "timeout is None"),
    "one key to index": ({"indexed": "year"}, InvalidTypeError, "['year']"),
    "a set of keys": ({"indexed": {"year"}}, InvalidTypeError, "indexed is {'year'}"),
    "a number to index": ({"indexed": ["year", 3]}, InvalidTypeError, "the key at place 1 of indexed is 3"),
    "too many keys": ({"indexed": map(str, range(1001))}, InvalidInputError, "1000 keys"),
    "a device": ({"device": 3}, InvalidTypeError, "device is 3"),
    "memory of a device": ({"device_memory": "1GB"}, InvalidTypeError, "device_memory is '1GB'"),
    "the name of a model": (
        {"encoder": "offline/minilm"},
        InvalidTypeError,
        "LateInteractionEncoder('offline/minilm')",
    ),
    "a class": ({"encoder": HashingEncoder}, InvalidTypeError, "HashingEncoder(…)"),
    "half an encoder": (
        {"encoder": HalfAnEncoder()},
        InvalidTypeError,
        "without document_length, encode_documents, document_tokens, query_tokens, split:",
    ),
    "a function": ({"encoder": len}, InvalidTypeError, "without dim, document_length"),
    "another width": ({"encoder": OtherWidth()}, InvalidInputError, "dim 16, but its fingerprint has 8"),
    "no name": ({"encoder": Nameless()}, InvalidInputError, "'model'"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_is_refused_before_a_directory_is_made(case, tmp_path, monkeypatch):
    options, error, named = OPTIONS[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        Collection(**{"path": "index", "encoder": HashingEncoder(), **options})
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_timeout_may_be_as_long_as_one_likes(tmp_path):
    for number, timeout in enumerate([0, float("inf"), 10**400]):
        with Collection(tmp_path / str(number), HashingEncoder(), timeout=timeout) as collection:
            assert collection.add(["x"], ids=["a"]) == ["a"]


def test_a_filter_of_nothing_keeps_all_where_nothing_is_deleted(collection):
    collection.add(["red apple", "green pear"], ids=["a", "b"])
    assert len(collection.search("red", filter={})) == 2
    assert len(collection.get(filter={})) == 2
    assert collection.clear() == 2
    assert len(collection) == 0


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
