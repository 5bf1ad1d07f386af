"""Rows of 4 bits: what a store keeps of them, what it refuses, and copies with other bits."""

import os
import shutil
import sqlite3
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from retrievers.errors import CorruptStoreError, InvalidInputError, ShapeError, StoreError
from retrievers.filters import parse
from retrievers.kernels.rows import dequantize, quantize
from retrievers.search import optimize, rank
from retrievers.store import Entry, Store
from retrievers.store.snapshot import WINDOW
from retrievers.types import Document, QuantizedMatrix
from tests.store.rows import FINGERPRINT, entry, matrix
from tests.store.test_store_golden import FINGERPRINT as GOLDEN_FINGERPRINT
from tests.store.test_store_golden import FOUR_BITS, NEWEST, dump, rows, write

VALUES = {
    4: rows([-1, 0, 0, 0, 0, 1]),
    3: rows([0, 0.5, 0, 0, 0, 0]),
}  # of the live rows of the golden collection


def filled(make, **options):
    store = make(words=("unicode61", 0.5), counts_tokens=True, indexed=["n"], **options)
    store.append(
        [
            Entry(
                Document(f"text {n}", f"d{n}", {"n": n}, source="s"),
                b"%16d" % n,
                [(0, 4), (5, 6)],
                parts,
                {n},
            )
            for n in range(6)
            for parts in [[matrix(f"{n}a", 3), matrix(f"{n}b", n)]]
        ]
    )
    optimize(store)
    store.delete(["d0"])
    return store


def decoded(packed, scale, dim):
    """A row by FORMAT.md alone."""
    levels = [one & 15 for one in packed] + [one >> 4 for one in packed]
    turned = [(2 * n - 15) * scale for n in levels]
    width = len(turned)
    block = next(2**power for power in range(7, -1, -1) if width % 2**power == 0)
    count = width // block
    found = [0.0] * width
    for c in range(count):
        for p in range(block):
            total = sum(
                turned[c + q * count] * (-1) ** (p & q).bit_count() / block**0.5 for q in range(block)
            )
            digits = f"{p:b}"
            pairs = sum(digits[place : place + 2] == "11" for place in range(len(digits)))
            found[c + p * count] = -total if pairs % 2 else total
    return found[:dim]


def test_the_golden_collection_of_4_bits_is_what_the_format_says():
    packed = (FOUR_BITS / "tokens-000002.u4").read_bytes()
    scales = struct.unpack("<5f", (FOUR_BITS / "scales-000002.f32").read_bytes())
    assert len(packed) == 5 * 4
    for row, values in VALUES.items():
        found = decoded(packed[4 * row : 4 * row + 4], scales[row], 6)
        np.testing.assert_allclose(found, values[0], atol=0.1)
    one = decoded(packed[:4], scales[0], 6)
    np.testing.assert_allclose(one, [1, 0, 0, 0, 0, 0], atol=1e-6)
    header, schema, tables = dump(FOUR_BITS)
    assert header == [0x4D617853, 5]
    assert dict(tables["settings"])["bits"] == "4"
    windows = tables["batches"][0][2]
    scales_bytes = (FOUR_BITS / "scales-000002.f32").read_bytes()
    assert struct.unpack("<5q", windows[:40]) == (1, 2, 0, 5, zlib.crc32(packed[:8] + scales_bytes[:8]))
    assert schema == dump(NEWEST)[1]


@pytest.mark.parametrize("dim", [1, 6, 8, 20, 96, 384])
def test_rows_are_read_by_the_format_alone(dim):
    given = np.random.default_rng(dim).standard_normal((3, dim)).astype(np.float32)
    packed, scales = quantize(given, 4)
    expected = [decoded(row.tolist(), float(scale), dim) for row, scale in zip(packed, scales, strict=True)]
    np.testing.assert_allclose(dequantize(packed, scales, dim, 4), expected, atol=1e-5)


