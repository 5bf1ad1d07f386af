"""A handle belongs to the directory that it opened, wherever that goes, and never touches what takes its place."""

import gc
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from retrievers.errors import CorruptStoreError, StoreError, StoreReplacedError
from retrievers.store import Store
from tests.store.rows import FINGERPRINT, entry, unchanged

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
USES = {
    "append": lambda store: store.append([entry("new", 3)]),
    "metadata": lambda store: store.append([], [unchanged(entry("a", n=1).document)]),
    "delete": lambda store: store.delete(["a"]),
    "delete all": lambda store: store.delete_matching(None),
    "compact": lambda store: store.compact(),
    "optimize": lambda store: optimize(store),
    "search": lambda store: look(store),
    "get": lambda store: store.get(["a"]),
    "len": len,
    "verify": lambda store: store.verify(),
    "info": lambda store: store.info(),
}


def optimize(store):
    with store.writing(), store.read() as view:
        store.write_codes(np.eye(2, 6, dtype=np.float32), np.zeros(len(view.rows), np.uint16))


def look(store):
    with store.read() as view:
        return [one.id for one in view.fetch(view.documents.tolist()).values()]


def filled(path, *names):
    store = Store(path, fingerprint=FINGERPRINT)
    store.append([entry(name, 3, text=f"text of {name}") for name in names])
    store.delete([names[-1]])
    return store


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if not file.name.endswith("-shm")}


@pytest.fixture(params=[True, False], ids=["used before", "just opened"])
def mine(request, path):
    """A store that was opened before its directory is touched, with or without connections and mapped files."""
    filled(path, "a", "b", "c").close()
    store = Store(path, fingerprint=None)
    if request.param:
        assert look(store) == ["a", "b"]
    yield store
    store.close()


@pytest.mark.parametrize("use", USES)
def test_a_directory_that_was_removed_and_built_anew_is_not_touched(mine, path, use):
    shutil.rmtree(path)
    filled(path, "x", "y", "z").close()
    before = contents(path)
    with pytest.raises(StoreReplacedError, match="Open the collection again"):
        USES[use](mine)
    mine.close()
    assert contents(path) == before
    assert look(Store(path, fingerprint=None)) == ["x", "y"]


@pytest.mark.parametrize("use", USES)
def test_files_that_were_replaced_inside_the_directory_are_not_touched(mine, path, tmp_path, use):
    filled(tmp_path / "other", "x", "y", "z").close()
    for file in path.iterdir():
        file.unlink()
    for file in (tmp_path / "other").iterdir():
        file.rename(path / file.name)
    before = contents(path)
    with pytest.raises(StoreReplacedError):
        USES[use](mine)
    mine.close()
    assert contents(path) == before


@linux
@pytest.mark.parametrize("use", USES)
def test_a_directory_that_was_renamed_is_gone_on_with_and_the_one_in_its_place_is_not_touched(
    mine, path, tmp_path, use
):
    filled(tmp_path / "prepared", "x", "y", "z").close()
    path.rename(tmp_path / "away")
    (tmp_path / "prepared").rename(path)
    before = contents(path)
    USES[use](mine)
    if use not in ("delete", "delete all"):
        assert [one.text for one in mine.get(["a", "x"])] == ["text of a"]
    mine.close()
    assert contents(path) == before
    moved = Store(tmp_path / "away", fingerprint=None)
    assert moved.verify() == []
    expected = {"append": ["a", "b", "new"], "delete": ["b"], "delete all": []}.get(use, ["a", "b"])
    assert look(moved) == expected
    moved.close()


def test_a_directory_that_is_replaced_between_the_lock_and_the_rows_is_not_touched(mine, path, monkeypatch):
    """The lock of the old directory is held when the new one comes."""
    create = mine._files.directory.create

    def replaced(name):
        if name.startswith("tokens"):
            monkeypatch.undo()
            for file in path.iterdir():
                file.unlink()
            filled(path, "x", "y", "z").close()
            before.update(contents(path))
        return create(name)

    before = {}
    monkeypatch.setattr(mine._files.directory, "create", replaced)
    with pytest.raises(StoreReplacedError):
        mine.append([entry("new", 2)])
    mine.close()
    assert contents(path) == before


