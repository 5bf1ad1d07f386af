"""Engines side by side on one set: build, answers, latency in interleaved rounds, throughput, changes, memory."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.client import Client, WorkerError
from benchmarks.search.contenders import Contender
from benchmarks.search.data import CACHE, Passages, recall, true_scores
from benchmarks.search.install import interpreter, reason
from benchmarks.search.load import Others

K = 10
ROUNDS = 5
SECONDS_A_BLOCK = 2.0
QUIET = 0.3
"""Seconds between two engines' turns: OpenMP threads of the one before spin for up to 0.2 s."""
PATIENCE = 1800.0
"""Seconds that an index may take to build."""
SECONDS_FOR_ANSWERS = 12.0
"""A slow operating point answers as many questions as fit, once for recall and once all at a time."""
LEAST = 20
"""Questions that even the slowest answers."""


@dataclass
class Point:
    """What was measured of one operating point.

    Attributes:
        options: of search.
        recall: share of the 10 best by float32 MaxSim that were found, over all questions.
        asked: questions that recall is over.
        times: seconds of single questions, from the interleaved rounds.
        throughput: questions a second when all are given at once; NaN where that was not measured.
    """

    options: dict[str, Any]
    recall: float = float("nan")
    asked: int = 0
    answer_seconds: float = float("nan")
    times: list[float] = field(default_factory=list)
    throughput: float = float("nan")

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.times, q)) if self.times else float("nan")


@dataclass
class Result:
    """What was measured of one engine; `failure` says why there is nothing, or not everything."""

    contender: Contender
    points: list[Point] = field(default_factory=list)
    note: str = ""
    failure: str = ""
    build: dict[str, Any] = field(default_factory=dict)
    open_seconds: float = float("nan")
    add_seconds: float = float("nan")
    delete_seconds: float = float("nan")
    memory: dict[str, Any] = field(default_factory=dict)


def build(passages: Passages, count: int, contenders: Sequence[Contender], cache: Path = CACHE) -> None:
    """Only build the indexes that are not there yet; measure() finds them."""
    for contender in contenders:
        client = _start(Result(contender), passages, count, cache) if contender.index else None
        if client is not None:
            client.close()


def measure(
    passages: Passages,
    count: int,
    contenders: Sequence[Contender],
    cache: Path = CACHE,
    *,
    rounds: int = ROUNDS,
) -> list[Result]:
    """Measure engines on the first `count` passages of a set; the rest are there to be added and deleted."""
    scores = true_scores(passages, count)
    results = [Result(contender) for contender in contenders]
    clients: dict[int, Client] = {}
    for n, result in enumerate(results):
        client = _start(result, passages, count, cache)
        if client is not None:
            clients[n] = client
            _attempt(result, clients, n, _answer, scores)
    for turn in range(rounds):
        for n, result in enumerate(results):
            if n in clients:
                _attempt(result, clients, n, _block, turn, len(scores))
    for n, result in enumerate(results):
        if n in clients:
            _attempt(result, clients, n, _finish, len(scores))
            client = clients.pop(n, None)
            if client is not None:
                client.close()
                if result.contender.changes:
                    _change(result, passages, count, cache)
    return results


def _start(result: Result, passages: Passages, count: int, cache: Path) -> Client | None:
    """Build the index in one process, open it in another."""
    contender = result.contender
    index = cache / "indexes" / passages.directory.name / (contender.index or "none")
    _say(f"{contender.name}: opening")
    try:
        python = _python(contender)
        if contender.index and not (index.parent / f"{contender.index}.json").exists():
            _build(result, python, passages, count, index)
        if contender.index:
            result.build = _read(index.parent / f"{contender.index}.json")
        client = Client(python, contender.engine, passages, count, index, contender.variables)
        opened = client("open", PATIENCE)
        result.note, result.open_seconds = opened["note"], opened["seconds"]
    except WorkerError as error:
        result.failure = str(error)
        _say(f"  {result.failure}")
        return None
    return client