def test_the_golden_collection_of_4_bits_is_read_and_written_on(tmp_path):
    path = shutil.copytree(FOUR_BITS, tmp_path / "copy")
    store = Store(path, fingerprint=GOLDEN_FINGERPRINT)
    assert (store.bits, store.info().bits, store.info().format_version) == (4, 4, 5)
    with store.read() as view:
        assert view.rows.shape == (5, 4)
        assert [one.id for one in view.matching(None)] == ["a", "empty", "b"]
        for row, values in VALUES.items():
            part = slice(row, row + 1)
            found = dequantize(view.rows[part], view.scales[part], 6, view.bits)
            np.testing.assert_allclose(found, values, atol=0.1)
        assert len(view.fetch(view.documents.tolist())) == 2
    assert store.verify() == []
    store.append([replace(entry("c", 2), token_ids={7})])
    store.compact()
    assert store.verify() == []
    assert sorted(name for name in os.listdir(path) if name.startswith("tokens")) == ["tokens-000003.u4"]
    store.close()


def test_the_same_changes_give_the_same_rows_of_4_bits(tmp_path):
    write(tmp_path / "new", bits=4)
    header, schema, tables = dump(tmp_path / "new")
    expected = dump(FOUR_BITS)
    assert (header, schema, tables["documents"]) == (*expected[:2], expected[2]["documents"])
    assert (tmp_path / "new" / "tokens-000002.u4").read_bytes() == (
        FOUR_BITS / "tokens-000002.u4"
    ).read_bytes()
    found, golden = (
        np.fromfile(place / "scales-000002.f32", "<f4") for place in (tmp_path / "new", FOUR_BITS)
    )
    np.testing.assert_allclose(found, golden, rtol=1e-6)  # sums of floats end otherwise on other processors


def test_a_store_keeps_its_bits_and_refuses_others(path):
    Store(path, fingerprint=FINGERPRINT, bits=4).close()
    for bits in (None, 4):
        store = Store(path, fingerprint=FINGERPRINT, bits=bits)
        assert store.bits == 4
        store.close()
    with pytest.raises(InvalidInputError, match=r"4 bits a number where 8 are asked for.*convert"):
        Store(path, fingerprint=FINGERPRINT, bits=8)
    with pytest.raises(InvalidInputError, match="8 bits a number where 4 are asked for"):
        Store(shutil.copytree(NEWEST, path.with_name("old")), fingerprint=GOLDEN_FINGERPRINT, bits=4)


@pytest.mark.parametrize("value", ["8", "2", "", "x" * 1000, b"4", 4.0])
def test_another_number_of_bits_is_refused(path, value):
    Store(path, fingerprint=FINGERPRINT, bits=4).close()
    with sqlite3.connect(path / "catalog.sqlite") as connection:
        connection.execute("UPDATE settings SET value = ? WHERE name = 'bits'", [value])
    connection.close()
    with pytest.raises(CorruptStoreError, match="bits a number"):
        Store(path, fingerprint=FINGERPRINT)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_damaged_setting_costs_no_rows(path, bits):
    store = filled(lambda **options: Store(path, fingerprint=FINGERPRINT, **options), bits=bits)
    store.close()
    rows = (path / f"tokens-000001.u{bits}").read_bytes()
    wrong = (
        "DELETE FROM settings WHERE name = 'bits'"
        if bits == 4
        else "INSERT INTO settings VALUES ('bits', '4')"
    )
    right = (
        "DELETE FROM settings WHERE name = 'bits'"
        if bits == 8
        else "INSERT INTO settings VALUES ('bits', '4')"
    )
    for statement in (wrong, right):
        with sqlite3.connect(path / "catalog.sqlite") as connection:
            connection.execute(statement)
        connection.close()
        store = Store(path, fingerprint=FINGERPRINT)
        if statement is wrong:
            with pytest.raises(CorruptStoreError):
                store.compact()
            with pytest.raises(CorruptStoreError):
                store.append([replace(entry("x", 1), token_ids={1})])
        assert (path / f"tokens-000001.u{bits}").read_bytes() == rows
        assert (store.verify() == []) == (statement is right)
        store.close()


def test_an_older_format_has_no_bits(path):
    """A row of that name would be no setting of ours."""
    shutil.copytree(NEWEST.with_name("format-4"), path)
    with sqlite3.connect(path / "catalog.sqlite") as connection:
        connection.execute("INSERT INTO settings VALUES ('bits', '4')")
    connection.close()
    store = Store(path, fingerprint=GOLDEN_FINGERPRINT)
    assert store.bits == 8
    store.close()


