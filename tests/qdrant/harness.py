"""A writer that dies at random requests and readers that run between its requests, in one thread and repeatable.

    python -m tests.qdrant.harness --kills 300 --faults 200

What talks to the server is a generator of requests, so that two of them can be interleaved in every way. A document
must be as it was or as it is to be, whole, in whatever a reader finds: its text and metadata, the windows that were
scored, by their rows and by their words, and whether a filter keeps it. What was acknowledged stays, and the call that
is made again completes and leaves no point that no document counts.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from retrievers.collection import searching
from retrievers.errors import StoreError
from retrievers.kernels.rows import dequantize, quantize
from retrievers.qdrant import QdrantCollection
from retrievers.qdrant.steps import Request, Steps
from retrievers.testing import HashingEncoder
from retrievers.types import Document, Hit
from tests.qdrant.server import Fault, Server

WORDS = [f"w{number}" for number in range(12)]
IDS = ("a", "b", "c")
ENCODER = HashingEncoder(dim=8, document_length=2)


class Killed(BaseException):
    """The writer is gone."""


@dataclass
class Change:
    """One call of the writer, and what each document is after it; None where it is gone."""

    after: dict[str, Document | None]
    delete: bool

    def steps(self, collection: QdrantCollection) -> Steps[Any]:
        calls = collection._calls
        if self.delete:
            return calls.delete(list(self.after), None)
        given = [one for one in self.after.values() if one is not None]
        return calls.add(given, None, None, None, None, False)


@dataclass
class World:
    """What the documents may be.

    Attributes:
        states: for each id the documents that it may be, None for none: one where nothing is under way.
    """

    states: dict[str, list[Document | None]] = field(default_factory=lambda: {key: [None] for key in IDS})

    def begin(self, change: Change) -> None:
        for key, document in change.after.items():
            self.states[key] = [*self.states[key], document]

    def done(self, change: Change) -> None:
        for key, document in change.after.items():
            self.states[key] = [document]


def change(draw: random.Random, world: World) -> Change:
    """A replacement, new metadata for what is there, or a deletion, of one or two documents."""
    kind = draw.choice(["replace", "replace", "metadata", "metadata", "delete"])
    after: dict[str, Document | None] = {}
    for key in draw.sample(IDS, draw.choice([1, 1, 2])):
        there = world.states[key][-1]
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))
        if kind == "metadata" and there is not None:
            text = there.text
        after[key] = None if kind == "delete" else Document(text, key, {"v": draw.randint(0, 2)})
    return Change(after, kind == "delete")


def score_of(document: Document, question: str) -> float:
    """MaxSim of the best window, by numpy, from the rows as they are stored."""
    [query] = ENCODER.encode_queries([question])
    best = -np.inf
    for matrix in ENCODER.encode_documents([document.text[a:b] for a, b in ENCODER.split(document.text)]):
        rows = dequantize(*quantize(matrix), ENCODER.dim)
        best = max(best, float((query @ rows.T).max(axis=1).sum()))
    return best


@dataclass
class Reader:
    """A search on its way, and what each document may have been since it began."""

    collection: QdrantCollection
    draw: random.Random
    world: World

    def __post_init__(self) -> None:
        self.question = " ".join(self.draw.choices(WORDS, k=2))
        self.filter = self.draw.choice([None, {"v": self.draw.randint(0, 2)}, {"v": {"$ne": 1}}])
        self.allowed = {key: list(states) for key, states in self.world.states.items()}
        exact = self.draw.random() < 0.3
        options = searching.checked(
            9, None, self.draw.choice([None, None, 0.5]), self.draw.choice([None, None, 0.3]), None, None, 1
        )
        self.steps = self.collection._calls.search([self.question], options, self.filter, None, exact, None)
        self.answer: Any = None
        self.started = False

    def step(self) -> bool:
        """Make the next request; whether there are more."""
        for key, states in self.world.states.items():
            self.allowed[key] += [one for one in states if one not in self.allowed[key]]
        try:
            step = self.steps.send(self.answer) if self.started else next(self.steps)
        except StopIteration as end:
            [found] = end.value
            self.check(found)
            return False
        self.started, self.answer = True, self.collection._connection(step)
        return True

    def check(self, found: list[Hit]) -> None:
        hits = {hit.id: hit for hit in found}
        assert len(hits) == len(found)
        for key, states in self.allowed.items():
            possible = [self.seen(one) for one in states]
            hit = hits.get(key)
            if hit is None:
                assert None in possible, f"{key} is lost: {states}"
            else:
                same = [one for one in possible if one is not None and one.text == hit.text]
                same = [one for one in same if dict(one.metadata) == hit.metadata]
                assert same, f"{key} is {hit}: {states}"
                maxsim = hit.score if hit.parts is None else hit.parts.maxsim
                assert maxsim == pytest.approx(score_of(same[0], self.question), abs=0.02)
                if hit.parts is not None and hit.parts.bm25 is not None:
                    common = set(hit.text.split()) & set(self.question.split())
                    assert (hit.parts.bm25 > 0) == bool(common), f"{key} is {hit.parts}: {self.question}"

    def seen(self, document: Document | None) -> Document | None:
        """What a search finds of a document in this state."""
        if document is None or self.filter is None:
            return document
        kept = {"v": document.metadata["v"]} == self.filter or (
            self.filter == {"v": {"$ne": 1}} and document.metadata["v"] != 1
        )
        return document if kept else None


def interleave(collection: QdrantCollection, draw: random.Random, world: World, counts: Counter[str]) -> None:
    """One change, killed somewhere, with readers beside it; then the same change to its end."""
    made = change(draw, world)
    world.begin(made)
    killed_at, lost = draw.randint(0, 9), draw.random() < 0.5
    try:
        carry(collection, made, draw, world, killed_at, lost)
        counts["finished"] += 1
    except Killed:
        counts["killed"] += 1
    readers(collection, draw, world)
    carry(collection, made, draw, world, None, lost)
    world.done(made)
    readers(collection, draw, world)
    whole(collection, world)


def carry(
    collection: QdrantCollection,
    made: Change,
    draw: random.Random,
    world: World,
    killed_at: int | None,
    lost: bool,
) -> None:
    """The steps of a change, with a reader that is overtaken now and then; killed before or after a request."""
    steps, answer, started, number = made.steps(collection), None, False, 0
    reader: Reader | None = None
    while True:
        if reader is None and draw.random() < 0.5:
            reader = Reader(collection, draw, world)
        while reader is not None and draw.random() < 0.6:
            reader = reader if reader.step() else None
        try:
            step = steps.send(answer) if started else next(steps)
        except StopIteration:
            break
        started = True
        if isinstance(step, Request):
            if number == killed_at and not lost:
                raise Killed
            answer = collection._connection(step)
            if number == killed_at:
                raise Killed
            number += 1
        else:
            answer = collection._connection(step)
    while reader is not None:
        reader = reader if reader.step() else None


def readers(collection: QdrantCollection, draw: random.Random, world: World) -> None:
    for _ in range(2):
        reader = Reader(collection, draw, world)
        while reader.step():
            pass


def whole(collection: QdrantCollection, world: World) -> None:
    """Nothing is stored but the windows of the documents that are there."""
    there = [one for [one] in world.states.values() if one is not None]
    assert sorted(collection.get(), key=lambda one: str(one.id)) == there
    windows = sum(max(1, len(ENCODER.split(one.text))) for one in there)
    client = collection._connection.client
    records, _ = client.scroll(collection.name, limit=1000, with_payload=True)
    assert len(records) == windows, [record.payload for record in records]
    assert not any("unsettled" in record.payload for record in records)


def kills(count: int, seed: int, where: Any = ":memory:") -> Counter[str]:
    """As many kills, on the client's own engine or a server."""
    draw, world, counts = random.Random(seed), World(), Counter[str]()
    with QdrantCollection(where, f"kills-{seed}", ENCODER, words=True) as collection:
        while counts["killed"] < count:
            interleave(collection, draw, world, counts)
    return counts