@linux
def test_a_view_that_is_open_while_directories_are_swapped_reads_its_own(mine, path, tmp_path):
    filled(tmp_path / "prepared", "x", "y", "z").close()
    with mine.read() as view:
        path.rename(tmp_path / "away")
        (tmp_path / "prepared").rename(path)
        assert [one.text for one in view.get(["a", "x"])] == ["text of a"]
        assert len(view.fetch(view.documents.tolist())) == 2


def test_a_restored_backup_a_renamed_directory_and_a_copy_open(mine, path, tmp_path):
    mine.close()
    shutil.copytree(path, tmp_path / "backup")
    path.rename(tmp_path / "renamed")
    shutil.copytree(tmp_path / "backup", path)
    for place in (path, tmp_path / "backup", tmp_path / "renamed"):
        store = Store(place, fingerprint=FINGERPRINT)
        store.append([entry("new", 1)])
        assert look(store) == ["a", "b", "new"]
        store.close()


def test_a_tools_copy_of_the_catalogue_opens_and_is_written(mine, path, tmp_path):
    """VACUUM INTO and .backup leave a file without a write-ahead log."""
    import sqlite3

    mine.close()
    copy = sqlite3.connect(path / "catalog.sqlite")
    copy.execute("VACUUM INTO ?", [str(tmp_path / "copy.sqlite")])
    copy.close()
    (tmp_path / "copy.sqlite").rename(path / "catalog.sqlite")
    store = Store(path, fingerprint=FINGERPRINT)
    store.append([entry("new", 1)])
    assert look(store) == ["a", "b", "new"]
    assert "catalog.sqlite-wal" in os.listdir(path)
    store.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has names in Unicode alone")
def test_a_name_that_is_not_unicode_is_a_place_like_another(tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    store = filled(place, "a", "b")
    assert look(store) == ["a"]
    store.close()


# Files that are none


def open_append_and_look(path):
    store = Store(path, fingerprint=FINGERPRINT)
    try:
        store.append([entry("c", 2)])
        look(store)
    finally:
        store.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "directory", "socket", "device"])
@pytest.mark.parametrize(
    "name", ["tokens-000001.u8", "scales-000001.f32", "write.lock", "catalog.sqlite", "catalog.sqlite-wal"]
)
def test_only_regular_files_are_opened(path, tmp_path, name, kind):
    import socket

    filled(path, "a", "b").close()
    target = tmp_path / "target"
    file = path / name
    if file.exists():
        file.rename(target)
    elif kind == "link":
        target.write_bytes(b"of somebody else")
    before = target.read_bytes() if target.exists() else None
    if kind == "link":
        file.symlink_to(target)
    elif kind == "dangling link":
        file.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    elif kind == "socket":
        listening = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path)
        listening.bind(name)
        os.chdir(here)
        listening.close()
    else:
        try:
            os.mknod(file, 0o666 | 0o020000, os.makedev(1, 3))  # /dev/null
        except PermissionError:
            pytest.skip("only root can make a device")
    with pytest.raises(CorruptStoreError, match=f"{name} is a link, a FIFO"):
        open_append_and_look(path)
    assert (target.read_bytes() if target.exists() else None) == before
    assert not (tmp_path / "nowhere").exists()