def test_rows_of_other_bits_are_no_entry(make):
    store = make(bits=4)
    given = QuantizedMatrix(*quantize(matrix("a", 2)))
    with pytest.raises(ShapeError, match="of 8 bits"):
        store.append([Entry(Document("a", "a"), b"a" * 16, [(0, 1)], [given])])
    same = QuantizedMatrix(*quantize(matrix("a", 2), 4), 4)
    store.append([Entry(Document("a", "a"), b"a" * 16, [(0, 1)], [same])])
    with store.read() as view:
        assert view.rows.tolist() == same.rows.tolist()


def test_a_row_of_zero_bytes_is_one_of_4_bits(make):
    """Level 0 in every place: what stands out as damage in rows of 8 bits."""
    store = make(bits=4)
    [lowest] = dequantize(np.zeros((1, 4), np.uint8), np.float32([0.1]), 6, 4)
    store.append(
        [
            Entry(
                Document("a", "a"),
                b"a" * 16,
                [(0, 1)],
                [QuantizedMatrix(np.zeros((1, 4), np.uint8), np.float32([0.1]), 4)],
            )
        ]
    )
    assert store.verify() == []
    with store.read() as view:
        assert view.rows.tolist() == [[0, 0, 0, 0]]
        [[(_, score)]] = rank(view, [lowest[None] / np.linalg.norm(lowest)], None, 1)
    assert score == pytest.approx(np.linalg.norm(lowest), rel=1e-5)


@pytest.mark.parametrize("damage", ["rows", "scales"])
def test_damage_is_found_and_the_document_can_be_replaced(path, damage):
    store = filled(lambda **options: Store(path, fingerprint=FINGERPRINT, **options), bits=4)
    store.close()
    name = "tokens-000001.u4" if damage == "rows" else "scales-000001.f32"
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    store = Store(path, fingerprint=FINGERPRINT)
    [found] = store.verify()
    [name] = found.ids
    with pytest.raises(CorruptStoreError, match=name), store.read() as view:
        view.fetch(view.documents.tolist())
    with pytest.raises(CorruptStoreError, match=name):
        store.convert(path.with_name("converted"), 8)
    assert os.listdir(path.parent) == [path.name]
    store.delete([name])
    store.compact()
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize("bits", [8, 4])
def test_scales_that_were_never_written_are_refused_by_the_hole_that_they_are(path, bits):
    filled(lambda **options: Store(path, fingerprint=FINGERPRINT, **options), bits=bits).close()
    scales = path / "scales-000001.f32"
    size = scales.stat().st_size
    scales.write_bytes(b"")
    os.truncate(scales, size)
    if scales.stat().st_blocks:
        pytest.skip("this file system keeps zeros")
    store = Store(path, fingerprint=FINGERPRINT)
    with pytest.raises(CorruptStoreError, match="has a hole at byte 0"), store.read():
        pass
    store.close()


def test_rows_that_are_none_are_not_converted_though_their_checksum_fits(path):
    store = Store(path, fingerprint=FINGERPRINT)
    store.append([entry("a", 2), entry("b", 3)])
    store.close()
    rows = (path / "tokens-000001.u8").read_bytes()
    scales = np.fromfile(path / "scales-000001.f32", "<f4")
    scales[1] = 1e30
    scales.tofile(path / "scales-000001.f32")
    with sqlite3.connect(path / "catalog.sqlite") as connection:
        [[blob]] = connection.execute("SELECT windows FROM batches").fetchall()
        windows = np.frombuffer(blob, WINDOW).copy()
        windows["checksum"][0] = zlib.crc32(scales[:2].tobytes(), zlib.crc32(rows[:16]))
        blob = windows.tobytes()
        connection.execute("UPDATE batches SET windows = ?, checksum = ?", [blob, zlib.crc32(blob)])
    connection.close()
    store = Store(path, fingerprint=FINGERPRINT)
    with pytest.raises(CorruptStoreError, match="rows of document 'a' are none"):
        store.convert(path.with_name("copy"), 4)
    assert not path.with_name("copy").exists()
    store.close()


