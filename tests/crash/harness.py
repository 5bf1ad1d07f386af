"""Kills, failing writes and full disks: after each, the store holds what was acknowledged, whole and exact.

    python -m tests.crash.harness --kills 500

A child makes changes and acknowledges each; it is killed at a random moment, or at a chosen call of
retrievers.store._io (before it, after it, half-way through a write), or has that call fail, or meets a limit on
the size of files. The parent then opens the directory: it must equal the model after the acknowledged changes,
or after one more, and never anything between.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrievers.errors import StoreError
from retrievers.kernels.rows import quantize
from retrievers.search import optimization, optimize
from retrievers.search.centroids import assign
from retrievers.store import Entry, Store, Unchanged, _io
from retrievers.store.schema import FORMAT_VERSION
from retrievers.store.tokens import code_names, token_names
from retrievers.store.unfinished import NAME as UNFINISHED
from retrievers.types import Document

DIM = 8
FINGERPRINT = {"model": "crash", "dim": DIM}
WORDS = ("unicode61", None)
CALLS = (
    *(
        "open_file",
        "write",
        "fsync",
        "fsync_directory",
        "make_directory",
        "rename",
        "remove",
        "begin",
        "commit",
    ),
    *("copy", "publish"),
)
GOLDEN = Path(__file__).parents[1] / "store" / "golden"
OLD = (1, 2, 3, 4)  # formats that are migrated
OLD_FINGERPRINT = {"model": "golden", "dim": 6, "revision": "é"}
Model = dict[str, int]
"""Revision of each document, in order of insertion; everything else follows from id and revision."""


@dataclass(frozen=True)
class Change:
    """One change and, for those that have documents, their ids and new revisions."""

    kind: str
    items: tuple[tuple[str, int], ...] = ()

    def on(self, model: Model) -> Model:
        """What the change makes of the model."""
        after = dict(model)
        for name, revision in self.items:
            if self.kind == "delete":
                after.pop(name, None)
            elif self.kind == "append" or name in after:
                after[name] = revision
        return after


def matrices(name: str, revision: int) -> list[np.ndarray]:
    """One to three windows of random rows; a revision from 1000 on has another text and other rows."""
    rng = np.random.default_rng([*name.encode(), revision // 1000])
    counts = rng.integers(0, 9, rng.integers(1, 4))
    return [rng.standard_normal((count, DIM), dtype=np.float32) for count in counts]


def document(name: str, revision: int) -> Document:
    text = f"text {revision // 1000} of {name} " * 9
    return Document(text, name, {"revision": revision, "even": revision % 2 == 0, "by": {"name": name}})


def digest(revision: int) -> bytes:
    return b"%16d" % (revision // 1000)


def entry(name: str, revision: int) -> Entry:
    parts = matrices(name, revision)
    spans = [(10 * n, 10 * n + 9) for n in range(len(parts))]
    return Entry(document(name, revision), digest(revision), spans, parts, tokens_of(name, revision))


def tokens_of(name: str, revision: int) -> set[int]:
    return {0, revision // 1000, int(name[1:]) * 1000}


def apply(store: Store, change: Change) -> None:
    match change.kind:
        case "append":
            store.append([entry(*item) for item in change.items])
        case "metadata":
            store.append([], [Unchanged(document(*item), digest(item[1])) for item in change.items])
        case "delete":
            store.delete([name for name, _ in change.items])
        case "compact":
            store.compact()
        case "backup":
            place = backup_of(Path(store.path))
            shutil.rmtree(place, ignore_errors=True)
            store.backup(place)
            check_copy(store, place, store.bits)
        case "convert":
            place = converted_of(Path(store.path))
            shutil.rmtree(place, ignore_errors=True)
            store.convert(place, 12 - store.bits)
            check_copy(store, place, 12 - store.bits)
        case "optimize":
            optimization.KEPT = 16  # rows: what is done is kept, as it is of millions
            optimize(store, n_centroids=5, show_progress=False)


def check_copy(store: Store, place: Path, bits: int) -> None:
    copy = Store(place, fingerprint=FINGERPRINT)
    assert copy.bits == bits
    assert [one.id for one in copy.page(limit=100)] == [one.id for one in store.page(limit=100)]
    assert copy.verify() == []
    copy.close()


def backup_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-backup")


def converted_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-converted")


def remove(path: Path) -> None:
    """A directory and the copies that changes made of it."""
    shutil.rmtree(path)
    for copy in (backup_of(path), converted_of(path)):
        shutil.rmtree(copy, ignore_errors=True)


def changes(rng: random.Random, model: Model, count: int) -> list[Change]:
    """Random changes that follow each other."""
    made = []
    for _ in range(count):
        kind = rng.choices(
            ["append", "metadata", "delete", "compact", "optimize", "backup", "convert"],
            [6, 1, 2, 1, 0.5, 0.15, 0.15],
        )[0]
        names = [f"d{rng.randrange(60)}" for _ in range(rng.randrange(1, 9))]
        items = {}
        for name in names:
            old = model.get(name, 0)
            items[name] = old + 1 if kind == "metadata" else (old // 1000 + 1) * 1000
        made.append(Change(kind, tuple(items.items()) if kind in ("append", "metadata", "delete") else ()))
        model = made[-1].on(model)
    return made


def expected_names(store: Store) -> set[str]:
    """Every file that the directory of a store may have after a write that worked."""
    with store.read() as view:
        state = view._snapshot.state
    names = {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "write.lock"}
    if state.tokens:
        names |= {*token_names(state.generation, store.bits)}
    return names | {*(code_names(state.codes) if state.codes else ())}


def compare(path: Path, models: Sequence[Model], bits: int, swept: bool = False) -> Model:
    """Find the model that a directory holds, to the last byte of rows, texts and metadata.

    Rows have `bits` a number, also where the creation of the collection was broken off and is made anew.

    With `swept`, the last write worked: no file may be there that nothing names.

    Raises:
        AssertionError: it holds none of them.
    """
    if not Store.exists(path):
        assert {} in models, "the collection is gone"
        return {}
    store = Store(path, fingerprint=FINGERPRINT, bits=bits)
    try:
        found = [one.id for one in store.get([*{name for model in models for name in model}])]
        with store.read() as view:
            documents = view.matching(None)
            order = [one.id for one in documents]
            assert set(found) <= set(order)
            fitting = [
                model
                for model in models
                if list(model) == order and _revisions(documents) == [*model.values()]
            ]
            assert fitting, f"{_revisions(documents)} of {order} is none of {models}"
            model = fitting[0]
            positions = view.positions_of(order)
            for one in documents:
                assert one == document(one.id, model[one.id])
                _compare_rows(view, positions[one.id], matrices(one.id, model[one.id]))
            assert len(view.starts) == sum(len(part) for part in positions.values())
            counts = Counter(token for one in model.items() for token in tokens_of(*one))
            if view._connection.rows("SELECT 1 FROM settings WHERE name = 'token_counts'"):
                assert view.token_counts(counts) == counts
            view.fetch(view.documents.tolist())
            if view.codes is not None:
                expected = assign(view.rows, view.scales, view.centroids, bits)
                assert np.array_equal(view.codes, expected), "a row has the code of another centroid"
            if store.info().words is not None:
                _compare_words(view, positions, model)
        assert store.verify() == []
        if swept:
            # An optimisation that was broken off leaves its file, until the next one ends or the rows are moved.
            assert set(os.listdir(path)) - {UNFINISHED} == expected_names(store)
            assert not [name for name in os.listdir(path.parent) if name.startswith(f".{path.name}-")]
    finally:
        store.close()
    return model


def _compare_words(view, positions: dict[str, np.ndarray], model: Model) -> None:
    """Each document is found by its name, in the windows that have it and in no other's."""
    for name, revision in model.items():
        found = {int(window) for window in view.word_scores(name)[0]}
        of_it = positions[name].tolist()
        assert found <= set(of_it), f"{name} is found in windows of others"
        spans = view.spans(positions[name])
        text = document(name, revision).text
        assert found == {
            window
            for window, (first, last) in zip(of_it, spans.tolist(), strict=True)
            if name in re.findall(r"\w+", text[first:last])
        }