def _build(result: Result, python: Path, passages: Passages, count: int, index: Path) -> None:
    shutil.rmtree(index, ignore_errors=True)
    index.parent.mkdir(parents=True, exist_ok=True)
    _say(f"{result.contender.name}: building")
    others = Others()
    client = Client(python, result.contender.engine, passages, count, index)
    try:
        built = client("build", PATIENCE)
    finally:
        client.close()
    built["tokens"] = int(passages.offsets[count])
    # Other work on the machine makes a build longer than it need be; the table says so.
    built["others"] = others.share()
    (index.parent / f"{result.contender.index}.json").write_text(json.dumps(built))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _attempt(result: Result, clients: dict[int, Client], n: int, step: Any, *arguments: Any) -> None:
    """Do a step; an engine that fails or takes too long is left out of the rest, with the reason."""
    try:
        step(result, clients[n], *arguments)
    except WorkerError as error:
        result.failure = str(error)
        _say(f"  {result.contender.name}: {result.failure}")
        clients.pop(n).close()


def _order(questions: int) -> list[int]:
    """Questions in an order that mixes the sets, so that the first few of it stand for all."""
    return [int(n) for n in np.random.default_rng(0).permutation(questions)]


def _answer(result: Result, client: Client, scores: NDArray[np.float32]) -> None:
    """All questions once, untimed in the tables: recall, a warm engine, and how long a block may be."""
    order = _order(len(scores))
    for options in result.contender.points:
        begin = time.perf_counter()
        trial = client("search", PATIENCE, questions=order[:3], k=K, options=options)["times"]
        asked = order[: max(LEAST, int(SECONDS_FOR_ANSWERS / np.median(trial)))]
        answer = client("search", PATIENCE, questions=asked, k=K, options=options)
        found = [recall(numbers, scores[n], K) for n, numbers in zip(asked, answer["found"], strict=True)]
        point = Point(options, float(np.mean(found)), len(asked), float(np.median(answer["times"])))
        result.points.append(point)
        spent = time.perf_counter() - begin
        _say(f"  {options}: recall {point.recall:.4f}, {point.answer_seconds * 1e3:.2f} ms ({spent:.0f} s)")


def _block(result: Result, client: Client, turn: int, questions: int) -> None:
    """One engine's turn in a round: a block of the questions at each operating point."""
    order = _order(questions)
    size = -(-questions // ROUNDS)
    for point in result.points:
        block = [order[(turn * size + n) % questions] for n in range(size)]
        block = block[: max(3, int(SECONDS_A_BLOCK / point.answer_seconds))]
        time.sleep(QUIET)
        # The first two questions wake the threads up, and are not counted.
        answer = client("search", PATIENCE, questions=[*block[-1:] * 2, *block], k=K, options=point.options)
        point.times += answer["times"][2:]


def _finish(result: Result, client: Client, questions: int) -> None:
    """All questions in one call, and memory."""
    for n, point in enumerate(result.points):
        if n and point.asked < questions:
            continue  # too slow to be asked at more than its defaults
        time.sleep(QUIET)
        asked = _order(questions)[: point.asked]
        answer = client("search_all", PATIENCE, questions=asked, k=K, options=point.options)
        point.throughput = len(asked) / answer["seconds"]
    result.memory = client("memory")


def _change(result: Result, passages: Passages, count: int, cache: Path) -> None:
    """Adds and removes the passages after the first `count`, in a copy of the index."""
    contender = result.contender
    index = cache / "indexes" / passages.directory.name / str(contender.index)
    copy = index.with_name(f"{index.name}-changed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(index, copy)
    client = Client(_python(contender), contender.engine, passages, count, copy, contender.variables)
    try:
        client("open", PATIENCE)
        client("search", PATIENCE, questions=[0, 1], k=K, options={})
        result.add_seconds = client("add", PATIENCE, first=count, last=len(passages))["seconds"]
        deleted = client("delete", PATIENCE, first=count, last=len(passages))
        result.delete_seconds = deleted["seconds"]
        if not deleted["gone"]:
            result.failure = "deleted passages are still found"
    except WorkerError as error:
        result.failure = f"change: {error}"
    finally:
        client.close()
        shutil.rmtree(copy)


def _python(contender: Contender) -> Path:
    """The interpreter of a contender's environment.

    Raises:
        WorkerError: the peer is not installed.
    """
    if contender.environment is None:
        return Path(sys.executable)
    python = interpreter(contender.environment)
    if python is None:
        raise WorkerError(reason(contender.environment))
    return python


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
