"""The golden collection pins the format: its bytes are read here by FORMAT.md alone, and written anew.

python -m tests.store.test_store_golden      writes it, when a new version of the format needs one
"""

import json
import shutil
import sqlite3
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from retrievers.filters import parse
from retrievers.store import Entry, Store
from retrievers.types import Document

GOLDEN = Path(__file__).parent / "golden" / "format-1"
FINGERPRINT = {"model": "golden", "dim": 6, "revision": "é"}
TABLES = ("settings", "state", "batches", "dead", "documents", "texts", "metadata", "paths", "fields")
METADATA = {
    "lang": "en",
    "year": -12,
    "large": 2**70,
    "price": 0.1,
    "sold": True,
    "note": None,
    "tags": ["a\x00b", 3, [1]],
    "author": {"name": "Zoë", "none": {}},
}


def rows(*values):
    return np.array(values, np.float32)


def write(path):
    """Every kind of change, with values whose bytes can be worked out on paper."""
    store = Store(path, fingerprint=FINGERPRINT, indexed=["lang"])
    store.append(
        [
            Entry(
                Document("First text, é.", "a", METADATA, "context"),
                b"0123456789abcdef",
                [(0, 5), (6, 14)],
                [rows([1, 0, 0, 0, 0, 0], [0, -1, 0.5, 0, 0, 0]), rows([0, 0, 0, 0, 0, 0.25])],
            ),
            Entry(Document("Second.", "b"), b"b" * 16, [(0, 7)], [rows([0, 0, 1, 0, 0, 0])]),
            Entry(Document("", "empty", {"lang": "de"}), b"c" * 16, [], []),
        ]
    )
    store.delete(["b"])
    store.compact()
    store.write_codes(np.eye(3, 6, dtype=np.float32), np.array([0, 2, 1], np.uint16))
    store.append([Entry(Document("Second.", "b"), b"d" * 16, [(0, 7)], [rows([0, 0.5, 0, 0, 0, 0])])])
    store.append(
        [Entry(Document("Third.", "a", {"lang": "fr"}), b"e" * 16, [(0, 6)], [rows([-1, 0, 0, 0, 0, 1])])]
    )
    store.close()


def dump(path):
    connection = sqlite3.connect(path / "catalog.sqlite")
    try:
        header = [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        ]
        schema = sorted(
            row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        )
        tables = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}  # noqa: S608
    finally:
        connection.close()
    return header, schema, tables


@pytest.fixture
def golden(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


def test_the_golden_collection_is_read(golden):
    store = Store(golden, fingerprint=FINGERPRINT)
    with store.read() as view:
        assert view.matching(None) == [
            Document("Third.", "a", {"lang": "fr"}),
            Document("", "empty", {"lang": "de"}),
            Document("Second.", "b"),
        ]
        assert view.documents.tolist() == [1, 4]
        assert view.starts.tolist() == [4, 3]
        assert view.ends.tolist() == [5, 4]
        assert view.rows[4].tolist() == [1, 128, 128, 128, 128, 255, 128, 128]
        assert view.scales[[3, 4]].tolist() == [np.float32(0.5 / 127), np.float32(1 / 127)]
        assert view.codes.tolist() == [0, 2, 1, 1, 1]
        assert view.spans(np.array([0, 1])).tolist() == [[0, 6], [0, 7]]
        assert view.select(parse({"lang": "fr"})).tolist() == [0]
        assert len(view.fetch(view.documents.tolist())) == 2
    assert store.verify() == []
    store.close()


def test_its_files_are_what_the_format_says(golden):
    tokens = (golden / "tokens-000002.u8").read_bytes()
    assert tokens[:8] == bytes([255, 128, 128, 128, 128, 128, 128, 128])
    assert tokens[8:16] == bytes([128, 1, 192, 128, 128, 128, 128, 128])
    assert len(tokens) == 5 * 8
    scales = (golden / "scales-000002.f32").read_bytes()
    assert struct.unpack("<5f", scales) == tuple(np.float32([1, 1, 0.25, 0.5, 1]) / np.float32(127))
    assert struct.unpack("<5H", (golden / "codes-000001.u16").read_bytes()) == (0, 2, 1, 1, 1)
    assert (golden / "centroids-000001.f32").read_bytes() == struct.pack(
        "<18f", *(float(n in (0, 7, 14)) for n in range(18))
    )
    header, _, tables = dump(golden)
    assert header == [0x4D617853, 1]
    assert json.loads(dict(tables["settings"])["fingerprint"]) == FINGERPRINT
    centroids = zlib.crc32((golden / "centroids-000001.f32").read_bytes())
    assert tables["state"] == [(1, 6, 2, 5, 4, 2, 4, 3, 2, 2, 1, 3, centroids)]
    assert tables["dead"] == [(2, 1, 3)]
    number, count, windows, checksum, codes = tables["batches"][0]
    assert (number, count, checksum) == (2, 3, zlib.crc32(windows))
    assert codes == zlib.crc32(struct.pack("<3H", 0, 2, 1))
    assert struct.unpack("<5q", windows[:40]) == (1, 2, 0, 5, zlib.crc32(tokens[:16] + scales[:8]))
    assert struct.unpack("<5q", windows[40:]) == (1, 1, 6, 14, zlib.crc32(tokens[16:24] + scales[8:12]))
    text = tables["texts"][0]
    parts = b"".join(struct.pack("<Q", len(part)) + part for part in (b"a", b"", b"Third."))
    assert text == (1, "", "Third.", zlib.crc32(parts))
    paths = {name: path for path, name, _ in tables["paths"]}
    values = {(path, key): (value, indexed) for path, key, value, indexed in tables["fields"]}
    assert values == {(paths["lang"], 1): (b"\x04fr", 1), (paths["lang"], 3): (b"\x04de", 1)}


def test_a_value_has_the_bytes_that_the_format_says():
    from retrievers.filters.fields import paths

    assert {name: value.hex(" ") for name, value in paths(METADATA).items()} == {
        "lang": "04 65 6e",
        "year": "03 00 7f ff ff fc 33 ff",
        "large": "03 ff 80 00 00 46 38",
        "price": "03 ff 7f ff ff fc 63 63 63 63 63 63 63 63 63 63 63 63 64",
        "sold": "02 01",
        "note": "01",
        "tags": "05 00 01 04 61 00 ff 62 00 01 03 ff 80 00 ff 00 ff 01 63 00 01 07 00 01",
        "author": "06 01",
        "author.name": "04 5a 6f c3 ab",
        "author.none": "06",
    }


def test_the_same_changes_give_the_same_collection(golden, tmp_path):
    write(tmp_path / "new")
    assert dump(tmp_path / "new") == dump(golden)
    for file in golden.iterdir():
        if file.name != "catalog.sqlite":
            assert (tmp_path / "new" / file.name).read_bytes() == file.read_bytes(), file.name


if __name__ == "__main__":
    write(GOLDEN)
