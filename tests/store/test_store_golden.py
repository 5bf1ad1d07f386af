"""Golden collections pin the formats: their bytes are read here by FORMAT.md alone, and the newest is written anew.

python -m tests.store.test_store_golden      writes both its layouts, when a new version of the format needs them
"""

import errno
import json
import re
import shutil
import sqlite3
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrievers.errors import FormatVersionError, StoreError
from retrievers.filters import parse
from retrievers.store import Entry, Store, Unchanged
from retrievers.types import Document
from tests.store.rows import entry

GOLDEN = Path(__file__).parent / "golden"
NEWEST = GOLDEN / "format-5"
FOUR_BITS = GOLDEN / "format-5-of-4-bits"  # the same changes
FINGERPRINT = {"model": "golden", "dim": 6, "revision": "é"}
TABLES = ("settings", "state", "batches", "dead", "documents", "texts", "metadata", "paths", "fields")
NEW_IN_2 = ("extras",)
NEW_IN_3 = ("word_rows", "word_index")
NEW_IN_4 = ("token_ids", "token_counts")
FORMATS = ("format-1", "format-2", "format-3", "format-4", "format-5")
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


def write(path, bits=8):
    """Every kind of change, with values whose bytes can be worked out on paper."""
    store = Store(
        path,
        fingerprint=FINGERPRINT,
        indexed=["lang"],
        words=("porter", 0.25),
        counts_tokens=True,
        bits=bits,
    )
    store.append(
        [
            Entry(
                Document("First text, é.", "a", METADATA, "context"),
                b"0123456789abcdef",
                [(0, 5), (6, 14)],
                [rows([1, 0, 0, 0, 0, 0], [0, -1, 0.5, 0, 0, 0]), rows([0, 0, 0, 0, 0, 0.25])],
                {7, 0, 300, 70_000},
            ),
            Entry(Document("Second.", "b"), b"b" * 16, [(0, 7)], [rows([0, 0, 1, 0, 0, 0])], {7}),
            Entry(Document("", "empty", {"lang": "de"}), b"c" * 16, [], [], set()),
        ]
    )
    store.delete(["b"])
    store.compact()
    store.write_codes(np.eye(3, 6, dtype=np.float32), np.array([0, 2, 1], np.uint16))
    store.append(
        [Entry(Document("Second.", "b"), b"d" * 16, [(0, 7)], [rows([0, 0.5, 0, 0, 0, 0])], {0, 127, 300})]
    )
    third = Document("Third.", "a", {"lang": "fr"})
    store.append([Entry(third, b"e" * 16, [(0, 6)], [rows([-1, 0, 0, 0, 0, 1])], {300, 70_000})])
    beside = Document("Third.", "a", {"lang": "fr"}, "", "whole é", {"_type": "node", "n": [1, None]})
    store.append(
        [],
        [
            Unchanged(beside, b"e" * 16),
            Unchanged(Document("", "empty", {"lang": "de"}, attachment={}), b"c" * 16),
        ],
    )
    store.close()


def dump(path):
    connection = sqlite3.connect(path / "catalog.sqlite")
    try:
        header = [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        ]
        # What FTS5 keeps under the names words_… is its own, and differs between its versions.
        schema = sorted(
            row[0]
            for row in connection.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'words!_%' ESCAPE '!'"
            )
        )
        names = TABLES + NEW_IN_2 * (header[1] > 1) + NEW_IN_3 * (header[1] > 2) + NEW_IN_4 * (header[1] > 3)
        names = [name for name in names if any(f"TABLE {name} " in sql for sql in schema)]
        tables = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608
    finally:
        connection.close()
    return header, schema, tables


@pytest.fixture(params=FORMATS)
def golden(request, tmp_path):
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


