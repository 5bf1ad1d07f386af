"""One engine in one process: reads a command a line from standard input, answers with a line of JSON.

Run by client.py as `python -m benchmarks.search.worker MODULE CLASS PASSAGES COUNT INDEX`, with the Python of
the engine's own environment.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.search.data import Passages
from benchmarks.search.engine import Engine


class Worker:
    """Carries out commands with one engine on one set of passages."""

    def __init__(self, engine: Engine, passages: Passages, count: int, index: Path) -> None:
        self.engine, self.passages, self.count, self.index = engine, passages, count, index

    def build(self) -> dict[str, Any]:
        begin = time.perf_counter()
        self.engine.build(self.passages, self.count, self.index)
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in self.index.rglob("*") if path.is_file())
        return {"seconds": seconds, "bytes": size, "peak": memory("VmHWM")}

    def open(self) -> dict[str, Any]:
        begin = time.perf_counter()
        self.engine.open(self.passages, self.count, self.index)
        return {"seconds": time.perf_counter() - begin, "note": self.engine.note()}

    def search(self, questions: list[int], k: int, options: dict[str, Any]) -> dict[str, Any]:
        times, found = [], []
        for question in questions:
            begin = time.perf_counter()
            answer = self.engine.search(question, k, **options)
            times.append(time.perf_counter() - begin)
            found.append(self.engine.numbers(answer))
        return {"times": times, "found": found}

    def search_all(self, questions: list[int], k: int, options: dict[str, Any]) -> dict[str, Any]:
        begin = time.perf_counter()
        self.engine.search_all(questions, k, **options)
        return {"seconds": time.perf_counter() - begin}

    def add(self, first: int, last: int) -> dict[str, Any]:
        """Seconds until a search sees the new passages: the search is part of it."""
        begin = time.perf_counter()
        self.engine.add(first, last)
        self.engine.search(0, 10)
        return {"seconds": time.perf_counter() - begin}

    def delete(self, first: int, last: int) -> dict[str, Any]:
        begin = time.perf_counter()
        self.engine.delete(first, last)
        answer = self.engine.search(0, 10)
        seconds = time.perf_counter() - begin
        gone = not set(self.engine.numbers(answer)) & set(range(first, last))
        return {"seconds": seconds, "gone": gone}

    def memory(self) -> dict[str, Any]:
        """Bytes: the largest resident size so far, and the part of the present one that is no file's content."""
        return {"peak": memory("VmHWM"), "anonymous": memory("RssAnon"), "file": memory("RssFile")}


def memory(field: str) -> int:
    """A line of /proc/self/status in bytes; 0 where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def main() -> None:
    module, name, directory, count, index = sys.argv[1:]
    # Engines print what they like: the answers go to the real standard output, everything else to the error
    # output.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = getattr(importlib.import_module(module), name)()
    worker = Worker(engine, Passages(Path(directory), Path(directory).name), int(count), Path(index))
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(getattr(worker, command)(**arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
