"""The field machine: two processes with two handles each, over directories that are swapped, removed and restored.

    python -m tests.field.machine --minutes 60

Hypothesis chooses what happens: changes and searches through any handle, two at once, kills and full disks in the
middle, directories renamed away with others in their place, removed, copied and put back. A dict for each collection
says what must be there. The rule that is tested: a handle goes on with its own collection wherever that lies, or says
that it was replaced; it never touches another's; what was acknowledged is there, whole, and nothing else is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from retrievers import Collection
from tests.field.worker import ENCODER

ROOT = Path(__file__).resolve().parents[2]
Model = dict[str, tuple[str, dict[str, Any]]]
"""What a collection must hold: id to text and metadata, in the order of insertion."""

handles = st.sampled_from(["0a", "0b", "1a", "1b"])  # process 0 or 1, and one of its two handles
ids = st.sampled_from([f"d{number}" for number in range(8)])
texts = st.lists(st.sampled_from(["sun", "moon", "star", "sky", "sea", "river"]), min_size=1, max_size=7).map(
    " ".join
)
items = st.dictionaries(ids, st.tuples(texts, st.builds(dict, n=st.integers(0, 3))), min_size=1, max_size=5)
sources = st.sampled_from(["book", "page"])
parts = st.lists(st.tuples(texts, st.builds(dict, n=st.integers(0, 3))), max_size=4)
changes = st.one_of(
    st.tuples(st.just("add"), items),
    st.tuples(st.just("refresh"), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.lists(ids, max_size=4, unique=True)),
    st.tuples(st.just("delete_by_filter"), st.integers(0, 3)),
    st.tuples(st.just("delete_by_function"), st.integers(0, 3)),
    st.tuples(st.just("replace_source"), st.tuples(sources, st.integers(0, 2), parts)),
    st.tuples(st.just("delete_source"), sources),
    st.tuples(st.sampled_from(["compact", "optimize"]), st.none()),
)


faults = st.none() | st.tuples(st.integers(0, 25), st.sampled_from(["kill", "fail"]))


class Process:
    """A worker, started anew after it was killed."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None

    def send(self, do: str, **arguments: Any) -> None:
        if self._running is None:
            command = [sys.executable, "-m", "tests.field.worker"]
            self._running = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._running.stdin is not None
        self._running.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._running.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of what was sent last; {"killed": True} if the process ended over it."""
        assert self._running is not None
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            self.end()
            return {"killed": True}
        return json.loads(line)

    def end(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            for stream in (self._running.stdin, self._running.stdout):
                assert stream is not None
                stream.close()
            self._running = None


class Home:
    """One collection: where it lies, None once it was removed, and what it may hold.

    `models` has more than one entry while it is not known whether a change that was cut off was committed.
    """

    def __init__(self, path: Path, models: list[Model]) -> None:
        self.path: Path | None = path
        self.models = models

    def told(self, change: tuple[str, Any]) -> tuple[str, Any]:
        """A change as it is sent: a refresh adds what the collection holds by now, with other metadata."""
        kind, value = change
        if kind != "refresh":
            return change
        return "add", {key: (text, {"n": value}) for key, (text, _) in self.models[0].items()}


def nodes(source: str, first: int, cut: list[tuple[str, dict[str, Any]]]) -> Model:
    """What a document is cut into: nodes whose ids begin with its own, and are partly those of another cut."""
    return {f"{source}-{first + place}": one for place, one in enumerate(cut)}


def changed(model: Model, kind: str, value: Any) -> Model:
    """What a change makes of a model."""
    after = dict(model)
    if kind == "add":
        after.update({key: (text, dict(data)) for key, (text, data) in value.items()})
    elif kind == "delete":
        for key in value:
            after.pop(key, None)
    elif kind == "replace_source":
        new = nodes(*value)
        after = {key: one for key, one in model.items() if key in new or not key.startswith(value[0])} | new
    elif kind == "delete_source":
        after = {key: one for key, one in model.items() if not key.startswith(value)}
    elif kind.startswith("delete_by"):
        after = {key: one for key, one in model.items() if one[1]["n"] != value}
    return after


class FieldMachine(RuleBasedStateMachine):
    processes: tuple[Process, Process]

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.processes = (Process(), Process())
        self.homes: list[Home] = []
        self.opened: dict[
            str, tuple[Home, Path]
        ] = {}  # handle: its collection, and the path it was opened by
        self.moved = 0

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            for process in self.processes:
                process.end()
            shutil.rmtree(self.directory)

    # Handles

    @rule(handle=handles, place=st.sampled_from(["live", "spare"]), bits=st.sampled_from([8, 4]))
    def open(self, handle: str, place: str, bits: int) -> None:
        """Open what lies at a path, or create a collection there."""
        path = self.directory / place
        home = next((home for home in self.homes if home.path == path), None)
        answer = self.tell(handle, "open", path=str(path), bits=bits if home is None else None)
        assert answer == {"ok": None}
        if home is None:
            home = Home(path, [{}])
            self.homes.append(home)
        self.opened[handle] = (home, path)

    def tell(self, handle: str, do: str, **arguments: Any) -> dict[str, Any]:
        process = self.processes[int(handle[0])]
        process.send(do, handle=handle, **arguments)
        return process.answer()

    # Changes

    @precondition(lambda self: self.opened)
    @rule(
        handle=handles,
        change=changes,
        fault=st.none() | st.tuples(st.integers(0, 25), st.sampled_from(["kill", "fail"])),
    )
    def change(self, handle: str, change: tuple[str, Any], fault: tuple[int, str] | None) -> None:
        """One change through one handle, perhaps cut off in the middle."""
        if handle not in self.opened:
            return
        if fault is not None:
            process = self.processes[int(handle[0])]
            process.send("arm", at=fault[0], how=fault[1])
            assert process.answer() == {"ok": None}
        change = self.opened[handle][0].told(change)
        self.order(handle, change)
        answer = self.processes[int(handle[0])].answer()
        self.outcome(handle, change, answer, faulty=fault is not None)

    @precondition(lambda self: len(self.opened) > 1)
    @rule(
        first=changes,
        second=changes,
        pair=st.tuples(st.sampled_from(["0a", "0b"]), st.sampled_from(["1a", "1b"])),
    )
    def race(self, first: tuple[str, Any], second: tuple[str, Any], pair: tuple[str, str]) -> None:
        """Two changes at once by two processes: the outcome is that of one after the other."""
        if not all(handle in self.opened for handle in pair):
            return
        (one, path), (other, _) = (self.opened[handle] for handle in pair)
        if one is not other or one.path != path:
            return
        first, second = one.told(first), one.told(second)
        for handle, change in zip(pair, (first, second), strict=True):
            self.order(handle, change)
        for handle in pair:
            answer = self.processes[int(handle[0])].answer()
            assert "ok" in answer or "StoreReplacedError" in answer.get("error", ()), answer
        one.models = [
            changed(changed(model, *before), *after)
            for model in one.models
            for before, after in ((first, second), (second, first))
        ]

    def order(self, handle: str, change: tuple[str, Any]) -> None:
        """Tell a process to make a change."""
        kind, value = change
        process = self.processes[int(handle[0])]
        if kind == "add":
            process.send("add", handle=handle, items=value)
        elif kind == "delete":
            process.send("delete", handle=handle, ids=value)
        elif kind == "replace_source":
            process.send(kind, handle=handle, source=value[0], items=nodes(*value))
        elif kind == "delete_source":
            process.send(kind, handle=handle, source=value)
        elif kind.startswith("delete_by"):
            process.send(kind, handle=handle, number=value)
        else:
            process.send(kind, handle=handle)

    def outcome(self, handle: str, change: tuple[str, Any], answer: dict[str, Any], *, faulty: bool) -> None:
        home, path = self.opened[handle]
        after = [changed(model, *change) for model in home.models]
        if "killed" in answer:
            assert faulty
            for other in [one for one in self.opened if one[0] == handle[0]]:
                del self.opened[other]
            home.models += after
        elif "ok" in answer:
            removed = home.path is None and after != home.models  # what changes nothing needs no directory
            assert not removed, f"{change} was acknowledged by a collection that was removed"
            home.models = after
        elif "StoreReplacedError" in answer.get("error", ()):
            assert home.path != path, f"{handle} says that its directory was replaced, and it was not"
            del self.opened[handle]
        elif home.path is None:
            assert "StoreError" in answer.get("error", ()), answer
            del self.opened[handle]
        else:
            assert faulty, answer
            assert "StoreError" in answer.get("error", ()), answer
            home.models += after  # a commit whose answer was lost may have happened

    # Reading

    @precondition(lambda self: self.opened)
    @rule(handle=handles, query=texts)
    def read(self, handle: str, query: str) -> None:
        """What a handle gives and finds is what its collection holds."""
        if handle not in self.opened:
            return
        home, path = self.opened[handle]
        for do, arguments in (("get", {}), ("search", {"query": query}), ("words", {"query": query})):
            answer = self.tell(handle, do, **arguments)
            if "ok" not in answer:
                assert home.path != path, answer
                assert "StoreError" in answer["error"], answer
                self.opened.pop(handle, None)
                return
            if do == "get":
                found = {key: (text, data) for key, text, data in answer["ok"]}
                assert any(list(found.items()) == list(model.items()) for model in home.models), (
                    found,
                    home.models,
                )
                home.models = [found]
            for key, text, data, *_ in answer["ok"]:
                assert any(model.get(key) == (text, data) for model in home.models)
            if do == "words":  # all documents that have one of the words, and no others
                having = {key for key, (text, _) in found.items() if set(text.split()) & set(query.split())}
                assert {key for key, *_ in answer["ok"]} == having
            if (
                do == "search"
                and any(text == query for text, _ in home.models[0].values())
                and len(query.split()) < 5
            ):
                assert answer["ok"][0][3] > 0.95

    # What deployments and backups do

    @precondition(lambda self: any(home.path and home.path.name in ("live", "spare") for home in self.homes))
    @rule(place=st.sampled_from(["live", "spare"]))
    def rename_away(self, place: str) -> None:
        for home in self.homes:
            if home.path == self.directory / place:
                self.moved += 1
                home.path = home.path.rename(self.directory / f"moved-{self.moved}")

    @rule()
    def swap(self) -> None:
        """The prepared directory takes the place of the live one."""
        self.rename_away("live")
        for home in self.homes:
            if home.path == self.directory / "spare":
                home.path = home.path.rename(self.directory / "live")

    @rule(place=st.sampled_from(["live", "spare"]))
    def remove(self, place: str) -> None:
        for home in self.homes:
            if home.path == self.directory / place:
                shutil.rmtree(home.path)
                home.path = None

    @precondition(lambda self: any(home.path and home.path.name.startswith("moved") for home in self.homes))
    @rule(place=st.sampled_from(["live", "spare"]), newest=st.booleans())
    def put_back(self, place: str, newest: bool) -> None:
        """What was renamed away comes back, to a place that is free."""
        if (self.directory / place).exists():
            return
        away = [home for home in self.homes if home.path and home.path.name.startswith("moved")]
        home = away[-1 if newest else 0]
        assert home.path is not None
        home.path = home.path.rename(self.directory / place)

    @rule(place=st.sampled_from(["live", "spare"]), converted=st.booleans())
    def restore(self, place: str, converted: bool) -> None:
        """A copy, as a backup tool makes one while nobody writes, or one with other bits, replaces what it is of."""
        path = self.directory / place
        for home in list(self.homes):
            if home.path == path:
                copy = self.directory / "copy"
                if converted:
                    with Collection(path, ENCODER) as collection:
                        collection.convert(copy, bits=12 - collection.bits, show_progress=False)
                else:
                    shutil.copytree(path, copy)
                shutil.rmtree(path)
                home.path = None
                copy.rename(path)
                self.homes.append(Home(path, [dict(model) for model in home.models]))

    # What must hold

    @invariant()
    def each_collection_holds_what_was_acknowledged(self) -> None:
        for home in getattr(self, "homes", ()):
            if home.path is None:
                continue
            with Collection(home.path, ENCODER) as collection:
                found = {str(one.id): (one.text, dict(one.metadata)) for one in collection.get()}
                fitting = [model for model in home.models if list(model.items()) == list(found.items())]
                assert fitting, f"{home.path.name} holds {found}, which is none of {home.models}"
                home.models = [found]
                assert collection.verify() == []


def run(seconds: float) -> int:
    """Run the machine for some time. Returns how many histories were lived through."""
    ends = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < ends:
        chosen = settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        run_state_machine_as_test(FieldMachine, settings=chosen)
        rounds += 25
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    rounds = run(options.minutes * 60)
    print(f"{rounds} histories: nothing lost, nothing mixed up, nothing touched that was another's")


if __name__ == "__main__":
    main()
