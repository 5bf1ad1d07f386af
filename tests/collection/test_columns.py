"""Every sequence argument is a column: taken in its order, once, by place and never by label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrievers import Collection, Document
from retrievers.errors import InvalidInputError, InvalidTypeError
from retrievers.testing import HashingEncoder

TEXTS = ["red apple", "green pear", "blue plum"]
IDS = ["a", "b", "c"]


def pairs(collection):
    return [(document.id, document.text) for document in collection.get()]


class Arrow:
    """As much of pyarrow's column as is asked of it: its own iteration yields scalars that are no str."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter([object() for _ in self.values])

    def to_pylist(self):
        return list(self.values)


COLUMNS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda values: (value for value in values),
    "dict.keys": lambda values: dict.fromkeys(values).keys(),
    "dict.values": lambda values: dict(enumerate(values)).values(),
    "numpy str": np.array,
    "numpy object": lambda values: np.array(values, dtype=object),
    "pandas str": pd.Series,
    "pandas object": lambda values: pd.Series(values, dtype=object),
    "pandas sorted": lambda values: pd.Series(values[::-1], index=range(len(values))[::-1]).sort_index(),
    "pandas filtered": lambda values: pd.Series(["x", *values, "y"])[1:-1],
    "pandas index": pd.Index,
    "pyarrow": Arrow,
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_any_kind_is_taken_by_place(collection, kind):
    column = COLUMNS[kind]
    assert collection.add(column(TEXTS), ids=column(IDS), metadatas=iter([{"n": n} for n in range(3)])) == IDS
    assert pairs(collection) == list(zip(IDS, TEXTS, strict=True))
    assert [document.metadata for document in collection.get(column(IDS))] == [{"n": n} for n in range(3)]
    assert [hits[0].id for hits in collection.search_many(column(TEXTS), k=1)] == IDS
    assert {hit.id for hit in collection.search("apple pear plum", ids=column(["a", "c"]))} == {"a", "c"}
    assert [hit.position for hit in collection.rerank("green pear", column(TEXTS), top_n=1)] == [1]
    assert [hit.id for hit in collection.rerank("blue plum", ids=column(IDS), top_n=1)] == ["c"]
    assert collection.delete(column(["a", "b"])) == 2
    assert pairs(collection) == [("c", "blue plum")]


def test_a_frame_that_was_sorted_or_filtered_pairs_by_row(collection):
    frame = pd.DataFrame({"id": ["z", "y", "x", "w"], "text": ["no", "blue plum", "green pear", "red apple"]})
    rows = frame[frame["text"] != "no"].sort_values("id")
    collection.add(rows["text"], ids=rows["id"], metadatas=[{"row": row} for row in rows.index])
    assert pairs(collection) == [("w", "red apple"), ("x", "green pear"), ("y", "blue plum")]
    assert [document.metadata["row"] for document in collection.get()] == [3, 2, 1]


def test_metadata_of_a_frame_are_the_numbers_of_python(collection):
    frame = pd.DataFrame({"year": [1999, 2004], "price": np.float32([0.5, 2]), "sold": [True, False]})
    rows = [dict(row) for _, row in frame.astype(object).iterrows()]
    rows.append({"year": np.int64(7), "price": np.float64(0.1), "sold": np.bool_(True), "s": np.str_("t")})
    collection.add(TEXTS, ids=IDS, metadatas=rows)
    stored = [dict(document.metadata) for document in collection.get()]
    assert stored[2] == {"year": 7, "price": 0.1, "sold": True, "s": "t"}
    assert [type(value) for value in stored[2].values()] == [int, float, bool, str]
    assert [hit.id for hit in collection.search("plum", filter={"year": np.int32(7)})] == ["c"]
    assert [document.id for document in collection.get(filter={"sold": np.True_})] == ["a", "c"]


def test_numbers_of_numpy_are_numbers(collection):
    collection.add(TEXTS, ids=IDS)
    found = collection.search(
        "red apple", k=np.int64(1), score_threshold=np.float32(0.5), candidates=np.uint8(4)
    )
    assert [hit.id for hit in found] == ["a"]
    assert len(collection.rerank("red", TEXTS, top_n=np.int8(2), score_threshold=np.float64(0))) == 2
    assert len(collection.search("red apple", exact=np.True_)) == 3
    Collection(None, HashingEncoder(), timeout=np.float32(1)).close()


