"""Which windows a search may see: chosen by filter, by id, and by both."""

import pytest

from retrievers.errors import CorruptStoreError
from retrievers.filters import Filter, parse
from retrievers.store import Store
from tests.store.rows import FINGERPRINT, entry


def steps(store, call) -> int:
    """Instructions that SQLite executes during a call: a cost that is the same on every run."""
    count = [0]

    def one() -> None:
        count[0] += 1

    with store.read() as view:
        view._connection.raw.set_progress_handler(one, 1)
        try:
            call(view)
        finally:
            view._connection.raw.set_progress_handler(None, 0)
    return count[0]


def filled(make, count):
    store = make()
    store.append([entry(f"d{n}", 1, 1, n=n, lang="en" if n % 2 else "de") for n in range(count)])
    return store


def test_ids_choose_windows_in_order_and_unknown_ones_choose_none(make):
    store = filled(make, 4)
    with store.read() as view:
        assert view.select(None, ["d3", "unknown", "d1", "d3"]).tolist() == [2, 3, 6, 7]
        assert view.select(None, []).tolist() == []
        assert view.select(None, iter(["d0"])).tolist() == [0, 1]


@pytest.mark.parametrize("count", [6, 40], ids=["a large part", "a small part"])
@pytest.mark.parametrize("remembered", [True, False])
def test_ids_and_a_filter_choose_what_both_keep(make, count, remembered):
    store = filled(make, count)
    german = parse({"lang": "de"})
    with store.read() as view:
        if remembered:
            view.select(german)
        assert view.select(german, ["d3", "d4", "d2"]).tolist() == [4, 5, 8, 9]
        assert view.select(german, []).tolist() == []
        assert view.select(lambda one: one.metadata["n"] > 3, ["d3", "d4"]).tolist() == [8, 9]


@pytest.mark.parametrize("filter", [None, {"lang": "de"}, {"n": {"$gte": 2}}], ids=str)
def test_choosing_by_id_costs_what_the_ids_cost(tmp_path, filter):
    work = []
    for count in (100, 2000):
        store = Store(tmp_path / f"{count}", fingerprint=FINGERPRINT)
        store.append([entry(f"d{n}", 1, n=n, lang="en" if n % 2 else "de") for n in range(count)])
        few = [f"d{n}" for n in range(10)]
        work.append(steps(store, lambda view, few=few: view.select(parse(filter), few)))
        store.close()
    assert work[0] == work[1]


def test_a_function_sees_only_the_documents_that_ids_name(make):
    store = filled(make, 20)
    seen = []
    with store.read() as view:
        view.select(lambda one: seen.append(one.id) is None, ["d7", "d2"])
    assert seen == ["d2", "d7"]


def test_damaged_metadata_are_found_when_a_filter_looks_at_them(make):
    store = filled(make, 20)
    with store._catalog.writing() as connection:
        connection.run("UPDATE metadata SET json = '{}' WHERE key = 3")
    with store.read() as view, pytest.raises(CorruptStoreError, match="'d2'"):
        view.select(parse({"lang": "de"}), ["d2"])


class Other(Filter):
    """A filter of somebody else's, whose repr says nothing."""

    def __init__(self, low):
        self.low = low

    def matches(self, metadata):
        return metadata["n"] >= self.low

    size = 1 << 20  # too large for SQL
    levels = 1
    weight = (1, 1)

    def __repr__(self):
        return "Other()"


def test_filters_that_look_alike_are_remembered_apart(make):
    store = make()
    store.append([entry("a", 1, n=1), entry("b", 1, n=True), entry("c", 1, n=2)])
    with store.read() as view:
        assert view.select(parse({"n": 1})).tolist() == [0]
        assert view.select(parse({"n": True})).tolist() == [1]
        assert view.select(parse({"n": {"$in": [1, 2]}})).tolist() == [0, 2]
        assert view.select(parse({"n": {"$eq": [1, 2]}})).tolist() == []
        assert view.select(parse({"n": 1.0})) is view.select(parse({"n": 1}))
        assert view.select(Other(2)).tolist() == [2]
        assert view.select(Other(1)).tolist() == [0, 1, 2]
