"""What a directory must be, and what happens when it is something else."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from retrievers.errors import (
    CorruptStoreError,
    FormatVersionError,
    InvalidInputError,
    ModelMismatchError,
    StoreError,
)
from retrievers.filters import parse
from retrievers.store import Store
from tests.store.rows import FINGERPRINT, entry, unchanged

unix = pytest.mark.skipif(sys.platform == "win32", reason="permissions and links of POSIX")


def filled(path) -> Path:
    with_documents = Store(path, fingerprint=FINGERPRINT)
    with_documents.append([entry("a", 3), entry("b", 2)])
    with_documents.append([entry("c", 4)])
    with_documents.close()
    return path


def sql(path, statement, *values):
    connection = sqlite3.connect(path / "catalog.sqlite", isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def test_a_directory_is_found_again(path):
    filled(path)
    store = Store(path, fingerprint=None)
    assert (len(store), store.dim, store.fingerprint) == (3, 6, FINGERPRINT)
    store.close()


def test_no_collection_is_made_without_a_fingerprint(path):
    with pytest.raises(StoreError, match="retrievers index"):
        Store(path, fingerprint=None)
    assert not path.exists()


def test_another_encoder_is_refused_with_both_names(path):
    filled(path)
    with pytest.raises(ModelMismatchError, match=r"'random' \(6 dimensions\).*'other' \(6\)"):
        Store(path, fingerprint={"model": "other", "dim": 6})


@pytest.mark.parametrize("dim", [0, -1, 70_000, "6", None, True])
def test_a_fingerprint_without_a_sensible_dim_is_refused(path, dim):
    with pytest.raises(InvalidInputError, match="dim"):
        Store(path, fingerprint={"model": "m", "dim": dim})
    assert not path.exists()


def test_a_newer_format_is_refused_with_the_command_that_helps(path):
    sql(filled(path), "PRAGMA user_version = 99")
    with pytest.raises(FormatVersionError, match="pip install --upgrade"):
        Store(path, fingerprint=None)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(CorruptStoreError, match="is a file"):
        Store(tmp_path / "file", fingerprint=FINGERPRINT)


def test_a_database_of_another_program_is_refused(path):
    path.mkdir()
    sql(path, "CREATE TABLE notes (text)")
    with pytest.raises(CorruptStoreError, match="another program"):
        Store(path, fingerprint=FINGERPRINT)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER UPDATE ON state BEGIN DELETE FROM documents; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP INDEX field_values",
    ],
)
def test_other_tables_than_ours_are_refused(path, statement):
    sql(filled(path), statement)
    with pytest.raises(CorruptStoreError, match="other tables"):
        Store(path, fingerprint=None)


def test_token_files_without_a_catalogue_are_not_taken_for_a_new_collection(path):
    (filled(path) / "catalog.sqlite").unlink()
    with pytest.raises(CorruptStoreError, match=r"no catalog\.sqlite"):
        Store(path, fingerprint=FINGERPRINT)


@pytest.mark.parametrize("name", ["tokens-000001.u8", "scales-000001.f32"])
def test_a_cut_off_file_is_refused_and_verify_names_the_documents(path, name):
    file = filled(path) / name
    file.write_bytes(file.read_bytes()[:-1])
    store = Store(path, fingerprint=None)
    with pytest.raises(CorruptStoreError, match=name), store.read():
        pass
    with pytest.raises(CorruptStoreError, match=name):
        store.append([entry("d", 1)])
    assert [(damage.file, damage.ids) for damage in store.verify()] == [(name, ("c",))]
    # The others can be saved.
    store.delete(["c"])
    store.compact()
    assert store.verify() == []
    with store.read() as view:
        assert sorted(one.id for one in view.fetch(view.documents.tolist()).values()) == ["a", "b"]
    store.close()


def test_a_lost_file_is_refused(path):
    (filled(path) / "scales-000001.f32").unlink()
    store = Store(path, fingerprint=None)
    with pytest.raises(CorruptStoreError, match=r"scales-000001\.f32 is missing"), store.read():
        pass
    store.close()


@pytest.mark.parametrize("name", ["tokens-000001.u8", "scales-000001.f32"])
def test_one_flipped_bit_is_found_where_it_is(path, name):
    file = filled(path) / name
    data = bytearray(file.read_bytes())
    data[len(data) * 4 // 9] ^= 4  # the fourth of nine rows: the first of document b
    file.write_bytes(data)
    store = Store(path, fingerprint=None)
    [damage] = store.verify()
    assert damage.ids == ("b",)
    with store.read() as view:
        view.fetch([1, 3])
        with pytest.raises(CorruptStoreError, match="'b'"):
            view.fetch([2])
    store.delete(["a"])
    with pytest.raises(CorruptStoreError, match="'b'"):
        store.compact()
    store.close()


@pytest.mark.parametrize(
    ("statement", "ids"),
    [
        ("UPDATE texts SET text = 'other' WHERE key = 2", ("b",)),
        ("UPDATE metadata SET json = '{}' WHERE key = 3", ("c",)),
        ("UPDATE documents SET id = 'z' WHERE key = 1", ("z",)),
        ("INSERT INTO fields VALUES (1, 2, x'04', 0)", ("b",)),
        ("UPDATE state SET documents = 7", ()),
        ("UPDATE state SET live_windows = 2", ()),
        ("UPDATE batches SET windows = x'' WHERE batch = 1", ()),
        ("DELETE FROM batches WHERE batch = 2", ()),
        ("UPDATE state SET tokens = 1 << 40", ()),
        ("INSERT INTO dead VALUES (1, 2, 9)", ()),
    ],
)
def test_verify_finds_what_was_changed_in_the_catalogue(path, statement, ids):
    filled(path)
    store = Store(path, fingerprint=None)
    assert store.verify() == []
    store.append([], [unchanged(entry("c", n=1).document)])
    sql(path, statement)
    found = store.verify()
    assert found
    assert found[0].ids == ids
    store.close()


def test_a_filter_that_finds_what_it_does_not_keep_is_an_error(path):
    filled(path)
    store = Store(path, fingerprint=None)
    store.append([], [unchanged(entry(name, n=n).document) for n, name in enumerate("abc")])
    sql(path, "UPDATE fields SET value = (SELECT value FROM fields WHERE key = 1) WHERE key = 2")
    with store.read() as view:
        found = view.documents[view.select(parse({"n": 0}))]
        assert found.tolist() == [1, 2]
        with pytest.raises(CorruptStoreError, match="does not keep"):
            view.fetch(found)
    store.close()


def test_rows_after_the_last_commit_are_written_over(path):
    with (filled(path) / "tokens-000001.u8").open("ab") as file:
        file.write(b"\xff" * 1000)
    store = Store(path, fingerprint=None)
    store.append([entry("d", 3)])
    assert store.verify() == []
    store.close()


def test_a_new_index_is_a_write_as_any_other_and_takes_leftovers_away(path):
    filled(path)
    (path / "tokens-000099.u8").write_bytes(b"of a writer that was killed")
    store = Store(path, fingerprint=FINGERPRINT, indexed=["n"])
    assert not (path / "tokens-000099.u8").exists()
    assert len(store) == 3
    store.close()


@pytest.mark.skipif(
    sys.platform == "win32" or os.getuid() != 0, reason="needs to become another user: run as root"
)
def test_a_folder_that_may_not_be_entered_is_named(tmp_path):
    closed = tmp_path / "closed"
    filled(closed / "collection")
    closed.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"closed.collection cannot be read.*Permission denied"):
            Store.exists(closed / "collection")
    finally:
        os.seteuid(0)
    assert Store.exists(closed / "collection")


def test_leftovers_of_a_broken_compaction_go_with_the_next(path):
    (filled(path) / "tokens-000002.u8").write_bytes(b"x" * 10_000)
    (path / "codes-000009.u16").write_bytes(b"x")
    (path / "notes.txt").write_text("of the user")
    store = Store(path, fingerprint=None)
    store.delete(["a"])
    store.compact()
    assert store.verify() == []
    store.close()
    assert sorted(file.name for file in path.iterdir()) == [
        "catalog.sqlite",
        "notes.txt",
        "scales-000002.f32",
        "tokens-000002.u8",
        "write.lock",
    ]


@unix
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_permissions_follow_the_umask(path, umask, mode):
    before = os.umask(umask)
    try:
        store = Store(path, fingerprint=FINGERPRINT)
        store.append([entry("a", 1)])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert "catalog.sqlite-wal" in modes
    assert set(modes.values()) == {mode}


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(Path("here"), fingerprint=FINGERPRINT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.append([entry("a", 1)])
    assert len(store) == 1
    store.close()
    assert (tmp_path / "here" / "tokens-000001.u8").exists()


@unix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = Store(tmp_path / "link", fingerprint=FINGERPRINT)
    store.append([entry("a", 1)])
    store.close()
    assert len(Store(tmp_path / "real", fingerprint=None)) == 1


def test_a_path_may_hold_any_character(tmp_path):
    store = Store(tmp_path / "what? #1 100% é", fingerprint=FINGERPRINT)
    store.append([entry("a", 1)])
    store.close()
    assert len(Store(tmp_path / "what? #1 100% é", fingerprint=None)) == 1


READ_ONLY = """
import mmap, os, sys
sys.path.insert(0, ".")
from pathlib import Path
from tests.store.rows import FINGERPRINT, entry
from retrievers.errors import StoreError
from retrievers.store import Store
late = entry("z", 1)
os.setgid(65534); os.setuid(65534)
store = Store(Path(sys.argv[1]), fingerprint=FINGERPRINT)
with store.read() as view:
    print(sorted(one.id for one in view.fetch(view.documents.tolist()).values()))
