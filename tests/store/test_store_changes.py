"""Append, replace, delete and compact, on disk and in memory."""

import numpy as np
import pytest

from retrievers.errors import InvalidInputError, ShapeError, StoreClosedError, StoreLockedError
from retrievers.filters import parse
from retrievers.kernels.rows import quantize
from retrievers.store import Entry
from retrievers.types import Document
from tests.store.rows import entry, matrix, unchanged


def ids(store):
    with store.read() as view:
        return [document.id for document in view.matching(None)]


def test_rows_come_back_as_they_were_quantised(make):
    store = make()
    store.append([entry("a", 3, 2)])
    with store.read() as view:
        rows, scales = quantize(matrix("a1some text", 2))
        assert view.starts.tolist() == [0, 3]
        assert view.ends.tolist() == [3, 5]
        assert np.array_equal(view.rows[3:5], rows)
        assert np.array_equal(view.scales[3:5], scales)
        assert view.rows.shape == (5, 8)  # 6 dimensions in rows of 8 bytes
        assert view.spans(np.array([1, 0])).tolist() == [[1, 2], [0, 1]]


def test_a_replaced_document_keeps_its_place(make):
    store = make()
    store.append([entry("a", 1), entry("b", 1), entry("c", 1)])
    store.append([entry("b", 2, 2, text="another")])
    assert ids(store) == ["a", "b", "c"]
    with store.read() as view:
        assert view.documents.tolist() == [1, 2, 2, 3]
        assert view.starts.tolist() == [0, 3, 5, 2]
        assert view.positions_of(["b"])["b"].tolist() == [1, 2]


def test_a_deleted_document_that_comes_back_comes_last(make):
    store = make()
    store.append([entry("a", 1), entry("b", 1)])
    assert store.delete(["a", "unknown", "a"]) == 1
    store.append([entry("a", 1)])
    assert ids(store) == ["b", "a"]
    assert len(store) == 2


def test_documents_are_deleted_by_filter(make):
    store = make()
    store.append([entry(f"d{n}", 1, n=n) for n in range(6)])
    assert store.delete_matching(parse({"n": {"$gte": 4}})) == 2
    assert ids(store) == ["d0", "d1", "d2", "d3"]
    assert store.delete_matching(None) == 4
    assert len(store) == 0


def test_metadata_change_without_rows(make):
    store = make()
    store.append([entry("a", 2, year=1)])
    with store.read() as view:
        assert view.select(parse({"year": 1})).tolist() == [0]
    unknown = Document("some text", "unknown", {"year": 2})
    lost = store.append([], [unchanged(Document("some text", "a", {"year": 2})), unchanged(unknown)])
    assert lost == ["unknown"]
    assert store.get(["a", "unknown"]) == [Document("some text", "a", {"year": 2})]
    with store.read() as view:
        assert view.select(parse({"year": 2})).tolist() == [0]
        assert view.select(parse({"year": 1})).tolist() == []
        assert len(view.rows) == 2


def test_nothing_new_is_no_commit(make):
    store = make()
    store.append([entry("a", 2, year=1)])
    with store.read() as view:
        before = view.version
    store.append([], [unchanged(Document("some text", "a", {"year": 1}))])
    store.delete(["unknown"])
    with store.read() as view:
        assert view.version == before


def test_compact_keeps_live_rows_alone(make):
    store = make()
    store.append([entry("a", 2), entry("b", 3, 1), entry("c", 1)])
    store.append([entry("a", 4, text="longer")])
    store.delete(["c"])
    assert store.info().dead_share == pytest.approx(3 / 11)
    store.compact()
    info = store.info()
    assert (info.dead_share, info.generation, info.tokens, info.windows) == (0, 2, 8, 3)
    with store.read() as view:
        assert view.starts.tolist() == [0, 4, 7]
        assert np.array_equal(view.rows[:4], quantize(matrix("a0longer", 4))[0])
    assert store.verify() == []
    store.append([entry("d", 1)])
    assert ids(store) == ["a", "b", "d"]


def test_compacting_many_windows_goes_block_by_block(make, monkeypatch):
    monkeypatch.setattr("retrievers.store.compaction.BLOCK_WINDOWS", 4)
    store = make()
    store.append([entry(f"d{n}", *([1] * (n % 5))) for n in range(20)])
    store.delete([f"d{n}" for n in range(0, 20, 3)])
    with store.read() as view:
        before = [view.rows[a:b].tolist() for a, b in zip(view.starts, view.ends, strict=True)]
    store.compact()
    with store.read() as view:
        assert [view.rows[a:b].tolist() for a, b in zip(view.starts, view.ends, strict=True)] == before
    assert store.verify() == []


def test_a_view_stays_at_its_commit(make, request):
    if "memory" in request.node.name:
        pytest.skip("in memory, a writer waits for readers: the next test")
    store = make()
    store.append([entry("a", 2)])
    with store.read() as view:
        store.append([entry("b", 1), entry("a", 1, text="new")])
        store.compact()
        assert view.fetch(view.documents.tolist())[1].text == "some text"
        assert np.array_equal(view.rows, quantize(matrix("a0some text", 2))[0])
        assert [document.id for document in view.matching(None)] == ["a"]
    assert ids(store) == ["a", "b"]


def test_a_reader_that_a_compaction_overtakes_begins_again(make, request, monkeypatch):
    if "memory" in request.node.name:
        pytest.skip("in memory, a compaction waits for readers")
    store, other = make(), make()
    store.append([entry("a", 2), entry("b", 3)])
    store.delete(["a"])
    read = other._files.read

    def overtaken(*arguments):
        monkeypatch.undo()
        store.compact()  # the reader has begun its transaction, but not opened its files
        return read(*arguments)

    monkeypatch.setattr(other._files, "read", overtaken)
    with other.read() as view:
        assert len(view.rows) == 3
        assert [one.id for one in view.matching(None)] == ["b"]


