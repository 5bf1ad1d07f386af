"""Exports in the format Parquet, and the stream of documents with their rows."""

from __future__ import annotations

import sys
from dataclasses import fields

import pytest

from retrievers import Collection, Document
from retrievers.collection import transfer
from retrievers.collection.parquet import BESIDE
from retrievers.errors import (
    CorruptStoreError,
    FormatVersionError,
    InvalidInputError,
    InvalidTypeError,
    MissingExtraError,
    ModelMismatchError,
    ModelNotFoundError,
    StoreError,
)
from retrievers.testing import HashingEncoder

parquet = pytest.importorskip("pyarrow.parquet", reason='needs pip install "maxsim-retrievers[parquet]"')


def encoder():
    return HashingEncoder(dim=10, document_length=3)


@pytest.fixture
def filled(tmp_path):
    with Collection(tmp_path / "index", encoder()) as made:
        made.add(
            [
                "one two three four five",
                Document("six seven", "b", {"n": 10**30, "list": [None, 1.5]}, context="title\n"),
                Document("", "c", source="book", attachment={"page": 3}),
                "eight",
            ],
            ids=["a", "b", "c", "d"],
        )
        made.add(["nine ten"], ids=["a"])
        yield made


def rows_of(collection):
    return [
        (document, encoded.spans, [(one.rows.tobytes(), one.scales.tobytes()) for one in encoded.matrices])
        for document, encoded in collection.stream()
    ]


def test_an_export_comes_back_byte_for_byte_and_nothing_is_encoded(filled, tmp_path):
    assert filled.export(tmp_path / "papers.parquet") == 4
    with Collection.from_export(tmp_path / "papers.parquet", tmp_path / "back", encoder()) as back:
        assert rows_of(back) == rows_of(filled)
        assert back.encoder.encoded_documents == 0
        assert back.search("six") == filled.search("six")
        assert back.verify() == []
    with Collection.from_export(tmp_path / "papers.parquet", None, encoder()) as back:
        assert rows_of(back) == rows_of(filled)
    again = Collection.from_export(tmp_path / "papers.parquet", tmp_path / "back")  # it is complete already
    assert again.fingerprint == filled.fingerprint


def test_an_export_can_be_read_by_others(filled, tmp_path):
    np = pytest.importorskip("numpy")
    filled.export(tmp_path / "papers.parquet")
    [row] = [one for one in parquet.read_table(tmp_path / "papers.parquet").to_pylist() if one["id"] == "b"]
    assert (row["text"], row["context"], row["starts"], row["ends"]) == ("six seven", "title\n", [0], [15])
    rows = np.frombuffer(row["rows"], np.uint8).reshape(3, 12)[:, :10]
    scales = np.frombuffer(row["scales"], np.float32)
    floats = (rows.astype(np.float32) - 128) * scales[:, None]
    [matrix] = encoder().encode_documents(["title six seven"])
    assert floats == pytest.approx(matrix, abs=0.01)


def test_the_stream_gives_what_is_asked_for(filled):
    assert filled.ids() == ["a", "b", "c", "d"]
    assert [document.id for document, _ in filled.stream(["d", "nowhere", "a", "d"])] == ["d", "a"]
    assert [len(encoded.matrices) for _, encoded in filled.stream()] == [1, 1, 0, 1]
    with pytest.raises(InvalidTypeError):
        filled.stream("a")