SETS = {
    "set": set(TEXTS),
    "frozenset": frozenset(TEXTS),
    "dict": dict.fromkeys(TEXTS),
    "str": "red",
    "bytes": b"red",
    "bytearray": bytearray(b"red"),
    "frame": pd.DataFrame({"text": TEXTS}),
    "matrix": np.array([TEXTS, TEXTS]),
    "scalar": np.array("red"),
    "number": 7,
    "class": list,
    "document": Document("red"),
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("documents", lambda c, v: c.add(v)),
        ("ids", lambda c, v: c.add(TEXTS, ids=v)),
        ("metadatas", lambda c, v: c.add(TEXTS, metadatas=v)),
        ("ids", lambda c, v: c.get(v)),
        ("ids", lambda c, v: c.delete(v)),
        ("ids", lambda c, v: c.search("red", ids=v)),
        ("queries", lambda c, v: c.search_many(v)),
        ("documents", lambda c, v: c.rerank("red", v)),
        ("ids", lambda c, v: c.rerank("red", ids=v)),
        ("hits", lambda c, v: c.matrices(v)),
    ],
    ids=[
        "add",
        "add-ids",
        "add-metadatas",
        "get",
        "delete",
        "search",
        "search_many",
        "rerank",
        "rerank-ids",
        "matrices",
    ],
)
def test_what_has_no_order_is_refused_by_name(kind, name, call):
    collection = Collection(None, HashingEncoder())
    collection.add(["kept"], ids=["red"])
    with pytest.raises(InvalidTypeError, match=f"^{name} is "):
        call(collection, SETS[kind])
    assert pairs(collection) == [("red", "kept")]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=repr)
@pytest.mark.parametrize("dtype", [object, "str"])
def test_a_missing_value_of_a_column_is_refused_by_its_row(collection, missing, dtype):
    if missing is pd.NaT and dtype == "str":
        pytest.skip("pandas makes the text 'NaT' of it")
    column = pd.Series(["x", "y", missing], dtype=dtype)
    with pytest.raises(InvalidTypeError, match="document 2 is"):
        collection.add(column, ids=IDS)
    with pytest.raises(InvalidTypeError, match="the id of document 2 is"):
        collection.add(TEXTS, ids=column)
    with pytest.raises(InvalidTypeError, match="the id at place 2"):
        collection.get(column)
    assert len(collection) == 0


def test_none_in_a_list_of_ids_has_one_made(collection):
    made = collection.add(TEXTS, ids=["a", None, "c"])
    assert made[::2] == ["a", "c"]
    assert len(made[1]) == 32


# Iterators


def test_an_iterator_is_stored_batch_by_batch(collection, monkeypatch):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 2)
    seen = []

    def stream():
        for n in range(5):
            seen.append(len(collection))
            yield Document(f"text {n}", f"d{n}")

    assert collection.add(stream()) == [f"d{n}" for n in range(5)]
    assert seen == [0, 0, 2, 2, 4]


def test_what_has_a_length_is_checked_whole_before_the_first_batch(collection, monkeypatch):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 2)
    with pytest.raises(InvalidInputError, match="the metadata of document 4 under 'n' is nan") as caught:
        collection.add(["t"] * 5, metadatas=[{}, {}, {}, {}, {"n": float("nan")}])
    assert len(collection) == 0
    assert caught.value.added == 0


@pytest.mark.parametrize(
    ("bad", "error", "named"),
    [
        (7, InvalidTypeError, "document 5 is 7"),
        (Document("x", ""), InvalidInputError, "the id of document 5 is empty"),
        (Document("x", "d1"), InvalidInputError, "'d1' stands twice in one call, at places 1 and 5"),
        (
            Document("x", metadata={"n": 10**5000}),
            InvalidInputError,
            "document 5 under 'n' is <int of 16610 bits>",
        ),
    ],
    ids=["type", "value", "twice", "limit"],
)
def test_the_error_of_an_iterator_says_how_many_documents_are_stored(
    collection, monkeypatch, bad, error, named
):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 2)
    stream = iter([*(Document(f"text {n}", f"d{n}") for n in range(5)), bad])
    with pytest.raises(error, match="The 4 documents of earlier batches are stored") as caught:
        collection.add(stream)
    assert named in str(caught.value)
    assert caught.value.added == 4
    assert [document.id for document in collection.get()] == ["d0", "d1", "d2", "d3"]


def test_an_iterator_of_ids_may_have_no_end_and_is_not_read_to_it(collection):
    from itertools import count

    with pytest.raises(InvalidInputError, match="3 documents but more ids"):
        collection.add(TEXTS, ids=(f"d{n}" for n in count()))
    assert len(collection) == 0


@pytest.mark.parametrize("documents", [3, 4, 5])
@pytest.mark.parametrize("ids", [2, 3, 4, 5, 6])
def test_an_iterator_must_be_as_long_as_its_ids(monkeypatch, documents, ids):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 2)
    collection = Collection(None, HashingEncoder())
    texts, names = iter([f"text {n}" for n in range(documents)]), [f"d{n}" for n in range(ids)]
    if documents == ids:
        assert collection.add(texts, ids=names) == names
        return
    with pytest.raises(InvalidInputError, match="give one for each document") as caught:
        collection.add(texts, ids=names)
    assert caught.value.added == len(collection)


def test_what_the_callers_own_iterator_raises_comes_through(collection, monkeypatch):
    monkeypatch.setattr("retrievers.collection.changing.BATCH_DOCUMENTS", 2)

    def stream():
        yield from ("one", "two", "three")
        raise ConnectionResetError("the caller's")

    with pytest.raises(ConnectionResetError, match="the caller's"):
        collection.add(stream())
    assert len(collection) == 2
