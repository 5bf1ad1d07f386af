"""An interrupt at any line leaves every lock free, no transaction open and no descriptor lost."""

import gc
import itertools
import os
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from retrievers.errors import StoreError
from retrievers.store import Store
from tests.store.rows import FINGERPRINT, entry

ROOM = os.path.dirname(sys.modules[Store.__module__].__file__)


class Interrupting:
    """Raises KeyboardInterrupt at the nth line, or return, that a thread reaches inside some files."""

    def __init__(self, at, files):
        self.at, self.files = at, files
        self.seen = 0

    def __call__(self, frame, event, argument):
        name = frame.f_code.co_filename
        if not name.startswith(ROOM) or os.path.basename(name) not in self.files:
            return None
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                return None  # there the interpreter itself swallows an interrupt
            frame = frame.f_back
        return self.line

    def line(self, frame, event, argument):
        if event == "line":
            self.seen += 1
            if self.seen == self.at + 1:
                raise KeyboardInterrupt
        return self.line


def interrupted(call, at, files):
    """Call; whether the interrupt came, and the error with its frames, which live as in a notebook."""
    before = sys.gettrace()
    tracer = Interrupting(at, files)
    error = None
    sys.settrace(tracer)
    try:
        call()
    except KeyboardInterrupt as caught:
        error = caught
    finally:
        sys.settrace(before)
    return tracer.seen > at, error


def in_thread(call):
    failures = []

    def run():
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert failures == []


def optimize(store):
    with store.read() as view:
        tokens = len(view.rows)
    store.write_codes(np.eye(2, 6, dtype=np.float32), np.zeros(tokens, np.uint16))


def compact(store):
    store.append([entry("a", 1, text="newer")])
    store.compact()


CALLS = {
    "append": lambda store: store.append([entry("new", 1), entry("a", 1, text="new")]),
    "delete": lambda store: store.delete(["a", "new"]),
    "function": lambda store: store.delete_matching(lambda document: document.id == "a"),
    "get": lambda store: store.get(["a"]),
    "len": len,
}
# Every line that takes, holds or lets go of something; the others are inside of these.
FILES = (
    "lock.py",
    "transaction.py",
    "catalog.py",
    "memory.py",
    "directory.py",
    "store.py",
    "writes.py",
    "migrations.py",
)


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupt_at_any_line_leaves_nothing_locked(make, call):
    store = make(timeout=0.2)
    store.append([entry("a", 2), entry("b", 1)])
    errors = []
    for at in itertools.count(0, 1 if call == "delete" else 5):
        came, error = interrupted(lambda: CALLS[call](store), at, FILES)
        if not came:
            break
        errors.append(error)  # its frames live on
        in_thread(lambda at=at: store.append([entry("b", 1, text=f"{at}"), entry("a", 1, text=f"{at}")]))
        assert store.get(["b"])[0].text == f"{at}"
    assert sum(error is not None for error in errors) > (30 if call == "delete" else 3)
    assert store.verify() == []


@pytest.mark.parametrize("call", ["compact", "optimize"])
def test_an_interrupted_compaction_or_optimisation_leaves_no_file(path, call):
    store = Store(path, fingerprint=FINGERPRINT, timeout=0.2)
    store.append([entry("a", 2), entry("b", 1)])
    change = {"compact": compact, "optimize": optimize}[call]
    errors = []
    for at in itertools.count(0, 7):
        came, error = interrupted(lambda: change(store), at, FILES)
        if not came:
            break
        errors.append(error)
        in_thread(lambda: store.append([entry("b", 1)]))
        generations = [name for name in os.listdir(path) if name.startswith("tokens")]
        assert len(generations) == 1
        assert len([name for name in os.listdir(path) if name.startswith("codes")]) <= 1
    assert store.verify() == []
    store.close()


def open_files():
    """What this process has open inside of temporary directories, twice open counted twice."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue
    return Counter(names)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_an_interrupt_loses_no_descriptor(path):
    store = Store(path, fingerprint=FINGERPRINT, timeout=0.2)
    store.append([entry("a", 2)])
    before = open_files()
    for at in itertools.count(0, 3):
        came, _ = interrupted(lambda at=at: store.append([entry("b", 1, text=f"{at}")]), at, FILES)
        if not came:
            break
    assert at > 100
    gc.collect()  # the frames of an interrupt hold each other
    more = open_files() - before
    # SQLite keeps a descriptor of the catalogue for its next connection where closing it would give up locks.
    assert sum(count for name, count in more.items() if not name.endswith("catalog.sqlite")) <= 1
    assert sum(more.values()) <= 5
    store.close()


def test_an_interrupt_while_opening_or_creating_leaves_a_place_that_opens(tmp_path):
    for at in itertools.count(0, 9):
        path = tmp_path / f"{at}"
        came, error = interrupted(
            lambda path=path: Store(path, fingerprint=FINGERPRINT, timeout=0.2).close(), at, FILES
        )
        in_thread(lambda path=path: Store(path, fingerprint=FINGERPRINT, timeout=0.2).append([entry("a", 1)]))
        assert not [name for name in os.listdir(path) if ".new" in name]
        if not came:
            break
        assert error is not None or at > 0


def test_a_writer_that_waits_for_a_thread_says_so():
    store = Store(None, fingerprint=FINGERPRINT, timeout=0.05)
    failures = []

    def other():
        try:
            store.append([entry("a", 1)])
        except StoreError as error:
            failures.append(str(error))

    with store.writing():
        in_thread(other)
    assert "another thread of this process" in failures[0]
    in_thread(other)
    assert len(failures) == 1
    store.close()