def test_a_journal_that_names_other_files_is_not_followed(path):
    filled(path, "a", "b").close()
    (path / "catalog.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    with pytest.raises(CorruptStoreError, match="rollback journal"):
        Store(path, fingerprint=FINGERPRINT)


def test_a_catalogue_that_was_cut_off_at_a_page_is_refused_on_opening(path):
    filled(path, "a", "b").close()
    file = path / "catalog.sqlite"
    file.write_bytes(file.read_bytes()[:-4096])
    with pytest.raises(CorruptStoreError, match="damaged or not ours"):
        Store(path, fingerprint=FINGERPRINT)


@linux
def test_rows_that_were_never_written_cost_nothing(path):
    """A catalogue may claim 2**27 token rows, and sparse files agree, without a byte on the disk."""
    import sqlite3
    import zlib

    from retrievers.store.snapshot import WINDOW

    filled(path, "a", "b").close()
    count = 1 << 27
    windows = np.zeros(1, WINDOW)
    windows["key"], windows["tokens"] = 1, count
    blob = windows.tobytes()
    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        catalog.execute("DELETE FROM dead")
        catalog.execute(
            "UPDATE batches SET tokens = ?, windows = ?, checksum = ?", [count, blob, zlib.crc32(blob)]
        )
        catalog.execute("UPDATE state SET tokens = ?, live_tokens = ?, live_windows = 1", [count, count])
        catalog.execute("UPDATE documents SET tokens = ?", [count])
    catalog.close()
    os.truncate(path / "tokens-000001.u8", count * 8)
    os.truncate(path / "scales-000001.f32", count * 4)
    if os.stat(path / "tokens-000001.u8").st_blocks * 512 >= count:
        pytest.skip("this file system keeps no holes")
    store = Store(path, fingerprint=FINGERPRINT)
    with pytest.raises(CorruptStoreError, match="hole"), store.read():
        pass
    assert any("hole" in one.problem and one.ids == ("a",) for one in store.verify())
    store.close()


# Descriptors


@linux
def test_an_open_store_holds_few_descriptors(path):
    def count():
        numbers = os.listdir("/proc/self/fd")
        links = [f"/proc/self/fd/{number}" for number in numbers]
        return sum(os.readlink(link).startswith(str(path)) for link in links if os.path.lexists(link))

    filled(path, "a", "b").close()
    store = Store(path, fingerprint=FINGERPRINT)
    assert count() == 4  # the directory, and SQLite's file, log and index
    store.append([entry("c", 2)])
    assert look(store) == ["a", "c"]
    mapped = 0 if sys.version_info >= (3, 13) else 2  # rows and scales
    assert count() <= 4 + mapped + 2  # and a second connection for the next transaction
    store.close()
    del store
    gc.collect()
    assert count() == 0


READER = """
import os, sys
sys.path.insert(0, ".")
from pathlib import Path
from tests.store.rows import FINGERPRINT
from retrievers.errors import StoreError
from retrievers.store import Store
os.setgid(65534); os.setuid(65534)
store = Store(Path(sys.argv[1]), fingerprint=FINGERPRINT)
for line in sys.stdin:
    try:
        with store.read() as view:
            if line.strip() == "held":
                print("ready", flush=True)
                sys.stdin.readline()
            print(sorted(one.id for one in view.matching(None)), flush=True)
    except StoreError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become a user without rights")
def test_a_reader_without_write_permission_sees_what_is_committed(path):
    filled(path, "a", "b").close()
    for place in (path, *path.parents):
        if str(place) not in ("/", "/tmp") and place.stat().st_uid == 0:
            place.chmod(0o755)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(word="read"):
        reader.stdin.write(word + "\n")
        reader.stdin.flush()
        return reader.stdout.readline().strip()

    try:
        assert ask() == "['a']"  # no log is there
        writer = Store(path, fingerprint=FINGERPRINT)
        writer.append([entry("c", 1)])
        assert ask() == "['a', 'c']"  # a log, and its index
        writer.close()
        assert ask() == "['a', 'c']"
        writer = Store(path, fingerprint=FINGERPRINT)
        writer.append([entry("d", 2)])
        writer.compact()
        writer.close()
        assert ask() == "['a', 'c', 'd']"
    finally:
        reader.stdin.close()
        reader.wait(60)
        reader.stdout.close()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become a user without rights")
def test_a_reader_without_write_permission_says_so_when_the_directory_changes_under_it(path):
    filled(path, "a", "b").close()
    for place in (path, *path.parents):
        if str(place) not in ("/", "/tmp") and place.stat().st_uid == 0:
            place.chmod(0o755)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        reader.stdin.write("held\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "ready\n"
        writer = Store(path, fingerprint=FINGERPRINT)
        writer.append([entry("c", 1)])
        writer.close()
        reader.stdin.write("go on\nread\n")
        reader.stdin.flush()
        assert "was changed while it was read" in reader.stdout.readline()
        assert reader.stdout.readline().strip() == "['a', 'c']"
    finally:
        reader.stdin.close()
        reader.wait(60)
        reader.stdout.close()


def test_an_error_of_a_replaced_store_is_a_store_error():
    assert issubclass(StoreReplacedError, StoreError)
