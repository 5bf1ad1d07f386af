"""Rounds of a fuzzer in child processes, so that a crash is seen and a hang ends."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROUNDS_OF_A_CHILD = 500

Rounds = Callable[[list[Path], Path, range], Counter[str]]
"""Uses copies of sound collections under a directory, once for each seed, and counts what came of it."""


def in_children(build: Callable[[Path], list[Path]], rounds: Rounds, count: int, first: int) -> Counter[str]:
    """Build sound collections and live through rounds with them.

    Raises:
        AssertionError: a round failed, and its traceback is printed; or a process crashed.
    """
    total: Counter[str] = Counter()
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        directory = Path(name)
        # A parent that has searched has threads, which a fork would lose: it does nothing itself.
        sound = [Path(path) for path in _child(lambda: [str(path) for path in build(directory)])]
        for start in range(first, first + count, ROUNDS_OF_A_CHILD):
            seeds = range(start, min(start + ROUNDS_OF_A_CHILD, first + count))
            total.update(_child(lambda s=seeds: rounds(sound, directory, s)))
    return total


def _child(call: Callable[[], object]) -> object:
    """What a call gives in a child process."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        code = 1
        try:
            os.write(writing, json.dumps(call()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    status = os.waitpid(process, 0)[1]
    assert status == 0, (
        f"a child ended with status {status}: signal {signal.Signals(status & 127).name if status & 127 else 0}"
    )
    return json.loads(answer)