@pytest.mark.parametrize("bits", [8, 4])
def test_a_conversion_has_everything_but_the_rows_as_it_was(make, tmp_path, bits):
    other = 12 - bits
    store = filled(make, bits=bits)
    seen = []
    store.convert(tmp_path / "converted", other, seen.append)
    assert sum(seen) == 10
    copy = Store(tmp_path / "converted", fingerprint=FINGERPRINT)
    assert (copy.bits, copy.verify(), len(copy)) == (other, [], 5)
    with store.read() as before, copy.read() as after:
        assert after.matching(None) == before.matching(None)
        assert after.codes.tolist() == before.codes[3:].tolist()
        np.testing.assert_array_equal(after.centroids, before.centroids)
        assert after.spans(np.arange(10)).tolist() == before.spans(np.arange(10)).tolist()
        assert after.select(parse({"n": {"$gte": 4}})).tolist() == [6, 7, 8, 9]
        assert after.token_counts([1, 0]) == {1: 1}
        assert after.word_scores("text")[0].tolist() == before.word_scores("text")[0].tolist()
        assert after.word_weight == 0.5
        for position in range(10):
            old = slice(before.starts[position], before.ends[position])
            new = slice(after.starts[position], after.ends[position])
            whole = dequantize(before.rows[old], before.scales[old], 6, bits)
            expected = quantize(whole, other)
            assert after.rows[new].tolist() == expected[0].tolist()
            assert after.scales[new].tolist() == expected[1].tolist()
    assert copy.get_sources(["s"]) == store.get_sources(["s"])
    copy.append([replace(entry("new", 1), token_ids={7})])
    copy.compact()
    assert copy.verify() == []
    copy.close()
    assert [name for name in os.listdir(tmp_path) if "unfinished" in name] == []
    assert store.verify() == []


def test_a_conversion_is_another_collection(make, tmp_path):
    store = filled(make, bits=8)
    for name in ("one", "two"):
        store.convert(tmp_path / name, 4)
    ids = {dict(dump(tmp_path / name)[2]["settings"])["collection"] for name in ("one", "two")}
    assert len(ids | {store._catalog.collection}) == 3


def test_what_cannot_be_converted_leaves_nothing(make, tmp_path):
    store = filled(make, bits=8)
    before = set(os.listdir(tmp_path))
    with pytest.raises(InvalidInputError, match=r"8 bits a number already: backup"):
        store.convert(tmp_path / "same", 8)
    (tmp_path / "taken").mkdir()
    for place, said in ((tmp_path / "taken", "exists"), (tmp_path / "no" / "where", "make it first")):
        with pytest.raises(StoreError, match=said):
            store.convert(place, 4)
    assert set(os.listdir(tmp_path)) == before | {"taken"}


def test_an_empty_store_is_converted(make, tmp_path):
    make().convert(tmp_path / "copy", 4)
    copy = Store(tmp_path / "copy", fingerprint=FINGERPRINT)
    assert (copy.bits, len(copy), copy.verify()) == (4, 0, [])
    copy.append([entry("a", 2)])
    assert copy.verify() == []
    copy.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_an_older_format_is_converted_to_the_newest(tmp_path, version):
    path = shutil.copytree(NEWEST.with_name(f"format-{version}"), tmp_path / "old")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    store = Store(path, fingerprint=GOLDEN_FINGERPRINT)
    store.convert(tmp_path / "copy", 4)
    copy = Store(tmp_path / "copy", fingerprint=GOLDEN_FINGERPRINT)
    assert (copy.bits, copy.info().format_version, copy.verify()) == (4, 5, [])
    assert copy.get(["a", "b", "empty"]) == store.get(["a", "b", "empty"])
    copy.close()
    store.close()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_what_a_killed_conversion_left_is_swept_by_the_next(make, tmp_path):
    store = filled(make, bits=8)
    left = tmp_path / ".copy.0123.unfinished"
    left.mkdir()
    (left / "write.lock").touch()
    store.convert(tmp_path / "copy", 4)
    assert not left.exists()