def _revisions(documents: Sequence[Document]) -> list[int]:
    return [one.metadata["revision"] for one in documents]


def _compare_rows(view, positions: np.ndarray, wanted: list[np.ndarray]) -> None:
    assert len(positions) == len(wanted)
    for position, matrix in zip(positions, wanted, strict=True):
        part = slice(view.starts[position], view.ends[position])
        rows, scales = quantize(matrix, view.bits)
        assert np.array_equal(view.rows[part], rows)
        assert np.array_equal(view.scales[part], scales)


# Faults


class Fault:
    """Counts the calls of retrievers.store._io and does something at one of them."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how = at, how
        self.calls: list[str] = []

    def install(self) -> None:
        for name in CALLS:
            setattr(_io, name, self._wrapped(name, getattr(_io, name)))

    def _wrapped(self, name: str, call: Callable) -> Callable:
        def faulty(*arguments):
            self.calls.append(name)
            if len(self.calls) - 1 != self.at:
                return call(*arguments)
            if self.how == "fail":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.how == "half" and name == "write":
                descriptor, data, offset = arguments
                call(descriptor, data[: len(data) // 2], offset)
            if self.how == "after":
                call(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return faulty


def child(
    path: Path, made: Sequence[Change], prepare: Callable[[], None], kill_after: float | None, bits: int
) -> tuple[int, str]:
    """Run changes in a process of their own.

    Args:
        bits: of a number of the rows.
    Returns:
        How many were acknowledged, and how it ended: "killed", "failed" with a StoreError, or "finished".
    """
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        code = 3
        try:
            os.close(reading)
            prepare()
            store = Store(
                path, fingerprint=FINGERPRINT, words=WORDS, counts_tokens=True, bits=bits, assign=assign
            )
            os.write(writing, b"o")
            for change in made:
                apply(store, change)
                os.write(writing, b"a")
            store.close()
            code = 0
        except StoreError as error:
            os.write(writing, f"\n{error!r}".encode())
            code = 2
        finally:
            os._exit(code)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    acknowledged = b""
    while part := os.read(reading, 4096):
        acknowledged += part
    os.close(reading)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return acknowledged.count(b"a"), "killed"
    ending = {0: "finished", 2: "failed"}.get(os.waitstatus_to_exitcode(status))
    assert ending, f"the child ended with status {status}"
    return acknowledged.partition(b"\n")[0].count(b"a"), ending


def check(
    path: Path, model: Model, made: Sequence[Change], acknowledged: int, ending: str, bits: int
) -> Model:
    """Compare the directory with the model after the acknowledged changes, or one more if it was killed."""
    models = [model]
    for change in made[: acknowledged + (ending == "killed")]:
        models.append(change.on(models[-1]))
    first = acknowledged
    return compare(path, models[first:] if ending == "killed" else [models[acknowledged]], bits)


def nothing() -> None:
    pass


BITS = (8, 4)
BEFORE_A_COPY = (
    Change("append", tuple((f"d{n}", 1000) for n in range(6))),
    Change("append", (("d1", 2000), ("d7", 1000))),
    Change("optimize"),
    Change("append", (("d8", 1000), ("d2", 2000))),
    Change("metadata", (("d8", 1001), ("d9", 1001))),
    Change("delete", (("d3", 0), ("d8", 0), ("unknown", 0))),
    Change("compact"),
)
AFTER_A_COPY = (
    Change("append", (("d8", 2000), ("d9", 1000))),
    Change("delete", (("d1", 0),)),
    Change("compact"),
)


def every_step(directory: Path, counts: Counter[str], rng: random.Random, sample: int) -> None:
    """Kill at, and fail, each call that the script of all kinds of changes makes; then go on with it."""
    bits, copying = rng.choice(BITS), rng.choice(["backup", "convert"])
    script = (*BEFORE_A_COPY, Change(copying), *AFTER_A_COPY)
    calls = calls_of_script(directory / "whole", script, bits)
    counts["calls that write, sync, commit or remove in the script"] = len(calls)
    for how in ("before", "half", "after", "fail"):
        places = [at for at, name in enumerate(calls) if how != "half" or name == "write"]
        for at in places[rng.randrange(sample) :: sample]:
            path = directory / f"{how}-{at}"
            acknowledged, ending = child(path, script, Fault(at, how).install, None, bits)
            assert how == "fail" or ending == "killed", f"{how} {at} {calls[at]} {len(calls)}: {ending}"
            model = check(path, {}, script, acknowledged, ending, bits)
            counts[f"{ending}, {how} call"] += 1
            for change in script[acknowledged:]:
                model = change.on(model)
            sweeping = Change("delete", (("unknown", 0),))  # the next write
            ended = child(path, (*script[acknowledged:], sweeping), nothing, None, bits)
            assert ended[1] == "finished"
            compare(path, [model], bits, swept=True)
            remove(path)


def every_step_of_a_migration(directory: Path, counts: Counter[str], rng: random.Random, sample: int) -> None:
    """Kill at, and fail, each call of the first write to an older format: it is whole before and after."""
    old = rng.choice(OLD)

    def work(path: Path, fault: Fault) -> None:
        fault.install()
        store = Store(path, fingerprint=OLD_FINGERPRINT)
        store.delete(["empty"])
        store.compact()
        store.index_words()
        store.close()

    def contents(path: Path) -> tuple[int, list[str]]:
        store = Store(path, fingerprint=OLD_FINGERPRINT)
        assert store.verify() == []
        found = store.info().format_version, [str(one.id) for one in store.page(limit=9)]
        store.close()
        return found

    for how in ("before", "half", "after", "fail"):
        for at in range(rng.randrange(sample), 1000, sample):
            path = directory / f"old-{how}-{at}"
            shutil.copytree(GOLDEN / f"format-{old}", path)
            process = os.fork()
            if not process:
                code = 3
                try:
                    work(path, Fault(at, how))
                    code = 0
                except StoreError:
                    code = 2
                finally:
                    os._exit(code)
            status = os.waitpid(process, 0)[1]
            assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) in (0, 2)
            assert contents(path) in [(old, ["a", "empty", "b"]), (FORMAT_VERSION, ["a", "b"])]
            store = Store(path, fingerprint=OLD_FINGERPRINT)
            store.delete(["empty"])
            store.migrate()
            store.close()
            assert contents(path) == (FORMAT_VERSION, ["a", "b"])
            shutil.rmtree(path)
            if not status and how != "fail":
                break
            counts["killed, migration" if os.WIFSIGNALED(status) else "failed, migration"] += 1
            if how == "fail" and at > 30:
                break


def calls_of_script(path: Path, script: Sequence[Change], bits: int) -> list[str]:
    """The calls of _io that an undisturbed script makes."""
    fault = Fault(-1, "count")
    saved = {name: getattr(_io, name) for name in CALLS}
    try:
        fault.install()
        store = Store(path, fingerprint=FINGERPRINT, words=WORDS, bits=bits, assign=assign)
        for change in script:
            apply(store, change)
        store.close()
    finally:
        for name, call in saved.items():
            setattr(_io, name, call)
    return fault.calls


def full_disk(directory: Path, counts: Counter[str], rng: random.Random, sample: int) -> None:
    """Changes under limits on the size of files, which SQLite's own writes meet, too."""
    for size in range(4096 + 16_000 * rng.randrange(sample), 500_000, 16_000 * sample):
        path = directory / f"full-{size}"
        made, bits = changes(rng, {}, 40), rng.choice(BITS)

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        acknowledged, ending = child(path, made, limit, None, bits)
        model = check(path, {}, made, acknowledged, ending, bits)
        counts[f"{ending}, limited file size"] += 1
        assert child(path, made[acknowledged:], nothing, None, bits)[1] == "finished"
        for change in made[acknowledged:]:
            model = change.on(model)
        compare(path, [model], bits)
        remove(path)