def test_an_interrupted_append_changes_nothing(make, monkeypatch):
    store = make()
    store.append([entry("a", 2)])

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("retrievers.store._io.commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.append([entry("b", 1), entry("a", 1, text="new")])
    monkeypatch.undo()
    assert ids(store) == ["a"]
    store.append([entry("c", 1)])
    assert ids(store) == ["a", "c"]
    assert store.verify() == []


def test_a_selection_follows_each_commit(make):
    store = make()
    store.append([entry(f"d{n}", 1, 1, n=n) for n in range(4)])
    late = parse({"n": {"$gte": 2}})
    with store.read() as view:
        assert view.select(late).tolist() == [4, 5, 6, 7]
        assert view.select(late) is view.select(late)
    store.append([entry("d0", 1, n=7)])
    with store.read() as view:
        assert view.select(late).tolist() == [0, 3, 4, 5, 6]
        assert view.select(lambda document: document.id == "d1").tolist() == [1, 2]
        assert view.select(None) is None


def test_a_writer_in_memory_waits_for_readers_no_longer_than_the_timeout(make, request):
    if "disk" in request.node.name:
        pytest.skip("on disk, readers have snapshots")
    store = make(timeout=0.05)
    with store.read(), pytest.raises(StoreLockedError):
        store.append([entry("a", 2)])
    store.append([entry("a", 2)])
    assert ids(store) == ["a"]


def test_codes_follow_the_rows(make):
    store = make()
    store.append([entry("a", 3), entry("b", 2)])
    centroids = np.eye(4, 6, dtype=np.float32)
    store.write_codes(centroids, np.array([3, 2, 1, 0, 3], np.uint16))
    store.append([entry("c", 2)])
    store.delete(["a"])
    expected = (quantize(matrix("c0some text", 2))[0][:, :4]).argmax(axis=1)
    with store.read() as view:
        assert view.codes.tolist() == [3, 2, 1, 0, 3, *expected]
    store.compact()
    with store.read() as view:
        assert view.codes.tolist() == [0, 3, *expected]
        assert np.array_equal(view.centroids, centroids)
    assert store.info().optimized
    assert store.verify() == []
    store.write_codes(centroids[:2], np.zeros(4, np.uint16))
    with store.read() as view:
        assert view.codes.tolist() == [0, 0, 0, 0]


def test_the_collection_decides_how_codes_are_assigned(make):
    store = make(
        assign=lambda rows, scales, centroids, bits: np.full(len(rows), len(centroids) - 1, np.uint16)
    )
    store.append([entry("a", 1)])
    store.write_codes(np.eye(3, 6, dtype=np.float32), np.zeros(1, np.uint16))
    store.append([entry("b", 2)])
    with store.read() as view:
        assert view.codes.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("centroids", "codes"),
    [
        (np.zeros((2, 5), np.float32), np.zeros(3, np.uint16)),
        (np.zeros((0, 6), np.float32), np.zeros(3, np.uint16)),
        (np.zeros((2, 6), np.float32), np.zeros(2, np.uint16)),
        (np.zeros((2, 6), np.float32), np.full(3, 2, np.uint16)),
        (np.zeros((2, 6), np.float32), np.zeros(3, np.int64)),
    ],
)
def test_codes_that_do_not_fit_change_nothing(make, centroids, codes):
    store = make()
    store.append([entry("a", 3)])
    with pytest.raises(InvalidInputError):
        store.write_codes(centroids, codes)
    assert not store.info().optimized


def test_a_document_without_tokens_is_stored(make):
    store = make()
    store.append([entry("empty"), entry("hollow", 0), entry("a", 1)])
    assert ids(store) == ["empty", "hollow", "a"]
    with store.read() as view:
        assert (view.ends - view.starts).tolist() == [0, 1]
        assert view.positions_of(["empty"])["empty"].tolist() == []
    store.delete(["a"])
    store.compact()
    assert ids(store) == ["empty", "hollow"]


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ([entry("a", 1), entry("a", 2)], InvalidInputError),
        ([Entry(Document("t", "a"), b"", [(0, 1)], [])], InvalidInputError),
        ([Entry(Document("t", "a"), b"", [(0, 1)], [np.zeros((1, 5), np.float32)])], ShapeError),
        ([entry("b", 1), Entry(Document("t", "a", {"x": {1, 2}}), b"", [], [])], InvalidInputError),
    ],
)
def test_an_entry_that_cannot_be_stored_changes_nothing(make, entries, error):
    store = make()
    with pytest.raises(error):
        store.append(entries)
    assert len(store) == 0
    store.append([entry("z", 1)])
    assert store.verify() == []


def test_ids_texts_and_metadata_hold_any_unicode(make):
    store = make()
    names = ["'; DROP TABLE documents;--", 'a"b', "日本", "a\x00b", "%_", "😀"]
    store.append([entry(name, 1, text=f"{name}\x00\n{name}", **{name: {name: [name]}}) for name in names])
    assert [(one.id, one.text, one.metadata) for one in store.get(names)] == [
        (name, f"{name}\x00\n{name}", {name: {name: [name]}}) for name in names
    ]
    assert all(name in store for name in names)
    assert store.content_hashes(["日本"]) == {"日本": "日本\x00\n日本".encode()[:16]}


def test_a_closed_store_says_so(make):
    store = make()
    store.close()
    with pytest.raises(StoreClosedError):
        len(store)
    store.close()


def test_a_view_that_has_ended_says_so(make):
    store = make()
    with store.read() as view:
        pass
    with pytest.raises(StoreClosedError):
        view.matching(None)
