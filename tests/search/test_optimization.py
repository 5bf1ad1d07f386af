"""optimize: every row gets its code, whatever happens meanwhile, and one that was broken off is gone on with."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from retrievers.errors import StoreError
from retrievers.search import centroids, optimization, optimize
from retrievers.store import Entry, Store, _io
from retrievers.store.unfinished import NAME
from retrievers.types import Document

FINGERPRINT = {"model": "random", "dim": 16}


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def entries(rng, names, dim=16):
    return [
        Entry(
            Document(name, id=name), name.encode().ljust(16), [(0, 1)], [unit(rng.standard_normal((9, dim)))]
        )
        for name in names
    ]


@pytest.fixture(params=[8, 4], ids=["8 bits", "4 bits"])
def store(request):
    opened = Store(None, fingerprint=FINGERPRINT, bits=request.param, assign=centroids.assign)
    yield opened
    opened.close()


def test_optimize_gives_every_row_its_code_and_new_rows_theirs(store):
    rng = np.random.default_rng(0)
    store.append(entries(rng, ["a", "b", "c", "d"]))
    optimize(store, n_centroids=8)
    store.append(entries(rng, ["e"]))
    with store.read() as view:
        assert view.centroids.shape == (8, 16)
        expected = centroids.assign(view.rows, view.scales, view.centroids, view.bits)
        assert view.codes.tolist() == expected.tolist()


def test_optimize_trains_on_live_rows_only(store):
    rng = np.random.default_rng(0)
    store.append(entries(rng, ["a", "b", "c", "d"]))
    store.delete(["a", "c"])
    optimize(store, n_centroids=1000)
    with store.read() as view:
        assert len(view.centroids) == 18  # two documents of 9 tokens
        live = np.concatenate(
            [view.codes[start:end] for start, end in zip(view.starts, view.ends, strict=True)]
        )
        assert len(set(live.tolist())) == 18
        assert len(view.codes) == 36  # dead rows have a code too: the file has one for each row


def test_optimizing_an_empty_store_changes_nothing(store):
    optimize(store)
    with store.read() as view:
        assert view.codes is None


@pytest.mark.parametrize("change", ["append", "compact", "nothing"])
def test_a_change_during_optimize_leaves_every_row_its_nearest_centroid(store, change, monkeypatch):
    rng = np.random.default_rng(0)
    store.append(entries(rng, ["a", "b", "c", "d"]))
    store.delete(["b"])
    original = optimization.trained

    def change_then_train(*given):
        if change == "append":
            store.append(entries(rng, ["e", "f"]))
        if change == "compact":
            store.compact()
            store.append(entries(rng, ["e", "f"]))
        return original(*given)

    monkeypatch.setattr(optimization, "trained", change_then_train)
    optimize(store, n_centroids=8)
    with store.read() as view:
        assert len(view.codes) == len(view.rows) == {"append": 54, "compact": 45, "nothing": 36}[change]
        expected = centroids.assign(view.rows, view.scales, view.centroids, view.bits)
        assert view.codes.tolist() == expected.tolist()


@pytest.fixture(params=[8, 4], ids=["8 bits", "4 bits"])
def on_disk(request, tmp_path, monkeypatch):
    """A store of 900 rows, of which an optimisation keeps the codes of 200 at once."""
    monkeypatch.setattr(optimization, "KEPT", 200)
    opened = Store(tmp_path / "store", fingerprint=FINGERPRINT, bits=request.param, assign=centroids.assign)
    opened.append(entries(np.random.default_rng(0), [f"d{n}" for n in range(100)]))
    yield opened
    opened.close()


class Counted:
    """Counts the rows that get their code, and fails or stops as a test likes before some of them."""

    def __init__(self, monkeypatch, before=None, error=KeyboardInterrupt):
        self.rows, self.trainings = 0, 0
        self.before, self.error = before, error
        self.near, self.trained = optimization.near, optimization.trained
        monkeypatch.setattr(optimization, "near", self._near)
        monkeypatch.setattr(optimization, "trained", self._trained)

    def _near(self, rows, *others):
        if self.before is not None and self.rows + len(rows) > self.before:
            raise self.error
        self.rows += len(rows)
        return self.near(rows, *others)

    def _trained(self, *given):
        self.trainings += 1
        return self.trained(*given)


def codes_of(store):
    with store.read() as view:
        return None if view.codes is None else view.codes.tolist()


def right(store):
    with store.read() as view:
        expected = centroids.assign(view.rows, view.scales, view.centroids, view.bits)
        return view.codes.tolist() == expected.tolist()


def broken_off(store, monkeypatch, before=650):
    with monkeypatch.context() as patched:
        Counted(patched, before)
        with pytest.raises(KeyboardInterrupt):
            optimize(store, n_centroids=8)
    assert codes_of(store) is None
    assert (store.path / NAME).exists()


def test_an_optimisation_that_was_broken_off_is_gone_on_with(on_disk, monkeypatch):
    broken_off(on_disk, monkeypatch)
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=8)
    assert (counted.trainings, counted.rows) == (0, 300)  # the codes of three times 200 rows were kept
    assert right(on_disk)
    assert not (on_disk.path / NAME).exists()
    assert on_disk.verify() == []


def test_it_is_gone_on_with_although_rows_came(on_disk, monkeypatch):
    broken_off(on_disk, monkeypatch)
    on_disk.append(entries(np.random.default_rng(1), ["new", "d3"]))
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=8)
    assert (counted.trainings, counted.rows) == (0, 318)
    assert right(on_disk)


def test_other_centroids_begin_anew(on_disk, monkeypatch):
    broken_off(on_disk, monkeypatch)
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=9)
    assert (counted.trainings, counted.rows) == (1, 900)
    assert right(on_disk)


def test_rows_that_moved_begin_anew(on_disk, monkeypatch):
    broken_off(on_disk, monkeypatch)
    kept = (on_disk.path / NAME).read_bytes()
    on_disk.delete(["d0"])
    on_disk.compact()
    assert not (on_disk.path / NAME).exists()
    (on_disk.path / NAME).write_bytes(kept)  # as if the process had been killed before it was removed
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=8)
    assert (counted.trainings, counted.rows) == (1, 891)
    assert right(on_disk)


def test_others_may_write_while_codes_are_made_again_for_rows_that_moved(on_disk, monkeypatch):
    other = Store(on_disk.path, fingerprint=FINGERPRINT, timeout=0.1, assign=centroids.assign)
    on_disk.delete(["d0"])
    near, rows = optimization.near, []

    def meanwhile(some, *others):
        rows.append(len(some))
        if len(rows) == 2:
            other.compact()
        if sum(rows) == 900 + 200:  # the first 200 once more
            other.append(entries(np.random.default_rng(1), ["new"]))
        return near(some, *others)

    monkeypatch.setattr(optimization, "near", meanwhile)
    optimize(on_disk, n_centroids=8)
    other.close()
    assert sum(rows) == 900 + 891 + 9
    assert right(on_disk)
    assert not (on_disk.path / NAME).exists()


@pytest.mark.parametrize("place", [0, 8, 24, 32, 60, 64 + 3, 64 + 8 * 16 * 4 + 5, -3])
def test_what_is_damaged_is_not_gone_on_with(on_disk, monkeypatch, place):
    broken_off(on_disk, monkeypatch)
    kept = bytearray((on_disk.path / NAME).read_bytes())
    kept[place] ^= 255
    (on_disk.path / NAME).write_bytes(kept)
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=8)
    assert (counted.trainings, counted.rows) == (1, 900)
    assert right(on_disk)


@pytest.mark.parametrize("size", [0, 10, 64, 300, -1])
def test_what_was_cut_off_is_not_gone_on_with(on_disk, monkeypatch, size):
    broken_off(on_disk, monkeypatch)
    kept = (on_disk.path / NAME).read_bytes()
    (on_disk.path / NAME).write_bytes(kept[:size])
    optimize(on_disk, n_centroids=8)
    assert right(on_disk)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_in_its_place_is_not_followed(on_disk, tmp_path):
    (tmp_path / "strange").write_bytes(b"of somebody")
    (on_disk.path / NAME).symlink_to(tmp_path / "strange")
    with pytest.raises(StoreError, match="link"):
        optimize(on_disk, n_centroids=8)
    assert (tmp_path / "strange").read_bytes() == b"of somebody"
    assert codes_of(on_disk) is None


def test_a_full_disk_is_said_before_the_work(on_disk, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    counted = Counted(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(_io, "write", full)
        with pytest.raises(StoreError, match="No space left"):
            optimize(on_disk, n_centroids=8)
    assert counted.rows == 0
    optimize(on_disk, n_centroids=8)
    assert right(on_disk)


KILLED = """
import os, signal, sys
from pathlib import Path
from retrievers.search import centroids, optimization
from retrievers.store import Store

optimization.KEPT, rows, near = 200, 0, optimization.near

def killed(some, *others):
    global rows
    rows += len(some)
    if rows > 650:
        os.kill(os.getpid(), signal.SIGKILL)
    return near(some, *others)

optimization.near = killed
optimization.optimize(Store(Path(sys.argv[1]), fingerprint=None, assign=centroids.assign), n_centroids=8)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_an_optimisation_that_was_killed_is_gone_on_with(on_disk, monkeypatch):
    run = subprocess.run([sys.executable, "-c", KILLED, str(on_disk.path)], check=False)
    assert run.returncode == -signal.SIGKILL
    counted = Counted(monkeypatch)
    optimize(on_disk, n_centroids=8)
    assert (counted.trainings, counted.rows) == (0, 300)
    assert right(on_disk)