def faults(count: int, seed: int) -> Counter[str]:
    """As many injected faults between the client and a server, some of which three tries outlast and some not."""
    draw, world, counts = random.Random(seed), World(), Counter[str]()
    with Server() as server, QdrantCollection(server.url, "faults", ENCODER, words=True) as collection:
        collection._connection.pause = lambda seconds: None
        while counts["faults"] < count:
            made = change(draw, world)
            world.begin(made)
            status = draw.choice([None, None, 429, 500, 502, 503])
            fault = Fault(status=status, reset=status is None, after=draw.random() < 0.5)
            fault.skip, fault.times = draw.randint(0, 6), draw.randint(1, 4)
            times = fault.times
            server.faults[:] = [fault]
            try:
                carry_whole(collection, made)
                counts["outlasted"] += 1
            except StoreError:
                counts["failed"] += 1
            counts["faults"] += times - fault.times
            server.faults.clear()
            readers(collection, draw, world)
            carry_whole(collection, made)
            world.done(made)
            readers(collection, draw, world)
            whole(collection, world)
    return counts


def carry_whole(collection: QdrantCollection, made: Change) -> None:
    if made.delete:
        collection.delete(list(made.after))
    else:
        collection.add([one for one in made.after.values() if one is not None], show_progress=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300, help="on each of the two engines")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("own engine:", dict(kills(given.kills, given.seed)), flush=True)
    with Server() as server:
        print("loopback server:", dict(kills(given.kills, given.seed, server.url)), flush=True)
    print("faults:", dict(faults(given.faults, given.seed)))