def random_moments(directory: Path, counts: Counter[str], rng: random.Random, kills: int) -> None:
    """Kill at random moments, again and again over the same directory."""
    path, model, done, usual, bits = directory / "random", {}, 0, 0.2, rng.choice(BITS)
    while done < kills:
        made = changes(rng, model, 40)
        began = time.perf_counter()
        acknowledged, ending = child(path, made, nothing, rng.uniform(0, usual), bits)
        usual = time.perf_counter() - began if ending == "finished" else max(usual, 0.05)
        model = check(path, model, made, acknowledged, ending, bits)
        done += ending == "killed"
        counts[f"{ending}, random moment"] += 1
        counts["acknowledged changes before random kills"] += acknowledged
        if rng.random() < 0.05:
            remove(path)
            model, bits = {}, rng.choice(BITS)


def run(kills: int, seed: int = 0, sample: int = 1) -> Counter[str]:
    """At least `kills` kills, failing calls and full disks; counts by kind.

    Args:
        kills: at least so many.
        seed: of what is random.
        sample: take one in so many of the calls to kill at and to fail, and of the sizes of files.
    """
    counts: Counter[str] = Counter()
    rng = random.Random(seed)
    # A kill loses nothing that the system was given, on a disk or in memory; memory is faster.
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        every_step(Path(directory), counts, rng, sample)
        every_step_of_a_migration(Path(directory), counts, rng, sample)
        full_disk(Path(directory), counts, rng, sample)
        so_far = sum(count for name, count in counts.items() if name.startswith("killed"))
        random_moments(Path(directory), counts, rng, max(20, kills - so_far))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=1, help="take one in so many calls")
    options = parser.parse_args()
    began = time.perf_counter()
    counts = run(options.kills, options.seed, options.sample)
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    killed = sum(count for name, count in counts.items() if name.startswith("killed"))
    print(f"{killed:6} kills in {time.perf_counter() - began:.0f} s, nothing lost and nothing half there")


if __name__ == "__main__":
    main()
