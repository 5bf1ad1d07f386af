"""Damage that fits every checksum: only what a value means can tell that it is wrong."""

import json
import sqlite3
import zlib
from contextlib import closing

import numpy as np
import pytest

from retrievers.errors import CorruptStoreError, InvalidInputError
from retrievers.filters import parse
from retrievers.search import optimize, rank
from retrievers.store import Entry, Store
from retrievers.store.snapshot import WINDOW
from retrievers.types import Document
from tests.store.rows import DIM, FINGERPRINT, entry, matrix

ROW = 8  # bytes


@pytest.fixture
def store(path):
    """Three documents: a of two windows, b and c of one."""
    opened = Store(path, fingerprint=FINGERPRINT)
    opened.append([entry("a", 3, 2, n=1), entry("b", 4, n=2), entry("c", 2, n=3)])
    opened.close()
    opened = Store(path, fingerprint=FINGERPRINT)  # nothing of it is in memory yet
    yield opened
    opened.close()


def sql(store, statement, *values):
    with closing(sqlite3.connect(store.path / "catalog.sqlite", isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def change_windows(store, change):
    """Change the one batch's windows, and their checksum."""
    [[blob]] = sql(store, "SELECT windows FROM batches")
    windows = np.frombuffer(blob, WINDOW).copy()
    change(windows)
    blob = windows.tobytes()
    sql(store, "UPDATE batches SET windows = ?, checksum = ?", blob, zlib.crc32(blob))


def found(store, *keys):
    with store.read() as view:
        return [view.fetch([key])[key].id for key in keys]


def damaged(store):
    return {name for damage in store.verify() for name in damage.ids}


JSONS = {
    "NaN": '{"n": NaN}',
    "infinity": '{"n": [-Infinity]}',
    "a float beyond all": '{"n": 1e999}',
    "an integer of 4000 digits": '{"n": ' + "9" * 4000 + "}",
    "an integer of 5000 digits": '{"n": ' + "9" * 5000 + "}",
    "half a surrogate pair": '{"n": "\\ud800"}',
    "a key of half a pair": '{"\\uDFFF": 1}',
    "300 levels": '{"n": ' + "[" * 300 + "]" * 300 + "}",
    "100 000 levels": '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a list": "[1]",
}


@pytest.mark.parametrize("text", JSONS.values(), ids=JSONS)
def test_metadata_that_can_never_have_been_stored_are_refused_and_can_be_deleted(store, text):
    sql(store, "UPDATE metadata SET json = ?, checksum = ? WHERE key = 2", text, zlib.crc32(text.encode()))
    with pytest.raises(CorruptStoreError, match="metadata of document 'b'"):
        store.get(["b"])
    assert [document.id for document in store.get(["a", "c"])] == ["a", "c"]
    assert damaged(store) == {"b"}
    assert store.delete(["b"]) == 1
    assert store.verify() == []


def test_brackets_and_escapes_inside_of_texts_are_no_levels_and_no_surrogates(store):
    metadata = {"n": "[{" * 500, "m": "\\ud800", "k": {"deep": [[["\U0001f600"]]]}}
    store.update({"b": metadata})
    assert dict(store.get(["b"])[0].metadata) == metadata


def test_metadata_whose_paths_would_fill_the_memory_are_found_by_verify_and_can_be_deleted(store):
    text = json.dumps({"p" * 60_000: {f"k{number}": 1 for number in range(9000)}})
    sql(store, "UPDATE metadata SET json = ?, checksum = ? WHERE key = 2", text, zlib.crc32(text.encode()))
    assert damaged(store) == {"b"}
    assert store.delete(["b"]) == 1
    assert sql(store, "SELECT count(*) FROM fields WHERE key = 2") == [(0,)]


def test_a_source_that_does_not_fit_its_checksum_removes_no_document(store):
    store.append([_of_source("d", "book"), _of_source("e", "letter")])
    sql(store, "UPDATE extras SET source = 'book' WHERE source = 'letter'")
    with pytest.raises(CorruptStoreError, match="beside document 'e'"):
        store.append([_of_source("f", "book")], replaces={"book"})
    assert len(store) == 5


def _of_source(name, source):
    return Entry(Document("some text", name, source=source), b"0" * 16, [(0, 4)], [matrix(name, 2)])


def test_a_window_that_was_given_to_another_document_is_no_hit_of_either(store):
    change_windows(store, lambda windows: windows["key"].__setitem__(1, 2))  # the second one of a
    for key in (1, 2):
        with pytest.raises(CorruptStoreError, match="windows of"):
            found(store, key)
    assert found(store, 3) == ["c"]
    assert damaged(store) == {"a", "b"}


@pytest.mark.parametrize(("column", "value"), [("first", -1), ("first", 5), ("last", 10), ("last", 1 << 40)])
def test_a_window_outside_of_its_text_is_no_hit(store, column, value):
    change_windows(store, lambda windows: windows[column].__setitem__(2, value))
    with pytest.raises(CorruptStoreError, match="a window of document 'b' lies outside of its text"):
        found(store, 2)
    assert found(store, 1, 3) == ["a", "c"]
    assert damaged(store) == {"b"}


def test_a_window_outside_of_its_text_is_not_stored(make):
    store = make()
    with pytest.raises(InvalidInputError, match=r"'x' has 4 characters and windows \[\(0, 5\)\]"):
        store.append([Entry(Document("text", "x"), b"0" * 16, [(0, 5)], [matrix("x", 1)])])
    assert len(store) == 0


def damage_row(store, row, scale=None, byte=None):
    """Change the scale or a byte of a row of b, and its window's checksum."""
    rows = np.fromfile(store.path / "tokens-000001.u8", np.uint8).reshape(-1, ROW)
    scales = np.fromfile(store.path / "scales-000001.f32", np.float32)
    if scale is not None:
        scales[row] = scale
    if byte is not None:
        rows[row, 3] = byte
    rows.tofile(store.path / "tokens-000001.u8")
    scales.tofile(store.path / "scales-000001.f32")
    checksum = zlib.crc32(scales[5:9].tobytes(), zlib.crc32(rows[5:9].tobytes()))
    change_windows(store, lambda windows: windows["checksum"].__setitem__(2, checksum))


@pytest.mark.parametrize("scale", [np.inf, 3e38])
def test_a_score_that_is_no_number_is_an_error_and_no_hit(store, scale):
    damage_row(store, 6, scale=scale)
    with store.read() as view, pytest.raises(CorruptStoreError, match="no finite number"):
        rank(view, [np.full((2, DIM), 9, np.float32)], None, 3)
    assert damaged(store) == {"b"}


@pytest.mark.parametrize("scale", [np.nan, np.inf, 3e38])
def test_rows_that_are_none_train_no_centroids(store, scale):
    damage_row(store, 6, scale=scale)
    with pytest.raises(CorruptStoreError, match="Nothing was changed"):
        optimize(store, show_progress=False)
    assert not store.info().optimized


@pytest.mark.parametrize(
    "damage", [{"scale": np.nan}, {"scale": -1.0}, {"scale": 0.0}, {"scale": 1e20}, {"byte": 0}]
)
def test_rows_that_no_vector_can_have_given_are_no_hit(store, damage):
    damage_row(store, 6, **damage)
    with pytest.raises(CorruptStoreError, match="token rows of document number 2"):
        found(store, 2)
    assert found(store, 1, 3) == ["a", "c"]
    assert damaged(store) == {"b"}


def test_centroids_that_are_no_numbers_are_refused_and_replaced(store):
    centroids, codes = np.eye(2, DIM, dtype=np.float32), np.zeros(11, np.uint16)
    store.write_codes(centroids, codes)
    file = store.path / "centroids-000001.f32"
    damaged_ones = np.fromfile(file, np.float32)
    damaged_ones[3] = np.nan
    damaged_ones.tofile(file)
    sql(store, "UPDATE state SET centroids_checksum = ?", zlib.crc32(damaged_ones.tobytes()))
    with pytest.raises(CorruptStoreError, match="retrievers optimize"), store.read():
        pass
    assert [damage.file for damage in store.verify()] == ["centroids-000001.f32"]
    store.write_codes(centroids, codes)
    assert store.verify() == []


def test_centroids_that_are_no_numbers_are_not_stored(store):
    with pytest.raises(InvalidInputError, match="not finite"):
        store.write_codes(np.full((1, DIM), np.nan, np.float32), np.zeros(11, np.uint16))
    assert not store.info().optimized


@pytest.mark.parametrize(("windows", "tokens"), [(2, 4), (1, 2), (0, 0)])
def test_a_wrong_count_of_one_document_closes_nothing_when_it_is_deleted(store, windows, tokens):
    sql(store, "UPDATE documents SET windows = ?, tokens = ? WHERE id = 'b'", windows, tokens)
    assert damaged(store) == {"b"}
    assert found(store, 1, 3) == ["a", "c"]
    assert store.delete(["b"]) == 1
    assert found(store, 1, 3) == ["a", "c"]
    store.compact()
    assert store.verify() == []
    assert (store.info().windows, store.info().tokens) == (3, 7)


def test_a_change_that_would_make_the_catalogue_unreadable_is_refused(store):
    sql(store, "UPDATE state SET documents = 0")
    with pytest.raises(CorruptStoreError, match=r"unreadable.*Nothing was changed"):
        store.delete(["b"])
    assert [document.id for document in store.get(["a", "b", "c"])] == ["a", "b", "c"]
    assert store.delete_matching(parse({"n": 99})) == 0


def test_a_batch_that_a_mark_of_the_dead_would_not_reach_is_refused(store):
    sql(store, "UPDATE state SET last_batch = 0")
    with pytest.raises(CorruptStoreError, match=r"batch 1 .* 0 batches"), store.read():
        pass