def test_an_export_that_exists_stays_and_one_that_fails_leaves_nothing(filled, tmp_path):
    path = tmp_path / "papers.parquet"
    path.write_bytes(b"mine")
    with pytest.raises(StoreError, match="exists already"):
        filled.export(path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(StoreError, match="cannot be written"):
        filled.export(tmp_path / "nowhere" / "papers.parquet")
    with pytest.raises(InvalidTypeError):
        filled.export(None)
    files = tmp_path / "index" / "tokens-000001.u8"
    files.write_bytes(bytes(files.stat().st_size))
    with Collection(tmp_path / "index", encoder()) as damaged, pytest.raises(CorruptStoreError):
        damaged.export(tmp_path / "damaged.parquet")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["index", "papers.parquet"]


def test_what_is_no_export_is_refused_and_nothing_is_made(filled, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    path, target = tmp_path / "papers.parquet", tmp_path / "back"
    filled.export(path)
    foreign = tmp_path / "foreign.parquet"
    parquet.write_table(pyarrow.table({"id": ["a"]}), foreign)
    newer = tmp_path / "newer.parquet"
    table = parquet.read_table(path)
    mark = {"maxsim-retrievers": '{"format": 3}'}
    parquet.write_table(table.replace_schema_metadata(mark), newer)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(path.read_bytes()[:-20])
    for place, error in (
        (foreign, CorruptStoreError),
        (cut, CorruptStoreError),
        (newer, FormatVersionError),
        (tmp_path / "none.parquet", StoreError),
    ):
        with pytest.raises(error):
            Collection.from_export(place, target, encoder())
    with pytest.raises(ModelMismatchError):
        Collection.from_export(path, target, HashingEncoder(dim=10, document_length=3, seed=1))
    assert not target.exists()
    filled.add(["extra"], ids=["extra"])
    with pytest.raises(InvalidInputError, match="'extra'"):
        Collection.from_export(path, tmp_path / "index", encoder())


def test_rows_that_were_changed_in_an_export_are_noticed(filled, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "papers.parquet"
    filled.export(path)
    table, head = parquet.read_table(path), parquet.ParquetFile(path).metadata.metadata
    rows = table.column("rows").to_pylist()
    rows[0] = bytes([rows[0][0] ^ 1]) + rows[0][1:]
    place = table.schema.get_field_index("rows")
    table = table.set_column(place, table.schema.field("rows"), pyarrow.array(rows, pyarrow.large_binary()))
    table = table.replace_schema_metadata({b"maxsim-retrievers": head[b"maxsim-retrievers"]})
    parquet.write_table(table, tmp_path / "changed.parquet")
    with pytest.raises(CorruptStoreError, match="digest"):
        Collection.from_export(tmp_path / "changed.parquet", tmp_path / "back", encoder())


def test_without_pyarrow_the_error_names_the_extra(filled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"maxsim-retrievers\[parquet\]"):
        filled.export(tmp_path / "papers.parquet")
    with pytest.raises(MissingExtraError, match=r"maxsim-retrievers\[parquet\]"):
        Collection.from_export(tmp_path / "papers.parquet", tmp_path / "back")


def test_an_export_has_a_column_for_every_field_of_a_document():
    assert {one.name for one in fields(Document)} == set(BESIDE)


def test_no_directory_that_an_export_names_is_loaded(tmp_path):
    own = {"identity": 2, "model": "stranger", "dim": 10, "documents": {"digest": "x"}, "options": {}}
    own["origin"] = {"kind": "directory", "name": str(tmp_path / "model"), "commit": None}
    with Collection(tmp_path / "index", transfer.KnownModel(own)) as there:
        [matrix] = encoder().encode_documents(["one"])
        there.add(["one"], matrices=[matrix])
        there.export(tmp_path / "papers.parquet")
    with Collection.from_export(tmp_path / "papers.parquet", tmp_path / "back") as back:
        assert len(back.search(matrix)) == 1
        with pytest.raises(ModelNotFoundError, match="may be a stranger's"):
            back.search("one")


def test_an_import_weighs_a_question_as_its_origin_does(minilm, tmp_path):
    texts = ["The moon pulls the sea.", "The baker sells bread.", "The sea is salt.", "Bread needs salt."]
    with Collection(tmp_path / "origin", minilm) as origin:
        origin.add(texts)
        origin.export(tmp_path / "first.parquet")
        origin.add(["The moon is far."])
        origin.export(tmp_path / "second.parquet")
        expected = origin.search_many(["the salt of the sea", "the moon"], k=4)
    for name in ("first", "second"):  # the second goes on in a directory that counts already
        with Collection.from_export(tmp_path / f"{name}.parquet", tmp_path / "copy") as copied:
            assert copied.info().counts_tokens
            found = copied.search_many(["the salt of the sea", "the moon"], k=4)
    assert found == expected


def test_an_import_whose_model_is_not_at_hand_says_what_is_left(minilm, tmp_path, monkeypatch):
    with Collection(tmp_path / "origin", minilm) as origin:
        origin.add(["The moon pulls the sea."])
        origin.export(tmp_path / "origin.parquet")

    def absent(*_, **__):
        raise ModelNotFoundError("there is no such model.")

    monkeypatch.setattr(Collection, "count_tokens", absent)
    with (
        pytest.warns(UserWarning, match="are not counted.*`retrievers count-tokens`"),
        Collection.from_export(tmp_path / "origin.parquet", tmp_path / "copy") as copied,
    ):
        assert len(copied) == 1
