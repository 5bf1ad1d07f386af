"""What is too large, too deep or too long is refused by a limit that has a name and a figure."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from retrievers import Collection, Document, arguments
from retrievers.collection.metadata import json_object
from retrievers.errors import FilterError, InvalidInputError, InvalidTypeError
from retrievers.testing import HashingEncoder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"


def nested(levels, make=lambda inner: [inner], value=0):
    for _ in range(levels):
        value = make(value)
    return value


def of_size(size):
    """JSON of so many bytes whose every leaf has a long path: objects nested in one another, each with leaves."""
    made = {}
    while len(json.dumps(made)) < size:
        made = {"k" * 20: made, **{f"leaf{n}": n for n in range(20)}}
        if len(json.dumps(made)) > 80 * 300:
            made = {"k" * 20: made, "more": made}
    return made


BEYOND = {
    "a huge number": ({"n": 10**5000}, "under 'n' is <int of 16610 bits>: 2048 bits is the limit"),
    "a huge negative number": ({"n": [1, -(10**4400)]}, "under 'n' is <int of 14617 bits>"),
    "a list of 100 000 levels": ({"n": nested(100_000)}, "under 'n' is nested more than 100 levels"),
    "objects of 100 000 levels": ({"n": nested(100_000, lambda v: {"k": v})}, "more than 100 levels deep"),
    "NaN": ({"n": [float("nan")]}, "under 'n' is nan"),
    "infinity": ({"n": {"m": float("-inf")}}, "under 'n.m' is -inf"),
    "values": ({"n": [[0] * 60_000, [0] * 60_000]}, "more than 100000 values"),
    "keys": ({"n": {f"k{n}": n for n in range(10_001)}}, "more than 10000 keys"),
    "keys inside a list": ({"n": [{"k": n} for n in range(10_001)]}, "more than 10000 keys"),
    "a long key": ({"k" * 5000: 1}, "a key of the metadata of document 0 has 5000 bytes or more: 4096"),
    "a long path": ({"k" * 3000: {"l" * 3000: 1}}, "a dotted path of 6001 bytes: 4096 is the limit"),
    "paths together": (
        {"k" * 4000: {f"l{n}": n for n in range(300)}},
        "dotted paths of more than 1048576 bytes",
    ),
    "half a surrogate in a key": ({"k\udc00": 1}, "surrogate"),
    "half a surrogate in a value": ({"k": ["\ud800"]}, "the metadata of document 0 under 'k' has half"),
    "one object in many places": ({"n": nested(90, lambda v: [v, v])}, "more than 100000 values"),
}


@pytest.mark.parametrize("case", BEYOND)
def test_metadata_beyond_a_limit_are_refused_by_it(case):
    metadata, named = BEYOND[case]
    collection = Collection(None, HashingEncoder())
    with pytest.raises(InvalidInputError) as caught:
        collection.add(["x"], metadatas=[metadata])
    assert named in str(caught.value)
    assert "the metadata of document 0" in str(caught.value)
    assert len(collection) == 0


def test_metadata_within_all_limits_come_back_as_they_are(collection):
    metadata = {
        "n": 2**2048 - 1,
        "m": -(2**2048 - 1),
        "deep": nested(99),
        "objects": nested(99, lambda v: {"k": v}),
        "x": [1e308, 5e-324, -0.0, True, None, "\x00", {"a": {}}],
        "k" * 4096: 1,
        "": {"": {"": 1}},
        "many": {f"k{n}": n for n in range(9_000)},
        "long": [0.5] * 80_000,
    }
    collection.add(["x"], ids=["a"], metadatas=[metadata])
    assert collection.get(["a"])[0].metadata == metadata
    assert len(collection.search("x", filter={"n": 2**2048 - 1})) == 1
    assert len(collection.search("x", filter={"objects": {"$is_empty": False}})) == 1
    collection.add(["x"], ids=["a"], metadatas=[{}])
    assert collection.get(["a"])[0].metadata == {}
    assert collection.verify() == []


def test_nested_metadata_grow_the_catalogue_by_no_more_than_their_paths(tmp_path):
    with pytest.raises(InvalidInputError, match="is the limit"):
        json_object(of_size(141_000), "the metadata of document 0")
    levels = {"leaf": 0}
    for level in range(80):
        levels = {"level" * 5: levels, **{f"leaf{n}": level for n in range(9)}}
    with Collection(tmp_path / "c", HashingEncoder()) as collection:
        collection.add(["x"])
        before = sum(file.stat().st_size for file in (tmp_path / "c").iterdir())
        collection.add(["x"], metadatas=[levels])
        grown = sum(file.stat().st_size for file in (tmp_path / "c").iterdir()) - before
    assert grown < 4 * arguments.PATHS_BYTES, grown


@pytest.mark.parametrize("size", ["METADATA_BYTES", "TEXT_BYTES", "ID_BYTES"])
def test_bytes_beyond_a_limit_are_refused(monkeypatch, size):
    from retrievers.collection import incoming, metadata, validate

    for module in (incoming, metadata, validate):
        if hasattr(module, size):
            monkeypatch.setattr(module, size, 100)
    collection = Collection(None, HashingEncoder())
    whole = {
        "METADATA_BYTES": Document("x", metadata={"k": "é" * 60}),
        "TEXT_BYTES": Document("é" * 60),
        "ID_BYTES": Document("x", "é" * 60),
    }[size]
    with pytest.raises(InvalidInputError, match=r"120 bytes or more: 100 is|more than 100 bytes of JSON"):
        collection.add([whole])
    assert len(collection) == 0


@pytest.mark.parametrize("k", [sys.maxsize, 2**63, 10**400], ids=["maxsize", "2**63", "10**400"])
def test_more_than_there_are_is_all_of_them(collection, k):
    collection.add(["red apple", "green pear", "blue plum"], ids=["a", "b", "c"])
    assert len(collection.search("red", k=k)) == 3
    assert len(collection.search("red", candidates=k)) == 3
    assert len(collection.rerank("red", ["x", "y"], top_n=k)) == 2
    collection.optimize(show_progress=False)
    assert len(collection.search("red", k=k, candidates=k)) == 3
    with Collection(None, HashingEncoder(), device="cpu") as other:
        other.add(["red apple"])
        assert len(other.search("red", k=k)) == 1


def test_numbers_too_small_or_too_large_for_words_are_refused_all_the_same(collection):
    with pytest.raises(InvalidInputError, match="k is <int of 16610 bits>: it must be at least 1"):
        collection.search("x", k=-(10**5000))
    with pytest.raises(InvalidInputError, match="score_threshold is <int of 16610 bits>"):
        collection.search("x", score_threshold=10**5000)
    with pytest.raises(FilterError, match="2048 bits"):
        collection.search("x", filter={"n": {"$lt": 10**5000}})


def test_a_number_and_a_list_without_end_are_shown_by_their_size():
    assert arguments.shown(10**5000) == "<int of 16610 bits>"
    assert arguments.shown(nested(100_000)) == "[[[[[...]]]]]"
    assert len(arguments.shown("x" * 10**6)) == arguments.SHOWN + 1

    class Rude:
        def __repr__(self):
            raise SystemError

    assert "Rude" in arguments.shown(Rude())


@pytest.mark.parametrize(
    "key",
    ["a\x00b", "\x00", "'; DROP TABLE documents;--", "\u202eabc", "a" * 65_536],
    ids=["inside", "NUL", "SQL", "bidi", "long"],
)
def test_ids_of_any_text_are_kept(collection, key):
    collection.add(["red apple"], ids=[key], metadatas=[{key[:4000]: key}])
    assert key in collection
    assert [document.id for document in collection.get([key])] == [key]
    assert [hit.id for hit in collection.search("red", filter={key[:4000]: key}, ids=[key])] == [key]
    assert [hit.id for hit in collection.rerank("red", ids=[key])] == [key]
    assert collection.explain("red", key).score > 0
    assert collection.delete([key]) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda c, t: c.add([t]),
        lambda c, t: c.add([Document("x", context=t)]),
        lambda c, t: c.add(["x"], ids=[t]),
        lambda c, t: c.get([t]),
        lambda c, t: c.delete([t]),
        lambda c, t: c.search(t),
        lambda c, t: c.search("x", ids=[t]),
        lambda c, t: c.search("x", filter={"k": t}),
        lambda c, t: c.search("x", filter={t: 1}),
        lambda c, t: c.search_many(["x", t]),
        lambda c, t: c.rerank(t, ["x"]),
        lambda c, t: c.rerank("x", [t]),
        lambda c, t: c.rerank("x", [Document("x", t)]),
        lambda c, t: c.explain(t, "kept"),
        lambda c, t: c.explain("x", t),
        lambda c, t: Collection(None, HashingEncoder(), indexed=[t]),
        lambda c, t: Collection(t, HashingEncoder()),
    ],
)
def test_half_a_surrogate_pair_is_named_wherever_it_comes(call):
    collection = Collection(None, HashingEncoder())
    collection.add(["x"], ids=["kept"])
    with pytest.raises(InvalidInputError, match=r"surrogate|encoding cannot hold"):
        call(collection, "a\ud800b")
    assert "a\ud800b" not in collection
    assert len(collection) == 1


def test_the_page_on_limits_has_the_figures_of_the_code():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d ]+)", PAGE.read_text(encoding="utf-8"), flags=re.M))
    figures = {name: int(figure.replace(" ", "")) for name, figure in rows.items()}
    named = [
        name for name in vars(arguments) if re.fullmatch(r"[A-Z_]+_(BYTES|LEVELS|KEYS|VALUES|BITS)", name)
    ]
    assert figures == {name: getattr(arguments, name) for name in named}


def test_a_type_that_json_lacks_is_named_with_its_place():
    with pytest.raises(InvalidTypeError, match=r"under 'a.b' is \(1, 2\) of type tuple"):
        json_object({"a": {"b": (1, 2)}}, "the metadata")
    with pytest.raises(InvalidTypeError, match=r"under 'a' has the key 1 of type int"):
        json_object({"a": {1: 2}}, "the metadata")
