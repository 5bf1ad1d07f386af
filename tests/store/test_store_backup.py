"""A backup is one commit, whole, while writers go on; pages and updates go by id."""

import errno
import os
import signal
import threading

import numpy as np
import pytest

from retrievers.errors import InvalidInputError, StoreError
from retrievers.filters import parse
from retrievers.store import Store
from retrievers.types import Document
from tests.store.rows import FINGERPRINT, entry

unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def look(store):
    with store.read() as view:
        return [one.id for one in view.fetch(view.documents.tolist()).values()]


def filled(make):
    store = make(indexed=["n"])
    store.append([entry(f"d{n}", 2, 1, n=n) for n in range(6)])
    store.write_codes(np.eye(3, 6, dtype=np.float32), np.zeros(18, np.uint16))
    store.append([entry("d6", 3, n=6)])
    store.delete(["d0"])
    return store


def test_a_backup_is_the_same_collection(make, tmp_path):
    store = filled(make)
    store.backup(tmp_path / "copy")
    store.append([entry("late", 1)])
    copy = Store(tmp_path / "copy", fingerprint=FINGERPRINT)
    assert copy.verify() == []
    assert look(copy) == [f"d{n}" for n in range(1, 7)]
    with copy.read() as view:
        assert view.select(parse({"n": {"$gte": 5}})).tolist() == [8, 9, 10]
        assert view.codes is not None
    copy.append([entry("new", 1)])
    copy.compact()
    assert look(copy) == [*(f"d{n}" for n in range(1, 7)), "new"]
    assert look(store) == [*(f"d{n}" for n in range(1, 7)), "late"]
    copy.close()
    assert [name for name in os.listdir(tmp_path) if "unfinished" in name] == []


def test_an_empty_store_is_backed_up(make, tmp_path):
    make().backup(tmp_path / "copy")
    assert len(Store(tmp_path / "copy", fingerprint=FINGERPRINT)) == 0


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_a_backup_takes_no_place_that_is_taken(make, tmp_path, kind):
    place = tmp_path / "taken"
    if kind == "directory":
        place.mkdir()
    elif kind == "file":
        place.write_text("text")
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="exists"):
        make().backup(place)
    with pytest.raises(StoreError, match="no directory"):
        make().backup(tmp_path / "no" / "place")


def test_backups_while_a_writer_adds_replaces_deletes_and_compacts(path, tmp_path):
    """Every commit has documents of one revision: so must every backup."""
    store = Store(path, fingerprint=FINGERPRINT, timeout=60)
    reader = Store(path, fingerprint=FINGERPRINT)
    store.append([entry(f"d{n}", 2, revision=0) for n in range(5)])
    done, failures = threading.Event(), []

    def change():
        try:
            revision = 0
            while not done.is_set():
                revision += 1
                store.append([entry(f"d{n}", 2, text=f"{revision}", revision=revision) for n in range(5)])
                if revision % 3 == 0:
                    store.compact()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(12):
            reader.backup(tmp_path / f"copy{number}")
            copy = Store(tmp_path / f"copy{number}", fingerprint=FINGERPRINT)
            assert copy.verify() == []
            with copy.read() as view:
                assert len({one.metadata["revision"] for one in view.matching(None)}) == 1
            copy.close()
    finally:
        done.set()
        thread.join()
    assert failures == []
    store.close()
    reader.close()


STEPS = ("make_directory", "open_file", "write", "fsync", "fsync_directory", "copy", "publish")


@unix
@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("step", STEPS)
def test_a_backup_that_is_broken_off_leaves_no_half_copy(path, tmp_path, monkeypatch, step, how):
    from retrievers.store import _io

    store = filled(lambda **options: Store(path, fingerprint=FINGERPRINT, **options))
    call = getattr(_io, step)

    def broken(*arguments):
        if how == "fail":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        call(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    place = tmp_path / "backups" / "copy"
    place.parent.mkdir()
    child = os.fork()
    if not child:
        monkeypatch.setattr(_io, step, broken)
        try:
            store.backup(place)
        except StoreError:
            os._exit(7)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status == (signal.SIGKILL if how == "kill" else 7 << 8)
    if how == "fail":
        assert os.listdir(place.parent) == []
    published = how == "kill" and step == "publish"
    assert place.exists() == published
    if not published:
        store.backup(place)
    assert os.listdir(place.parent) == ["copy"]
    copy = Store(place, fingerprint=FINGERPRINT)
    assert copy.verify() == []
    assert look(copy) == look(store)
    copy.close()
    store.close()


# Pages and updates


def test_pages_follow_each_other_in_order_of_insertion(make):
    store = make()
    store.append([entry(f"d{n}", 1, even=n % 2 == 0) for n in range(7)])
    store.delete(["d3"])
    pages, after = [], None
    while page := store.page(limit=4, after=after):
        pages.append([one.id for one in page])
        after = page[-1].id
    assert pages == [["d0", "d1", "d2", "d4"], ["d5", "d6"]]
    even = parse({"even": True})
    assert [one.id for one in store.page(even, limit=2)] == ["d0", "d2"]
    assert [one.id for one in store.page(even, limit=9, after="d2")] == ["d4", "d6"]
    with pytest.raises(InvalidInputError, match="'d3', which is not stored"):
        store.page(limit=1, after="d3")


def test_metadata_are_updated_without_texts_all_or_none(make):
    store = make()
    store.append([entry("a", 1, n=1), entry("b", 1, n=1)])
    with pytest.raises(InvalidInputError, match="'unknown' is not stored"):
        store.update({"a": {"n": 2}, "unknown": {}})
    assert [one.metadata for one in store.get(["a", "b"])] == [{"n": 1}, {"n": 1}]
    store.update({"b": {"m": 3}, "a": {"n": 1}})
    assert store.get(["b"]) == [Document("some text", "b", {"m": 3})]
    with store.read() as view:
        assert view.select(parse({"m": 3})).tolist() == [1]
        version = view.version
    store.update({"b": {"m": 3}})
    with store.read() as view:
        assert view.version == version