for change in (lambda: store.append([late]), lambda: store.delete(["a"]), store.compact):
    try:
        change()
        print("changed")
    except StoreError as error:
        print("StoreError")
try:
    Store(Path(sys.argv[1]) / "new", fingerprint=FINGERPRINT)
except StoreError:
    print("StoreError")
"""


@unix
@pytest.mark.skipif(
    os.name != "nt" and os.geteuid() != 0, reason="only root can become a user without rights"
)
def test_a_read_only_directory_can_be_read_and_not_changed(tmp_path):
    path = filled(tmp_path / "c")
    for directory in (path, *path.parents):
        if directory != Path("/") and directory.stat().st_uid == 0 and str(directory) != "/tmp":
            directory.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["['a', 'b', 'c']", *["StoreError"] * 4], done.stderr
    assert len(Store(path, fingerprint=None)) == 3


def test_a_count_of_token_rows_that_is_no_number_is_refused_by_name(tmp_path):
    path = filled(tmp_path / "index")
    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE documents SET tokens = 'x' WHERE id = 'a'")
    catalog.close()
    store = Store(path, fingerprint=FINGERPRINT)
    with pytest.raises(CorruptStoreError, match="'x' token rows"):
        store.append([entry("a", 1)])
    with pytest.raises(CorruptStoreError, match="'x' token rows"):
        store.delete(["a"])
    assert len(store) == 3


def test_an_emptied_catalogue_beside_token_files_is_no_new_collection(tmp_path):
    path = filled(tmp_path / "index")
    rows = (path / "tokens-000001.u8").read_bytes()
    (path / "catalog.sqlite").write_bytes(b"")
    with pytest.raises(CorruptStoreError, match="or an empty one"):
        Store(path, fingerprint=FINGERPRINT)
    assert (path / "tokens-000001.u8").read_bytes() == rows
