"""Any object for any argument gives an answer or an error of ours with a message, and an error changes nothing."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import io
import itertools
from collections import OrderedDict, UserDict, UserList, deque
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers import Collection, Document, Hit, Window
from retrievers.errors import RetrieversError
from retrievers.filters import Combine, Compare
from retrievers.testing import HashingEncoder


class Colour(enum.Enum):
    RED = "red"


class Year(enum.IntEnum):
    NOW = 2026


class Word(enum.StrEnum):
    RED = "red"


class Text(str):
    """A text that says of itself what is not so."""

    def __str__(self):
        return "another"

    def __eq__(self, other):
        return False

    __hash__ = str.__hash__


class Silent:
    def __repr__(self):
        raise SystemError("no repr")


class Lazy:
    """A sequence of the oldest kind."""

    def __getitem__(self, place):
        if place > 1:
            raise IndexError
        return "red apple"


def deep(make, levels=100_000):
    made = 0
    for _ in range(levels):
        made = make(made)
    return made


TEXT = "kept text of six words more"
HIT = Hit("kept", 1.0, 1.0, TEXT, {}, Window("kept text of six", 0, 16))
# Made anew for each call: an iterator can be read once.
STRANGE = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "-1": lambda: -1,
    "10**400": lambda: 10**400,
    "-10**5000": lambda: -(10**5000),
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "-inf": lambda: float("-inf"),
    "complex": lambda: 1j,
    "decimal": lambda: decimal.Decimal("0.5"),
    "decimal nan": lambda: decimal.Decimal("sNaN"),
    "fraction": lambda: fractions.Fraction(1, 2),
    "empty": lambda: "",
    "blank": lambda: " \n\t",
    "str": lambda: "red apple",
    "digits": lambda: "3",
    "NUL": lambda: "a\x00b",
    "surrogate": lambda: "\ud800",
    "str subclass": lambda: Text("red"),
    "StrEnum": lambda: Word.RED,
    "IntEnum": lambda: Year.NOW,
    "Enum": lambda: Colour.RED,
    "Enum class": lambda: Colour,
    "bytes": lambda: b"red",
    "bytearray": lambda: bytearray(b"red"),
    "memoryview": lambda: memoryview(b"red"),
    "list": lambda: ["red apple"],
    "empty list": lambda: [],
    "list of None": lambda: [None],
    "list of numbers": lambda: [1, 2.5],
    "list of surrogates": lambda: ["\udcff"],
    "list of lists": lambda: [["red"], ("apple",)],
    "list of bytes": lambda: [b"red"],
    "deep list": lambda: deep(lambda inner: [inner]),
    "deep dict": lambda: deep(lambda inner: {"$not": inner}),
    "list of deep dicts": lambda: [deep(lambda inner: {"k": inner})],
    "tuple": lambda: ("red",),
    "deque": lambda: deque(["red"]),
    "UserList": lambda: UserList(["red"]),
    "set": lambda: {"red"},
    "frozenset": lambda: frozenset([1]),
    "range": lambda: range(3),
    "empty dict": lambda: {},
    "dict": lambda: {"red": "apple"},
    "dict of operators": lambda: {"n": {"$near": 1}},
    "OrderedDict": lambda: OrderedDict(red=1),
    "UserDict": lambda: UserDict({"red": 1}),
    "proxy": lambda: MappingProxyType({"red": 1}),
    "keys": lambda: {"red": 1}.keys(),
    "items": lambda: {"red": 1}.items(),
    "iterator": lambda: iter(["red"]),
    "generator": lambda: (word for word in ("red", None)),
    "map": lambda: map(str, [1, 2]),
    "zip": lambda: zip(["a"], ["b"], strict=True),
    "file": lambda: io.StringIO("red\napple"),
    "binary file": lambda: io.BytesIO(b"red\napple"),
    "np.int64": lambda: np.int64(3),
    "np.uint64": lambda: np.uint64(2**64 - 1),
    "np.float16": lambda: np.float16(0.5),
    "np.longdouble": lambda: np.longdouble(0.5),
    "np.nan": lambda: np.float32("nan"),
    "np.bool": lambda: np.True_,
    "np.str": lambda: np.str_("red"),
    "np.bytes": lambda: np.bytes_(b"red"),
    "np.datetime64": lambda: np.datetime64("2026-01-31"),
    "np.timedelta64": lambda: np.timedelta64(3, "ns"),
    "np.complex64": lambda: np.complex64(1j),
    "np.void": lambda: np.void(b"red"),
    "array": lambda: np.array(["red", "apple"]),
    "array of numbers": lambda: np.arange(3),
    "0-d array": lambda: np.array(3),
    "1-element array": lambda: np.array([3]),
    "2-d array": lambda: np.ones((2, 2)),
    "empty array": lambda: np.array([]),
    "structured": lambda: np.zeros(2, [("a", int)]),
    "masked": lambda: np.ma.array([1, 2], mask=[0, 1]),
    "Series": lambda: pd.Series(["red", None]),
    "Series of numbers": lambda: pd.Series([1, 2]),
    "DataFrame": lambda: pd.DataFrame({"red": [1]}),
    "Index": lambda: pd.Index(["red"]),
    "pd.NA": lambda: pd.NA,
    "pd.NaT": lambda: pd.NaT,
    "Timestamp": lambda: pd.Timestamp("2026-01-31"),
    "datetime": lambda: datetime.datetime(2026, 1, 31),
    "timedelta": lambda: datetime.timedelta(1),
    "path": lambda: PurePosixPath("red"),
    "function": lambda: lambda document: False,
    "type": lambda: int,
    "module": lambda: itertools,
    "object": object,
    "silent": Silent,
    "lazy": Lazy,
    "namespace": lambda: SimpleNamespace(text="red", id="a", metadata={}),
    "ellipsis": lambda: ...,
    "exception": lambda: ValueError("red"),
    "Document": lambda: Document("red", "d"),
    "list of Documents": lambda: [Document("red", "d", {"n": 1}, "title")],
    "broken Document": lambda: [Document(None)],
    "Document of a number": lambda: [Document("x", 7)],
    "Document without metadata": lambda: [Document("x", None, None)],
    "Document of a context": lambda: [Document("x", None, {}, 5)],
    "Document of strange metadata": lambda: [Document("x", None, {"when": datetime.date(2026, 1, 31)})],
    "Document twice": lambda: [Document("x", "d"), Document("y", "d")],
    "Hit": lambda: HIT,
    "Hits": lambda: [HIT],
    "Hit of nothing": lambda: Hit(None, 0.0, 0.0, "", {}, None),
    "Hit of a number": lambda: Hit(3, "x", None, None, None, "x"),
    "Hit of another text": lambda: Hit("kept", 1.0, 1.0, "another", {}, None),
    "Hit of a window that is not": lambda: Hit("kept", 1.0, 1.0, TEXT, {}, Window("k", 0, 1, 99)),
    "Hit of a window before the first": lambda: Hit("kept", 1.0, 1.0, TEXT, {}, Window("k", 0, 1, -1)),
    "list of strange Hits": lambda: [Hit(None, 0, 0, "", {}, Window("k", 0, 1, 99)), HIT],
    "Filter": lambda: Compare("n", "$eq", 1),
    "Combine": lambda: Combine("$not", (Compare("n", "$eq", 1),)),
    "encoder": HashingEncoder,
}
strange = st.sampled_from(sorted(STRANGE)).map(lambda name: (name, STRANGE[name]))

CALLS = {
    "add": (
        lambda c, v: c.add(**{"documents": ["red"], "show_progress": False, **v}),
        ["documents", "ids", "metadatas", "show_progress"],
    ),
    "delete ids": (lambda c, v: c.delete(v["ids"]), ["ids"]),
    "delete filter": (lambda c, v: c.delete(filter=v["filter"]), ["filter"]),
    "get": (lambda c, v: c.get(**v), ["ids", "filter"]),
    "search": (
        lambda c, v: c.search(**{"query": "red", **v}),
        ["query", "k", "filter", "ids", "score_threshold", "exact", "candidates"],
    ),
    "search_many": (
        lambda c, v: c.search_many(**{"queries": ["red", "x"], **v}),
        ["queries", "k", "filter", "ids", "score_threshold", "exact", "candidates"],
    ),
    "rerank": (
        lambda c, v: c.rerank(**{"query": "red", **({} if "ids" in v else {"documents": ["red"]}), **v}),
        ["query", "documents", "ids", "top_n", "score_threshold"],
    ),
    "explain": (lambda c, v: c.explain(**{"query": "red", "hit": "kept", **v}), ["query", "hit"]),
    "matrices": (lambda c, v: c.matrices(v["found"]), ["found"]),
    "in": (lambda c, v: v["key"] in c, ["key"]),
    "optimize": (lambda c, v: c.optimize(**v), ["show_progress"]),
}
PAIRS = [(call, name) for call, (_, names) in CALLS.items() for name in names]
CHANGES = ("add", "delete ids", "delete filter", "optimize")


def collection_of_one():
    collection = Collection(None, HashingEncoder(dim=8, document_length=4))
    collection.add([TEXT], ids=["kept"], metadatas=[{"n": 1, "tags": ["a"]}])
    return collection


def refusal(call):
    """What a call is refused with: an error of ours, or None where it is answered."""
    try:
        call()
    except RetrieversError as error:
        return error
    return None


def attempt(collection, call, values):
    """Call with strange values. True if it was answered, False if it was refused in words, changing nothing."""
    before = (collection.get(), collection.info())
    error = refusal(lambda: CALLS[call][0](collection, values))
    if error is not None:
        assert len(str(error)) > 20
    if error is not None or call not in CHANGES:
        assert (collection.get(), collection.info()) == before
    assert collection.verify() == []
    return error is None


@pytest.mark.parametrize(("call", "name"), PAIRS, ids=[f"{call}-{name}" for call, name in PAIRS])
def test_any_object_for_one_argument(call, name):
    answered, collection = set(), collection_of_one()
    for kind, make in STRANGE.items():
        try:
            if attempt(collection, call, {name: make()}):
                answered.add(kind)
                if call in CHANGES:
                    collection = collection_of_one()
        except Exception as error:
            raise AssertionError(f"{call}({name}={kind}) ended in {error!r}") from error
    assert len(answered) < len(STRANGE) or call == "in"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(CALLS)).flatmap(
        lambda call: st.tuples(
            st.just(call), st.fixed_dictionaries({}, optional=dict.fromkeys(CALLS[call][1], strange))
        )
    )
)
def test_any_objects_for_several_arguments(drawn):
    call, values = drawn
    if {
        "add": "documents",
        "delete ids": "ids",
        "delete filter": "filter",
        "matrices": "found",
        "in": "key",
    }.get(call, "") not in {"", *values}:
        return
    attempt(collection_of_one(), call, {name: make() for name, (_, make) in values.items()})


OPTIONS = ("path", "encoder", "indexed", "timeout", "device", "device_memory")


@pytest.mark.parametrize("name", OPTIONS)
def test_any_object_for_an_option_of_a_collection(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("retrievers.collection.collection.LateInteractionEncoder", HashingEncoder)
    for kind, make in STRANGE.items():
        options = {"path": None, "encoder": HashingEncoder(), name: make()}
        try:
            error = refusal(lambda options=options: Collection(**options).close())
        except Exception as unnamed:
            raise AssertionError(f"{name}={kind} ended in {unnamed!r}") from unnamed
        assert error is None or len(str(error)) > 20