@pytest.fixture(params=FORMATS[:-1])
def old(request, tmp_path):
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_the_golden_collection_is_read(golden):
    store = Store(golden, fingerprint=FINGERPRINT)
    new = golden.name != "format-1"
    beside = ("whole é", {"_type": "node", "n": [1, None]}) if new else (None, None)
    with store.read() as view:
        assert view.matching(None) == [
            Document("Third.", "a", {"lang": "fr"}, "", *beside),
            Document("", "empty", {"lang": "de"}, attachment={} if new else None),
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
    new = golden.name != "format-1"
    assert header == [0x4D617853, int(golden.name[-1])]
    assert json.loads(dict(tables["settings"])["fingerprint"]) == FINGERPRINT
    centroids = zlib.crc32((golden / "centroids-000001.f32").read_bytes())
    assert tables["state"] == [
        (
            1,
            {"format-1": 6, "format-2": 7}.get(golden.name, 8),
            2,
            5,
            4,
            2,
            4,
            3,
            2,
            2,
            1,
            3,
            centroids,
        )
    ]
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
    if new:
        assert re.fullmatch("[0-9a-f]{32}", dict(tables["settings"])["collection"])
        attached = '{"_type": "node", "n": [1, null]}'
        assert tables["extras"] == [
            (1, "whole é", attached, lengths_checksum("a", "whole é", attached)),
            (3, None, "{}", lengths_checksum("empty", "{}")),
        ]
    assert "bits" not in dict(tables["settings"])
    if golden.name in ("format-4", "format-5"):
        assert dict(tables["settings"])["token_counts"] == "kept"
        # 300 is 2 * 128 + 44. Between it and 70 000 there are 69 699 = 4 * 16 384 + 32 * 128 + 67.
        blobs = {
            1: ("a", bytes([44 | 128, 2, 67 | 128, 32 | 128, 4])),
            3: ("empty", b""),
            4: ("b", bytes([0, 126, 44 | 128, 1])),
        }
        assert tables["token_ids"] == [
            (key, blob, zlib.crc32(struct.pack("<Q", len(name)) + name.encode() + blob))
            for key, (name, blob) in blobs.items()
        ]
        assert tables["token_counts"] == [(0, 1), (127, 1), (300, 2), (70_000, 1)]


def test_the_words_are_what_the_format_says():
    """The rows of the index are windows: 1 and 2 of document a, which was replaced, 3 and 4 of b, 5 of a again."""
    _, schema, tables = dump(NEWEST)
    assert (
        "CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61 remove_diacritics 2')"
        in schema
    )
    assert tables["word_index"] == [(1, "porter", 0.25, 5)]
    assert tables["word_rows"] == [
        (key, first, spans, zlib.crc32(struct.pack("<qq", key, first) + spans))
        for key, first, spans in [(1, 5, struct.pack("<2i", 0, 6)), (4, 4, struct.pack("<2i", 0, 7))]
    ]
    connection = sqlite3.connect(f"file:{NEWEST / 'catalog.sqlite'}?immutable=1", uri=True)
    for word, rows in {
        "third": [5],
        "second": [4],
        "seconds": [4],
        "first": [],
        "text": [],
        "context": [],
    }.items():
        found = connection.execute("SELECT rowid FROM words WHERE words MATCH ?", [word]).fetchall()
        assert [row for (row,) in found] == rows
    connection.close()


def lengths_checksum(*texts):
    parts = [text.encode() for text in texts]
    return zlib.crc32(b"".join(struct.pack("<Q", len(part)) + part for part in parts))


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


def without_id(dumped):
    header, schema, tables = dumped
    return (
        header,
        schema,
        tables | {"settings": [row for row in tables["settings"] if row[0] != "collection"]},
    )


def test_the_same_changes_give_the_same_collection(tmp_path):
    write(tmp_path / "new")
    assert without_id(dump(tmp_path / "new")) == without_id(dump(NEWEST))
    for file in NEWEST.iterdir():
        if file.name != "catalog.sqlite":
            assert (tmp_path / "new" / file.name).read_bytes() == file.read_bytes(), file.name


def test_opening_and_reading_an_older_format_changes_no_byte(old):
    before, extras = contents(old), old.name != "format-1"
    store = Store(old, fingerprint=FINGERPRINT, indexed=["lang"])
    with store.read() as view:
        assert [one.id for one in view.matching(parse({"lang": "de"}))] == ["empty"]
        assert (view.get(["a"])[0].attachment is None) != extras
    assert len(store.get_sources(["whole é"])) == extras
    assert store.info().format_version == int(old.name[-1])
    assert (store.info().words is None) == (old.name not in ("format-3", "format-4"))
    assert store.verify() == []
    store.close()
    assert contents(old) == before


CHANGES = {
    "append": lambda store: store.append([replace(entry("z", 1), token_ids={300})]),
    "delete": lambda store: store.delete(["a"]),
    "compact": lambda store: store.compact(),
    "optimize": lambda store: store.write_codes(np.eye(2, 6, dtype=np.float32), np.zeros(5, np.uint16)),
    "migrate": lambda store: store.migrate(),
    "index words": lambda store: store.index_words("porter"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_write_brings_the_format_up_to_date(old, change):
    store, reader = Store(old, fingerprint=FINGERPRINT), Store(old, fingerprint=None)
    CHANGES[change](store)
    header, schema, tables = dump(old)
    newest = dump(NEWEST)
    assert header == newest[0]
    indexed = change == "index words" or old.name in ("format-3", "format-4")
    assert schema == [sql for sql in newest[1] if indexed or "word" not in sql]
    assert re.fullmatch("[0-9a-f]{32}", dict(tables["settings"])["collection"])
    assert store.verify() == []
    beside = Document("Second.", "b", {}, "", "whole", {"x": 1})
    store.append([], [Unchanged(beside, b"d" * 16)])
    assert reader.get_sources(["whole"]) == [beside]
    reader.close()
    store.close()


def test_a_collection_of_format_3_keeps_its_words_and_counts_tokens_when_it_is_asked_to(tmp_path):
    path = shutil.copytree(GOLDEN / "format-3", tmp_path / "third")
    before = dump(path)[2]
    store = Store(path, fingerprint=FINGERPRINT)
    with store.read() as view:
        assert view.token_counts([300]) is None
    store.count_tokens({"a": {300, 70_000}, "b": {0, 127, 300}, "empty": set()})
    with store.read() as view:
        assert view.token_counts([300, 5]) == {300: 2}
    assert store.verify() == []
    store.close()
    header, schema, tables = dump(path)
    assert (header, schema) == dump(NEWEST)[:2]
    assert {name: tables[name] for name in NEW_IN_4} == {name: dump(NEWEST)[2][name] for name in NEW_IN_4}
    assert tables["word_rows"] == before["word_rows"]


def test_a_write_that_fails_leaves_the_older_format(old, monkeypatch):
    store = Store(old, fingerprint=FINGERPRINT)
    before = dump(old)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("retrievers.store._io.commit", full)
    with pytest.raises(StoreError):
        store.delete(["a"])
    monkeypatch.undo()
    assert dump(old) == before
    assert store.delete(["a"]) == 1
    store.close()


def test_a_handle_says_so_when_another_process_migrates_beyond_it(golden):
    store = Store(golden, fingerprint=FINGERPRINT)
    with sqlite3.connect(golden / "catalog.sqlite") as newer:
        newer.execute("PRAGMA user_version = 6")
    newer.close()
    for call in (lambda: len(store), lambda: store.get(["a"]), lambda: store.delete(["a"]), store.compact):
        with pytest.raises(FormatVersionError, match="pip install --upgrade"):
            call()
    with pytest.raises(FormatVersionError), store.read():
        pass
    store.close()


if __name__ == "__main__":
    write(NEWEST)
    write(FOUR_BITS, bits=4)
