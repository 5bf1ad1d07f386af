"""Many readers and one writer, in threads and in processes."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from retrievers import Collection
from retrievers.errors import StoreLockedError
from retrievers.store import Store
from retrievers.testing import HashingEncoder
from tests.store.rows import FINGERPRINT, entry

unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
DOCUMENTS = 10_000
READERS = 4


def in_child(work):
    """Run a function in a forked child; its exit status."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1]


def test_a_second_writer_waits_and_then_says_so(path):
    first = Store(path, fingerprint=FINGERPRINT)
    second = Store(path, fingerprint=FINGERPRINT, timeout=0.1)
    with first.writing(), pytest.raises(StoreLockedError, match=r"0\.1 s"):
        second.append([entry("a", 1)])
    second.append([entry("a", 1)])
    assert len(first) == 1
    first.close()
    second.close()


def test_a_second_writer_goes_on_when_the_first_is_done(path):
    first = Store(path, fingerprint=FINGERPRINT)
    second = Store(path, fingerprint=FINGERPRINT, timeout=30)
    waiting = threading.Thread(target=lambda: second.append([entry("b", 1)]))
    with first.writing():
        waiting.start()
        first.append([entry("a", 1)])
    waiting.join()
    assert [one.id for one in first.get(["a", "b"])] == ["a", "b"]
    first.close()
    second.close()


@unix
def test_a_killed_writer_leaves_no_lock(path):
    Store(path, fingerprint=FINGERPRINT).close()
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        with Store(path, fingerprint=None).writing():
            os.write(writing, b"locked")
            time.sleep(60)
        os._exit(1)
    assert os.read(reading, 6) == b"locked"
    store = Store(path, fingerprint=None, timeout=0.05)
    with pytest.raises(StoreLockedError):
        store.delete(["a"])
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    store.append([entry("a", 1)])
    assert len(store) == 1
    store.close()


def test_a_commit_is_seen_without_opening_again(path):
    writer, reader = Store(path, fingerprint=FINGERPRINT), Store(path, fingerprint=FINGERPRINT)
    for number in range(5):
        writer.append([entry(f"d{number}", 2)])
        with reader.read() as view:
            assert len(view.starts) == number + 1
            assert len(view.rows) == 2 * (number + 1)
    writer.delete(["d0", "d1", "d2"])
    writer.compact()
    with reader.read() as view:
        assert len(view.rows) == 4
        assert len(view.fetch(view.documents.tolist())) == 2
    writer.close()
    reader.close()


@unix
def test_a_forked_child_reads_and_writes_and_the_parent_goes_on(path):
    store = Store(path, fingerprint=FINGERPRINT)
    store.append([entry("a", 1)])
    with store.read() as view:
        assert len(view.starts) == 1

    def work():
        assert len(store) == 1
        store.append([entry("b", 1)])
        with store.read() as view:
            assert len(view.starts) == 2

    assert in_child(work) == 0
    store.append([entry("c", 1)])
    assert [one.id for one in store.get(["a", "b", "c"])] == ["a", "b", "c"]
    assert store.verify() == []
    store.close()


@unix
def test_a_fork_in_the_middle_of_another_threads_write_is_safe(make):
    store = make()
    store.append([entry("a", 1)])
    held, done = threading.Event(), threading.Event()

    def write():
        with store.writing():
            held.set()
            done.wait(30)
            store.append([entry("b", 1)])

    thread = threading.Thread(target=write)
    thread.start()
    held.wait(30)

    def work():
        assert len(store) == 1
        if store.path is None:
            store.append([entry("c", 1)])  # the child's copy has a lock of its own
            assert len(store) == 2

    assert in_child(work) == 0
    done.set()
    thread.join()
    assert len(store) == 2


def test_threads_share_a_store(make):
    store = make(timeout=60)
    store.append([entry("d0", 3)])
    failures = []
    done = threading.Event()

    def read():
        try:
            while not done.is_set():
                with store.read() as view:
                    found = view.fetch(view.documents.tolist())
                    assert len(found) == len(view)
                    assert [one.id for one in found.values()] == [f"d{n}" for n in range(len(found))]
                    assert len(view.starts) == len(view)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 60):
            store.append([entry(f"d{number}", 3)])
            store.append([entry(f"d{number // 2}", 2)])
            if number % 20 == 0:
                store.compact()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(store) == 60


def read_beside_a_writer(path, acknowledged, finished, results):
    """Search for documents that were acknowledged, until the writer is done; the number of searches."""
    import random

    collection = Collection(path, HashingEncoder(dim=8), timeout=30)
    rng, searches = random.Random(os.getpid()), 0
    try:
        while not finished.is_set() or not searches:
            known = acknowledged.value
            assert len(collection) >= known
            if not known:
                continue
            number = rng.randrange(known)
            hits = collection.search(f"word{number}", k=3, filter={"n": {"$gte": number, "$lt": number + 10}})
            assert hits[0].id == f"d{number}", (number, known, hits)
            assert hits[0].text == f"word{number}"
            assert hits[0].score == pytest.approx(1, abs=0.02)
            assert len(hits) >= min(3, known - number)
            searches += 1
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")
        raise
    results.put(searches)


def test_four_processes_search_while_a_fifth_adds_and_compacts(path, show):
    context = multiprocessing.get_context("spawn")
    acknowledged, finished, results = context.Value("q", 0), context.Event(), context.Queue()
    collection = Collection(path, HashingEncoder(dim=8), indexed=["n"])
    readers = [
        context.Process(target=read_beside_a_writer, args=(path, acknowledged, finished, results))
        for _ in range(READERS)
    ]
    for reader in readers:
        reader.start()
    try:
        for first in range(0, DOCUMENTS, 200):
            numbers = range(first, first + 200)
            collection.add(
                [f"word{n}" for n in numbers],
                ids=[f"d{n}" for n in numbers],
                metadatas=[{"n": n} for n in numbers],
                show_progress=False,
            )
            acknowledged.value = first + 200
            if first in (DOCUMENTS // 2, DOCUMENTS - 200):
                # Text and place stay, the rows are written anew, so that compact has something to do.
                collection.delete([f"x{n}" for n in range(50)])
                collection.add(["gone"] * 50, ids=[f"x{n}" for n in range(50)], show_progress=False)
                collection.delete([f"x{n}" for n in range(50)])
                collection.compact()
    finally:
        finished.set()
    searches = [results.get(timeout=120) for _ in readers]
    for reader in readers:
        reader.join(60)
    show(f"{searches} searches in {READERS} processes beside a writer of {DOCUMENTS} documents")
    assert all(isinstance(count, int) and count > 0 for count in searches), searches
    assert collection.info().generation == 3
    assert collection.verify() == []
    collection.close()
